"""Taking a defect off its picture: what it adds to the material, in which places it hides it, and where it lay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np

from anomgen.banks.folder import Defect
from anomgen.sources.images import Fit, fit_image
from anomgen.sources.pixels import levels, to_channels, to_depth
from anomgen.sources.value_range import ValueRange, stretched
from anomgen.synthesis.alignment import Normals
from anomgen.synthesis.sample import Box

Background = Literal["auto", "inpaint", "normal"]

HIDDEN = 5.0
"""Pixels of 1/256 of the side around a mask that the background is filled in on, too: real masks are not exact."""
RAMP = 3.0
"""Likewise: outside its mask a defect fades over so many, so that no rim shows."""
DETAIL = 2.0
"""Likewise: deviation of the blur that parts what a defect adds into shade and detail."""
GRAIN = 2.0
"""Detail is kept as far as its power exceeds so many times that of the material's own grain."""
COVERS = 1.2
"""A layer covers what it is put on by so many times the least share that its colour allows."""
BETTER = 0.8
"""A normal image is the background when it differs less, over this, from the surroundings than what is filled in."""
THICK = 0.05
"""Coverage from which a pixel counts as part of a mask that was shrunk."""


class Patch(NamedTuple):
    """A defect taken off its picture, cut to its box, arrays float32 (h, w) or (h, w, C), in grey levels of 255."""

    item: str
    defect_type: str
    centre: tuple[float, float]
    """Where its box's middle lay: row and column, shares of the picture's height and width."""
    added: np.ndarray
    """(h, w, C): what it adds to the material, and the material below it as far as it is covered."""
    covering: np.ndarray
    """0 to 1: how far its level takes the place of the material's."""
    smoothing: np.ndarray
    """0 to 1: how much of the material's own detail goes, so that the sum of both is as strong as either."""
    mask: np.ndarray
    """0 to 1: how much of a pixel its mask covers."""
    grain: float
    """Median deviation of the material from its own blur around the defect."""

    def in_channels(self, channels: int) -> Patch:
        """Return it for images of 1 or 3 channels: an adapter also draws on others than those of the source."""
        if self.added.shape[2] == channels:
            return self
        return self._replace(added=to_channels(self.added, channels))


class Patches(tuple[Patch, ...]):
    """The defects of a bank, ready to be put on images; equal when all their figures are."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Patches) or len(self) != len(other):
            return False
        return all(
            np.array_equal(a, b) if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) else a == b
            for own, others in zip(self, other, strict=True)
            for a, b in zip(own, others, strict=True)
        )

    def __hash__(self) -> int:
        return hash(tuple((patch.item, patch.added.tobytes()) for patch in self))


class Scale(NamedTuple):
    """The images that defects are put on: how they were brought to their size, their shape, channels and range."""

    fit: Fit
    shape: tuple[int, ...]
    is_fixed: bool
    """Whether all of them have that height and width."""
    value_range: ValueRange | None

    def of(self, defect: Defect) -> tuple[np.ndarray, np.ndarray]:
        """Return a defect's picture as its images are, float32 (H, W, C), and how far its mask covers each pixel."""
        image, mask = defect.image, defect.mask.astype(np.float32)[..., None]
        shape: tuple[int, int] = (self.shape[0], self.shape[1])
        if not self.is_fixed or (self.fit == "keep" and not _is_alike(image.shape, shape)):
            scale = float(np.sqrt(shape[0] * shape[1] / (image.shape[0] * image.shape[1])))
            shape = max(round(image.shape[0] * scale), 16), max(round(image.shape[1] * scale), 16)
        fit: Fit = "stretch" if self.fit == "keep" else self.fit
        if fit == "center" and (image.shape[0] < shape[0] or image.shape[1] < shape[1]):
            fit = "crop"
        image, mask = fit_image(image, shape, fit, defect.item), fit_image(mask, shape, fit, defect.item)
        if image.dtype == np.uint16:
            image = stretched(image, self.value_range)
        return levels(to_channels(to_depth(image, image.dtype), self.shape[2])), mask[..., 0]


def _is_alike(shape: Sequence[int], other: Sequence[int]) -> bool:
    """Return whether two sizes have about the same aspect."""
    return abs(math.log(shape[0] * other[1] / (shape[1] * other[0]))) < 0.05


def patch_of(defect: Defect, scale: Scale, normals: Normals, background: Background) -> Patch | None:
    """Take a defect off its picture; None when nothing of its mask is left at that size.

    normals: images that may be what lies below it. background: what does; auto: whichever fits its surroundings better.
    """
    values, cover = scale.of(defect)
    marked = cover > THICK
    if not marked.any():
        return None
    unit = float(np.sqrt(values.shape[0] * values.shape[1])) / 256
    hidden = _grown(marked, max(round(HIDDEN * unit), 2))
    near = _grown(hidden, max(round(3 * unit), 2))
    context = _box(_grown(near, max(round(8 * unit), 6)))
    box = _box(hidden)
    below = _below(values, marked, hidden, near, context, normals, background)
    inner = slice(box.y - context.y, box.y - context.y + box.h), slice(box.x - context.x, box.x - context.x + box.w)
    ramp = _ramp(marked[context.slices], RAMP * max(unit, 0.5))
    added = (values[context.slices] - below) * hidden[context.slices][..., None]
    sigma = max(DETAIL * unit, 1.0)
    shade = _blurred(added, sigma)
    detail = added - shade
    ring = (hidden & ~_grown(marked, 1))[context.slices]
    covering = _covering(added, below, sigma) * ramp
    opacity = np.maximum(_opacity(detail, ring) * ramp, covering)
    whole = shade * ramp[..., None] + detail * opacity[..., None] + _blurred(below, sigma) * covering[..., None]
    rest = np.abs(values[context.slices] - _blurred(values[context.slices], sigma)).max(axis=2)
    around = ~hidden[context.slices]
    return Patch(
        defect.item,
        defect.defect_type,
        ((box.y + box.h / 2) / values.shape[0], (box.x + box.w / 2) / values.shape[1]),
        whole[inner],
        covering[inner],
        (1 - np.sqrt(np.maximum(1 - opacity * opacity, 0)))[inner],
        cover[box.slices],
        float(np.median(rest[around] if around.any() else rest)),
    )


def _below(
    values: np.ndarray,
    marked: np.ndarray,
    hidden: np.ndarray,
    near: np.ndarray,
    context: Box,
    normals: Normals,
    background: Background,
) -> np.ndarray:
    """Return what lies below a defect, in the box of its context: filled in from around, or a normal image."""
    window = context.slices
    picture = np.clip(np.rint(values[window]), 0, 255).astype(np.uint8)
    filled = np.atleast_3d(cv2.inpaint(picture, hidden[window].astype(np.uint8), 3, cv2.INPAINT_TELEA))
    smooth = np.where(hidden[window][..., None], filled.astype(np.float32), values[window])
    if background == "inpaint":
        return smooth
    nearest = normals.nearest(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    if nearest is None:
        return smooth
    around = near & ~hidden
    shift = np.median((values - nearest.image)[around], axis=0) if around.any() else 0
    normal: np.ndarray = (nearest.image + shift).astype(np.float32)[window]
    if background == "normal":
        return normal
    ring = (hidden & ~_grown(marked, 1))[window]
    errors = [float(np.abs(values[window] - other)[ring].mean()) if ring.any() else 1.0 for other in (normal, smooth)]
    return normal if errors[0] < BETTER * errors[1] else smooth


def _covering(added: np.ndarray, below: np.ndarray, sigma: float) -> np.ndarray:
    """Return the least share, float32 (h, w), that a layer over `below` must have for `added` to be possible.

    A layer of that share is black or white in one channel; a little more is taken. Faint changes are all but
    transparent, black and white ones cover whatever they are put on.
    """
    room = np.where(added < 0, below, np.float32(255) - below)
    share = cv2.GaussianBlur((np.abs(added) / np.maximum(room, np.float32(8))).max(axis=2), (0, 0), sigma)
    least: np.ndarray = np.minimum(share * np.float32(COVERS), 1)
    return least


def _opacity(detail: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Return how much of a detail, (h, w, C), is not the material's grain as it is on the ring: float32 (h, w), 0 to 1.

    A Wiener filter: of a signal with noise, 1 − noise/power is kept.
    """
    power = (detail * detail).sum(axis=2)
    noise = GRAIN * float(power[ring].mean()) if ring.any() else 0.0
    local = cv2.blur(power, (3, 3), borderType=cv2.BORDER_REFLECT_101)
    kept: np.ndarray = np.clip(1 - (noise + 0.5) / np.maximum(local, np.float32(1e-3)), 0, 1)
    return kept.astype(np.float32)


def _ramp(marked: np.ndarray, pixels: float) -> np.ndarray:
    """Return 1 on a mask, falling smoothly to 0 over so many pixels around it, float32 (h, w)."""
    if marked.all():
        return np.ones(marked.shape, np.float32)
    away = cv2.distanceTransform((~marked).view(np.uint8), cv2.DIST_L2, 5)
    t = np.clip(1 - away / np.float32(pixels + 1), 0, 1)
    result: np.ndarray = t * t * (3 - 2 * t)
    return result


def _grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return cv2.dilate(mask.view(np.uint8), disc).view(bool)


def _box(mask: np.ndarray) -> Box:
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    return Box(y, x, h, w)


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    return np.atleast_3d(cv2.GaussianBlur(values, (0, 0), sigma))
