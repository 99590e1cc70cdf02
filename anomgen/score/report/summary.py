"""The rows of a run, sorted out for the report: what ranks them, which detectors tell, the best recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np

from anomgen.score.configuration import Configuration, Missing
from anomgen.score.entries import COUNT
from anomgen.score.report import ranking
from anomgen.score.report.board import Board, BoardTable, ColumnTable, Difference, Line
from anomgen.score.report.chance import learned_nothing
from anomgen.score.report.names import spaced
from anomgen.score.result import Done, Failed, Result

Key = TypeVar("Key")
Value = TypeVar("Value")
Row = TypeVar("Row", bound=Result)

METRICS = {
    "pixel_ap": "pixel AP",
    "au_pro": "AU-PRO (to 30 % FPR)",
    "pixel_auroc": "pixel AUROC",
    "pixel_f1_max": "pixel F1-max",
    "image_ap": "image AP",
    "image_auroc": "image AUROC",
    "image_f1_max": "image F1-max",
    "threshold_f1": "image F1 at the chosen threshold",
}
"""What the board knows, and how it is called."""
WORDS = {
    **METRICS,
    "threshold_pixel_f1": "pixel F1 at the chosen threshold",
    "area": "mean area",
    "area_q25": "area, lower quartile",
    "area_q50": "area, median",
    "area_q75": "area, upper quartile",
    "kid_lite0": "distance to real ones (KID)",
}
"""How figures are called that people read."""
CHOSEN_F1 = "threshold_f1"
"""What ranks where all detectors are indifferent: it alone depends on the recipe."""
SPARE = "none"
"""The detector of the baseline without anomalies; it is in no column."""
RECIPE = "recipe"
NOTHING = "–"
BASES = {
    "boxes": "flat rectangles (boxes)",
    "none": "a detector without anomalies (none)",
    "real": "training on real anomalies (real)",
}
"""What every entry is held against."""
ABOUT = {"none": "no anomalies", "boxes": "baseline", "real": "ceiling"}


@dataclass(frozen=True)
class Run:
    """The rows of a run, and what they have in common.

    configuration: gives the order, as it was asked for. missing: which trainings of the request have no row yet.
    """

    rows: Sequence[Result]
    configuration: Configuration | None = None
    missing: Missing | None = None

    @cached_property
    def done(self) -> list[Done]:
        """Return the rows with figures."""
        return [row for row in self.rows if isinstance(row, Done)]

    @cached_property
    def failed(self) -> list[Failed]:
        """Return the rows without."""
        return [row for row in self.rows if isinstance(row, Failed)]

    @cached_property
    def label(self) -> str:
        """Return what ranks, for a sentence: one metric, or that of pixels and that of images by data set."""
        found = self.board.metrics
        names = distinct(found.values()) or ["pixel_ap"]
        if len(names) == 1:
            return METRICS[names[0]]
        without = [data for data, name in found.items() if name == "image_ap"]
        return f"pixel AP (image AP on {', '.join(without)}, without masks)"

    @cached_property
    def metrics(self) -> list[str]:
        """Return the metrics that any row has, those that rank first."""
        ranks = self.board.metrics.values()
        known = (name for name in METRICS if name != CHOSEN_F1 or name in ranks)
        found = [name for name in known if any(row.metrics.get(name) is not None for row in self.done)]
        return sorted(found, key=lambda name: name not in ranks)

    @cached_property
    def data(self) -> list[str]:
        """Return the names of the data sets, in the order in which they were asked for."""
        asked = [spaced(PurePath(path).name) for path in self.configuration.data] if self.configuration else []
        return sorted(distinct(row.data for row in self.rows), key=lambda name: _place(spaced(name), asked))

    @cached_property
    def detectors(self) -> list[str]:
        """Return the detectors that are trained, in the order in which they were asked for, for the columns."""
        asked = list(self.configuration.detectors) if self.configuration else []
        return _in_order(distinct(row.detector for row in self.rows if row.detector != SPARE), asked)

    @cached_property
    def indifferent(self) -> list[str]:
        """Return the detectors whose maps do not depend on the recipe: they say nothing about which is better."""
        return [name for name in self.detectors if self._is_indifferent(name)]

    def _is_indifferent(self, detector: str) -> bool:
        ranks = ranking.ranking_metrics(self.rows)
        groups: dict[Any, list[float | None]] = {}
        for row in self.done:
            if row.detector == detector:
                place = (row.data, row.seed, self._count(row.entry))
                groups.setdefault(place, []).append(row.metrics.get(ranks[row.data]))
        shared = [values for values in groups.values() if len(values) > 1]
        return bool(shared) and all(len(set(values)) == 1 for values in shared)

    @cached_property
    def idle(self) -> list[ranking.Place]:
        """Return where nothing was learned: the data sets, entries and detectors."""
        trained = grouped(
            (row for row in self.done if row.detector != SPARE), lambda row: (row.data, row.entry, row.detector)
        )
        return [place for place, rows in trained.items() if learned_nothing(rows)]

    @cached_property
    def idle_columns(self) -> list[ranking.Column]:
        """Return the data sets with the detectors that learned nothing there, from no entry: they tell nothing."""
        trained = {(row.data, row.entry, row.detector) for row in self.done}
        learned = {(data, detector) for data, _, detector in trained - set(self.idle)}
        pairs = {(data, detector) for data, _, detector in trained} - learned
        return [(data, detector) for data in self.data for detector in self.detectors if (data, detector) in pairs]

    @cached_property
    def is_idle(self) -> bool:
        """Return whether no detector has learned anything; then nothing tells which recipe is better."""
        cells = {(row.data, row.detector) for row in self.done if row.detector != SPARE}
        return bool(cells) and cells <= set(self.idle_columns)

    @cached_property
    def board(self) -> Board:
        """Return the board of the detectors that rank; that of the chosen thresholds where all are indifferent.

        What learned nothing is left out, unless that is all there is.
        """
        gone, idle = (set(), []) if self.is_idle else (set(self.idle_columns), self.idle)
        kept = [
            row for row in self.rows if row.detector in (*self.ranked, SPARE) and (row.data, row.detector) not in gone
        ]
        return self._ordered(ranking.board(kept, CHOSEN_F1 if self.by_threshold else None, idle))

    def _ordered(self, board: Board) -> Board:
        """Return a board with its columns in the order of the request."""
        data, detectors = _in_order(board.data, self.data), _in_order(board.detectors, self.detectors)
        update = {
            "data": data,
            "detectors": detectors,
            "by_data": {name: board.by_data[name] for name in data},
            "by_detector": {name: board.by_detector[name] for name in detectors},
            "by_cell": self._sorted(board.by_cell),
        }
        return board.model_copy(update=update)

    def _sorted(self, cells: Iterable[ColumnTable]) -> list[ColumnTable]:
        places = {name: place for place, name in enumerate([*self.detectors, SPARE])}
        return sorted(cells, key=lambda cell: (self.data.index(cell.data), places[cell.detector]))

    @cached_property
    def ranked(self) -> list[str]:
        """Return the detectors that say which recipe is better; all of them where none does."""
        told = [name for name in self.detectors if name not in self.indifferent] or self.detectors
        tried = {row.detector for row in self.done}
        learned = {row.detector for row in self.done if (row.data, row.detector) not in self.idle_columns}
        return [name for name in told if name in learned or name not in tried] or told

    @cached_property
    def by_threshold(self) -> bool:
        """Return whether all detectors are indifferent, so that the recipes decide nothing but the threshold."""
        chosen = any(CHOSEN_F1 in row.metrics for row in self.done)
        return chosen and bool(self.detectors) and self.indifferent == self.detectors

    @cached_property
    def by_metric(self) -> dict[str, list[ColumnTable]]:
        """Return metric → the tables of the single cells, of all detectors."""
        return {metric: self._sorted(ranking.column_tables(self.rows, metric, self.idle)) for metric in self.metrics}

    @cached_property
    def lines(self) -> list[Line]:
        """Return the lines of the board over everything, the best first."""
        return self.board.overall.lines

    @cached_property
    def entries(self) -> list[str]:
        """Return all entries, the best first, those without a figure last."""
        return [line.entry for line in self.lines]

    @cached_property
    def best(self) -> Line | None:
        """Return the line of the best recipe; None where no map tells."""
        return None if self.by_threshold else self.first(self.board.overall)

    def first(self, table: BoardTable) -> Line | None:
        """Return a table's line of the recipe with the highest mean."""
        known = (line for line in table.lines if line.mean is not None)
        return next((line for line in known if self.kind(line.entry) == RECIPE), None)

    def about(self, entry: str) -> str:
        """Return an entry's name, with what it is where it is a baseline."""
        kind = self.kind(entry)
        what = "real anomalies" if kind == "real" and not self._is_ceiling(entry) else ABOUT.get(kind)
        if what is None:
            return entry
        return f"{entry[:-1]}; {what})" if entry.endswith(")") else f"{entry} ({what})"

    def _is_ceiling(self, entry: str) -> bool:
        """Return whether no entry has a higher mean, neither over everything nor on a data set."""
        means = [
            (line.mean, max(other.mean for other in table.lines if other.mean is not None))
            for table in (self.board.overall, *self.board.by_data.values())
            if (line := table.line(entry)) is not None and line.mean is not None
        ]
        return bool(means) and all(own >= best for own, best in means)

    def kind(self, entry: str) -> str:
        """Return "none", "boxes", "real" for a baseline, "recipe" for what competes."""
        recipe = self._first[entry].recipe
        return recipe if recipe in ranking.BASELINES else RECIPE

    @cached_property
    def _first(self) -> dict[str, Result]:
        return {row.entry: row for row in reversed(self.rows)}

    def _count(self, entry: str) -> Any:
        return self._first[entry].variation.get(COUNT)


def best_f1(run: Run, entry: str, data: str | None = None) -> float | None:
    """Return the best F1 of any threshold, mean over the rows of an entry that have a chosen one."""
    chosen = [row.thresholds.f1 for row in of(run.done, entry=entry, data=data)]
    return mean(part.best_f1 for part in chosen if part.f1 is not None)


# --- selecting ------------------------------------------------------------------------------------------------------


def of(
    rows: Sequence[Row], *, data: str | None = None, entry: str | None = None, detector: str | None = None
) -> list[Row]:
    """Return the rows of a data set, an entry, a detector; None: of all."""
    wanted = (data, entry, detector)
    return [
        row
        for row in rows
        if all(w in (None, own) for w, own in zip(wanted, (row.data, row.entry, row.detector), strict=True))
    ]


def grouped(rows: Iterable[Value], key: Callable[[Value], Key]) -> dict[Key, list[Value]]:
    """Return key → its rows, in the rows' order."""
    found: dict[Key, list[Value]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return the values, each once, in their order."""
    return list(dict.fromkeys(values))


def _in_order(names: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Return the names in the order of those that were asked for, others after them."""
    return sorted(names, key=lambda name: _place(name, asked))


def _place(name: str, asked: Sequence[str]) -> int:
    return asked.index(name) if name in asked else len(asked)


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


def signed(value: float, digits: int = 3) -> str:
    """Return a difference with its sign, a true minus; none where it is rounded to 0."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def interval(line: Line) -> str:
    """Return a line's mean with its interval, if it has one."""
    if line.mean is None or line.low is None:
        return number(line.mean)
    return f"{line.mean:.3f} ({line.low:.3f}–{line.high:.3f})"


def gap(pair: Difference) -> str:
    """Return a difference with its interval, if it has one."""
    return signed(pair.difference, digits_of(pair)) + ("" if pair.low is None else f" ({ends(pair)})")


def ends(pair: Difference) -> str:
    """Return the interval of a difference of two metrics, within what such a difference can be."""
    known = (end for end in (pair.low, pair.high) if end is not None)
    return " to ".join(signed(min(max(end, -1.0), 1.0), digits_of(pair)) for end in known)


def digits_of(pair: Difference) -> int:
    """Return how many digits a difference is shown with: three, more where a clear one would seem to touch 0."""
    nearest = min((abs(end) for end in (pair.low, pair.high) if pair.clear and end is not None), default=1.0)
    return next((digits for digits in (3, 4, 5) if round(nearest, digits)), 6)


def percent(value: float | None) -> str:
    """Return a share in per cent."""
    return NOTHING if value is None else f"{100 * value:.0f} %"


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
