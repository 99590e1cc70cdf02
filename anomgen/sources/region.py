"""The region of interest: pictures that say where anomalies may be, and where not, drawn on the images' files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np

from anomgen.errors import SourceError, UsageError
from anomgen.files import file_digest
from anomgen.sources.images import Fit, fit_image, read_bytes
from anomgen.sources.mask_files import read_mask
from anomgen.sources.scan import files_fingerprint

EXTENSIONS = (".png", ".bmp", ".tif", ".tiff", ".gif", ".webp")
"""Formats of masks; JPEG is left to photographs."""


def region_of(path: str, key: str, source_id: str | None, shape: tuple[int, int], fit: Fit) -> np.ndarray:
    """Return what a picture, or that of the image's name in a folder, marks: bool (H, W), read-only.

    key: the recipe's, for messages. shape: the image's, (height, width). fit: how it was brought to it. Raises
    UsageError and SourceError for pictures that are not there, that mark nothing, or are none.
    """
    file = _file_of(Path(path).expanduser(), path, key, source_id)
    about = file.stat()
    return _region(str(file), (about.st_mtime_ns, about.st_size), key, shape, fit)


def require_aspect(path: str, key: str, source_id: str | None, shape: tuple[int, int]) -> None:
    """Raise UsageError for a picture of another aspect than an image of `shape`, as far as whole pixels allow."""
    file = _file_of(Path(path).expanduser(), path, key, source_id)
    found = read_mask(read_bytes(file, file.name), f"{key}: {file.name}").shape
    scale = max(shape) / max(found)
    if any(abs(side * scale - end) > 1 for side, end in zip(found, shape, strict=True)):
        raise UsageError(
            f"{key}: {file.name} is {found[0]} × {found[1]} pixels (height × width), and the images are of another "
            f"aspect, {shape[0]} × {shape[1]}; draw it on one of the images"
        )


def region_digest(path: str, key: str) -> str:
    """Return a hash of the picture, or of the pictures in the folder."""
    place = Path(path).expanduser()
    if place.is_dir():
        files = [file for file in place.rglob("*") if file.suffix.lower() in EXTENSIONS and file.is_file()]
        return files_fingerprint(place, sorted(file.relative_to(place).as_posix() for file in files))
    return file_digest(read_bytes(_file_of(place, path, key, None), path))


def _file_of(place: Path, path: str, key: str, source_id: str | None) -> Path:
    if place.is_file():
        return place
    if not place.is_dir():
        raise UsageError(
            f"{key}: {path}: there is no such picture, and no folder of pictures; say where with --set {key}=PATH"
        )
    if source_id is None:
        raise UsageError(
            f"{key}: a folder has pictures of the source's images only; for others give one picture for all"
        )
    image = place / PurePosixPath(source_id)
    files = [image.with_name(name + end) for name in (image.stem, f"{image.stem}_mask") for end in EXTENSIONS]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise SourceError(f"{key}: {path} holds no picture for {source_id}, such as {files[0].relative_to(place)}")
    return found


@lru_cache(maxsize=64)
def _region(file: str, _: tuple[int, int], key: str, shape: tuple[int, int], fit: Fit) -> np.ndarray:
    name = Path(file).name
    marked = read_mask(read_bytes(Path(file), name), f"{key}: {name}")
    if not marked.any():
        raise UsageError(f"{key}: {name} marks nothing, it is black all over; paint it white where it says something")
    levels = np.asarray(marked, dtype=np.uint8)[..., None] * np.uint8(255)
    region: np.ndarray = fit_image(levels, shape, fit, name)[..., 0] > 127
    region.flags.writeable = False
    return region
