"""Pictures of products that nobody photographed: drawn by formulas, so that the documentation may show them.

Each material is a function of (rng, side) that returns an RGB picture, uint8 (side, side, 3); two draws differ as two
photographs of two specimens do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import cKDTree

Material = Callable[[np.random.Generator, int], np.ndarray]


def steel(rng: np.random.Generator, side: int) -> np.ndarray:
    """Brushed steel: fine lines along one direction under a broad band of light."""
    lines = _noise(rng, side, (0.6, 14)) * 0.55 + _noise(rng, side, (0.8, 40)) * 0.6 + _noise(rng, side, (6, 60)) * 0.4
    y, x = _grid(side)
    light = np.exp(-(((x * 0.8 + y * 0.35 - rng.uniform(0.35, 0.75)) / 0.42) ** 2))
    grey = 118 + 62 * light + 11 * lines + 1.5 * rng.standard_normal((side, side))
    return _coloured(grey, (0.965, 0.985, 1.0))


def fabric(rng: np.random.Generator, side: int) -> np.ndarray:
    """Plain weave: threads that pass over and under each other, each a little thicker or thinner."""
    threads = 26
    y, x = _grid(side)
    warp = x * threads + 0.10 * _noise(rng, side, (14, 14)) + rng.uniform()
    weft = y * threads + 0.10 * _noise(rng, side, (14, 14)) + rng.uniform()
    over = (np.floor(warp) + np.floor(weft)) % 2 == 0
    tone = rng.normal(1, 0.045, threads + 3)
    light = np.where(over, _thread(warp, weft, tone), 0.93 * _thread(weft, warp, tone))
    fibre = np.where(over, _noise(rng, side, (3, 0.7)), _noise(rng, side, (0.7, 3)))
    grey = 46 + 138 * light + 9 * fibre + 5 * _noise(rng, side, (30, 30))
    return _coloured(grey, (0.62, 0.80, 1.0))


def _thread(across: np.ndarray, along: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Return the light on threads that lie side by side; one unit of `across` is a thread's width."""
    round_ = np.sin(np.pi * (across % 1)) ** 0.6
    return round_ * (0.62 + 0.38 * np.sin(np.pi * (along % 1))) * tone[np.floor(across).astype(int)]


def wood(rng: np.random.Generator, side: int) -> np.ndarray:
    """A planed board: rings cut lengthwise, pores, a slow change of tone."""
    _, x = _grid(side)
    bend = 0.035 * _noise(rng, side, (80, 50)) + 0.010 * _noise(rng, side, (45, 12))
    ring = (x + bend + rng.uniform()) * 11
    wide = np.random.default_rng(5).uniform(0.5, 1.0, 64)  # how dark each year's late wood is
    late = (ring % 1) ** 2.2 * np.clip((1 - ring % 1) * 7, 0, 1) * wide[np.floor(ring).astype(int) % 64]
    pores = np.clip(_noise(rng, side, (7, 0.5)) - 1.1, 0, None)
    grey = 202 - 62 * late - 26 * pores + 5 * _noise(rng, side, (30, 0.8)) + 5 * _noise(rng, side, (60, 60))
    return _coloured(grey, (1.0, 0.76, 0.50))


def leather(rng: np.random.Generator, side: int) -> np.ndarray:
    """Leather: cells with creases between them, lit from the side."""
    count = 900
    points = rng.uniform(-0.05, 1.05, (count, 2)).astype(np.float32)
    y, x = _grid(side)
    where = np.stack([y + 0.006 * _noise(rng, side, (4, 4)), x + 0.006 * _noise(rng, side, (4, 4))], axis=-1)
    near = cKDTree(points).query(where.reshape(-1, 2), k=2)[0].reshape(side, side, 2)
    height = np.clip((near[..., 1] - near[..., 0]) * 60, 0, 1) ** 0.7
    height = (
        cv2.GaussianBlur(height, (0, 0), 0.9) + 0.10 * _noise(rng, side, (2, 2)) + 0.3 * _noise(rng, side, (30, 30))
    )
    grey = 92 + 95 * _slope(height, side) + 22 * height + 4 * _noise(rng, side, (0.8, 0.8))
    return _coloured(grey, (1.0, 0.62, 0.42))


def pill(rng: np.random.Generator, side: int) -> np.ndarray:
    """A capsule of two colours on dark felt; it never lies twice in the same way."""
    y, x = _grid(side)
    turn = np.deg2rad(rng.normal(-28, 6))
    cy, cx = 0.5 + rng.uniform(-0.03, 0.03, 2)
    along = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
    across = -(x - cx) * np.sin(turn) + (y - cy) * np.cos(turn)
    radius, half = 0.155, 0.215
    distance = np.hypot(np.clip(np.abs(along) - half, 0, None), across)
    cap = along > 0.015
    radius = np.where(cap, radius, radius * 0.962)
    inside = np.clip((radius - distance) * side / 1.4 + 0.5, 0, 1)[..., None]
    height = np.sqrt(np.clip(radius**2 - distance**2, 0, None))
    normal_y, normal_x = np.gradient(cv2.GaussianBlur(height, (0, 0), 1.2) * side)
    depth = 1 / np.sqrt(1 + normal_x**2 + normal_y**2)
    lambert = np.clip((0.80 - 0.42 * normal_x - 0.5 * normal_y) * depth, 0, 1.6)
    gloss = np.clip((0.86 - 0.30 * normal_x - 0.42 * normal_y) * depth, 0, 2) ** 26 * 0.10
    colour = np.where(cap[..., None], (206, 62, 48), (236, 231, 218)).astype(np.float32)
    text = _print("A7", side, turn, (side * cx, side * cy))[..., None] * ~cap[..., None]
    lit = colour * (0.40 + 0.62 * lambert[..., None]) * (1 - 0.55 * text) + 235 * gloss[..., None]
    felt = 40 + 5 * _noise(rng, side, (1.1, 1.1)) + 4 * _noise(rng, side, (7, 7))
    below = np.roll(distance, (side // 40, side // 50), (0, 1)) < 0.16
    shadow = cv2.GaussianBlur(below.astype(np.float32), (0, 0), side / 40)
    felt = felt * (1 - 0.55 * shadow)
    picture = _coloured(felt, (0.92, 0.97, 1.0)).astype(np.float32) * (1 - inside) + lit * inside
    return _rounded(picture + 1.6 * rng.standard_normal((side, side, 1)))


def _print(text: str, side: int, turn: float, middle: tuple[float, float]) -> np.ndarray:
    """Return how much ink is on each pixel, 0 to 1."""
    ink = np.zeros((side, side), np.uint8)
    place, thickness = (int(side * 0.30), int(side * 0.56)), max(side // 110, 1)
    cv2.putText(ink, text, place, cv2.FONT_HERSHEY_DUPLEX, side / 300, 255, thickness, cv2.LINE_AA)
    rotation = cv2.getRotationMatrix2D(middle, -np.rad2deg(turn), 1)
    return cv2.warpAffine(ink / np.float32(255), rotation, (side, side))


def board(rng: np.random.Generator, side: int) -> np.ndarray:
    """A printed circuit: copper tracks and pads below green lacquer, always the same layout, hardly shifted."""
    track, pad, hole = _circuit(side, rng.uniform(-0.12, 0.12, 2))
    grain = _noise(rng, side, (0.8, 0.8))[..., None]
    lacquer = np.array((24, 92, 58), np.float32) + 3.5 * grain
    copper = np.array((62, 140, 84), np.float32) + 3.5 * grain
    tin = np.array((196, 196, 188), np.float32) + 9 * grain + 8 * _noise(rng, side, (5, 5))[..., None]
    picture = lacquer * (1 - track) + copper * track
    picture = picture * (1 - pad) + tin * pad
    picture = picture * (1 - hole) + np.array((28, 26, 24), np.float32) * hole
    y, x = _grid(side)
    light = (1.02 + 0.14 * (0.5 - y) + 0.10 * (x - 0.5) + 0.015 * _noise(rng, side, (40, 40)))[..., None]
    return _rounded(picture * light + 1.2 * rng.standard_normal((side, side, 3)))


def _circuit(side: int, shift: np.ndarray) -> list[np.ndarray]:
    """Return how much of each pixel is track, pad and hole, (side, side, 1); shift: rows and columns, of 16 a side."""
    layout, scale = np.random.default_rng(11), 4
    unit = side * scale / 16
    tracks, pads, holes = np.zeros((3, side * scale, side * scale), np.uint8)

    def at(column: float, row: float) -> tuple[int, int]:
        return int((column + shift[0]) * unit), int((row + shift[1]) * unit)

    for lane in range(7):
        column, row = 0.0, 1.2 + 2.1 * lane
        points = [at(-1, row)]
        while column < 17:
            column += layout.uniform(2, 5)
            points.append(at(column, row))
            step = layout.choice([-0.7, 0.0, 0.7])
            column, row = column + abs(step), row + step
            points.append(at(column, row))
        cv2.polylines(tracks, [np.array(points, np.int32)], False, 255, int(unit * 0.30), cv2.LINE_AA)
    for column in range(2, 16, 4):
        for row in range(2, 16, 4):
            place = at(column + layout.uniform(-0.6, 0.6), row + layout.uniform(-0.6, 0.6))
            cv2.circle(pads, place, int(unit * 0.62), 255, -1, cv2.LINE_AA)
            cv2.circle(holes, place, int(unit * 0.26), 255, -1, cv2.LINE_AA)
    shrunk = [cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA) for part in (tracks, pads, holes)]
    return [part[..., None] / np.float32(255) for part in shrunk]


MATERIALS: dict[str, Material] = {
    "steel": steel,
    "fabric": fabric,
    "wood": wood,
    "leather": leather,
    "pill": pill,
    "board": board,
}
"""Name → how it is drawn."""


def stained(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Return a picture with a few dark stains near its middle: a stand-in for real defects."""
    side = picture.shape[0]
    y, x = _grid(side)
    stain = np.zeros((side, side), np.float32)
    for _ in range(rng.integers(1, 5)):
        cy, cx = rng.uniform(0.25, 0.75, 2)
        distance = np.hypot(y - cy, x - cx) + 0.012 * _noise(rng, side, (6, 6))
        stain = np.maximum(stain, np.clip((rng.uniform(0.02, 0.07) - distance) * side / 4 + 0.5, 0, 1))
    weight = rng.uniform(0.55, 0.9) * stain[..., None]
    return _rounded(picture * (1 - weight) + np.array((52, 40, 30), np.float32) * weight)


def write(pictures: Iterable[np.ndarray], folder: Path) -> Path:
    """Write pictures as PNG; return the folder, which is a source for anomgen."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{index:03d}.png"), picture[..., ::-1])
    return folder


def specimens(name: str, count: int, side: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield `count` pictures of a material."""
    for index in range(count):
        yield MATERIALS[name](np.random.default_rng((seed, index)), side)


def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns as shares of the side."""
    line = (np.arange(side, dtype=np.float32) + 0.5) / side
    return np.meshgrid(line, line, indexing="ij")


def _noise(rng: np.random.Generator, side: int, sigma: tuple[float, float]) -> np.ndarray:
    """Return smooth noise of mean 0 and deviation 1; sigma: (rows, columns), in pixels of a picture of 256."""
    scale = side / 256
    reach = [int(4 * value * scale) + 2 for value in sigma]
    raw = rng.standard_normal((side + 2 * reach[0], side + 2 * reach[1])).astype(np.float32)
    smooth = cv2.GaussianBlur(raw, (0, 0), sigmaX=sigma[1] * scale, sigmaY=sigma[0] * scale)
    smooth = smooth[reach[0] : reach[0] + side, reach[1] : reach[1] + side]
    return (smooth - smooth.mean()) / smooth.std()


def _slope(height: np.ndarray, side: int) -> np.ndarray:
    """Return how far a surface leans to the light at the upper left, about −1 to 1."""
    rows, columns = np.gradient(height * 2.2 * side / 256)
    return np.clip(-(rows + columns) / 2, -1, 1)


def _coloured(grey: np.ndarray, tint: tuple[float, float, float]) -> np.ndarray:
    return _rounded(grey[..., None] * np.array(tint, np.float32))


def _rounded(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
