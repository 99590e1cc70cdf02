"""Which kinds of defect are like these real ones: pieces are described, and compared with pieces that each kind draws.

A piece is described from its image and mask alone, so that real defects, of which nobody has the picture without the
defect, and drawn ones are described alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from anomgen.sources.pixels import levels, to_channels, to_lab

SIDE = 256
"""Pieces are described at the scale at which the image has this many pixels along its geometric mean side."""
RING = 3, 10
"""Pixels outside a piece, at that scale, between which its surroundings lie."""
LARGEST = 6
"""Pieces of an image that are looked at, the largest first."""
BANDWIDTH = 1.0
"""Of the density of each kind's pieces, in deviations within kinds."""
PRIOR = 4.0
"""Real defects that the usual weights count for (shrinkage)."""
FEATURES = ("thickness", "extent", "filling", "pieces", "contrast", "grain", "green_red", "blue_yellow")


def described(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the features, float64 (N, 8), of the pieces of a mask, bool (H, W), on an image (H, W, C).

    Logarithms of thickness, longest extent (shares of the side), share of the turned box that is filled, and number of
    pieces; contrast to the surroundings in their deviations, with sign, compressed; logarithm of the grain inside over
    outside; colour shift (Lab), compressed.
    """
    shrink = min(1.0, SIDE / math.sqrt(mask.size))
    size = max(round(mask.shape[1] * shrink), 1), max(round(mask.shape[0] * shrink), 1)
    values = levels(np.atleast_3d(image), 1)
    values = np.atleast_3d(cv2.resize(values, size, interpolation=cv2.INTER_AREA))
    inside = cv2.resize(mask.view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA) > 100
    lab = to_lab(to_channels(values, 3))
    fine = lab[..., 0] - cv2.GaussianBlur(lab[..., 0], (0, 0), 3)
    count, labels, found, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=8)
    order = sorted(range(1, count), key=lambda k: -int(found[k, cv2.CC_STAT_AREA]))[:LARGEST]
    rows = [_piece(lab, fine, inside, labels == k, count - 1) for k in order if found[k, cv2.CC_STAT_AREA] >= 3]
    return np.array([row for row in rows if row is not None], dtype=np.float64).reshape(-1, len(FEATURES))


def _piece(lab: np.ndarray, fine: np.ndarray, inside: np.ndarray, piece: np.ndarray, pieces: int) -> list[float] | None:
    x, y, w, h = cv2.boundingRect(piece.view(np.uint8))
    far = RING[1] + 1
    rows, columns = slice(max(y - far, 0), y + h + far), slice(max(x - far, 0), x + w + far)
    own = np.ascontiguousarray(piece[rows, columns]).view(np.uint8)
    away = cv2.distanceTransform(1 - own, cv2.DIST_L2, 3)
    ring = (away >= RING[0]) & (away <= RING[1]) & ~inside[rows, columns]
    if np.count_nonzero(ring) < 8:
        return None
    colour, grain, chosen = lab[rows, columns], fine[rows, columns], own.astype(bool)
    shift = colour[chosen].mean(axis=0) - colour[ring].mean(axis=0)
    deviation = max(float(colour[ring][:, 0].std()), 1.0)
    padded = cv2.copyMakeBorder(own, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    thickness = 2 * float(cv2.distanceTransform(padded, cv2.DIST_L2, 3).max())
    (_, (wide, long), _) = cv2.minAreaRect(np.argwhere(chosen).astype(np.float32))
    extent = max(wide, long) + 1
    filled = float(np.count_nonzero(chosen)) / ((wide + 1) * (long + 1))
    coarse = math.log((float(grain[chosen].std()) + 0.3) / (float(grain[ring].std()) + 0.3))
    return [
        math.log(thickness / SIDE),
        math.log(extent / SIDE),
        2 * math.log(filled),
        0.5 * math.log(pieces),
        math.asinh(float(shift[0]) / deviation),
        coarse,
        math.asinh(float(shift[1]) / 5),
        math.asinh(float(shift[2]) / 5),
    ]


def likeness(real: Sequence[np.ndarray], drawn: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return how likely each kind is to have made the real defects, summing to 1.

    real: features (N, 8) of each image. drawn: features of the pieces that each kind draws. Every image counts alike.
    """
    kinds = [kind for kind, pieces in drawn.items() if len(pieces)]
    spread = np.sqrt(np.mean([np.var(drawn[kind], axis=0) for kind in kinds], axis=0)) + 1e-3
    total = np.zeros(len(kinds))
    for pieces in real:
        if not len(pieces):
            continue
        logs = np.stack([_log_density(pieces / spread, drawn[kind] / spread) for kind in kinds])
        share = np.exp(logs - logs.max(axis=0))
        total += (share / share.sum(axis=0)).mean(axis=1)
    whole = float(total.sum())
    return {kind: float(value) / whole if whole else 0.0 for kind, value in zip(kinds, total, strict=True)}


def _log_density(points: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return the log density, up to a constant, of points (N, F) under a Gaussian kernel on drawn ones (M, F)."""
    squares = ((points[:, None] - drawn[None]) ** 2).sum(axis=2) / BANDWIDTH**2
    least = squares.min(axis=1)
    result: np.ndarray = -0.5 * least + np.log(np.exp(-0.5 * (squares - least[:, None])).mean(axis=1))
    return result


def towards_usual(weights: Mapping[str, float], found: Mapping[str, float], count: int) -> dict[str, float]:
    """Return weights of kinds, summing to 1: those found on `count` real defects, shrunk towards the usual ones."""
    usual = sum(weights.values())
    return {
        kind: (count * found.get(kind, 0.0) + PRIOR * weight / usual) / (count + PRIOR)
        for kind, weight in weights.items()
    }
