"""Labelme: a JSON file for each picture, with a list of shapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anomgen.errors import SourceError
from anomgen.sources.annotations.base import Annotation, Mark, Pictures, Shape, filled
from anomgen.sources.verdicts import says_normal

_UNFIT = (KeyError, TypeError, ValueError)


def is_labelme(content: Any) -> bool:
    """Return whether the contents of a JSON file are of this kind."""
    return isinstance(content, Mapping) and "imagePath" in content and isinstance(content.get("shapes"), list)


def read_labelme(content: Mapping[str, Any], path: Path, pictures: Pictures) -> list[Annotation]:
    """Return an annotation for each label on the picture: polygons, rectangles and circles; others are no masks.

    Raises SourceError, which names the file, for these and for what is damaged.
    """
    shapes: dict[str, list[Shape]] = defaultdict(list)
    try:
        said = (int(content["imageHeight"]), int(content["imageWidth"])) if content.get("imageHeight") else None
        for shape in content["shapes"]:
            shapes[str(shape["label"])].append(_shape(shape, said, path.name))
        image = pictures.find(str(content["imagePath"]), path.name, path.parent.name) if shapes else ""
    except _UNFIT as error:
        raise _damaged(path, error) from error
    return [Annotation(image, kind, own) for kind, own in shapes.items()]


def labelme_marks(content: Mapping[str, Any], path: Path) -> list[Mark]:
    """Return what the shapes mark, and flags that words call anomalous.

    Raises SourceError, which names the file, for what is damaged.
    """
    try:
        flags = [str(flag) for flag, is_set in dict(content.get("flags") or {}).items() if is_set]
        kinds = [str(shape["label"]) for shape in content["shapes"]]
        return [Mark(None, kind) for kind in (*kinds, *(flag for flag in flags if says_normal(flag) is False))]
    except _UNFIT as error:
        raise _damaged(path, error) from error


def _shape(shape: Mapping[str, Any], said: tuple[int, int] | None, where: str) -> Shape:
    kind, points = shape.get("shape_type") or "polygon", np.array(shape["points"], dtype=np.float64).reshape(-1, 2)
    if kind not in ("polygon", "rectangle", "circle"):
        raise SourceError(f"{where}: has a {kind}, which is no mask; draw polygons")
    if len(points) < (3 if kind == "polygon" else 2):
        raise ValueError(f"a {kind} of {len(points)} points")
    (left, top), (right, bottom) = points[:2]
    if kind == "rectangle":
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    if kind == "circle":  # its centre, and a point on it
        radius = np.hypot(right - left, bottom - top)
        turns = np.linspace(0, 2 * np.pi, 360, endpoint=False)
        points = np.stack([left + radius * np.cos(turns), top + radius * np.sin(turns)], axis=1)
    return Shape(said, lambda size: filled([points], size))


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path.name}: is no file of Labelme ({type(error).__name__}: {error})")
