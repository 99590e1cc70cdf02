"""VGG Image Annotator (Dutta and Zisserman, ACM Multimedia 2019, arXiv 1904.10699): regions in JSON or in a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from anomgen.config.text import read_json
from anomgen.errors import SourceError, brief
from anomgen.sources.annotations.base import Mark
from anomgen.sources.verdicts import says_normal

_UNFIT = (KeyError, TypeError, ValueError, AttributeError)
_COLUMNS = ("filename", "fileattributes", "regionshapeattributes", "regionattributes")
"""Columns of a table, without what is between words."""


def is_via(content: Any) -> bool:
    """Return whether the contents of a JSON file are of this kind: regions alone, or a project."""
    first = next(iter(_files(content).values()), None) if isinstance(content, Mapping) else None
    return isinstance(first, Mapping) and "filename" in first and "regions" in first


def is_via_header(fields: Sequence[str]) -> bool:
    """Return whether a table with these columns is of this kind."""
    return set(_COLUMNS) <= set(fields)


def via_marks(content: Mapping[str, Any], path: Path) -> list[Mark]:
    """Return what has a region, and images of which words in an attribute say that they are anomalous.

    Raises SourceError, which names the file, for what is damaged.
    """
    try:
        return [mark for own in _files(content).values() for mark in _marks(own)]
    except _UNFIT as error:
        raise _damaged(path, error) from error


def via_table_marks(rows: Iterable[Mapping[str, str]], path: Path) -> list[Mark]:
    """Return what `via_marks` does, of a table: one region on each line. rows: column → text of each line."""
    try:
        return [mark for row in rows for mark in _marks(_of_line(row))]
    except _UNFIT as error:
        raise _damaged(path, error) from error


def _files(content: Mapping[str, Any]) -> Mapping[str, Any]:
    files = content.get("_via_img_metadata", content)
    return files if isinstance(files, Mapping) else {}


def _of_line(row: Mapping[str, str]) -> Mapping[str, Any]:
    """Return a line of a table as what the JSON has of a file."""
    name, about, shape, region = (row[column] for column in _COLUMNS)
    attributes = [read_json(region or "{}")] if read_json(shape or "{}") else []
    regions = [{"region_attributes": own} for own in attributes]
    return {"filename": name, "regions": regions, "file_attributes": read_json(about or "{}")}


def _marks(file: Mapping[str, Any]) -> list[Mark]:
    regions = file["regions"].values() if isinstance(file["regions"], Mapping) else file["regions"]
    kinds = [next(iter(_said(region["region_attributes"])), "object") for region in regions]
    kinds += [said for said in _said(file.get("file_attributes") or {}) if says_normal(said) is False]
    return [Mark(str(file["filename"]), kind) for kind in kinds]


def _said(attributes: Mapping[str, Any]) -> list[str]:
    """Return the values of attributes, first those that were written or chosen, then those that were ticked."""
    values = attributes.values()
    written = [str(value).strip() for value in values if not isinstance(value, Mapping)]
    ticked = [str(key) for value in values if isinstance(value, Mapping) for key, is_on in value.items() if is_on]
    return [value for value in (*written, *ticked) if value]


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path.name}: holds no regions of VIA ({brief(error)})")
