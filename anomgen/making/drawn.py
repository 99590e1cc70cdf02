"""What of a draw may become a row: it must be visible, and stay so among the values of the stored image."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import cv2
import numpy as np
from pydantic import AfterValidator

from anomgen.config import Range
from anomgen.sources.value_range import ValueRange
from anomgen.synthesis.sample import Reject, Sample, change_between, smallest_mask

VISIBLE = 2.0
"""Grey levels of 255 by which the faintest anomaly changes some pixels, where nothing else is asked for."""


def _visible(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] < 0:
        raise ValueError("detectability is 0 or more; 1 is just detectable, 5 is plain to see")
    return pair


DetectabilityRange = Annotated[Range, AfterValidator(_visible)]


def visible(result: Sample | Reject, image: np.ndarray, least: float) -> Sample | Reject:
    """Reject an anomaly of which not even the pixels of the smallest mask changed by more than `least` of 255."""
    if isinstance(result, Reject) or not result.mask.any():
        return result
    x, y, w, h = cv2.boundingRect(result.mask.view(np.uint8))
    window = slice(y, y + h), slice(x, x + w)
    changed = change_between(image[window], result.image[window])[result.mask[window]] > least
    wanted = min(smallest_mask(image.shape), changed.size)
    return result if np.count_nonzero(changed) >= wanted else Reject("fainter than min_change")


def on_stored(result: Sample | Reject, stored: np.ndarray, value_range: ValueRange | None) -> Sample | Reject:
    """Put what was drawn on a stretched image back among the values of `stored`, the image as the source has it.

    Where these are few, it may vanish.
    """
    if isinstance(result, Reject) or value_range is None:
        return result
    image = value_range.drawn_on(stored, result.image, result.mask)
    changed = (image != stored).any(axis=2)
    if 2 * np.count_nonzero(changed) < np.count_nonzero(result.mask):
        return Reject("nothing visible changed")
    return replace(result, image=image, detectability=None)
