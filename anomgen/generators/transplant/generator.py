"""Transplants: a handful of real defects, put on other normal images of the product; `anomgen bank` collects them.

What a defect adds to its material is taken off its picture, over a background that is filled in from around it (Telea,
"An image inpainting technique based on the fast marching method", 2004) or, where products lie alike, over the nearest
normal image. It is turned, mirrored, scaled, made fainter or stronger, matched to the level and the grain of the place
that it is put on, and fades out, so that no rim shows. Where it hides the material, it does so there, too.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import cv2
import numpy as np
from pydantic import Field, PrivateAttr

from anomgen.banks.folder import Bank, open_bank
from anomgen.config import PositiveRange, Share
from anomgen.errors import AnomgenNote, UsageError
from anomgen.generators.base import Generator, Images, foreground_of
from anomgen.generators.defects.generator import Defects, Number
from anomgen.generators.defects.material import SMALLEST_DEVIATION, TOP_LEFT
from anomgen.generators.defects.placing import drawn_spot
from anomgen.generators.defects.scene import Material, Scene
from anomgen.generators.transplant.laying import Pose, Turned, change, turned
from anomgen.generators.transplant.patch import Background, Patch, Patches, Scale, patch_of
from anomgen.licenses import known
from anomgen.sources.base import PathText
from anomgen.sources.images import Fit
from anomgen.sources.pixels import levels, quantise, value_max
from anomgen.synthesis.alignment import ALIKE, Normals
from anomgen.synthesis.sample import Box, Reject, Sample, change_between, majority, smallest_mask

ENOUGH = 8
"""Real defects from which on they are three quarters of the mixture with `defects`, and half of it below."""
LOOKED_AT = 60
"""Normal images, evenly spaced, that may be the background of a defect, and that tell whether products lie alike."""
LARGE = 0.06
"""Share of the image that pieces cover from which on no further one is added."""
SPOTS = 8
"""Places tried for a piece before the sample is rejected."""
ON_OBJECT = 0.7
"""Share of a piece's mask that must lie on the foreground."""
HOPELESS = 3.0
"""So many times further apart than images that lie alike, none of them is tried as the background of a defect."""
NEAR = 0.1
"""`place: near`: how far from its own place a piece lies at most, a share of the image's side."""
TOLERANCE = 3.0
"""Change, in grey levels of 255, up to which a pixel outside a piece's mask counts as unchanged."""
FITS = 0.6
"""Share of a piece's mask that must visibly change for the mask to be the label as it was drawn."""


class Transplant(Generator):
    """Real defects from a bank, put on normal images, mixed with drawn ones."""

    kind: ClassVar[str] = "transplant"
    advice: ClassVar[str] = (
        "Look at the bank with `anomgen preview BANK` and at the foreground with `anomgen preview --foreground`; use "
        "smaller defects, a lower generator.scale_range, or generator.place anywhere"
    )

    bank: PathText | None = None
    """Folder that `anomgen bank` wrote, or a dataset of the Hub that it was pushed to."""
    with_defects: Share | Literal["auto"] = "auto"
    """Share of anomalies that are drawn by `defects` instead, for kinds that the bank does not hold. `auto`: a quarter
    from 8 real defects on, half below."""
    place: Literal["auto", "anywhere", "near", "same"] = "auto"
    """`anywhere` on the object; `near` its own place, within a tenth of the side; at the `same` place. `auto`: near
    where the products lie alike in all images, anywhere elsewhere."""
    number: Number = (1, 3)
    """Pieces in one image, of one defect type. A number or a range."""
    gain_range: PositiveRange = (0.6, 1.3)
    """How strong, against the real defect."""
    scale_range: PositiveRange = (0.75, 1.3)
    """How large, against the real defect; near its own place a third of that, at the same place as it is."""
    turn: Annotated[float, Field(ge=0, le=180)] = 25.0
    """Degrees that a piece is turned by at most, either way; a third of it near its own place."""
    flip: bool = True
    """Whether pieces are mirrored and turned by quarters, too, where they may lie anywhere."""
    background: Background = "auto"
    """What lay below a real defect: filled in from around it (`inpaint`), the nearest `normal` image, or, `auto`,
    whichever fits its surroundings better."""

    _patches: Patches | None = PrivateAttr(None)
    _defects: Defects | None = PrivateAttr(None)
    _types: tuple[str, ...] | None = PrivateAttr(None)
    """As they were when it was prepared: whoever draws needs no bank any more."""
    _fingerprint: str | None = PrivateAttr(None)
    """The bank's, likewise."""

    @property
    def defect_types(self) -> tuple[str, ...]:
        """Return the bank's, and the kinds of `defects` where these are drawn, too."""
        if self._types is not None:
            return self._types
        real = () if self.bank is None else self._bank.defect_types
        drawn = () if self.with_defects == 0 else Defects().defect_types
        return tuple(dict.fromkeys((*real, *drawn))) or (self.kind,)

    @property
    def min_on_foreground(self) -> float:
        """Return 1, or what `defects` keeps where these are drawn, too."""
        return 1.0 if self.with_defects == 0 else Defects().min_on_foreground

    def prepared(self, pool: Images) -> Self:
        """Take the defects off their pictures, once, at the size of the pool's images.

        Raises UsageError for a bank that cannot be used, that holds one of the normal images, and for a place that the
        products do not have.
        """
        _opened.cache_clear()
        bank = self._bank
        refuse_normal(bank, getattr(pool, "source", None), "generator.bank")
        count = len(pool)
        images = [pool[k] for k in sorted({round(k) for k in np.linspace(0, count - 1, min(LOOKED_AT, count))})]
        normals = Normals(images)
        apart = normals.disagreement()
        ready = self.model_copy(update={"place": self._resolved_place(apart), "with_defects": self._share})
        background = "inpaint" if self.background == "auto" and apart > HOPELESS * ALIKE else self.background
        shapes = {image.shape[:2] for image in images}
        source = getattr(pool, "source", None)
        fit: Fit = getattr(source, "fit", "stretch")
        scale = Scale(fit, images[0].shape, len(shapes) == 1, getattr(pool, "value_range", None))
        _tell_conversion(bank, images[0])
        found = [patch_of(defect, scale, normals, background) for defect in bank.defects()]
        ready._patches = Patches(own for own in found if own is not None)
        if not ready._patches:
            raise UsageError(f"generator.bank: {self.bank}: no defect is left at this size; use a larger --size")
        ready._types, ready._fingerprint = self.defect_types, bank.fingerprint
        ready._defects = Defects().prepared(pool) if self._share > 0 else None
        return ready

    def resources(self) -> dict[str, str]:
        """See `Generator.resources`."""
        return {} if self.bank is None else {"bank": self._fingerprint or self._bank.fingerprint}

    def licenses(self) -> tuple[str, ...]:
        """See `Generator.licenses`."""
        license = None if self.bank is None else self._bank.license
        return () if license is None else (license,)

    def unlicensed(self) -> dict[str, str]:
        """See `Generator.unlicensed`."""
        return {} if self.bank is None or known(self._bank.license) else {"bank": "the bank's record names none"}

    def trained_on(self) -> frozenset[str]:
        """Return the hashes of the bank's pictures; see `Generator.trained_on`."""
        return frozenset() if self.bank is None else self._bank.files

    def sample(self, rng: np.random.Generator, image: np.ndarray, pool: Images) -> Sample:
        """Put one to several defects of a type on an image; see `Generator.sample`."""
        ready = self if self._patches is not None else self.prepared(pool)
        if ready._defects is not None and rng.random() < ready._share:
            return ready._defects.sample(rng, image, pool)
        assert ready._patches is not None
        return ready._transplanted(rng, image, foreground_of(pool, image), ready._patches)

    @property
    def _bank(self) -> Bank:
        if self.bank is None:
            raise UsageError(
                "generator.bank is missing: collect real defects with `anomgen bank DEFECTS --masks MASKS -o BANK` and "
                "give them with --set generator.bank=BANK"
            )
        try:
            bank = _opened(self.bank)
        except UsageError as error:
            raise UsageError(f"generator.bank: {error}") from error
        if bank.proposed:
            raise UsageError(
                f"generator.bank: {len(bank.proposed)} of the masks in {self.bank} are proposals; look at its "
                f"preview.png and approve them with `anomgen bank {self.bank} --yes`"
            )
        return bank

    @property
    def _share(self) -> float:
        if self.with_defects != "auto":
            return self.with_defects
        return 0.25 if len(self._bank) >= ENOUGH else 0.5

    def _resolved_place(self, apart: float) -> Literal["anywhere", "near", "same"]:
        """Return where pieces lie, by how much a normal image differs from the nearest other one."""
        if self.place == "anywhere":
            return "anywhere"
        if self.place == "auto":
            return "near" if apart < ALIKE else "anywhere"
        if apart >= ALIKE:
            told = f"they differ by {apart:.0%} of their contrast, at most {ALIKE:.0%} would do"
            raise UsageError(
                f"generator.place: {self.place} needs products that lie alike in all normal images, and "
                f"{'there is only one' if math.isinf(apart) else told}; use place: anywhere, or align the images"
            )
        return self.place

    def _transplanted(
        self, rng: np.random.Generator, image: np.ndarray, foreground: np.ndarray | None, patches: Patches
    ) -> Sample:
        unit = float(np.sqrt(image.shape[0] * image.shape[1])) / 256
        scene = Scene(levels(image), foreground, Material(SMALLEST_DEVIATION, False, TOP_LEFT), unit)
        first = patches[int(rng.integers(len(patches)))]
        alike = [own for own in patches if own.defect_type == first.defect_type]
        pieces, told, covered = [], [], 0.0
        for number in range(int(rng.integers(self.number[0], self.number[1] + 1))):
            if covered > LARGE * image.shape[0] * image.shape[1]:
                break
            chosen = (first if number == 0 else alike[int(rng.integers(len(alike)))]).in_channels(image.shape[2])
            pose, piece = self._posed(rng, scene, chosen)
            gain = float(rng.uniform(*self.gain_range))
            added = change(scene.values, piece, gain, unit)
            if foreground is not None:
                added *= foreground[piece.box.slices][..., None]
            scene.values[piece.box.slices] += added
            pieces.append(piece)
            covered += float(piece.mask.sum())
            told.append({"item": chosen.item, "gain": round(gain, 4), **_rounded(pose)})
        drawn, mask = _labelled(image, scene, pieces)
        return Sample(drawn, mask, None, {"pieces": told}, first.defect_type)

    def _posed(self, rng: np.random.Generator, scene: Scene, chosen: Patch) -> tuple[Pose, Turned]:
        """Draw where and how a patch lies. Raises Reject when it does not fit on the object."""
        for _ in range(SPOTS):
            pose = self._drawn_pose(rng, scene, chosen)
            piece = turned(chosen, pose, scene.shape)
            if piece is None:
                continue
            whole = float(chosen.mask.sum()) * pose.scale**2
            shown = piece.mask if scene.foreground is None else piece.mask * scene.foreground[piece.box.slices]
            if float(shown.sum()) >= ON_OBJECT * whole:
                return pose, piece
        raise Reject("no room for the defect on the object")

    def _drawn_pose(self, rng: np.random.Generator, scene: Scene, chosen: Patch) -> Pose:
        own = chosen.centre[0] * scene.shape[0], chosen.centre[1] * scene.shape[1]
        if self.place == "same":
            return Pose(own, 0.0, 1.0, False)
        low, high = (math.log(end) for end in self.scale_range)
        if self.place == "near":
            away = rng.uniform(-NEAR, NEAR, 2) * scene.side
            centre = own[0] + float(away[0]), own[1] + float(away[1])
            angle = float(rng.uniform(-self.turn, self.turn)) / 3
            return Pose(centre, angle, math.exp(float(rng.uniform(low, high)) / 3), False)
        centre = drawn_spot(rng, scene, "uniform", None, on_outline=False)
        quarters = int(rng.integers(4)) if self.flip else 0
        angle = float(rng.uniform(-self.turn, self.turn)) + 90 * quarters
        mirrored = self.flip and bool(rng.integers(2))
        return Pose(centre, angle, math.exp(float(rng.uniform(low, high))), mirrored)


def _labelled(image: np.ndarray, scene: Scene, pieces: list[Turned]) -> tuple[np.ndarray, np.ndarray]:
    """Return the drawn image and its exact mask, bool (H, W); outside it the image is the input.

    The mask is the pieces' own where most of it visibly changed, else what changed, and always what changed beyond it.
    Raises Reject when hardly anything did.
    """
    box = pieces[0].box
    for piece in pieces[1:]:
        box = box.union(piece.box)
    own = np.zeros((box.h, box.w), bool)
    for piece in pieces:
        own[_within(piece.box, box)] |= piece.mask > 0.5
    if scene.foreground is not None:
        own &= scene.foreground[box.slices]
    window = image[box.slices]
    drawn = quantise(scene.values[box.slices] * np.float32(value_max(image.dtype) / 255), image.dtype)
    changed = change_between(window, drawn) > TOLERANCE
    local = majority(changed, cv2.dilate(changed.view(np.uint8), np.ones((3, 3), np.uint8)).view(bool))
    if scene.foreground is not None:
        local &= scene.foreground[box.slices]
    if np.count_nonzero(own & changed) >= FITS * np.count_nonzero(own):
        local |= own
    count = np.count_nonzero(local)
    if count < smallest_mask(image.shape) or 2 * np.count_nonzero(changed & local) < count:
        raise Reject("nothing visible changed")
    result, mask = image.copy(), np.zeros(image.shape[:2], bool)
    kept = cv2.copyTo(drawn, local.view(np.uint8), window.copy())  # np.where takes ten times as long
    result[box.slices] = kept.reshape(window.shape)
    mask[box.slices] = local
    return result, mask


def _within(box: Box, outer: Box) -> tuple[slice, slice]:
    y, x = box.y - outer.y, box.x - outer.x
    return slice(y, y + box.h), slice(x, x + box.w)


def _rounded(pose: Pose) -> dict[str, Any]:
    centre = [round(pose.centre[0], 1), round(pose.centre[1], 1)]
    return {
        "centre": centre,
        "angle": round(pose.angle, 2),
        "scale": round(pose.scale, 4),
        "mirrored": pose.mirrored,
    }


class _Form(NamedTuple):
    """What of an image's form differs between a bank and the images."""

    channels: int
    dtype: str


def _tell_conversion(bank: Bank, image: np.ndarray) -> None:
    first = next(bank.defects()).image
    own, other = _Form(first.shape[2], first.dtype.name), _Form(image.shape[2], image.dtype.name)
    words = {1: "grey", 3: "colour", "uint8": "8 bits", "uint16": "16 bits"}
    for had, gets in zip(own, other, strict=True):
        if had != gets:
            text = f"the defects of the bank are in {words[had]}, the images in {words[gets]}: they are converted"
            warnings.warn(text, AnomgenNote, stacklevel=4)


def refuse_normal(bank: Bank, source: Any, key: str) -> None:
    """Raise UsageError, which names the key, when a picture of the bank is also among the normal images of a source."""
    files = getattr(source, "files", ())
    files = files() if callable(files) else files
    for number, digest in enumerate(files):
        if digest in bank.files:
            item = next(entry.item for entry in bank.entries if entry.digest == digest)
            name = source.id(number) if source is not None else ""
            raise UsageError(f"{key}: {item} is also among the normal images, as {name}; remove it from one of the two")


@lru_cache(maxsize=8)
def _opened(name: str) -> Bank:
    return open_bank(name)
