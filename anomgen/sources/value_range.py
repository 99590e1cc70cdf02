"""Which values a source's images take: 16-bit files of a 12-bit camera or an X-ray detector fill little of their depth.

What is drawn is drawn in the whole depth: images are stretched to it on their way to generators, models and detectors,
and what they drew is put back among the values as they were stored. So a grey level means the same share of what a
source shows, whatever its sensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BeforeValidator

from anomgen.sources.pixels import value_max

OUTLIERS = 1e-4
"""Share of the pixels at either end that may be hot or dead ones: the automatic range leaves them out."""
FULL = 0.9
"""Share of the depth from which on a range is taken for the whole of it."""


class ValueRange(NamedTuple):
    """From the darkest to the brightest value that images of one depth show."""

    low: int
    high: int

    def stretched(self, image: np.ndarray) -> np.ndarray:
        """Return an image with `low` as 0, `high` as the largest value of its dtype, and what lies beyond cut off."""
        shown: np.ndarray = _table(self, image.dtype.name)[image]
        return shown

    def restored(self, stretched: np.ndarray) -> np.ndarray:
        """Undo `stretched`; exact for values of the range."""
        top = value_max(stretched.dtype)
        values = np.arange(top + 1) * ((self.high - self.low) / top) + self.low
        result: np.ndarray = np.rint(values).astype(stretched.dtype)[stretched]
        return result

    def drawn_on(self, stored: np.ndarray, drawn: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return `stored`, (H, W, C), with what was drawn on its stretched image inside the mask, bool (H, W)."""
        return np.where(mask[..., None], self.restored(drawn), stored)


@lru_cache(maxsize=4)
def _table(range: ValueRange, dtype: str) -> np.ndarray:
    top = value_max(np.dtype(dtype))
    values = (np.arange(top + 1) - range.low) * (top / (range.high - range.low))
    result: np.ndarray = np.rint(np.clip(values, 0, top)).astype(dtype)
    return result


def counted(image: np.ndarray) -> np.ndarray | None:
    """Return how often each value occurs in a 16-bit image, (65536,) int; None for 8 bits, which all count."""
    return None if image.dtype == np.uint8 else np.bincount(image.reshape(-1), minlength=value_max(image.dtype) + 1)


def measured(counts: np.ndarray | None) -> ValueRange | None:
    """Return the range of images in which the values occur as often as `counts` says; None for the whole depth.

    It leaves out `OUTLIERS` of the pixels at either end. A range of most of the depth, or of one value, is the whole.
    """
    if counts is None:
        return None
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])
    least = OUTLIERS * below[-1]
    low, high = int(np.argmax(below > least)), len(counts) - 1 - int(np.argmax(above > least))
    return None if high <= low or high - low >= FULL * (len(counts) - 1) else ValueRange(low, high)


def measured_on(images: Sequence[np.ndarray]) -> ValueRange | None:
    """Return the range of several images of one dtype; see `measured`."""
    total: np.ndarray | None = None
    for image in images:
        counts = counted(image)
        if counts is not None:
            total = counts if total is None else total + counts
    return measured(total)


def recorded_range(value: Any) -> ValueRange | None:
    """Return the range that a record holds, None for none and for what is no range."""
    try:
        return None if value is None or _pair(value) == "auto" else ValueRange(*value)
    except ValueError:
        return None


def stretched(image: np.ndarray, range: ValueRange | None) -> np.ndarray:
    """Return an image stretched to its depth; the image itself where it fills it."""
    return image if range is None else range.stretched(image)


def _pair(value: Any) -> Any:
    """Take a list, as YAML and JSON write a pair, for a tuple; refuse in one sentence what is no range."""
    if value == "auto":
        return value
    ends = list(value) if isinstance(value, list | tuple) else []
    if len(ends) != 2 or not all(type(end) is int for end in ends) or not 0 <= ends[0] < ends[1] <= 65535:
        raise ValueError("a range is auto, or [low, high] with 0 ≤ low < high ≤ 65535")
    return tuple(ends)


RangeField = Annotated[tuple[int, int] | str, BeforeValidator(_pair)]
"""``auto``, or [low, high]."""
