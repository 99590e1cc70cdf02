"""What a kind of defect is given and what it returns, and the fields that kinds are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from anomgen.synthesis.perlin import perlin_noise
from anomgen.synthesis.sample import Box

EDGE = 3.0
"""Width of a ramp over the deviation of a Gaussian that blurs a step alike."""


class Material(NamedTuple):
    """What was measured on the normal images, grey levels of 255 throughout."""

    deviation: float
    """Local standard deviation of the material, median over the foreground."""
    colourful: bool
    light: float
    """Direction that the light comes from, degrees: 0 from the right, 90 from the top."""
    softness: float = 0.0
    """How blurred the images are: deviation in pixels of an image of 256 × 256."""
    dark: float | None = None
    """Share of the marks that are darker than the material; None: what is usual for each kind."""


@dataclass(frozen=True)
class Scene:
    """An image on which a defect is drawn."""

    values: np.ndarray
    """float32 (H, W, C), grey levels of 255."""
    foreground: np.ndarray | None
    material: Material
    unit: float
    """Pixels per 1/256 of the image's geometric mean side: lengths in kinds are given in these."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return (H, W)."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def side(self) -> float:
        """Return the geometric mean side in pixels."""
        return 256 * self.unit

    @property
    def soft(self) -> float:
        """Return how blurred the image is, deviation in pixels: no edge that is drawn is sharper."""
        return self.material.softness * self.unit

    def level_at(self, y: float, x: float) -> float:
        """Return the mean grey level around a point, or around the nearest one of the image."""
        r = max(round(6 * self.unit), 2)
        y0, x0 = max(min(int(y), self.shape[0] - 1) - r, 0), max(min(int(x), self.shape[1] - 1) - r, 0)
        return float(self.values[y0 : y0 + 2 * r + 1, x0 : x0 + 2 * r + 1].mean())

    def colour(self) -> np.ndarray:
        """Return the mean colour of the object, float32 (C,)."""
        step = max(round(8 * self.unit), 1)
        shown = self.values[::step, ::step].reshape(-1, self.values.shape[2])
        if self.foreground is not None and (inside := self.foreground[::step, ::step].ravel()).any():
            shown = shown[inside]
        mean: np.ndarray = shown.mean(axis=0)
        return mean

    def window(self, points: np.ndarray, margin: float) -> Box | None:
        """Return the box around points (N, 2), y and x, with a margin in pixels, cut to the image; None if outside."""
        (top, left), (bottom, right) = points.min(axis=0) - margin, points.max(axis=0) + margin
        y0, x0 = max(math.floor(top), 0), max(math.floor(left), 0)
        y1, x1 = min(math.ceil(bottom) + 1, self.shape[0]), min(math.ceil(right) + 1, self.shape[1])
        return Box(y0, x0, y1 - y0, x1 - x0) if y1 - y0 > 2 and x1 - x0 > 2 else None


class Layer(NamedTuple):
    """A change of an image: values + change · λ inside the box, where `alpha` is above 0."""

    box: Box
    change: np.ndarray
    """float32 (h, w, C): what is added at full strength, grey levels of 255."""
    limit: float | None = None
    """The largest change, grey levels of 255, that it is scaled to at most; None: it is what it is, a hole has the
    background's colour."""
    on_object: bool = True
    """Whether it is cut to the foreground; a chipped edge is not: it changes where the object ends."""
    covers: bool = False
    """Whether the change leads to a content of its own, as a veil does; else it is a tone, see `toned`."""


def grey(scene: Scene, shade: np.ndarray) -> np.ndarray:
    """Return a shade, (h, w), as a change of all channels alike, float32 (h, w, C)."""
    return np.repeat(shade.astype(np.float32)[..., None], scene.values.shape[2], axis=2)


def lit(scene: Scene, box: Box, shade: np.ndarray) -> np.ndarray:
    """Return a shade, (h, w), as a change of the light that falls on a box, float32 (h, w, C): hue and grain stay."""
    window = scene.values[box.slices]
    return shade.astype(np.float32)[..., None] * np.clip(window / np.float32(max(float(window.mean()), 30.0)), 0.3, 1.7)


def toned(values: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return a change, float32 (h, w, C), as a surface takes it: small ones as they are, none beyond black or white.

    A tone that darkens by d leaves v / (1 + d / v) of a value v, and likewise of its distance from white: the grain
    and the hue stay, as under a layer that absorbs or scatters.
    """
    lighter = cv2.threshold(change, 0, 255, cv2.THRESH_BINARY)[1].reshape(change.shape)
    room = cv2.absdiff(values, lighter).reshape(change.shape)  # how far to black, or to white
    result: np.ndarray = np.abs(change)
    result += room
    result += np.float32(1e-3)
    np.divide(room, result, out=result)
    result *= change
    return result


def depth(rng: np.random.Generator, most: float) -> float:
    """Draw the limit of a layer, grey levels of 255: no two scratches are equally deep."""
    return most * rng.uniform(0.55, 1.0)


def smoothstep(t: np.ndarray) -> np.ndarray:
    """Return 0 below 0, 1 above 1, and the cubic ramp between."""
    t = np.clip(t, 0, 1)
    result: np.ndarray = t * t * (3 - 2 * t)
    return result


def blurred(field: np.ndarray, sigma: float) -> np.ndarray:
    """Return a field blurred by a Gaussian; the same field where that is under a third of a pixel."""
    soft: np.ndarray = cv2.GaussianBlur(field, (0, 0), sigma) if sigma > 0.33 else field
    return soft


def relief(height: np.ndarray, light: float) -> np.ndarray:
    """Return the shading of a height field lit from `light` degrees: positive where the surface faces the light."""
    across = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=0.125)
    down = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=0.125)
    angle = math.radians(light)
    result: np.ndarray = down * math.sin(angle) - across * math.cos(angle)
    return result


def shadow_of(field: np.ndarray, scene: Scene, pixels: float) -> np.ndarray:
    """Return a field, float32 (h, w), moved away from the light by so many pixels of a 256 × 256 image."""
    angle, far = math.radians(scene.material.light), pixels * max(scene.unit, 0.8)
    matrix = np.array([[1, 0, -far * math.cos(angle)], [0, 1, far * math.sin(angle)]], dtype=np.float32)
    moved: np.ndarray = cv2.warpAffine(field, matrix, field.shape[::-1])
    return moved


def grid(box: Box, centre: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return y (h, 1) and x (1, w) of a box's pixels, from a centre."""
    y = (np.arange(box.h, dtype=np.float32) + (box.y - centre[0]))[:, None]
    x = (np.arange(box.w, dtype=np.float32) + (box.x - centre[1]))[None, :]
    return y, x


def noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> np.ndarray:
    """Draw Perlin noise, float32 (h, w), with cells of so many pixels."""
    return perlin_noise(rng, shape, shape[0] / max(cell, 2.0), shape[1] / max(cell, 2.0))


def blob(
    rng: np.random.Generator,
    scene: Scene,
    spot: tuple[float, float],
    length: float,
    *,
    aspect: float = 1.0,
    rough: float = 0.25,
    edge: float = 1.5,
    grow: float = 1.0,
) -> tuple[Box, np.ndarray, np.ndarray] | None:
    """Draw an irregular region around a spot.

    length: its longest extent in pixels. aspect: shorter over longer extent. rough: how far the outline strays, a
    share of the radius. edge: the ramp inside the outline, pixels. grow: margin around it, a share of the radius.
    Returns its box, the region (float32, 0 to 1), and how far inside a pixel lies: 1 in the middle, 0 at the outline,
    below 0 outside; None when it falls outside the image.
    """
    radius = max(length / 2, 1.0)
    reach = radius * (1 + rough) * grow + edge
    box = scene.window(np.array([spot]), reach)
    if box is None:
        return None
    y, x = grid(box, spot)
    turn = rng.uniform(0, math.pi)
    along = (x * math.cos(turn) + y * math.sin(turn)) / radius
    across = (y * math.cos(turn) - x * math.sin(turn)) / (radius * max(aspect, 0.05))
    distance = np.sqrt(along * along + across * across)
    angle = np.arctan2(across, along)
    outline = np.ones_like(distance)
    for k in (2, 3):
        outline += np.float32(rough * rng.normal() / (k * k)) * np.cos(
            k * angle + np.float32(rng.uniform(0, 2 * math.pi))
        )
    outline += np.float32(1.1 * rough) * noise(rng, (box.h, box.w), max(radius * 0.8, 3.0))
    outline += np.float32(0.3 * rough) * noise(rng, (box.h, box.w), max(radius * 0.25, 2.5))
    inside = 1 - distance / np.maximum(outline, 0.2)
    thin = radius * max(min(aspect, 1.0), 0.2)
    return box, smoothstep(inside * thin / max(edge, EDGE * scene.soft, 0.7)), inside


def stroke(
    scene: Scene,
    points: np.ndarray,
    widths: np.ndarray,
    strengths: np.ndarray | None = None,
    soft: float = 0.5,
    margin: float = 2.0,
) -> tuple[Box, np.ndarray] | None:
    """Draw a line through points (N, 2), y and x in pixels, of these widths, smoothly covered, float32 0 to 1.

    strengths: of each segment, 0 to 1. soft: deviation, in pixels, of the blur that softens its edge, where the image
    is not more blurred. Thinner than a pixel is fainter, not wider.
    """
    soft = max(soft, scene.soft)
    box = scene.window(points, float(widths.max()) + 3 * soft + margin)
    if box is None:
        return None
    fine = 4 if max(box.h, box.w) < 600 else 2
    canvas = np.zeros((box.h * fine, box.w * fine), dtype=np.uint8)
    shifted = np.rint(((points - (box.y, box.x) + 0.5) * fine - 0.5)[:, ::-1] * 16).astype(np.int32)
    strengths = np.ones(len(points)) if strengths is None else strengths
    for k in range(len(points) - 1):
        wide = max(round(float(widths[k]) * fine), 1)
        faint = min(float(widths[k]) * fine, 1.0)
        colour = int(255 * np.clip(strengths[k] * faint, 0, 1))
        cv2.line(canvas, shifted[k].tolist(), shifted[k + 1].tolist(), colour, wide, cv2.LINE_8, 4)
    covered = cv2.resize(canvas, (box.w, box.h), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    return box, blurred(covered, soft)


def path(
    rng: np.random.Generator,
    spot: tuple[float, float],
    length: float,
    direction: float,
    *,
    steps: int = 24,
    bend: float = 0.3,
    jag: float = 0.0,
) -> np.ndarray:
    """Draw a line of this length centred on a spot: points (steps + 1, 2), y and x.

    direction: radians. bend: how much it turns in all, radians, smoothly. jag: turn from step to step, radians.
    """
    smooth = np.linspace(-0.5, 0.5, steps) * rng.normal(0, bend) + 0.5 * bend * np.sin(
        np.linspace(0, rng.uniform(1, 6), steps) + rng.uniform(0, 2 * math.pi)
    )
    angles = direction + smooth + rng.normal(0, jag, steps)
    step = length / steps
    walk = np.cumsum(np.stack([np.sin(angles), np.cos(angles)], axis=1) * step, axis=0)
    points: np.ndarray = np.concatenate([np.zeros((1, 2)), walk])
    centred: np.ndarray = points - points.mean(axis=0) + np.array(spot)
    return centred


def tint(rng: np.random.Generator, scene: Scene, sign: float, chroma: float) -> np.ndarray:
    """Draw the colour of a change, float32 (C,): ±1 in the mean over the channels, coloured where the material is."""
    channels = scene.values.shape[2]
    plain = np.full(channels, sign, dtype=np.float32)
    if channels == 1 or not scene.material.colourful or chroma <= 0:
        return plain
    choice = rng.random()
    if choice < 0.55:  # yellow to reddish brown, or its opposite
        hue = np.array([1.0, rng.uniform(-0.4, 0.4), -1.0]) * (1 if rng.random() < 0.75 else -1)
    elif choice < 0.9:  # more or less of the material's own colour
        hue = scene.colour() * (1 if rng.random() < 0.4 else -1)
    else:
        hue = rng.normal(size=3)
    hue = hue - hue.mean()
    length = float(np.linalg.norm(hue))
    result: np.ndarray = (plain + chroma * math.sqrt(3) * hue / max(length, 1e-6)).astype(np.float32)
    return result


def warm(rng: np.random.Generator, scene: Scene, sign: float, chroma: float) -> np.ndarray:
    """Draw the colour of dirt, rust or a dried liquid, float32 (C,): like `tint`, from yellow to reddish brown."""
    channels = scene.values.shape[2]
    plain = np.full(channels, sign, dtype=np.float32)
    if channels == 1 or not scene.material.colourful:
        return plain
    towards = np.array([1.0, rng.uniform(-0.4, 0.4), -1.0]) * chroma * rng.uniform(0.3, 1)
    result: np.ndarray = (plain + towards - towards.mean()).astype(np.float32)
    return result


def foreign(rng: np.random.Generator, scene: Scene, spot: tuple[float, float]) -> np.ndarray:
    """Draw the colour of foreign matter that stands out at a spot, float32 (C,): mostly dark, brownish or greyish."""
    level = scene.level_at(*spot)
    dark = rng.random() < 0.7 if scene.material.dark is None else rng.random() < scene.material.dark
    if (dark and level > 50) or level > 205:
        value = level * rng.uniform(0.15, 0.55)
    else:
        value = level + (250 - level) * rng.uniform(0.35, 0.75)
    colour: np.ndarray = value * (1 + 0.25 * warm(rng, scene, 0.0, 1.0))
    return colour.astype(np.float32)


def sign_at(rng: np.random.Generator, scene: Scene, spot: tuple[float, float], dark: float = 0.75) -> float:
    """Draw −1 (darker) or 1 (lighter); on a surface that is nearly black or white the way with room is taken.

    dark: how often it is darker, where the user does not say.
    """
    level = scene.level_at(*spot)
    dark = dark if scene.material.dark is None else scene.material.dark
    if level < 40:
        dark = 0.05
    elif level > 225:
        dark = 0.97
    return -1.0 if rng.random() < dark else 1.0
