"""Tables of the keys of a configuration, as its schema explains them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from anomgen.config import Config

LONGEST = 60
"""Defaults that take more characters are told in words."""


def key_table(model: type[Config], leave_out: tuple[str, ...] = ()) -> str:
    """Return a Markdown table of a configuration's keys: default, what is allowed, what it means."""
    lines = ["| key | default | allowed | |", "|---|---|---|---|"]
    schema = model.model_json_schema()
    for key, values in schema["properties"].items():
        if key in leave_out:
            continue
        default = _default(values) if key not in schema.get("required", ()) else "required"
        if (made := model.model_fields[key].default_factory) and not default:
            plain = made() if isinstance(made(), dict) else made().model_dump(mode="json")
            default = f"`{json.dumps(plain).replace(chr(34), '')}`"
        allowed = _allowed(values, schema.get("$defs", {}))
        lines.append(f"| `{key}` | {default} | {allowed} | {_cell(explained(model, key))} |")
    return "\n".join(lines)


def explained(model: type[Config], key: str) -> str:
    """Return what a key means; a class that only changes the default is explained by its base."""
    for owner in model.__mro__:
        field = getattr(owner, "model_fields", {}).get(key)
        if field is not None and field.description:
            return field.description
    return ""


def prose(text: str) -> str:
    """Return a docstring's text as Markdown: one pair of backticks around code, papers linked."""
    return re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text.replace("``", "`"))


def _cell(text: str) -> str:
    return prose(" ".join(text.split())).replace("|", "\\|")


def _default(values: Mapping[str, Any]) -> str:
    if "default" not in values:
        return ""
    text = json.dumps(values["default"], ensure_ascii=False).replace('"', "")
    if len(text) <= LONGEST:
        return f"`{text}`"
    return f"{len(values['default'])} of them" if isinstance(values["default"], list) else "see below"


def _allowed(values: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "anyOf" in values or "oneOf" in values:
        parts = [_allowed(part, definitions) for part in values.get("anyOf", values.get("oneOf"))]
        return " or ".join(dict.fromkeys(part for part in parts if part))
    if "$ref" in values:
        return "a mapping"
    if "enum" in values or "const" in values:
        return ", ".join(f"`{json.dumps(value).strip(chr(34))}`" for value in values.get("enum", [values.get("const")]))
    match values.get("type"):
        case "array":
            return _list_of(values, definitions)
        case "integer" | "number" as kind:
            return f"{kind}{_bounds(values)}"
        case "null":
            return "`null`"
        case "boolean":
            return "`true`, `false`"
        case kind:
            return {"string": "text", "object": "a mapping"}.get(kind or "", "")


def _list_of(values: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "prefixItems" in values:
        kind = values["prefixItems"][0].get("type", "value")
        return f"{len(values['prefixItems'])} {kind}s"
    return f"list of {_allowed(values.get('items', {}), definitions) or 'values'}"


def _bounds(values: Mapping[str, Any]) -> str:
    low, high = values.get("minimum"), values.get("maximum")
    if low is not None and high is not None:
        return f", {low:g} to {_large(high)}"
    if low is not None:
        return f", at least {low:g}"
    if "exclusiveMinimum" in values:
        return f", above {values['exclusiveMinimum']:g}" + (f", at most {_large(high)}" if high is not None else "")
    return f", at most {_large(high)}" if high is not None else ""


def _large(value: float) -> str:
    return f"{value:,g}" if abs(value) < 1e6 else f"10^{len(str(int(value))) - 1}"


def paragraphs(docstring: str | None) -> Iterator[str]:
    """Yield a docstring's paragraphs, indentation taken off."""
    for part in re.split(r"\n\s*\n", (docstring or "").strip()):
        yield prose("\n".join(line.strip() if not line.startswith("  -") else line for line in part.splitlines()))
