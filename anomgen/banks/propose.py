"""Proposing masks where nobody has drawn any: what differs from normal images more than these do from each other."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from anomgen.errors import UsageError
from anomgen.sources.images import fit_image
from anomgen.sources.pixels import levels, to_channels
from anomgen.synthesis.alignment import ALIKE, Normals
from anomgen.synthesis.detectability import Detectability
from anomgen.synthesis.sample import smallest_mask

SIDE = 256
"""Longer side at which differences are looked for."""
LEAST = 3
"""Normal images that are needed to tell what is usual."""
USED = 60
SMOOTH = 1.0
"""Deviation, in pixels at that size, of the blur over a difference."""
USUAL = 0.999
"""Quantile of the differences between normal images that a defect is above."""
GROWN = 0.5
"""A region is what is above this share of that, around a place that is above it."""
FAINTEST, STRONGEST = 0.5, 0.9
"""Where nothing is above the usual: the least peak, in its units, and the share of it, that count as above it."""
SIDELINE = 0.3
"""A region whose peak is below this share of the picture's highest is not proposed."""
SLACK = 5
"""Side, in pixels, of the square in which a pixel's like may lie on the normal image: edges never fit exactly."""
CORE = 0.35
"""Of a region that was found by its surroundings, too, what deviates by this share of its strongest deviation."""


class Proposer:
    """Proposes masks from normal images, (H, W, C) with a longer side of `SIDE`.

    Where the product lies alike in all of them, a picture is compared with the nearest one; elsewhere by how unusual
    its pixels are (`anomgen.synthesis.detectability`). Raises UsageError for fewer than three normal images.
    """

    def __init__(self, images: Sequence[np.ndarray]):
        if len(images) < LEAST:
            raise UsageError(
                f"--normal: {len(images)} normal images do not tell what is usual; give {LEAST} or more, or draw the "
                "masks and give them with --masks"
            )
        chosen = sorted({round(k) for k in np.linspace(0, len(images) - 1, min(USED, len(images)))})
        self._normals = Normals([images[k] for k in chosen])
        self.aligned = self._normals.disagreement() < ALIKE
        self._detectability = Detectability.fitted(self._normals.images, [None] * len(chosen))
        self._usual: np.ndarray | None = None
        maps = [self._map(image, k) for k, image in enumerate(self._normals.images[:16])]
        if self.aligned:  # where normal images differ often, as along a rim, a difference says less
            self._usual = cv2.GaussianBlur(np.mean(maps, axis=0), (0, 0), 2) + np.float32(np.mean(maps) + 1)
            maps = [self._map(image, k) for k, image in enumerate(self._normals.images[:16])]
        self._limit = max(float(np.median([np.quantile(own, USUAL) for own in maps])) * 1.2, 1e-3)

    def mask(self, image: np.ndarray) -> np.ndarray | None:
        """Return what is unusual on a picture (H, W, C) of any size, bool (H, W); None when nothing is."""
        small = to_channels(fit_image(image, SIDE, "keep"), self._normals.images[0].shape[2])
        unusual = self._map(small) / self._limit
        peak = float(unusual.max())
        if peak < FAINTEST:
            return None
        unusual /= min(peak * STRONGEST, 1.0)  # where nothing is above the usual, the strongest place is proposed
        grown = (unusual > GROWN).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(grown, connectivity=8)
        kept = np.isin(np.arange(len(stats)), labels[unusual > max(1.0, SIDELINE * float(unusual.max()))])
        kept &= stats[:, cv2.CC_STAT_AREA] >= smallest_mask(small.shape)
        kept[0] = False
        if not kept.any():
            return None
        inside = kept[labels]
        if not self.aligned:
            inside &= _core(small, inside)
        found = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        return cv2.resize(found, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)

    def _map(self, image: np.ndarray, own: int | None = None) -> np.ndarray:
        """Return how unusual each pixel is, float32 (h, w). own: which normal image it is itself."""
        nearest = self._normals.nearest(image, but=own) if self.aligned else None
        if nearest is None:
            r = self._detectability.map(image)
            return cv2.resize(r, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        own_levels, square = levels(image), np.ones((SLACK, SLACK), np.uint8)
        normal = nearest.image + np.median(own_levels - nearest.image, axis=(0, 1))
        above = own_levels - np.atleast_3d(cv2.dilate(normal, square))
        below = np.atleast_3d(cv2.erode(normal, square)) - own_levels
        difference = np.maximum(np.maximum(above, below), 0).max(axis=2)
        result: np.ndarray = cv2.GaussianBlur(difference, (0, 0), SMOOTH)
        return result if self._usual is None else result / self._usual


def _core(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return, bool (H, W), what deviates most from the surroundings: unusual pixels were found with their margin."""
    smooth = np.atleast_3d(cv2.GaussianBlur(levels(image), (0, 0), SMOOTH))
    count, labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)
    core = np.zeros_like(inside)
    for number in range(1, count):
        own = labels == number
        ring = cv2.dilate(own.view(np.uint8), np.ones((9, 9), np.uint8)).view(bool) & ~inside
        if not ring.any():
            core |= own
            continue
        deviation = np.abs(smooth - np.median(smooth[ring], axis=0)).max(axis=2)
        core |= own & (deviation > CORE * float(np.quantile(deviation[own], 0.98)))
    return core
