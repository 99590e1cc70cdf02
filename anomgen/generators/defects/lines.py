"""Kinds of defect that are lines: scratch, crack, fold, fibre."""

from __future__ import annotations

import math

import numpy as np

from anomgen.generators.defects.scene import (
    Layer,
    Scene,
    blurred,
    grey,
    lit,
    noise,
    path,
    relief,
    shadow_of,
    sign_at,
    stroke,
    tint,
)

Spot = tuple[float, float]


def scratch(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """One or several nearly parallel strokes: a bright or dark core, and the shadow of its groove beside it."""
    strokes = 1 if rng.random() < 0.65 else int(rng.integers(2, 5))
    direction, sign = rng.uniform(0, math.pi), sign_at(rng, scene, spot, dark=0.5)
    bend = 0.12 + 0.3 * abs(rng.normal())
    layers = []
    for _ in range(strokes):
        own = length * rng.uniform(0.5, 1.0) if strokes > 1 else length
        offset = rng.normal(0, 0.05 * scene.side, 2) if strokes > 1 else np.zeros(2)
        points = path(rng, tuple(spot + offset), own, direction + rng.normal(0, 0.06), bend=bend)
        t = np.linspace(0, 1, len(points))
        taper = np.sin(np.pi * np.clip(t, 0.02, 0.98)) ** 0.6
        swell = 1 + 0.35 * np.sin(t * rng.uniform(4, 18) + rng.uniform(0, 6))
        width = scene.unit * float(np.exp(rng.uniform(math.log(0.6), math.log(2.0)))) * taper * swell
        pressure = np.clip(
            0.75 + 0.35 * np.sin(t * rng.uniform(3, 14) + rng.uniform(0, 6)) + rng.normal(0, 0.1, len(t)), 0.15, 1
        )
        drawn = stroke(scene, points, width, pressure, soft=max(0.45 * scene.unit, 0.4), margin=3 * scene.unit)
        if drawn is None:
            continue
        box, core = drawn
        groove = relief(-blurred(core, max(0.5 * scene.unit, 0.4)), scene.material.light) * np.float32(
            1.6 * max(scene.unit, 0.6)
        )
        shade = core * np.float32(sign) + np.clip(groove, -0.35, 0.35)
        layers.append(Layer(box, grey(scene, shade), limit=85))
    return layers


def crack(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A jagged, branching, dark line that thins towards its tips; along it runs a faint light lip."""
    lines: list[tuple[np.ndarray, np.ndarray]] = []
    thick = scene.unit * float(np.exp(rng.uniform(math.log(0.9), math.log(2.1))))

    def grow(start: np.ndarray, direction: float, reach: float, wide: float, depth: int) -> None:
        steps = max(int(reach / (3.2 * scene.unit)), 4)
        turns = np.cumsum(rng.normal(0, 0.16, steps))
        angles = direction + turns + rng.choice([-1, 1], steps) * rng.uniform(0.05, 0.6, steps)
        lengths = reach / steps * rng.uniform(0.5, 1.5, steps)
        walk = np.cumsum(np.stack([np.sin(angles), np.cos(angles)], 1) * lengths[:, None], axis=0)
        points = np.concatenate([start[None], start + walk])
        lines.append((points, wide * np.linspace(1, 0.25, len(points)) * rng.uniform(0.6, 1.4, len(points))))
        if depth > 0:
            for at in np.flatnonzero(rng.random(steps) < 1.5 / steps):
                side = rng.choice([-1, 1]) * rng.uniform(0.4, 1.1)
                grow(points[at + 1], float(angles[at]) + side, reach * rng.uniform(0.2, 0.5), wide * 0.6, depth - 1)

    direction = rng.uniform(0, 2 * math.pi)
    start = np.array(spot)
    grow(start, direction, length / 2, thick, 2)
    grow(start, direction + math.pi + rng.normal(0, 0.3), length / 2, thick, 2)
    everything = np.concatenate([points for points, _ in lines])
    box = scene.window(everything, 4 * scene.unit + 2)
    if box is None:
        return []
    field = np.zeros((box.h, box.w), dtype=np.float32)
    for points, widths in lines:
        drawn = stroke(scene, points, widths, soft=max(0.35 * scene.unit, 0.35))
        if drawn is None:
            continue
        own, core = drawn
        y0, x0 = max(own.y, box.y), max(own.x, box.x)
        y1, x1 = min(own.y + own.h, box.y + box.h), min(own.x + own.w, box.x + box.w)
        if y1 <= y0 or x1 <= x0:
            continue
        target = field[y0 - box.y : y1 - box.y, x0 - box.x : x1 - box.x]
        np.maximum(target, core[y0 - own.y : y1 - own.y, x0 - own.x : x1 - own.x], out=target)
    sign = -1.0 if scene.level_at(*spot) > 35 else 1.0
    lip = np.clip(relief(-blurred(field, scene.unit), scene.material.light) * np.float32(1.2 * scene.unit), 0, 0.15)
    depth = 0.8 + 0.2 * noise(rng, (box.h, box.w), 10 * scene.unit)
    shade = np.minimum(field * 1.5, 1) * depth * np.float32(sign) + lip * (field < 0.3)
    return [Layer(box, grey(scene, shade), limit=130)]


def fold(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A crease: light on one side of a sharp line, dark on the other, both fading away from it."""
    points = path(rng, spot, length, rng.uniform(0, math.pi), bend=0.12, jag=0.02)
    reach = scene.unit * rng.uniform(7, 16)
    box = scene.window(points, 2.5 * reach)
    if box is None:
        return []
    y, x = np.arange(box.h, dtype=np.float32)[:, None] + box.y, np.arange(box.w, dtype=np.float32)[None] + box.x
    (y0, x0), (y1, x1) = points[0], points[-1]
    run = math.hypot(y1 - y0, x1 - x0) + 1e-6
    along = ((y - y0) * (y1 - y0) + (x - x0) * (x1 - x0)) / run**2
    rows, columns = points[:, 0], points[:, 1]
    # How far to which side of the line: compared with the line's point at the same place along the chord.
    place = np.clip(along, 0, 1) * (len(points) - 1)
    side_y, side_x = np.interp(place, np.arange(len(points)), rows), np.interp(place, np.arange(len(points)), columns)
    beside = (((x - side_x) * (y1 - y0) - (y - side_y) * (x1 - x0)) / run).astype(np.float32)
    side, away = np.tanh(beside / np.float32(max(scene.soft, 0.6))), np.abs(beside)
    ends = np.clip(np.minimum(along, 1 - along) * run / (0.25 * length) + 0.15, 0, 1).astype(np.float32)
    facing = 1.0 if math.sin(math.radians(scene.material.light) + math.atan2(y1 - y0, x1 - x0)) > 0 else -1.0
    slope = side * facing * np.exp(-away / np.float32(reach * 0.5))
    core = -0.5 * np.exp(-((away / np.float32(0.9 * max(scene.unit, 0.7))) ** 2))
    shade = (0.75 * slope + core) * ends
    shade = blurred(shade.astype(np.float32), max(0.5 * scene.unit, scene.soft))
    shade[np.abs(shade) < 0.06] = 0
    return [Layer(box, lit(scene, box, shade), limit=100)]


def fibre(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A fibre or hair that lies on the surface: a thin curling line of one colour, with a soft shadow."""
    points = path(rng, spot, length, rng.uniform(0, math.pi), steps=40, bend=rng.uniform(0.6, 2.2))
    width = scene.unit * rng.uniform(0.8, 1.7) * rng.uniform(0.85, 1.15, len(points))
    drawn = stroke(scene, points, width, soft=max(0.35 * scene.unit, 0.35), margin=6 * scene.unit)
    if drawn is None:
        return []
    box, core = drawn
    level = scene.level_at(*spot)
    colour = (level - 90 if level > 128 else level + 90) + tint(rng, scene, 0.0, 12.0)
    window = scene.values[box.slices]
    shadow = shadow_of(blurred(core, 1.2 * scene.unit), scene, 2.0) * (1 - core)
    covered = core[..., None]
    change = covered * (colour - window) * 0.95 - window * np.float32(0.2) * shadow[..., None]
    return [Layer(box, change.astype(np.float32))]
