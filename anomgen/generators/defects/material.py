"""What is measured on the normal images before defects are drawn: contrast, colour, light."""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np

from anomgen.generators.defects.scene import Material
from anomgen.sources.pixels import levels

SMALLEST_DEVIATION = 6.0
"""Grey levels of 255; even a perfectly even surface gets defects of some contrast."""
COLOURFUL = 2.0
"""Deviation of the colour, grey levels of 255, from which a material counts as coloured."""
STEEPEST = 0.99
"""Quantile of the steepness above which places are looked at for how blurred the images are."""
PIXEL, SOFTEST = 0.17, 3.0
"""Variance that the pixels themselves give a step, and the largest deviation, in pixels, that is believed."""
TOP_LEFT = 135.0
"""Where the light comes from when the images do not say, degrees."""
WINDOW = 13 / 128
"""Side of the window of the local deviation, a share of the image's geometric mean side."""


def measured(images: Iterable[tuple[np.ndarray, np.ndarray | None]], light: float | None = None) -> Material:
    """Measure the material of normal images (H, W, C), each with its foreground, bool (H, W) or None for all.

    light: degrees, where it is given; else it comes from the side towards which the images become brighter, if most
    of them agree, and from the top left if not.
    """
    deviations, colours, slopes, blurs = [], [], [], []
    for image, foreground in images:
        shown = np.ones(image.shape[:2], dtype=bool) if foreground is None else foreground
        if not shown.any():
            continue
        grey = _mean(image)
        size = max(round(WINDOW * float(np.sqrt(grey.size))), 3)
        mean, square = cv2.blur(grey, (size, size)), cv2.blur(grey * grey, (size, size))
        np.square(mean, out=mean)
        np.subtract(square, mean, out=square)
        deviations.append(float(np.median(np.sqrt(np.maximum(square, 0, out=square), out=square)[shown])))
        del mean, square
        colours.append(float(_farthest(image, grey)[shown].std()))
        slopes.append(_slope(grey, shown))
        blurs.append(blur_of(grey, shown) * 256 / float(np.sqrt(grey.size)))
    if not deviations:
        return Material(SMALLEST_DEVIATION, False, TOP_LEFT if light is None else light)
    direction = _agreed(np.array(slopes)) if light is None else light
    return Material(
        round(max(float(np.median(deviations)), SMALLEST_DEVIATION), 2),
        float(np.median(colours)) > COLOURFUL,
        round(direction, 1),
        round(float(np.median(blurs)), 2),
    )


def blur_of(grey: np.ndarray, shown: np.ndarray) -> float:
    """Return the deviation, in pixels, of the Gaussian that would blur a step as the steepest places of an image are.

    By how much a Gaussian of 1 pixel flattens them: Zhuo and Sim, Defocus map estimation from a single image, Pattern
    Recognition 2011, eq. 5. grey: float32 (H, W). shown: which pixels are looked at, bool (H, W).
    """
    steep, flattened = _steepness(grey), _steepness(cv2.GaussianBlur(grey, (0, 0), 1.0))
    seen = shown[:-1, :-1]
    if not seen.any():
        return 0.0
    most = steep >= max(float(np.quantile(steep[seen], STEEPEST)), 1e-3)
    most &= seen
    if not most.any():
        return 0.0
    ratio = min(float(np.median(flattened[most] / steep[most])), 0.95)
    return min(math.sqrt(max(ratio * ratio / (1 - ratio * ratio) - PIXEL, 0.0)), SOFTEST)


def _steepness(grey: np.ndarray) -> np.ndarray:
    """Return how much the next pixel down and to the right differ, float32 (H - 1, W - 1)."""
    corner = grey[:-1, :-1]
    result: np.ndarray = np.sqrt((grey[1:, :-1] - corner) ** 2 + (grey[:-1, 1:] - corner) ** 2)
    return result


def _mean(image: np.ndarray) -> np.ndarray:
    """Return the mean over the channels in grey levels of 255, float32 (H, W)."""
    total = levels(image[..., 0])
    for channel in range(1, image.shape[2]):
        total += levels(image[..., channel])
    total /= np.float32(image.shape[2])
    return total


def _farthest(image: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Return how far the farthest channel is from grey, in grey levels of 255, float32 (H, W)."""
    farthest = np.zeros_like(grey)
    for channel in range(image.shape[2]):
        cv2.max(farthest, cv2.absdiff(levels(image[..., channel]), grey), dst=farthest)
    return farthest


def _slope(grey: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return how the brightness rises, per pixel to the right and downwards: least squares over the foreground."""
    places = np.flatnonzero(shown)
    y, x = np.divmod(places[:: max(len(places) // 4000, 1)], shown.shape[1])
    plane = np.stack([x - x.mean(), y - y.mean(), np.ones(len(y))], axis=1)
    result: np.ndarray = np.linalg.lstsq(plane, grey[y, x].astype(np.float64), rcond=None)[0][:2]
    return result


def _agreed(slopes: np.ndarray) -> float:
    """Return the direction, degrees, in which the images become brighter; the top left where they do not agree."""
    mean, spread = slopes.mean(axis=0), slopes.std(axis=0)
    if float(np.linalg.norm(mean)) <= float(np.linalg.norm(spread)) + 1e-9:
        return TOP_LEFT
    return math.degrees(math.atan2(-mean[1], mean[0])) % 360
