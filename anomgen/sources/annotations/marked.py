"""Which pictures files of annotations mark: those in the folder of the pictures, and beside and above it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from anomgen.errors import SourceError, tell
from anomgen.sources.annotations.base import Mark, beginning, read_file, read_json
from anomgen.sources.annotations.coco import coco_marks, is_coco
from anomgen.sources.annotations.labelme import is_labelme, labelme_marks
from anomgen.sources.annotations.labelstudio import is_labelstudio, labelstudio_marks
from anomgen.sources.annotations.level import Level, levels
from anomgen.sources.annotations.masks import masked_above
from anomgen.sources.annotations.runs import is_runs, run_marks
from anomgen.sources.annotations.supervisely import is_supervisely, supervisely_marks
from anomgen.sources.annotations.tables import is_table, table_marks
from anomgen.sources.annotations.via import is_via, via_marks
from anomgen.sources.annotations.voc import xml_marks
from anomgen.sources.annotations.yolo import yolo_marks
from anomgen.sources.tree import left_out, listed
from anomgen.sources.verdicts import says_normal

_TABLES = frozenset({".csv", ".tsv", ".jsonl"})
_BYTES = {".txt": 1 << 22, ".xml": 1 << 24, ".json": 1 << 25, **dict.fromkeys(_TABLES, 1 << 25)}
"""The kinds of files that are read, and the bytes of the largest."""
_SAID = 200
"""Characters of a class, and of what is wrong with a file, that are told."""
_LISTS = 64
"""Files of annotations of many pictures, in one folder, beyond which none is read."""
_LISTING = (
    *(b'"images"', b'"annotations"', b'"categories"', b'"licenses"', b'"data"', b'"_via_', b'"regions"'),
    *(b'"annotator"', b'"original_width"'),
)
"""What stands at the beginning of a JSON file that annotates many pictures."""


class Unmarked(NamedTuple):
    """The images that no file marks. notes: on the others; read: the files that were read; damaged: why others not.

    plain: the files called like an image that turned out to be no annotations.
    """

    images: list[str]
    notes: tuple[str, ...]
    read: set[str]
    damaged: dict[str, str]
    plain: set[str]


def unmarked(root: Path, images: Sequence[str], others: Sequence[str]) -> Unmarked:
    """Return the images on which no file of annotations, and no mask in a folder above, marks anything.

    images, others: the images below `root` and the files of other kinds. A file counts that is Labelme's, Pascal
    VOC's, YOLO's, COCO's, CVAT's, Label Studio's, Supervisely's or a table, and says which image it means; classes
    called normal do not count. Where it marks all images, with one class that need not be a defect, they stay, and this
    is said.
    """
    found = _Found()
    around = list(levels(root, images, others))
    for level in around:
        found.look(level)
    left, notes = list(images), tuple[str, ...]()
    if found.kinds:
        files = listed(sorted(found.marking))
        left, notes = without_marked(images, found.kinds, files)
        if len(left) < len(images):
            notes += (f"annotations were read from {files}; if they mark no defects, move them elsewhere",)
    for masked in masked_above(around):
        left, notes = [name for name in left if name not in masked.images], notes + masked.notes
    return Unmarked(left, notes, found.read, found.damaged, found.plain)


def without_marked(
    images: Sequence[str], kinds_of: Mapping[str, set[str]], by: str, what: str = "image"
) -> tuple[list[str], tuple[str, ...]]:
    """Return the images on which nothing is marked, and a note on the others.

    kinds_of: the classes on each of them; where it is one on all images, that need not be a defect, they stay. by: what
    marks them, what: what messages call an image.
    """
    kinds = Counter(kind for own in kinds_of.values() for kind in sorted(own))
    names = [name for name in images if name in kinds_of]
    if names and len(names) == len(images) and len(kinds) == 1 and says_normal(next(iter(kinds))) is None:
        note = (
            f"all of {len(images)} {what}s are annotated with {listed(list(kinds))} ({by}), which is taken for what "
            "they normally show; if it is a defect they are no normal images: give them to `anomgen bank`"
        )
        return list(images), (note,)
    why = ", ".join(f"{listed([kind])} on {count}" for kind, count in islice(kinds.most_common(), 5))
    noted = left_out(names, f"which annotations mark ({why})", "file" if what == "image" else what)
    return [name for name in images if name not in kinds_of], noted


class _Found:
    """What files of annotations say, by and by. kinds: the classes on an image; marking: these files."""

    def __init__(self) -> None:
        self.kinds: dict[str, set[str]] = defaultdict(set)
        self.read: set[str] = set()
        self.plain: set[str] = set()
        self.marking: set[str] = set()
        self.damaged: dict[str, str] = {}

    def look(self, level: Level) -> None:
        """Read the files of a level that may annotate its pictures."""
        own = {name: picture for name in level.files if (picture := level.own(name)) is not None}
        lists = [name for name in level.files if name not in own and _may_list(level.base / name)]
        if len(lists) > _LISTS:
            self.damaged |= {level.shown(name): f"one of {len(lists)}" for name in lists}
            lists = []
        for done, name in enumerate((*own, *lists)):
            tell(done, len(own) + len(lists), "reading the annotations")
            shown = level.shown(name)
            try:
                marks = _marks(level.base / name, level.classes)
            except SourceError as error:
                self.damaged[shown] = str(error)[:_SAID]
                continue
            if marks is None and name in own:
                self.plain.add(shown)
            if marks is None or (name not in own and any(mark.called is None for mark in marks)):
                continue
            self.read.add(shown)
            self._add(level, name, own.get(name), dict.fromkeys(marks))

    def _add(self, level: Level, name: str, own: str | None, marks: Iterable[Mark]) -> None:
        """Add what a file marks. own: the picture that it is called like."""
        shown, unsure, labels = level.shown(name), set[str](), set[str]()
        for mark in marks:
            if says_normal(mark.defect_type) is True or len(labels) > 1:
                continue
            try:
                picture = own if mark.called is None else level.named(mark.called, name)
            except SourceError as error:
                self.damaged.setdefault(shown, str(error)[:_SAID])
                continue
            if picture is not None and mark.doubt:
                unsure.add(picture)
                labels.add(mark.defect_type)
            elif picture is not None:
                self.kinds[picture].add(mark.defect_type[:_SAID])
                self.marking.add(f"{shown} (column {mark.column})" if mark.column else shown)
        if len(labels) > 1 or 0 < len(unsure) < level.count:  # not the same is said of all
            self.damaged.setdefault(shown, next(mark.doubt for mark in marks if mark.doubt)[:_SAID])


def _may_list(path: Path) -> bool:
    """Return whether a file, by its beginning, may annotate many pictures."""
    kind = path.suffix.lower()
    if kind not in (".json", ".xml", *_TABLES):
        return False
    first = beginning(path)
    if kind in _TABLES:
        return is_runs(first) or is_table(first, path.name)
    return b"<annotations" in first if kind == ".xml" else any(key in first for key in _LISTING)


def _marks(path: Path, classes: Mapping[int, str]) -> list[Mark] | None:
    """Return what a file marks, None for one that is no annotation. Raises SourceError for one that is damaged."""
    kind = path.suffix.lower()
    if kind == ".json":
        content = read_json(path, _BYTES[kind])
        if is_labelme(content):
            return labelme_marks(content, path)
        if is_coco(content):
            return coco_marks(content, path)
        if is_via(content):
            return via_marks(content, path)
        if is_supervisely(content):
            return supervisely_marks(content, path)
        return labelstudio_marks(content, path) if is_labelstudio(content) else None
    if kind == ".txt":
        try:
            text = read_file(path, path.name, _BYTES[kind])
        except SourceError:
            return None
        return yolo_marks(text, classes, path.name)
    text = read_file(path, path.name, _BYTES[kind])
    if kind == ".xml":
        return xml_marks(text, path)
    return run_marks(text, path) if is_runs(text.partition("\n")[0].encode()) else table_marks(text, path)
