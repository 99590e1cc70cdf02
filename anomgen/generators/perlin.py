"""Perlin: a texture shows through in the random regions that Perlin noise cuts out.

Zavrtanik, Kristan, Skočaj: DRAEM – A discriminatively trained reconstruction embedding for surface anomaly detection,
ICCV 2021, arXiv 2108.07610.

Note: the defaults are those of the official code. The paper draws the opacity from 0.1 to 1 and the threshold at
random (`opacity_range: [0.1, 1.0]`, `threshold_range: [lo, hi]`). The rotation of the whole normal image, which the
code applies to three of ten, is an augmentation for training and is left out: outside the mask the image is the input.
The official code keeps empty masks as normal samples; here the region is drawn again. There a turned region ends at
black corners; here noise covers them, and a 3 × 3 median removes specks: regions cover .057 of a 256 × 256 image in
the mean, the code's .049, and .051 without its empty ones (`python benchmarks/notes.py DATA`, 3,000 draws). No cell of
the noise is below 4 pixels, of which the median would leave little: at 64×64 regions cover .046 so, and .037 with the
32 cells that the code may draw there, its own .041; from 128×128 on nothing changes. A texture that is turned is
mirrored into its corners, where the code leaves 12 % of it black. Grey textures have nine operations, since hue and
saturation mean nothing there, and grey images stored as RGB get them (`colourful`), where the code's keep their
colours: on KolektorSDD stored so the median detectability is 1.3, with colours 19 (docs/reference/methods.md). Its
textures are the 5,640 photographs of DTD (`texture: {kind: folder, path: dtd/images}`); by default ours are
procedural, which need no download. It labels whole regions, here a pixel must change by more than one grey level of
255, as all but .7 % do on MVTec AD's bottles. It knows no foreground; the bundled recipe cuts the regions to the
object (`foreground: none` does not), as RealNet does: .042 of the bottles' images instead of .060. The paper's opacity
lowers the mean change in the masks from .176 to .161 of the range, DTD's photographs raise it to .183
(docs/reference/methods.md).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import cv2
import numpy as np
from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from anomgen.config import Range, ShareRange
from anomgen.generators.base import Generator, foreground_of
from anomgen.sources.base import Images
from anomgen.sources.pixels import to_channels, to_depth, value_max
from anomgen.sources.pool import SmallImages
from anomgen.synthesis.augment import OPERATIONS, augment
from anomgen.synthesis.perlin import NoiseField, PerlinDraw, perlin_mask, require_package
from anomgen.synthesis.sample import Box, Reject, Sample, composite, smallest_mask
from anomgen.synthesis.textures import ProceduralTextures, TextureField

COLOURED = 2.0
"""Mean distance between the channels, grey levels of 255, from which images count as coloured."""
LOOKED_AT = 16
"""Images that are looked at for it."""
REDRAWS = 10
"""Regions drawn before the sample is rejected because none of them was large enough."""


def _exponents(pair: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= pair[0] <= pair[1] <= 10:
        raise ValueError("an exponent range is [low, high] with 0 ≤ low ≤ high ≤ 10")
    return pair


class PerlinRegion(Generator):
    """Base of the generators that lay content over the image in regions of Perlin noise on the foreground."""

    exponent_range: Annotated[tuple[int, int], Field(strict=False), AfterValidator(_exponents)] = (0, 5)
    """How fine the regions are: low for few large ones, high for many small ones. The noise has 2^k cells along an
    axis, k drawn from this range for each."""
    rotation_range: Range = (-90.0, 90.0)
    """Rotation of the noise, degrees."""
    threshold_range: Range = (0.5, 0.5)
    """How much the regions leave out: low for large ones, high for small ones. A pixel is in one where the noise, about
    −1 to 1, is above a level drawn from this range."""
    opacity_range: ShareRange = (0.2, 1.0)
    """Weight of the content; 1 covers."""
    field: NoiseField = "gradient"
    """Whose noise it is: `gradient`, our own, or `noise`, that of the package of this name (extra `noise`): regions are
    alike, but take longer."""

    @model_serializer(mode="wrap")
    def _field_if_chosen(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the default: recipes and their fingerprints are what they were before there was a choice."""
        values: dict[str, Any] = handler(self)
        return {key: value for key, value in values.items() if key != "field" or value != "gradient"}

    def prepared(self, pool: Images) -> Self:
        """See `Generator.prepared`. Raises UsageError when the field needs a package that is not installed."""
        if self.field == "noise":
            require_package()
        return super().prepared(pool)

    def draw_region(
        self, rng: np.random.Generator, shape: tuple[int, ...], foreground: np.ndarray | None
    ) -> tuple[np.ndarray, PerlinDraw]:
        """Return where the content goes, bool (H, W), on the foreground. Raises Reject when that is nowhere."""
        for _ in range(REDRAWS):
            region, drawn = perlin_mask(
                rng,
                (shape[0], shape[1]),
                exponent_range=self.exponent_range,
                rotation_range=self.rotation_range,
                threshold_range=self.threshold_range,
                field=self.field,
            )
            if foreground is not None:
                region &= foreground
            if np.count_nonzero(region) >= smallest_mask(shape):
                return region, drawn
        raise Reject("no region on the foreground" if foreground is not None else "no region above the threshold")


class Perlin(PerlinRegion):
    """DRAEM's textured anomalies (arXiv 2108.07610, section 3.3)."""

    kind: ClassVar[str] = "perlin"
    paper: ClassVar[str] = (
        "Zavrtanik, Kristan, Skočaj: DRAEM, a Discriminatively Trained Reconstruction Embedding for Surface "
        "Anomaly Detection, ICCV 2021, "
        "[arXiv 2108.07610](https://arxiv.org/abs/2108.07610)"
    )

    augmentations: Annotated[int, Field(ge=0, le=len(OPERATIONS) - 1)] = 3
    """Distinct operations, of the ten in `anomgen.synthesis.augment`, applied to each texture."""
    texture: TextureField = ProceduralTextures()
    """Where textures come from: drawn by formulas, a folder, or a dataset of the Hub. In YAML: ``{kind: procedural}``,
    ``{kind: folder, path: …}``, ``{kind: hub, path: …}``."""

    colourful: bool | Literal["auto"] = "auto"
    """Whether textures keep their colours. `auto`: where the images are coloured; grey ones stored as RGB get grey."""

    @model_serializer(mode="wrap")
    def _colour_if_known(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out `auto`, as of `field` the default."""
        hidden = {"field": "gradient", "colourful": "auto"}
        return {key: value for key, value in handler(self).items() if hidden.get(key) != value}

    def prepared(self, pool: Images) -> Self:
        """Check the textures, look whether the images are coloured. Raises UsageError or SourceError for textures."""
        self.texture.check(pool[0].shape if len(pool) else None)
        ready = super().prepared(pool)
        if self.colourful != "auto" or not len(pool) or pool[0].shape[2] == 1:
            return ready
        return ready.model_copy(update={"colourful": are_coloured(pool)})

    def resources(self) -> dict[str, str]:
        """See `Generator.resources`."""
        return self.texture.resources()

    def licenses(self) -> tuple[str, ...]:
        """See `Generator.licenses`."""
        return self.texture.licenses()

    def unlicensed(self) -> dict[str, str]:
        """See `Generator.unlicensed`."""
        return self.texture.unlicensed()

    def sample(self, rng: np.random.Generator, image: np.ndarray, pool: Images) -> Sample:
        """Draw one textured anomaly; see `Generator.sample`."""
        region, drawn_region = self.draw_region(rng, image.shape, foreground_of(pool, image))
        texture, name = self.texture.draw(rng, image.shape)
        box = Box.whole(image).around(region)
        texture, operations = augment(rng, texture, self.augmentations, box)
        keeps = are_coloured(pool) if self.colourful == "auto" and image.shape[2] == 3 else self.colourful
        if not keeps:
            texture = to_channels(to_channels(texture, 1), image.shape[2])
        opacity = float(rng.uniform(*self.opacity_range))
        drawn = lay_over(image, to_depth(texture, image.dtype), region, box, opacity)
        result = composite(image, drawn, region, box=box)
        params: dict[str, Any] = {
            **drawn_region._asdict(),
            "texture": name,
            "augmentations": operations,
            "opacity": opacity,
        }
        return Sample(result.image, result.mask, None, params, self.kind)


def are_coloured(pool: Images) -> bool:
    """Return whether images (H, W, 3) have colours: those of grey pictures stored as RGB are equal in all channels."""
    small = SmallImages(pool, LOOKED_AT)
    spread = [_spread(image).mean() / value_max(image.dtype) for image in small]
    return float(np.median(spread)) * 255 > COLOURED


def _spread(image: np.ndarray) -> np.ndarray:
    """Return the distance between the largest and the smallest channel, float32 (H, W), of an image (H, W, C)."""
    planes = cv2.split(image.astype(np.float32))  # numpy's reduction over a short last axis is slow
    largest, smallest = planes[0], planes[0]
    for plane in planes[1:]:
        largest, smallest = cv2.max(largest, plane), cv2.min(smallest, plane)
    result: np.ndarray = largest - smallest
    return result


def lay_over(image: np.ndarray, content: np.ndarray, region: np.ndarray, box: Box, opacity: float) -> np.ndarray:
    """Return a copy of the image with content over it in the region, bool (H, W).

    box: that of the region. content: of its size, of the image's dtype and channels.
    """
    drawn = image.copy()
    mixed = cv2.addWeighted(content, opacity, image[box.slices], 1 - opacity, 0)
    inside = region[box.slices].view(np.uint8)
    drawn[box.slices] = cv2.copyTo(mixed, inside, image[box.slices].copy()).reshape(box.h, box.w, -1)
    return drawn
