"""The rows of a run, sorted out for the report: what ranks them, which detectors tell, the best recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from anomgen.score import ranking
from anomgen.score.variants import COUNT

Row = Mapping[str, Any]
Key = TypeVar("Key")

METRICS = {
    "pixel_ap": "pixel AP",
    "au_pro": "AU-PRO (to 30 % FPR)",
    "pixel_auroc": "pixel AUROC",
    "pixel_f1_max": "pixel F1-max",
    "image_ap": "image AP",
    "image_auroc": "image AUROC",
    "image_f1_max": "image F1-max",
}
"""What the board knows, and how it is called."""
SPARE = "none"
"""The detector of the baseline without anomalies; it is in no column."""
RECIPE = "recipe"
NOTHING = "–"
ABOUT = {"none": "none (no anomalies)", "boxes": "boxes (baseline)", "real": "real (ceiling)"}


@dataclass(frozen=True)
class Run:
    """The rows of a run, and what they have in common."""

    rows: Sequence[Row]

    @cached_property
    def done(self) -> list[Row]:
        """Return the rows with figures."""
        return [row for row in self.rows if row["status"] == "done"]

    @cached_property
    def failed(self) -> list[Row]:
        """Return the rows without."""
        return [row for row in self.rows if row["status"] != "done"]

    @cached_property
    def label(self) -> str:
        """Return what ranks, for a sentence: one metric, or that of pixels and that of images by data set."""
        found = self.board["metrics"]
        names = distinct(found.values()) or ["pixel_ap"]
        if len(names) == 1:
            return METRICS[names[0]]
        without = [data for data, name in found.items() if name == "image_ap"]
        return f"pixel AP (image AP on {', '.join(without)}, without masks)"

    @cached_property
    def metrics(self) -> list[str]:
        """Return the metrics that any row has, those that rank first."""
        found = [name for name in METRICS if any(row["metrics"].get(name) is not None for row in self.done)]
        return sorted(found, key=lambda name: name not in self.board["metrics"].values())

    @cached_property
    def data(self) -> list[str]:
        """Return the names of the data sets."""
        return distinct(row["data"] for row in self.rows)

    @cached_property
    def detectors(self) -> list[str]:
        """Return the detectors that are trained, for the columns."""
        return distinct(row["detector"] for row in self.rows if row["detector"] != SPARE)

    @cached_property
    def indifferent(self) -> list[str]:
        """Return the detectors whose maps do not depend on the recipe: they say nothing about which is better."""
        return [name for name in self.detectors if self._is_indifferent(name)]

    def _is_indifferent(self, detector: str) -> bool:
        ranks = ranking.ranking_metrics(self.rows)
        groups: dict[Any, list[float | None]] = {}
        for row in self.done:
            if row["detector"] == detector:
                place = (row["data"], row["seed"], self._count(row["variant"]))
                groups.setdefault(place, []).append(row["metrics"].get(ranks[row["data"]]))
        shared = [values for values in groups.values() if len(values) > 1]
        return bool(shared) and all(len(set(values)) == 1 for values in shared)

    @cached_property
    def board(self) -> dict[str, Any]:
        """Return the board of all detectors but the indifferent ones, if there are others."""
        left_out = self.indifferent if len(self.indifferent) < len(self.detectors) else []
        return ranking.board([row for row in self.rows if row["detector"] not in left_out])

    @cached_property
    def by_metric(self) -> dict[str, list[dict[str, Any]]]:
        """Return metric → the tables of the single cells, of all detectors."""
        return {metric: ranking.board(self.rows, metric)["by_cell"] for metric in self.metrics}

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of the board over everything, the best first."""
        return self.board["overall"]["lines"]

    @cached_property
    def variants(self) -> list[str]:
        """Return all variants, the best first, those without a figure last."""
        return [line["variant"] for line in self.lines]

    @cached_property
    def best(self) -> dict[str, Any] | None:
        """Return the line of the best recipe."""
        known = (line for line in self.lines if line["mean"] is not None)
        return next((line for line in known if self.kind(line["variant"]) == RECIPE), None)

    def kind(self, variant: str) -> str:
        """Return "none", "boxes", "real" for a baseline, "recipe" for what competes."""
        recipe = self._first[variant].get("recipe", variant)
        return recipe if recipe in ranking.BASELINES else RECIPE

    @cached_property
    def _first(self) -> dict[str, Row]:
        return {row["variant"]: row for row in reversed(self.rows)}

    def _count(self, variant: str) -> Any:
        return (self._first[variant].get("variation") or {}).get(COUNT)


# --- selecting ------------------------------------------------------------------------------------------------------


def of(rows: Sequence[Row], **wanted: Any) -> list[Row]:
    """Return the rows whose keys have these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def grouped(rows: Sequence[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Return key → its rows, in the rows' order."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return the values, each once, in their order."""
    return list(dict.fromkeys(values))


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are there, None if none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def averaged(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means of equally nested mappings of numbers, number by number; None where there is none."""
    found: dict[str, Any] = {}
    for key in distinct(key for tree in trees for key in tree):
        values = [tree[key] for tree in trees if tree.get(key) is not None]
        if values and isinstance(values[0], Mapping):
            found[key] = averaged(values)
        else:
            found[key] = mean(values)
    return found


# --- writing --------------------------------------------------------------------------------------------------------


def number(value: float | None) -> str:
    """Return a figure with three digits."""
    return NOTHING if value is None else f"{value:.3f}"


def signed(value: float) -> str:
    """Return a difference with its sign, a true minus."""
    return f"{value:+.3f}".replace("-", "−")


def interval(line: Mapping[str, Any]) -> str:
    """Return a line's mean with its interval, if it has one."""
    if line["mean"] is None or line["low"] is None:
        return number(line["mean"])
    return f"{line['mean']:.3f} ({line['low']:.3f}–{line['high']:.3f})"


def gap(pair: Mapping[str, Any]) -> str:
    """Return a difference with its interval, if it has one."""
    ends = "" if pair["low"] is None else f" ({signed(pair['low'])} to {signed(pair['high'])})"
    return signed(pair["difference"]) + ends


def percent(value: float | None) -> str:
    """Return a share in per cent."""
    return NOTHING if value is None else f"{100 * value:.0f} %"


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def about(variant: str) -> str:
    """Return a variant's name, with what it is where it is a baseline."""
    return ABOUT.get(variant, variant)
