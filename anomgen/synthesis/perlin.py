"""Perlin noise on a lattice, and the random regions that DRAEM cuts out of it.

Zavrtanik, Kristan, Skočaj: "DRAEM – A discriminatively trained reconstruction embedding for surface anomaly
detection", ICCV 2021, arXiv 2108.07610. The noise itself: Perlin, "Improving noise", SIGGRAPH 2002.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

MIN_CELL_PIXELS = 4
"""Smallest cell of the lattice that `draw_perlin` asks for: finer ones give specks, not regions."""


class PerlinDraw(NamedTuple):
    """What `draw_perlin` drew: cells per axis, rotation in degrees, the level above which a pixel is in."""

    res_y: int
    res_x: int
    rotation: float
    threshold: float


def perlin_noise(rng: np.random.Generator, shape: tuple[int, int], res_y: float, res_x: float) -> np.ndarray:
    """Draw Perlin noise, float32 (H, W), roughly within ±1 (DRAEM's scale: √2 times the plain noise).

    shape: any (H, W). res_y, res_x: cells of the lattice along each axis, not necessarily whole. The pixel in
    row i lies at i · res_y / H of the lattice.
    """
    return _noise(rng, shape, (res_y / shape[0], res_x / shape[1]))


def rotated_noise(
    rng: np.random.Generator, shape: tuple[int, int], res_y: float, res_x: float, degrees: float
) -> np.ndarray:
    """Draw `perlin_noise` whose lattice is turned by `degrees` about the image's centre.

    The noise is drawn on the rectangle that covers the turned image, so it has no empty corners.
    """
    steps = (res_y / shape[0], res_x / shape[1])
    if degrees == 0:
        return _noise(rng, shape, steps)
    height, width = shape
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    tall = math.ceil(height * abs(cos) + width * abs(sin)) + 1
    wide = math.ceil(width * abs(cos) + height * abs(sin)) + 1
    canvas = _noise(rng, (tall, wide), steps)
    # Maps a pixel of the result to the canvas (inverse map), centre to centre.
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    matrix = np.array(
        [
            [cos, -sin, (wide - 1) / 2 - cos * centre_x + sin * centre_y],
            [sin, cos, (tall - 1) / 2 - sin * centre_x - cos * centre_y],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(canvas, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def draw_perlin(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    exponent_range: tuple[int, int] = (0, 5),
    rotation_range: tuple[float, float] = (-90.0, 90.0),
    threshold_range: tuple[float, float] = (0.5, 0.5),
) -> PerlinDraw:
    """Draw the settings of one region.

    exponent_range: each axis has 2^U{lo … hi} cells, independently. rotation_range: degrees.
    threshold_range: of the noise.

    Note: the exponent stops where a cell would be smaller than `MIN_CELL_PIXELS`. At DRAEM's 256 pixels and
    exponents up to 5 this never happens.
    """
    lowest, highest = exponent_range
    cells = []
    for size in shape:
        finest = max(int(math.log2(max(size / MIN_CELL_PIXELS, 1))), 0)
        high = min(highest, finest)
        cells.append(2 ** int(rng.integers(min(lowest, high), high + 1)))
    rotation, threshold = float(rng.uniform(*rotation_range)), float(rng.uniform(*threshold_range))
    return PerlinDraw(cells[0], cells[1], rotation, threshold)


def perlin_mask(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    exponent_range: tuple[int, int] = (0, 5),
    rotation_range: tuple[float, float] = (-90.0, 90.0),
    threshold_range: tuple[float, float] = (0.5, 0.5),
) -> tuple[np.ndarray, PerlinDraw]:
    """Draw one region, bool (H, W), and tell how; it may be empty (5 % of the draws at the default settings).

    Note: DRAEM's code fills the corners with zeros when it turns the noise, which keeps anomalies out of the
    corners; here the noise covers them. Single pixels and hairlines are removed by a 3 × 3 median.
    """
    drawn = draw_perlin(
        rng,
        shape,
        exponent_range=exponent_range,
        rotation_range=rotation_range,
        threshold_range=threshold_range,
    )
    noise = rotated_noise(rng, shape, drawn.res_y, drawn.res_x, drawn.rotation)
    region = (noise > np.float32(drawn.threshold)).view(np.uint8)
    return cv2.medianBlur(region, 3).view(bool), drawn


def _noise(rng: np.random.Generator, shape: tuple[int, int], steps: tuple[float, float]) -> np.ndarray:
    """Draw noise of which neighbouring pixels lie `steps` apart on the lattice.

    In a cell the noise is a sum over the four corners of
    weight(y) · weight(x) · (g_y · (y − corner_y) + g_x · (x − corner_x)): bilinear in functions of y and of
    x alone. So the whole image is two small products with matrices that depend on the size only.
    """
    rows, rows_offset = _basis(shape[0], steps[0])
    columns, columns_offset = _basis(shape[1], steps[1])
    angle = rng.random((rows.shape[1], columns.shape[1]), dtype=np.float32) * np.float32(2 * math.pi)
    scale = np.float32(math.sqrt(2))
    across = np.concatenate((scale * np.sin(angle) @ columns.T, scale * np.cos(angle) @ columns_offset.T))
    result: np.ndarray = np.hstack((rows_offset, rows)) @ across
    return result


def _basis(length: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what each of `length` pixels takes from each lattice line: weight, and weight times distance."""
    # Turned images need many lengths; all of them are beginnings of one table.
    weight, offset = _basis_table(1 << (length - 1).bit_length(), step)
    lines = int((length - 1) * step) + 2
    return weight[:length, :lines], offset[:length, :lines]


@lru_cache(maxsize=64)
def _basis_table(length: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    position = np.arange(length) * step
    cell = position.astype(np.intp)
    t = position - cell
    fade = t**3 * (t * (6 * t - 15) + 10)
    weight = np.zeros((length, int(cell[-1]) + 2), dtype=np.float32)
    offset = np.zeros_like(weight)
    pixel = np.arange(length)
    weight[pixel, cell], weight[pixel, cell + 1] = 1 - fade, fade
    offset[pixel, cell], offset[pixel, cell + 1] = (1 - fade) * t, fade * (t - 1)
    weight.setflags(write=False)
    offset.setflags(write=False)
    return weight, offset
