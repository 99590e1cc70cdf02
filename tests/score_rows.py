"""Rows of `anomgen score` for tests, as they stand in rows.jsonl, and as the records that they become."""

from anomgen.score.result import Done, Failed

RATES = {"fpr": 0.1, "fnr": 0.25}
LIMIT = {"threshold": 0.5, "validation": RATES, "test": RATES}
FIGURES = ("replicates", "thresholds", "by_type", "examples", "scores", "seconds", "undefined")
"""What only the row of a finished training has."""


def done_row(entry="nsa", detector="probe", data="tiles", seed=0, **changes):
    """Return a finished row of a data set without test images."""
    return {
        "schema": 1,
        "key": f"{seed:016x}",
        "data": data,
        "entry": entry,
        "recipe": entry.split()[0],
        "variation": {},
        "detector": detector,
        "settings": {"kind": detector, "steps": 3, "preset": None},
        "seed": seed,
        "size": [32, 32],
        "counts": {"train": 20, "validation": 5, "test_normal": 0, "test_anomalous": 0, "lost_masks": 0},
        "versions": {"anomgen": "0.1.0"},
        "status": "done",
        "error": None,
        "metrics": {},
        "replicates": {},
        "scores": [],
        "thresholds": {
            "f1": {"threshold": 0.5, "f1": 0.4, "best_f1": 0.5, **RATES},
            "zero_fn": LIMIT,
            "max_fpr_5": LIMIT,
        },
        "by_type": {},
        "seconds": {"fit": 10.0, "waiting": 0.5, "synthesis": 3.0, "predict": 1.0, "metrics": 0.5},
        "finished": "2026-11-22T05:00:00Z",
        **changes,
    }


def failed_row(row, error="diverged"):
    """Return a row as it is after a failed training."""
    kept = {key: value for key, value in row.items() if key not in FIGURES}
    return {**kept, "status": "failed", "error": error, "metrics": {}}


def records(rows):
    """Return rows as records."""
    return [(Done if row["status"] == "done" else Failed).model_validate(row) for row in rows]
