"""A recipe as controls: one for each key, made from the schema that `anomgen show --schema` prints."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

from anomgen.making.engine import Recipe
from anomgen.making.schema import recipe_schema

Schema = dict[str, Any]
Control = dict[str, Any]
"""key, label, help, type, value, and what its type needs.

Types: `range` and `number` with low, high, step, integer; `chips` (several) and `choice` (one) with options;
`switch`; `text`; `json` for what has no simpler form. `off`: the word, auto or null, that stands in for a value.
`replaces`: the key whose changes, and those below it, a new value takes the place of.
"""

LONGEST_SLIDER = 1000
"""Whole numbers with a longer way to go get a field without a slider."""
STEPS = 200
WORDS = {"severity": "visibility", "detectability_range": "visibility accepted", "exponent_range": "fineness"}
"""What the page calls keys whose names it has for something else, or not at all."""
OF_ANGLES = ("angle", "rotation", "light")
"""Words in the names of keys that hold degrees."""


def sections_of(recipe: Recipe) -> list[dict[str, Any]]:
    """Return the controls of a recipe in the order of the page: title, and controls."""
    schema, values = _schema(), recipe.as_dict()
    top = {key: part for key, part in schema["properties"].items() if key not in (*_PARTS, "anomgen")}
    return [
        {"title": "Anomalies", "controls": list(_generator("generator", schema["properties"]["generator"], values))},
        {"title": "Object", "controls": list(_foreground(values["foreground"]))},
        {"title": "Images", "controls": list(_part("source", schema["properties"]["source"], values["source"]))},
        {"title": "Dataset", "controls": [_control(key, part, values.get(key)) for key, part in top.items()]},
    ]


_PARTS = ("generator", "source", "foreground")


@cache
def _schema() -> Schema:
    return recipe_schema()


def _resolved(schema: Schema) -> Schema:
    """Return a schema without a reference at its top; what stands beside the reference stays."""
    while "$ref" in schema:
        found: Any = _schema()
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def _options(schema: Schema) -> list[Schema]:
    schema = _resolved(schema)
    nested = schema.get("anyOf", schema.get("oneOf"))
    return [schema] if nested is None else [option for inner in nested for option in _options(inner)]


# --- parts that have keys of their own ------------------------------------------------------------------------------


def _generator(key: str, schema: Schema, values: dict[str, Any]) -> Iterator[Control]:
    generator = values["generator"]
    if generator["kind"] != "mix":
        yield from _part(key, schema, generator)
        return
    weighted = _resolved(_of_kind(schema, "mix")["properties"]["parts"]["items"])
    for number, part in enumerate(generator["parts"]):
        yield from _part(f"{key}.parts.{number}", weighted, part, f"{part['kind']}: ")


def _part(key: str, schema: Schema, values: dict[str, Any], before: str = "") -> Iterator[Control]:
    """Yield the controls of the keys of the class that `values["kind"]` names."""
    for name, part in _of_kind(schema, values["kind"])["properties"].items():
        value = values.get(name, part.get("default"))
        if name == "kind" or (name == "path" and key == "source"):
            continue
        if isinstance(value, dict) and any("kind" in option.get("properties", {}) for option in _options(part)):
            yield from _textures(f"{key}.{name}", part, value, before)
        else:
            yield _control(f"{key}.{name}", part, value, before)


def _textures(key: str, schema: Schema, values: dict[str, Any], before: str) -> Iterator[Control]:
    chosen = _of_kind(schema, values["kind"])["properties"]
    help_ = _text(_resolved(schema))
    yield {**_named(key, before), "help": help_, "type": "text", "value": values["kind"], "fixed": True}
    for name, part in chosen.items():
        if name != "kind":
            yield _control(f"{key}.{name}", part, values.get(name, part.get("default")), f"{before}texture ")


def _of_kind(schema: Schema, kind: str) -> Schema:
    """Return the option whose `kind` this is."""
    return next(option for option in _options(schema) if option["properties"]["kind"].get("const") == kind)


def _foreground(values: dict[str, Any]) -> Iterator[Control]:
    keys = _resolved({"$ref": "#/$defs/Foreground"})["properties"]
    method = _control("foreground.method", keys["method"], values["method"])
    method["options"] = [word for word in method["options"] if word not in ("folder", "background")]
    if values["method"] not in method["options"]:
        method["options"].append(values["method"])
    method["help"] = _without(method["help"], {"folder", "background"} - set(method["options"]))
    yield {**method, "label": "foreground", "replaces": "foreground"}
    for name, part in keys.items():
        if name in values and name != "method":
            yield _control(f"foreground.{name}", part, values[name])


# --- one key --------------------------------------------------------------------------------------------------------


def _control(key: str, schema: Schema, value: Any, before: str = "") -> Control:
    options = _options(schema)
    words = [option["const"] for option in options if "const" in option]
    if any(option.get("type") == "null" for option in options) or (options[0].get("enum") or [0])[-1] is None:
        words.append(None)
    real = [option for option in options if "const" not in option and option.get("type") != "null"]
    control = {**_named(key, before), "help": _text(_resolved(schema)), "value": value}
    if words:
        control["off"] = words[0]
        if words[0] is None and real:
            control["help"] = control["help"].replace("null:", "usual:")
    if not real:
        return {**control, "type": "choice", "options": words}
    return {**control, **_form(key, real, value, _resolved(schema).get("default"))}


def _form(key: str, options: list[Schema], value: Any, default: Any) -> Control:
    """Return type and bounds: of the first option that has a simple form and fits the value."""
    names = next((names for option in options if (names := _names(option))), None)
    if names:
        return {"type": "chips", "options": names}
    pair = next((option for option in options if _pair_of(option)), None)
    if pair is not None and (isinstance(value, list) or isinstance(default, list) or len(options) == 1):
        return {"type": "range", **_bounds(key, _pair_of(pair) or {}, [value, default])}
    single = options[0]
    if "enum" in single:
        return {"type": "choice", "options": [word for word in single["enum"] if word is not None]}
    if single.get("type") in ("number", "integer") and not isinstance(value, list):
        form = "range" if pair is not None and value is None and len(options) > 1 and key != "source.size" else "number"
        return {"type": form, **_bounds(key, single, [value, default])}
    simple = {"boolean": "switch", "string": "text"}.get(str(single.get("type")), "json")
    return {"type": simple if len(options) == 1 or not isinstance(value, dict | list) else "json"}


def _names(option: Schema) -> list[str] | None:
    """Return the words of which several are chosen: a list's, or a mapping's to weights."""
    listed = option.get("items", {}) if option.get("type") == "array" else option.get("propertyNames", {})
    listed = _resolved(listed) if isinstance(listed, dict) else {}
    return listed.get("enum")


def _pair_of(option: Schema) -> Schema | None:
    """Return the schema of either end of a pair of numbers."""
    if option.get("type") != "array" or option.get("maxItems") != 2:
        return None
    ends = option.get("prefixItems") or [option.get("items", {})]
    return ends[0] if ends[0].get("type") in ("number", "integer") else None


def _bounds(key: str, schema: Schema, known: list[Any]) -> Control:
    """Return low, high and step of a slider: the schema's bounds, or what holds the known values twice."""
    numbers = [abs(n) for value in known for n in (value if isinstance(value, list) else [value]) if _is_number(n)]
    integer = schema.get("type") == "integer"
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if any(word in key for word in OF_ANGLES) and None in (low, high):
        low, high = -180, 180
    reach = _nice(2 * max([*numbers, 5 if integer else 0.5]))
    signed = any(_is_number(n) and n < 0 for v in known for n in (v if isinstance(v, list) else [v]))
    low = (-reach if signed else 0) if low is None else low
    high = max(reach, low + 1) if high is None else high
    slider = high - low <= LONGEST_SLIDER
    step = 1 if integer else _nice((high - low) / STEPS)
    return {"low": low, "high": high, "step": step, "integer": integer, "slider": slider}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _nice(value: float) -> float:
    """Return the next of 1, 2, 5, 10, … that is no smaller."""
    unit = 10.0 ** math.floor(math.log10(value))
    found = next(unit * digit for digit in (1, 2, 5, 10) if unit * digit >= value * (1 - 1e-9))
    return round(found, 12)


def _named(key: str, before: str) -> Control:
    name = key.rpartition(".")[2]
    label = WORDS.get(name, name.replace("_", " ").removesuffix(" range"))
    return {"key": key, "label": before + label}


def _text(schema: Schema) -> str:
    """Return what a key is for; how it is written in a file is left out."""
    text = " ".join(str(schema.get("description", "")).replace("``", "`").split())
    return text.partition(" In YAML: ")[0]


def _without(text: str, words: set[str]) -> str:
    """Return a text without the sentences that explain these words."""
    return ". ".join(one for one in text.split(". ") if not any(one.startswith(f"`{word}`:") for word in words))
