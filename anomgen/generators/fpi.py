"""FPI: a square of the image mixed with the same place in a donor.

Tan, Hou, Batten, Qiu, Kainz: Detecting Outliers with Foreign Patch Interpolation, MELBA 2022, arXiv 2011.04197.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from anomgen.config import Share, ShareRange
from anomgen.generators.base import Generator, draw_donor, fitted, foreground_of, require_donors
from anomgen.sources.base import Images
from anomgen.synthesis.blend import alpha_blend
from anomgen.synthesis.labels import continuous
from anomgen.synthesis.masks import TRIES, counts_in, first_box, in_image, integral, on_foreground
from anomgen.synthesis.sample import Box, Reject, Sample, composite


class PatchInterpolation(Generator):
    """What FPI and PII share: a square of a donor at the same place, its weight drawn, the weight as soft mask."""

    soft: ClassVar[bool] = True
    margin: ClassVar[int] = 0
    """Pixels at the image's border that stay as they are."""

    half_width_range: ShareRange = (0.05, 0.2)
    """Half of the square's side, as a share of the image's shorter side."""
    core: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of each axis, around the middle, in which the square's centre lies."""
    weight_range: ShareRange = (0.05, 0.95)
    """Weight of the donor (the paper's α)."""
    weights: Annotated[tuple[Share, ...], Field(strict=False, min_length=1)] | None = None
    """A choice of weights instead of a range."""
    min_foreground: Share = 0.5
    """Share of the square that must lie on the foreground, where there is one; the rest is cut off."""

    def prepared(self, pool: Images) -> Self:
        """Return this generator. Raises SourceError early when there is no donor."""
        require_donors(pool)
        return self

    def sample(self, rng: np.random.Generator, image: np.ndarray, pool: Images) -> Sample:
        """Mix one square with a donor; see `Generator.sample`."""
        donor = fitted(draw_donor(rng, image, pool), image.shape)
        weight = float(rng.choice(self.weights)) if self.weights else float(rng.uniform(*self.weight_range))
        foreground = foreground_of(pool, image)
        box = self._square(rng, image.shape, foreground)
        support = on_foreground(np.ones((box.h, box.w), dtype=bool), foreground, box)
        drawn = self._blend(image, donor, in_image(support, box, image.shape), box, weight)
        result = composite(image, drawn, in_image(support, box, image.shape), box=box)
        params = {"box": list(box), "weight": weight}
        return Sample(result.image, result.mask, continuous(result, weight), params, self.kind)

    def _square(self, rng: np.random.Generator, shape: tuple[int, ...], foreground: np.ndarray | None) -> Box:
        """Draw the half-width, then the centre inside the core, on the foreground; cut the square to the image."""
        rows, columns = shape[:2]
        low, high = (share * min(rows, columns) for share in self.half_width_range)
        half = int(rng.integers(max(2, round(low)), max(2, round(high)), endpoint=True))
        tries = 1 if foreground is None else TRIES
        y, x = (rng.integers(*_core_of(size, self.core), size=tries) for size in (rows, columns))
        tops, lefts = np.maximum(y - half, self.margin), np.maximum(x - half, self.margin)
        bottoms, rights = np.minimum(y + half, rows - self.margin), np.minimum(x + half, columns - self.margin)
        accepted = np.ones(tries, dtype=bool)
        if foreground is not None:
            counts = counts_in(integral(foreground), tops, lefts, bottoms, rights)
            accepted = counts >= np.maximum(1, self.min_foreground * (bottoms - tops) * (rights - lefts))
        box = first_box(tops, lefts, bottoms, rights, accepted)
        if box is None:
            raise Reject("no place on the foreground")
        return box

    @abstractmethod
    def _blend(self, image: np.ndarray, donor: np.ndarray, support: np.ndarray, box: Box, weight: float) -> np.ndarray:
        """Return a copy of `image` with the donor mixed in on the support, bool (H, W), which lies in `box`."""


def _core_of(size: int, share: float) -> tuple[int, int]:
    """Return the first and the end index of the central share of an axis."""
    start = round(size * (1 - share) / 2)
    return start, max(start + 1, size - start)


class FPI(PatchInterpolation):
    """Foreign patch interpolation (arXiv 2011.04197, section 3): (1 − α)·image + α·donor in a square.

    Note: the paper makes two images of a pair, each with the other's patch; here each image gets its own draw, of the
    same law. It knows no foreground; with one, as in the recipe, severity on MVTec AD's bottles is .026 instead of
    .028 at the same area. It labels every pixel that differs, here it must be by more than one grey level of 255: on
    these bottles, much of whose images is white, 39 % of the squares' pixels are left out, on KolektorSDD 7 %
    (docs/reference/methods.md).
    """

    kind: ClassVar[str] = "fpi"
    paper: ClassVar[str] = (
        "Tan, Hou, Batten, Qiu, Kainz: Detecting Outliers with Foreign Patch Interpolation, MELBA 2022, "
        "[arXiv 2011.04197](https://arxiv.org/abs/2011.04197)"
    )

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "brain": {"core": 0.5},
        "abdomen": {"core": 0.8, "weights": [0.25, 0.5, 0.75, 1.0]},
    }

    preset: str | None = None
    """`brain` (MRI, continuous weight) or `abdomen` (CT, four weights): the paper's settings."""

    def _blend(self, image: np.ndarray, donor: np.ndarray, support: np.ndarray, box: Box, weight: float) -> np.ndarray:
        drawn = image.copy()
        mixed = alpha_blend(image[box.slices], donor[box.slices], weight)
        np.copyto(drawn[box.slices], mixed, where=support[box.slices][..., None])
        return drawn
