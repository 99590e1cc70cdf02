"""Telling object from background in one image: thresholds, distances of colour, tidying. Masks are uint8, 1 for object.

Thresholds: Otsu, "A threshold selection method from gray-level histograms", 1979; Zack, Rogers, Latt, "Automatic
measurement of sister chromatid exchange frequency", 1977 (triangle).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from anomgen.sources.pixels import to_channels, to_lab, value_max

NOTCH, REACH, DEEP = 24, 4, 12
"""Pixels at `REFERENCE_SIZE`: notches of an outline so wide are looked into when it is snapped to edges, and so far it
may move out and in."""
SOFT = 0.75
"""Where an outline is less sharp than this share of what is usual, it is that of a shadow."""
REFERENCE_SIZE = 256
"""The image size for which kernel sizes are given; they scale with the image."""


def eight_bits(image: np.ndarray) -> np.ndarray:
    """Return the image in 8 bits; 16-bit images are scaled by their own maximum, as few fill their range."""
    if image.dtype == np.uint8:
        return image
    return cv2.convertScaleAbs(image, alpha=255 / max(int(image.max()), 1)).reshape(image.shape)


def smoothed(image: np.ndarray) -> np.ndarray:
    """Average a large image as much as shrinking it to 256 pixels would, so that thresholds mean the same."""
    side = round(_scale(image.shape))
    return np.atleast_3d(cv2.blur(image, (side, side))) if side > 1 else image


def by_threshold(image: np.ndarray, channel: str, side: str, method: str) -> np.ndarray:
    """Return what is brighter or darker than a level that Otsu's or the triangle rule finds; image: 8 bits."""
    if image.shape[2] == 1 or channel == "gray":
        plane = to_channels(image, 1)[..., 0]
    else:
        plane = np.ascontiguousarray(image[..., "rgb".index(channel)])
    rule = cv2.THRESH_OTSU if method == "otsu" else cv2.THRESH_TRIANGLE
    kind = cv2.THRESH_BINARY if side == "bright" else cv2.THRESH_BINARY_INV
    return cv2.threshold(plane, 0, 1, kind | rule)[1]


def far_from_levels(image: np.ndarray, levels: Sequence[tuple[float, float]]) -> np.ndarray:
    """Return what is far from each of some (level, tolerance) in grey levels of 255; specks and gaps are removed."""
    grey = image.mean(axis=2, dtype=np.float32) * np.float32(255 / value_max(image.dtype))
    far = np.ones(grey.shape, dtype=bool)
    for level, tolerance in levels:
        far &= np.abs(grey - np.float32(level)) > tolerance
    size = max(3, round(7 * _scale(image.shape)) // 2 * 2 + 1)
    return cv2.medianBlur(far.view(np.uint8), size)


def border_distance(image: np.ndarray, lightness: float = 1.0) -> np.ndarray:
    """Return the distance of each pixel to the median colour of the image's border, uint8 (H, W).

    image: 8 bits. The distance is that of Lab as OpenCV stores it in 8 bits, with `lightness` as the weight of L;
    for grey images it is the difference of the values.
    """
    space = to_lab(image)
    weights = (lightness, 1.0, 1.0) if image.shape[2] == 3 else (1.0,)
    edge = max(1, round(3 * _scale(image.shape)))
    rim = [space[:edge], space[-edge:], space[:, :edge], space[:, -edge:]]
    colour = np.median(np.concatenate([part.reshape(-1, space.shape[2]) for part in rim]), axis=0)
    squares = np.zeros(space.shape[:2], dtype=np.float32)
    for plane, level, weight in zip(cv2.split(space), colour, weights, strict=True):
        squares += ((plane - np.float32(level)) * np.float32(weight)) ** 2
    return cv2.convertScaleAbs(np.sqrt(squares))


def snapped(image: np.ndarray, mask: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Return a mask whose outline lies at the strongest edge nearby: without soft shadows, with rims that shine.

    image: 8 bits. distance: of each pixel to the background's colour, uint8 (H, W). What lies between the surest half
    of the mask and what is surely outside is parted by a watershed (Meyer, "Un algorithme optimal pour la ligne de
    partage des eaux", 1991); what that takes away stays away only if the mask's outline was soft there, as a shadow's.
    """
    if not mask.any() or mask.all():
        return mask
    scale, markers = _scale(image.shape), np.zeros(mask.shape, np.int32)
    markers[_grown(_closed(mask, NOTCH * scale), REACH * scale) == 0] = 1
    sure = (mask & (distance >= np.median(distance[mask > 0]))) | (1 - _grown(1 - mask, DEEP * scale))
    markers[sure > 0] = 2
    cv2.watershed(np.ascontiguousarray(to_channels(image, 3)), markers)
    found: np.ndarray = (markers == 2).view(np.uint8) | ((markers == -1) & (mask > 0)).view(np.uint8)
    gone = mask & (1 - found)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(gone, connectivity=8)
    sharp = _sharpness(distance, scale)
    kept, outline = found & _grown(1 - found, 1), gone & _grown(1 - mask, 1)
    usual = float(np.median(sharp[kept > 0])) if kept.any() else 0.0
    for number in range(1, count):
        x, y, w, h = stats[number, :4]
        box = slice(y, y + h), slice(x, x + w)
        own = labels[box] == number
        outer = own & (outline[box] > 0)
        if outer.any() and np.median(sharp[box][outer]) > SOFT * usual:
            found[box] |= own.view(np.uint8)
    return found


def _sharpness(distance: np.ndarray, scale: float) -> np.ndarray:
    """Return how much of the change around each pixel lies close to it, float32 in [0, 1]: 1 for an edge."""
    near, far = (
        cv2.morphologyEx(distance, cv2.MORPH_GRADIENT, np.ones((side, side), np.uint8)).astype(np.float32)
        for side in (2 * round(scale) + 1, 2 * round(4 * scale) + 1)
    )
    result: np.ndarray = near / np.maximum(far, 1)
    return result


def _grown(mask: np.ndarray, pixels: float) -> np.ndarray:
    side = 2 * max(round(pixels), 1) + 1
    return cv2.dilate(mask, np.ones((side, side), np.uint8))


def _closed(mask: np.ndarray, pixels: float) -> np.ndarray:
    side = 2 * round(pixels / 2) + 1
    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))


def _scale(shape: tuple[int, ...]) -> float:
    return float(np.sqrt(shape[0] * shape[1])) / REFERENCE_SIZE


def tidy(mask: np.ndarray, close: int, open: int, clean: float) -> np.ndarray:
    """Close gaps, remove specks, fill small holes, remove small islands."""
    for size, first, second in ((close, cv2.dilate, cv2.erode), (open, cv2.erode, cv2.dilate)):
        side = round(size * _scale(mask.shape))
        if side > 1:
            # An even square has no middle; the two steps use opposite ones, so that nothing moves.
            square = np.ones((side, side), dtype=np.uint8)
            mask = first(mask, square, anchor=(side // 2,) * 2)
            mask = second(mask, square, anchor=((side - 1) // 2,) * 2)
    if clean > 0 and mask.any():
        least = clean * np.count_nonzero(mask)
        mask = _without_small(mask, least, least_at_border=5 * least, connectivity=8)
        mask = 1 - _without_small(1 - mask, least, least_at_border=0, connectivity=4)
    return mask


def _without_small(mask: np.ndarray, least: float, *, least_at_border: float, connectivity: int) -> np.ndarray:
    """Return a mask without its components of fewer than `least` pixels.

    Measured on ragged masks: two thirds of the time that skimage's remove_small_objects and flood take together.
    """
    labels, stats = cv2.connectedComponentsWithStats(mask, connectivity=connectivity)[1:3]
    left, top, width, height, area = stats.T
    at_border = (left == 0) | (top == 0) | (left + width == mask.shape[1]) | (top + height == mask.shape[0])
    keep = area >= np.where(at_border, least_at_border, least)
    keep[0] = False
    return mask if keep[1:].all() else keep.astype(np.uint8)[labels]


def is_compact(mask: np.ndarray) -> bool:
    """Tell a few objects with background around them from the patches of a texture."""
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    outline = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1])
    if border.mean() > 0.35 or outline > 8 * max(mask.shape):
        return False
    around = cv2.copyMakeBorder(1 - mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    labels, stats = cv2.connectedComponentsWithStats(around, connectivity=4)[1:3]
    reached = stats[labels[0, 0], cv2.CC_STAT_AREA] - (around.size - mask.size)
    return bool(reached > 0.85 * np.count_nonzero(mask == 0))
