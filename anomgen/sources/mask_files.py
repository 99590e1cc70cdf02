"""Reading mask files: which pixels are marked, whatever tool and format they were drawn with."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from anomgen.errors import SourceError
from anomgen.sources.images import open_header, quiet, upright

_JPEG = b"\xff\xd8\xff"
_HALF_LOSSY = 127  # of 8 bits, which is all that the lossy formats have
_NEAR = 24
"""How far from black and from white the losses of JPEG and WebP leave most pixels of a mask."""
_MOST_VALUES = 32
"""Different values in a channel of a mask; anything drawn by a camera has more."""
_MOST_COLOURS = 256
"""Different colours in a mask of classes or of instances; a photograph has more."""


def read_mask(data: bytes, name: str) -> np.ndarray:
    """Return a mask file's contents as bool (H, W), upright: True where any colour is not zero, whatever it means.

    Alpha says nothing, unless it alone differs from pixel to pixel: then the mask was drawn in it. What is stored with
    losses, JPEG or WebP, has no exact zeros and is cut at half of its range. Raises SourceError, which calls the file
    `name`, when it is no image.
    """
    return _marked(_pixels(data, name), data)


def read_defect_mask(data: bytes, name: str) -> np.ndarray:
    """Return what `read_mask` does for a mask of a defect, of which there is less than of its surroundings.

    Raises SourceError also for a picture in the place of a mask, and for a mask of everything or of the surroundings.
    """
    pixels = _pixels(data, name)
    mask = _marked(pixels, data)
    advice = "a mask is black where the image is normal, and of another colour where the defect is"
    if not _is_lossy(data) and _is_picture(pixels):
        raise SourceError(f"{name}: is a picture, perhaps with the defect drawn over it, not a mask; {advice}")
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if mask.mean() > 0.5 and rim.mean() > 0.9:
        raise SourceError(f"{name}: marks {mask.mean():.0%} of the image and all of its rim, as if inverted; {advice}")
    return mask


def united_mask(files: Sequence[tuple[bytes, str]], shape: tuple[int, ...], image: str) -> np.ndarray:
    """Return what several mask files, contents and names, mark together on an image (H, W, …) called `image`.

    Raises SourceError as `read_defect_mask`, and for masks of another size.
    """
    masks = [read_defect_mask(data, name) for data, name in files]
    name, mask = files[0][1], masks[0]
    for other in masks[1:]:
        mask = mask | other if other.shape == mask.shape else other
    if mask.shape != shape[:2]:
        sides = " × ".join(map(str, mask.shape)), " × ".join(map(str, shape[:2]))
        raise SourceError(f"{name}: is {sides[0]} pixels, but its image {image} is {sides[1]}; draw it on the image")
    return mask


def looks_like_a_mask(data: bytes) -> bool:
    """Return whether a file holds few values, as masks do, or, stored with losses, hardly any but the two extremes."""
    try:
        pixels = _pixels(data, "")
    except SourceError:
        return False
    if _is_lossy(data):
        return bool((np.abs(pixels.astype(np.int16) - 127) > 127 - _NEAR).mean() > 0.98)
    return all(len(np.unique(pixels[..., channel])) <= _MOST_VALUES for channel in range(pixels.shape[2]))


def _pixels(data: bytes, name: str) -> np.ndarray:
    """Return what is stored, upright, (H, W, C) of any dtype. OpenCV reads most kinds, no GIF and no turned TIFF."""
    with quiet():
        try:
            image = open_header(data, name)
            if image.format in ("GIF", "TIFF"):
                stored = np.asarray(image.convert("RGBA") if image.mode == "P" else image)
                return np.atleast_3d(upright(stored, image))
        except Exception:  # not Pillow's, or damaged
            image = None
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if found is None:
        raise SourceError(f"{name}: cannot be read as an image")
    return np.atleast_3d(found if image is None else upright(found, image))


def _marked(pixels: np.ndarray, data: bytes) -> np.ndarray:
    limit = _HALF_LOSSY if _is_lossy(data) else 0
    if pixels.shape[2] in (2, 4):
        colours, alpha = pixels[..., :-1], pixels[..., -1]
        if (colours == colours[0, 0]).all() and (alpha != alpha[0, 0]).any():
            return np.asarray(alpha > limit)
        pixels = colours
    return np.asarray((pixels > limit).any(axis=2))


def _is_lossy(data: bytes) -> bool:
    """Return whether a file is a JPEG, or a WebP with a chunk of its lossy kind."""
    if data.startswith(_JPEG):
        return True
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return False
    start = 12
    while start + 8 <= len(data):
        if data[start : start + 4] == b"VP8 ":
            return True
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        start += 8 + size + size % 2
    return False


def _is_picture(pixels: np.ndarray) -> bool:
    """Return whether an image has colours, and more of them than a mask could mean."""
    if pixels.shape[2] < 3 or pixels.dtype != np.uint8:
        return False
    colours = pixels[..., :3].astype(np.uint32)
    if (colours == colours[..., :1]).all():
        return False
    return len(np.unique(colours @ np.array([1 << 16, 1 << 8, 1], np.uint32))) > _MOST_COLOURS
