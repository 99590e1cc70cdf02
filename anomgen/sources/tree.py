"""What lies below a folder: pictures, masks among them, files of other kinds."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from anomgen.errors import UsageError

JPEGS = frozenset({".jpg", ".jpeg", ".jpe", ".jif", ".jfif"})
EXTENSIONS = JPEGS | {".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
MASK_NAMES = frozenset({"ground_truth", "groundtruth", "gt", "mask", "masks"})
"""Folders of masks."""
PERHAPS_MASK_NAMES = frozenset(
    {"label", "labels", "lable", "annotation", "annotations", "segmentation", "segmentations", "masks_perhaps"}
)
"""Folders of masks, where their files are called like images elsewhere; they may also be what is on the images.

``lable`` is that of GC10-DET.
"""
_PERHAPS_WORDS = MASK_NAMES | PERHAPS_MASK_NAMES | {"seg", "segmentationclass", "segmentationobject"}
"""Words of such folders' names: ``masks_png``, ``binary masks``, ``SegmentationClass``."""
PLAIN_NAMES = frozenset({"data", "images", "image", "img", "imgs", "rgb"})
"""Folders whose names say nothing."""

_THUMBNAILS = "@eaDir"
"""The folder in which Synology's NAS draws thumbnails of the pictures beside it."""
_NAMED = 5
_ANNOTATING = frozenset({".json", ".jsonl", ".xml", ".csv", ".tsv", ".txt"})
_ANNOTATED = re.compile(r"annot|label|coco|defect|anomal|ground.?truth|(?:^|_)gt(?:_|$)", re.IGNORECASE)
"""How files are called that may say what is on images."""
_SURE = re.compile(r"(.+)[ ._-]\(?(?:masks?|gt|ground[ _-]?truth)\)?|(?:masks?|gt|ground[ _-]?truth)[ ._-](.+)")
_PERHAPS = re.compile(
    r"(.+)[ ._-]\(?(?:labels?|labelids|seg|segmentation|annotations?|anomal(?:y|ies)|defects?|binary)\)?"
    r"|(?:labels?|segmentations?|seg|masks?|gt)[ ._-]?(.+)"
)
_SURE_ENDING = re.compile(r"masks?|msk|label[ ._-]?viz|(?<![a-z])gt(?![a-z])|ground[ _-]?truth")
_PERHAPS_ENDING = re.compile(r"label|seg|anno|anomal|defect|binary|instance|matte|alpha|(?<![a-z])(?:roi|bw)(?![a-z])")
"""What says that a file is a mask, in what its stem has beyond that of an image."""
_MADE_WORD = re.compile(
    r"overla(?:ys?|id)|vi[sz]|visuali[sz]\w*|depths?|disparity|normals|heatmaps?|saliency|pred(?:s|ict\w*)?|recon\w*"
    r"|contours?|outlines?|bbox(?:es)?|annot\w*|anomal\w*|defects?|segm(?:entation)?s?|semantic|instances?"
    r"|heat|maps?|colou?r"
)
"""What says there, if all words do, that a file was drawn over an image, or computed from it."""
_MADE_FOLDER = re.compile(
    r"(?:xyz|depth|disparity|heat[ _-]?map|overlay|saliency|point[ _-]?cloud|pred|prediction|visuali[sz]ation)s?"
)
"""How a folder of such files beside that of the images is called."""
_PARTING = re.compile(r"(?<=.)(?:(?<=\))|(?!\)))[ ._()-]+(?=.)")
"""What parts a stem; a bracket closes what is before it, as in ``benign (1)_mask_1``."""
_GLUED = re.compile(
    r"(.+?)((?:masks?|gt|labels?|seg)\d*)|(masks?|gt|labels?|segmentations?|seg|ground[ _-]?truth)[ ._-]?(.+)"
)

_PAIRED = re.compile(
    r"(?<![a-z])(?:masks?|msk|gt|labels?|seg|segmentation|annotation|target|ground[ _-]?truth)(?![a-z])"
)
_PARTNERS = ("image", "img", "photo", "picture", "pic", "rgb", "input")
"""Words of an image's name where its mask's has one of those above: ``Image000`` and ``Mask000``."""


class Tree(NamedTuple):
    """Files below a folder, as POSIX paths relative to it, sorted by their bytes.

    others: those of kinds that are not read. hidden: pictures whose names begin with a dot, or whose folders' do, and a
    NAS's thumbnails.
    """

    pictures: list[str]
    others: list[str]
    hidden: list[str]

    def below(self, folder: str) -> Tree:
        """Return the same files as seen from the folder above, in which theirs is `folder`."""
        return Tree(*([f"{folder}/{name}" for name in names] for names in self))


def tree_of(root: Path) -> Tree:
    """Return the files below a folder.

    Hidden files and folders are left out, but for the names of pictures in them, and so are ``__MACOSX`` and
    ``@eaDir``. Links are followed, but no folder is listed twice: links may go round in circles. Raises UsageError when
    a folder cannot be listed.
    """
    names = sorted(_walk(root), key=os.fsencode)
    hidden = [name for name in names if "/." in f"/{name}" or _is_thumbnail(name)]
    known = set(hidden)
    pictures = [name for name in names if name not in known and PurePosixPath(name).suffix.lower() in EXTENSIONS]
    known.update(pictures)
    return Tree(pictures, [name for name in names if name not in known], hidden)


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
            path = folder / entry.name  # unlike the entry, it does not raise at a link to itself
            if entry.name in ("__MACOSX", _THUMBNAILS):
                yield from (f"{prefix}{name}" for name in _packed(path))
            elif entry.name.startswith("."):
                yield from (f"{prefix}{name}" for name in _hidden_pictures(path))
            elif path.is_dir():
                (linked if path.is_symlink() else waiting).append((path, f"{prefix}{entry.name}/"))
            else:  # a pipe of a picture's name, too: what reads it says that it is none
                yield prefix + entry.name


def _hidden_pictures(path: Path) -> list[str]:
    """Return the picture that is hidden at a path, or those in the folder that is; not those further below."""
    try:
        names = [f"{path.name}/{own.name}" for own in path.iterdir()] if path.is_dir() else [path.name]
    except OSError:
        return []
    return [name for name in names if PurePosixPath(name).suffix.lower() in EXTENSIONS]


def _packed(path: Path) -> list[str]:
    """Return what a Mac packs beside each picture, ``__MACOSX/bad/._0.png``, or a NAS draws of it, at any depth."""
    start = "" if path.name == _THUMBNAILS else "._"
    names = [Path(folder, name) for folder, _, files in os.walk(path) for name in files if name.startswith(start)]
    return [name.relative_to(path.parent).as_posix() for name in names if name.suffix.lower() in EXTENSIONS]


def _is_thumbnail(name: str) -> bool:
    return _THUMBNAILS in name.split("/")


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


# --- what names say --------------------------------------------------------------------------------------------------


def folders_of(name: str) -> set[str]:
    """Return the names of the folders that a file is in, in small letters; of masks, perhaps, as the sets above do."""
    return {folder_name(part) for part in PurePosixPath(name).parts[:-1]}


def are_beside(name: str, other: str) -> bool:
    """Return whether two files lie in one folder."""
    return name.rpartition("/")[0] == other.rpartition("/")[0]


def folder_name(part: str) -> str:
    """Return a folder's name in small letters; of one of masks, perhaps, one that is in a set above."""
    name = re.sub(r"[ -]", "_", part.lower())
    if name in MASK_NAMES or name in PERHAPS_MASK_NAMES:
        return name
    return "masks_perhaps" if _PERHAPS_WORDS.intersection(name.split("_")) else part.lower()


def says_mask(name: str, ending: str = "") -> str:
    """Return "sure" or "perhaps" where folders, a stem or an `ending` say that a file is a mask, "" elsewhere."""
    folders, stem = folders_of(name), PurePosixPath(name).stem.casefold()
    if folders & MASK_NAMES or _SURE.fullmatch(stem) or _SURE_ENDING.search(ending):
        return "sure"
    return "perhaps" if folders & PERHAPS_MASK_NAMES or _PERHAPS_ENDING.search(ending) else ""


def says_made(name: str, ending: str, image: str) -> bool:
    """Return whether a picture's name says that it was made from an image whose stem it has.

    ending: what its own stem has beyond that. The name of its folder says it, too, where the image's is beside it.
    """
    folder, other = PurePosixPath(name).parent, PurePosixPath(image).parent
    by_folder = folder.parent == other.parent and _is_made(folder.name) and not _is_made(other.name)
    words = re.findall(r"[^\W\d_]+", ending)
    return by_folder or (bool(words) and all(map(_MADE_WORD.fullmatch, words)))


def _is_made(folder: str) -> bool:
    return _MADE_FOLDER.fullmatch(folder.casefold()) is not None


def bases(stem: str) -> Iterator[tuple[str, str]]:
    """Yield the stems that an image may have whose mask has `stem`, in small letters, the longest first, and the rest.

    ``b0_mask_1`` may belong to ``b0_mask_1``, ``b0_mask`` and ``b0``; ``b0mask`` and ``gt_b0`` also to ``b0``, and
    ``b0_mask`` and ``mask0`` to ``b0_image`` and ``image0``.
    """
    yield from _with_partners(stem, "")
    for parting in reversed(list(_PARTING.finditer(stem))):
        yield from _with_partners(stem[: parting.start()], stem[parting.end() :])
    glued = _GLUED.fullmatch(stem)
    if glued:
        yield glued[1] or glued[4], glued[2] or glued[3]


def mask_bases(mask: str) -> Iterator[tuple[str, str]]:
    """Yield those `bases` of a mask's stem, and the rest, of which all of the rest says that it is a mask."""
    for base, ending in bases(place_of(mask)[-1]):
        if says_mask(mask) if not ending else _SURE_ENDING.match(ending) or _PERHAPS_ENDING.match(ending):
            yield base, ending


def beginnings(stem: str) -> Iterator[str]:
    """Yield a stem, and what is before each place at which it may be parted."""
    yield stem
    yield from (stem[: parting.start()] for parting in _PARTING.finditer(stem))


def _with_partners(stem: str, ending: str) -> Iterator[tuple[str, str]]:
    """Yield a stem, and those with a word of images where it has one of masks, which the ending then begins with."""
    yield stem, ending
    for word in _PAIRED.finditer(stem):
        said = f"{word[0]}_{ending}".rstrip("_")
        yield from ((stem[: word.start()] + partner + stem[word.end() :], said) for partner in _PARTNERS)


def nearness(mask: str, image: str) -> int:
    """Return how well a mask fits an image of the same stem by the folders that they are in, 0 for not at all.

    Best they are the same; else the mask's are the last ones of the image's, without the one that says that it holds
    masks; else, where none says so, without any one of them; else the two lie in folders side by side.
    """
    return _nearness(mask.rpartition("/")[0], image.rpartition("/")[0])


@lru_cache(maxsize=1 << 14)
def _nearness(mask: str, image: str) -> int:
    if mask == image:
        return 4
    below, above = place_of(f"{mask}/x")[:-1], place_of(f"{image}/x")[:-1]
    if _ends_with(above, below):
        return 3
    silent = folders_of(f"{mask}/x") & (MASK_NAMES | PERHAPS_MASK_NAMES)
    if not silent and any(_ends_with(above, place) for place in _shortened(below)):
        return 2
    beside = _shortened(above)
    return int(below in beside or (not silent and any(place in beside for place in _shortened(below))))


def _ends_with(place: tuple[str, ...], end: tuple[str, ...]) -> bool:
    return place[len(place) - len(end) :] == end


def _shortened(place: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return a place without each one of its folders."""
    return [place[:k] + place[k + 1 :] for k in range(len(place))]


def place_of(name: str) -> tuple[str, ...]:
    """Return the folders that say what an image or a mask shows, and its stem, in small letters."""
    file = PurePosixPath(name)
    silent = MASK_NAMES | PERHAPS_MASK_NAMES | PLAIN_NAMES
    folders = (part.casefold() for part in file.parts[:-1] if folder_name(part) not in silent)
    return (*folders, file.stem.casefold())


def mask_places(name: str) -> Iterator[tuple[str, ...]]:
    """Yield the places of the image that a mask may belong to, each once, and its own first.

    The others are those without what says that it is a mask.
    """
    *folders, stem = place_of(name)
    said = (_SURE.fullmatch(stem), _PERHAPS.fullmatch(stem))
    for place in dict.fromkeys((stem, *(match[1] or match[2] for match in said if match))):
        yield (*folders, place)


# --- what to say of files that are not taken ------------------------------------------------------------------------


def left_out(names: Sequence[str], why: str, what: str = "file") -> tuple[str, ...]:
    """Return a note that names files, or what else, and says why they were left out; none where there are none."""
    if not names:
        return ()
    return (f"left out {len(names)} {what if len(names) == 1 else f'{what}s'}, {why}: {listed(names)}",)


def listed(names: Sequence[str]) -> str:
    """Return the first few names of files for a message, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(name if name.isprintable() else ascii(name)[1:-1] for name in names[:_NAMED]) + more


def listed_problems(problems: Sequence[str]) -> str:
    """Return the first few of several problems for a message, one a line, and how many more there are."""
    more = [f"… and {len(problems) - _NAMED} more"] if len(problems) > _NAMED else []
    return "\n".join(f"  {problem}" for problem in [*problems[:_NAMED], *more])


def no_image(where: str, files: Tree, what: str = "image") -> UsageError:
    """Return the error for a folder that holds none of what is wanted, which says what it holds instead."""
    return UsageError("; ".join((f"{where}: holds no {what} ({extensions_text()})", *not_read(files))))


def not_read(files: Tree, licence: Collection[str] = ()) -> tuple[str, ...]:
    """Return notes that count hidden pictures and, by extension, files of kinds that are not read.

    licence: the files, as `Evidence.read` has them, that were read after all.
    """
    drawn = [name for name in files.hidden if _is_thumbnail(name)]
    dotted = [name for name in files.hidden if not _is_thumbnail(name)]
    hidden = (
        *left_out(dotted, "hidden by a dot in front of a name"),
        *left_out(drawn, f"thumbnails of a NAS in a folder {_THUMBNAILS}"),
    )
    others = [name for name in files.others if name not in licence]
    if not others:
        return hidden
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no extension" for name in others)
    counts = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items(), key=lambda kind: (-kind[1], kind)))
    return (*hidden, *left_out(others, f"of kinds that are not read ({counts})"))


def perhaps_annotated(files: Tree, damaged: Mapping[str, str]) -> tuple[str, ...]:
    """Return a note on files that may say which pictures are anomalous: called like one, or as annotations are.

    damaged: why files, these or others, cannot be read that should.
    """
    stems = {PurePosixPath(name).stem.casefold() for name in files.pictures}
    found = []
    for name in files.others:
        place = PurePosixPath(name)
        if (
            name not in damaged
            and place.suffix.lower() in _ANNOTATING
            and (place.stem.casefold() in stems or _ANNOTATED.search(place.stem))
        ):
            found.append(name)
    found += damaged
    if not found:
        return ()
    why = f" ({next(iter(damaged.values()))})" if damaged else ""
    count = f"{len(found)} {'file' if len(found) == 1 else 'files'}"
    return (
        f"{count}, not read, may say which images are anomalous: {listed(found)}{why}. Take these images out of the "
        "folder; `anomgen bank` reads COCO, YOLO, Labelme, Label Studio and run lengths",
    )
