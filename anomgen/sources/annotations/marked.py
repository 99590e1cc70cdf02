"""Which pictures files of annotations mark: those in the folder of the pictures, and beside and above it."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from anomgen.errors import SourceError, UsageError, tell
from anomgen.sources.annotations.base import UPLOADED, Mark, beginning, read_file, read_json
from anomgen.sources.annotations.coco import coco_marks, is_coco
from anomgen.sources.annotations.labelme import is_labelme, labelme_marks
from anomgen.sources.annotations.labelstudio import is_labelstudio, labelstudio_marks
from anomgen.sources.annotations.runs import is_runs, run_marks
from anomgen.sources.annotations.tables import is_table, table_marks
from anomgen.sources.annotations.via import is_via, via_marks
from anomgen.sources.annotations.voc import xml_marks
from anomgen.sources.annotations.yolo import classes_of, yolo_marks
from anomgen.sources.tree import (
    MASK_NAMES,
    PERHAPS_MASK_NAMES,
    left_out,
    listed,
    nearness,
    place_of,
    tree_of,
)
from anomgen.sources.verdicts import says_normal

_BYTES = {".txt": 1 << 22, ".xml": 1 << 24, ".json": 1 << 25, ".csv": 1 << 25}
"""The kinds of files that are read, and the bytes of the largest."""
_SAID = 200
"""Characters of a class, and of what is wrong with a file, that are told."""
_LISTS = 64
"""Files of annotations of many pictures, in one folder, beyond which none is read."""
_ENTRIES = 1000
"""Entries of a folder above the pictures' beyond which it is none of a data set."""
_ALIKE = 64
"""Pictures of one stem among which the nearest is looked for."""
_LISTING = (b'"images"', b'"annotations"', b'"categories"', b'"licenses"', b'"data"', b'"_via_', b'"regions"')
"""What stands at the beginning of a JSON file that annotates many pictures."""
_SPLITS = re.compile(r"(?<![a-z])(?:train|val|test)")


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
    """Return the images on which no file of annotations marks anything; classes called normal do not count.

    images, others: the images below `root` and the files of other kinds. A file counts that is Labelme's, Pascal
    VOC's, YOLO's, COCO's, CVAT's, Label Studio's or a table of run lengths, and says which image it means. Where it
    marks all images, with one class that need not be a defect, they stay, and this is said.
    """
    found = _Found()
    for level in _levels(root, images, others):
        found.look(level)
    if not found.kinds:
        return Unmarked(list(images), (), found.read, found.damaged, found.plain)
    files = listed(sorted(found.marking))
    left, notes = without_marked(images, found.kinds, files)
    if len(left) < len(images):
        notes += (f"annotations were read from {files}; if they mark no defects, move them elsewhere",)
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
    """What files of annotations say, by and by. kinds: the classes on an image; marking: the files that say them."""

    def __init__(self) -> None:
        self.kinds: dict[str, set[str]] = defaultdict(set)
        self.read: set[str] = set()
        self.plain: set[str] = set()
        self.marking: set[str] = set()
        self.damaged: dict[str, str] = {}

    def look(self, level: _Level) -> None:
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

    def _add(self, level: _Level, name: str, own: str | None, marks: Iterable[Mark]) -> None:
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
                self.marking.add(shown)
        if len(labels) > 1 or 0 < len(unsure) < level.count:  # not the same is said of all
            self.damaged.setdefault(shown, next(mark.doubt for mark in marks if mark.doubt)[:_SAID])


def _may_list(path: Path) -> bool:
    """Return whether a file, by its beginning, may annotate many pictures."""
    kind = path.suffix.lower()
    if kind not in (".json", ".xml", ".csv"):
        return False
    first = beginning(path)
    if kind == ".csv":
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


# --- which picture is meant -----------------------------------------------------------------------------------------


class _Level:
    """Images as seen from the folder `base`, their own or one above it, and the files there that may annotate them.

    prefix: the path from `base` to the images' folder. beside: the other folders between the two. Images have the
    prefix in what is private here, and not elsewhere.
    """

    def __init__(self, base: Path, images: Sequence[str], prefix: str, files: Sequence[str], beside: Sequence[Path]):
        self.base, self.files = base, [name for name in files if _suffix(name) in _BYTES]
        self._prefix, self._up, self._beside = prefix, prefix.count("/"), beside
        self._images, self.count = [prefix + name for name in images], len(images)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return _grouped(self._images, _stem)

    @cached_property
    def _by_file(self) -> dict[str, list[str]]:
        return _grouped(self._images, lambda image: image.rpartition("/")[2])

    @cached_property
    def _holding(self) -> set[str]:
        return set(map(_folder, self._images))

    @cached_property
    def _above(self) -> set[str]:
        """The folders that hold images at any depth, each with a slash behind it."""
        return {"".join(parts) for folder in self._holding for parts in _beginnings(folder)}

    @cached_property
    def classes(self) -> dict[int, str]:
        """The names of YOLO's classes; none where no file says them."""
        try:
            return classes_of((self.base, *self.base.resolve().parents[:2]))
        except SourceError:
            return {}

    def shown(self, name: str) -> str:
        """Return what messages call a file: its path from the images' folder."""
        return "../" * self._up + name

    def own(self, name: str) -> str | None:
        """Return the image that a file is called like, in its folder or one beside; None where that is not sure."""
        if _suffix(name) == ".csv" or (self._up and not _folder(name)):
            return None
        alike = self._by_stem.get(_stem(name), [])
        if _folder(name) in self._holding:
            fits = [image for image in alike if _folder(image) == _folder(name)]
        else:
            fits = [image for image in alike if _place(image) == _place(name)]
        if not fits and _folder(name) not in self._holding and self._up < 2 and len(alike) <= _ALIKE:
            near = [(nearness(name, image), image) for image in alike if not _is_in_normal(image)]
            fits = [image for how, image in near if how and how == max(near)[0] and not self._is_beside(image)]
        return fits[0].removeprefix(self._prefix) if len(fits) == 1 else None

    def named(self, called: str, by: str) -> str | None:
        """Return the image that a file `by` calls so, None where there is none.

        Raises SourceError where it may be another.
        """
        called = called.replace("\\", "/")
        file, said = called.rpartition("/")[2], _place(called)[:-1]
        alike = self._by_file.get(file) or self._by_file.get(UPLOADED.sub("", file, count=1), [])
        if not alike and not _suffix(file):
            alike = self._by_stem.get(file.casefold(), [])
        below = f"{_folder(by)}/".lstrip("/")
        if below in self._above:  # it speaks of these
            alike = [image for image in alike if image.startswith(below)]
        fits = [image for image in alike if _agree(said, _place(image)[:-1]) and not _is_of_other_split(by, image)]
        hinted = [image for image in fits if _words(_stem(by)) & _words(_folder(image))]
        if not fits:
            return None
        if len(hinted or fits) > 1 or not (hinted or said or not self._is_beside(fits[0])):
            raise SourceError(f"{called} in {self.shown(by)} may be several pictures")
        return (hinted or fits)[0].removeprefix(self._prefix)

    def _is_beside(self, image: str) -> bool:
        """Return whether another folder holds a picture of the same name, so that it may be meant."""
        return any((folder / image.removeprefix(self._prefix)).exists() for folder in self._beside)


def _levels(root: Path, images: Sequence[str], others: Sequence[str]) -> Iterator[_Level]:
    """Yield the folder of the pictures, and the two above it."""
    yield _Level(root, images, "", others, ())
    place = root.resolve()
    below, beside = place, list[Path]()
    for base in place.parents[:2]:
        try:
            with os.scandir(base) as entries:
                found = sorted(islice(entries, _ENTRIES + 1), key=lambda entry: os.fsencode(entry.name))
            folders = [Path(entry.path) for entry in found if entry.is_dir() and entry.name != below.name]
        except OSError:
            return
        if len(found) > _ENTRIES:
            return
        files = [entry.name for entry in found if not entry.name.startswith(".") and _suffix(entry.name) != ".txt"]
        for folder in folders:
            if folder.name.lower() in PERHAPS_MASK_NAMES:
                files += _others(folder)
            elif folder.name.lower() not in MASK_NAMES:
                beside.append(folder)
        yield _Level(base, images, f"{place.relative_to(base).as_posix()}/", files, list(beside))
        below = base


def _others(folder: Path) -> list[str]:
    try:
        return tree_of(folder).below(folder.name).others
    except UsageError:
        return []


_place = lru_cache(maxsize=1 << 16)(place_of)


def _agree(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether the shorter of two paths is the end of the longer."""
    return all(a == b for a, b in zip(reversed(one), reversed(other), strict=False))


def _is_of_other_split(by: str, image: str) -> bool:
    """Return whether a file is called like a split, as instances_val.json, and an image's folders like another."""
    one, other = (set(_SPLITS.findall(text)) for text in (_stem(by), _folder(image).lower()))
    return bool(one and other and not one & other)


def _is_in_normal(image: str) -> bool:
    return any(says_normal(part) for part in PurePosixPath(image).parts[:-1])


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _grouped(names: Sequence[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return groups


def _beginnings(folder: str) -> Iterator[list[str]]:
    """Yield the parts of a folder's path and of those above it, each with a slash behind it."""
    parts = [f"{part}/" for part in folder.split("/") if part]
    return (parts[:count] for count in range(len(parts) + 1))


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.casefold()


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
