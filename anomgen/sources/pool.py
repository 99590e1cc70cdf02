"""The pool: the images of a source, cached within a bound, with the foreground of each."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from anomgen.sources.base import Source

if TYPE_CHECKING:
    from anomgen.sources.foreground import Foreground


DEFAULT_CACHE_BYTES = 1 << 30
"""Decoded images that a run keeps in memory, all workers together."""


class Pool(Sequence[np.ndarray]):
    """A source with a cache of bounded size and, where wanted, the foreground of each image.

    The same image is the same array for as long as anybody holds it, so generators can tell a donor from the image
    itself by identity, and `foreground(image)` knows which image it is asked about.
    """

    def __init__(self, source: Source, foreground: Foreground | None = None, cache_bytes: int = DEFAULT_CACHE_BYTES):
        self.source = source
        self._foreground = foreground
        self._limit = cache_bytes
        self._used = 0
        self._images: OrderedDict[int, np.ndarray] = OrderedDict()
        self._masks: dict[int, np.ndarray | None] = {}
        self._alive: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
        self._index_of: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        image = self._images.get(index)
        if image is not None:
            self._images.move_to_end(index)
            return image
        image = self._alive.get(index)
        if image is None:
            image = self.source[index]
            self._alive[index] = image
            self._index_of[id(image)] = index
        self._keep(index, image)
        return image

    def foreground(self, image: np.ndarray) -> np.ndarray | None:
        """Return the foreground, bool (H, W), of an image; None where the whole image is foreground."""
        if self._foreground is None:
            return None
        index = self._index_of.get(id(image))
        if index is None or self._alive.get(index) is not image:
            return self._foreground.mask(image, None)
        if index in self._masks:
            return self._masks[index]
        mask = self._foreground.mask(image, self.source.id(index), getattr(self.source, "fit", "stretch"))
        if index in self._images:  # masks live and go with their images
            self._masks[index] = mask
            self._used += 0 if mask is None else mask.nbytes
        return mask

    def _keep(self, index: int, image: np.ndarray) -> None:
        self._images[index] = image
        self._used += image.nbytes
        while self._used > self._limit and len(self._images) > 1:
            old, evicted = self._images.popitem(last=False)
            mask = self._masks.pop(old, None)
            self._used -= evicted.nbytes + (0 if mask is None else mask.nbytes)
