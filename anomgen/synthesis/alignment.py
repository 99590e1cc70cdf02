"""Do pictures of a product lie alike? The nearest of several normal images, shifted onto another, and how well it fits.

Shifts are whole pixels, by phase correlation (Kuglin, Hines, "The phase correlation image alignment method", 1975):
turned or scaled products do not fit, and are told apart from those that do by what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from anomgen.sources.pixels import levels, to_channels

SIDE = 64
"""Pixels of the side at which the nearest image is looked for."""
FARTHEST = 0.15
"""Largest shift that is tried, a share of the side."""
ALIKE = 0.25
"""Images lie alike when the nearest other one differs by less than this share of their own standard deviation: .1 on
bottles seen from above, .36 on screws that lie anyhow, .48 on leaves, above 1 on surfaces."""
LOOKED_AT = 12


class Nearest(NamedTuple):
    """A normal image, shifted onto another."""

    number: int
    image: np.ndarray
    """float32 (H, W, C), grey levels of 255."""
    distance: float
    """Standard deviation of the difference, grey levels of 255, at a small size."""


class Normals:
    """Normal images of one shape, to be compared with."""

    def __init__(self, images: Sequence[np.ndarray]):
        self.images = tuple(images)
        self._small = [_small(image) for image in self.images]

    def nearest(self, image: np.ndarray, *, but: int | None = None) -> Nearest | None:
        """Return the image that differs least from `image`, (H, W, C), once it is shifted; None where there is none.

        but: the index of one that is left out. Only images of the same height and width are compared.
        """
        own = _small(image)
        best: tuple[float, int] | None = None
        for index, small in enumerate(self._small):
            if index == but or self.images[index].shape[:2] != image.shape[:2]:
                continue
            distance = float((own - _shifted(small, _shift(small, own))).std())
            if best is None or distance < best[0]:
                best = distance, index
        if best is None:
            return None
        found = levels(to_channels(self.images[best[1]], image.shape[2]))
        grey, other = (np.ascontiguousarray(values.mean(axis=2)) for values in (levels(image), found))
        moved = np.atleast_3d(_shifted(found, _shift(other, grey)))
        return Nearest(best[1], moved, round(best[0], 3))

    def disagreement(self) -> float:
        """Return how much an image differs from the nearest other one, over its own deviation: below `ALIKE` is alike.

        Infinite for a single image.
        """
        count = len(self.images)
        found = []
        for index in sorted({round(k) for k in np.linspace(0, count - 1, min(LOOKED_AT, count))}):
            nearest = self.nearest(self.images[index], but=index)
            if nearest is not None:
                found.append(nearest.distance / max(float(self._small[index].std()), 1.0))
        return round(float(np.median(found)), 3) if found else float("inf")


def _small(image: np.ndarray) -> np.ndarray:
    """Return an image in grey at a small size, float32 (h, w)."""
    scale = SIDE / float(np.sqrt(image.shape[0] * image.shape[1]))
    size = max(round(image.shape[1] * scale), 8), max(round(image.shape[0] * scale), 8)
    small: np.ndarray = cv2.resize(levels(image).mean(axis=2), size, interpolation=cv2.INTER_AREA)
    return small


def _shift(image: np.ndarray, onto: np.ndarray) -> tuple[int, int]:
    """Return by how many whole pixels, right and down, an image (H, W) is moved to lie on another."""
    height, width = image.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(image - image.mean(), onto - onto.mean(), window)
    right, down = round(x), round(y)
    if max(abs(right) / width, abs(down) / height) > FARTHEST:
        return 0, 0
    return right, down


def _shifted(image: np.ndarray, by: tuple[int, int]) -> np.ndarray:
    if by == (0, 0):
        return image
    matrix = np.array([[1, 0, by[0]], [0, 1, by[1]]], dtype=np.float32)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)
