"""Tables of run lengths, as of Severstal's steel defects: a picture, perhaps a class, and pixels on each line."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from anomgen.errors import SourceError, brief
from anomgen.sources.annotations.base import Annotation, Mark, Pictures, Shape

_RUNS = "encodedpixels"
_IMAGES = ("imageid", "image_id", "imageid_classid", "image_label", "image", "id")
_WITH_CLASS = frozenset({"imageid_classid", "image_label"})
"""Columns of images and classes: ``0002cc93b.jpg_1``."""
_NONE = frozenset({"", "-1"})
"""What stands where nothing is marked."""
_PAIRS = re.compile(r"[0-9]{1,12} +[0-9]{1,12}(?: +[0-9]{1,12} +[0-9]{1,12})*")


def is_runs(beginning: bytes) -> bool:
    """Return whether a table that begins so is of this kind."""
    fields = _fields(beginning.decode("utf-8-sig", "replace").partition("\n")[0].split(","))
    return _RUNS in fields and any(name in fields for name in _IMAGES)


def _fields(header: list[str]) -> list[str]:
    return [name.strip(' "\r').lower() for name in header]


class _Line(NamedTuple):
    called: str
    kind: str
    pixels: str


def read_runs(text: str, path: Path, pictures: Pictures) -> list[Annotation] | None:
    """Return an annotation for each picture and class, None as `run_marks` does.

    Raises SourceError, which names the file, for what is damaged and for pictures that are not there.
    """
    lines = _lines(text, path)
    if lines is None:
        return None
    shapes: dict[tuple[str, str], list[Shape]] = defaultdict(list)
    stems = {PurePosixPath(name).stem: PurePosixPath(name).name for name in pictures.names}
    for called, kind, pixels in lines:
        name = pictures.find(stems.get(called, called), path.name, path.stem)
        shapes[name, kind].append(Shape(None, partial(_unrun, pixels, f"{path.name}: {called}")))
    return [Annotation(name, kind, own) for (name, kind), own in shapes.items()]


def run_marks(text: str, path: Path) -> list[Mark] | None:
    """Return what the lines mark; None for an example of a submission: called so, or all lines have the same pixels.

    Raises SourceError, which names the file and the line, for what is damaged.
    """
    lines = _lines(text, path)
    return None if lines is None else [Mark(line.called, line.kind) for line in lines]


def _unrun(text: str, where: str, size: tuple[int, int]) -> np.ndarray:
    """Return a mask, bool (H, W): pairs of a first pixel, counted from 1 down the columns, and a number of pixels."""
    starts, lengths = np.array(text.split(), dtype=np.int64).reshape(-1, 2).T
    flat = np.zeros(size[0] * size[1], bool)
    if starts.min() < 1 or (starts + lengths - 1).max() > len(flat):
        raise SourceError(f"{where}: the run lengths leave the picture of {size[0]} × {size[1]} pixels")
    for start, length in zip(starts - 1, lengths, strict=True):
        flat[start : start + length] = True
    return flat.reshape(size[1], size[0]).T


def _lines(text: str, path: Path) -> list[_Line] | None:
    if "submission" in path.stem.lower():
        return None
    found: list[_Line] = []
    try:
        rows = csv.reader(text.splitlines())
        fields = _fields(next(rows, []))
        image = next(fields.index(name) for name in _IMAGES if name in fields)
        runs, kind = fields.index(_RUNS), fields.index("classid") if "classid" in fields else None
        for row in rows:
            if row and len(row) < len(fields):
                raise ValueError(f"line {rows.line_num} is too short")
            if not row or row[runs].strip() in _NONE:
                continue
            pixels = row[runs].strip()
            if not _PAIRS.fullmatch(pixels):
                raise ValueError(f"line {rows.line_num} has no run lengths")
            called, said = row[image].strip(), None if kind is None else row[kind].strip()
            if fields[image] in _WITH_CLASS:
                called, _, said = called.rpartition("_")
            found.append(_Line(called, f"class {said}" if said and said.isdecimal() else said or "object", pixels))
    except (ValueError, StopIteration, csv.Error) as error:
        raise SourceError(f"{path.name}: is no table of run lengths ({brief(error)})") from error
    return None if len(found) > 1 and len({line.pixels for line in found}) == 1 else found
