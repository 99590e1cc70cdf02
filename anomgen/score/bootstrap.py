"""How much figures vary over test images: bootstrap replicates, the same resamples for every cell of a data set."""

from __future__ import annotations

import hashlib

import numpy as np

from anomgen.rng import Stream, rng_for
from anomgen.score.metrics import Curve, check_maps, component_shares

REPLICATED = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "au_pro")
_QUANTILES = 1000


def resamples(fingerprint: str, strata: np.ndarray, count: int) -> np.ndarray:
    """Return how often each of N test images is drawn in each resample, int64 (count, N).

    Drawn with replacement within each stratum (N,), so every resample holds as many of each as the test set. The same
    fingerprint and strata give the same resamples: figures of two cells of one data set are paired by position.
    """
    seed = int.from_bytes(hashlib.sha256(fingerprint.encode()).digest()[:8], "big")
    rng = rng_for(seed, Stream.BOOTSTRAP)
    weights = np.zeros((count, len(strata)), np.int64)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        drawn = members[rng.integers(len(members), size=(count, len(members)))]
        np.add.at(weights, (np.arange(count)[:, None], drawn), 1)
    return weights


def replicates(
    fingerprint: str,
    labels: np.ndarray,
    scores: np.ndarray,
    masks: np.ndarray | None = None,
    maps: np.ndarray | None = None,
    count: int = 200,
) -> dict[str, list[float]]:
    """Return `count` bootstrap replicates over test images of each of `REPLICATED`; a metric without a value is absent.

    fingerprint: of the data set. labels, scores: (N,). masks, maps: (N, H, W), or None for image metrics only. Normal
    images, anomalous ones, and anomalous ones that lost their mask are drawn separately.

    Note:
        Replicates of at most 1000 images a class are exact. Scores of pixels are rounded down to about 2000 quantiles,
        half of them of anomalous pixels, which moves a figure by less than 0.002 (a test holds this).
    """
    labels = np.asarray(labels) != 0
    strata = labels.astype(int) if masks is None else labels * (1 + masks.any(axis=(1, 2)))
    weights = resamples(fingerprint, strata, count)
    images = _weighted(np.asarray(scores, np.float64)[:, None], labels[:, None], None, weights)
    found = {"image_auroc": images.auroc, "image_ap": images.average_precision}
    if masks is not None and maps is not None:
        check_maps(masks, maps)
        pixels = _weighted(maps, masks, component_shares(masks), weights)
        found |= {"pixel_auroc": pixels.auroc, "pixel_ap": pixels.average_precision, "au_pro": pixels.au_pro()}
    return {name: np.round(values, 6).tolist() for name, values in found.items() if np.isfinite(values).all()}


def _weighted(scores: np.ndarray, labels: np.ndarray, shares: np.ndarray | None, weights: np.ndarray) -> Curve:
    """Return the curves of R resamples: scores, labels and shares (N, ...) of N images, weights (R, N)."""
    images = len(scores)
    scores, labels = scores.reshape(images, -1), labels.reshape(images, -1) != 0
    cuts = np.unique(np.concatenate([_quantiles(scores[labels]), _quantiles(scores[~labels])]))
    cells = np.searchsorted(cuts, scores, side="right") - 1 + np.arange(images)[:, None] * len(cuts)

    def summed(of: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        histogram = np.bincount(of, values, minlength=images * len(cuts)).reshape(images, len(cuts))
        falling = np.cumsum((weights @ histogram.astype(np.float64))[:, ::-1], axis=1)
        return np.pad(falling, ((0, 0), (1, 0)))

    covered = None if shares is None else summed(cells[labels], shares.reshape(images, -1)[labels])
    return Curve(np.append(np.inf, cuts[::-1]), summed(cells[labels]), summed(cells[~labels]), covered)


def _quantiles(scores: np.ndarray) -> np.ndarray:
    """Return at most `_QUANTILES` + 1 of the scores, evenly spread over their ranks, lowest and highest included."""
    if len(scores) == 0:
        return scores
    ranks = np.linspace(0, len(scores) - 1, min(len(scores), _QUANTILES + 1)).astype(np.intp)
    return np.sort(scores)[ranks]
