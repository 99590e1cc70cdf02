"""The JSON schema of recipes, for editors: every key of every kind of source, generator, texture and foreground."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

from anomgen.config import Config, Preset
from anomgen.errors import AnomgenWarning
from anomgen.making.engine import Recipe
from anomgen.registry import load, names
from anomgen.synthesis.textures import KINDS

SHARED = ("Foreground", "Generator", "SourceConfig", "Textures", "Weighted")
"""Definitions that stand for a choice wherever they are used, in plug-ins, too; the others are each plug-in's own."""


def recipe_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of recipes; it knows the keys of every registered kind.

    A plug-in that is broken is left out, with a warning that names it.
    """
    schema = Recipe.model_json_schema()
    definitions, properties = schema.pop("$defs"), schema["properties"]
    for base, key, group in (("SourceConfig", "source", "sources"), ("Generator", "generator", "generators")):
        properties[key] = {"description": properties[key]["description"], "oneOf": _options(group, definitions)}
        definitions[base] = {"$ref": f"#/properties/{key}"}
    definitions["Textures"] = {"anyOf": [keys_of(textures) for textures in KINDS.values()]}
    weight = definitions["Weighted"]["properties"]["weight"]
    parts = [_with_key("weight", weight, generator) for generator in properties["generator"]["oneOf"]]
    definitions["Weighted"] = {"oneOf": parts}
    named = {"type": "string", "description": "The name of a method or of a preset, or a folder of masks."}
    properties["foreground"] = {
        "description": properties["foreground"]["description"],
        "anyOf": [named, {"$ref": "#/$defs/Foreground"}],
        "default": "none",
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": definitions}


def keys_of(model: type[Config], kind: str | None = None, own: str = "") -> dict[str, Any]:
    """Return the JSON schema of a class of settings, with the names of its presets.

    kind: the name that it is registered under; the first line of its docstring explains it. own: what stands before
    the names of definitions that it uses.
    """
    schema = model.model_json_schema(ref_template=f"#/$defs/{own}{{model}}")
    properties = schema.setdefault("properties", {})
    if issubclass(model, Preset) and model.presets and "preset" in properties:
        properties["preset"] = {**properties["preset"], "enum": [*model.presets, None]}
        del properties["preset"]["anyOf"]
    if kind is None:
        return schema
    required = ["kind", *schema.get("required", [])]
    meaning = (inspect.getdoc(model) or "").partition("\n")[0]
    return {**_with_key("kind", {"const": kind, "description": meaning}, schema), "required": required}


def _options(group: str, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas of a group's classes that are not broken; add the definitions that they use."""
    options = []
    for name in names(group):
        own = f"{group}.{name}."
        try:
            option = keys_of(load(group, name), name, own)
        except (Exception, SystemExit) as error:  # a plug-in's own schema may exit
            warnings.warn(f"left out of the schema: {group[:-1]} {name!r}: {error}", AnomgenWarning, stacklevel=3)
            continue
        for inner, definition in option.pop("$defs", {}).items():
            definitions.setdefault(inner if inner in SHARED else own + inner, _sharing(definition, own))
        options.append(_sharing(option, own))
    return options


def _sharing(value: Any, own: str) -> Any:
    """Return a schema whose references to what is shared name the shared definitions, not its own."""
    if isinstance(value, list):
        return [_sharing(inner, own) for inner in value]
    if isinstance(value, dict):
        return {key: _sharing(inner, own) for key, inner in value.items()}
    inner = value.removeprefix(f"#/$defs/{own}") if isinstance(value, str) else value
    return f"#/$defs/{inner}" if inner in SHARED and inner != value else value


def _with_key(key: str, value: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "properties": {key: value, **schema["properties"]}}
