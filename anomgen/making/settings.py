"""Settings as text: strict YAML, and the `key=value` texts of --set."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import yaml

from anomgen.errors import UsageError


def size_text(text: str) -> str:
    """Return a size option, ``256``, ``256x512`` or ``native``, as YAML."""
    if text == "native":
        return "null"
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() for part in parts):
        raise UsageError(f"--size {text}: write N, HxW (height first) or native")
    return parts[0] if len(parts) == 1 else f"[{parts[0]}, {parts[1]}]"


MAX_ALIASES = 20
"""YAML aliases in one recipe; a few lines of nested ones can stand for gigabytes."""


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error, not a silent choice, and aliases cannot multiply."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise yaml.constructor.ConstructorError(None, None, f"more than {MAX_ALIASES} aliases (*name)")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def settings_of(overrides: Iterable[str]) -> dict[str, Any]:
    """Return what ``a.b=value`` texts say, the value in YAML, as a mapping. Raises UsageError for another text."""
    settings: dict[str, Any] = {}
    for override in overrides:
        if override.endswith("="):
            raise UsageError(f"--set {override}: the value is empty; give one, or leave the setting at its default")
        _override(settings, override)
    return settings


def _override(mapping: dict[str, Any], override: str) -> None:
    """Set one value, ``a.b.0.c=value``; missing mappings on the way are made."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip("."):
        raise UsageError(f"--set {override}: write it as key=value, for instance --set generator.blend=mixed")
    try:
        value = yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, RecursionError):
        raise UsageError(f"--set {override}: the value is not valid YAML") from None
    *path, last = key.split(".")
    place: Any = mapping
    if path == ["foreground"] and isinstance(mapping.get("foreground"), str):
        mapping["foreground"] = {"method": mapping["foreground"]}
    for part in path:
        place = _step(place, part, override)
    if isinstance(place, list):
        place[_position(place, last, override)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise UsageError(f"--set {override}: {'.'.join(path)} holds {place!r}, which has no keys")


def _step(place: Any, part: str, override: str) -> Any:
    if isinstance(place, list):
        return place[_position(place, part, override)]
    if isinstance(place, dict):
        return place.setdefault(part, {})
    raise UsageError(f"--set {override}: {part!r} is inside {place!r}, which has no keys")


def _position(place: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        raise UsageError(f"--set {override}: {part!r} is no position in a list of {len(place)}")
    return int(part)


def split_changes(changes: Iterable[str] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings that --set names, those of the training and those of the source, values read as YAML."""
    own: dict[str, Any] = {}
    of_source: dict[str, Any] = {}
    for change in changes or ():
        key, equals, text = change.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {change}: write it as key=value, for instance --set learning_rate=1e-4")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UsageError(f"--set {change}: the value is not valid YAML") from None
        if isinstance(value, str):  # YAML takes 1e-4 for a word
            with suppress(ValueError):
                value = float(value)
        place, name = (of_source, key.removeprefix("source.")) if key.startswith("source.") else (own, key)
        place[name] = value
    return own, of_source
