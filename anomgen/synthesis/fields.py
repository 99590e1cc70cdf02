"""Fields and colours that procedural textures are made of: noise, coordinates, cells, ramps of colours, relief.

Sums of octaves: Perlin, "An image synthesizer", SIGGRAPH 1985. Cells: Worley, "A cellular texture basis function",
SIGGRAPH 1996. A field is float32 (H, W), a picture uint8 (H, W, 3), lengths are shares of the longer side.
"""

from __future__ import annotations

import colorsys
import math
from types import ModuleType

import cv2
import numpy as np

from anomgen.errors import require

Shape = tuple[int, int]


# Fields.


def value_noise(rng: np.random.Generator, shape: Shape, cells: float, stretch: float = 1.0) -> np.ndarray:
    """Draw smooth noise, about [0, 1]: `cells` bumps along the longer side, `stretch` times longer along x."""
    cell = max(shape) / cells
    rows = min(math.ceil(shape[0] / cell), shape[0])
    columns = min(max(math.ceil(shape[1] / (cell * stretch)), 1), shape[1])
    lattice: np.ndarray = rng.random((rows + 1, columns + 1), dtype=np.float32)
    # One row and column more, as half a cell at either end is even.
    size = math.ceil(shape[1] * (columns + 1) / columns), math.ceil(shape[0] * (rows + 1) / rows)
    if cell > 24:  # then straight lines between every fourth pixel cannot be told from the curve
        across, down = max(size[0] / 4, 1) / (columns + 1), max(size[1] / 4, 1) / (rows + 1)
        lattice = cv2.resize(lattice, None, fx=across, fy=down, interpolation=cv2.INTER_CUBIC)
    noise = cv2.resize(lattice, size, interpolation=cv2.INTER_LINEAR if cell > 24 else cv2.INTER_CUBIC)
    top, left = (size[1] - shape[0]) // 2, (size[0] - shape[1]) // 2
    return noise[top : top + shape[0], left : left + shape[1]]


def octaves(
    rng: np.random.Generator,
    shape: Shape,
    cells: float,
    *,
    count: int = 5,
    stretch: float = 1.0,
    ridged: bool = False,
) -> np.ndarray:
    """Sum octaves of noise, each with twice the cells and half the weight of the last; scaled to [0, 1].

    ridged: fold every octave about its middle, which turns hills into sharp crests.
    """
    total: np.ndarray = np.zeros(shape, dtype=np.float32)
    weight = 1.0
    for _ in range(count):
        if weight < 1 and cells > max(shape) / 1.5:
            break
        layer = value_noise(rng, shape, cells, stretch)
        if ridged:
            layer = 1 - 2 * np.abs(layer - np.float32(0.5))
            layer *= layer
        total = cv2.scaleAdd(layer, weight, total)
        cells, weight = cells * 2, weight / 2
    return unit(total)


def require_noise(what: str, instead: str) -> ModuleType:
    """Return the package `noise`. Raises MissingExtra, which names what needs it and what to do instead."""
    require("noise", what, "noise", instead=instead)
    import noise

    result: ModuleType = noise
    return result


def unit(field: np.ndarray) -> np.ndarray:
    """Scale a field to [0, 1]."""
    low, high, _, _ = cv2.minMaxLoc(field)
    return (field - np.float32(low)) * np.float32(1 / max(high - low, 1e-6))


def smooth_step(field: np.ndarray, low: float, high: float) -> np.ndarray:
    """Step from 0 below `low` to 1 above `high`, smooth at both ends."""
    t = field * np.float32(1 / (high - low))
    t -= np.float32(low / (high - low))
    np.clip(t, 0, 1, out=t)
    slope = t * np.float32(-2)
    slope += np.float32(3)
    slope *= t
    slope *= t
    return slope


def fraction(field: np.ndarray) -> np.ndarray:
    """Return what is behind the decimal point."""
    result: np.ndarray = field - np.floor(field)
    return result


def odd(field: np.ndarray) -> np.ndarray:
    """Return 1 where a field of whole numbers is odd, else 0."""
    return 2 * fraction(field * np.float32(0.5))


def plane(rng: np.random.Generator, shape: Shape, *, turn: float = math.pi) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates u, v (unit: the longer side), turned by U(0, turn) radians, from a random origin."""
    angle = rng.uniform(0, turn)
    y = np.arange(shape[0], dtype=np.float32)[:, None] / max(shape) + np.float32(rng.uniform(0, 4))
    x = np.arange(shape[1], dtype=np.float32)[None] / max(shape) + np.float32(rng.uniform(0, 4))
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def bend(rng: np.random.Generator, shape: Shape, amount: float, cells: float) -> np.ndarray:
    """Return a smooth displacement within about ± amount."""
    return (value_noise(rng, shape, cells) - np.float32(0.5)) * np.float32(2 * amount)


def displaced(rng: np.random.Generator, picture: np.ndarray, amount: float, cells: float) -> np.ndarray:
    """Distort a picture or field smoothly, by about `amount` of the longer side."""
    shape = picture.shape[:2]
    reach = amount * max(shape)
    map_x = bend(rng, shape, reach, cells) + np.arange(shape[1], dtype=np.float32)[None]
    map_y = bend(rng, shape, reach, cells) + np.arange(shape[0], dtype=np.float32)[:, None]
    return cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def voronoi(rng: np.random.Generator, shape: Shape, cells: float, jitter: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the Voronoi cells of about cells² random sites: distance to the site, and number of the cell."""
    size = max(shape) / cells
    rows, columns = math.ceil(shape[0] / size) + 1, math.ceil(shape[1] / size) + 1
    places = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(-1, 2)
    places = ((places + rng.uniform(-jitter, jitter, places.shape)) * size).astype(np.intp)
    places = np.clip(places, 0, np.array(shape) - 1)
    empty = np.ones(shape, dtype=np.uint8)
    empty[places[:, 0], places[:, 1]] = 0
    return cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)


def seam_distance(labels: np.ndarray) -> np.ndarray:
    """Return each pixel's distance, in shares of the longer side, to the border between cells."""
    inside = np.ones(labels.shape, dtype=np.uint8)
    inside[:, 1:][labels[:, 1:] != labels[:, :-1]] = 0
    inside[1:][labels[1:] != labels[:-1]] = 0
    return cv2.distanceTransform(inside, cv2.DIST_L2, 3) / np.float32(max(labels.shape))


# Colour.


def colour(rng: np.random.Generator, *, value_range: tuple[float, float] = (0.08, 0.98)) -> np.ndarray:
    """Draw a colour, float (3,) in 0 … 255: vivid, dull or nearly grey, with equal chance."""
    saturation = (rng.uniform(0, 0.12), rng.uniform(0.1, 0.5), rng.uniform(0.4, 1.0))[rng.integers(3)]
    return 255 * np.array(colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(*value_range)))


def ramp(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour for each of 256 levels, uint8 (256, 3): shades of one hue, or two to five free colours."""
    if rng.random() < 0.5:
        hue, saturation = rng.random(), rng.uniform(0, 0.8)
        dark, bright = rng.uniform(0.03, 0.4), rng.uniform(0.6, 1.0)
        drift = rng.uniform(-0.08, 0.08)
        stops = [
            255 * np.array(colorsys.hsv_to_rgb((hue + t * drift) % 1, saturation * (1 - 0.4 * t), value))
            for t, value in ((0.0, dark), (0.5, (dark + bright) / 2), (1.0, bright))
        ]
    else:
        stops = [colour(rng) for _ in range(int(rng.integers(2, 6)))]
    if rng.random() < 0.5:
        stops.reverse()
    position = np.sort(np.concatenate(([0, 255], rng.uniform(30, 225, len(stops) - 2))))
    table = np.stack([np.interp(np.arange(256), position, np.array(stops)[:, c]) for c in range(3)], axis=1)
    result: np.ndarray = np.rint(table).astype(np.uint8)
    return result


def paint(field: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Give each level of a field in [0, 1] its colour of the ramp: (H, W, 3) uint8."""
    level = cv2.convertScaleAbs(np.clip(field, 0, 1), alpha=255)
    return cv2.merge([cv2.LUT(level, np.ascontiguousarray(table[:, c])) for c in range(3)])


def lay(alpha: np.ndarray, over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """Lay `over` on `under` with weight alpha in [0, 1]; either may be one colour, (3,)."""
    rest = 1 - alpha
    planes = []
    for channel in range(3):
        mixed = _weighted(over, channel, alpha)
        mixed += _weighted(under, channel, rest)
        planes.append(cv2.convertScaleAbs(mixed))
    return cv2.merge(planes)


def _weighted(content: np.ndarray, channel: int, weight: np.ndarray) -> np.ndarray:
    """Return one channel of a picture or colour times a field."""
    if content.ndim == 1:
        return weight * np.float32(content[channel])
    return cv2.multiply(cv2.extractChannel(content, channel), weight, dtype=cv2.CV_32F)


def shaded(picture: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Multiply all channels by a field."""
    return cv2.merge([cv2.multiply(p, factor, dtype=cv2.CV_8U) for p in cv2.split(picture)])


def relief(rng: np.random.Generator, picture: np.ndarray, height: np.ndarray, depth: float) -> np.ndarray:
    """Light a picture from a random side as if `height` (in [0, 1]) stood out of it."""
    angle = rng.uniform(0, 2 * math.pi)
    along_x, along_y = cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)
    slope = cv2.addWeighted(along_x, math.cos(angle), along_y, math.sin(angle), 0)
    strength = depth * max(height.shape) / 256
    return shaded(picture, np.clip(1 + np.float32(strength) * slope, 0.25, 1.9))


def grain(rng: np.random.Generator, picture: np.ndarray, reach: int) -> np.ndarray:
    """Add noise of ± reach, the same in all channels, so that no surface is perfectly even."""
    noise = rng.integers(0, 2 * reach + 1, picture.shape[:2], dtype=np.uint8)
    raised = cv2.add(picture, cv2.merge([noise] * 3))
    return cv2.subtract(raised, np.full(4, reach, dtype=np.float64))
