"""Masks as run lengths and polygons: connected components, COCO's RLE, polygons that keep holes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Component:
    """One 8-connected piece of a mask. x, y: its box's corner. pixels: bool (h, w), the piece inside its box."""

    x: int
    y: int
    pixels: np.ndarray

    @property
    def box(self) -> list[int]:
        """Return [x, y, w, h]."""
        return [self.x, self.y, self.pixels.shape[1], self.pixels.shape[0]]


def components(mask: np.ndarray) -> Iterator[Component]:
    """Yield the pieces of a mask, bool (H, W), in the order of their first pixels by rows."""
    from skimage.measure import label, regionprops

    for region in regionprops(label(mask, connectivity=2)):
        y, x, *_ = region.bbox
        yield Component(x, y, region.image)


def run_lengths(component: Component, shape: tuple[int, int]) -> list[int]:
    """Return the counts of COCO's uncompressed RLE: runs of 0 and 1 in turn, down the columns, beginning with 0."""
    xs, ys = np.nonzero(component.pixels.T)
    positions = (xs + component.x) * shape[0] + ys + component.y
    last = np.flatnonzero(np.diff(positions) > 1)
    starts = positions[np.concatenate(([0], last + 1))]
    ends = positions[np.concatenate((last, [-1]))] + 1
    edges = np.stack((starts, ends), axis=1).ravel()
    counts = np.diff(np.concatenate(([0], edges, [shape[0] * shape[1]])))
    return [int(count) for count in (counts if counts[-1] else counts[:-1])]


def polygon(component: Component) -> np.ndarray:
    """Return one closed polygon, int (N, 2) of pixels x, y, whose filled and outlined area is the component.

    Each hole is bridged straight up from its topmost pixel to the first rim above it: the way there and back runs
    through the component's own pixels, so nothing is lost. Filled means even-odd with the outline drawn, which is
    what ``cv2.fillPoly`` does.
    """
    contours, hierarchy = cv2.findContours(
        component.pixels.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(component.x, component.y)
    )
    rims = [contour[:, 0] for contour in contours]
    outer = next(rim for rim, links in zip(rims, hierarchy[0], strict=True) if links[3] < 0)
    holes = [rim for rim, links in zip(rims, hierarchy[0], strict=True) if links[3] >= 0]
    for hole in sorted(holes, key=lambda rim: rim[:, 1].min()):  # what lies above is bridged already
        outer = _bridged(outer, hole, component)
    return _without_straight_points(outer)


def _bridged(outer: np.ndarray, hole: np.ndarray, component: Component) -> np.ndarray:
    start = int(hole[:, 1].argmin())
    x, y = hole[start]
    above = component.pixels[: y - component.y + 1, x - component.x]
    gaps = np.flatnonzero(~above)
    top = component.y + (int(gaps[-1]) + 1 if gaps.size else 0)
    at = int(np.flatnonzero((outer[:, 0] == x) & (outer[:, 1] == top))[0])
    loop = np.concatenate((hole[start:], hole[: start + 1]))
    return np.concatenate((outer[: at + 1], loop, outer[at:]))


def _without_straight_points(points: np.ndarray) -> np.ndarray:
    """Leave out points between two equal steps; where the line turns back on itself they stay."""
    if len(points) < 3:
        return points
    before = points - np.roll(points, 1, axis=0)
    after = np.roll(points, -1, axis=0) - points
    result: np.ndarray = points[(np.sign(before) != np.sign(after)).any(axis=1)]
    return result
