"""Layers become a sample: as visible as wanted, cut to the object, with an exact mask."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from anomgen.generators.defects.scene import Layer, Scene, blurred, toned
from anomgen.sources.pixels import quantise, strips, value_max
from anomgen.synthesis.detectability import Detectability
from anomgen.synthesis.sample import Box, Composite, composite

WEAKEST, STRONGEST = 4.0, 300.0
"""Grey levels of 255 between which a change is scaled."""
TRIES = 3
"""How often the strength of a change is corrected towards the wanted severity."""
STEP = 1.3
"""Power of wanted over measured severity by which the strength is corrected: a tone flattens out, see `toned`."""
CLOSE = 0.8, 1.25
"""Measured over wanted severity that is close enough."""
FAINT = 0.08
"""Share of a defect's strongest change below which a pixel is not marked: real masks enclose the ramp, not its tail."""
TOLERANCES = 2.0, 4.5
"""Grey levels of 255 between which that share is kept."""


class Laid(NamedTuple):
    """A drawn defect, how strong it was drawn and how visible it is."""

    composite: Composite
    strength: float
    """Largest change that was aimed at, grey levels of 255."""
    r: float


def at_severity(
    image: np.ndarray, scene: Scene, layers: list[Layer], severity: float, detectability: Detectability
) -> Laid:
    """Draw layers on an image so strongly that r comes near `severity`, as far as the kind can.

    Raises Reject when nothing visible is left on the foreground.
    """
    most = max((layer.limit or 0.0 for layer in layers), default=0.0)
    strength = min(float(np.clip(3 * scene.material.deviation * severity**0.8, 10, STRONGEST)), most)
    peaks = [max(float(_largest(layer.change[rows]).max()) for rows in strips(layer.change)) for layer in layers]
    for attempt in range(TRIES):
        drawn, support, box = _drawn(image, scene, layers, peaks, strength)
        tolerance = float(np.clip(FAINT * strength, *TOLERANCES))
        result = composite(image, drawn, support, box=box, tolerance=tolerance)
        r = detectability.of(result.image, result.mask)
        as_wanted = CLOSE[0] < r / severity < CLOSE[1] or (strength >= most and r < severity)
        if attempt == TRIES - 1 or as_wanted or most == 0:
            break
        strength *= float(np.clip((severity / max(r, 0.05)) ** STEP, 0.3, 4.0))
        strength = min(max(strength, WEAKEST), STRONGEST, most)
    return Laid(result, round(strength, 2), r)


def _largest(change: np.ndarray) -> np.ndarray:
    """Return the largest absolute change over the channels, float32 (h, w)."""
    largest: np.ndarray = np.abs(change[..., 0])
    for channel in range(1, change.shape[2]):  # numpy's reduction over a short last axis is slow
        np.maximum(largest, np.abs(change[..., channel]), out=largest)
    return largest


def _within(scene: Scene, box: Box) -> np.ndarray:
    """Return how far a box's pixels are within the object, float32 (h, w): 0 at its outline, 1 a blur inside it."""
    assert scene.foreground is not None
    shown = scene.foreground[box.slices].astype(np.float32)
    within: np.ndarray = shown * np.clip(2 * blurred(shown, max(scene.soft, 0.6)) - 1, 0, 1)
    return within


def _closed(scene: Scene, support: np.ndarray, box: Box) -> np.ndarray:
    """Return where layers lie, bool (h, w), without the gaps where a change turns from lighter to darker."""
    size = 2 * math.ceil(1.5 * scene.unit) + 1
    closed = cv2.morphologyEx(support.view(np.uint8), cv2.MORPH_CLOSE, np.ones((size, size), np.uint8)).view(bool)
    return closed if scene.foreground is None else support | (closed & scene.foreground[box.slices])


def _drawn(
    image: np.ndarray, scene: Scene, layers: list[Layer], peaks: list[float], strength: float
) -> tuple[np.ndarray, np.ndarray, Box]:
    """Return the image with all layers on it, where they lie, bool (H, W), and the box that holds them.

    peaks: the largest change of each layer.
    """
    box = layers[0].box
    for layer in layers[1:]:
        box = box.union(layer.box)
    total = np.zeros((box.h, box.w, image.shape[2]), dtype=np.float32)
    for layer, peak in zip(layers, peaks, strict=True):
        own = layer.box
        within = _within(scene, own) if layer.on_object and scene.foreground is not None else None
        values, part = scene.values[own.slices], total[own.y - box.y :, own.x - box.x :][: own.h, : own.w]
        for rows in strips(values):
            change = layer.change[rows]
            if layer.limit is not None:
                change = change * np.float32(min(strength, layer.limit) / max(peak, 1e-6))
                change = change if layer.covers else toned(values[rows], change)
            part[rows] += change if within is None else change * within[rows][..., None]
    drawn = image.copy()
    top, values, shown = value_max(image.dtype), scene.values[box.slices], drawn[box.slices]
    changed = np.empty((box.h, box.w), dtype=bool)
    for rows in strips(values):
        shown[rows] = quantise((values[rows] + total[rows]) * np.float32(top / 255), image.dtype)
        changed[rows] = _largest(total[rows]) > 0.5
    del total, part
    support = np.zeros(image.shape[:2], dtype=bool)
    support[box.slices] = _closed(scene, changed, box)
    return drawn, support, box
