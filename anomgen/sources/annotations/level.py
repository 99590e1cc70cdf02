"""Where annotations and masks lie, in the folder of the pictures and above it, and which picture a file means."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath
from random import Random

from anomgen.errors import SourceError, UsageError
from anomgen.sources.annotations.base import UPLOADED
from anomgen.sources.annotations.yolo import classes_of
from anomgen.sources.images import read_bytes
from anomgen.sources.mask_files import Look, look_of
from anomgen.sources.pairing import is_of_object, paired
from anomgen.sources.tree import (
    EXTENSIONS,
    MASK_NAMES,
    PERHAPS_MASK_NAMES,
    PLAIN_NAMES,
    Tree,
    folder_name,
    nearness,
    place_of,
    tree_of,
)
from anomgen.sources.verdicts import says_normal

SUFFIXES = frozenset({".txt", ".xml", ".json", ".jsonl", ".csv", ".tsv"})
"""The kinds of files that may be annotations."""
_NAMES = (
    MASK_NAMES
    | PERHAPS_MASK_NAMES
    | {"ann", "anno", "annos", "annot", "annots", "bbox", "bboxes", "boxes", "json", "xml", "xmls"}
)
"""Folders of annotations or of masks above the pictures'."""
_BY_A_WORD = "masks_perhaps"
"""What `folder_name` calls one of which a word among others says so."""
_TRUTH = re.compile(r"(?<![a-z])(?:gt|ground[ _-]?truth)", re.IGNORECASE)
"""How a folder is called that cannot be one of masks of the object."""
_OPENED = 16
"""Pictures of a folder that are looked at to see whether masks are in it, and folders that are looked into for that."""
_GLANCED = 64
"""Files of a folder among which those are looked for."""
_ENTRIES = 1000
"""Entries of a folder above the pictures' beyond which it is none of a data set."""
_ALIKE = 64
"""Pictures of one stem among which the nearest is looked for."""
_SPLITS = re.compile(r"(?<![a-z])(?:train|val|test)")


class Level:
    """Images as seen from the folder `base`, their own or one above it, and the files there that may annotate them.

    prefix: the path from `base` to the images' folder. beside: the other folders between the two. masks: the pictures
    in folders of masks, but for those that are called as the object's. Images have the prefix in what is private here,
    and not elsewhere.
    """

    def __init__(
        self,
        base: Path,
        images: Sequence[str],
        prefix: str,
        files: Sequence[str],
        beside: Sequence[Path] = (),
        masks: Sequence[Sequence[str]] = (),
    ):
        self.base, self.files, self.masks = base, [name for name in files if _suffix(name) in SUFFIXES], masks
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
        if _suffix(name) in (".csv", ".tsv", ".jsonl") or (self._up and not _folder(name)):
            return None
        alike = self._by_stem.get(_stem(name), [])
        if _folder(name) in self._holding:
            fits = [image for image in alike if _folder(image) == _folder(name)]
        else:
            fits = [image for image in alike if _place(image) == _place(name)]
        if not fits and _folder(name) not in self._holding and len(alike) <= _ALIKE:
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
        fits = [
            image for image in alike if _agree(said, _place(image)[:-1]) and not _is_of_other_split(_stem(by), image)
        ]
        hinted = [image for image in fits if _words(_stem(by)) & _words(_folder(image))]
        if not fits:
            return None
        if len(hinted or fits) > 1 or not (hinted or said or not self._is_beside(fits[0])):
            raise SourceError(f"{called} in {self.shown(by)} may be several pictures")
        return (hinted or fits)[0].removeprefix(self._prefix)

    def masked(self, masks: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
        """Return the masks of each image that has any among these, as `paired` does, and images that may not be meant.

        Raises SourceError as `paired` does.
        """
        near = [mask for mask in masks if not _is_of_other_split(_folder(mask), self._prefix)]
        masks_of, doubtful = dict[str, list[str]](), list[str]()
        for image, own in paired(self._images, near, self.shown(".").rstrip("/."), shared=True).items():
            name = image.removeprefix(self._prefix)
            if _telling_words(_folder(own[0])) & _telling_words(self._prefix) or not self._is_beside(image):
                masks_of[name] = own
            else:
                doubtful.append(name)
        return masks_of, doubtful

    def _is_beside(self, image: str) -> bool:
        """Return whether another folder holds a picture of the same name, so that it may be meant."""
        ends = [image.split("/", depth)[depth] for depth in range(1, self._up + 1)]
        return any((folder / end).exists() for folder in self._beside for end in ends)


def levels(root: Path, images: Sequence[str], others: Sequence[str]) -> Iterator[Level]:
    """Yield the folder `root` of the pictures, and the two above it."""
    yield Level(root, images, "", others)
    place = root.resolve()
    below, beside, stems = place, list[Path](), set(map(_stem, images))
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
        masks = list[list[str]]()
        for folder in folders:
            tree = _telling(folder, stems if below == place and len(folders) <= _OPENED else set())
            if tree is None:
                beside.append(folder)
            else:
                files += tree.others
                if tree.pictures and (is_of_defects(folder.name) or not is_of_object(folder.name)):
                    masks.append(tree.pictures)
        yield Level(base, images, f"{place.relative_to(base).as_posix()}/", files, list(beside), masks)
        below = base


def _telling(folder: Path, stems: Set[str]) -> Tree | None:
    """Return what lies below a folder that may hold annotations or masks, as seen from above it; None for another.

    Its name says so; where only a word of it does, no photographs lie there, as in a data set. Or it holds masks that
    have the `stems` of images.
    """
    name = folder_name(folder.name)
    if name not in _NAMES and not (stems and _holds_masks(folder, stems)):
        return None
    try:
        tree = tree_of(folder).below(folder.name)
    except UsageError:
        return None
    one_each = {_folder(picture): picture for picture in tree.pictures}.values()
    some = {*_some([*one_each]), *Random(0).sample(tree.pictures, min(len(tree.pictures), _OPENED))}
    is_data_set = name == _BY_A_WORD and any(_look(folder.parent / picture) is Look.PICTURE for picture in some)
    return None if is_data_set else tree


def is_of_defects(folder: str) -> bool:
    """Return whether a folder of masks is called a ground truth, or as defects are, so that none is of the object."""
    return _TRUTH.search(folder) is not None or says_normal(folder) is False


def _holds_masks(folder: Path, stems: Set[str]) -> bool:
    """Return whether the pictures of these stems among the first files of a folder look like masks."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _GLANCED)]
    except OSError:
        return False
    looks = set[Look]()
    for name in [name for name in names if _suffix(name) in EXTENSIONS and _stem(name) in stems][:_OPENED]:
        looks.add(_look(folder / name))
        if not looks <= {Look.MASK, Look.EMPTY}:
            return False
    return Look.MASK in looks


def _look(file: Path) -> Look:
    try:
        return look_of(read_bytes(file, file.name))
    except SourceError:
        return Look.PICTURE


def _some(names: Sequence[str]) -> Sequence[str]:
    return names[:: max(1, len(names) // _OPENED)][:_OPENED]


_place = lru_cache(maxsize=1 << 16)(place_of)


def _agree(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether the shorter of two paths is the end of the longer."""
    return all(a == b for a, b in zip(reversed(one), reversed(other), strict=False))


def _is_of_other_split(by: str, image: str) -> bool:
    """Return whether a file or folder is called like a split, as instances_val, and an image's folders like another."""
    one, other = (set(_SPLITS.findall(text.lower())) for text in (by, _folder(image)))
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
    """Return what a file is called, small letters, without its extension, or both, as of ``x.png.json``."""
    stem = PurePosixPath(name).stem.casefold()
    is_both = _suffix(name) == ".json" and PurePosixPath(stem).suffix in EXTENSIONS
    return PurePosixPath(stem).stem if is_both else stem


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def _telling_words(path: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", path.lower())) - PLAIN_NAMES - MASK_NAMES - PERHAPS_MASK_NAMES


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
