"""Putting a patch on an image: turned, scaled, matched in level and grain, faded out so that no rim shows."""

from __future__ import annotations

import math
from functools import reduce
from typing import NamedTuple

import cv2
import numpy as np

from anomgen.generators.transplant.patch import DETAIL, Patch
from anomgen.synthesis.sample import Box

GRAINS = 0.5, 2.5
"""How much fainter or stronger a defect becomes at most on a material of less or more grain."""


class Pose(NamedTuple):
    """How a patch is put down: middle in pixels, row and column, turn in degrees, scale, mirrored or not."""

    centre: tuple[float, float]
    angle: float
    scale: float
    mirrored: bool


class Turned(NamedTuple):
    """Where a patch in a pose lies on an image. matrix: (2, 3), from the patch's pixels to those of the box."""

    patch: Patch
    box: Box
    matrix: np.ndarray
    mask: np.ndarray
    """float32 (h, w): how much of a pixel the patch's mask covers."""

    def moved(self, values: np.ndarray, method: int = cv2.INTER_LINEAR) -> np.ndarray:
        """Return an array of the patch, (h, w) or (h, w, C), in its pose."""
        result: np.ndarray = cv2.warpAffine(values, self.matrix, (self.box.w, self.box.h), flags=method)
        return result


def turned(patch: Patch, pose: Pose, shape: tuple[int, int]) -> Turned | None:
    """Return where a patch in a pose lies on an image of (H, W); None where it falls outside."""
    h, w = patch.mask.shape
    angle = math.radians(pose.angle)
    cos, sin = math.cos(angle) * pose.scale, math.sin(angle) * pose.scale
    mirror = -1.0 if pose.mirrored else 1.0
    half_h = (abs(sin) * w + abs(cos) * h) / 2 + 1
    half_w = (abs(cos) * w + abs(sin) * h) / 2 + 1
    y0, x0 = max(math.floor(pose.centre[0] - half_h), 0), max(math.floor(pose.centre[1] - half_w), 0)
    y1, x1 = min(math.ceil(pose.centre[0] + half_h), shape[0]), min(math.ceil(pose.centre[1] + half_w), shape[1])
    if y1 - y0 < 3 or x1 - x0 < 3:
        return None
    # Columns of the matrix: where a step to the right and a step down of the patch lead on the image.
    linear = np.array([[cos * mirror, sin], [-sin * mirror, cos]])
    middle = np.array([(w - 1) / 2, (h - 1) / 2])
    offset = np.array([pose.centre[1] - x0, pose.centre[0] - y0]) - 0.5 - linear @ middle
    piece = Turned(patch, Box(y0, x0, y1 - y0, x1 - x0), np.concatenate([linear, offset[:, None]], axis=1), patch.mask)
    return piece._replace(mask=piece.moved(patch.mask))


def change(values: np.ndarray, piece: Turned, gain: float, unit: float) -> np.ndarray:
    """Return what a piece adds to the image, float32 (h, w, C) in its box.

    values: the image in grey levels of 255, (H, W, C). gain: against the real defect. unit: pixels per 1/256 of the
    image's side. As far as a piece covers what it is put on it keeps its own colour; elsewhere it is as strong against
    the grain as it was.
    """
    window = values[piece.box.slices]
    smooth = np.atleast_3d(cv2.GaussianBlur(window, (0, 0), max(DETAIL * unit, 1.0)))
    rest = window - smooth
    own = float(np.median(reduce(np.maximum, np.moveaxis(np.abs(rest[::2, ::2]), 2, 0))))
    ratio = min(max((own + 1) / (piece.patch.grain + 1), GRAINS[0]), GRAINS[1])
    added = np.atleast_3d(piece.moved(piece.patch.added, cv2.INTER_CUBIC))
    covering, smoothing = piece.moved(piece.patch.covering), piece.moved(piece.patch.smoothing)
    smooth *= covering[..., None]
    added -= smooth
    covering *= np.float32(gain * (1 - ratio))
    covering += np.float32(gain * ratio)
    added *= covering[..., None]
    rest *= smoothing[..., None]
    added -= rest
    return added
