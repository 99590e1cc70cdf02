"""What a setting must be, in a user's words: pydantic's faults know types of Python, not YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

_PLAIN = {
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a number",
    "string": "must be a text",
    "bool": "must be true or false",
    "model": "must be a mapping, {KEY: VALUE}",
}
"""The first word of a fault's type → what is said."""
_LISTS = ("tuple_type", "list_type", "too_short", "too_long", "missing")
_EXAMPLE = re.compile(r"``(\{[^`]+\})``")


def wanted(model: type[BaseModel], fault: Mapping[str, Any]) -> str:
    """Return what is said of one of the faults that pydantic finds in the values of a model."""
    kind, where = fault["type"], fault["loc"]
    field = model.model_fields.get(str(where[0])) if where else None
    if field is not None and kind in (*_LISTS, "dict_type"):
        meaning = " ".join((field.description or "").split())
        written = meaning.partition("In YAML: ")[2].partition(". ")[0].rstrip(".")
        if written.startswith("a "):
            return f"must be {written}"
        if kind == "dict_type":
            example = _EXAMPLE.search(meaning)
            return f"must be a mapping, such as {example[1]}" if example else _PLAIN["model"]
        pair = next(_pairs(field.annotation), None)
        if pair is not None:
            return _two_numbers(pair, field.default)
    if kind in ("tuple_type", "list_type"):
        return "must be a list, [VALUE, …]"
    if kind == "dict_type":
        return _PLAIN["model"]
    text = re.sub(r" after validation, not \d+$", "", str(fault["msg"]).removeprefix("Value error, "))
    said = _PLAIN.get(kind.partition("_")[0])
    if said is not None and kind not in ("string_too_short", "string_too_long", "string_pattern_mismatch"):
        return said
    return re.sub(r"^(?:(Input|String) should be|\w+ should (?=have|match))", _must, text)


def _must(found: re.Match[str]) -> str:
    return "must be" if found[1] else "must "


def _two_numbers(pair: type, default: Any) -> str:
    example = f", such as {list(default)}" if isinstance(default, tuple) and len(default) == 2 else ""
    return f"must be two {'whole ' if pair is int else ''}numbers, [low, high]{example}"


def _pairs(annotation: Any) -> Iterator[type]:
    """Yield the type of the numbers of each pair that a setting takes."""
    parts = get_args(annotation)
    if get_origin(annotation) is tuple:
        if len(parts) == 2 and parts[0] in (int, float) and parts[1] is parts[0]:
            yield parts[0]
        return
    for part in parts:
        yield from _pairs(part)
