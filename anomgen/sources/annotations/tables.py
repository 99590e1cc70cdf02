"""Tables of pictures with boxes (Roboflow, Keras-RetinaNet, VIA) or with labels (Roboflow, Kaggle, spreadsheets)."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from anomgen.config.text import read_json
from anomgen.errors import SourceError, brief
from anomgen.sources.annotations.base import Mark, image_marks
from anomgen.sources.annotations.via import is_via_header, via_table_marks
from anomgen.sources.tree import EXTENSIONS, listed
from anomgen.sources.verdicts import are_flags, are_numbers, normal_labels, opposed, says_normal

_WORDS = re.compile(r"\w+")
_IMAGES = _WORDS.findall(
    "filename file image imageid imagename imagepath imagefile img imgname path filepath id idcode"
)
_LABELS = _WORDS.findall(
    """label labels class classes classname classlabel labelname category defect defecttype defectclass anomaly
    isanomaly target diagnosis choice verdict result judgement judgment status"""
)
"""How columns of pictures and of labels are called, the likeliest first, in small letters and figures alone."""
_BOXES = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"), ("bbox",))
_NO_BOX = frozenset({"", "[]", "nan"})
_AND = ", "
"""What parts the classes of several boxes."""
_RETINANET = ("path", "x1", "y1", "x2", "y2", "class")
_ONE_HOT = "_classes.csv"
"""What Roboflow calls a table with a column for each class."""
_MOST_FIGURES = 10
"""Numbers in a column beyond which they are no labels."""


class _Table(NamedTuple):
    """A table. header: its columns' names as they are written, plain: as those above are."""

    header: Sequence[str]
    plain: list[str]
    rows: Sequence[Sequence[str]]

    def places(self, names: Sequence[str]) -> list[int]:
        """Return where those of some columns are that there are."""
        return [self.plain.index(name) for name in names if name in self.plain]

    def column(self, place: int) -> list[str]:
        """Return the texts in a column, "" on lines that are too short."""
        return [row[place].strip() if place < len(row) else "" for row in self.rows]

    def boxes(self) -> list[int]:
        """Return the columns of boxes."""
        return next((self.places(names) for names in _BOXES if set(names) <= set(self.plain)), [])

    def labels(self) -> list[int]:
        """Return the columns that may hold labels, the likeliest first: by their names, or by words in these."""
        told = [place for place, name in enumerate(self.header) if says_normal(name) is not None]
        return list(dict.fromkeys(self.places(_LABELS) + told))


def is_table(beginning: bytes, name: str) -> bool:
    """Return whether a file `name` that begins so is a table that may say what is on pictures."""
    try:
        table = _table(beginning.decode("utf-8-sig", "replace").splitlines()[:1], name)
    except ValueError:
        return False
    said = name == _ONE_HOT or is_via_header(table.plain) or bool(table.boxes() or table.labels())
    return said and bool(table.places(_IMAGES))


def table_marks(text: str, path: Path) -> list[Mark] | None:
    """Return what boxes mark, and what words in labels call anomalous, or not normal where they call others so.

    Labels that are figures alone mark in doubt, unless the column's name says what they mean. None for a table that
    tells nothing. Raises SourceError, which names the file, for what is damaged.
    """
    try:
        table = _table(text.splitlines(keepends=True), path.name)
    except (csv.Error, ValueError) as error:
        raise SourceError(f"{path.name}: is no table ({brief(error)})") from error
    place = next(iter(table.places(_IMAGES)), None)
    images = [] if place is None else table.column(place)
    if place is None or (table.plain[place] == "id" and all(map(str.isdecimal, images))):
        return None  # such numbers may be of anything
    if is_via_header(table.plain):
        return via_table_marks([dict(zip(table.plain, row, strict=False)) for row in table.rows], path)
    if path.name == _ONE_HOT:
        classes = [(name, table.column(k)) for k, name in enumerate(table.header) if k != place]
        return image_marks(
            [(image, name) for k, image in enumerate(images) for name, is_on in classes if is_on[k] == "1"]
        )
    if boxes := table.boxes():
        named = table.places(_LABELS)
        kinds_of = table.column(named[0]) if named else [""] * len(images)
        rows = zip(images, kinds_of, *map(table.column, boxes), strict=True)
        return [
            Mark(image, kind or "object")
            for image, kinds, *corners in rows
            if not _NO_BOX.intersection(corners)
            for kind in kinds.split(_AND)
        ]
    return _labelled(table, images, path)


def _labelled(table: _Table, images: Sequence[str], path: Path) -> list[Mark] | None:
    """Return what the first column marks whose labels tell; else, in doubt, what figures, or opposites, may mark."""
    doubtful = None
    for place in table.labels():
        labels = table.column(place)
        said = set(labels) - {""}
        if any(map(_is_picture, said)):
            continue  # a list of where pictures come from, or of masks
        is_named, flags = table.plain[place] in _LABELS, bool(said) and are_flags(said)
        normal = _normal_of(table.header[place], said) if is_named or flags else None
        rows = [(image, label) for image, label in zip(images, labels, strict=True) if label]
        if normal is not None:
            column = table.header[place]
            marked = [(image, "anomaly" if flags else label) for image, label in rows if label not in normal]
            return [Mark(image, kind, column=column) for image, kind in marked]
        is_open = flags or (are_numbers(said) and len(said) <= _MOST_FIGURES) or opposed(said)
        if said and (is_named or flags) and is_open and doubtful is None:
            doubt = (
                f"{path.name}: its labels in {table.header[place]}, {listed(sorted(said))}, do not say which of "
                "them is normal; write words instead, such as good and defect"
            )
            doubtful = [Mark(image, label, doubt) for image, label in rows]
    return doubtful


def _normal_of(name: str, labels: set[str]) -> Set[str] | None:
    """Return the labels of a column that are normal ones; None where neither words in them nor its name tell."""
    return None if are_flags(labels) and says_normal(name) is None else normal_labels(name, labels)


def _table(lines: Sequence[str], name: str) -> _Table:
    """Return a table, its columns parted by what its first line has most of, or by blanks behind a picture's name.

    One without a header begins with a picture; its columns are those of Keras-RetinaNet, or a label follows. Of a file
    `name` of JSON lines each is a row. Raises ValueError where one is none.
    """
    if name.endswith(".jsonl"):
        return _of_json(lines)
    first = lines[0] if lines else ""
    delimiter = max(",;\t", key=first.count)
    if _is_picture(*first.split()[:1]):
        rows = [line.split() for line in lines]
    else:
        rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    header: Sequence[str] = [name.strip() for name in rows[0]] if rows else []
    if header and _is_picture(header[0]):
        has_box = len(header) == len(_RETINANET) and all(
            cell.replace(".", "", 1).isdecimal() for cell in header[1:5] if cell
        )
        header = _RETINANET if has_box else ("path", "label")
    else:
        rows = rows[1:]
    return _Table(header, [_plain(name) for name in header], [row for row in rows if row])


def _of_json(lines: Sequence[str]) -> _Table:
    """Return a table of which each line is an object in JSON; what is in an object in it counts as its own."""
    rows = [read_json(line) for line in lines if line.strip()]
    if not all(isinstance(row, Mapping) for row in rows):
        raise ValueError("a line is no object")
    flat = [
        {**row, **{key: own for part in row.values() if isinstance(part, Mapping) for key, own in part.items()}}
        for row in rows
    ]
    header = list(dict.fromkeys(key for row in flat for key in row))
    cells = [[_cell(row.get(key)) for key in header] for row in flat]
    return _Table(header, [_plain(name) for name in header], cells)


def _cell(value: object) -> str:
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return _AND.join(value)
    return "" if value is None else str(value)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _is_picture(text: str = "") -> bool:
    return PurePosixPath(text).suffix.lower() in EXTENSIONS
