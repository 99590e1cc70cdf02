"""Which values a source's images take: 16-bit files of a 12-bit camera or an X-ray detector fill little of their depth.

What is drawn is drawn in the whole depth: images are stretched to it on their way to generators, models and detectors,
and what they drew is put back among the values as they were stored. So a grey level means the same share of what a
source shows, whatever its sensor.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from anomgen.errors import SourceError
from anomgen.sources.pixels import value_max

OUTLIERS = 1e-4
"""Share of the pixels at either end that may be hot or dead ones: the automatic range leaves them out."""
FULL = 0.9
"""Share of the depth from which on a range is taken for the whole of it."""
STRAY = 0.005
"""Share of the pixels at either end that is left out, too, where it lies far from all others: hot pixels, markers …"""
MARKER = 0.05
"""… and of those of a single value, as a marker that was burned in has it, or a frame of zeros."""
FAR, REMOTE = 1, 16
"""A gap without any values, as a multiple of what the other pixels span, that is far; and how far is so in any case."""
MARGIN = 0.5
"""How far beyond a range, as a share of it, values may lie that are still drawn on."""


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
        changed = mask[..., None] & (drawn != self.stretched(stored))
        return np.where(changed, self.restored(drawn), stored)

    def near(self, stored: np.ndarray) -> np.ndarray | None:
        """Return where an image (H, W, C) may be drawn on, bool (H, W), None for everywhere.

        Not where it holds values far outside the range: markers and hot pixels stay what they are.
        """
        far = self._is_far(stored)
        return np.asarray(~far.any(axis=2)) if far.any() else None

    def _is_far(self, values: np.ndarray) -> np.ndarray:
        margin = MARGIN * (self.high - self.low)
        result: np.ndarray = (values < self.low - margin) | (values > self.high + margin)
        return result


@lru_cache(maxsize=4)
def _table(range: ValueRange, dtype: str) -> np.ndarray:
    top = value_max(np.dtype(dtype))
    values = (np.arange(top + 1) - range.low) * (top / (range.high - range.low))
    result: np.ndarray = np.rint(np.clip(values, 0, top)).astype(dtype)
    return result


def counted(image: np.ndarray, part: np.ndarray | None = None) -> np.ndarray | None:
    """Return how often each value occurs in a 16-bit image, (2, 65536) int: in all of it, and in what was measured.

    part: what was measured, bool (H, W); None for all. None for 8 bits, which all count.
    """
    if image.dtype == np.uint8:
        return None
    parts = (image, image if part is None else image[part])
    return np.stack([np.bincount(values.reshape(-1), minlength=value_max(image.dtype) + 1) for values in parts])


def measured(counts: np.ndarray | None) -> ValueRange | None:
    """Return the range of images in which the values occur as often as `counted` says; None for the whole depth.

    It leaves out `OUTLIERS` of the pixels at either end, and of those that lie far from all others up to `STRAY`, or
    `MARKER` of one value, of the depth's largest any number. A range of most of the depth, or of one value, is the
    whole.
    """
    if counts is None or not counts.any():
        return None
    low, high = _ends(_without_strays(counts[1]), OUTLIERS)
    return None if high <= low or high - low >= FULL * (counts.shape[1] - 1) else ValueRange(low, high)


def measured_of(counts: np.ndarray | None, where: str, advice: str) -> ValueRange | None:
    """Return what `measured` does of the images of a source, which messages call `where`.

    Raises SourceError, which ends in `advice`, where all pixels but those that `measured` leaves out have one value.
    """
    if counts is not None:
        low, high = _ends(_without_strays(counts[1]), OUTLIERS)
        if low == high:
            raise SourceError(
                f"{where}: (nearly) all pixels of the 16-bit images are {low}, so no range can be measured of them; "
                f"{advice}"
            )
    return measured(counts)


def _ends(counts: np.ndarray, share: float) -> tuple[int, int]:
    """Return the least and the greatest value when a share of the pixels is left out at either end."""
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])
    return int(np.argmax(below > share * below[-1])), len(counts) - 1 - int(np.argmax(above > share * below[-1]))


def _without_strays(counts: np.ndarray) -> np.ndarray:
    """Return the counts without values that few pixels have and that lie far from all others, at either end."""
    if counts[-1]:  # where sensors saturate, or programs fill an area, nothing was measured
        counts = _without_marker(counts[::-1], 1)[::-1]
    for turned in (1, -1):  # the darkest first, and then the brightest
        counts = _without_marker(counts[::turned], MARKER)[::turned]
    low, high = _ends(counts, STRAY)
    return _cut(_cut(counts, high, high - low)[::-1], len(counts) - 1 - low, high - low)[::-1]


def _without_marker(counts: np.ndarray, share: float) -> np.ndarray:
    """Return the counts without the first value that occurs, where a share at most has it and no other is near."""
    first = int(np.argmax(counts > 0))
    others = counts.copy()
    others[first] = 0
    low, high = _ends(others, STRAY)
    return others if counts[first] <= share * counts.sum() and low - first > FAR * (high - low) > 0 else counts


def _cut(counts: np.ndarray, high: int, span: int) -> np.ndarray:
    """Return the counts without the values above the first wide gap beyond `high`, and without all that are remote."""
    values = high + np.flatnonzero(counts[high:])
    gaps = np.flatnonzero(np.diff(values) > FAR * span)
    last = values[gaps[0]] if len(gaps) else high + REMOTE * span
    return counts if span == 0 else np.where(np.arange(len(counts)) > last, 0, counts)


def told(range: ValueRange | None, counts: np.ndarray) -> str:
    """Return a sentence on the range of 16-bit images in which the values occur as often as `counted` says."""
    counts = counts[0]
    low, high = range or (0, len(counts) - 1)
    text = f"16 bits: values from {low} to {high} are taken for black to white (source.range)"
    values = np.flatnonzero(counts)
    far = np.array([], int) if range is None else values[range._is_far(values)]
    if not len(far):
        return text
    share = counts[far].sum() / counts.sum()
    many = "a few" if share < 1e-4 else f"{share:.2%} of the"
    ends = " and ".join(map(str, dict.fromkeys((far[0], far[-1]))))
    return f"{text}; {many} pixels lie far outside, such as {ends}, and are left as they are"


def range_hint(range: ValueRange | None, dtype: np.dtype) -> str:
    """Return what to look at where 16-bit images take no anomaly, as the end of a sentence; nothing for 8 bits."""
    low, high = range or (0, value_max(dtype))
    text = f". Values from {low} to {high} are taken for black to white: where others are meant, give source.range"
    return text if dtype == np.uint16 else ""


def counted_on(images: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> np.ndarray | None:
    """Return how often each value occurs in several images of one dtype, each with its part; see `counted`."""
    total: np.ndarray | None = None
    for image, part in images:
        counts = counted(image, part)
        if counts is not None:
            total = counts if total is None else total + counts
    return total


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


_END = {"type": "integer", "minimum": 0, "maximum": 65535}
_SCHEMA = {"anyOf": [{"const": "auto"}, {"type": "array", "items": _END, "minItems": 2, "maxItems": 2}]}
RangeField = Annotated[tuple[int, int] | str, BeforeValidator(_pair), WithJsonSchema(_SCHEMA)]
"""``auto``, or [low, high]."""
