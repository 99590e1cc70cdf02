"""Kinds of defect that change the form: dent, bump, hole, missing part, misprint, chipped edge, broken outline."""

from __future__ import annotations

import math

import cv2
import numpy as np

from anomgen.generators.defects.scene import Layer, Scene, blob, blurred, grey, grid, noise, relief, smoothstep
from anomgen.synthesis.sample import Box

Spot = tuple[float, float]


def dent(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A hollow pressed into the surface: shaded towards the light, lit on the far side, its content displaced."""
    return _pressed(rng, scene, spot, length, depth=-1.0)


def bump(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A bulge of the surface: lit towards the light, shaded on the far side."""
    return _pressed(rng, scene, spot, length, depth=1.0)


def _pressed(rng: np.random.Generator, scene: Scene, spot: Spot, length: float, depth: float) -> list[Layer]:
    drawn = blob(rng, scene, spot, length, aspect=rng.uniform(0.5, 1), rough=0.15, edge=0.3 * length, grow=1.15)
    if drawn is None:
        return []
    box, region, _ = drawn
    height = blurred(region, 0.06 * length) * np.float32(depth)
    shade: np.ndarray = relief(height, scene.material.light) * np.float32(0.42 * length)
    crease = -0.25 * np.exp(-(((region - 0.12) / 0.12) ** 2)) * (region > 0.01) if depth < 0 else np.float32(0)
    glint = np.clip(shade, 0, None) ** 2 * 0.6
    shade = np.where(region < 0.02, 0, np.clip(shade + glint, -1.2, 1.6) + crease)
    return [Layer(box, grey(scene, shade), limit=75)]


def hole(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A hole through the part: what lies behind shows, dark towards the light, with a thin lit edge."""
    drawn = blob(
        rng, scene, spot, length, aspect=rng.uniform(0.6, 1), rough=0.16, edge=0.9 * max(scene.unit, 0.8), grow=1.3
    )
    if drawn is None:
        return []
    box, region, inside = drawn
    window = scene.values[box.slices]
    behind = background_of(scene, box)
    if behind is None:
        level = scene.level_at(*spot)
        behind = np.full(window.shape, 14.0 if level > 60 else 205.0, dtype=np.float32)
    y, x = grid(box, spot)
    angle = math.radians(scene.material.light)
    toward = (x * math.cos(angle) - y * math.sin(angle)) / (length / 2)
    wall = smoothstep((0.34 - inside) / 0.3) * np.clip(toward, 0, 1)
    content = behind * (1 - 0.55 * wall[..., None])
    rim = np.clip(relief(blurred(region, 0.7 * max(scene.unit, 0.8)), scene.material.light) * 2.2, -0.6, 0.9) * (
        1 - region
    )
    change = region[..., None] * (content - window) - rim[..., None] * 45
    return [Layer(box, change.astype(np.float32))]


def missing_part(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A part that is not there: an end of the object broken off, or a piece of a surface's top layer gone."""
    if scene.foreground is not None:
        return _end_gone(rng, scene, scene.foreground, length)
    drawn = blob(rng, scene, spot, length, aspect=rng.uniform(0.5, 1), rough=0.3, edge=1.2 * scene.unit, grow=1.35)
    if drawn is None:
        return []
    box, region, _ = drawn
    window = np.ascontiguousarray(scene.values[box.slices])
    step = relief(-blurred(region, 0.8 * scene.unit), scene.material.light) * np.float32(2.2 * scene.unit)
    sunk = 0.8 if window.mean() > 60 else 1.4
    filled = surroundings(window, region, scene) * np.float32(sunk)
    change = region[..., None] * (filled - window) + (step * 40)[..., None]
    return [Layer(box, change.astype(np.float32))]


def _end_gone(rng: np.random.Generator, scene: Scene, solid: np.ndarray, length: float) -> list[Layer]:
    """Break the object off beyond a jagged line across one of its ends."""
    rows, columns = np.nonzero(solid)
    step = max(len(rows) // 3000, 1)
    angle = rng.uniform(0, 2 * math.pi)
    far = rows[::step] * math.sin(angle) + columns[::step] * math.cos(angle)
    limit = float(far.max()) - 0.6 * length
    y, x = np.arange(scene.shape[0], dtype=np.float32)[:, None], np.arange(scene.shape[1], dtype=np.float32)[None]
    reach = y * np.float32(math.sin(angle)) + x * np.float32(math.cos(angle)) - np.float32(limit)
    touched = np.argwhere(solid & (reach > -0.3 * length))
    box = scene.window(touched, 2) if len(touched) else None
    behind = None if box is None else background_of(scene, box)
    if box is None or behind is None:
        return []
    jag = noise(rng, (box.h, box.w), 7 * scene.unit) * np.float32(2.5 * scene.unit)
    jag += noise(rng, (box.h, box.w), 0.5 * length) * np.float32(0.12 * length)
    gone = smoothstep((reach[box.slices] + jag) / max(scene.unit, 0.8)) * blurred(
        cv2.dilate(solid[box.slices].astype(np.float32), np.ones((3, 3))), 0.6 * scene.unit
    )
    grain = np.float32(1.5) * rng.standard_normal((box.h, box.w, 1), dtype=np.float32)
    return [Layer(box, gone[..., None] * (behind + grain - scene.values[box.slices]), on_object=False)]


def misprint(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """What is printed or laid there stands beside its place: a strip shifted by 1 to 5 %, or a ghost of it."""
    turn = rng.random() < 0.5
    h, w = (0.45 * length, length) if turn else (length, 0.45 * length)
    top, left = max(round(spot[0] - h / 2), 0), max(round(spot[1] - w / 2), 0)
    box = Box(top, left, min(round(h), scene.shape[0] - top), min(round(w), scene.shape[1] - left))
    if min(box.h, box.w) < 4:
        return []
    far = scene.side * rng.uniform(0.012, 0.05)
    angle = rng.uniform(0, 2 * math.pi)
    dy, dx = round(far * math.sin(angle)), round(far * math.cos(angle))
    if dy == 0 and dx == 0:
        dx = 2
    rows = np.clip(np.arange(box.y, box.y + box.h) + dy, 0, scene.shape[0] - 1)
    columns = np.clip(np.arange(box.x, box.x + box.w) + dx, 0, scene.shape[1] - 1)
    window, moved = scene.values[box.slices], scene.values[rows[:, None], columns[None]]
    weight = 1.0 if rng.random() < 0.6 else rng.uniform(0.35, 0.6)
    y, x = grid(box, (box.y + (box.h - 1) / 2, box.x + (box.w - 1) / 2))
    away = np.minimum(box.h / 2 - np.abs(y), box.w / 2 - np.abs(x))
    region = smoothstep(away / max(1.2 * scene.unit, 1)) * np.float32(weight)
    return [Layer(box, (region[..., None] * (moved - window)).astype(np.float32))]


def chipped_edge(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A bite out of the object's outline, rimmed by the fresh face of the break."""
    drawn = blob(
        rng, scene, spot, length, aspect=rng.uniform(0.55, 1), rough=0.35, edge=1.0 * max(scene.unit, 0.8), grow=1.4
    )
    behind = None if drawn is None else background_of(scene, drawn[0])
    if drawn is None or behind is None or scene.foreground is None:
        return []
    box, region, inside = drawn
    window = scene.values[box.slices]
    solid = blurred(scene.foreground[box.slices].astype(np.float32), 0.6 * scene.unit)
    grain = np.float32(1.5) * rng.standard_normal((box.h, box.w, 1), dtype=np.float32)
    face = smoothstep((inside + 0.3) / 0.06) * (1 - region) * solid
    facet = 0.5 + 0.5 * np.clip(relief(blurred(region, 2.0 * scene.unit), scene.material.light) * 6, -1, 1)
    lit = window.mean() * (0.55 + 0.85 * facet[..., None])
    change = (region * solid)[..., None] * (behind + grain - window) + 0.8 * face[..., None] * (lit - window)
    return [Layer(box, change.astype(np.float32), on_object=False)]


def broken_outline(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """The object's outline pushed in or pulled out: its own picture bent around a place on the edge."""
    if scene.foreground is None:
        return []
    reach = 0.75 * length
    box = scene.window(np.array([spot]), 1.7 * reach)
    if box is None:
        return []
    solid = blurred(scene.foreground[box.slices].astype(np.float32), max(0.12 * length, 1.5))
    gy, gx = cv2.Sobel(solid, cv2.CV_32F, 0, 1), cv2.Sobel(solid, cv2.CV_32F, 1, 0)
    y, x = grid(box, spot)
    at = min(max(round(spot[0] - box.y), 0), box.h - 1), min(max(round(spot[1] - box.x), 0), box.w - 1)
    ny, nx = float(gy[at]), float(gx[at])
    norm = math.hypot(ny, nx)
    if norm < 1e-6:
        return []
    push = (0.42 if rng.random() < 0.6 else -0.36) * length * rng.uniform(0.7, 1.0)
    weight = np.exp(-((y * y + x * x) / np.float32((0.55 * reach) ** 2)))
    map_y = np.arange(box.y, box.y + box.h, dtype=np.float32)[:, None] - np.float32(push * ny / norm) * weight
    map_x = np.arange(box.x, box.x + box.w, dtype=np.float32)[None] - np.float32(push * nx / norm) * weight
    bent = cv2.remap(scene.values, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    window = scene.values[box.slices]
    return [Layer(box, bent.reshape(window.shape) - window, on_object=False)]


def background_of(scene: Scene, box: Box) -> np.ndarray | None:
    """Return what lies behind the object in a box, float32 (h, w, C): the background around, smoothly carried on.

    None where there is no background.
    """
    if scene.foreground is None:
        return None
    size = (32, 32)
    outside = cv2.resize((~scene.foreground).view(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(np.float32)
    if outside.sum() < 8:
        return None
    if outside.sum() > 64:
        outside = cv2.erode(outside, np.ones((3, 3))).astype(np.float32)
    small = cv2.resize(scene.values, size, interpolation=cv2.INTER_NEAREST).reshape(*size, -1) * outside[..., None]
    total, weight = np.zeros_like(small), np.zeros(size, np.float32)
    for sigma, trust in ((2.0, 1.0), (8.0, 1e-4)):
        near = cv2.GaussianBlur(outside, (0, 0), sigma)
        total += np.float32(trust) * cv2.GaussianBlur(small, (0, 0), sigma).reshape(small.shape)
        weight += np.float32(trust) * near
    field = total / np.maximum(weight, 1e-12)[..., None]
    scale = np.array([32 / scene.shape[1], 32 / scene.shape[0]])
    x = ((np.arange(box.w) + box.x + 0.5) * scale[0] - 0.5).astype(np.float32)
    y = ((np.arange(box.h) + box.y + 0.5) * scale[1] - 0.5).astype(np.float32)
    grid_x, grid_y = np.broadcast_to(x, (box.h, box.w)), np.broadcast_to(y[:, None], (box.h, box.w))
    smooth = cv2.remap(
        field,
        np.ascontiguousarray(grid_x),
        np.ascontiguousarray(grid_y),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return smooth.reshape(box.h, box.w, -1)


def surroundings(window: np.ndarray, region: np.ndarray, scene: Scene) -> np.ndarray:
    """Return a window whose region is filled with what lies around it (inpainted, Telea 2004), its fine grain gone.

    Note: scikit-image's inpaint_biharmonic takes 1.8 ms where this takes .24, on a disc of radius 12.
    """
    shrink = min(1.0, 48 / max(window.shape[:2]))
    size = max(round(window.shape[1] * shrink), 4), max(round(window.shape[0] * shrink), 4)
    small = cv2.resize(np.clip(window, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    hidden = (cv2.resize(region, size, interpolation=cv2.INTER_LINEAR) > 0.02).astype(np.uint8)
    filled = cv2.inpaint(small, cv2.dilate(hidden, np.ones((3, 3), np.uint8)), 3, cv2.INPAINT_TELEA)
    large = cv2.resize(filled, window.shape[1::-1], interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return blurred(large, scene.unit).reshape(window.shape)
