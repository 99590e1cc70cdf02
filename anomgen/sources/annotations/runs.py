"""Tables of run lengths, as of Severstal's steel defects: a picture, perhaps a class, and pixels on each line."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from anomgen.errors import SourceError, brief
from anomgen.sources.annotations.base import Mark

_RUNS = "encodedpixels"
_IMAGES = ("imageid", "image_id", "imageid_classid", "image_label", "image", "id")
_NONE = frozenset({"", "-1"})
"""What stands where nothing is marked."""
_PAIRS = re.compile(r"\d+ +\d+(?: +\d+ +\d+)*")


def is_runs(beginning: bytes) -> bool:
    """Return whether a table that begins so is of this kind."""
    fields = _fields(beginning.decode("utf-8-sig", "replace").partition("\n")[0].split(","))
    return _RUNS in fields and any(name in fields for name in _IMAGES)


def _fields(header: list[str]) -> list[str]:
    return [name.strip(' "\r').lower() for name in header]


def run_marks(text: str, path: Path) -> list[Mark] | None:
    """Return what the lines mark; None for an example of a submission: called so, or all lines have the same pixels.

    Raises SourceError, which names the file and the line, for what is damaged.
    """
    found: list[Mark] = []
    pixels: list[str] = []
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
            if not _PAIRS.fullmatch(row[runs].strip()):
                raise ValueError(f"line {rows.line_num} has no run lengths")
            called, said = row[image].strip(), None if kind is None else row[kind].strip()
            if "_" in fields[image] and fields[image] != "image_id":  # as in 0002cc93b.jpg_1
                called, _, said = called.rpartition("_")
            found.append(Mark(called, f"class {said}" if said and said.isdecimal() else said or "object"))
            pixels.append(row[runs].strip())
    except (ValueError, StopIteration, csv.Error) as error:
        raise SourceError(f"{path.name}: is no table of run lengths ({brief(error)})") from error
    is_example = "submission" in path.stem.lower() or (len(pixels) > 1 and len(set(pixels)) == 1)
    return None if is_example else found
