"""PII: a square of the image mixed with the same place in a donor, gradients instead of values.

Tan, Hou, Day, Simpson, Rueckert, Kainz: Detecting Outliers with Poisson Image Interpolation, MICCAI 2021,
arXiv 2107.02622.
"""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np

from anomgen.generators.fpi import PatchInterpolation
from anomgen.synthesis.blend import poisson_blend
from anomgen.synthesis.sample import Box


class PII(PatchInterpolation):
    """Poisson image interpolation (arXiv 2107.02622, section 2).

    At every pair of neighbours the guidance is the larger of α·∇donor and (1 − α)·∇image; as published, so even a
    donor equal to the image flattens it. What the solution puts outside of the image's own range is clipped to it. The
    square keeps a margin of one pixel to the image's border, whose values the solution needs.

    Note: the paper's images are grey and standardised. Colour ones choose by the magnitude over the channels, and each
    channel has its own range. The paper labels every pixel that changes by a thousandth of a deviation, here it is one
    grey level of 255, which leaves out 17 % of the squares' pixels on MVTec AD's bottles and 12 % on KolektorSDD.
    Its images know no foreground; with one, as in the recipe, the mean area on the bottles is .049 instead of .055 and
    the severity .041 instead of .036 (docs/reference/methods.md).
    """

    kind: ClassVar[str] = "pii"
    paper: ClassVar[str] = (
        "Tan, Hou, Day, Simpson, Rueckert, Kainz: Detecting Outliers with Poisson Image Interpolation, MICCAI"
        " 2021, "
        "[arXiv 2107.02622](https://arxiv.org/abs/2107.02622)"
    )
    margin: ClassVar[int] = 1

    def _blend(self, image: np.ndarray, donor: np.ndarray, support: np.ndarray, box: Box, weight: float) -> np.ndarray:
        ring = Box(box.y - 1, box.x - 1, box.h + 2, box.w + 2).slices
        drawn = image.copy()
        blended = poisson_blend(image[ring], donor[ring], support[ring], guidance="pii", weight=weight)
        planes = cv2.split(image)  # numpy's reduction over all but a short last axis takes 30 times as long
        drawn[ring] = blended.clip([plane.min() for plane in planes], [plane.max() for plane in planes])
        return drawn
