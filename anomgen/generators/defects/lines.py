"""Kinds of defect that are lines: scratch, crack, fold, fibre."""

from __future__ import annotations

import math

import cv2
import numpy as np

from anomgen.generators.defects.scene import (
    Layer,
    Scene,
    blob,
    blurred,
    depth,
    foreign,
    grey,
    lit,
    path,
    relief,
    shadow_of,
    sign_at,
    stroke,
)

Spot = tuple[float, float]


def scratch(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """One or several nearly parallel strokes, a bright or dark core and the shadow of its groove; or a rubbed place."""
    if rng.random() < 0.12:
        return scuff(rng, scene, spot, 0.6 * length)
    strokes = 1 if rng.random() < 0.65 else int(rng.integers(2, 5))
    direction, sign = rng.uniform(0, math.pi), sign_at(rng, scene, spot, dark=0.5)
    bend = 0.06 + 0.2 * abs(rng.normal())
    layers = []
    for _ in range(strokes):
        own = length * rng.uniform(0.5, 1.0) if strokes > 1 else length
        offset = rng.normal(0, 0.05 * scene.side, 2) if strokes > 1 else np.zeros(2)
        points = path(rng, tuple(spot + offset), own, direction + rng.normal(0, 0.06), bend=bend)
        t = np.linspace(0, 1, len(points))
        taper = np.clip(np.minimum(t / rng.uniform(0.03, 0.3), (1 - t) / rng.uniform(0.1, 0.6)), 0.05, 1) ** 0.7
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
        layers.append(Layer(box, grey(scene, shade), limit=depth(rng, 130)))
    return layers


def crack(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A jagged line with branches, wide and deep in places, that thins and fades towards its tips.

    It is dark, as no light leaves it; in glass and other nearly black bodies its faces gleam.
    """
    lines: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    thick = scene.unit * float(np.exp(rng.uniform(math.log(0.7), math.log(1.8))))

    def grow(start: np.ndarray, direction: float, reach: float, wide: float, forks: int) -> None:
        steps = max(int(reach / (2.8 * scene.unit)), 4)
        wander = np.cumsum(rng.normal(0, 0.14, steps))
        angles = direction + wander - np.linspace(0, 0.7, steps) * wander[-1] + rng.normal(0, 0.42, steps)
        lengths = reach / steps * rng.uniform(0.4, 1.6, steps)
        walk = np.cumsum(np.stack([np.sin(angles), np.cos(angles)], 1) * lengths[:, None], axis=0)
        points = np.concatenate([start[None], start + walk])
        t = np.linspace(0, 1, len(points))
        uneven = 0.9 + 0.3 * np.sin(t * rng.uniform(4, 16) + rng.uniform(0, 6)) + rng.normal(0, 0.1, len(t))
        open_ = np.clip(uneven, 0.6, 1.2) * np.minimum(1, 2.2 * (1.15 - t))
        lines.append((points, wide * (1 - 0.6 * t) * np.clip(uneven, 0.6, 1.4), np.clip(open_, 0.3, 1)))
        if forks > 0:
            for at in np.flatnonzero(rng.random(steps) < 1.3 / steps):
                side = rng.choice([-1, 1]) * rng.uniform(0.35, 1.0)
                grow(points[at + 1], float(angles[at]) + side, reach * rng.uniform(0.15, 0.5), wide * 0.6, forks - 1)

    direction = rng.uniform(0, 2 * math.pi)
    grow(np.array(spot), direction, length / 2, thick, 2)
    grow(np.array(spot), direction + math.pi + rng.normal(0, 0.3), length / 2, thick, 2)
    box = scene.window(np.concatenate([points for points, *_ in lines]), 4 * scene.unit + 2)
    if box is None:
        return []
    field = np.zeros((box.h, box.w), dtype=np.float32)
    for line in lines:
        drawn = stroke(scene, *line, soft=max(0.35 * scene.unit, 0.35))
        if drawn is None:
            continue
        own, core = drawn
        y0, x0 = max(own.y, box.y), max(own.x, box.x)
        y1, x1 = min(own.y + own.h, box.y + box.h), min(own.x + own.w, box.x + box.w)
        if y1 <= y0 or x1 <= x0:
            continue
        target = field[y0 - box.y : y1 - box.y, x0 - box.x : x1 - box.x]
        np.maximum(target, core[y0 - own.y : y1 - own.y, x0 - own.x : x1 - own.x], out=target)
    level = scene.level_at(*spot)
    sign = 1.0 if level < 35 or (level < 55 and rng.random() < 0.6) else -1.0
    lip = np.clip(relief(-blurred(field, scene.unit), scene.material.light) * np.float32(scene.unit), 0, 0.1)
    shade = field * np.float32(sign) + lip * (field < 0.25)
    return [Layer(box, grey(scene, shade), limit=depth(rng, 280 if sign < 0 else 150))]


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
    return [Layer(box, lit(scene, box, shade), limit=depth(rng, 130))]


def scuff(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A rubbed place: fine parallel strokes in a patch without an outline, mostly brighter than what is around."""
    drawn = blob(rng, scene, spot, length, aspect=rng.uniform(0.3, 0.8), rough=0.35, edge=0.2 * length, grow=1.1)
    if drawn is None:
        return []
    box, region, _ = drawn
    direction, reach = rng.uniform(0, math.pi), max(0.12 * length, 3.0)
    size = 2 * math.ceil(reach) + 1
    kernel = np.zeros((size, size), np.float32)
    middle, along = size // 2, np.array([math.cos(direction), math.sin(direction)]) * reach
    ends = np.rint(np.stack([middle - along, middle + along])).astype(int).tolist()
    cv2.line(kernel, ends[0], ends[1], 1.0 / size, 1, cv2.LINE_AA)
    streaks = cv2.filter2D(rng.standard_normal((box.h, box.w), dtype=np.float32), cv2.CV_32F, kernel)
    streaks = blurred(streaks, max(0.45 * scene.unit, scene.soft))
    streaks = streaks / np.float32(max(float(streaks.std()), 1e-3))
    sign = sign_at(rng, scene, spot, dark=0.3)
    shade = region * (np.float32(0.4 * sign) + 0.25 * np.clip(streaks, -2, 2))
    return [Layer(box, lit(scene, box, shade), limit=depth(rng, 120))]


def fibre(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A fibre or hair that lies on the surface: a curling line of one colour, thinner at its ends, with a shadow."""
    points = path(rng, spot, length, rng.uniform(0, math.pi), steps=40, bend=rng.uniform(0.1, 2.0))
    t = np.linspace(0, 1, len(points))
    taper = np.clip(np.minimum(t, 1 - t) / rng.uniform(0.03, 0.25), 0.4, 1)
    width = scene.unit * float(np.exp(rng.uniform(math.log(0.7), math.log(2.4)))) * taper
    width *= rng.uniform(0.85, 1.15, len(points))
    drawn = stroke(scene, points, width, soft=max(0.4 * scene.unit, 0.4), margin=6 * scene.unit)
    if drawn is None:
        return []
    box, core = drawn
    colour = foreign(rng, scene, spot)
    window = scene.values[box.slices]
    shadow = shadow_of(blurred(core, 1.2 * scene.unit), scene, 2.0) * (1 - core)
    covered = core[..., None] * np.float32(rng.uniform(0.75, 1.0))
    change = covered * (colour - window) - window * np.float32(0.15) * shadow[..., None]
    return [Layer(box, change.astype(np.float32))]
