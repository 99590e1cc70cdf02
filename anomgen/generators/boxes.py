"""Flat rectangles: the baseline that any generator must beat to be worth its trouble."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from anomgen.config import ShareRange
from anomgen.generators.base import Generator, foreground_of
from anomgen.sources.base import Images
from anomgen.sources.pixels import value_max
from anomgen.synthesis.masks import in_image, on_foreground
from anomgen.synthesis.sample import Box, Reject, Sample, composite


class Boxes(Generator):
    """One rectangle of one colour. Position, size and colour are uniform; it knows nothing of the image."""

    kind: ClassVar[str] = "boxes"

    side_range: ShareRange = (0.03, 0.3)
    """Height and width, each a share of the image's."""

    def sample(self, rng: np.random.Generator, image: np.ndarray, pool: Images) -> Sample:
        """Draw a rectangle; where there is a foreground, only its part on the foreground."""
        shape = np.array(image.shape[:2])
        h, w = np.maximum(np.rint(rng.uniform(*self.side_range, 2) * shape).astype(int), 2).tolist()
        y, x = rng.integers(shape - (h, w), endpoint=True).tolist()
        box = Box(y, x, h, w)
        support = on_foreground(np.ones((h, w), bool), foreground_of(pool, image), box)
        if not support.any():
            raise Reject("no place on the foreground")
        colour = rng.integers(0, value_max(image.dtype), image.shape[2], endpoint=True)
        drawn = image.copy()
        drawn[box.slices][support] = colour
        result = composite(image, drawn, in_image(support, box, image.shape), box=box)
        params = {"box": list(box), "colour": colour.tolist()}
        return Sample(result.image, result.mask, None, params, self.kind)
