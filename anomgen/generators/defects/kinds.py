"""The kinds of defect: how each is drawn, how large and how many it usually is, how often it comes in a mixture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from anomgen.generators.defects import forms, lines, marks
from anomgen.generators.defects.scene import Layer, Scene

Draw = Callable[[np.random.Generator, Scene, tuple[float, float], float], list[Layer]]
"""Draws one piece: rng, scene, its middle (row, column), its longest extent in pixels."""

KindName = Literal[
    "scratch",
    "crack",
    "stain",
    "spot",
    "dent",
    "bump",
    "hole",
    "fold",
    "contamination",
    "discoloration",
    "missing_part",
    "misprint",
    "haze",
    "burn",
    "corrosion",
    "uneven_finish",
    "chipped_edge",
    "broken_outline",
]


class Kind(NamedTuple):
    """A kind of defect."""

    draw: Draw
    size: tuple[float, float]
    """Usual longest extent, a share of the image's side."""
    number: tuple[int, int] = (1, 3)
    """Usual number of pieces."""
    weight: float = 1.0
    """Share in a mixture, against the others."""
    faintest: float = 0.7
    """Share of the lowest severity asked for under which a draw is rejected; more for kinds that are no mark of their
    own, as they are not seen at all on an even surface."""
    on_outline: bool = False
    """Whether it lies on the object's outline, and so needs a foreground."""
    changes_outline: bool = False
    """Whether the object's outline is another one afterwards, so that the mask may reach beyond the object."""


KINDS: dict[KindName, Kind] = {
    "scratch": Kind(lines.scratch, (0.12, 0.55), (1, 4), 1.5),
    "crack": Kind(lines.crack, (0.15, 0.6), (1, 3), 1.5),
    "stain": Kind(marks.stain, (0.05, 0.25), (1, 5), 1.5),
    "spot": Kind(marks.spot, (0.015, 0.05), (2, 6), 3.0),
    "dent": Kind(forms.dent, (0.06, 0.2), (1, 4), 1.5),
    "bump": Kind(forms.bump, (0.06, 0.2), (1, 4), 1.5),
    "hole": Kind(forms.hole, (0.03, 0.12), (1, 4), 2.0),
    "fold": Kind(lines.fold, (0.25, 0.8), (1, 3), 0.7),
    "contamination": Kind(marks.contamination, (0.05, 0.15), (1, 5), 2.0),
    "discoloration": Kind(marks.discoloration, (0.1, 0.35), (1, 4)),
    "missing_part": Kind(forms.missing_part, (0.06, 0.25), (1, 1), 1.5, changes_outline=True),
    "misprint": Kind(forms.misprint, (0.15, 0.4), (1, 1), 0.4, faintest=1.0),
    "haze": Kind(marks.haze, (0.12, 0.4), (1, 3), 0.4, faintest=1.0),
    "burn": Kind(marks.burn, (0.05, 0.2), (1, 4)),
    "corrosion": Kind(marks.corrosion, (0.2, 0.9), (1, 3), 3.0),
    "uneven_finish": Kind(marks.uneven_finish, (0.2, 0.9), (1, 1), 0.1),
    "chipped_edge": Kind(forms.chipped_edge, (0.05, 0.16), (1, 3), 0.6, on_outline=True, changes_outline=True),
    "broken_outline": Kind(forms.broken_outline, (0.08, 0.25), (1, 1), 0.4, on_outline=True, changes_outline=True),
}
