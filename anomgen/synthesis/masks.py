"""Where an anomaly goes: rectangles, scars, ellipses, and where on the foreground they are put."""

from __future__ import annotations

import cv2
import numpy as np

from anomgen.synthesis.sample import Box

TRIES = 200
"""Candidate positions drawn before a placement counts as impossible (NSA's official code)."""


def ellipse(h: int, w: int, tilt: float) -> np.ndarray:
    """Return bool (h, w): the ellipse that touches all four sides, sheared by `tilt` in (−1, 1).

    The points x with xᵀ Σ⁻¹ x ≤ 1 for Σ = [[a², tilt·a·b], [tilt·a·b, b²]], a = h/2, b = w/2; area
    π·a·b·√(1 − tilt²). A positive tilt leans from the top left to the bottom right.
    """
    y = ((np.arange(h) + 0.5) / h * 2 - 1)[:, None]
    x = (np.arange(w) + 0.5) / w * 2 - 1
    return y * y - 2 * tilt * x * y + x * x <= 1 - tilt * tilt


def rotated_rectangle(length: float, width: float, angle: float) -> np.ndarray:
    """Return bool (h, w), just large enough: a length × width rectangle turned by `angle` degrees.

    At angle 0 the length runs down the rows. A pixel belongs when its centre lies inside.
    """
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    h = int(np.ceil(abs(length * cos) + abs(width * sin)))
    w = int(np.ceil(abs(length * sin) + abs(width * cos)))
    y = (np.arange(h) - (h - 1) / 2)[:, None]
    x = np.arange(w) - (w - 1) / 2
    result: np.ndarray = (np.abs(y * cos - x * sin) <= length / 2) & (np.abs(y * sin + x * cos) <= width / 2)
    return result


def integral(mask: np.ndarray) -> np.ndarray:
    """Return the integral image, int32 (H + 1, W + 1), of bool (H, W)."""
    return cv2.integral(mask.view(np.uint8))


def counts_in(
    integral_image: np.ndarray, tops: np.ndarray, lefts: np.ndarray, bottoms: np.ndarray, rights: np.ndarray
) -> np.ndarray:
    """Return how many pixels of the mask lie in each of the given rectangles (ends exclusive)."""
    below: np.ndarray = integral_image[bottoms, rights] - integral_image[bottoms, lefts]
    above: np.ndarray = integral_image[tops, rights] - integral_image[tops, lefts]
    result: np.ndarray = below - above
    return result


def place(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    h: int,
    w: int,
    foreground: np.ndarray | None,
    min_share: float,
) -> Box | None:
    """Draw the position of an h × w box, uniform inside (H, W), with at least `min_share` of it on the foreground.

    Returns None when none of `TRIES` candidates will do. h and w must fit into the shape.
    """
    if foreground is None:
        return Box(int(rng.integers(shape[0] - h + 1)), int(rng.integers(shape[1] - w + 1)), h, w)
    tops = rng.integers(shape[0] - h + 1, size=TRIES)
    lefts = rng.integers(shape[1] - w + 1, size=TRIES)
    counts = counts_in(integral(foreground), tops, lefts, tops + h, lefts + w)
    return first_box(tops, lefts, tops + h, lefts + w, counts >= max(1, min_share * h * w))


def first_box(
    tops: np.ndarray, lefts: np.ndarray, bottoms: np.ndarray, rights: np.ndarray, accepted: np.ndarray
) -> Box | None:
    """Return the first accepted one of several candidate rectangles, or None."""
    if not accepted.any():
        return None
    k = int(accepted.argmax())
    top, left = int(tops[k]), int(lefts[k])
    return Box(top, left, int(bottoms[k]) - top, int(rights[k]) - left)


def on_foreground(support: np.ndarray, foreground: np.ndarray | None, box: Box) -> np.ndarray:
    """Return `support` (bool, the box's h × w) where the foreground (bool H × W, or None) is."""
    return support if foreground is None else support & foreground[box.slices]


def in_image(local: np.ndarray, box: Box, shape: tuple[int, ...]) -> np.ndarray:
    """Return bool (H, W) that holds `local` (h, w) at `box` and is False elsewhere."""
    full = np.zeros(shape[:2], dtype=bool)
    full[box.slices] = local
    return full
