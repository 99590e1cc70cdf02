"""Labelme: a JSON file for each picture, with a list of shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomgen.errors import SourceError
from anomgen.sources.annotations.base import Mark


def is_labelme(content: Any) -> bool:
    """Return whether the contents of a JSON file are of this kind."""
    return isinstance(content, Mapping) and "imagePath" in content and isinstance(content.get("shapes"), list)


def labelme_marks(content: Mapping[str, Any], path: Path) -> list[Mark]:
    """Return what the shapes mark. Raises SourceError, which names the file, for what is damaged."""
    try:
        return [Mark(None, str(shape["label"])) for shape in content["shapes"]]
    except (KeyError, TypeError) as error:
        raise SourceError(f"{path.name}: is no file of Labelme ({type(error).__name__}: {error})") from error
