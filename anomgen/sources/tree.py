"""What lies below a folder: pictures, masks among them, files of other kinds."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from anomgen.errors import UsageError
from anomgen.sources.mask_files import looks_like_a_mask

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
NORMAL_NAMES = frozenset({"good", "ok", "normal"})
MASK_NAMES = frozenset({"ground_truth", "groundtruth", "gt", "mask", "masks"})
"""Folders of masks."""
PERHAPS_MASK_NAMES = frozenset(
    {"label", "labels", "annotation", "annotations", "segmentation", "segmentations", "masks_perhaps"}
)
"""Folders of masks, where their files are called like images elsewhere; they may also be what is on the images."""
_PERHAPS_WORDS = MASK_NAMES | PERHAPS_MASK_NAMES | {"seg", "segmentationclass", "segmentationobject"}
"""Words of such folders' names: ``masks_png``, ``binary masks``, ``SegmentationClass``."""
PLAIN_NAMES = frozenset({"data", "images", "image", "imgs"})
"""Folders whose names say nothing."""

_NAMED = 5
_SURE = re.compile(r"(.+)[ ._-]\(?(?:masks?|gt|ground[ _-]?truth)\)?|(?:masks?|gt|ground[ _-]?truth)[ ._-](.+)")
_PERHAPS = re.compile(
    r"(.+)[ ._-]\(?(?:labels?|labelids|seg|segmentation|annotations?|anomal(?:y|ies)|defects?|binary)\)?"
    r"|(?:labels?|seg|masks?|gt)[ ._-]?(.+)"
)


class Tree(NamedTuple):
    """Files below a folder, as POSIX paths relative to it, sorted by their bytes. others: those that are not read."""

    pictures: list[str]
    others: list[str]

    def below(self, folder: str) -> Tree:
        """Return the same files as seen from the folder above, in which theirs is `folder`."""
        return Tree(*([f"{folder}/{name}" for name in names] for names in self))


def tree_of(root: Path) -> Tree:
    """Return the files below a folder.

    Hidden files and folders and ``__MACOSX`` are left out. Links are followed, but no folder is listed twice: links may
    go round in circles. Raises UsageError when a folder cannot be listed.
    """
    names = sorted(_walk(root), key=os.fsencode)
    pictures = [name for name in names if PurePosixPath(name).suffix.lower() in EXTENSIONS]
    known = set(pictures)
    return Tree(pictures, [name for name in names if name not in known])


def image_files(root: Path) -> list[str]:
    """Return the pictures of `tree_of` a folder."""
    return tree_of(root).pictures


def extensions_text() -> str:
    """Return the known extensions for a message."""
    return ", ".join(sorted(extension[1:] for extension in EXTENSIONS))


def _walk(root: Path) -> Iterator[str]:
    """Yield the files below a folder, those behind links to folders last."""
    seen: set[tuple[int, int]] = set()
    waiting: list[tuple[Path, str]] = [(root, "")]
    linked: list[tuple[Path, str]] = []
    while waiting or linked:
        folder, prefix = waiting.pop() if waiting else linked.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            raise _unlisted(folder, error) from error
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            path = folder / entry.name  # unlike the entry, it does not raise at a link to itself
            if path.is_dir():
                (linked if path.is_symlink() else waiting).append((path, f"{prefix}{entry.name}/"))
            elif path.is_file() or path.is_symlink():
                yield prefix + entry.name


def folders_in(root: Path) -> list[str]:
    """Return the names of the folders in a folder. Raises UsageError where it cannot be listed."""
    try:
        with os.scandir(root) as entries:  # which know files from folders; a link may lead to itself
            names = [entry.name for entry in entries if entry.is_symlink() or entry.is_dir()]
    except OSError as error:
        raise _unlisted(root, error) from error
    return sorted(name for name in names if (root / name).is_dir())


def _unlisted(folder: Path, error: OSError) -> UsageError:
    return UsageError(f"{folder}: cannot be listed ({error.strerror or error})")


# --- which are masks ------------------------------------------------------------------------------------------------


def masks_among(pictures: Sequence[str], read: Callable[[str], bytes]) -> set[str]:
    """Return those pictures that are masks; `read` returns a file's contents.

    Masks are what lies in a folder of masks, and what is called like an image beside it with an ending (``_mask``,
    ``_GT``) or a beginning that says so. What is only perhaps called so (``_label``, the same name with another
    extension, a folder ``Label``) must also look like a mask.
    """
    images_at = _by_place(pictures)
    beside = {_full_stem(name) for name in pictures}
    alike: dict[str, list[str]] = defaultdict(list)
    for name in pictures:
        alike[_full_stem(name)].append(name)

    def is_mask(name: str) -> bool:
        if folders_of(name) & MASK_NAMES or _has_image_beside(name, _SURE, beside):
            return True
        others = [other for other in alike[_full_stem(name)] if other != name]
        if folders_of(name) & PERHAPS_MASK_NAMES:
            others += [image for place in mask_places(name) for image in images_at.get(place, ()) if image != name]
        if _has_image_beside(name, _PERHAPS, beside):
            return looks_like_a_mask(read(name))
        return bool(others) and looks_like_a_mask(read(name)) and not all(map(looks_like_a_mask, map(read, others)))

    return {name for name in pictures if is_mask(name)}


def folders_of(name: str) -> set[str]:
    """Return the names of the folders that a file is in, in small letters; of masks, perhaps, as the sets above do."""
    return {folder_name(part) for part in PurePosixPath(name).parts[:-1]}


def folder_name(part: str) -> str:
    """Return a folder's name in small letters; of one of masks, perhaps, one that is in a set above."""
    name = re.sub(r"[ -]", "_", part.lower())
    if name in MASK_NAMES or name in PERHAPS_MASK_NAMES:
        return name
    return "masks_perhaps" if _PERHAPS_WORDS.intersection(name.split("_")) else part.lower()


def place_of(name: str) -> tuple[str, ...]:
    """Return the folders that say what an image or a mask shows, and its stem, in small letters."""
    file = PurePosixPath(name)
    silent = MASK_NAMES | PERHAPS_MASK_NAMES | PLAIN_NAMES
    folders = (part.casefold() for part in file.parts[:-1] if folder_name(part) not in silent)
    return (*folders, file.stem.casefold())


def mask_places(name: str) -> Iterator[tuple[str, ...]]:
    """Yield the places of the image that a mask may belong to, its own and that without what says that it is a mask."""
    *folders, stem = place_of(name)
    yield (*folders, stem)
    for said in (_SURE.fullmatch(stem), _PERHAPS.fullmatch(stem)):
        if said:
            yield (*folders, said[1] or said[2])


def _by_place(pictures: Sequence[str]) -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in pictures:
        if not folders_of(name) & (MASK_NAMES | PERHAPS_MASK_NAMES):
            found[place_of(name)].append(name)
    return found


def _full_stem(name: str) -> str:
    return name.rpartition(".")[0].casefold()


def _has_image_beside(name: str, ending: re.Pattern[str], stems: set[str]) -> bool:
    folder, slash, stem = _full_stem(name).rpartition("/")
    said = ending.fullmatch(stem)
    return bool(said) and f"{folder}{slash}{said[1] or said[2]}" in stems if said else False


# --- what to say of files that are not taken ------------------------------------------------------------------------


def left_out(names: Sequence[str], why: str) -> tuple[str, ...]:
    """Return a note that names files and says why they were left out; none where there are none."""
    if not names:
        return ()
    return (f"left out {len(names)} {'file' if len(names) == 1 else 'files'}, {why}: {listed(names)}",)


def listed(names: Sequence[str]) -> str:
    """Return the first few names of files for a message, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(name if name.isprintable() else ascii(name)[1:-1] for name in names[:_NAMED]) + more


def not_read(others: Sequence[str]) -> tuple[str, ...]:
    """Return a note that counts, by extension, files of kinds that are not read."""
    if not others:
        return ()
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no extension" for name in others)
    counts = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items(), key=lambda kind: (-kind[1], kind)))
    return left_out(others, f"of kinds that are not read ({counts})")
