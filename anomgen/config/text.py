"""Settings and records as text: strict YAML with the numbers of YAML 1.2, strict JSON, --set's `key=value`, sizes."""

from __future__ import annotations

import codecs
import copy
import json
import math
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from numbers import Integral
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from anomgen.errors import UsageError

MAX_ALIASES = 20
"""YAML aliases in one text; a few lines of nested ones can stand for gigabytes."""
MAX_DIGITS = 100
"""Characters of a whole number; no setting is that large, and Python refuses to print some thousands."""
MAX_DEPTH = 64
"""Lists and mappings inside one another; what walks through them by recursion ends at some hundreds."""
MAX_VALUES = 100_000
"""Values and characters, in hundreds, of one YAML text, what its aliases repeat counted again."""

Overrides = str | Iterable[str] | Mapping[str, Any] | None
"""Changes of settings: what --set takes, ``a.b=value`` texts with the value in YAML, or a mapping of a.b to value."""

# --- YAML -----------------------------------------------------------------------------------------------------------

NUMBER = r"(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
"""A number without its sign, as YAML 1.2 and options write it: ``2``, ``.5``, ``1e-3``."""
_PLAIN = (
    ("bool", r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        rf"[-+]?{NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
)
"""What a word without quotes means, as type, pattern, first characters: YAML 1.2's core schema, and 1.1's booleans."""


_UNFIT = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What PyYAML raises beside its own errors for a value that is not what its tag says, or no character."""


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error, not a silent choice, and aliases neither multiply nor nest."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the class's own, filled below
    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise ConstructorError(None, None, f"more than {MAX_ALIASES} aliases (*name)")
        return super().compose_node(parent, index)

    def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: ARG002 - at once, to see circles
        if node in self.recursive_objects:
            raise ConstructorError(None, None, "a value contains itself (*name inside &name)", node.start_mark)
        try:
            return super().construct_object(node, deep=True)
        except _UNFIT:  # !!int abc, !!timestamp 2020-99-99
            name = str(node.tag).rpartition(":")[2]
            raise ConstructorError(None, None, f"a value does not fit its tag !!{name}", node.start_mark) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():  # !!map [1]
            key = self.construct_object(key_node)
            if not isinstance(key, Hashable):
                raise ConstructorError(None, None, "a key is a list or a mapping; keys are texts", key_node.start_mark)
            if key in seen:
                raise ConstructorError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_whole_number(self, node: Any) -> int:
        """Return the number; unlike in YAML 1.1, 010 is ten and 0o10 eight."""
        text = self.construct_scalar(node)
        if len(text) > MAX_DIGITS:
            raise ConstructorError(None, None, f"a number of more than {MAX_DIGITS} digits", node.start_mark)
        return int(text, 0 if text[:2].lower() in ("0o", "0x") else 10)


class _Dumper(yaml.SafeDumper):
    """Safe YAML that puts a text in quotes where YAML 1.1 or 1.2 would take it for something else."""


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole_number)
for _name, _pattern, _first in _PLAIN:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern})$"), list(_first))


def read_yaml(text: str) -> Any:
    """Return what strict YAML says: texts, numbers, booleans and null in lists and mappings.

    Raises yaml.YAMLError, and nothing else, when it says nothing valid, or stands for too much.
    """
    try:
        values = yaml.load(text, Loader=_Loader)
        _require_plain(values, MAX_VALUES)
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None
    except _UNFIT as error:
        raise yaml.YAMLError(str(error)) from None
    return values


MAX_CARD = 1 << 22
"""Bytes of a card; the Hub's own limit is near."""
_FRONT = re.compile(r"\s*---(?:\r\n|\r|\n)(.*?)(?:\r\n|\r|\n)---[ \t]*(?:\r\n|\r|\n|$)", re.DOTALL)


def front_matter(text: str) -> Any:
    """Return the metadata in a card's first lines, found as the Hub's library finds them; None where there are none.

    Raises yaml.YAMLError as `read_yaml` does. That library reads all that aliases stand for, so this goes before it.
    """
    found = _FRONT.match(text)
    return read_yaml(found[1]) if found else None


def write_yaml(values: Any, *, width: int = 100, flow: bool | None = False) -> str:
    """Return YAML that `read_yaml`, and any reader of YAML 1.1, takes for equal values.

    width: characters after which a line is broken. flow: whether lists and mappings stand in brackets; None for the
    innermost ones alone.
    """
    style: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": width, "default_flow_style": flow}
    return str(yaml.dump(values, Dumper=_Dumper, **style))


def decoded(data: bytes) -> str:
    """Return a file's text: UTF-8, or UTF-16 with its mark, as Windows PowerShell writes with ``>``.

    Raises ValueError, which says what to do, for another encoding.
    """
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"not a text file in UTF-8; {_SAVE}") from None
    before, zero, _ = text.partition("\0")
    if zero:
        line = before.count("\n") + 1
        raise ValueError(f"holds a NUL character in line {line}, which no text does; remove it there, or {_SAVE}")
    return text


_SAVE = "save it in UTF-8 (PowerShell: … | Out-File -Encoding utf8)"


# --- JSON -----------------------------------------------------------------------------------------------------------


def read_json(text: str | bytes) -> Any:
    """Return what strict JSON says. Raises ValueError for what is none, and for numbers and depths beyond use."""
    try:
        values = json.loads(text, parse_constant=_refused, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"no JSON: {error}") from None
    _require_plain(values)
    return values


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text[:MAX_DIGITS])


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    return int(text)


def _require_plain(values: Any, most: int | None = None) -> None:
    """Raise ValueError for what is neither text, number, boolean nor null in lists and mappings, or too deep or much.

    most: values, and hundreds of characters, however often the same one counts; None where nothing can repeat.
    """
    left = [(values, 1)]
    count = characters = 0
    while left:
        value, depth = left.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        if isinstance(value, dict):
            left += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list):
            left += [(part, depth + 1) for part in value]
        elif isinstance(value, str):
            characters += len(value)
            _require_text(value)
        elif value is not None and not isinstance(value, bool | int | float):
            raise ValueError(f"a value of the type {type(value).__name__}; write text, numbers, lists and mappings")
        if most is not None and max(count, characters // 100) > most:
            raise ValueError(f"stands for more than {most:,} values, its aliases (*name) counted")


def _require_text(value: str) -> None:
    """Raise ValueError for text that cannot be written: half of a pair that stands for one character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"holds a text that is none: {value[:40]!a}") from None


NAME_WORDS = ("{category}", "{data}")
"""What a setting says for the name of the category, of the data set, that it is used on, as in ``models/{data}``."""


def with_name(value: Any, name: str) -> Any:
    """Return a setting in which, at any depth, a name takes the place of `NAME_WORDS`."""
    if isinstance(value, str):
        for word in NAME_WORDS:
            value = value.replace(word, name)
        return value
    if isinstance(value, Mapping):
        return {key: with_name(part, name) for key, part in value.items()}
    return [with_name(part, name) for part in value] if isinstance(value, list | tuple) else value


# --- what options take ----------------------------------------------------------------------------------------------


def changed(
    settings: Mapping[str, Any], overrides: Overrides, example: str = "generator.blend=mixed"
) -> dict[str, Any]:
    """Return settings with values changed at any depth, ``a.b.0.c``; missing mappings on the way are made.

    example: what errors show. Raises UsageError for a text that is no change, and for one that undoes another.
    """
    result = dict(settings)
    before: dict[str, str] = {}
    for key, value, text in _pairs(overrides, example):
        undone = next((said for inner, said in before.items() if inner.startswith(f"{key}.")), None)
        if undone is not None:
            raise UsageError(f"--set {text[:80]} undoes --set {undone[:80]} before it; give it first, or leave one out")
        before[key] = text
        *path, last = key.split(".")
        place: Any = result
        if path == ["foreground"] and isinstance(result.get("foreground"), str):
            result["foreground"] = {"method": result["foreground"]}
        for part in path:
            place = _step(place, part, text)
        if isinstance(place, list):
            place[_position(place, last, text)] = value
        elif isinstance(place, dict):
            place[last] = value
        else:
            raise UsageError(f"--set {text}: {'.'.join(path)} holds {place!r}, which has no keys")
    return result


def refuse_two(overrides: Overrides, given: Mapping[str, tuple[str, Any]], example: str = "count=100") -> None:
    """Raise UsageError where --set has another value for a key than the option that is short for it.

    given: key, such as ``source.size``, to the option as it is written, and its value.
    """
    said = changed({}, overrides, example) if given else {}
    for key, (option, value) in given.items():
        found: Any = said
        for part in key.split("."):
            found = found.get(part, _UNSAID) if isinstance(found, Mapping) else _UNSAID
        if found is not _UNSAID and one_line(found) != one_line(value):
            raise UsageError(f"{option} and --set {key}={one_line(found)}: two values for one key; leave one out")


_UNSAID = object()


def _pairs(overrides: Overrides, example: str) -> Iterator[tuple[str, Any, str]]:
    """Yield key, value and text of each change."""
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            _require_key(key, example)
            yield key, value, f"{key}={value}"
        return
    for text in texts_of(overrides, example):
        key, equals, value = text.partition("=")
        if not equals or _has_gap(key):
            raise UsageError(f"--set {text}: write it as key=value, for instance --set {example}")
        if not value.strip():
            raise UsageError(f"--set {text}: the value is empty; give one, or leave the setting at its default")
        try:
            read = read_yaml(value)
        except yaml.YAMLError as error:
            reason = getattr(error, "problem", None) or error
            raise UsageError(f"--set {text[:80]}: the value is not valid YAML: {reason}") from None
        if isinstance(read, dict) and any(held is None and ":" in str(name) for name, held in read.items()):
            raise UsageError(f"--set {text[:80]}: put a space behind each colon, {{KEY: VALUE}}")
        yield key, read, text


def texts_of(overrides: Overrides, example: str = "generator.blend=mixed") -> tuple[str, ...]:
    """Return changes as --set takes them. Raises UsageError for what is neither texts nor a mapping."""
    if isinstance(overrides, Mapping):
        for key in overrides:
            _require_key(key, example)
        return tuple(f"{key}={one_line(value)}" for key, value in overrides.items())
    texts = [overrides] if isinstance(overrides, str) else [] if overrides is None else overrides
    listed = list(texts) if isinstance(texts, Iterable) else [texts]
    if not all(isinstance(text, str) for text in listed):
        raise UsageError(f"overrides: give texts such as {example!r}, or a mapping, not {overrides!r}")
    return tuple(listed)


def one_line(value: Any) -> str:
    """Return a value as YAML in one line, as in a change."""
    plain = json.loads(json.dumps(value, default=str))
    return write_yaml(plain, width=1 << 30, flow=True).removesuffix("...\n").strip()


def _has_gap(key: str) -> bool:
    """Return whether a key, or a part of it between points, is empty."""
    return not all(part.strip() for part in key.split("."))


def _require_key(key: Any, example: str) -> None:
    if not isinstance(key, str) or _has_gap(key):
        raise UsageError(f"overrides: a key is a text such as {example.partition('=')[0]!r}, not {key!r}")


def _step(place: Any, part: str, text: str) -> Any:
    """Return what `place` holds under a key: a copy of its own, which YAML's aliases do not share."""
    if isinstance(place, list):
        key: Any = _position(place, part, text)
    elif isinstance(place, dict):
        key = part
        place.setdefault(part, {})
    else:
        raise UsageError(f"--set {text}: {part!r} is inside {place!r}, which has no keys")
    place[key] = copy.copy(place[key])
    return place[key]


def _position(place: list[Any], part: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", part) or int(part) >= len(place):
        raise UsageError(f"--set {text[:80]}: {part[:40]!r} is no position in a list of {len(place)}")
    return int(part)


def size_of(text: Any) -> Any:
    """Return what --size says: ``256``, ``256x512`` (height first) or ``native``; what is no text as it is."""
    if text == "native" or not isinstance(text, str):
        return text
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
        raise UsageError(f"--size {text}: write N, HxW (height first) or native")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def listed(given: Any, option: str) -> list[Any]:
    """Return what an option names: a text with commas, several texts, or one thing that is no text, such as a Path.

    Raises UsageError, which tells the option, for an empty name and for one that is there twice.
    """
    if isinstance(given, str):
        names: list[Any] = [word.strip() for word in given.split(",")]
    else:
        names = list(given) if isinstance(given, Iterable) else [given]
    if not names or not all(str(name).strip() for name in names):
        raise UsageError(f"{option} {given!r}: a name is empty; write them as a,b,c")
    twice = next((name for name in names if isinstance(name, str) and names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{option} {given!r}: {twice} is there twice; name each once")
    return names


def require_whole(option: str, value: Any, least: int = 1) -> None:
    """Raise UsageError, which names the option, for what is no whole number, or below `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"{option} {value!r}: must be a whole number")
    if value < least:
        raise UsageError(f"{option} {value}: must be {least} or more")
