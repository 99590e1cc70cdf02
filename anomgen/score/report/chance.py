"""What guessing reaches, and which detectors have learned nothing: no figure without its floor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anomgen.score.metrics import FPR_LIMIT
from anomgen.score.result import Done

AUROCS = ("image_auroc", "pixel_auroc")
LEARNED = 0.55
"""AUROC that a training reaches, and has above 0.5 with 95 % of its resamples, if it has learned anything."""
TAIL = 0.025


def chance(rows: Sequence[Done], metric: str) -> float | None:
    """Return what scores drawn at random reach on the test images of these rows, which are of one data set.

    None where it is not known: shares of pixels, in rows that do not hold them. F1: of flagging everything, the best
    that a threshold on random scores gives.
    """
    if metric in AUROCS:
        return 0.5
    if metric == "au_pro":
        return FPR_LIMIT / 2  # the area below the diagonal up to the limit, as a share of the limit
    share = _pixels(rows) if metric.startswith("pixel") else _images(rows)
    if share is None:
        return None
    return share if metric.endswith("_ap") else 2 * share / (1 + share)


def _images(rows: Sequence[Done]) -> float | None:
    counts = rows[0].counts
    total = counts.test_normal + counts.test_anomalous
    return counts.test_anomalous / total if total else None


def _pixels(rows: Sequence[Done]) -> float | None:
    return next((row.counts.anomalous_pixels for row in rows if row.counts.anomalous_pixels is not None), None)


def learned_nothing(rows: Sequence[Done]) -> bool:
    """Return whether none of the trainings tells anomalous from normal, neither images nor pixels, from guessing."""
    judged = [row for row in rows if any(row.metrics.get(name) is not None for name in AUROCS)]
    return bool(judged) and len(judged) == len(rows) and not any(map(_has_learned, rows))


def _has_learned(row: Done) -> bool:
    for name in AUROCS:
        value, replicates = row.metrics.get(name), row.replicates.get(name)
        if value is not None and value >= LEARNED and (not replicates or np.quantile(replicates, TAIL) > 0.5):
            return True
    return False
