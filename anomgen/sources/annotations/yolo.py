"""YOLO segmentation: a text file for each picture, a line with a class and a polygon in shares for each defect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from anomgen.config.text import read_yaml
from anomgen.errors import SourceError
from anomgen.sources.annotations.base import Annotation, Mark, Pictures, Shape, filled, read_file

_TABLES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt")
"""Files that name the classes."""
_DIGITS = 6
"""Digits from which on a number is none of a class."""
_SLACK = 0.01
"""Share of a picture by which a box may lie beyond it: tools round."""


def label_files(others: Sequence[str]) -> list[str]:
    """Return those files that may be labels: texts in a folder `labels`."""
    return [name for name in others if name.endswith(".txt") and "labels" in PurePosixPath(name).parts[:-1]]


def read_yolo(root: Path, labels: Sequence[str], pictures: Pictures) -> list[Annotation]:
    """Return an annotation for each picture and class that label files below `root` name.

    A picture has the stem of its labels. Raises SourceError, which names the file and the line, for what is no polygon.
    """
    stems: dict[str, str] = {}
    for name in pictures.names:
        stems.setdefault(PurePosixPath(name).stem, PurePosixPath(name).name)
    classes = classes_of((root, root.parent))
    found = []
    for label in labels:
        polygons = _polygons(root / label, label)
        if not polygons:
            continue
        file = stems.get(PurePosixPath(label).stem)
        if file is None:
            raise SourceError(f"{label}: there is no picture of this name")
        folder = "/".join("images" if part == "labels" else part for part in PurePosixPath(label).parts[:-1])
        image = pictures.find(f"{folder}/{file}", label)
        for number, own in polygons.items():
            found.append(Annotation(image, classes.get(number, f"class {number}"), [_shape(own)]))
    return found


def _shape(shares: Sequence[np.ndarray]) -> Shape:
    return Shape(None, lambda size: filled([points * (size[1], size[0]) for points in shares], size))


def _polygons(path: Path, name: str) -> dict[int, list[np.ndarray]]:
    found: dict[int, list[np.ndarray]] = defaultdict(list)
    for number, line in enumerate(read_file(path, name).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) == 5:
            raise SourceError(f"{name}: line {number} is a box; a mask is needed, so export polygons (segmentation)")
        try:
            kind, points = int(words[0]), np.array(words[1:], dtype=np.float64).reshape(-1, 2)
        except ValueError as error:
            raise SourceError(f"{name}: line {number} is no class and polygon ({error})") from error
        if len(points) < 3 or not ((points >= 0) & (points <= 1)).all():
            raise SourceError(f"{name}: line {number} is no polygon of three or more corners from 0 to 1")
        found[kind].append(points)
    return found


def yolo_marks(text: str, classes: Mapping[int, str], name: str) -> list[Mark] | None:
    """Return what a label file marks by boxes or polygons; None for a text whose first line holds more than figures.

    Raises SourceError, which calls the file `name`, where a line is neither box nor polygon.
    """
    found: list[Mark] = []
    wrong = SourceError(f"{name}: holds figures that are neither boxes nor polygons")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    for number, *shares in lines:
        try:
            _, *values = map(float, (number, *shares))
        except ValueError:
            if not found:
                return None
            raise wrong from None
        is_class = number.isascii() and number.isdecimal() and len(number) < _DIGITS
        is_inside = len(values) >= 4 and all(-_SLACK <= value <= 1 + _SLACK for value in values)
        if not is_class or not is_inside or (len(values) < 6 and min(values[2:4]) <= 0):
            raise wrong
        found.append(Mark(None, classes.get(int(number), f"class {int(number)}")))
    return found


def classes_of(folders: Sequence[Path]) -> dict[int, str]:
    """Return number → name of the classes, as far as a file in one of the folders says them.

    Raises SourceError for a file that should, and does not.
    """
    for folder in folders:
        for name in _TABLES:
            file = folder / name
            if not file.is_file():
                continue
            try:
                text = read_file(file, name)
                names = text.split("\n") if name.endswith(".txt") else (read_yaml(text) or {}).get("names")
                pairs = names.items() if isinstance(names, dict) else enumerate(names or ())
                return {int(number): str(kind).strip() for number, kind in pairs if str(kind).strip()}
            except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
                raise SourceError(f"{name}: does not name the classes ({error})") from error
    return {}
