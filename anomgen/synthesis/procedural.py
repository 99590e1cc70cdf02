"""Procedural textures: families of random patterns that resemble materials, stains and wear.

They stand in for the photographs of DRAEM (Zavrtanik et al., ICCV 2021, arXiv 2108.07610), which may not be
shipped. The ingredients are the classic ones: sums of octaves (Perlin, "An image synthesizer", SIGGRAPH 1985)
and cellular patterns (Worley, "A cellular texture basis function", SIGGRAPH 1996).

Each family is a function `(rng, shape) -> (H, W, 3) uint8`. Sizes of features are shares of the longer side, so a
texture looks the same at every resolution.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from types import ModuleType

import cv2
import numpy as np

from anomgen.errors import UsageError, install

Shape = tuple[int, int]
Family = Callable[[np.random.Generator, Shape], np.ndarray]


# Fields: float32 (H, W).


def value_noise(rng: np.random.Generator, shape: Shape, cells: float, stretch: float = 1.0) -> np.ndarray:
    """Draw smooth noise, about [0, 1]: `cells` bumps along the longer side, `stretch` times longer along x."""
    cell = max(shape) / cells
    rows = min(math.ceil(shape[0] / cell), shape[0])
    columns = min(max(math.ceil(shape[1] / (cell * stretch)), 1), shape[1])
    lattice: np.ndarray = rng.random((rows + 1, columns + 1), dtype=np.float32)
    # One row and column more, as half a cell at either end is even.
    size = math.ceil(shape[1] * (columns + 1) / columns), math.ceil(shape[0] * (rows + 1) / rows)
    if cell > 24:  # then straight lines between every fourth pixel cannot be told from the curve
        lattice = cv2.resize(
            lattice, None, fx=size[0] / (columns + 1) / 4, fy=size[1] / (rows + 1) / 4, interpolation=cv2.INTER_CUBIC
        )
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
    return _unit(total)


def _unit(field: np.ndarray) -> np.ndarray:
    """Scale a field to [0, 1]."""
    low, high, _, _ = cv2.minMaxLoc(field)
    return (field - np.float32(low)) * np.float32(1 / max(high - low, 1e-6))


def _smooth(field: np.ndarray, low: float, high: float) -> np.ndarray:
    """Step from 0 below `low` to 1 above `high`, smooth at both ends."""
    t = field * np.float32(1 / (high - low))
    t -= np.float32(low / (high - low))
    np.clip(t, 0, 1, out=t)
    slope = t * np.float32(-2)
    slope += np.float32(3)
    slope *= t
    slope *= t
    return slope


def _fraction(field: np.ndarray) -> np.ndarray:
    """Return what is behind the decimal point."""
    result: np.ndarray = field - np.floor(field)
    return result


def _odd(field: np.ndarray) -> np.ndarray:
    """Return 1 where a field of whole numbers is odd, else 0."""
    return 2 * _fraction(field * np.float32(0.5))


def _plane(rng: np.random.Generator, shape: Shape, *, turn: float = math.pi) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates u, v (unit: the longer side), turned by U(0, turn) radians, from a random origin."""
    angle = rng.uniform(0, turn)
    y = np.arange(shape[0], dtype=np.float32)[:, None] / max(shape) + np.float32(rng.uniform(0, 4))
    x = np.arange(shape[1], dtype=np.float32)[None] / max(shape) + np.float32(rng.uniform(0, 4))
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _bend(rng: np.random.Generator, shape: Shape, amount: float, cells: float) -> np.ndarray:
    """Return a smooth displacement within about ± amount."""
    return (value_noise(rng, shape, cells) - np.float32(0.5)) * np.float32(2 * amount)


def _displace(rng: np.random.Generator, picture: np.ndarray, amount: float, cells: float) -> np.ndarray:
    """Distort a picture or field smoothly, by about `amount` of the longer side."""
    shape = picture.shape[:2]
    reach = amount * max(shape)
    map_x = _bend(rng, shape, reach, cells) + np.arange(shape[1], dtype=np.float32)[None]
    map_y = _bend(rng, shape, reach, cells) + np.arange(shape[0], dtype=np.float32)[:, None]
    return cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _sites(rng: np.random.Generator, shape: Shape, cells: float, jitter: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the Voronoi cells of about cells² random sites: distance to the site, and number of the cell."""
    size = max(shape) / cells
    rows, columns = math.ceil(shape[0] / size) + 1, math.ceil(shape[1] / size) + 1
    places = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(-1, 2)
    places = ((places + rng.uniform(-jitter, jitter, places.shape)) * size).astype(np.intp)
    places = np.clip(places, 0, np.array(shape) - 1)
    empty = np.ones(shape, dtype=np.uint8)
    empty[places[:, 0], places[:, 1]] = 0
    return cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)


def _seams(labels: np.ndarray) -> np.ndarray:
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


def _mix(alpha: np.ndarray, over: np.ndarray, under: np.ndarray) -> np.ndarray:
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


def _shade(picture: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Multiply all channels by a field."""
    return cv2.merge([cv2.multiply(p, factor, dtype=cv2.CV_8U) for p in cv2.split(picture)])


def _relief(rng: np.random.Generator, picture: np.ndarray, height: np.ndarray, depth: float) -> np.ndarray:
    """Light a picture from a random side as if `height` (in [0, 1]) stood out of it."""
    angle = rng.uniform(0, 2 * math.pi)
    along_x, along_y = cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)
    slope = cv2.addWeighted(along_x, math.cos(angle), along_y, math.sin(angle), 0)
    strength = depth * max(height.shape) / 256
    return _shade(picture, np.clip(1 + np.float32(strength) * slope, 0.25, 1.9))


def _grain(rng: np.random.Generator, picture: np.ndarray, reach: int) -> np.ndarray:
    """Add noise of ± reach, the same in all channels, so that no surface is perfectly even."""
    noise = rng.integers(0, 2 * reach + 1, picture.shape[:2], dtype=np.uint8)
    raised = cv2.add(picture, cv2.merge([noise] * 3))
    return cv2.subtract(raised, np.full(4, reach, dtype=np.float64))


# Families.


def clouds(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw clouds: octaves of noise, folded into bands or not."""
    field = octaves(rng, shape, rng.uniform(2, 8), count=int(rng.integers(3, 7)))
    if rng.random() < 0.4:
        field = np.sin(field * np.float32(rng.uniform(6, 25))) * np.float32(0.5) + np.float32(0.5)
    return paint(field, ramp(rng))


def marble(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw marble: waves that turbulence has bent."""
    u, _ = _plane(rng, shape)
    bent = u * np.float32(rng.uniform(3, 12)) + octaves(rng, shape, rng.uniform(2, 5)) * np.float32(rng.uniform(1, 5))
    waves = 1 - np.abs(np.sin(bent * np.float32(math.pi)))
    return _grain(rng, paint(waves ** np.float32(rng.uniform(0.5, 2.5)), ramp(rng)), 5)


def veins(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw a net of crests on uneven ground, as of leaves, stone or mycelium."""
    crests = octaves(rng, shape, rng.uniform(3, 9), count=4, ridged=True)
    ground = paint(octaves(rng, shape, rng.uniform(3, 8)), ramp(rng))
    width = rng.uniform(0.1, 0.3)
    net = _mix(_smooth(crests, 0.85 - width, 0.9), colour(rng), ground)
    return _relief(rng, net, crests, rng.uniform(0, 2.5))


def wood(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw growth rings cut lengthwise, with pores."""
    u, v = _plane(rng, shape)
    v = (v - v.mean()) * np.float32(rng.uniform(0.1, 0.5))
    radius = np.sqrt((u - u.mean() + np.float32(rng.uniform(-0.6, 0.6))) ** 2 + v * v)
    radius += _bend(rng, shape, rng.uniform(0.01, 0.06), rng.uniform(2, 5))
    rings = _fraction(radius * np.float32(rng.uniform(8, 25)))
    pores = value_noise(rng, shape, rng.uniform(40, 120), rng.uniform(4, 12))
    hue, value = rng.uniform(0.03, 0.13), rng.uniform(0.35, 0.9)
    early = 255 * np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.25, 0.6), value))
    late = early * rng.uniform(0.35, 0.75)
    picture = _mix(_smooth(rings, 0.1, 1.0) * np.float32(0.9), late, early)
    return _shade(picture, 0.75 + np.float32(0.4) * pores)


def brushed(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw a brushed or milled surface: noise stretched far in one direction."""
    size = (math.ceil(math.hypot(*shape)),) * 2
    lines = octaves(rng, size, rng.uniform(20, 80), count=3, stretch=rng.uniform(15, 60))
    matrix = cv2.getRotationMatrix2D((size[0] / 2, size[0] / 2), rng.uniform(0, 180), 1.0)
    matrix[:, 2] = matrix[:, 2] - (size[0] - np.array(shape[::-1])) / 2
    lines = cv2.warpAffine(lines, matrix, shape[::-1], borderMode=cv2.BORDER_REFLECT_101)
    return _grain(rng, _shade(paint(lines, ramp(rng)), 0.7 + np.float32(0.5) * value_noise(rng, shape, 2)), 6)


def mosaic(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw cells of various colours, with or without joints: mosaic, terrazzo, grains of a metal."""
    distance, labels = _sites(rng, shape, rng.uniform(5, 25), rng.uniform(0.2, 0.9))
    shade = rng.random(int(labels.max()) + 1, dtype=np.float32)[labels]
    picture = paint(shade, ramp(rng))
    if rng.random() < 0.6:
        seams = _seams(labels)
        picture = _mix(_smooth(-seams, -rng.uniform(0.004, 0.015), 0), colour(rng), picture)
    elif rng.random() < 0.6:
        picture = _relief(rng, picture, -_unit(distance), rng.uniform(1, 4))
    return _grain(rng, _displace(rng, picture, rng.uniform(0, 0.02), 8), int(rng.integers(1, 12)))


def cracks(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw cracked ground: mud, glaze, old paint."""
    _, labels = _sites(rng, shape, rng.uniform(3, 12), rng.uniform(0.5, 0.9))
    seams = _displace(rng, _seams(labels), 0.02, rng.uniform(10, 20))
    fine = rng.uniform(0.002, 0.012)
    ground = paint(octaves(rng, shape, rng.uniform(4, 16)), ramp(rng))
    ground = _relief(rng, ground, np.minimum(seams * np.float32(20), 1), rng.uniform(0, 4))
    dark = colour(rng, value_range=(0.0, 0.25) if rng.random() < 0.8 else (0.75, 1.0))
    return _grain(rng, _mix(_smooth(-seams, -2 * fine, -fine / 2), dark, ground), 6)


def bubbles(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw round bumps or pits of various sizes, lit from one side: pebbles, foam, blisters."""
    distance, labels = _sites(rng, shape, rng.uniform(6, 22), 0.6)
    size = rng.uniform(0.25, 0.75, int(labels.max()) + 1).astype(np.float32)[labels]
    radius = size * np.float32(distance.max() * rng.uniform(0.6, 1.0))
    dome = np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1))
    shade = rng.random(int(labels.max()) + 1, dtype=np.float32)[labels]
    ball = paint(np.clip(0.6 * shade + np.float32(0.4) * dome, 0, 1), ramp(rng))
    ground = paint(octaves(rng, shape, 6), ramp(rng))
    picture = _mix(_smooth(dome, 0, 0.3), ball, ground)
    return _relief(rng, picture, cv2.blur(dome, (3, 3)), rng.uniform(0.5, 3))


def blotches(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw stains in several layers, some with a darker rim as of a dried drop."""
    picture = paint(octaves(rng, shape, rng.uniform(2, 6)), ramp(rng))
    for _ in range(int(rng.integers(2, 5))):
        field = octaves(rng, shape, rng.uniform(2, 9), count=4)
        level, soft = rng.uniform(0.45, 0.65), rng.uniform(0.02, 0.15)
        stain = colour(rng)
        picture = _mix(_smooth(field, level, level + soft) * np.float32(rng.uniform(0.4, 1)), stain, picture)
        if rng.random() < 0.5:
            rim = np.clip(1 - np.abs(field - np.float32(level)) / np.float32(0.03), 0, 1)
            picture = _mix(rim * np.float32(0.8), stain * 0.4, picture)
    return _grain(rng, picture, 5)


def rust(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw corrosion: patches of brown and orange, pitted, eating into a paler ground."""
    field = octaves(rng, shape, rng.uniform(3, 7), count=6)
    pits = octaves(rng, shape, rng.uniform(20, 50), count=3)
    hue = rng.uniform(0.02, 0.1) if rng.random() < 0.7 else rng.random()
    stops = np.array([
        colorsys.hsv_to_rgb(hue, 0.9, 0.12),
        colorsys.hsv_to_rgb(hue, 0.8, 0.4),
        colorsys.hsv_to_rgb((hue + 0.03) % 1, 0.75, 0.8),
        colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.3), rng.uniform(0.4, 0.95)),
    ])  # fmt: skip
    places = [0, 90, rng.uniform(110, 150), rng.uniform(155, 200)]
    table = np.stack([np.interp(np.arange(256), places, 255 * stops[:, c]) for c in range(3)], axis=1)
    level = np.clip(0.7 * field + np.float32(0.4) * pits - np.float32(0.05), 0, 1)
    return _relief(rng, paint(level, np.rint(table).astype(np.uint8)), pits, rng.uniform(0.2, 1.5))


def speckle(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw grains of several sizes and colours: granite, sand, flaking, pepper."""
    picture = paint(octaves(rng, shape, rng.uniform(4, 30)), ramp(rng))
    for _ in range(int(rng.integers(2, 5))):
        field = value_noise(rng, shape, rng.uniform(20, 110))
        level = rng.uniform(0.6, 0.85)
        picture = _mix(_smooth(field, level, level + 0.1), colour(rng), picture)
    return _grain(rng, picture, int(rng.integers(4, 24)))


def fibres(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw fibres, hairs or scratches that lie over each other, loosely parallel or in all directions."""
    picture = paint(octaves(rng, shape, rng.uniform(2, 10)), ramp(rng))
    size, table = max(shape), ramp(rng)
    main, spread, curl = rng.uniform(0, math.pi), rng.choice([0.1, 0.4, 3.0]), rng.choice([0.0, 0.05, 0.15])
    points = 2 if curl == 0 else 14
    thick = max(1, round(size * rng.uniform(0.002, 0.012)))
    for _ in range(int(rng.integers(4, 9))):
        lines = int(rng.integers(8, 40))
        heading = main + rng.normal(0, spread, (lines, 1)) + np.cumsum(rng.normal(0, curl, (lines, points)), axis=1)
        step = size * rng.uniform(0.2, 1.2, (lines, 1)) / (points - 1)
        moves = np.stack([np.cos(heading) * step, np.sin(heading) * step], axis=-1)
        start = rng.uniform(-0.1, 1.1, (lines, 1, 2)) * np.array(shape[::-1])
        path = ((start + np.cumsum(moves, axis=1)) * 8).astype(np.int32)
        cv2.polylines(picture, list(path), False, table[rng.integers(256)].tolist(), thick, cv2.LINE_AA, 3)
    return _grain(rng, picture, 5)


def stripes(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw stripes of uneven width and colour, straight or wavy."""
    u, _ = _plane(rng, shape)
    u = u + _bend(rng, shape, rng.choice([0.0, 0.01, 0.05]), rng.uniform(2, 6))
    edges = np.cumsum(rng.uniform(0.3, 1.0, 12))
    period = rng.uniform(0.1, 0.6)
    phase = _fraction(u * np.float32(1 / period))
    position = np.concatenate(([0], edges / edges[-1]))
    level = np.interp(phase, position, rng.permutation(np.linspace(0, 1, 13)))
    if rng.random() < 0.5:
        level = np.round(level * 3) / 3
    return _grain(rng, paint(level.astype(np.float32), ramp(rng)), int(rng.integers(1, 12)))


def weave(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw cloth: two sets of threads that go over and under each other."""
    u, v = _plane(rng, shape)
    threads = rng.uniform(12, 45)
    u = (u + _bend(rng, shape, 0.006, 5)) * np.float32(threads)
    v = (v + _bend(rng, shape, 0.006, 5)) * np.float32(threads * rng.uniform(0.7, 1.4))
    hop = int(rng.integers(1, 4))
    over = _fraction((np.floor(u) + hop * np.floor(v) + np.float32(0.5)) * np.float32(1 / (hop + 1))) * (hop + 1) < 1
    round_u, round_v = np.abs(np.sin(u * np.float32(math.pi))), np.abs(np.sin(v * np.float32(math.pi)))
    light = np.where(over, round_u, round_v) * np.float32(0.7) + np.float32(0.3)
    picture = _mix(over.astype(np.float32), colour(rng, value_range=(0.3, 1)), colour(rng, value_range=(0.3, 1)))
    return _grain(rng, _shade(picture, light * (0.8 + np.float32(0.3) * value_noise(rng, shape, 30))), 8)


def tiles(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw a checkerboard, tiles or bricks, each of its own shade, with or without joints."""
    u, v = _plane(rng, shape, turn=math.pi if rng.random() < 0.5 else 0.05)
    count, longer = rng.uniform(4, 18), rng.choice([1.0, 1.0, 2.0, 3.0])
    v = v * np.float32(count * longer)
    row = np.floor(v)
    u = u * np.float32(count) + _odd(row) * np.float32(rng.choice([0.0, 0.5]))
    column = np.floor(u)
    shades = rng.random((31, 37), dtype=np.float32)
    if rng.random() < 0.4:
        shades = shades * np.float32(0.25) + np.float32(0.7) * (np.indices(shades.shape).sum(0) % 2).astype(np.float32)
        shades = np.vstack([shades[:30], shades[:30]])[:, :36]
    picked = shades[row.astype(np.intp) % shades.shape[0], column.astype(np.intp) % shades.shape[1]]
    picture = paint(0.85 * picked + np.float32(0.15) * octaves(rng, shape, 12, count=3), ramp(rng))
    if rng.random() < 0.6:
        gap = rng.uniform(0.03, 0.1)
        edge = np.minimum(np.minimum(u - column, 1 + column - u), np.minimum(v - row, 1 + row - v))
        picture = _mix(_smooth(-edge, -gap, -gap / 2), colour(rng), picture)
    return _grain(rng, picture, int(rng.integers(1, 12)))


def dots(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw a lattice of dots, holes or rings, more or less regular."""
    u, v = _plane(rng, shape)
    count, uneven = rng.uniform(5, 28), rng.choice([0.0, 0.004, 0.02])
    v = (v + _bend(rng, shape, uneven, 6)) * np.float32(count)
    u = (u + _bend(rng, shape, uneven, 6)) * np.float32(count) + _odd(np.floor(v)) * np.float32(0.5)
    distance = np.sqrt((u - np.floor(u) - np.float32(0.5)) ** 2 + (v - np.floor(v) - np.float32(0.5)) ** 2)
    radius = rng.uniform(0.15, 0.42)
    soft = max(0.03, 1.5 * count / max(shape))
    inside = 1 - _smooth(distance, radius - soft, radius + soft)
    if rng.random() < 0.3:
        inside *= _smooth(distance, radius * 0.5 - soft, radius * 0.5 + soft)
    ground = paint(octaves(rng, shape, rng.uniform(2, 20)), ramp(rng))
    return _grain(rng, _relief(rng, _mix(inside, colour(rng), ground), inside, rng.uniform(0, 1)), 6)


def simplex(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw octaves of simplex noise; needs the `noise` package.

    Drawn at up to 160 pixels and enlarged, because the package works point by point.
    """
    snoise2 = require_noise().snoise2
    shrink = min(1.0, 160 / max(shape))
    rows, columns = max(round(shape[0] * shrink), 1), max(round(shape[1] * shrink), 1)
    pitch = rng.uniform(2, 8) / max(rows, columns)
    y0, x0 = rng.uniform(0, 1000, 2)
    count, gain = int(rng.integers(3, 7)), float(rng.uniform(0.4, 0.65))
    field = np.array(
        [
            [snoise2(x0 + j * pitch, y0 + i * pitch, octaves=count, persistence=gain) for j in range(columns)]
            for i in range(rows)
        ],
        dtype=np.float32,
    )
    field = _unit(cv2.resize(field, shape[::-1], interpolation=cv2.INTER_CUBIC))
    if rng.random() < 0.4:
        field = 1 - np.abs(2 * field - 1)
    return _grain(rng, paint(field, ramp(rng)), 3)


def require_noise() -> ModuleType:
    """Import and return the `noise` package, or raise UsageError."""
    try:
        import noise
    except ImportError:
        raise UsageError(
            f"the texture family 'simplex' needs the package 'noise': {install('noise')}, "
            "or leave 'simplex' out of texture.families"
        ) from None
    result: ModuleType = noise
    return result


FAMILIES: dict[str, Family] = {
    family.__name__: family
    for family in (
        clouds, marble, veins, wood, brushed, mosaic, cracks, bubbles, blotches, rust, speckle, fibres, stripes, weave,
        tiles, dots, simplex,
    )
}  # fmt: skip
"""Every family by name."""

DEFAULT_FAMILIES = tuple(name for name in FAMILIES if name != "simplex")
"""The families that need no extra package."""
