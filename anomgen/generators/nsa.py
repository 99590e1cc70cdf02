"""NSA: natural synthetic anomalies, patches of a donor scaled, moved and blended in by the Poisson equation.

Schlüter, Tan, Hou, Kainz: Natural Synthetic Anomalies for Self-Supervised Anomaly Detection and Localization,
ECCV 2022, arXiv 2109.15222.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, MutableMapping
from typing import Annotated, Any, ClassVar, Literal, Self
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from cachetools import LRUCache
from pydantic import Field

from anomgen.config import PositiveRange, Share, ShareRange
from anomgen.errors import SourceError, tell
from anomgen.generators.base import Generator, draw_donor, fitted, foreground_of, require_donors
from anomgen.generators.nsa_presets import PRESETS
from anomgen.rng import Stream, rng_for
from anomgen.sources.base import Images
from anomgen.sources.pool import Pool, SmallImages
from anomgen.sources.tree import listed
from anomgen.synthesis.blend import poisson_blend
from anomgen.synthesis.labels import calibrate_logistic, continuous, intensity, logistic
from anomgen.synthesis.masks import TRIES, counts_in, ellipse, first_box, integral
from anomgen.synthesis.sample import (
    TOLERANCE,
    Box,
    Composite,
    Reject,
    Sample,
    change_between,
    composite,
    majority,
)

Auto = Literal["auto"]

SIZE_OFFSET, SIZE_SHAPE, SIZE_SCALE = 0.06, 2.0, 0.1
"""Full patch side as a share of the image: 0.06 + Gamma(2, 0.1); the paper gives half of it, 0.03 + Gamma(2, 0.05)."""
WEIGHT_RANGE = (0.05, 0.95)
"""With continuous labels: the share of the donor's gradients."""
MIN_PIXELS = 50
"""A patch with fewer pixels to blend is skipped (official code); in proportion on images below 256 × 256."""
STILL = 0.4
"""Share of a patch's rim in which nothing changes; one pixel of any patch at least."""
OVERHANG = 1 / 128
"""How far a patch reaches beyond the objects' outlines, as a share of the image's shorter side: foregrounds tend to end
just inside the object, and where one does, a line of the old outline would be left standing."""
CALIBRATION_SAMPLES = 200
"""Trial anomalies of about 2.5 patches each from which `auto` learns how large the changes are."""
CALIBRATION_IMAGES = 64
"""Images of the pool that calibration looks at, at most."""


class NSA(Generator):
    """Natural synthetic anomalies (arXiv 2109.15222, section 3). What is `auto` is measured on the source.

    Note: the presets draw what the authors' code draws: its sides, clipped by half of their bounds, cloning as
    OpenCV's, with a rim in which the image's own gradients go on, and masks filtered as theirs. Without a preset,
    patches are clipped by the bounds themselves, content reaches to their edges, and half of the mask at least lies on
    the foreground; `auto` follows nnOOD (Baugh et al., 2022), whose labels are nearly binary. On MVTec AD's hazelnuts
    masks cover .063 of the image by the authors' code, .064 by the preset and .107 by `auto`, the mean soft label in
    them is .22, .21 and .89, and `auto` draws one in twelve again (benchmarks/nsa.py; docs/reference/methods.md).

    Sizes are full sides everywhere, the paper's are half of them. Later patches add to the mask and do not overwrite
    it. Where both images show background nothing changes, and the blending ends 1/128 of the image beyond the objects;
    the authors blend the whole rectangle and label the objects alone. Values are rounded, OpenCV's cut off. A draw
    without an anomaly is drawn again, where theirs is a normal image without a label. The ellipse fills its patch. The
    label's median filter is a 9 × 9 square, not the disk of radius 5 (both hold 81 pixels).
    """

    kind: ClassVar[str] = "nsa"
    paper: ClassVar[str] = (
        "Schlüter, Tan, Hou, Kainz: Natural Synthetic Anomalies for Self-Supervised Anomaly Detection and "
        "Localization, ECCV 2022, "
        "[arXiv 2109.15222](https://arxiv.org/abs/2109.15222)"
    )
    soft: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    preset: str | None = None
    """The paper's settings for a class of MVTec AD (bottle, …, wood) or for chest X-rays (rcxr)."""
    shape: Literal["rectangle", "ellipse"] = "rectangle"
    """Outline of a patch."""
    height_range: ShareRange | Auto = "auto"
    """Bounds of the patch's height as a share of the image's; auto: 0.06 to 4/3 of the objects' mean height."""
    width_range: ShareRange | Auto = "auto"
    """Bounds of the patch's width, likewise."""
    size_offset: Share = SIZE_OFFSET
    """Smallest share before clipping; the gamma-distributed part is added to it."""
    size_scale: Annotated[float, Field(gt=0, le=1)] = SIZE_SCALE
    """Scale of the gamma distribution (shape 2) of both sides."""
    size_clip: Literal["full", "code"] = "full"
    """How a resized patch is clipped: by the bounds, or as the official code does, by half of them and to whole pixels
    on the way."""
    resize_range: PositiveRange | Auto = "auto"
    """Bounds of the patch's magnification, drawn from N(1, 0.5); auto: 0.7–1.3 for objects, 0.5–2 for textures."""
    patches: Annotated[int, Field(ge=1, le=64)] | Auto = "auto"
    """Most patches in a sample: the first always, each other with probability ½; auto: 3, or 4 on large objects."""
    min_object: Share | Auto = "auto"
    """Share of object that a patch must hold; auto: 0.5 for small objects, else 0.7."""
    min_overlap: Share = 0.25
    """Share of the patch's object that must land on the image's object."""
    min_foreground: Share = 0.5
    """Least share of the mask that lies on the image's object; what has less is drawn again."""
    rim: Share = 0.0
    """Width of the patch's rim, a share of the image's shorter side, in which the image's own gradients go on, or
    nothing changes: of OpenCV's five pixels of 256 in the outer two."""
    mask_filter: Literal["patch", "code"] = "patch"
    """Neighbours that the filter of the mask counts: those in the patches, or all, as the official code does."""
    blend: Literal["normal", "mixed", "auto"] = "auto"
    """Gradients of the donor, or the stronger of both; auto: normal for objects, mixed for textures."""
    tolerance: Annotated[float, Field(ge=TOLERANCE, le=255)] = TOLERANCE
    """Change in grey levels of 255 up to which a pixel counts as unchanged and becomes normal again."""
    label: Literal["logistic", "intensity", "continuous", "binary"] = "logistic"
    """What the soft mask holds: a logistic curve of the change, the change, the blending weight, or nothing."""
    slope: Annotated[float, Field(gt=0)] | Auto = "auto"
    """Logistic label: slope per grey level (the paper's k)."""
    midpoint: float | Auto = "auto"
    """Logistic label: grey level at which it is ½ (the paper's x0)."""

    @property
    def min_on_foreground(self) -> float:
        """Return `min_foreground`: the donor's object may overhang the image's."""
        return self.min_foreground

    @property
    def has_soft_mask(self) -> bool:
        """Return False for binary labels."""
        return self.label != "binary"

    def prepared(self, pool: Images) -> Self:
        """Return the configuration with every `auto` replaced by what was measured on `pool`."""
        require_donors(pool)
        unused = () if self.label == "logistic" else ("slope", "midpoint")
        automatic = [k for k in type(self).model_fields if getattr(self, k) == "auto" and k not in unused]
        if not automatic:
            return self
        small = SmallImages(pool, CALIBRATION_IMAGES)
        foregrounds = [foreground_of(small, image) for image in small]
        chosen = self.model_copy(update=_measured(foregrounds, automatic))
        if "slope" in automatic or "midpoint" in automatic:
            slope, midpoint = chosen._known_logistic(pool, small)
            update = {"slope": slope, "midpoint": midpoint}
            chosen = chosen.model_copy(update={name: update[name] for name in automatic if name in update})
        return chosen

    def drafted(self, pool: Images) -> Self:
        """Return what draws images and masks without the calibration, which soft masks alone depend on."""
        binary = self.model_copy(update={"label": "binary"}) if self.label == "logistic" else self
        return binary.prepared(pool)

    def sample(self, rng: np.random.Generator, image: np.ndarray, pool: Images) -> Sample:
        """Blend one or several patches of one donor into the image; see `Generator.sample`."""
        ready = self.prepared(pool)
        result, params = ready._draw(rng, image, draw_donor(rng, image, pool), pool)
        return Sample(result.image, result.mask, ready._soft_mask(result, params["weight"]), params, self.kind)

    def _draw(
        self, rng: np.random.Generator, image: np.ndarray, donor: np.ndarray, pool: Images
    ) -> tuple[Composite, dict[str, Any]]:
        assert self.patches != "auto"
        near = foreground_of(pool, image)
        far = _Object.of(foreground_of(pool, donor), image.shape)
        donor = fitted(donor, image.shape)
        weight = float(rng.uniform(*WEIGHT_RANGE)) if self.label == "continuous" else 1.0
        drawn, support = image.copy(), np.zeros(image.shape[:2], dtype=bool)
        boxes: list[Box] = []
        for attempt in range(self.patches):
            if attempt and rng.random() < 0.5:
                continue
            box = self._add_patch(rng, drawn, support, donor, (near, far), weight)
            if box is not None:
                boxes.append(box)
        if not boxes:
            raise Reject("no patch of the object fits")
        hull = boxes[0]
        for box in boxes[1:]:
            hull = hull.union(box)
        if self.mask_filter == "code":
            changed = change_between(image, drawn) > self.tolerance
            support = majority(changed & support, np.ones_like(support))
        result = composite(image, drawn, support, box=hull, tolerance=self.tolerance)
        pixels = np.count_nonzero(result.mask)
        if near is not None and np.count_nonzero(result.mask & near) < self.min_foreground * pixels:
            raise Reject("mostly off the foreground")
        return result._replace(parts=tuple(boxes)), {"boxes": [list(box) for box in boxes], "weight": weight}

    def _add_patch(
        self,
        rng: np.random.Generator,
        drawn: np.ndarray,
        support: np.ndarray,
        donor: np.ndarray,
        objects: tuple[np.ndarray | None, _Object | None],
        weight: float,
    ) -> Box | None:
        """Blend one patch into `drawn`, add it to `support` (both in place), and return where; None if skipped."""
        near, far = objects
        cut = self._cut(rng, donor.shape, far)
        if cut is None:
            return None
        h, w = self._resized(rng, cut, donor.shape)
        content = cv2.resize(donor[cut.slices], (w, h), interpolation=cv2.INTER_LINEAR).reshape(h, w, -1)
        outline = np.ones((h, w), dtype=bool)
        if self.shape == "ellipse":
            outline = ellipse(h, w, float(rng.uniform(-0.8, 0.8)))
        rim = round(self.rim * min(drawn.shape[:2]))
        inner = _narrowed(outline, rim) if rim else None
        outline[[0, -1]] = outline[:, [0, -1]] = False
        if rim:
            outline = _narrowed(outline, max(0, round(STILL * rim) - 1))
        content_object = None
        if far is not None:
            content_object = cv2.resize(far.mask[cut.slices].view(np.uint8), (w, h)).view(bool)
        box = self._destination(rng, drawn.shape, (h, w), content_object, near)
        if box is None:
            return None
        if content_object is not None and near is not None:
            outline &= _widened(content_object | near[box.slices], drawn.shape)
        smallest = max(4, min(MIN_PIXELS, MIN_PIXELS * drawn.shape[0] * drawn.shape[1] // 256**2))
        if np.count_nonzero(outline) < smallest:
            return None
        assert self.blend != "auto"
        drawn[box.slices] = poisson_blend(
            drawn[box.slices], content, outline, guidance=self.blend, weight=weight, inner=inner
        )
        support[box.slices] |= outline
        return box

    def _cut(self, rng: np.random.Generator, shape: tuple[int, ...], far: _Object | None) -> Box | None:
        """Draw the size, then the place in the donor, cut to the image, that holds enough object."""
        halves, starts, stops = [], [], []
        for size, bounds in zip(shape[:2], (self.height_range, self.width_range), strict=True):
            assert bounds != "auto"
            low, high = (round(bound * size / 2) for bound in bounds)
            side = self.size_offset + rng.gamma(SIZE_SHAPE, self.size_scale)
            halves.append(int(_within(side * size / 2, max(low, 2), max(high, 2))))
            starts.append(low)
            stops.append(max(size - low, low + 1))
        tries = 1 if far is None else TRIES
        y, x = (rng.integers(start, stop, size=tries) for start, stop in zip(starts, stops, strict=True))
        tops, lefts = np.maximum(y - halves[0], 0), np.maximum(x - halves[1], 0)
        bottoms, rights = np.minimum(y + halves[0], shape[0]), np.minimum(x + halves[1], shape[1])
        if far is None:
            return first_box(tops, lefts, bottoms, rights, np.ones(1, dtype=bool))
        share = counts_in(far.integral, tops, lefts, bottoms, rights) / ((bottoms - tops) * (rights - lefts))
        return first_box(tops, lefts, bottoms, rights, share > self.min_object)

    def _resized(self, rng: np.random.Generator, cut: Box, shape: tuple[int, ...]) -> tuple[int, int]:
        """Draw the magnification and return the new (h, w): aspect kept, clipped to the bounds and the image."""
        assert self.resize_range != "auto" and self.height_range != "auto" and self.width_range != "auto"
        unit, whole = (0.5, int) if self.size_clip == "code" else (1.0, float)
        low_h, high_h = (round(unit * bound * shape[0]) for bound in self.height_range)
        low_w, high_w = (round(unit * bound * shape[1]) for bound in self.width_range)
        scale = _within(rng.normal(1, 0.5), *self.resize_range)
        h = _within(scale * cut.h, low_h, high_h)
        w = _within(whole(h / cut.h * cut.w), low_w, high_w)
        h = _within(whole(w / cut.w * cut.h), low_h, high_h)
        return int(_within(h, 4, shape[0] - 2)), int(_within(w, 4, shape[1] - 2))

    def _destination(
        self,
        rng: np.random.Generator,
        shape: tuple[int, ...],
        size: tuple[int, int],
        content_object: np.ndarray | None,
        near: np.ndarray | None,
    ) -> Box | None:
        """Draw where the patch lands: inside the image, enough of its object on the image's object."""
        h, w = size
        if near is None or content_object is None:
            return Box(int(rng.integers(1, shape[0] - h)), int(rng.integers(1, shape[1] - w)), h, w)
        assert self.min_object != "auto"
        pixels = np.count_nonzero(content_object)
        if pixels <= self.min_object * h * w:
            return None
        for _ in range(TRIES):
            box = Box(int(rng.integers(1, shape[0] - h)), int(rng.integers(1, shape[1] - w)), h, w)
            overlap = np.count_nonzero(content_object & near[box.slices])
            if overlap > self.min_overlap * pixels:
                return box
        return None

    def _soft_mask(self, result: Composite, weight: float) -> np.ndarray | None:
        if self.label == "binary":
            return None
        if self.label == "continuous":
            return continuous(result, weight)
        if self.label == "intensity":
            return intensity(result)
        assert self.slope != "auto" and self.midpoint != "auto"
        return logistic(result, self.slope, self.midpoint)

    def _known_logistic(self, pool: Images, images: SmallImages) -> tuple[float, float]:
        """Return `_calibrated_logistic`, measured once on a pool for each setting that it depends on.

        images: those of the pool that are looked at.
        """
        if not isinstance(pool, Pool):
            return self._calibrated_logistic(images)
        known = _logistics.setdefault(pool, LRUCache(KEPT_LOGISTICS))
        key = self.model_copy(update={"preset": None, "slope": "auto", "midpoint": "auto"}).model_dump_json()
        found = known.get(key)
        if found is None:
            found = known[key] = self._calibrated_logistic(images)
        return found

    def _calibrated_logistic(self, images: SmallImages) -> tuple[float, float]:
        """Return slope and midpoint from the changes that trial anomalies make on images with their foregrounds."""
        changes: list[np.ndarray] = []
        reasons: Counter[str] = Counter()
        for trial in range(CALIBRATION_SAMPLES):
            tell(trial, CALIBRATION_SAMPLES, "measuring how much anomalies change")
            rng = rng_for(0, Stream.CALIBRATION, trial)
            near, far = (images[int(k)] for k in rng.choice(len(images), 2, replace=len(images) < 2))
            try:
                result, _ = self._draw(rng, near, far, images)
            except Reject as reject:
                reasons[reject.reason] += 1
                continue
            changes.append(result.change[result.mask[result.box.slices]])
        if not changes:
            flat = images.flat()
            raise SourceError(
                f"nsa finds no anomaly on this source in {CALIBRATION_SAMPLES} trials: "
                + ", ".join(f"{reason} ({number}×)" for reason, number in reasons.most_common())
                + (f"; {len(flat)} of {len(images)} images are of nearly one colour: {listed(flat)}" if flat else "")
                + "; look at the foreground with `anomgen preview --foreground`, set `foreground: none`, or check that "
                "the normal images differ from each other"
            )
        return calibrate_logistic(np.concatenate(changes))


KEPT_LOGISTICS = 64
"""Settings of which the calibration is remembered for a pool."""
_logistics: MutableMapping[Pool, MutableMapping[str, tuple[float, float]]] = WeakKeyDictionary()


def _within(value: float, low: float, high: float) -> float:
    """Return `np.clip` of a number, in a twentieth of its time."""
    return float(min(max(value, low), high))


class _Object:
    """The object's pixels, bool (H, W), with their integral image."""

    def __init__(self, mask: np.ndarray):
        self.mask = mask
        self.integral = integral(mask)

    @classmethod
    def of(cls, mask: np.ndarray | None, shape: tuple[int, ...]) -> _Object | None:
        return None if mask is None else cls(fitted(mask, shape))


def _widened(objects: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the objects' pixels, bool (h, w), and those that are no more than the overhang away."""
    radius = max(1, round(OVERHANG * min(shape[:2])))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(objects.view(np.uint8), disk).view(bool)


def _narrowed(outline: np.ndarray, by: int) -> np.ndarray:
    """Return the pixels, bool (h, w), that are `by` or more away from where the outline ends."""
    square = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return cv2.erode(outline.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0).view(bool)


def _mean_length(mask: np.ndarray, axis: int) -> float:
    """Return how long the object is along an axis: from its first to its last pixel on a line, the mean of all lines.

    A share of the image's side; lines without the object do not count. Of a slanted screw, its width and not its reach.
    """
    lines = np.moveaxis(mask, axis, 0)[:, mask.any(axis=axis)]
    ends = lines.argmax(axis=0) + lines[::-1].argmax(axis=0)
    return float(1 - ends.mean() / len(lines))


def _measured(foregrounds: list[np.ndarray | None], automatic: list[str]) -> dict[str, Any]:
    """Return values for the automatic settings that follow from the objects' size."""
    masks = [mask for mask in foregrounds if mask is not None and mask.any()]
    textured = not masks
    area = 1.0 if textured else float(np.mean([mask.mean() for mask in masks]))
    length = [1.0 if textured else float(np.mean([_mean_length(mask, axis) for mask in masks])) for axis in (0, 1)]
    high = [round(float(np.clip(4 / 3 * share, 0.25, 0.8)), 4) for share in length]
    values: dict[str, Any] = {
        "height_range": (SIZE_OFFSET, high[0]),
        "width_range": (SIZE_OFFSET, high[1]),
        "resize_range": (0.5, 2.0) if textured else (0.7, 1.3),
        "patches": 3 if area < 0.75 else 4,
        "min_object": 0.5 if area < 0.4 else 0.7,
        "blend": "mixed" if textured else "normal",
    }
    return {name: value for name, value in values.items() if name in automatic}
