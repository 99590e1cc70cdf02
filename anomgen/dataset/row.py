"""One row of a dataset: images, label, and the measures that the columns hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from anomgen.dataset.pictures import Pictured, at_most, displayable, grey, outlined, scale_of
from anomgen.dataset.png import encode_png
from anomgen.sources.pixels import value_max
from anomgen.sources.value_range import ValueRange, stretched
from anomgen.synthesis.sample import Sample

LABELS = ("normal", "anomaly")
NORMAL, ANOMALY = 0, 1
GAP = 8
"""White pixels between the two halves of a row's picture."""
SIDE = 1024
"""Longest side of it in a notebook."""


def severity_of(
    image: np.ndarray, normal: np.ndarray, mask: np.ndarray, value_range: ValueRange | None = None
) -> float:
    """Return the mean absolute change inside the mask, a share 0..1 of the value range; 0 for an empty mask.

    image, normal: (H, W, C), one dtype. mask: bool (H, W). value_range: None for that of the dtype. The sums are of
    integers, so the result is exact.
    """
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    if w == 0:
        return 0.0
    window = slice(y, y + h), slice(x, x + w)
    means = cv2.mean(cv2.absdiff(image[window], normal[window]), mask[window].view(np.uint8))
    channels = image.shape[2]
    span = value_max(image.dtype) if value_range is None else value_range.high - value_range.low
    return float(np.float32(min(sum(means[:channels]) / (channels * span), 1.0)))


def area_of(mask: np.ndarray) -> float:
    """Return the share of the image, 0..1, that lies in the mask, bool (H, W)."""
    return float(np.float32(cv2.countNonZero(mask.view(np.uint8)) / mask.size))


def boxes_of(mask: np.ndarray) -> list[list[int]]:
    """Return [x, y, w, h] of each 8-connected component of a mask, bool (H, W), sorted by y, x, w, h.

    Note: the outer contours of the two-level hierarchy are the components; following them is 20 times faster
    than labelling every pixel, and a component inside another's hole has an outer contour of its own.
    """
    contours, hierarchy = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return []
    outer = [cv2.boundingRect(c) for c, links in zip(contours, hierarchy[0], strict=True) if links[3] < 0]
    return [list(box) for box in sorted(outer, key=lambda box: (box[1], box[0], box[2], box[3]))]


@dataclass(frozen=True)
class Row(Pictured):
    """One record of a dataset before it is encoded.

    index: position in the dataset. seed, attempt: with index, enough to draw the sample again. source_id:
    which normal image. normal: that image, untouched, (H, W, C) uint8 or uint16. image: the same with an
    anomaly, or `normal` itself. mask: bool (H, W), empty for a normal row. soft_mask: float32 (H, W) in [0, 1],
    or None where the generator makes none. label: 0 normal, 1 anomaly. params: plain JSON, what was drawn.
    value_range: of the source, None for the whole depth. detectability: r of the anomaly, as `Sample` has it; None for
    a normal row.

    Whether `normal` is written is not the row's affair but that of `Columns.keep_normal`.
    """

    index: int
    seed: int
    attempt: int
    source_id: str
    normal: np.ndarray
    image: np.ndarray
    mask: np.ndarray
    soft_mask: np.ndarray | None
    label: int
    defect_type: str
    params: dict[str, Any]
    value_range: ValueRange | None = None
    detectability: float | None = None

    @classmethod
    def of_normal(
        cls,
        index: int,
        seed: int,
        source_id: str,
        image: np.ndarray,
        *,
        soft: bool,
        value_range: ValueRange | None = None,
    ) -> Row:
        """Return the row of an untouched image; `soft`: whether this dataset's generator makes soft masks."""
        shape = image.shape[:2]
        soft_mask = np.zeros(shape, np.float32) if soft else None
        mask = np.zeros(shape, bool)
        return cls(index, seed, 0, source_id, image, image, mask, soft_mask, NORMAL, LABELS[NORMAL], {}, value_range)

    @classmethod
    def of_sample(
        cls,
        sample: Sample,
        *,
        index: int,
        seed: int,
        attempt: int,
        source_id: str,
        normal: np.ndarray,
        value_range: ValueRange | None = None,
    ) -> Row:
        """Return the row of an anomalous image that was made of `normal`."""
        return cls(
            index,
            seed,
            attempt,
            source_id,
            normal,
            sample.image,
            sample.mask,
            sample.soft_mask,
            ANOMALY,
            sample.defect_type,
            sample.params,
            value_range,
            sample.detectability,
        )

    @property
    def path(self) -> str:
        """Return the name of this row's images, see `image_name`."""
        return image_name(self.index)

    @cached_property
    def severity(self) -> float:
        """Return the mean absolute change inside the mask, 0..1 of the value range."""
        return severity_of(self.image, self.normal, self.mask, self.value_range)

    @cached_property
    def area(self) -> float:
        """Return the share of the image in the mask."""
        return area_of(self.mask)

    @cached_property
    def boxes(self) -> list[list[int]]:
        """Return [x, y, w, h] of the connected components of the mask."""
        return boxes_of(self.mask)

    def picture(self) -> np.ndarray:
        """Return the image with a line around the mask, beside the mask: (H, 2 W + `GAP`, 3) uint8."""
        return picture_of(self.image, self.mask, self.value_range)

    def _repr_png_(self) -> bytes:
        """Return the picture as a notebook shows it, shrunk where it is large."""
        return encode_png(at_most(self.picture(), SIDE))


class StoredRow(dict[str, Any], Pictured):
    """A decoded row of a dataset: column → value. A notebook shows its picture, where it has image and mask."""

    value_range: ValueRange | None = None

    def picture(self) -> np.ndarray:
        """Return the picture of the row, as `Row.picture`. Raises KeyError where a column is missing."""
        return picture_of(self["image"], self["mask"], self.value_range)

    def _repr_png_(self) -> bytes | None:
        return encode_png(at_most(self.picture(), SIDE)) if {"image", "mask"} <= set(self) else None


def picture_of(image: np.ndarray, mask: np.ndarray, value_range: ValueRange | None) -> np.ndarray:
    """Return an image (H, W, C) with its mask, bool (H, W), outlined, beside the mask: (H, 2 W + `GAP`, 3) uint8."""
    image = stretched(image, value_range)
    gap = np.full((image.shape[0], GAP, 3), 255, np.uint8)
    marked = outlined(displayable(image, scale_of(image)), mask)
    return np.hstack([marked, gap, grey(mask * np.float32(255))])


def image_name(index: int) -> str:
    """Return the name of the images of row `index`, ``000123.png``: sorting such names pairs them rightly."""
    return f"{index:06d}.png"


def params_text(params: dict[str, Any]) -> str:
    """Return the parameters of a sample as the JSON that is stored: sorted keys, no NaN."""
    return json.dumps(params, sort_keys=True, ensure_ascii=False, allow_nan=False)
