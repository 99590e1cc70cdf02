"""Supervisely: a JSON file for each picture, called like it with its extension, ``ann/x.png.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomgen.errors import SourceError, brief
from anomgen.sources.annotations.base import Mark
from anomgen.sources.verdicts import says_normal


def is_supervisely(content: Any) -> bool:
    """Return whether the contents of a JSON file are of this kind."""
    return isinstance(content, Mapping) and {"size", "tags", "objects"} <= content.keys()


def supervisely_marks(content: Mapping[str, Any], path: Path) -> list[Mark]:
    """Return what the objects mark, and tags that words call anomalous.

    Raises SourceError, which names the file, for what is damaged.
    """
    try:
        kinds = [str(one["classTitle"]) for one in content["objects"]]
        tags = [str(tag["name"]) for tag in content["tags"]]
    except (KeyError, TypeError) as error:
        raise SourceError(f"{path.name}: is no file of Supervisely ({brief(error)})") from error
    return [Mark(None, kind) for kind in (*kinds, *(tag for tag in tags if says_normal(tag) is False))]
