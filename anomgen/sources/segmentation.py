"""Telling object from background in one image: thresholds, distances of colour, tidying. Masks are uint8, 1 for object.

Thresholds: Otsu, "A threshold selection method from gray-level histograms", 1979; Zack, Rogers, Latt, "Automatic
measurement of sister chromatid exchange frequency", 1977 (triangle).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from anomgen.sources.pixels import to_channels, to_lab, value_max

NOTCH, REACH, DEEP = 24, 4, 12
"""Pixels at `REFERENCE_SIZE`: notches of an outline so wide are looked into when it is snapped to edges, and so far it
may move out and in."""
SOFT = 0.75
"""Where an outline is less sharp than this share of what is usual, it is that of a shadow."""
SMALL = 0.75
"""Images below this share of `REFERENCE_SIZE` are enlarged before their outlines are snapped."""
_BLOCKS, _ROUNDS, _DARKEST = 32, 12, 8
"""Of the light on the background: blocks along each side, rounds of its fit, and the least grey level it has."""
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


def enlarged(image: np.ndarray) -> np.ndarray:
    """Return an image of 8 bits, a small one at twice its size, where thin parts are pixels wide."""
    if _scale(image.shape) >= SMALL:
        return image
    return np.atleast_3d(cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))


def shrunk_to(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a mask at a size (H, W): 1 where more than half of a pixel is object."""
    if mask.shape == shape:
        return mask
    share = cv2.resize(mask * np.uint8(255), shape[::-1], interpolation=cv2.INTER_AREA)
    return (share > 127).view(np.uint8)


def flattened(image: np.ndarray) -> np.ndarray:
    """Return an image of 8 bits divided by the light on its background, as the border shows it (flat-field correction).

    The light is a surface of second degree for each channel. Its mean stays, what becomes brighter than 255 is cut.
    """
    height, width = image.shape[:2]
    y, x = _centres(height)[:, None], _centres(width)[None]
    result = np.empty_like(image)
    for channel, (level, along_x, along_y, xx, xy, yy) in enumerate(_light(image)[0].T):
        light = (level + along_y * y + yy * y * y) + (along_x * x + xx * x * x) + xy * y * x
        light = np.maximum(np.rint(light * 16) / 16, _DARKEST)  # rounded: the same on every machine
        evened = image[..., channel] * (np.median(light) / light)
        result[..., channel] = np.rint(np.minimum(evened, 255))
    return result


def is_uneven(image: np.ndarray) -> bool:
    """Tell whether light of second degree follows an 8-bit image's border at least twice as well as one colour."""
    _, colours, light = _light(image)
    by_one = np.linalg.norm(colours - np.median(colours, axis=0), axis=1).mean()
    return bool(by_one > 2 * np.linalg.norm(colours - light, axis=1).mean() + 2)


def _light(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit a surface of second degree to the border of an image, seen as 32 × 32 blocks.

    Returns its coefficients (6, C) of 1, x, y, x², xy, y² from −1 to 1, the blocks' colours and the surface there (124,
    C). The sum of distances, not of squares, is least, so that an object that touches the border does not count.
    """
    blocks = cv2.resize(image, (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA).reshape(_BLOCKS, _BLOCKS, -1)
    at = _centres(_BLOCKS)
    row, column = np.nonzero(np.pad(np.zeros((_BLOCKS - 2, _BLOCKS - 2)), 1, constant_values=1))
    y, x, colours = at[row], at[column], blocks[row, column].astype(np.float64)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    weights = np.ones((len(terms), 1))
    for _ in range(_ROUNDS):
        found = np.linalg.lstsq(terms * weights, colours * weights, rcond=None)[0]
        weights = 1 / np.sqrt(np.maximum(np.linalg.norm(colours - terms @ found, axis=1), 1))[:, None]
    return found, colours, terms @ found


def _centres(count: int) -> np.ndarray:
    """Return where the middles of `count` pixels lie that reach from −1 to 1."""
    result: np.ndarray = (2 * np.arange(count) + 1) / count - 1
    return result


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
    for channel, (level, weight) in enumerate(zip(colour, weights, strict=True)):
        away = cv2.extractChannel(space, channel) - np.float32(level)
        away *= np.float32(weight)
        away *= away
        squares += away
    return cv2.convertScaleAbs(np.sqrt(squares, out=squares))


def snapped(image: np.ndarray, mask: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Return a mask whose outline lies at the strongest edge nearby: without soft shadows, with rims that shine.

    image: 8 bits. distance: of each pixel to the background's colour, uint8 (H, W). What lies between the surest half
    of the mask and what is surely outside is parted by a watershed (Meyer, "Un algorithme optimal pour la ligne de
    partage des eaux", 1991); what that takes away stays away only if the mask's outline was soft there, as a shadow's.
    At last the pixels beside the outline, mixtures of both sides, go to the nearer one.
    """
    if not mask.any() or mask.all():
        return mask
    scale = _scale(image.shape)
    found = _parted(image, mask, distance, scale)
    _put_back(found, mask, distance, scale)
    return _settled(image, found, scale)


def _parted(image: np.ndarray, mask: np.ndarray, distance: np.ndarray, scale: float) -> np.ndarray:
    """Return the mask whose outline lies where the watershed of an 8-bit image parts both sides."""
    markers = np.zeros(mask.shape, np.int32)
    markers[_grown(_closed(mask, NOTCH * scale), REACH * scale) == 0] = 1
    sure = (mask & (distance >= np.median(distance[mask > 0]))) | (1 - _grown(1 - mask, DEEP * scale))
    markers[sure > 0] = 2
    cv2.watershed(np.ascontiguousarray(to_channels(image, 3)), markers)
    found: np.ndarray = (markers == 2).view(np.uint8) | ((markers == -1) & (mask > 0)).view(np.uint8)
    return found


def _put_back(found: np.ndarray, mask: np.ndarray, distance: np.ndarray, scale: float) -> None:
    """Add to `found`, in place, what it took away from the mask where the mask's outline was sharp."""
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


def _settled(image: np.ndarray, mask: np.ndarray, scale: float) -> np.ndarray:
    """Give each pixel beside the outline to that side whose mean colour nearby it is nearer to; image: 8 bits."""
    square = np.ones((2 * max(round(scale), 1) + 1,) * 2, np.uint8)
    object_, background = cv2.erode(mask, square), 1 - cv2.dilate(mask, square)
    beside = np.flatnonzero(object_ == background)
    side = min(2 * max(round(2 * scale), 2) + 1, 15)  # its sums go into 16 bits, and are the same on every machine

    def sums(plane: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(plane, cv2.CV_16U, (side, side), normalize=False).reshape(-1)[beside]

    distances = []
    for part in (object_, background):
        count = sums(part)
        squares, divisor = np.zeros(len(beside), np.float32), np.maximum(count, 1).astype(np.float32)
        for channel in range(image.shape[2]):
            plane = cv2.extractChannel(image, channel)
            squares += np.square(plane.reshape(-1)[beside] - sums(plane * part) / divisor)
        distances.append(np.where(count > 0, squares, np.nan))
    nearer, known = distances[0] < distances[1], ~np.isnan(distances[0] + distances[1])
    found = mask.copy()
    found.reshape(-1)[beside[known]] = nearer[known]
    return found


def _sharpness(distance: np.ndarray, scale: float) -> np.ndarray:
    """Return how much of the change around each pixel lies close to it, float32 in [0, 1]: 1 for an edge."""
    near, far = (
        cv2.morphologyEx(distance, cv2.MORPH_GRADIENT, np.ones((side, side), np.uint8))
        for side in (2 * round(scale) + 1, 2 * round(4 * scale) + 1)
    )
    result: np.ndarray = np.divide(near, np.maximum(far, 1), dtype=np.float32)
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


class Fit(NamedTuple):
    """How object-like a mask is on one image."""

    plausible: bool
    contrast: float
    """Difference across the mask's edge, in standard deviations of the background; 0 when not plausible."""


def fit(image: np.ndarray, mask: np.ndarray, lightness: float) -> Fit:
    """Judge a mask on an 8-bit image, in the colours that its method looks at: see `border_distance`."""
    if not 0.005 < mask.mean() < 0.9:
        return Fit(False, 0.0)
    space = to_lab(image)
    weights = np.array([lightness, 1.0, 1.0] if image.shape[2] == 3 else [1.0])

    def mean(part: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.array(cv2.mean(space, part)[: len(weights)]) * weights
        return result

    deviation = cv2.meanStdDev(space, mask=1 - mask)[1].ravel() * weights
    spread = float(np.linalg.norm(deviation)) + 1
    if np.linalg.norm(mean(mask) - mean(1 - mask)) < 3.5 * spread or not is_compact(mask):
        return Fit(False, 0.0)
    square = np.ones((7, 7), dtype=np.uint8)
    step = mean(mask - cv2.erode(mask, square)) - mean(cv2.dilate(mask, square) - mask)
    return Fit(True, float(np.linalg.norm(step)) / spread)


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
