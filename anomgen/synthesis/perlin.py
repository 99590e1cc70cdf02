"""Perlin noise on a lattice, and the random regions that DRAEM cuts out of it.

Zavrtanik, Kristan, Skočaj: "DRAEM – A discriminatively trained reconstruction embedding for surface anomaly
detection", ICCV 2021, arXiv 2108.07610. The noise itself: Perlin, "Improving noise", SIGGRAPH 2002; our own, or that of
the package `noise`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from types import ModuleType
from typing import Literal, NamedTuple

import cv2
import numpy as np

from anomgen.synthesis.fields import require_noise

MIN_CELL_PIXELS = 4
"""Smallest cell of the lattice that `draw_perlin` asks for: finer ones give specks, not regions."""


NoiseField = Literal["gradient", "noise"]
"""Where the noise comes from: `gradient`, drawn here with a gradient of random direction at every crossing of the
lattice; `noise`, a random cut-out of the one solid noise that the package of this name computes."""

PERIOD = 256
"""Cells after which the noise of the package `noise` repeats itself, in each direction."""


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
    rng: np.random.Generator,
    shape: tuple[int, int],
    res_y: float,
    res_x: float,
    degrees: float,
    field: NoiseField = "gradient",
) -> np.ndarray:
    """Draw `perlin_noise` whose lattice is turned by `degrees` about the image's centre.

    The noise is drawn on the rectangle that covers the turned image, so it has no empty corners. Both fields have the
    same mean and covariance, and that of `noise` a fourth moment larger by 5 %. Raises UsageError without the package.
    """
    steps = (res_y / shape[0], res_x / shape[1])
    if degrees == 0 and field == "gradient":
        return _noise(rng, shape, steps)
    (tall, wide), matrix = _turn(shape, degrees)
    if field == "noise":
        return _cut_out(rng, shape, steps, matrix)
    canvas = _noise(rng, (tall, wide), steps)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(canvas, matrix, shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _turn(shape: tuple[int, int], degrees: float) -> tuple[tuple[int, int], np.ndarray]:
    """Return the height and width of the canvas, and where on it a pixel (x, y) lies, centre to centre: (2, 3)."""
    height, width = shape
    if degrees == 0:
        return shape, np.eye(2, 3)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    tall = math.ceil(height * abs(cos) + width * abs(sin)) + 1
    wide = math.ceil(width * abs(cos) + height * abs(sin)) + 1
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    matrix = np.array(
        [
            [cos, -sin, (wide - 1) / 2 - cos * centre_x + sin * centre_y],
            [sin, cos, (tall - 1) / 2 - sin * centre_x - cos * centre_y],
        ]
    )
    return (tall, wide), matrix


def require_package() -> ModuleType:
    """Return the package `noise`, which the field of this name needs, or raise UsageError."""
    return require_noise("generator.field: noise", "take field: gradient")


def _cut_out(
    rng: np.random.Generator, shape: tuple[int, int], steps: tuple[float, float], matrix: np.ndarray
) -> np.ndarray:
    """Draw a cut-out of a layer of the package's solid noise, from a crossing of its lattice on.

    A layer through the lattice is noise of two dimensions, of other gradients in each. (The package's own has but one
    plane, in which neighbouring gradients go together.) The gradients are of 16 kinds and their components have a mean
    square of 10/16; √1.6 makes this 1, as `_noise` has it.
    """
    pnoise3 = require_package().pnoise3
    layer, top, left = rng.integers(PERIOD, size=3)
    y, x = np.ogrid[: shape[0], : shape[1]]
    v = top + steps[0] * (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2])
    u = left + steps[1] * (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2])
    values: np.ndarray = np.frompyfunc(pnoise3, 3, 1)(u, v, layer).astype(np.float32)
    return values * np.float32(math.sqrt(1.6))


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
    field: NoiseField = "gradient",
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
    noise = rotated_noise(rng, shape, drawn.res_y, drawn.res_x, drawn.rotation, field)
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
