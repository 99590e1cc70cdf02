"""What a few real defects say about the recipe `defects`: which kinds, how visible, how often darker."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from anomgen.banks.folder import Defect
from anomgen.errors import Progress, UsageError
from anomgen.generators.defects.generator import Defects
from anomgen.generators.defects.kinds import KINDS, KindName
from anomgen.rng import Stream, rng_for
from anomgen.sources.pool import Pool
from anomgen.synthesis.detectability import Detectability, detectability_of
from anomgen.synthesis.sample import Reject, Sample
from anomgen.tuning.likeness import FEATURES, PRIOR, described, likeness, towards_usual

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


class Reference(NamedTuple):
    """What real defects are compared with: measured on the normal images alone."""

    usual: Defects
    """The generator as it would be without defects, prepared."""
    boundary: Detectability
    drawn: dict[str, np.ndarray]
    """Features of the pieces that each kind draws, float64 (N, F)."""


def reference(pool: Pool, usual: Defects, progress: Progress, deadline: float = math.inf) -> Reference:
    """Draw pieces of each kind on normal images of the product, and measure the normal boundary.

    deadline: `time.monotonic()` by which it must end. Raises UsageError when it would not.
    """
    boundary, began, drawn = detectability_of(pool), time.monotonic(), {}
    for number, kind in enumerate(usual.kinds):
        progress(number, len(usual.kinds), f"draws {kind}")
        drawn[str(kind)] = _pieces(usual, kind, pool)
        needed = (time.monotonic() - began) / (number + 1) * len(usual.kinds)
        if began + needed > deadline:
            raise UsageError(
                f"--budget: measuring what each kind of defect looks like on these images takes about {needed:.0f} s "
                "here, more than is left; give a longer one, or fewer kinds with --set generator.kinds=[…]"
            )
    return Reference(usual, boundary, drawn)


def tuned(defects: Sequence[Defect], known: Reference) -> Measured:
    """Return the generator for real defects like these, every figure shrunk towards the usual one.

    A kind's weight is its likeness, the mean over defects of how likely it is to have made their pieces; severity is
    the range of their r; n defects count against `PRIOR` of the usual ones.
    """
    usual = known.usual
    real = [described(defect.image, defect.mask) for defect in defects]
    found = likeness(real, known.drawn)
    r = tuple(known.boundary.of(defect.image, defect.mask) for defect in defects)
    contrast = FEATURES.index("contrast")
    dark = float(np.mean([float(np.mean(pieces[:, contrast] < 0)) for pieces in real if len(pieces)] or [USUAL_DARK]))
    count = len(defects)
    weights = towards_usual({str(kind): weight for kind, weight in usual.kinds.items()}, found, count)
    chosen = {
        "kinds": {kind: round(weight, 4) for kind, weight in weights.items()},
        "severity": severity_range(r, usual.severity),
        "dark": round((count * dark + PRIOR * USUAL_DARK) / (count + PRIOR), 2),
    }
    return Measured(found, r, dark, usual.model_copy(update=chosen))


def _pieces(usual: Defects, kind: KindName, pool: Pool) -> np.ndarray:
    """Return the features of what a kind draws on the normal images, float64 (N, F)."""
    found = (described(sample.image, sample.mask) for sample in samples(usual, kind, pool))
    return np.concatenate([np.zeros((0, len(FEATURES))), *found])


def samples(usual: Defects, kind: KindName, pool: Pool) -> Iterator[Sample]:
    """Yield what a kind draws on the normal images in `DRAWS` tries."""
    only, number = usual.model_copy(update={"kinds": {kind: 1.0}}), list(KINDS).index(kind)
    for k in range(DRAWS):
        with suppress(Reject):
            yield only.sample(rng_for(0, Stream.SAMPLE, number, k), pool[k % len(pool)], pool)


def severity_range(r: Sequence[float], usual: tuple[float, float]) -> tuple[float, float]:
    """Return the range whose logarithm has the mean and deviation of log r, shrunk towards those of the usual range."""
    logs, (low, high) = np.log(np.maximum(r, 0.1)), usual
    middle, spread = math.log(low * high) / 2, math.log(high / low) / math.sqrt(12)
    count = len(logs)
    middle = (float(logs.sum()) + PRIOR * middle) / (count + PRIOR)
    spread = (count * float(logs.std()) + PRIOR * spread) / (count + PRIOR)
    half = math.sqrt(3) * min(max(spread, NARROWEST), WIDEST)
    return round(max(math.exp(middle - half), 0.1), 2), round(min(math.exp(middle + half), 20.0), 2)
