"""COCO instance segmentation (Lin et al., ECCV 2014, arXiv 1405.0312): polygons and run lengths become masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anomgen.errors import SourceError
from anomgen.sources.annotations.base import Annotation, Mark, Pictures, Shape, filled

_NAMED = 5
_UNFIT = (KeyError, TypeError, ValueError, AttributeError)


def is_coco(content: Any) -> bool:
    """Return whether the contents of a JSON file are of this kind."""
    return isinstance(content, Mapping) and isinstance(content.get("images"), list) and "annotations" in content


def read_coco(content: Mapping[str, Any], path: Path, pictures: Pictures) -> list[Annotation]:
    """Return an annotation for each picture and category; a picture without annotations has none.

    Raises SourceError, which names the file, for what is damaged, for categories that it does not name, and for boxes
    without masks.
    """
    shapes: dict[tuple[str, str], list[Shape]] = defaultdict(list)
    try:
        _require_categories(content, path.name)
        for image, kind, entry in _entries(content):
            name = pictures.find(str(image["file_name"]), path.name, path.stem)
            said = (int(image["height"]), int(image["width"])) if image.get("height") else None
            shapes[name, kind or "defect"].append(_shape(entry.get("segmentation"), name, said, path.name))
    except _UNFIT as error:
        raise _damaged(path, error) from error
    return [Annotation(name, kind, own) for (name, kind), own in shapes.items()]


def coco_marks(content: Mapping[str, Any], path: Path) -> list[Mark]:
    """Return what has a box or a mask. Raises SourceError, which names the file, for what is damaged."""
    try:
        return [
            Mark(str(image["file_name"]), kind or "object")
            for image, kind, entry in _entries(content)
            if entry.get("segmentation") or entry.get("bbox")
        ]
    except _UNFIT as error:
        raise _damaged(path, error) from error


def _entries(content: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str, Mapping[str, Any]]]:
    """Yield the image, the category's name and the entry of each annotation."""
    names = {entry["id"]: str(entry["name"]) for entry in content.get("categories") or ()}
    images = {entry["id"]: entry for entry in content["images"]}
    for entry in content["annotations"]:
        yield images[entry["image_id"]], names.get(entry.get("category_id"), ""), entry


def _require_categories(content: Mapping[str, Any], where: str) -> None:
    names = {entry["id"]: str(entry["name"]) for entry in content.get("categories") or ()}
    given = [entry.get("category_id") for entry in content["annotations"]]
    if names and (unknown := [number for number in given if number is not None and number not in names]):
        known = ", ".join(f"{number!r} ({name})" for number, name in list(names.items())[:_NAMED])
        raise SourceError(
            f"{where}: {len(unknown)} of {len(given)} annotations have a category that the file does not name, such as "
            f"category_id {unknown[0]!r}; it names {known}{', …' if len(names) > _NAMED else ''}. Mend the file"
        )


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path.name}: is no COCO file of instances ({type(error).__name__}: {error})")


def _shape(segmentation: Any, name: str, said: tuple[int, int] | None, where: str) -> Shape:
    if not segmentation:
        raise SourceError(f"{where}: {name} has a box and no segmentation; a mask is needed, so annotate the outline")
    if isinstance(segmentation, Mapping):
        height, width = (int(side) for side in segmentation["size"])
        counts = segmentation["counts"]
        runs = np.array(uncompressed(counts) if isinstance(counts, str) else counts, dtype=np.int64)
        if runs.ndim != 1 or (runs < 0).any() or int(runs.sum()) != height * width:
            raise SourceError(f"{where}: the run lengths of {name} do not fill its {height} × {width} pixels")

        def decoded(_: tuple[int, int]) -> np.ndarray:
            flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
            return flat.reshape(width, height).T

        return Shape((height, width), decoded)
    polygons = [np.array(part, dtype=np.float64).reshape(-1, 2) for part in segmentation]
    return Shape(said, lambda size: filled(polygons, size))


def uncompressed(text: str) -> list[int]:
    """Return the run lengths that COCO's compressed form holds.

    Each number is written in groups of five bits, low ones first, as a character from '0' on; the sixth bit says that
    more follow, the fifth of the last group is the sign. From the fourth number on it is the difference to the one two
    before.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} is no part of compressed run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, shift = 0, 0
    return runs
