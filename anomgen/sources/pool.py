"""The pool: the images of a source, cached within a bound, with the foreground of each."""

from __future__ import annotations

import weakref
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from anomgen.sources.base import Source
from anomgen.sources.cache import bounded

if TYPE_CHECKING:
    from anomgen.sources.foreground import Foreground


DEFAULT_CACHE_BYTES = 1 << 30
"""Decoded images that a run keeps in memory, all workers together."""


class _Kept(NamedTuple):
    """An image and its foreground, which live and go together."""

    image: np.ndarray
    is_segmented: bool = False
    foreground: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        return self.image.nbytes + (0 if self.foreground is None else self.foreground.nbytes)


class Pool(Sequence[np.ndarray]):
    """A source with a cache of bounded size and, where wanted, the foreground of each image.

    The same image is the same array for as long as anybody holds it, so generators can tell a donor from the image
    itself by identity, and `foreground(image)` knows which image it is asked about.
    """

    def __init__(self, source: Source, foreground: Foreground | None = None, cache_bytes: int = DEFAULT_CACHE_BYTES):
        self.source = source
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
        if image is None:
            image = self.source[index]
            self._alive[index] = image
            self._index_of[id(image)] = index
        self._kept[index] = _Kept(image)
        return image

    def foreground(self, image: np.ndarray) -> np.ndarray | None:
        """Return the foreground, bool (H, W), of an image; None where the whole image is foreground."""
        if self._foreground is None:
            return None
        index = self._index_of.get(id(image))
        if index is None or self._alive.get(index) is not image:
            return self._foreground.mask(image, None)
        kept = self._kept.get(index, _Kept(image))
        if not kept.is_segmented:
            mask = self._foreground.mask(image, self.source.id(index), getattr(self.source, "fit", "stretch"))
            kept = _Kept(image, True, mask)
            self._kept.pop(index, None)
            self._kept[index] = kept
        return kept.foreground
