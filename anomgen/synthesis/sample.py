"""One result of a generator, and the step that makes its mask exact by construction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import cv2
import numpy as np

from anomgen.sources.pixels import strips, value_max

TOLERANCE = 1.0
"""Change, in grey levels of 255, up to which a pixel counts as unchanged (NSA, arXiv 2109.15222)."""


def smallest_mask(shape: tuple[int, ...]) -> int:
    """Return how many pixels a mask on an (H, W, …) image must have to be an anomaly that anybody could see.

    16 on 256 × 256 pixels and above, in proportion to the area below, never less than 4.
    """
    return min(max(shape[0] * shape[1] // 4096, 4), 16)


class Reject(Exception):
    """Raised by a generator when this draw gives no anomaly; the engine draws again and counts the reason.

    faint: r of a draw that was less visible than asked for, None for one that fails otherwise.
    """

    def __init__(self, reason: str, faint: float | None = None):
        super().__init__(reason)
        self.reason, self.faint = reason, faint


@dataclass(frozen=True)
class Sample:
    """An anomalous image and what is known about it.

    image: (H, W, C), dtype and shape of the input. mask: bool (H, W). soft_mask: float32 (H, W) in [0, 1], or
    None. params: what was drawn, plain JSON. defect_type: one of the generator's `defect_types`. detectability: r, see
    `anomgen.synthesis.detectability`; measured by who draws with a recipe, None before, unless the generator measured
    it by the pool's own boundary, and where it cannot be known.
    """

    image: np.ndarray
    mask: np.ndarray
    soft_mask: np.ndarray | None = None
    params: dict[str, Any] = field(default_factory=dict)
    defect_type: str = ""
    detectability: float | None = None


class Box(NamedTuple):
    """A rectangle of pixels: rows y to y + h, columns x to x + w."""

    y: int
    x: int
    h: int
    w: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return the index of this box in an (H, W, …) array."""
        return slice(self.y, self.y + self.h), slice(self.x, self.x + self.w)

    @classmethod
    def whole(cls, image: np.ndarray) -> Box:
        """Return the box of a whole (H, W, …) array."""
        return cls(0, 0, image.shape[0], image.shape[1])

    def union(self, other: Box) -> Box:
        """Return the smallest box that holds both."""
        y, x = min(self.y, other.y), min(self.x, other.x)
        bottom, right = max(self.y + self.h, other.y + other.h), max(self.x + self.w, other.x + other.w)
        return Box(y, x, bottom - y, right - x)

    def around(self, mask: np.ndarray) -> Box:
        """Return the smallest box in this one that holds what of a mask, bool (H, W), lies in it; 0 × 0 for nothing."""
        x, y, w, h = cv2.boundingRect(mask[self.slices].view(np.uint8))
        return Box(self.y + y, self.x + x, h, w)


class Composite(NamedTuple):
    """Result of `composite`: the image, its exact mask, the box that holds it, the change (h, w) in that box.

    parts: smaller boxes that together hold the mask, where the method knows some.
    """

    image: np.ndarray
    mask: np.ndarray
    box: Box
    change: np.ndarray
    parts: tuple[Box, ...] = ()


def change_between(image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return mean_c |image − other| as float32 (H, W), in grey levels of 255 whatever the bit depth."""
    channels, change = image.shape[2], np.empty(image.shape[:2], np.float32)
    for rows in strips(image):
        difference = np.atleast_3d(cv2.absdiff(image[rows], other[rows])).astype(np.float32)
        total = difference[..., 0] if channels == 1 else cv2.transform(difference, np.ones((1, channels), np.float32))
        np.multiply(total, np.float32(255 / (value_max(image.dtype) * channels)), out=change[rows])
    return change


def composite(
    image: np.ndarray,
    drawn: np.ndarray,
    support: np.ndarray,
    *,
    box: Box | None = None,
    tolerance: float = TOLERANCE,
) -> Composite:
    """Keep of `drawn` what visibly changed inside `support`, restore the rest, and return the exact mask.

    image: the input (H, W, C). drawn: a copy of it that the caller drew on, inside `box` only (default: the whole
    image); changed in place. support: bool (H, W), where the method was allowed to draw. A pixel is in the mask
    when more than half of the supported pixels in the 5×5 window around it changed by more than `tolerance`: NSA's
    median filter, restricted to the support so that thin shapes keep their rim. Everything outside the mask becomes
    the input again, bit for bit.

    Raises Reject when fewer than `smallest_mask` pixels remain, or when most of them did not change.
    """
    box = box or Box.whole(image)
    window = box.slices
    change = change_between(image[window], drawn[window])
    local_support = support[window]
    changed = change > tolerance
    local = majority(changed, local_support)
    pixels = np.count_nonzero(local)
    if pixels < smallest_mask(image.shape) or 2 * np.count_nonzero(changed & local) < pixels:
        raise Reject("nothing visible changed")
    cv2.copyTo(image[window], (~local).view(np.uint8), drawn[window])  # np.copyto takes 20 times as long
    mask = np.zeros(image.shape[:2], dtype=bool)
    mask[window] = local
    return Composite(drawn, mask, box, cv2.copyTo(change, local.view(np.uint8)))


def cut_to(region: np.ndarray | None, result: Sample | Reject, normal: np.ndarray, reason: str) -> Sample | Reject:
    """Undo what was drawn outside of a region, bool (H, W), or None for anywhere.

    normal: the image before. reason: what is said where nothing is left.
    """
    if region is None or isinstance(result, Reject) or not (result.mask & ~region).any():
        return result
    mask = result.mask & region
    if np.count_nonzero(mask) < smallest_mask(mask.shape):
        return Reject(reason)
    soft = None if result.soft_mask is None else np.where(mask, result.soft_mask, np.float32(0))
    image = np.where(mask[..., None], result.image, normal)
    return replace(result, image=image, mask=mask, soft_mask=soft, detectability=None)


def majority(changed: np.ndarray, support: np.ndarray, size: int = 5) -> np.ndarray:
    """Return the pixels of `support` (bool, H × W) where most of the support in a size × size window changed."""
    if np.array_equal(changed & support, support):
        return support.copy()
    kernel = (size, size)
    votes = cv2.boxFilter(
        (changed & support).astype(np.uint8),
        cv2.CV_16U,
        kernel,
        normalize=False,
        borderType=cv2.BORDER_CONSTANT,
    )
    voters = cv2.boxFilter(
        support.astype(np.uint8), cv2.CV_16U, kernel, normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    result: np.ndarray = support & (2 * votes > voters)
    return result
