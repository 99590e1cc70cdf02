"""The pool: the images of a source, cached within a bound, with the foreground of each."""

from __future__ import annotations

import weakref
from collections.abc import MutableMapping, Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from anomgen.errors import tell
from anomgen.sources.base import Source
from anomgen.sources.cache import bounded
from anomgen.sources.images import Fit
from anomgen.sources.pixels import value_max
from anomgen.sources.subset import Subset
from anomgen.sources.value_range import ValueRange, stretched

DEFAULT_CACHE_BYTES = 1 << 30
"""Decoded images that a run keeps in memory, all workers together."""


SMALL_SIDE = 256
"""Longer side, in pixels, of the images that something is measured on."""
LEAST_SIDE = 64
"""What is left of the shorter side of long strips, where they have so much."""
FLAT = 0.01
"""Standard deviation, as a share of the range of values, below which an image is of nearly one colour."""
LARGE_IMAGES = 16
"""How many of them are looked at where the images are larger."""


class ForegroundLike(Protocol):
    """What of `anomgen.sources.foreground.Foreground` a pool needs."""

    @property
    def drawn(self) -> bool:
        """Return whether pictures of the files have a part in it."""

    def mask(
        self, image: np.ndarray, source_id: str | None = None, fit: Fit = "stretch", opaque: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Return the object's pixels; opaque: where the image's file is, given to the method `alpha`."""

    def region(self, image: np.ndarray, source_id: str | None = None, fit: Fit = "stretch") -> np.ndarray | None:
        """Return where anomalies may be whatever shows there."""

    def without_region(self) -> ForegroundLike:
        """Return the same without that: what shows the object alone."""


class _Kept(NamedTuple):
    """An image, as the pool shows it and as it was stored, and its foreground, which live and go together."""

    image: np.ndarray
    stored: np.ndarray
    is_segmented: bool = False
    foreground: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        stored = 0 if self.stored is self.image else self.stored.nbytes
        return self.image.nbytes + stored + (0 if self.foreground is None else self.foreground.nbytes)


class Pool(Sequence[np.ndarray]):
    """A source with a cache of bounded size and, where wanted, the foreground of each image.

    The same image is the same array for as long as anybody holds it, so generators can tell a donor from the image
    itself by identity, and `foreground(image)` knows which image it is asked about. Images are stretched from the
    range of the source's values to their whole depth; `stored(index)` is the image as the source has it.
    """

    def __init__(
        self, source: Source, foreground: ForegroundLike | None = None, cache_bytes: int = DEFAULT_CACHE_BYTES
    ):
        self.source = source
        self.value_range: ValueRange | None = getattr(source, "value_range", None)
        self._foreground = foreground
        self._cache_bytes = cache_bytes
        self._kept: MutableMapping[int, _Kept] = bounded(cache_bytes, lambda kept: kept.nbytes)
        self._alive: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
        self._index_of: dict[int, int] = {}
        self._small: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        kept = self._kept.get(index)
        if kept is not None:
            return kept.image
        image = self._alive.get(index)
        return self._shown(index, self.source[index] if image is None or self.value_range else image)

    def _shown(self, index: int, stored: np.ndarray) -> np.ndarray:
        image = self._alive.get(index)
        if image is None:
            image = stretched(stored, self.value_range)
            image.flags.writeable = False
            self._alive[index] = image
            self._index_of[id(image)] = index
        self._kept[index] = _Kept(image, stored)
        return image

    def small(self, index: int) -> np.ndarray:
        """Return an image, shrunk where its longer side is above `SMALL_SIDE`; then the whole is not kept."""
        if index not in self._small:
            image = self._shrunk(index)
            if image is None:
                return self[index]
            self._small[index] = image
        return self._small[index]

    def _shrunk(self, index: int) -> np.ndarray | None:
        """Return an image shrunk, None for one that is small."""
        kept = self._kept.get(index)
        stored = self.source[index] if kept is None else kept.stored
        if is_small(stored):
            if kept is None:  # what is kept may know its foreground already
                self._shown(index, stored)
            return None
        image = stretched(made_small(stored), self.value_range)
        image.flags.writeable = False
        return image

    def small_foreground(self, index: int) -> np.ndarray | None:
        """Return the foreground, bool (H, W), of `small(index)`; a mask that was drawn elsewhere is shrunk."""
        image = self.small(index)
        return self._foreground_of_shrunk(index, image if index in self._small else None)

    def _foreground_of_shrunk(self, index: int, image: np.ndarray | None) -> np.ndarray | None:
        if self._foreground is None:
            return None
        if image is not None and not self._foreground.drawn:
            return self._foreground.mask(image)
        mask = self.foreground(self[index])
        return mask if mask is None or image is None else made_small(mask)

    def object_area(self, index: int) -> float:
        """Return the share of an image, seen small, that is foreground; nothing of it is kept."""
        mask = self._foreground_of_shrunk(index, self._shrunk(index))
        return 1.0 if mask is None else float(mask.mean())

    def with_foreground(self, foreground: ForegroundLike) -> Pool:
        """Return a pool of the same source with another foreground; what is shrunk already is not read again."""
        pool = Pool(self.source, foreground, self._cache_bytes)
        pool._small = self._small
        return pool

    def of_images(self, positions: Sequence[int]) -> Pool:
        """Return a pool of some of the images, with half of the memory."""
        return Pool(Subset(self.source, positions), self._foreground, self._cache_bytes // 2)

    def stored(self, index: int) -> np.ndarray:
        """Return an image as the source has it, before it is stretched."""
        if self.value_range is None:
            return self[index]
        kept = self._kept.get(index)
        return self.source[index] if kept is None else kept.stored

    def region(self, index: int) -> np.ndarray | None:
        """Return where anomalies may be on an image whatever shows there, bool (H, W); None: anywhere."""
        near = None if self.value_range is None else self.value_range.near(self.stored(index))
        if self._foreground is None or not self._foreground.drawn:
            return near
        fit: Fit = getattr(self.source, "fit", "stretch")
        return both(near, self._foreground.region(self[index], self.source.id(index), fit))

    @property
    def off_limits(self) -> str:
        """Return in words where `region` lets no anomaly be."""
        alone = None if self._foreground is None else self._foreground.without_region()
        return off_limits(has_region=alone is not self._foreground, has_range=self.value_range is not None)

    def object(self, index: int) -> np.ndarray | None:
        """Return the object of an image, bool (H, W), wherever on it anomalies may be; None: the whole image."""
        alone = None if self._foreground is None else self._foreground.without_region()
        if alone is None or alone is self._foreground:
            return self.foreground(self[index])
        return self._mask(self[index], index, alone)

    def _mask(self, image: np.ndarray, index: int, foreground: ForegroundLike) -> np.ndarray | None:
        """Return the foreground of an image of the source."""
        source_id = self.source.id(index)
        fit: Fit = getattr(self.source, "fit", "stretch")
        if getattr(foreground, "method", None) == "alpha" and hasattr(self.source, "opaque"):
            return foreground.mask(image, source_id, fit, self.source.opaque(index))
        return foreground.mask(image, source_id, fit)

    def foreground(self, image: np.ndarray) -> np.ndarray | None:
        """Return the foreground, bool (H, W), of an image; None where the whole image is foreground."""
        if self._foreground is None:
            return None
        index = self._index_of.get(id(image))
        if index is None or self._alive.get(index) is not image:
            return self._foreground.mask(image, None)
        kept = self._kept.get(index) or _Kept(image, self.stored(index))
        if not kept.is_segmented:
            mask = self._mask(image, index, self._foreground)
            kept = kept._replace(is_segmented=True, foreground=mask)
            self._kept.pop(index, None)
            self._kept[index] = kept
        return kept.foreground


def off_limits(*, has_region: bool, has_range: bool) -> str:
    """Return in words where no anomaly may be: beyond a region of interest, beyond a range of values, or both."""
    outside, on_values = "outside the region of interest", "on values far outside source.range"
    return " or ".join([outside] * (has_region or not has_range) + [on_values] * has_range)


def both(region: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    """Return where two regions, bool (H, W) or None for anywhere, overlap."""
    if region is None or other is None:
        return other if region is None else region
    overlap: np.ndarray = region & other
    return overlap


class SmallImages(Sequence[np.ndarray]):
    """Images of a pool to measure something on: evenly spaced, small ones as they are, larger ones fewer and shrunk.

    A pool itself: `foreground(image)` says which pixels, bool (H, W), count as the object. pool: one image at least.
    count: images at most.
    """

    def __init__(self, pool: Sequence[np.ndarray], count: int):
        self._images: list[np.ndarray] = []
        self._masks: list[np.ndarray | None] = []
        self._source: Source | None = getattr(pool, "source", None)
        first = _look(pool, 0)
        if first[2]:
            count = min(count, LARGE_IMAGES)
        self._picked = picked = sorted({round(k) for k in np.linspace(0, len(pool) - 1, count)})
        for done, index in enumerate(picked):
            tell(done, len(picked), "looking at the images")
            image, mask, _ = _look(pool, index) if index else first
            self._images.append(image)
            self._masks.append(mask)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        return self._images[index]

    def foreground(self, image: np.ndarray) -> np.ndarray | None:
        """Return the foreground of one of the images, None where all of it is foreground."""
        return next(mask for shown, mask in zip(self._images, self._masks, strict=True) if shown is image)

    @property
    def names(self) -> list[str]:
        """Return what the images are called in their source, else their numbers."""
        return [str(index) if self._source is None else self._source.id(index) for index in self._picked]

    def flat(self) -> list[str]:
        """Return what the images are called that have nearly one colour all over, in which nothing can be moved."""
        return [name for name, image in zip(self.names, self._images, strict=True) if _is_flat(image)]


def _is_flat(image: np.ndarray) -> bool:
    return bool((cv2.meanStdDev(image)[1] < FLAT * value_max(image.dtype)).all())


def _look(pool: Sequence[np.ndarray], index: int) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Return an image of at most `SMALL_SIDE`, its foreground, and whether the pool's is larger."""
    if isinstance(pool, Pool):
        return pool.small(index), pool.small_foreground(index), index in pool._small
    image = pool[index]
    foreground = getattr(pool, "foreground", None)
    mask = None if foreground is None else foreground(image)
    if is_small(image):
        return image, mask, False
    return made_small(image), None if mask is None else made_small(mask), True


def is_small(array: np.ndarray) -> bool:
    """Return whether an image is measured as it is."""
    return _shrink(array) >= 1


def _shrink(array: np.ndarray) -> float:
    height, width = array.shape[:2]
    return float(max(SMALL_SIDE / max(height, width), min(LEAST_SIDE / min(height, width), 1.0)))


def made_small(array: np.ndarray) -> np.ndarray:
    """Return an image (H, W, C) or a mask, bool (H, W), shrunk; of a strip the shorter side stays `LEAST_SIDE`."""
    shrink = _shrink(array)
    size = max(round(array.shape[1] * shrink), 1), max(round(array.shape[0] * shrink), 1)
    if array.dtype == bool:
        return cv2.resize(array.view(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT).view(bool)
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], array.shape[2])
