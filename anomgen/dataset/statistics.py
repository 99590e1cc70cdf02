"""Figures of a whole dataset for its card and its check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from anomgen.dataset.reader import Dataset
from anomgen.dataset.row import ANOMALY

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
FEW_QUANTILES = (0.1, 0.5, 0.9)


def statistics(dataset: Dataset) -> dict[str, Any]:
    """Return counts, and quantiles of area, severity and detectability of the anomalous rows, overall and by type.

    Reads the small columns alone. Quantiles are those of `QUANTILES`, keyed "0", "5", … "100" (per cent), and of
    detectability those of `FEW_QUANTILES`; `below` is the share of rows, of which it is known, below 1.
    """
    known = ["detectability"] if dataset.columns.with_detectability else []
    table = dataset.table(["label", "defect_type", "area", "severity", *known])
    columns = {name: table[name].to_numpy() for name in table.column_names}
    anomalous = columns["label"] == ANOMALY
    by_type = {
        name: _measures(columns, anomalous & (columns["defect_type"] == dataset.columns.defect_names.index(name)))
        for name in dataset.columns.defect_types
    }
    counts = {"normal": int(np.count_nonzero(~anomalous)), "anomaly": int(np.count_nonzero(anomalous))}
    return {"rows": len(anomalous), **counts, "all": _measures(columns, anomalous), "by_type": by_type}


def _measures(columns: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, Any]:
    measures: dict[str, Any] = {"count": int(np.count_nonzero(chosen))}
    measures |= {name: quantiles_of(columns[name][chosen]) for name in ("area", "severity")}
    r = columns.get("detectability", np.full(len(chosen), np.nan))[chosen]
    r = r[~np.isnan(r)]
    return measures | {
        "detectability": quantiles_of(r, FEW_QUANTILES),
        "below": float(np.mean(r < 1)) if r.size else None,
    }


def row_counts(dataset: Dataset) -> dict[str, Any]:
    """Return the rows as a provenance counts them: normal, anomaly, and these by type."""
    table = dataset.table(["label", "defect_type"])
    labels, kinds = (table[name].to_numpy() for name in table.column_names)
    numbers, counts = np.unique(kinds[labels == ANOMALY], return_counts=True)
    names = [dataset.columns.defect_names[number] for number in numbers]
    by_type = dict(sorted(zip(names, counts.tolist(), strict=True)))
    anomalous = sum(by_type.values())
    return {"normal": len(dataset) - anomalous, "anomaly": anomalous, "by_type": by_type}


def quantiles_of(
    values: Iterable[float] | np.ndarray, quantiles: Sequence[float] = QUANTILES
) -> dict[str, float] | None:
    """Return the quantiles of some numbers, keyed by per cent; None where there are none."""
    numbers = np.asarray(values, dtype=np.float64)
    if not numbers.size:
        return None
    return {f"{100 * q:g}": float(v) for q, v in zip(quantiles, np.quantile(numbers, quantiles), strict=True)}
