"""The pool: the images of a source, cached within a bound, with the foreground of each."""

from __future__ import annotations

import weakref
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from anomgen.sources.base import Source
from anomgen.sources.cache import bounded
from anomgen.sources.value_range import ValueRange, stretched

if TYPE_CHECKING:
    from anomgen.sources.foreground import Foreground


DEFAULT_CACHE_BYTES = 1 << 30
"""Decoded images that a run keeps in memory, all workers together."""


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

    def __init__(self, source: Source, foreground: Foreground | None = None, cache_bytes: int = DEFAULT_CACHE_BYTES):
        self.source = source
        self.value_range: ValueRange | None = getattr(source, "value_range", None)
        self._foreground = foreground
        self._kept: MutableMapping[int, _Kept] = bounded(cache_bytes, lambda kept: kept.nbytes)
        self._alive: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
        self._index_of: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        kept = self._kept.get(index)
        if kept is not None:
            return kept.image
        image = self._alive.get(index)
        stored = self.source[index] if image is None or self.value_range else image
        if image is None:
            image = stretched(stored, self.value_range)
            image.flags.writeable = False
            self._alive[index] = image
            self._index_of[id(image)] = index
        self._kept[index] = _Kept(image, stored)
        return image

    def stored(self, index: int) -> np.ndarray:
        """Return an image as the source has it, before it is stretched."""
        if self.value_range is None:
            return self[index]
        kept = self._kept.get(index)
        return self.source[index] if kept is None else kept.stored

    def foreground(self, image: np.ndarray) -> np.ndarray | None:
        """Return the foreground, bool (H, W), of an image; None where the whole image is foreground."""
        if self._foreground is None:
            return None
        index = self._index_of.get(id(image))
        if index is None or self._alive.get(index) is not image:
            return self._foreground.mask(image, None)
        kept = self._kept.get(index) or _Kept(image, self.stored(index))
        if not kept.is_segmented:
            mask = self._foreground.mask(image, self.source.id(index), getattr(self.source, "fit", "stretch"))
            kept = kept._replace(is_segmented=True, foreground=mask)
            self._kept.pop(index, None)
            self._kept[index] = kept
        return kept.foreground
