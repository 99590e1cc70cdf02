"""The region of interest: pictures that say where anomalies may be, and where not, drawn on the images' files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np

from anomgen.errors import SourceError, UsageError, tell
from anomgen.places import home
from anomgen.sources.images import Fit, fit_image
from anomgen.sources.mask_files import drawn_picture, read_object_mask, stored_size
from anomgen.sources.orientation import Drawn, Turn, drawn_notes
from anomgen.sources.pixels import is_alike
from anomgen.sources.scan import KnownFiles
from anomgen.sources.tree import JPEGS, image_files, listed_problems

EXTENSIONS = (".png", ".bmp", ".tif", ".tiff", ".gif", ".webp")
"""Formats of masks; JPEG is left to photographs, which may lie beside them."""


def region_of(path: str, key: str, source_id: str | None, shape: tuple[int, int], fit: Fit) -> np.ndarray:
    """Return what a picture, or that of the image's name in a folder, marks: bool (H, W), read-only.

    key: the recipe's, for messages. shape: the image's, (height, width). fit: how it was brought to it. Raises
    UsageError and SourceError for pictures that are not there, that mark nothing, or are none.
    """
    return _region(*_file_of(home(path), path, key, source_id), key, shape, fit)


def forget() -> None:
    """Drop what was read of drawn pictures: they may have changed since."""
    _known.cache_clear()
    _region.cache_clear()


def read_drawn(folder: str, name: str, called: str) -> np.ndarray:
    """Return what a picture below a folder marks, bool (H, W) of its own size.

    Raises SourceError, which calls it `called`, for one that cannot be read, has changed since it was first read, or is
    a photograph.
    """
    return read_object_mask(_known(folder).read(name, called), called)


def file_for(folder: Path, source_id: str) -> str | None:
    """Return which picture in a folder is drawn for an image, ``NAME.png`` or ``NAME_mask.png``; None for none."""
    return _named_as(folder, source_id, EXTENSIONS)


def advice_on_jpeg(folder: Path, source_id: str) -> str:
    """Return what to do about a JPEG where `file_for` finds no picture, as a part of a message; nothing without one."""
    name = _named_as(folder, source_id, sorted(JPEGS))
    return f"; {name} is not taken, as it may be the photograph: save masks as PNG" if name else ""


def _named_as(folder: Path, source_id: str, extensions: Sequence[str]) -> str | None:
    image = PurePosixPath(source_id)
    for stem in (image.stem, f"{image.stem}_mask"):
        for extension in (*extensions, *(known.upper() for known in extensions)):
            name = image.with_name(stem + extension)
            if (folder / name).is_file():
                return name.as_posix()
    return None


def require_aspects(folder: str, files: Mapping[str, str], sizes: Mapping[str, Sequence[tuple[int, ...]]]) -> None:
    """Raise SourceError for masks in a folder of another aspect than their images, as far as whole pixels allow.

    files: the mask of each image. sizes: (height, width) of an image's file, and others that its mask may have as well.
    """
    problems = []
    for done, (source_id, file) in enumerate(files.items()):
        tell(done, len(files), "looking at the masks")
        shapes, called = sizes.get(source_id, ()), f"{PurePosixPath(file).name}, the mask of {source_id}"
        data = _known(folder).read(file, called)
        if not shapes or _is_like_any(stored_size(data, called), shapes):
            continue
        found = read_object_mask(data, called).shape
        if not _is_like_any(found, shapes):
            sides = (" × ".join(map(str, shape)) for shape in (found, shapes[0]))
            problems.append("{}: is {} pixels, the image {}".format(called, *sides))
    if problems:
        raise SourceError(
            f"foreground: {len(problems)} of {len(files)} masks are of another aspect than their images (height × "
            f"width); draw them on the images:\n{listed_problems(problems)}"
        )


def _is_like_any(shape: tuple[int, ...], others: Sequence[tuple[int, ...]]) -> bool:
    return any(is_alike(shape, other) or is_alike(other, shape) for other in others)


def require_aspect(path: str, key: str, source_id: str | None, shape: tuple[int, int]) -> None:
    """Raise UsageError for a picture of another aspect than an image of `shape`, as far as whole pixels allow."""
    folder, name = _file_of(home(path), path, key, source_id)
    found = read_drawn(folder, name, f"{key}: {PurePosixPath(name).name}").shape
    if not is_alike(found, shape):
        raise UsageError(
            f"{key}: {PurePosixPath(name).name} is {found[0]} × {found[1]} pixels (height × width), and the images are "
            f"of another aspect, {shape[0]} × {shape[1]}; draw it on one of the images"
        )


def orientation_notes(path: str, key: str, turns: Mapping[str, Turn]) -> tuple[str, ...]:
    """Return a note on pictures of which nobody can tell whether EXIF turns them as it does their images.

    turns: of the images that it turns, by their ids. Raises SourceError for one that was drawn on what is stored.
    """
    drawn = []
    for source_id, turn in turns.items():
        folder, name = _file_of(home(path), path, key, source_id)
        called = f"{key}: {PurePosixPath(name).name}"
        drawn.append((source_id, drawn_picture(_known(folder).read(name, called), called, turn)))
        if drawn[-1][1] is Drawn.STORED:
            raise SourceError(
                f"{called}: was, by its size, drawn on {source_id} as it is stored, which EXIF turns; save it turned"
            )
    return tuple(f"{key}: {note}" for note in drawn_notes(drawn))


def region_digest(path: str, key: str) -> str:
    """Return a hash of the picture, or of the pictures in the folder."""
    place = home(path)
    if place.is_dir():
        files = [name for name in image_files(place) if PurePosixPath(name).suffix.lower() in EXTENSIONS]
        return _known(str(place)).fingerprint(files)
    folder, name = _file_of(place, path, key, None)
    return _known(folder).digest(name)


def _file_of(place: Path, path: str, key: str, source_id: str | None) -> tuple[str, str]:
    """Return the folder and the name of the picture for an image."""
    if place.is_file():
        return str(place.parent), place.name
    if not place.is_dir():
        raise UsageError(
            f"{key}: {path}: there is no such picture, and no folder of pictures; say where with --set {key}=PATH"
        )
    if source_id is None:
        raise UsageError(
            f"{key}: a folder has pictures of the source's images only; for others give one picture for all"
        )
    name = file_for(place, source_id)
    if name is None:
        wanted = PurePosixPath(source_id).with_suffix(EXTENSIONS[0])
        raise SourceError(f"{key}: {path} holds no picture for {source_id}, such as {wanted}")
    return str(place), name


@lru_cache(maxsize=8)
def _known(folder: str) -> KnownFiles:
    return KnownFiles(Path(folder))


@lru_cache(maxsize=64)
def _region(folder: str, file: str, key: str, shape: tuple[int, int], fit: Fit) -> np.ndarray:
    name = PurePosixPath(file).name
    marked = read_drawn(folder, file, f"{key}: {name}")
    if not marked.any():
        raise UsageError(f"{key}: {name} marks nothing, it is black all over; paint it white where it says something")
    levels = np.asarray(marked, dtype=np.uint8)[..., None] * np.uint8(255)
    region: np.ndarray = fit_image(levels, shape, fit, name)[..., 0] > 127
    region.flags.writeable = False
    return region
