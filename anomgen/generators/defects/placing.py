"""Where on the object a defect lies."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from anomgen.generators.defects.scene import Scene
from anomgen.synthesis.sample import Reject

Place = Literal["uniform", "edge", "centre"]
CANDIDATES = 48
"""Pixels drawn, of which one is chosen by its weight."""
NEAR_EDGE = 0.04
"""`edge`: weights fall to 1/e at this distance from the outline, a share of the image's side."""
NEAR_CENTRE = 0.14
"""`centre`: likewise, from the middle of the object, as a Gaussian."""


def drawn_spot(
    rng: np.random.Generator, scene: Scene, where: Place, given: np.ndarray | None, *, on_outline: bool
) -> tuple[float, float]:
    """Draw the middle of a defect, row and column, on the foreground, or on its outline.

    where: a distribution by name. given: weights, float32 (H, W), 0 and above, on top of it. Raises Reject when there
    is no place.
    """
    rows, columns = _outline(rng, scene) if on_outline else _inside(rng, scene)
    if not len(rows):
        raise Reject("no place on the foreground")
    weights = _weights(scene, where, rows, columns)
    if given is not None:
        weights = weights * given[rows, columns]
    total = float(weights.sum())
    if total <= 0:
        raise Reject("no place where the weights are above 0")
    k = int(np.searchsorted(np.cumsum(weights), rng.random() * total, side="right"))
    k = min(k, len(rows) - 1)
    return float(rows[k]), float(columns[k])


def _inside(rng: np.random.Generator, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    height, width = scene.shape
    rows, columns = rng.integers(height, size=CANDIDATES), rng.integers(width, size=CANDIDATES)
    if scene.foreground is None:
        return rows, columns
    kept = scene.foreground[rows, columns]
    if kept.any():
        return rows[kept], columns[kept]
    found = np.nonzero(scene.foreground)  # a small object: look at all of its pixels
    chosen = rng.integers(max(len(found[0]), 1), size=CANDIDATES)
    return (found[0][chosen], found[1][chosen]) if len(found[0]) else (found[0], found[1])


def _outline(rng: np.random.Generator, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Draw from the pixels of the object's outline that are not at the image's border."""
    empty = np.zeros(0, dtype=np.intp)
    if scene.foreground is None:
        return empty, empty
    contours, _ = cv2.findContours(scene.foreground.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate([contour[:, 0] for contour in contours]) if contours else np.zeros((0, 2), np.intp)
    height, width = scene.shape
    inner = (points[:, 0] > 0) & (points[:, 0] < width - 1) & (points[:, 1] > 0) & (points[:, 1] < height - 1)
    points = points[inner]
    if not len(points):
        return empty, empty
    points = points[rng.integers(len(points), size=CANDIDATES)]
    return points[:, 1], points[:, 0]


def _weights(scene: Scene, where: Place, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    if where == "uniform":
        return np.ones(len(rows))
    height, width = scene.shape
    if where == "edge":
        if scene.foreground is None:
            away = np.minimum(np.minimum(rows, height - 1 - rows), np.minimum(columns, width - 1 - columns))
        else:
            shown = cv2.copyMakeBorder(scene.foreground.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
            away = cv2.distanceTransform(shown, cv2.DIST_L2, 3)[rows + 1, columns + 1]
        near: np.ndarray = np.exp(-away / (NEAR_EDGE * scene.side))
        return near
    shown = np.ones(scene.shape, bool) if scene.foreground is None else scene.foreground
    moments = cv2.moments(shown.view(np.uint8), binaryImage=True)
    y, x = moments["m01"] / moments["m00"], moments["m10"] / moments["m00"]
    central: np.ndarray = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (NEAR_CENTRE * scene.side) ** 2)
    return central
