"""CutPaste: a patch of the image, recoloured and pasted elsewhere in the same image.

Li, Sohn, Yoon, Pfister: CutPaste: Self-Supervised Learning for Anomaly Detection and Localization, CVPR 2021,
arXiv 2104.04015.

Note: the paper gives no masks. Ours marks the pasted pixels that changed: all but .3 % of a patch's and 2.2 % of a
scar's on MVTec AD's bottles (docs/reference/methods.md). Where a foreground is asked for, as in the recipe, the
paste is cut to it: on the bottles patches cover .075 instead of .082 of the image, at a severity of .173 instead of
.233. The paper also shifts and recolours the whole image, which augments training and is left out. It names no order
in which colours vary; ours is drawn, and the formulas are torchvision's (ColorJitter). A scar is at least 2 pixels wide
and 4 long: at 128×128, where the paper's 2 to 16 pixels become 1 to 8, 14 % of the scars are widened, by 1.6 % of the
mean width; at 256×256 none is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import cv2
import numpy as np

from anomgen.config import PositiveRange, Range, Share, ShareRange
from anomgen.generators.base import Generator, foreground_of
from anomgen.sources.base import Images
from anomgen.sources.pixels import quantise, to_channels, value_max
from anomgen.synthesis.masks import in_image, on_foreground, place, rotated_rectangle
from anomgen.synthesis.sample import Box, Reject, Sample, composite

REFERENCE_SIZE = 256
"""The image size for which the paper gives the scar's size in pixels."""


class CutPaste(Generator):
    """CutPaste patches and scars (arXiv 2104.04015, section 2)."""

    kind: ClassVar[str] = "cutpaste"
    paper: ClassVar[str] = (
        "Li, Sohn, Yoon, Pfister: CutPaste: Self-Supervised Learning for Anomaly Detection and Localization, "
        "CVPR 2021, "
        "[arXiv 2104.04015](https://arxiv.org/abs/2104.04015)"
    )

    variant: Literal["patch", "scar", "3way"] = "patch"
    """`patch`, `scar`, or either with equal chance: with normal images the classes of 3-way classification."""
    area_range: ShareRange = (0.02, 0.15)
    """Patch: share of the image's area."""
    aspect_range: PositiveRange = (0.3, 3.3)
    """Patch: height over width; where 1 lies inside, drawn from below it or from above it with equal chance."""
    scar_width_range: PositiveRange = (2.0, 16.0)
    """Scar: width in pixels of a 256 × 256 image; scales with the image."""
    scar_length_range: PositiveRange = (10.0, 25.0)
    """Scar: length, likewise."""
    scar_angle_range: Range = (-45.0, 45.0)
    """Scar: rotation in degrees."""
    jitter: Share = 0.1
    """Strength of the change of brightness, contrast, saturation and hue of what is pasted."""
    min_foreground: Share = 0.5
    """Share of the pasted shape's box that must lie on the foreground, where there is one."""

    @property
    def defect_types(self) -> tuple[str, ...]:
        """Return `cutpaste` for patches, `scar` for scars."""
        return {"patch": ("cutpaste",), "scar": ("scar",), "3way": ("cutpaste", "scar")}[self.variant]

    def sample(self, rng: np.random.Generator, image: np.ndarray, pool: Images) -> Sample:
        """Paste one patch or scar; see `Generator.sample`."""
        types = self.defect_types
        defect_type = types[int(rng.integers(len(types)))] if len(types) > 1 else types[0]
        angle = 0.0
        if defect_type == "scar":
            angle = float(rng.uniform(*self.scar_angle_range))
            shape, cut = self._scar(rng, image, angle)
        else:
            shape, cut = self._patch(rng, image)
        h, w = shape.shape
        foreground = foreground_of(pool, image)
        box = place(rng, image.shape, h, w, foreground, self.min_foreground)
        if box is None:
            raise Reject("no place on the foreground")
        content, factors, order = _jittered(rng, _content(image, cut, (h, w), angle), self.jitter)
        support = on_foreground(shape, foreground, box)
        drawn = image.copy()
        np.copyto(drawn[box.slices], content, where=support[..., None])
        result = composite(image, drawn, in_image(support, box, image.shape), box=box)
        params = {"box": list(box), "cut": list(cut), "angle": angle, "jitter": factors, "order": order}
        return Sample(result.image, result.mask, None, params, defect_type)

    def _patch(self, rng: np.random.Generator, image: np.ndarray) -> tuple[np.ndarray, Box]:
        """Return the patch's shape, all True, and where it is cut."""
        rows, columns = image.shape[:2]
        area = rng.uniform(*self.area_range) * rows * columns
        low, high = self.aspect_range
        if low < 1 < high:
            low, high = (low, 1.0) if rng.random() < 0.5 else (1.0, high)
        aspect = rng.uniform(low, high)
        h = int(np.clip(round(float(np.sqrt(area * aspect))), 1, rows))
        w = int(np.clip(round(float(np.sqrt(area / aspect))), 1, columns))
        cut = place(rng, image.shape, h, w, None, 0.0)
        assert cut is not None
        return np.ones((h, w), dtype=bool), cut

    def _scar(self, rng: np.random.Generator, image: np.ndarray, angle: float) -> tuple[np.ndarray, Box]:
        """Return the turned scar's shape and where its content is cut, still upright."""
        rows, columns = image.shape[:2]
        scale = float(np.sqrt(rows * columns)) / REFERENCE_SIZE
        width = min(max(2.0, rng.uniform(*self.scar_width_range) * scale), columns - 1)
        length = min(max(4.0, rng.uniform(*self.scar_length_range) * scale), rows - 1)
        shape = rotated_rectangle(length, width, angle)
        if shape.shape[0] > rows or shape.shape[1] > columns:
            raise Reject("the scar is larger than the image")
        cut = place(rng, image.shape, int(np.ceil(length)), int(np.ceil(width)), None, 0.0)
        assert cut is not None
        return shape, cut


def _content(image: np.ndarray, cut: Box, size: tuple[int, int], angle: float) -> np.ndarray:
    """Return what `cut` shows, turned by `angle` degrees about its centre, on a canvas of `size` (h, w)."""
    patch = image[cut.slices]
    if angle == 0.0 and patch.shape[:2] == size:
        return patch
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    to_patch = np.array([[cos, sin, 0.0], [-sin, cos, 0.0]])
    canvas_centre = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    patch_centre = np.array([(cut.w - 1) / 2, (cut.h - 1) / 2])
    to_patch[:, 2] = patch_centre - to_patch[:, :2] @ canvas_centre
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.atleast_3d(cv2.warpAffine(patch, to_patch, size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101))


def _jittered(
    rng: np.random.Generator, patch: np.ndarray, strength: float
) -> tuple[np.ndarray, list[float], list[str]]:
    """Change brightness, contrast, saturation and hue in random order; tell by what, in this order, and the order.

    The first three are factors 1 ± strength, the hue turns by ± strength of the circle.
    """
    factors = [*rng.uniform(1 - strength, 1 + strength, 3).tolist(), float(rng.uniform(-strength, strength))]
    order = [list(_JITTER)[k] for k in rng.permutation(len(_JITTER))]
    if strength == 0:
        return patch, factors, order
    top = value_max(patch.dtype)
    values = patch.astype(np.float32) / np.float32(top)
    by = dict(zip(_JITTER, factors, strict=True))
    for name in order:
        values = _JITTER[name](values, np.float32(by[name])).reshape(patch.shape)
    return quantise(values * top, patch.dtype), factors, order


def _blended(values: np.ndarray, other: np.ndarray | np.float32, factor: np.float32) -> np.ndarray:
    """Return what lies `factor` of the way from `other` to `values`, beyond them above 1, clipped to [0, 1]."""
    result: np.ndarray = np.clip(factor * values + (1 - factor) * other, 0, 1)
    return result


def _contrast(values: np.ndarray, factor: np.float32) -> np.ndarray:
    return _blended(values, np.float32(to_channels(values, 1).mean(dtype=np.float64)), factor)


def _hue(values: np.ndarray, turn: np.float32) -> np.ndarray:
    if values.shape[2] == 1:
        return values
    hsv = cv2.cvtColor(values, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + 360 * turn) % 360
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


_JITTER: dict[str, Callable[[np.ndarray, np.float32], np.ndarray]] = {
    "brightness": lambda values, factor: _blended(values, np.float32(0), factor),
    "contrast": _contrast,
    "saturation": lambda values, factor: _blended(values, to_channels(values, 1), factor),
    "hue": _hue,
}
"""What is changed of an image (H, W, C) in [0, 1], by torchvision's formulas (ColorJitter)."""
