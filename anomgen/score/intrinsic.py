"""What a recipe's images are like without training on them, and whether that goes with how useful they are.

ASBench (arXiv 2510.07927) asks whether figures of image quality predict usefulness; here it is a rank correlation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from anomgen.dataset.row import Row
from anomgen.score.result import JsonRecord

FIGURES = ("severity", "area", "area_q25", "area_q50", "area_q75", "diversity", "kid_lite0")
LEAST_PAIRS = 3
"""Two entries are always in the same or in the opposite order; a correlation needs more."""

Figures = dict[str, float | None]


class Correlation(JsonRecord):
    """A rank correlation, None where it is not defined, and how many entries it rests on."""

    rho: float | None
    n: int


def figures(rows: Sequence[Row], real_features: np.ndarray | None = None) -> Figures:
    """Return the figures `FIGURES` of a recipe's anomalous rows, None where one is not defined.

    rows: anomalous ones of one size; others are left out. real_features: float (M, 1280), `pooled_features` of real
    anomalous images, which serve many recipes.

    severity: mean absolute change inside the masks, a share of the value range. area: mean share of the image in the
    mask, and its quartiles. diversity: see `diversity`. kid_lite0: see `kid_lite0`, to the real images.
    """
    from anomgen.score.backbone import pooled_features

    anomalous = [row for row in rows if row.label]
    found: Figures = dict.fromkeys(FIGURES)
    if not anomalous:
        return found
    areas = [row.area for row in anomalous]
    quartiles = np.quantile(areas, (0.25, 0.5, 0.75))
    found |= {"severity": float(np.mean([row.severity for row in anomalous])), "area": float(np.mean(areas))}
    found |= {f"area_q{percent}": float(value) for percent, value in zip((25, 50, 75), quartiles, strict=True)}
    features = pooled_features([row.image for row in anomalous])
    found["diversity"] = diversity(features - _normal_features(anomalous))
    if real_features is not None:
        found["kid_lite0"] = kid_lite0(features, real_features)
    return found


def _normal_features(rows: Sequence[Row]) -> np.ndarray:
    """Return the features of the rows' normal images, each computed once."""
    from anomgen.score.backbone import pooled_features

    distinct = {row.normal.tobytes(): row.normal for row in rows}
    features = dict(zip(distinct, pooled_features(list(distinct.values())), strict=True))
    return np.stack([features[row.normal.tobytes()] for row in rows])


def diversity(changes: np.ndarray) -> float | None:
    """Return the mean cosine distance, 0 to 2, of all pairs of changes, float (N, D); None for fewer than two.

    A change is what an anomaly does to the features of its normal image: 0 where all anomalies do the same, about 1
    where they have nothing in common. Changes of length 0 are left out.

    Note: distances between the images themselves, as others use, mostly tell how much the normal images differ, and
    distances between changes how strong these are.
    """
    lengths = np.linalg.norm(changes, axis=1)
    directions = changes[lengths > 0].astype(np.float64) / lengths[lengths > 0, None]
    n = len(directions)
    if n < 2:
        return None
    total = float(np.square(directions.sum(axis=0)).sum())  # of the cosines of all ordered pairs, and of n ones
    return 1 - (total - n) / (n * (n - 1))


def kid_lite0(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return how far two sets of images are apart, by their `pooled_features` (N, D), (M, D); None for fewer than two.

    Kernel inception distance (Bińkowski and others, ICLR 2018, arXiv 1801.01401: the unbiased squared maximum mean
    discrepancy with the cubic kernel) on EfficientNet-Lite0 instead of Inception. About 0, also slightly below, for two
    samples of one distribution; figures of other networks cannot be compared with it.
    """
    n, m = len(a), len(b)
    if min(n, m) < 2:
        return None
    within_a, within_b = _kernel(a, a), _kernel(b, b)
    return float(
        (within_a.sum() - np.trace(within_a)) / (n * (n - 1))
        + (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
        - 2 * _kernel(a, b).mean()
    )


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    values: np.ndarray = (x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3
    return values


def correlations(
    figures: Mapping[str, Mapping[str, float | None]], usefulness: Mapping[str, float | None]
) -> dict[str, Correlation]:
    """Return Spearman's rank correlation of each figure with usefulness, over the entries that have both.

    figures: by entry, then by name. usefulness: by entry, such as the mean pixel AP. The result holds by figure
    ``rho``, in [-1, 1] (ties share their mean rank), and ``n``, the entries that it rests on; rho is None below
    `LEAST_PAIRS` entries and where one side is constant.
    """
    names = list(dict.fromkeys(name for values in figures.values() for name in values))
    found: dict[str, Correlation] = {}
    for name in names:
        pairs = [(values.get(name), usefulness.get(entry)) for entry, values in figures.items()]
        defined = [(x, y) for x, y in pairs if _is_defined(x) and _is_defined(y)]
        ranks = np.array([stats.rankdata(side) for side in zip(*defined, strict=True)])
        is_enough = len(defined) >= LEAST_PAIRS and bool((np.ptp(ranks, axis=1) > 0).all())
        rho = float(np.corrcoef(ranks)[0, 1]) if is_enough else None
        found[name] = Correlation(rho=rho, n=len(defined))
    return found


def _is_defined(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
