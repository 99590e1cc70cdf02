"""What is measured on the normal images before defects are drawn: contrast, colour, light."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from anomgen.generators.defects.laying import largest
from anomgen.generators.defects.scene import Material
from anomgen.sources.pixels import value_max

SMALLEST_DEVIATION = 6.0
"""Grey levels of 255; even a perfectly even surface gets defects of some contrast."""
COLOURFUL = 2.0
"""Deviation of the colour, grey levels of 255, from which a material counts as coloured."""
TOP_LEFT = 135.0
"""Where the light comes from when the images do not say, degrees."""
WINDOW = 13 / 128
"""Side of the window of the local deviation, a share of the image's geometric mean side."""


def measured(
    images: Sequence[np.ndarray], foregrounds: Sequence[np.ndarray | None], light: float | None = None
) -> Material:
    """Measure the material of normal images (H, W, C) on their foregrounds, bool (H, W) or None for all.

    light: degrees, where it is given; else it comes from the side towards which the images become brighter, if most
    of them agree, and from the top left if not.
    """
    deviations, colours, slopes = [], [], []
    for image, foreground in zip(images, foregrounds, strict=True):
        shown = np.ones(image.shape[:2], dtype=bool) if foreground is None else foreground
        if not shown.any():
            continue
        values = image.astype(np.float32) * np.float32(255 / value_max(image.dtype))
        grey = values.mean(axis=2)
        size = max(round(WINDOW * float(np.sqrt(grey.size))), 3)
        mean, square = cv2.blur(grey, (size, size)), cv2.blur(grey * grey, (size, size))
        deviations.append(float(np.median(np.sqrt(np.maximum(square - mean * mean, 0))[shown])))
        colours.append(float(largest(values - grey[..., None])[shown].std()))
        slopes.append(_slope(grey, shown))
    if not deviations:
        return Material(SMALLEST_DEVIATION, False, TOP_LEFT if light is None else light)
    direction = _agreed(np.array(slopes)) if light is None else light
    return Material(
        round(max(float(np.median(deviations)), SMALLEST_DEVIATION), 2),
        float(np.median(colours)) > COLOURFUL,
        round(direction, 1),
    )


def _slope(grey: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return how the brightness rises, per pixel to the right and downwards: least squares over the foreground."""
    rows, columns = np.nonzero(shown)
    step = max(len(rows) // 4000, 1)
    y, x = rows[::step], columns[::step]
    plane = np.stack([x - x.mean(), y - y.mean(), np.ones(len(y))], axis=1)
    result: np.ndarray = np.linalg.lstsq(plane, grey[y, x].astype(np.float64), rcond=None)[0][:2]
    return result


def _agreed(slopes: np.ndarray) -> float:
    """Return the direction, degrees, in which the images become brighter; the top left where they do not agree."""
    mean, spread = slopes.mean(axis=0), slopes.std(axis=0)
    if float(np.linalg.norm(mean)) <= float(np.linalg.norm(spread)) + 1e-9:
        return TOP_LEFT
    return math.degrees(math.atan2(-mean[1], mean[0])) % 360
