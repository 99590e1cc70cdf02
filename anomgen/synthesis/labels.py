"""How strong an anomaly is, pixel by pixel: the soft masks of NSA, FPI and PII, and their calibration.

NSA (Schlüter, Tan, Hou, Kainz, ECCV 2022, arXiv 2109.15222), section 3.3; the automatic constants follow nnOOD
(Baugh et al., 2022).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from anomgen.sources.pixels import strips
from anomgen.synthesis.sample import Composite

MEDIAN_SIZE = 9
"""Side of the square median filter; it holds 81 pixels, as the disk of radius 5 in the official code does."""
LABEL_AT_ZERO = 0.1
"""Automatic calibration: logistic label of a pixel that did not change …"""
LABEL_AT_QUANTILE = 0.99
"""… and of one that changed by the `CALIBRATION_QUANTILE` of all changes."""
CALIBRATION_QUANTILE = 0.4


def continuous(result: Composite, weight: float) -> np.ndarray:
    """Return float32 (H, W): the blending weight inside the mask, 0 outside (FPI, PII)."""
    return result.mask.astype(np.float32) * np.float32(weight)


def intensity(result: Composite) -> np.ndarray:
    """Return float32 (H, W) in [0, 1]: the median-filtered change as a share of the value range (NSA)."""
    return _filtered(result, lambda change: change / np.float32(255))


def logistic(result: Composite, slope: float, midpoint: float) -> np.ndarray:
    """Return float32 (H, W): 1 / (1 + exp(−slope·(D − midpoint))) inside the mask, 0 outside (NSA).

    D is the median-filtered change in grey levels of 255; slope per grey level (the paper's k), midpoint in grey
    levels (x0).
    """
    return _filtered(result, lambda change: 1 / (1 + np.exp(np.float32(-slope) * (change - np.float32(midpoint)))))


def _filtered(result: Composite, curve: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return curve(median of the change) inside the mask, at 8 bits, the depth at which soft masks are stored.

    An increasing curve and a median may change places; so the filter runs on 8-bit levels, which is fast.
    """
    border = MEDIAN_SIZE // 2
    change = cv2.copyMakeBorder(result.change, border, border, border, border, cv2.BORDER_CONSTANT, value=[0.0])
    levels = np.empty(change.shape, np.uint8)
    for rows in strips(change):
        levels[rows] = np.rint(curve(change[rows]) * np.float32(255))
    del change
    label = np.zeros(result.mask.shape, dtype=np.float32)
    for whole in result.parts or (result.box,):
        part = whole.around(result.mask)
        y, x = part.y - result.box.y, part.x - result.box.x
        around = levels[y : y + part.h + 2 * border, x : x + part.w + 2 * border]
        filtered = cv2.medianBlur(around, MEDIAN_SIZE)[border:-border, border:-border]
        np.divide(np.where(result.mask[part.slices], filtered, 0), np.float32(255), out=label[part.slices])
    return label


def calibrate_logistic(changes: np.ndarray) -> tuple[float, float]:
    """Return (slope, midpoint) for which an unchanged pixel is labelled 0.1 and one at the 40th percentile 0.99.

    changes: D of the pixels in the masks of trial anomalies, in grey levels of 255.
    """
    typical = max(float(np.quantile(changes, CALIBRATION_QUANTILE)), 1.0)
    slope = float(np.log((1 / LABEL_AT_ZERO - 1) / (1 / LABEL_AT_QUANTILE - 1)) / typical)
    return slope, float(np.log(1 / LABEL_AT_ZERO - 1) / slope)
