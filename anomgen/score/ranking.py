"""The board from the rows alone: means, intervals over test images and seeds, paired differences, shared ranks.

A column is a data set with a detector; a table compares the variants over some columns. Every comparison uses only
what both sides have, and says how much that is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from anomgen.errors import UsageError, near_miss
from anomgen.rng import Stream, rng_for

Row = Mapping[str, Any]
Column = tuple[str, str]
"""Data set and detector."""

BASELINES = ("boxes", "none", "real")
"""What every variant is compared with: flat rectangles, no synthetic anomalies, real anomalies."""
REFERENCES = ("none", "real")
"""No generators: they stand on the board without a rank."""
DRAWS = 1000
"""Bootstrap draws of images and seeds; each replicate of the test images serves in several, with other seeds."""
TAIL = 0.975
"""Intervals hold 95 %."""


class _Cell(NamedTuple):
    """One variant in one column: its figures (S,) by seed, their replicates (S, DRAWS), and whether these are real."""

    seeds: tuple[int, ...]
    values: np.ndarray
    replicates: np.ndarray
    resampled: bool


class _Interval(NamedTuple):
    """The draws of a mean over columns: over test images, plus the swing that the draw of seeds adds."""

    images: np.ndarray
    swing: np.ndarray
    freedom: int
    resampled: bool

    def ends(self) -> tuple[float, float] | None:
        """Return the ends of the interval, None where nothing varies: one seed and no replicates.

        The bootstrap of 3 seeds is too narrow (it holds the truth in 75 % of cases instead of 95 %), so the swing is
        widened as Student's t asks.
        """
        if self.freedom == 0 and not self.resampled:
            return None
        low, high = np.quantile(self.images + _widening(self.freedom) * self.swing, [1 - TAIL, TAIL])
        return float(low), float(high)


def ranking_metrics(rows: Sequence[Row]) -> dict[str, str]:
    """Return data set → the metric that ranks: pixel_ap, or image_ap where no finished row has pixel_ap."""
    finished = {row["data"] for row in rows if row["status"] == "done"}
    bare = finished - {row["data"] for row in rows if row["metrics"].get("pixel_ap") is not None}
    return {row["data"]: "image_ap" if row["data"] in bare else "pixel_ap" for row in rows}


def board(rows: Iterable[Row], metric: str | None = None) -> dict[str, Any]:
    """Return the board as plain JSON; the same rows give the same board, in whatever order they come.

    rows: as in rows.jsonl; of two rows of one data set, variant, detector and seed the later finished counts.
    metric: one for all data sets; by default `ranking_metrics`. Raises UsageError for a metric that no row has.

    - metrics: data set → metric. data, detectors: the columns' names. intervals: what they include.
    - overall, by_data {name: table}, by_detector {name: table}, by_cell [{data, detector, ...table}]. A table holds
      `columns`, how many all its variants have and the means are over, `of` so many, and `lines`, the best mean first:
      variant, rank, mean, low, high, sd (over seeds), seeds (fewest in a column), columns (that the variant has),
      failed and undefined (counts of rows), against {baseline: difference}.
    - pairs: overall differences of every two variants. A difference `a` - `b` is paired, that is over the same
      columns, seeds and resamples: difference, low, high, clear (its interval leaves out 0), columns, trainings.
    - tau: Kendall's tau-b between the orders of the generators, for every two detectors and every two data sets.

    rank: 1 + the number of variants whose paired difference to this one is clear and positive; so variants that
    nothing tells apart share a rank. The references `none` and `real` have none, and do not count.

    Intervals hold 95 %: in each draw the test images are resampled (the same for all variants), and the seeds of each
    column. They say what other test images and other trainings would give, not what other data sets would. An
    interval is None where neither varies: one seed, and a metric without replicates.

    Note:
        Intervals of means are cut to 0 to 1, where every metric lies. The swing over seeds is widened by Student's t
        with Σ (seeds - 1) degrees of freedom and √(S / (S - 1)).
    """
    rows = _last_of_each(rows)
    results = _Results(rows, _chosen(rows, metric))
    columns, data, detectors = results.columns, results.data, results.detectors
    of_data = {name: [c for c in columns if c[0] == name] for name in data}
    of_detector = {name: [c for c in columns if c[1] == name] for name in detectors}
    overall, pairs = results.table(columns)
    return {
        "metrics": results.metrics,
        "data": data,
        "detectors": detectors,
        "intervals": ["test images", "seeds"] if results.resampled else ["seeds"],
        "overall": overall,
        "by_data": {name: results.table(some)[0] for name, some in of_data.items()},
        "by_detector": {name: results.table(some)[0] for name, some in of_detector.items()},
        "by_cell": [{"data": c[0], "detector": c[1], **results.table([c])[0]} for c in columns],
        "pairs": pairs,
        "tau": {
            "detectors": [results.tau(a, b, [((d, a), (d, b)) for d in data]) for a, b in combinations(detectors, 2)],
            "data": [results.tau(a, b, [((a, t), (b, t)) for t in detectors]) for a, b in combinations(data, 2)],
        },
    }


class _Results:
    """The figures of all rows, by variant and column, and the draws that all comparisons share."""

    def __init__(self, rows: Sequence[Row], metrics: Mapping[str, str]):
        self.metrics = dict(metrics)
        self.rows = rows
        self.data = sorted(self.metrics)
        self.detectors = sorted({row["detector"] for row in rows} - {"none"}) or ["none"] * bool(rows)
        self.columns: list[Column] = [(d, t) for d in self.data for t in self.detectors]
        self.recipes = {row["variant"]: (row.get("recipe", row["variant"]), row.get("variation") or {}) for row in rows}
        self.variants = sorted(self.recipes)
        finished = [row for row in rows if self._value(row) is not None]
        self.resampled = any(self._replicates(row) for row in finished)
        self.cells = self._cells(finished)
        self._drawn: dict[Hashable, _Interval] = {}

    def _value(self, row: Row) -> float | None:
        return row["metrics"].get(self.metrics[row["data"]]) if row["status"] == "done" else None

    def _replicates(self, row: Row) -> list[float] | None:
        return (row.get("replicates") or {}).get(self.metrics[row["data"]])

    def _in(self, row: Row, columns: Iterable[Column]) -> bool:
        """Return whether the row belongs to one of the columns; one without a detector belongs to all of its data."""
        return any(row["data"] == data and row["detector"] in (detector, "none") for data, detector in columns)

    def _cells(self, finished: Sequence[Row]) -> dict[tuple[str, Column], _Cell]:
        found: dict[tuple[str, Column], dict[int, Row]] = {}
        for row in finished:
            for column in self.columns:
                if self._in(row, [column]):
                    found.setdefault((row["variant"], column), {})[row["seed"]] = row
        return {key: self._cell(by_seed) for key, by_seed in found.items()}

    def _cell(self, by_seed: Mapping[int, Row]) -> _Cell:
        seeds = tuple(sorted(by_seed))
        values = np.array([self._value(by_seed[seed]) for seed in seeds], float)
        given = [self._replicates(by_seed[seed]) for seed in seeds]
        # Without replicates a figure stands still when images are resampled: then only the seeds vary.
        spread = [np.resize(np.asarray(r or [value], float), DRAWS) for r, value in zip(given, values, strict=True)]
        return _Cell(seeds, values, np.stack(spread), all(given))

    def _has(self, variant: str, columns: Iterable[Column]) -> list[Column]:
        return [c for c in columns if (variant, c) in self.cells]

    # --- draws ------------------------------------------------------------------------------------------------------

    def _draws(self, variant: str, column: Column, seeds: tuple[int, ...]) -> _Interval:
        """Return the draws of the variant's mean over those seeds; the same seeds are drawn for every variant."""
        key = (variant, column, seeds)
        if key not in self._drawn:
            cell, count = self.cells[variant, column], len(seeds)
            kept = cell.replicates[[cell.seeds.index(seed) for seed in seeds]]
            rng = rng_for(0, Stream.BOOTSTRAP, self.columns.index(column), count)
            mean = kept.mean(axis=0)
            swing = np.take_along_axis(kept, rng.integers(count, size=(count, DRAWS)), axis=0).mean(axis=0) - mean
            self._drawn[key] = _Interval(mean, swing * np.sqrt(count / max(count - 1, 1)), count - 1, cell.resampled)
        return self._drawn[key]

    def _mean(self, variant: str, parts: Sequence[tuple[Column, tuple[int, ...]]]) -> _Interval:
        drawn = [self._draws(variant, column, seeds) for column, seeds in parts]
        images = sum((d.images for d in drawn), np.zeros(DRAWS)) / len(drawn)
        swing = sum((d.swing for d in drawn), np.zeros(DRAWS)) / len(drawn)
        return _Interval(images, swing, sum(d.freedom for d in drawn), all(d.resampled for d in drawn))

    # --- comparisons ------------------------------------------------------------------------------------------------

    def table(self, columns: Sequence[Column]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the table over those columns and the differences of every two of its variants."""
        present = [v for v in self.variants if self._has(v, columns)]
        common = [c for c in columns if present and all((v, c) in self.cells for v in present)]
        pairs = [p for a, b in combinations(present, 2) if (p := self._difference(a, b, columns))]
        signed = {(p["a"], p["b"]): p for p in pairs} | {(p["b"], p["a"]): _turned(p) for p in pairs}
        lines = [self._line(variant, columns, common, signed) for variant in self.variants]
        lines.sort(key=lambda line: (line["mean"] is None, -(line["mean"] or 0), line["rank"] or 0, line["variant"]))
        return {"columns": len(common), "of": len(columns), "lines": lines}, pairs

    def _difference(self, a: str, b: str, columns: Sequence[Column]) -> dict[str, Any] | None:
        """Return a - b over the columns and seeds that both have; None if they share none."""
        parts = []
        for column in self._has(a, self._has(b, columns)):
            seeds = tuple(sorted(set(self.cells[a, column].seeds) & set(self.cells[b, column].seeds)))
            if seeds:
                parts.append((column, seeds))
        if not parts:
            return None
        of_a, of_b = self._mean(a, parts), self._mean(b, parts)
        value = sum(self._point(a, *part) - self._point(b, *part) for part in parts) / len(parts)
        resampled = of_a.resampled and of_b.resampled
        drawn = _Interval(of_a.images - of_b.images, of_a.swing - of_b.swing, of_a.freedom, resampled)
        ends = drawn.ends()
        low, high = ends or (None, None)
        clear = ends is not None and not ends[0] <= 0 <= ends[1]
        trainings = sum(len(seeds) for _, seeds in parts)
        return {"a": a, "b": b, "difference": value, "low": low, "high": high, "clear": clear,
                "columns": len(parts), "trainings": trainings}  # fmt: skip

    def _point(self, variant: str, column: Column, seeds: Sequence[int]) -> float:
        cell = self.cells[variant, column]
        return float(sum(cell.values[cell.seeds.index(seed)] for seed in seeds) / len(seeds))

    def _line(
        self,
        variant: str,
        columns: Sequence[Column],
        common: Sequence[Column],
        signed: Mapping[tuple[str, str], dict[str, Any]],
    ) -> dict[str, Any]:
        has = self._has(variant, columns)
        cells = [(c, self.cells[variant, c]) for c in (common if has else [])]
        ends = self._mean(variant, [(c, cell.seeds) for c, cell in cells]).ends() if cells else None
        low, high = (max(0.0, ends[0]), min(1.0, ends[1])) if ends else (None, None)
        rows = [row for row in self.rows if row["variant"] == variant and self._in(row, columns)]
        return {
            "variant": variant,
            "rank": self._rank(variant, signed) if has else None,
            "mean": float(np.mean([cell.values.mean() for _, cell in cells])) if cells else None,
            "low": low,
            "high": high,
            "sd": _deviation([cell for _, cell in cells]),
            "seeds": min((len(self.cells[variant, c].seeds) for c in has), default=0),
            "columns": len(has),
            "failed": sum(row["status"] != "done" for row in rows),
            "undefined": sum(row["status"] == "done" and self._value(row) is None for row in rows),
            "against": {name: signed[variant, base] for name in BASELINES
                        if (base := self._baseline(variant, name)) and (variant, base) in signed},
        }  # fmt: skip

    def _rank(self, variant: str, signed: Mapping[tuple[str, str], dict[str, Any]]) -> int | None:
        if self._is_reference(variant):
            return None
        better = (p for (_, b), p in signed.items() if b == variant and p["clear"] and p["difference"] > 0)
        return 1 + sum(not self._is_reference(p["a"]) for p in better)

    def _is_reference(self, variant: str) -> bool:
        return self.recipes[variant][0] in REFERENCES

    def _baseline(self, variant: str, name: str) -> str | None:
        """Return the line of a baseline that a variant is held against, where baselines are swept: the nearest one."""
        own = self.recipes[variant][1]
        found = [v for v in self.variants if self.recipes[v][0] == name and self._shares(self.recipes[v][1], own)]
        return max(found, key=lambda v: len(self.recipes[v][1]), default=None)

    def _shares(self, theirs: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
        return all(own.get(key) == value for key, value in theirs.items())

    def tau(self, first: str, second: str, paired: Sequence[tuple[Column, Column]]) -> dict[str, Any]:
        """Return how alike the generators are ordered in the first and in the second columns of the pairs.

        tau: 1 the same order, -1 the opposite; None with fewer than two generators or where one side ties them all.
        """
        both = {v: [p for p in paired if all((v, c) in self.cells for c in p)] for v in self.variants}
        compared = [v for v in self.variants if both[v] and not self._is_reference(v)]
        common = [p for p in paired if all(p in both[v] for v in compared)]
        tau = np.nan
        if len(compared) > 1 and common:
            means = [
                [np.mean([self.cells[v, p[side]].values.mean() for p in common]) for v in compared] for side in (0, 1)
            ]
            tau = stats.kendalltau(*means).statistic
        return {"between": [first, second], "tau": float(tau) if np.isfinite(tau) else None,
                "variants": len(compared), "columns": len(common)}  # fmt: skip


def _last_of_each(rows: Iterable[Row]) -> list[Row]:
    """Return the last finished row of each data set, variant, detector and seed, in an order of their own."""
    found: dict[tuple[str, str, str, int], Row] = {}
    for row in rows:
        place = (row["data"], row["variant"], row["detector"], row["seed"])
        if place not in found or (row.get("finished") or "") >= (found[place].get("finished") or ""):
            found[place] = row
    return [found[place] for place in sorted(found)]


def _chosen(rows: Sequence[Row], metric: str | None) -> dict[str, str]:
    if metric is None:
        return ranking_metrics(rows)
    known = sorted({name for row in rows for name in row["metrics"]})
    if known and metric not in known:
        raise UsageError(f"no metric {metric!r}{near_miss(metric, known)}: the rows hold {', '.join(known)}")
    return {row["data"]: metric for row in rows}


def _deviation(cells: Sequence[_Cell]) -> float | None:
    """Return the standard deviation over the seeds that all cells have of the mean over cells; None below two."""
    seeds = sorted(set.intersection(*(set(cell.seeds) for cell in cells))) if cells else []
    if len(seeds) < 2:
        return None
    means = [np.mean([cell.values[cell.seeds.index(seed)] for cell in cells]) for seed in seeds]
    return float(np.std(means, ddof=1))


@cache
def _widening(freedom: int) -> float:
    """Return how much wider an interval is that estimates its deviation with so many degrees of freedom."""
    return float(stats.t.ppf(TAIL, freedom) / stats.norm.ppf(TAIL)) if freedom else 0.0


def _turned(pair: Mapping[str, Any]) -> dict[str, Any]:
    """Return the difference seen from the other side."""
    low, high = (None if end is None else -end for end in (pair["high"], pair["low"]))
    return {**pair, "a": pair["b"], "b": pair["a"], "difference": -pair["difference"], "low": low, "high": high}
