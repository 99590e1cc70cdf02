"""Cycle-GAN: a network translates the normal image into an abnormal one; the mask is where it changed the image.

Bougaham, Delchevalerie, El Adoui, Frénay: Industrial and medical anomaly detection through cycle-consistent adversarial
networks, Neurocomputing 614:128762, 2025, arXiv 2302.05154. `anomgen train cyclegan` trains the network; 30 abnormal
images are enough.

Note: the paper translates abnormal images to normal ones to find anomalies and defines no mask. Here the mask is where
the smoothed largest channel of |x − G(x)| is above a threshold, closed; the threshold is what held-out normal images
change when they are translated to normal ones. What changes all over the image alike is left out. Outside the mask the
image is the input; inside it the translation: wholly from 1.25 times the threshold, fading in on a line below, so that
no rim shows.
The network draws nothing at random: the same image in the same orientation becomes the same anomaly, so the image is
turned and mirrored at random before it is translated, and back after, as far as that was part of the training. Of two
models of 700 steps, .01 to .03 grey levels of 255 are left out as the same all over, and outside of the masks .3 to .4
in the mean; 66 to 83 % of a mask fade, and the masks of one image in two orientations have a third in common
(`python benchmarks/cyclegan.py MODEL DATA`; docs/reference/methods.md).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import cv2
import numpy as np
from pydantic import Field

from anomgen.errors import UsageError
from anomgen.generators.base import Generator, foreground_of
from anomgen.models.device import require_diffusion
from anomgen.sources.base import Images, PathText
from anomgen.sources.pixels import quantise, value_max
from anomgen.synthesis.sample import Reject, Sample, composite

if TYPE_CHECKING:
    from anomgen.models.cyclegan.model import Translators


COST = 1.4e-6
"""Seconds of one processor core per pixel, measured on the laptop preset."""
FULL = 1.25
"""Multiple of the threshold from which the change is kept wholly; at the threshold itself nothing of it is."""
VISIBLE = 3.0
"""Change, in grey levels of 255, up to which a faded pixel counts as unchanged."""


class CycleGAN(Generator):
    """A trained translation from normal to abnormal images (arXiv 2302.05154)."""

    kind: ClassVar[str] = "cyclegan"
    paper: ClassVar[str] = (
        "Bougaham, Delchevalerie, El Adoui, Frénay: Industrial and Medical Anomaly Detection Through Cycle-"
        "Consistent Adversarial Networks, Neurocomputing 614, 2025, "
        "[arXiv 2302.05154](https://arxiv.org/abs/2302.05154)"
    )
    advice: ClassVar[str] = (
        "Look at the sheets of the training; train longer (`anomgen train cyclegan … --steps … --resume`), or change "
        "generator.threshold or generator.max_area"
    )

    model: PathText | None = None
    """Folder that `anomgen train cyclegan` wrote."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] = "auto"
    """Change, a share of the value range, above which a pixel is anomalous; auto: the model's, from normal images."""
    smoothing: Annotated[float, Field(ge=0, le=0.1)] = 0.008
    """Deviation of the Gaussian over the change, a share of the shorter side."""
    closing: Annotated[float, Field(ge=0, le=0.1)] = 0.012
    """Radius, a share of the shorter side, to which gaps in the mask are closed."""
    max_area: Annotated[float, Field(gt=0, le=1)] = 0.4
    """Share of the image beyond which the translation is taken to have failed and is rejected."""

    @property
    def uses_network(self) -> bool:
        """Return whether a model is named; see `Generator.uses_network`."""
        return self.model is not None

    def prepared(self, pool: Images) -> Self:
        """Load the model and take over its threshold. Raises UsageError or AnomgenError when it cannot be used."""
        from anomgen.models.use import warn_of_other_values

        _opened.cache_clear()
        translators = self._translators()
        if len(pool):
            translators.require(pool[0], f"generator.model: {self.model}")
            warn_of_other_values(self._folder(str(self.model)), f"generator.model: {self.model}", pool)
        if self.threshold != "auto":
            return self
        return self.model_copy(update={"threshold": translators.description.threshold})

    def resources(self) -> dict[str, str]:
        """See `Generator.resources`."""
        from anomgen.models.cyclegan.model import model_fingerprint

        return {} if self.model is None else {"model": model_fingerprint(self.model)}

    def licenses(self) -> tuple[str, ...]:
        """See `Generator.licenses`."""
        from anomgen.models.use import model_licenses

        return () if self.model is None else model_licenses(self._folder(self.model))

    def unlicensed(self) -> dict[str, str]:
        """See `Generator.unlicensed`."""
        from anomgen.models.use import why_unlicensed

        why = None if self.model is None else why_unlicensed(self._folder(self.model))
        return {"model": why} if why else {}

    def trained_on(self) -> frozenset[str]:
        """See `Generator.trained_on`."""
        from anomgen.models.use import trained_on

        return frozenset() if self.model is None else trained_on(self._folder(self.model))

    def cost(self, shape: tuple[int, ...]) -> float:
        """See `Generator.cost`; that of the model that `anomgen train cyclegan` makes by default."""
        return 0.0 if self.model is None else COST * shape[0] * shape[1]

    def _folder(self, model: str) -> Path:
        from anomgen.models.cyclegan.model import FILES
        from anomgen.models.use import model_folder

        return model_folder(model, f"train {self.kind}", FILES)

    def sample(self, rng: np.random.Generator, image: np.ndarray, pool: Images) -> Sample:
        """Translate an image; see `Generator.sample`."""
        from anomgen.models.cyclegan.model import without_shift

        translators = self._translators()
        translators.require(image, f"generator.model: {self.model}")
        way = int(rng.integers(translators.description.ways))
        change = without_shift(translators.to_abnormal.change(image, way))
        weight = self._weight(change, translators.description.threshold)
        foreground = foreground_of(pool, image)
        if foreground is not None:
            weight *= foreground
        drawn = quantise(image + weight[..., None] * change * value_max(image.dtype), image.dtype)
        result = composite(image, drawn, weight > 0, tolerance=VISIBLE)
        return Sample(result.image, result.mask, None, {"orientation": way}, self.kind)

    def _weight(self, change: np.ndarray, auto: float) -> np.ndarray:
        """Return how much of a change (H, W, C) is kept, 0 up to the threshold, 1 from `FULL` times it; float32 (H, W).

        The closing of the smoothed change is what is compared: where it is above the threshold is the closing of
        where the smoothed change is.
        """
        from anomgen.models.cyclegan.model import change_map

        threshold = auto if self.threshold == "auto" else self.threshold
        size = change_map(change, self.smoothing)
        radius = round(self.closing * min(size.shape))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        closed = cv2.morphologyEx(size, cv2.MORPH_CLOSE, disc)
        area = np.mean(closed > threshold)
        if area == 0:
            raise Reject("the translation changed nothing")
        if area > self.max_area:
            raise Reject(f"the translation changed more than {self.max_area:.0%} of the image")
        result: np.ndarray = np.clip((closed / np.float32(threshold) - 1) / np.float32(FULL - 1), 0, 1)
        return result

    def _translators(self) -> Translators:
        if self.model is None:
            raise UsageError(
                "generator.model is missing: train one with `anomgen train cyclegan --source NORMAL --abnormal DEFECTS "
                "-o MODEL` and give it with --set generator.model=MODEL"
            )
        try:
            return _opened(self.model)
        except UsageError as error:
            raise UsageError(f"generator.model: {error}") from error


@lru_cache(maxsize=2)
def _opened(path: str) -> Translators:
    """Return the model in a folder; each process loads it once."""
    require_diffusion()
    from anomgen.models.cyclegan.model import load_translators

    return load_translators(path)
