"""Kinds of defect that are marks on the surface: stain, spot, discolouration, burn, corrosion, contamination, …"""

from __future__ import annotations

import math

import cv2
import numpy as np

from anomgen.generators.defects.lines import fibre
from anomgen.generators.defects.scene import (
    Layer,
    Scene,
    blob,
    blurred,
    depth,
    foreign,
    grey,
    grid,
    lit,
    noise,
    relief,
    shadow_of,
    sign_at,
    smoothstep,
    tint,
    warm,
)
from anomgen.synthesis.perlin import perlin_noise
from anomgen.synthesis.sample import Box

Spot = tuple[float, float]


def stain(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A dried liquid: an even tone over the grain, with a darker edge."""
    drawn = blob(rng, scene, spot, length, aspect=rng.uniform(0.5, 1), rough=0.3, edge=0.06 * length + scene.unit)
    if drawn is None:
        return []
    box, region, inside = drawn
    wide = 0.07 * (1 + 0.8 * noise(rng, (box.h, box.w), 0.5 * length))
    rim = np.exp(-(((inside - 0.06) / np.maximum(wide, 0.02)) ** 2)) * region
    rim *= np.clip(0.7 + 0.9 * noise(rng, (box.h, box.w), 0.6 * length), 0, 1)
    cloud = 0.75 + 0.4 * noise(rng, (box.h, box.w), 0.3 * length)
    strength = (region * cloud * 0.75 + 0.55 * rim)[..., None]
    sign = sign_at(rng, scene, spot, dark=0.85)
    change = strength * warm(rng, scene, sign, 0.9) * _tone(scene, box, sign)
    return [Layer(box, change.astype(np.float32), limit=depth(rng, 180))]


def spot(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """One or a few small round pits: dark, with a light crescent on the side away from the light."""
    count = 1 if rng.random() < 0.5 else int(rng.integers(2, 6))
    layers = []
    for number in range(count):
        own = max(length * rng.uniform(0.45, 1.0), 2.5) if number else length
        where = spot if number == 0 else (spot[0] + rng.normal(0, 2.2 * length), spot[1] + rng.normal(0, 2.2 * length))
        drawn = blob(rng, scene, where, own, aspect=rng.uniform(0.7, 1), rough=0.15, edge=max(0.3 * own, 1), grow=1.6)
        if drawn is None:
            continue
        box, region, _ = drawn
        sign = -1.0 if scene.level_at(*where) > 45 else 1.0
        facing = relief(blurred(region, 0.1 * own + 0.3), scene.material.light) * np.float32(-0.3 * own)
        shade = region * np.float32(sign) + np.clip(facing, 0, 0.2) * (1 - region)
        layers.append(Layer(box, lit(scene, box, shade), limit=depth(rng, 220)))
    return layers


def discoloration(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A wide, soft region of another tone, the material's grain kept."""
    drawn = blob(rng, scene, spot, length, aspect=rng.uniform(0.4, 1), rough=0.35, edge=0.35 * length, grow=1.1)
    if drawn is None:
        return []
    box, region, _ = drawn
    sign = sign_at(rng, scene, spot, dark=0.6)
    cloud = 0.85 + 0.3 * noise(rng, (box.h, box.w), 0.4 * length)
    strength = (region * cloud)[..., None]
    change = strength * tint(rng, scene, 0.8 * sign, 0.6) * _tone(scene, box, sign)
    return [Layer(box, change.astype(np.float32), limit=depth(rng, 130))]


def uneven_finish(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A band of the surface ground, coated or printed otherwise: another tone and contrast, one sharp, wavy side."""
    height, width = scene.shape
    angle = rng.integers(4) * math.pi / 2 + rng.normal(0, 0.08 if rng.random() < 0.6 else 0.6)
    ny, nx = math.sin(angle), math.cos(angle)
    box = Box(0, 0, height, width)
    y, x = grid(box, spot)
    beyond = y * np.float32(ny) + x * np.float32(nx) + np.float32(0.05 * length) * noise(rng, scene.shape, 0.4 * length)
    region = smoothstep(beyond / max(5 * scene.unit, 1)) * (1 - smoothstep((beyond - 0.6 * length) / (0.4 * length)))
    window = max(round(14 * scene.unit), 3)
    smooth = cv2.blur(scene.values, (window, window)).reshape(scene.values.shape)
    gain = rng.uniform(0.5, 0.8) if rng.random() < 0.5 else rng.uniform(1.3, 1.9)
    sign = sign_at(rng, scene, spot, dark=0.5)
    tone = np.float32(0.16) * smooth * tint(rng, scene, sign, 0.3) if sign < 0 else 26 * tint(rng, scene, sign, 0.3)
    changed = tone + (scene.values - smooth) * np.float32(gain - 1)
    return [Layer(box, (region[..., None] * changed).astype(np.float32), limit=90)]


def burn(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A scorched place: black in the middle, brown further out, fading irregularly."""
    drawn = blob(rng, scene, spot, length, aspect=rng.uniform(0.45, 1), rough=0.35, edge=0.2 * length, grow=1.3)
    if drawn is None:
        return []
    box, region, inside = drawn
    ragged = (
        inside + 0.16 * noise(rng, (box.h, box.w), 0.12 * length) + 0.08 * noise(rng, (box.h, box.w), 0.04 * length)
    )
    ragged = blurred(ragged.astype(np.float32), max(0.8 * scene.unit, scene.soft))
    char, halo = smoothstep((ragged - 0.25) / 0.5)[..., None], (smoothstep(ragged / 0.4) * region)[..., None]
    window = scene.values[box.slices]
    brown = (
        np.array([0.62, 0.45, 0.30], np.float32)
        if window.shape[2] == 3 and scene.material.colourful
        else np.float32(0.5)
    )
    scorched = window * (1 - halo * (1 - brown))
    scorched = scorched * (1 - 0.75 * char)
    return [_blended(box, scorched - window)]


def corrosion(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """Patches of rust, oxide or mould: fragments of many sizes around a place, mottled, that hide the material."""
    box = scene.window(np.array([spot]), length / 2)
    if box is None:
        return []
    shape, cell = (box.h, box.w), max(length * float(np.exp(rng.uniform(math.log(0.08), math.log(0.3)))), 5.0)
    field = perlin_noise(rng, shape, box.h / cell, box.w / (cell * rng.uniform(0.5, 1)))
    field += np.float32(0.5) * noise(rng, shape, 0.3 * cell)
    y, x = grid(box, spot)
    away = np.sqrt(y * y + x * x) / np.float32(length / 2)
    covered = float(np.quantile(field[away < 0.8], rng.uniform(0.55, 0.85))) if (away < 0.8).any() else 0.0
    over = field - np.float32(covered) - smoothstep((away - 0.4) / 0.6)
    region = blurred(smoothstep(over / np.float32(0.3)), max(scene.soft, 0.4 * scene.unit))
    sign = sign_at(rng, scene, spot, dark=0.7)
    hue = warm(rng, scene, sign, 1.0) if rng.random() < 0.7 else tint(rng, scene, sign, 0.3)
    mottled = 1 + 0.7 * noise(rng, shape, 4 * scene.unit)
    change = (region * mottled)[..., None] * hue * _tone(scene, box, sign)
    return [Layer(box, change.astype(np.float32), limit=depth(rng, 260))]


def contamination(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """Foreign matter on the surface: a fibre, a flake, dust, or a droplet."""
    choice = rng.random()
    if choice < 0.35:
        return fibre(rng, scene, spot, max(length * 2.2, 18 * scene.unit))
    if choice < 0.65:
        return flake(rng, scene, spot, 0.8 * length)
    return dust(rng, scene, spot, length) if choice < 0.85 else droplet(rng, scene, spot, length)


def flake(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A chip, shard or crumb of something else: opaque, with corners, of one colour, with a shadow beside it."""
    radius, turn = max(length / 2, 1.5 * scene.unit), rng.uniform(0, 2 * math.pi)
    corners = int(rng.integers(4, 8))
    angles = (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) * 2 * math.pi / corners
    far = radius * rng.uniform(0.6, 1.1, corners)
    along, across = far * np.cos(angles), far * np.sin(angles) * rng.uniform(0.25, 0.9)
    sine, cosine = math.sin(turn), math.cos(turn)
    points = np.stack([along * sine + across * cosine, along * cosine - across * sine], axis=1) + np.array(spot)
    box = scene.window(points, 4 * scene.unit + 3 * scene.soft + 2)
    if box is None:
        return []
    canvas = np.zeros((box.h, box.w), np.uint8)
    shifted = np.rint((points - (box.y, box.x))[:, ::-1] * 16).astype(np.int32)
    cv2.fillPoly(canvas, [shifted], 255, cv2.LINE_AA, 4)
    region = blurred(canvas.astype(np.float32) / np.float32(255), max(0.5 * scene.unit, scene.soft))
    y, x = grid(box, spot)
    shade = 1 + np.float32(rng.normal(0, 0.12) / radius) * y + np.float32(rng.normal(0, 0.12) / radius) * x
    content = foreign(rng, scene, spot) * (shade + 0.12 * noise(rng, (box.h, box.w), 0.5 * radius))[..., None]
    window = scene.values[box.slices]
    shadow = np.clip(shadow_of(region, scene, rng.uniform(0.6, 1.6)) - region, 0, 1)[..., None]
    change = (rng.uniform(0.75, 1.0) * region)[..., None] * (content - window) - 0.2 * shadow * window
    return [Layer(box, change.astype(np.float32))]


def dust(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A sprinkle of small opaque grains of one colour, each with a shadow."""
    colour = foreign(rng, scene, spot)
    layers = []
    for _ in range(int(rng.integers(4, 14))):
        where = spot[0] + rng.normal(0, 0.45 * length), spot[1] + rng.normal(0, 0.45 * length)
        own = scene.unit * float(np.exp(rng.normal(math.log(3.2), 0.45)))
        drawn = blob(rng, scene, where, own, aspect=rng.uniform(0.45, 1), rough=0.3, edge=0.8, grow=2.0)
        if drawn is None:
            continue
        box, region, _ = drawn
        window = scene.values[box.slices]
        shadow = np.clip(shadow_of(blurred(region, 0.8), scene, 1.2) - region, 0, 1)[..., None]
        layers.append(
            Layer(box, (region[..., None] * (colour - window) * 0.9 - shadow * window * 0.2).astype(np.float32))
        )
    return layers


def droplet(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A drop of liquid: darker towards the light, bright on the far side, one glint, a thin rim."""
    drawn = blob(rng, scene, spot, length, aspect=rng.uniform(0.75, 1), rough=0.1, edge=1.2 * scene.unit)
    if drawn is None:
        return []
    box, region, inside = drawn
    y, x = grid(box, spot)
    angle, radius = math.radians(scene.material.light), length / 2
    toward = (x * math.cos(angle) - y * math.sin(angle)) / radius
    glint = np.exp(-(((x / radius - 0.45 * math.cos(angle)) ** 2 + (y / radius + 0.45 * math.sin(angle)) ** 2) / 0.018))
    rim = np.exp(-((inside / 0.09) ** 2))
    shade = region * (-0.5 * toward + 1.9 * glint - 0.65 * rim - 0.1)
    return [Layer(box, grey(scene, shade), limit=depth(rng, 160))]


def haze(rng: np.random.Generator, scene: Scene, spot: Spot, length: float) -> list[Layer]:
    """A region out of focus under a veil: the grain is blurred and the contrast falls towards a light grey."""
    drawn = blob(rng, scene, spot, length, aspect=rng.uniform(0.5, 1), rough=0.25, edge=0.4 * length)
    if drawn is None:
        return []
    box, region, _ = drawn
    region = region * np.clip(0.9 + 0.3 * noise(rng, (box.h, box.w), 0.35 * length), 0, 1)
    window = np.ascontiguousarray(scene.values[box.slices])
    soft = cv2.GaussianBlur(window, (0, 0), max(scene.unit * rng.uniform(2.5, 6.0), 1.0)).reshape(window.shape)
    level, share = float(window.mean()), rng.uniform(0.55, 0.8)
    veil = soft * (1 - share) + share * (level + (245 - level) * 0.45 if level < 190 else 0.75 * level)
    return [_blended(box, region[..., None] * (veil - window))]


def _blended(box: Box, change: np.ndarray) -> Layer:
    """Return a change towards a content: weaker as asked for, but never beyond the content."""
    return Layer(box, change.astype(np.float32), limit=float(np.abs(change).max()), covers=True)


def _tone(scene: Scene, box: Box, sign: float) -> np.ndarray:
    """Return how much a tone changes each pixel: darkening multiplies, so that dark grains change less."""
    window = scene.values[box.slices]
    smooth = window / np.float32(max(float(window.mean()), 20.0))
    return np.clip(smooth, 0.35, 1.6) if sign < 0 else np.ones_like(window)
