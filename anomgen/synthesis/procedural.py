"""Procedural textures: families of random patterns that resemble materials, stains and wear.

They stand in for the photographs of DRAEM (Zavrtanik et al., ICCV 2021, arXiv 2108.07610), which may not be shipped.

Each family is a function `(rng, shape) -> (H, W, 3) uint8`, made of what `anomgen.synthesis.fields` draws. Sizes of
features are shares of the longer side, so a texture looks the same at every resolution.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from types import ModuleType

import cv2
import numpy as np

from anomgen.synthesis.fields import (
    Shape,
    bend,
    colour,
    displaced,
    fraction,
    grain,
    lay,
    octaves,
    odd,
    paint,
    plane,
    ramp,
    relief,
    require_noise,
    seam_distance,
    shaded,
    smooth_step,
    unit,
    value_noise,
    voronoi,
)

Family = Callable[[np.random.Generator, Shape], np.ndarray]


def clouds(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw clouds: octaves of noise, folded into bands or not."""
    field = octaves(rng, shape, rng.uniform(2, 8), count=int(rng.integers(3, 7)))
    if rng.random() < 0.4:
        field = np.sin(field * np.float32(rng.uniform(6, 25))) * np.float32(0.5) + np.float32(0.5)
    return paint(field, ramp(rng))


def marble(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw marble: waves that turbulence has bent."""
    u, _ = plane(rng, shape)
    bent = u * np.float32(rng.uniform(3, 12)) + octaves(rng, shape, rng.uniform(2, 5)) * np.float32(rng.uniform(1, 5))
    waves = 1 - np.abs(np.sin(bent * np.float32(math.pi)))
    return grain(rng, paint(waves ** np.float32(rng.uniform(0.5, 2.5)), ramp(rng)), 5)


def veins(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw a net of crests on uneven ground, as of leaves, stone or mycelium."""
    crests = octaves(rng, shape, rng.uniform(3, 9), count=4, ridged=True)
    ground = paint(octaves(rng, shape, rng.uniform(3, 8)), ramp(rng))
    width = rng.uniform(0.1, 0.3)
    net = lay(smooth_step(crests, 0.85 - width, 0.9), colour(rng), ground)
    return relief(rng, net, crests, rng.uniform(0, 2.5))


def wood(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw growth rings cut lengthwise, with pores."""
    u, v = plane(rng, shape)
    v = (v - v.mean()) * np.float32(rng.uniform(0.1, 0.5))
    radius = np.sqrt((u - u.mean() + np.float32(rng.uniform(-0.6, 0.6))) ** 2 + v * v)
    radius += bend(rng, shape, rng.uniform(0.01, 0.06), rng.uniform(2, 5))
    rings = fraction(radius * np.float32(rng.uniform(8, 25)))
    pores = value_noise(rng, shape, rng.uniform(40, 120), rng.uniform(4, 12))
    hue, value = rng.uniform(0.03, 0.13), rng.uniform(0.35, 0.9)
    early = 255 * np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.25, 0.6), value))
    late = early * rng.uniform(0.35, 0.75)
    picture = lay(smooth_step(rings, 0.1, 1.0) * np.float32(0.9), late, early)
    return shaded(picture, 0.75 + np.float32(0.4) * pores)


def brushed(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw a brushed or milled surface: noise stretched far in one direction."""
    size = (math.ceil(math.hypot(*shape)),) * 2
    lines = octaves(rng, size, rng.uniform(20, 80), count=3, stretch=rng.uniform(15, 60))
    matrix = cv2.getRotationMatrix2D((size[0] / 2, size[0] / 2), rng.uniform(0, 180), 1.0)
    matrix[:, 2] = matrix[:, 2] - (size[0] - np.array(shape[::-1])) / 2
    lines = cv2.warpAffine(lines, matrix, shape[::-1], borderMode=cv2.BORDER_REFLECT_101)
    return grain(rng, shaded(paint(lines, ramp(rng)), 0.7 + np.float32(0.5) * value_noise(rng, shape, 2)), 6)


def mosaic(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw cells of various colours, with or without joints: mosaic, terrazzo, grains of a metal."""
    distance, labels = voronoi(rng, shape, rng.uniform(5, 25), rng.uniform(0.2, 0.9))
    shade = rng.random(int(labels.max()) + 1, dtype=np.float32)[labels]
    picture = paint(shade, ramp(rng))
    if rng.random() < 0.6:
        seams = seam_distance(labels)
        picture = lay(smooth_step(-seams, -rng.uniform(0.004, 0.015), 0), colour(rng), picture)
    elif rng.random() < 0.6:
        picture = relief(rng, picture, -unit(distance), rng.uniform(1, 4))
    return grain(rng, displaced(rng, picture, rng.uniform(0, 0.02), 8), int(rng.integers(1, 12)))


def cracks(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw cracked ground: mud, glaze, old paint."""
    _, labels = voronoi(rng, shape, rng.uniform(3, 12), rng.uniform(0.5, 0.9))
    seams = displaced(rng, seam_distance(labels), 0.02, rng.uniform(10, 20))
    fine = rng.uniform(0.002, 0.012)
    ground = paint(octaves(rng, shape, rng.uniform(4, 16)), ramp(rng))
    ground = relief(rng, ground, np.minimum(seams * np.float32(20), 1), rng.uniform(0, 4))
    dark = colour(rng, value_range=(0.0, 0.25) if rng.random() < 0.8 else (0.75, 1.0))
    return grain(rng, lay(smooth_step(-seams, -2 * fine, -fine / 2), dark, ground), 6)


def bubbles(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw round bumps or pits of various sizes, lit from one side: pebbles, foam, blisters."""
    distance, labels = voronoi(rng, shape, rng.uniform(6, 22), 0.6)
    size = rng.uniform(0.25, 0.75, int(labels.max()) + 1).astype(np.float32)[labels]
    radius = size * np.float32(distance.max() * rng.uniform(0.6, 1.0))
    dome = np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1))
    shade = rng.random(int(labels.max()) + 1, dtype=np.float32)[labels]
    ball = paint(np.clip(0.6 * shade + np.float32(0.4) * dome, 0, 1), ramp(rng))
    ground = paint(octaves(rng, shape, 6), ramp(rng))
    picture = lay(smooth_step(dome, 0, 0.3), ball, ground)
    return relief(rng, picture, cv2.blur(dome, (3, 3)), rng.uniform(0.5, 3))


def blotches(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw stains in several layers, some with a darker rim as of a dried drop."""
    picture = paint(octaves(rng, shape, rng.uniform(2, 6)), ramp(rng))
    for _ in range(int(rng.integers(2, 5))):
        field = octaves(rng, shape, rng.uniform(2, 9), count=4)
        level, soft = rng.uniform(0.45, 0.65), rng.uniform(0.02, 0.15)
        stain = colour(rng)
        picture = lay(smooth_step(field, level, level + soft) * np.float32(rng.uniform(0.4, 1)), stain, picture)
        if rng.random() < 0.5:
            rim = np.clip(1 - np.abs(field - np.float32(level)) / np.float32(0.03), 0, 1)
            picture = lay(rim * np.float32(0.8), stain * 0.4, picture)
    return grain(rng, picture, 5)


def rust(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw corrosion: patches of brown and orange, pitted, eating into a paler ground."""
    field = octaves(rng, shape, rng.uniform(3, 7), count=6)
    pits = octaves(rng, shape, rng.uniform(20, 50), count=3)
    hue = rng.uniform(0.02, 0.1) if rng.random() < 0.7 else rng.random()
    stops = np.array(
        [
            colorsys.hsv_to_rgb(hue, 0.9, 0.12),
            colorsys.hsv_to_rgb(hue, 0.8, 0.4),
            colorsys.hsv_to_rgb((hue + 0.03) % 1, 0.75, 0.8),
            colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.3), rng.uniform(0.4, 0.95)),
        ]
    )
    places = [0, 90, rng.uniform(110, 150), rng.uniform(155, 200)]
    table = np.stack([np.interp(np.arange(256), places, 255 * stops[:, c]) for c in range(3)], axis=1)
    level = np.clip(0.7 * field + np.float32(0.4) * pits - np.float32(0.05), 0, 1)
    return relief(rng, paint(level, np.rint(table).astype(np.uint8)), pits, rng.uniform(0.2, 1.5))


def speckle(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw grains of several sizes and colours: granite, sand, flaking, pepper."""
    picture = paint(octaves(rng, shape, rng.uniform(4, 30)), ramp(rng))
    for _ in range(int(rng.integers(2, 5))):
        field = value_noise(rng, shape, rng.uniform(20, 110))
        level = rng.uniform(0.6, 0.85)
        picture = lay(smooth_step(field, level, level + 0.1), colour(rng), picture)
    return grain(rng, picture, int(rng.integers(4, 24)))


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
    return grain(rng, picture, 5)


def stripes(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw stripes of uneven width and colour, straight or wavy."""
    u, _ = plane(rng, shape)
    u = u + bend(rng, shape, rng.choice([0.0, 0.01, 0.05]), rng.uniform(2, 6))
    edges = np.cumsum(rng.uniform(0.3, 1.0, 12))
    period = rng.uniform(0.1, 0.6)
    phase = fraction(u * np.float32(1 / period))
    position = np.concatenate(([0], edges / edges[-1]))
    level = np.interp(phase, position, rng.permutation(np.linspace(0, 1, 13)))
    if rng.random() < 0.5:
        level = np.round(level * 3) / 3
    return grain(rng, paint(level.astype(np.float32), ramp(rng)), int(rng.integers(1, 12)))


def weave(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw cloth: two sets of threads that go over and under each other."""
    u, v = plane(rng, shape)
    threads = rng.uniform(12, 45)
    u = (u + bend(rng, shape, 0.006, 5)) * np.float32(threads)
    v = (v + bend(rng, shape, 0.006, 5)) * np.float32(threads * rng.uniform(0.7, 1.4))
    hop = int(rng.integers(1, 4))
    over = fraction((np.floor(u) + hop * np.floor(v) + np.float32(0.5)) * np.float32(1 / (hop + 1))) * (hop + 1) < 1
    round_u, round_v = np.abs(np.sin(u * np.float32(math.pi))), np.abs(np.sin(v * np.float32(math.pi)))
    light = np.where(over, round_u, round_v) * np.float32(0.7) + np.float32(0.3)
    picture = lay(over.astype(np.float32), colour(rng, value_range=(0.3, 1)), colour(rng, value_range=(0.3, 1)))
    return grain(rng, shaded(picture, light * (0.8 + np.float32(0.3) * value_noise(rng, shape, 30))), 8)


def tiles(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw a checkerboard, tiles or bricks, each of its own shade, with or without joints."""
    u, v = plane(rng, shape, turn=math.pi if rng.random() < 0.5 else 0.05)
    count, longer = rng.uniform(4, 18), rng.choice([1.0, 1.0, 2.0, 3.0])
    v = v * np.float32(count * longer)
    row = np.floor(v)
    u = u * np.float32(count) + odd(row) * np.float32(rng.choice([0.0, 0.5]))
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
        picture = lay(smooth_step(-edge, -gap, -gap / 2), colour(rng), picture)
    return grain(rng, picture, int(rng.integers(1, 12)))


def dots(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw a lattice of dots, holes or rings, more or less regular."""
    u, v = plane(rng, shape)
    count, uneven = rng.uniform(5, 28), rng.choice([0.0, 0.004, 0.02])
    v = (v + bend(rng, shape, uneven, 6)) * np.float32(count)
    u = (u + bend(rng, shape, uneven, 6)) * np.float32(count) + odd(np.floor(v)) * np.float32(0.5)
    distance = np.sqrt((u - np.floor(u) - np.float32(0.5)) ** 2 + (v - np.floor(v) - np.float32(0.5)) ** 2)
    radius = rng.uniform(0.15, 0.42)
    soft = max(0.03, 1.5 * count / max(shape))
    inside = 1 - smooth_step(distance, radius - soft, radius + soft)
    if rng.random() < 0.3:
        inside *= smooth_step(distance, radius * 0.5 - soft, radius * 0.5 + soft)
    ground = paint(octaves(rng, shape, rng.uniform(2, 20)), ramp(rng))
    return grain(rng, relief(rng, lay(inside, colour(rng), ground), inside, rng.uniform(0, 1)), 6)


def simplex(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw octaves of simplex noise; needs the `noise` package.

    Drawn at up to 160 pixels and enlarged, because the package works point by point.
    """
    snoise2 = require_simplex().snoise2
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
    field = unit(cv2.resize(field, shape[::-1], interpolation=cv2.INTER_CUBIC))
    if rng.random() < 0.4:
        field = 1 - np.abs(2 * field - 1)
    return grain(rng, paint(field, ramp(rng)), 3)


def require_simplex() -> ModuleType:
    """Return the `noise` package, which the family `simplex` needs, or raise UsageError."""
    return require_noise("the texture family 'simplex'", "leave 'simplex' out of texture.families")


FAMILIES: dict[str, Family] = {
    family.__name__: family
    for family in (
        clouds,
        marble,
        veins,
        wood,
        brushed,
        mosaic,
        cracks,
        bubbles,
        blotches,
        rust,
        speckle,
        fibres,
        stripes,
        weave,
        tiles,
        dots,
        simplex,
    )
}
"""Every family by name."""

DEFAULT_FAMILIES = tuple(name for name in FAMILIES if name != "simplex")
"""The families that need no extra package."""
