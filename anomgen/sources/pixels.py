"""An image's depth and channels: 8 or 16 bits, grey or RGB, and how one becomes the other."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from anomgen.errors import AnomgenError
from anomgen.files import file_digest

STRIP = 1 << 18
"""Values in a strip of an image."""


def value_max(dtype: np.dtype) -> int:
    """Return the largest value of an image's dtype: 255 or 65535."""
    return int(np.iinfo(dtype).max)


def strips(array: np.ndarray) -> Iterator[slice]:
    """Yield slices of an array's rows, about a million values each, for what is computed of every pixel alone.

    So of a large image what lies between, in floating point, takes little memory, and stays in the processor's cache.
    """
    step = max(STRIP * len(array) // max(array.size, 1), 1)
    for top in range(0, len(array), step):
        yield slice(top, top + step)


def levels(image: np.ndarray, white: float = 255.0) -> np.ndarray:
    """Return an image (H, W, C) as float32, black 0 and white `white`: by default in grey levels of 255."""
    values = image.astype(np.float32)
    factor = white / value_max(image.dtype)
    if factor != 1:
        values *= np.float32(factor)
    return values


def require_finite(values: np.ndarray) -> None:
    """Raise AnomgenError for what a generator drew where any of it is no finite number."""
    if not np.isfinite(values).all():
        raise AnomgenError(
            "what was drawn holds values that are no finite numbers: a damaged model drew it, or the generator errs"
        )


def quantise(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round float values to the nearest integer, halves to even, and clip to the range of `dtype`.

    Raises AnomgenError for what is not finite: it would become an arbitrary pixel.
    """
    require_finite(values)
    whole = np.rint(values)
    np.clip(whole, 0, value_max(dtype), out=whole)  # in place: of large images, making room takes longest
    result: np.ndarray = whole.astype(dtype)
    return result


def to_depth(image: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Return an image, uint8 or uint16, in the one or the other; the image itself where it is so already.

    8 bits times 257 are 16 bits, from black to white; of 16 bits the upper 8 are kept.
    """
    if image.dtype == dtype:
        return image
    return image.astype(np.uint16) * np.uint16(257) if dtype == np.uint16 else (image >> 8).astype(np.uint8)


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Return an image (H, W, C), C 1 or 3, with 1 or 3 channels; the image itself where it is so already.

    Grey becomes three equal channels, RGB its luminance (Rec. 601, as image files are made grey).
    """
    if image.shape[2] == channels:
        return image
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    return np.repeat(image, channels, axis=2)


def digest_of(image: np.ndarray) -> str:
    """Return a hash of the pixels of an image (H, W, C) that is the same when grey is stored as colour."""
    if image.shape[2] == 3 and (image == image[..., :1]).all():
        image = image[..., :1]
    head = f"{image.shape} {image.dtype}".encode()
    return file_digest(head + np.ascontiguousarray(image).tobytes())


def to_lab(image: np.ndarray) -> np.ndarray:
    """Return an image (H, W, C), 8 bits or float32 in [0, 1], in OpenCV's Lab; of grey the lightness alone.

    Lightness goes to 255 in 8 bits and to 100 in float32.
    """
    if image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_RGB2Lab)
    return image if image.dtype == np.uint8 else image * np.float32(100)


def is_alike(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Return whether two sizes have the same aspect, as far as whole pixels allow."""
    scale = max(after) / max(before)
    return all(abs(side * scale - end) <= 1 for side, end in zip(before, after, strict=True))
