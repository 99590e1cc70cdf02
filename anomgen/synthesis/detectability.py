"""How visible is a change, for this product? Distances to the normal pixels, in units of the normal boundary.

A filter bank (colour at three scales, Laplacian of Gaussian, gradient, local deviation) describes each pixel of the
normal images; one Gaussian describes these; r is the Mahalanobis distance of a pixel over the 99 % quantile of held-out
normal pixels. r = 1: as unusual as one normal pixel in a hundred. No network, no torch.

That anomalies teach most at a controlled distance from the normal boundary is the finding of GLASS (Chen et al., ECCV
2024, arXiv 2407.09359) and PBAS (Chen et al., TCSVT 2024, arXiv 2412.17458), there for learnt features.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from anomgen.sources.base import Images
from anomgen.sources.pixels import levels, to_channels, to_lab
from anomgen.sources.pool import Pool, SmallImages

SIDE = 128
"""The measure is taken at the scale at which the image has this many pixels along its geometric mean side."""
SIGMAS = (1.0, 2.0, 4.0)
MARGIN = 12
"""Pixels around a region, at that scale, that its features look at."""
BOUNDARY = 0.99
"""Quantile of held-out normal pixels that is r = 1."""
IMAGES, PIXELS = 60, 1500
"""How many normal images, of large ones fewer (`SmallImages`), and how many pixels of each are looked at."""
FEATURES = {1: 12, 3: 18}
"""How many features a pixel of a grey and of a coloured image has; images are measured in the channels of the fit."""
INSIDE = 0.9
"""Quantile, over the pixels of a mask, that is the r of an anomaly."""
LOOKED_AT = 1000
"""Pixels of a mask, at that scale, above which every second, third … is looked at."""
FEWEST = 1000
"""Normal pixels below which no boundary can be known: of a source of one tiny image."""
DIGITS = 4
"""Decimals of r that are kept."""
FLOOR = 0.02
"""Added to the variances, so that a perfectly even surface has a boundary."""
FIXED = 1 << 12
"""Steps of the fixed-point numbers that the moments are summed in."""


@dataclass(frozen=True, eq=False)
class Detectability:
    """The Gaussian of the normal pixels' features and its boundary; `of` measures an anomaly."""

    mean: np.ndarray
    whiten: np.ndarray
    """(F, F): multiplies a deviation from the mean to a vector as long as the Mahalanobis distance."""
    boundary: float
    pixels: int = 0
    """How many normal pixels it was fitted to."""

    @classmethod
    def fitted(cls, images: Sequence[np.ndarray], foregrounds: Sequence[np.ndarray | None]) -> Self:
        """Fit to normal images (H, W, C), on their foregrounds (bool (H, W), None: all); every third is held out.

        A single image is measured against itself. Deterministic; rounded to what `as_dict` records.
        """
        samples = [
            _drawn(features(image), foreground, number)
            for number, (image, foreground) in enumerate(zip(images, foregrounds, strict=True))
        ]
        held = samples[2::3] or samples
        used = [sample for number, sample in enumerate(samples) if number % 3 != 2] or samples
        mean, covariance = _moments(np.concatenate(used))
        whiten = np.linalg.inv(np.linalg.cholesky(covariance + FLOOR * np.eye(len(mean)))).T
        fitted = cls(_rounded(mean), _rounded(np.triu(whiten)), 1.0, sum(map(len, samples)))
        boundary = np.quantile(fitted._distances(np.concatenate(held)), BOUNDARY)
        return replace(fitted, boundary=round(max(float(boundary), 1.0), 6))

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Return what `as_dict` recorded. Raises KeyError, TypeError or ValueError for what it cannot have written."""
        boundary, pixels = float(record["boundary"]), int(record["pixels"])
        rows = [np.array(line.split(), dtype=np.float64) for line in (record["mean"], *record["whiten"])]
        whiten = np.stack([np.pad(row, (len(rows[0]) - len(row), 0)) for row in rows[1:]])
        found = cls(rows[0], whiten, boundary, pixels)
        figures = np.array([boundary, *rows[0], *whiten.ravel()])
        if len(rows[0]) not in FEATURES.values() or whiten.shape != (len(rows[0]),) * 2:
            raise ValueError("no figures of a normal boundary")
        if not np.isfinite(figures).all() or boundary <= 0 or pixels < 0:
            raise ValueError("no normal boundary")
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return all figures as plain JSON: of `whiten` the upper triangle, a text for each row."""
        whiten = [_text(row[number:]) for number, row in enumerate(self.whiten)]
        return {"boundary": self.boundary, "pixels": self.pixels, "mean": _text(self.mean), "whiten": whiten}

    def __eq__(self, other: object) -> bool:
        """Return whether all figures are equal."""
        return isinstance(other, Detectability) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((self.mean.tobytes(), self.boundary))

    def map(self, image: np.ndarray) -> np.ndarray:
        """Return r of each pixel of an image (H, W, C), float32, at the scale of the measure."""
        described = features(to_channels(image, self.channels))
        distances = self._distances(described.reshape(-1, described.shape[2])) / self.boundary
        return distances.reshape(described.shape[:2]).astype(np.float32)

    def of(self, image: np.ndarray, mask: np.ndarray) -> float:
        """Return r of an anomaly: the 90 % quantile inside its mask, bool (H, W), not empty.

        Only the surroundings of the mask are looked at.
        """
        x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
        shrink = scale_of(image.shape)
        margin = int(np.ceil(MARGIN / shrink))
        window = slice(max(y - margin, 0), y + h + margin), slice(max(x - margin, 0), x + w + margin)
        inside = _shrunk(mask[window].view(np.uint8) * np.uint8(255), shrink).ravel()
        chosen = np.flatnonzero(inside > 127)
        if not len(chosen):
            chosen = np.flatnonzero(inside == inside.max())
        chosen = chosen[:: -(-len(chosen) // LOOKED_AT)]
        described = features(to_channels(image[window], self.channels), shrink, chosen)
        return round(_quantile(self._distances(described), INSIDE) / self.boundary, DIGITS)

    @property
    def channels(self) -> int:
        """Return in how many channels images are measured."""
        return 3 if len(self.mean) == FEATURES[3] else 1

    def _distances(self, described: np.ndarray) -> np.ndarray:
        """Return the Mahalanobis distances, float64 (N,), of feature vectors (N, F)."""
        # In double precision, so that what a BLAS rounds this way or that is far below the digits that are kept.
        white = (described.astype(np.float64) - self.mean) @ self.whiten
        result: np.ndarray = np.sqrt(np.einsum("ij,ij->i", white, white))
        return result


_fits: MutableMapping[Pool, Detectability] = WeakKeyDictionary()


def detectability_of(pool: Images) -> Detectability:
    """Return the fit to the normal images of a pool, on their foregrounds; a `Pool` is fitted to once."""
    known = _fits.get(pool) if isinstance(pool, Pool) else None
    if known is None:
        small = SmallImages(pool, min(IMAGES, len(pool)))
        known = Detectability.fitted(small, [small.foreground(image) for image in small])
        remember_fit(pool, known)
    return known


def remember_fit(pool: Images, fit: Detectability) -> None:
    """Let `detectability_of` return a fit that is known already, such as a recorded one."""
    if isinstance(pool, Pool):
        _fits[pool] = fit


def scale_of(shape: tuple[int, ...]) -> float:
    """Return by which factor an image (H, W, …) is shrunk for the measure, at most 1."""
    return min(1.0, SIDE / float(np.sqrt(shape[0] * shape[1])))


def features(image: np.ndarray, shrink: float | None = None, chosen: np.ndarray | None = None) -> np.ndarray:
    """Return the features of each pixel, float32 (h, w, 18), or (h, w, 12) of a grey image.

    Colour (Lab, or grey in its unit: 0 to 100) blurred at three scales; of the lightness at each scale the Laplacian of
    Gaussian, the logarithm of the gradient's length, the logarithm of the local deviation. chosen: positions in the
    shrunk image, row by row, of N pixels; their features alone, (N, 18) or (N, 12), are much cheaper.
    """
    shrink = scale_of(image.shape) if shrink is None else shrink
    colour = to_lab(levels(np.atleast_3d(_shrunk(image, shrink)), 1))
    square = colour[..., 0] * colour[..., 0]

    def of_chosen(plane: np.ndarray) -> np.ndarray:
        return plane if chosen is None else plane.reshape(-1, *plane.shape[2:]).take(chosen, axis=0)

    planes = []
    for sigma in SIGMAS:
        smooth = np.atleast_3d(cv2.GaussianBlur(colour, (0, 0), sigma))
        seen = of_chosen(smooth)
        planes += [seen[..., channel] for channel in range(smooth.shape[2])]
        light = cv2.extractChannel(smooth, 0)
        planes.append(of_chosen(cv2.Laplacian(light, cv2.CV_32F)) * np.float32(sigma * sigma))
        # Not cv2.magnitude: its last bit depends on where the arrays lie in memory.
        across, down = (of_chosen(cv2.Sobel(light, cv2.CV_32F, *axis, scale=0.125)) for axis in ((1, 0), (0, 1)))
        planes.append(np.log(np.sqrt(across * across + down * down) * np.float32(sigma) + np.float32(0.3)))
        light, blurred = seen[..., 0], of_chosen(cv2.GaussianBlur(square, (0, 0), sigma))
        planes.append(0.5 * np.log(np.maximum(blurred - light * light, 0) + np.float32(0.3)))
    return np.stack(planes, axis=-1)


def _shrunk(array: np.ndarray, shrink: float) -> np.ndarray:
    """Return an image (H, W, …) at the scale of the measure."""
    if shrink >= 1:
        return array
    size = max(round(array.shape[1] * shrink), 1), max(round(array.shape[0] * shrink), 1)
    result: np.ndarray = cv2.resize(array, size, interpolation=cv2.INTER_AREA)
    return result


def _quantile(values: np.ndarray, share: float) -> float:
    """Return `np.quantile` of float64 (N,), bit for bit, in a quarter of its time."""
    at = (len(values) - 1) * share
    low = int(at)
    high = min(low + 1, len(values) - 1)
    ordered = np.partition(values, (low, high))
    step, weight = ordered[high] - ordered[low], at - low
    return float(ordered[high] - step * (1 - weight) if weight >= 0.5 else ordered[low] + step * weight)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return figures with six digits: what another BLAS computes differs in later ones."""
    return np.array([float(f"{value:.6g}") for value in values.ravel()]).reshape(values.shape)


def _text(values: np.ndarray) -> str:
    return " ".join(f"{value:.6g}" for value in values)


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (F,) and covariance (F, F) of feature vectors (N, F), summed as integers: exact in any order."""
    whole = np.rint(values.astype(np.float64) * FIXED).astype(np.int64)
    count = len(whole)
    mean = whole.sum(axis=0) / count
    square = (whole.T @ whole).astype(np.float64) / count
    covariance: np.ndarray = (square - np.outer(mean, mean)) / FIXED**2
    return mean / FIXED, covariance


def _drawn(described: np.ndarray, foreground: np.ndarray | None, number: int) -> np.ndarray:
    """Return up to `PIXELS` feature vectors of an image, on its foreground, evenly spread."""
    flat = described.reshape(-1, described.shape[2])
    if foreground is not None:
        shown = _shrunk(foreground.view(np.uint8) * np.uint8(255), scale_of(foreground.shape))
        flat = flat[shown.ravel() > 127] if (shown > 127).any() else flat
    if len(flat) <= PIXELS:
        return flat
    chosen = np.random.default_rng([7, number]).choice(len(flat), PIXELS, replace=False)
    return flat[np.sort(chosen)]
