"""What a few real defects say about the recipe `defects`: which kinds, how visible, how often darker."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from anomgen.banks.folder import Defect
from anomgen.errors import Progress
from anomgen.generators.base import foreground_of
from anomgen.generators.defects.generator import LOOKED_AT, Defects
from anomgen.generators.defects.kinds import KINDS, KindName
from anomgen.rng import Stream, rng_for
from anomgen.sources.pool import Pool
from anomgen.synthesis.detectability import Detectability
from anomgen.synthesis.sample import Reject
from anomgen.tuning.likeness import FEATURES, PRIOR, described, likeness, shrunk

DRAWS = 48
"""Pieces of each kind that the real ones are compared with."""
USUAL_DARK = 0.75
"""Share of real defects that are darker, over the public sets that the kinds were drawn after."""
WIDEST, NARROWEST = 0.8, 0.25
"""Bounds of the deviation of log r."""


class Measured(NamedTuple):
    """What was measured on real defects, and what follows for the recipe."""

    likeness: dict[str, float]
    """Of each kind, summing to 1."""
    r: tuple[float, ...]
    """Detectability of each defect."""
    dark: float
    """Share of the defects that are darker than their surroundings."""
    tuned: Defects


def tuned(defects: Sequence[Defect], pool: Pool, usual: Defects, progress: Progress) -> Measured:
    """Return the generator for real defects like these, every figure shrunk towards the usual one.

    pool: normal images of the product. usual: the generator as it would be without defects, prepared. A kind's weight
    is its likeness, the mean over defects of how likely it is to have made their pieces; severity is the range of their
    r; n defects count against `PRIOR` of the usual ones.
    """
    images = [pool[k] for k in sorted({round(k) for k in np.linspace(0, len(pool) - 1, min(LOOKED_AT, len(pool)))})]
    boundary = Detectability.fitted(images, [foreground_of(pool, image) for image in images])
    drawn = {}
    for number, kind in enumerate(usual.kinds):
        progress(number, len(usual.kinds), f"draws {kind}")
        drawn[str(kind)] = _pieces(usual, kind, pool)
    real = [described(defect.image, defect.mask) for defect in defects]
    found = likeness(real, drawn)
    r = tuple(boundary.of(defect.image, defect.mask) for defect in defects)
    contrast = FEATURES.index("contrast")
    dark = float(np.mean([float(np.mean(pieces[:, contrast] < 0)) for pieces in real if len(pieces)] or [USUAL_DARK]))
    count = len(defects)
    weights = shrunk({str(kind): weight for kind, weight in usual.kinds.items()}, found, count)
    return Measured(
        found,
        r,
        dark,
        usual.model_copy(
            update={
                "kinds": {kind: round(weight, 4) for kind, weight in weights.items()},
                "severity": severity_range(r, usual.severity),
                "dark": round((count * dark + PRIOR * USUAL_DARK) / (count + PRIOR), 2),
            }
        ),
    )


def _pieces(usual: Defects, kind: KindName, pool: Pool) -> np.ndarray:
    """Return the features of what a kind draws on the normal images, float64 (N, F)."""
    only = usual.model_copy(update={"kinds": {kind: 1.0}})
    return np.concatenate([np.zeros((0, len(FEATURES))), *_described(only, list(KINDS).index(kind), pool)])


def _described(only: Defects, number: int, pool: Pool) -> Iterator[np.ndarray]:
    for k in range(DRAWS):
        image = pool[k % len(pool)]
        try:
            sample = only.sample(rng_for(0, Stream.SAMPLE, number, k), image, pool)
        except Reject:
            continue
        yield described(sample.image, sample.mask)


def severity_range(r: Sequence[float], usual: tuple[float, float]) -> tuple[float, float]:
    """Return the range whose logarithm has the mean and deviation of log r, shrunk towards those of the usual range."""
    logs, (low, high) = np.log(np.maximum(r, 0.1)), usual
    middle, spread = math.log(low * high) / 2, math.log(high / low) / math.sqrt(12)
    count = len(logs)
    middle = (float(logs.sum()) + PRIOR * middle) / (count + PRIOR)
    spread = (count * float(logs.std()) + PRIOR * spread) / (count + PRIOR)
    half = math.sqrt(3) * min(max(spread, NARROWEST), WIDEST)
    return round(max(math.exp(middle - half), 0.1), 2), round(min(math.exp(middle + half), 20.0), 2)
