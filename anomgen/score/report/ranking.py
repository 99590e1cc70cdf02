"""The board from the rows alone: means, intervals over test images and seeds, paired differences, shared ranks.

A column is a data set with a detector; a table compares the entries over some columns. Every comparison uses only
the columns and seeds that all its sides have, and says how much that is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from anomgen.errors import UsageError, near_miss
from anomgen.rng import Stream, rng_for
from anomgen.score.report.board import Agreement, Board, BoardTable, ColumnTable, Difference, Line, Tau
from anomgen.score.report.names import number_of
from anomgen.score.result import Done, Result

Column = tuple[str, str]
"""Data set and detector."""
Place = tuple[str, str, str]
"""Data set, entry and detector."""
Common = tuple[Column, tuple[int, ...]]
"""A column, and the seeds of it that a comparison uses."""

BASELINES = ("boxes", "none", "real")
"""What every entry is compared with: flat rectangles, no synthetic anomalies, real anomalies."""
REFERENCES = ("none", "real")
"""No generators: they stand on the board without a rank."""
DRAWS = 1000
"""Bootstrap draws of images and seeds; each replicate of the test images serves in several, with other seeds."""
TAIL = 0.975
"""Intervals hold 95 %."""


class _Cell(NamedTuple):
    """One entry in one column: its figures (S,) by seed, their replicates (S, DRAWS), and whether these are real."""

    seeds: tuple[int, ...]
    values: np.ndarray
    replicates: np.ndarray
    resampled: bool


class _Interval(NamedTuple):
    """The draws of a mean over columns: over test images, with the swing that the draw of seeds adds."""

    draws: np.ndarray
    varies: bool

    def ends(self) -> tuple[float, float] | None:
        """Return the ends of the interval, None where nothing varies: one seed and no replicates."""
        if not self.varies:
            return None
        low, high = np.quantile(self.draws, [1 - TAIL, TAIL])
        return float(low), float(high)


def ranking_metrics(rows: Sequence[Result]) -> dict[str, str]:
    """Return data set → the metric that ranks: pixel_ap, or image_ap where no finished row has pixel_ap."""
    finished = {row.data for row in rows if isinstance(row, Done)}
    bare = finished - {row.data for row in rows if row.metrics.get("pixel_ap") is not None}
    return {row.data: "image_ap" if row.data in bare else "pixel_ap" for row in rows}


def board(rows: Iterable[Result], metric: str | None = None, idle: Collection[Place] = ()) -> Board:
    """Return the board; the same rows give the same board, in whatever order they come.

    rows: as in rows.jsonl; of two rows of one data set, entry, detector and seed the later finished counts.
    metric: one for all data sets; by default `ranking_metrics`. Raises UsageError for a metric that no row has.
    idle: where nothing was learned; it counts in no mean, no rank and no difference.

    Means, deviations, intervals and the order of a table are over the columns and, in each, the seeds that all its
    entries have, so that nothing leads because its weak training is missing. While no column has such a seed, the
    entry with the fewest trainings (of equals a reference, else the last by name) is left out: it has no mean, no
    rank, and is incomplete. Before that, while an entry learned nothing in a column, the one of the two goes of
    which that holds for the larger share. A difference uses all that its two sides share, which may be more.

    rank: 1 + the number of lines above whose paired difference to this one is clear and positive, so that lines which
    nothing tells apart share a rank; but never better than the line above, even where nothing tells this one from the
    first. The references `none` and `real` have none, and do not count.

    Intervals hold 95 %: in each draw the test images are resampled (the same for all entries), and the seeds of each
    column. They say what other test images and other trainings would give, not what other data sets would. An
    interval is None where neither varies: one seed, and a metric without replicates.

    Note:
        Intervals of means are cut to 0 to 1, where every metric lies. The bootstrap of 3 seeds is too narrow (it holds
        the truth in 75 % of cases instead of 95 %), so the swing over seeds is widened by √(S / (S - 1)) and by
        Student's t with Σ (seeds - 1) degrees of freedom. The sum is over columns, for `none`, whose trainings are
        the same in all columns of a data set, over data sets; so are its draws. Average precision of a resample is
        biased upwards, since resamples repeat images (by .02 on 40 images): intervals of means of AP sit slightly too
        high; in a paired difference most of that cancels.
    """
    rows = _last_of_each(rows)
    results = _Results(rows, _chosen(rows, metric), idle)
    columns, data, detectors = results.columns, results.data, results.detectors
    of_data = {name: [c for c in columns if c[0] == name] for name in data}
    of_detector = {name: [c for c in columns if c[1] == name] for name in detectors}
    overall, pairs = results.table(columns)
    return Board(
        metrics=results.metrics,
        data=data,
        detectors=detectors,
        intervals=["test images", "seeds"] if results.resampled else ["seeds"],
        overall=overall,
        by_data={name: results.table(some)[0] for name, some in of_data.items()},
        by_detector={name: results.table(some)[0] for name, some in of_detector.items()},
        by_cell=[results.column_table(column) for column in columns],
        pairs=pairs,
        tau=Agreement(
            detectors=[results.tau((a, b), [((d, a), (d, b)) for d in data]) for a, b in combinations(detectors, 2)],
            data=[results.tau((a, b), [((a, t), (b, t)) for t in detectors]) for a, b in combinations(data, 2)],
        ),
    )


def column_tables(rows: Iterable[Result], metric: str | None = None, idle: Collection[Place] = ()) -> list[ColumnTable]:
    """Return the tables of the single columns alone, as `board` has them, but with figures of what learned nothing."""
    rows = _last_of_each(rows)
    chosen = _chosen(rows, metric)
    learned, every = _Results(rows, chosen, idle), _Results(rows, chosen)
    return [_filled(learned.column_table(column), every.column_table(column)) for column in every.columns]


def _filled(table: ColumnTable, other: ColumnTable) -> ColumnTable:
    """Return a table with the other's lines where an entry learned nothing."""
    lines = [(other.line(line.entry) or line) if line.idle else line for line in table.lines]
    return table.model_copy(update={"lines": lines})


class _Results:
    """The figures of all rows, by entry and column, and the draws that all comparisons share."""

    def __init__(self, rows: Sequence[Result], metrics: Mapping[str, str], idle: Collection[Place] = ()):
        self.metrics = dict(metrics)
        self.rows = rows
        self.data = sorted(self.metrics)
        self.detectors = sorted({row.detector for row in rows} - {"none"}) or ["none"] * bool(rows)
        self.columns: list[Column] = [(d, t) for d in self.data for t in self.detectors]
        self.recipes = {row.entry: (row.recipe, row.variation) for row in rows}
        self.entries = sorted(self.recipes)
        self.idle = {(entry, (data, detector)) for data, entry, detector in idle}
        learned = (row for row in rows if (row.entry, (row.data, row.detector)) not in self.idle)
        finished = [row for row in learned if isinstance(row, Done) and self._value(row) is not None]
        self.resampled = any(self._replicates(row) for row in finished)
        self.cells = self._cells(finished)
        self.repeated = {row.entry for row in rows if row.detector == "none"}
        self._drawn: dict[Hashable, tuple[np.ndarray, np.ndarray]] = {}

    def _value(self, row: Result) -> float | None:
        return row.metrics.get(self.metrics[row.data])

    def _replicates(self, row: Done) -> list[float] | None:
        return row.replicates.get(self.metrics[row.data])

    def _in(self, row: Result, columns: Iterable[Column]) -> bool:
        """Return whether the row belongs to one of the columns; one without a detector belongs to all of its data."""
        return any(row.data == data and row.detector in (detector, "none") for data, detector in columns)

    def _cells(self, finished: Sequence[Done]) -> dict[tuple[str, Column], _Cell]:
        found: dict[tuple[str, Column], dict[int, Done]] = {}
        for row in finished:
            for column in self.columns:
                if self._in(row, [column]):
                    found.setdefault((row.entry, column), {})[row.seed] = row
        return {key: self._cell(by_seed) for key, by_seed in found.items()}

    def _cell(self, by_seed: Mapping[int, Done]) -> _Cell:
        seeds = tuple(sorted(by_seed))
        values = np.array([self._value(by_seed[seed]) for seed in seeds], float)
        given = [self._replicates(by_seed[seed]) for seed in seeds]
        # Without replicates a figure stands still when images are resampled: then only the seeds vary.
        spread = [np.resize(np.asarray(r or [value], float), DRAWS) for r, value in zip(given, values, strict=True)]
        return _Cell(seeds, values, np.stack(spread), all(given))

    def _has(self, entry: str, columns: Iterable[Column]) -> list[Column]:
        return [c for c in columns if (entry, c) in self.cells]

    # --- draws ------------------------------------------------------------------------------------------------------

    def _draws(self, entry: str, column: Column, seeds: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the draws (DRAWS,) of the entry's mean over those seeds: of the test images, and the seeds' swing.

        The same seeds are drawn for every entry in a column, and in every column for what repeats in all, whatever
        other rows there are.
        """
        key = (entry, column, seeds)
        if key not in self._drawn:
            cell, count = self.cells[entry, column], len(seeds)
            kept = cell.replicates[[cell.seeds.index(seed) for seed in seeds]]
            rng = rng_for(0, Stream.BOOTSTRAP, number_of(*self._source(entry, column)))
            mean = kept.mean(axis=0)
            swing = np.take_along_axis(kept, rng.integers(count, size=(count, DRAWS)), axis=0).mean(axis=0) - mean
            self._drawn[key] = mean, swing * np.sqrt(count / max(count - 1, 1))
        return self._drawn[key]

    def _source(self, entry: str, column: Column) -> tuple[str, ...]:
        """Return what the entry's trainings in a column belong to: the column, or all columns of its data."""
        return column[:1] if entry in self.repeated else column

    def _mean(self, entry: str, parts: Sequence[Common]) -> _Interval:
        drawn = [self._draws(entry, *part) for part in parts]
        freedom: dict[tuple[str, ...], int] = {}
        for column, seeds in parts:
            source = self._source(entry, column)
            freedom[source] = max(freedom.get(source, 0), len(seeds) - 1)
        free = sum(freedom.values())
        images, swing = (np.mean([d[k] for d in drawn], axis=0) for k in (0, 1))
        resampled = all(self.cells[entry, column].resampled for column, _ in parts)
        return _Interval(images + _widening(free) * swing, resampled or free > 0)

    # --- comparisons ------------------------------------------------------------------------------------------------

    def column_table(self, column: Column) -> ColumnTable:
        """Return the table of a single column."""
        table = self.table([column])[0]
        return ColumnTable(data=column[0], detector=column[1], **dict(table))

    def table(self, columns: Sequence[Column]) -> tuple[BoardTable, list[Difference]]:
        """Return the table over those columns and the differences of every two of its entries."""
        present = [v for v in self.entries if self._has(v, columns)]
        pairs = [p for a, b in combinations(present, 2) if (p := self._difference(a, b, columns))]
        signed = {(p.a, p.b): p for p in pairs} | {(p.b, p.a): p.turned() for p in pairs}
        compared, parts = self._comparable(*self._learned(present, columns))
        lines = [self._line(v, columns, parts if v in compared else [], signed) for v in self.entries]
        lines.sort(key=lambda line: (line.mean is None, -(line.mean or 0), line.entry))
        ranks = self._ranks([line.entry for line in lines if line.mean is not None], signed)
        table = BoardTable(
            columns=len(parts),
            of=len(columns),
            over=[column for column, _ in parts],
            seeds=min((len(seeds) for _, seeds in parts), default=0),
            lines=[line.model_copy(update={"rank": ranks.get(line.entry)}) for line in lines],
        )
        return table, pairs

    def _learned(self, entries: Sequence[str], columns: Sequence[Column]) -> tuple[list[str], list[Column]]:
        """Return the entries and columns without those that leave trainings from which nothing was learned."""
        entries, columns = list(entries), list(columns)
        while gaps := [(v, c) for v in entries for c in columns if (v, c) in self.idle]:
            of_entries, of_columns = Counter(v for v, _ in gaps), Counter(c for _, c in gaps)
            entry, column = max(entries, key=of_entries.__getitem__), max(columns, key=of_columns.__getitem__)
            if of_entries[entry] * len(entries) > of_columns[column] * len(columns):
                entries.remove(entry)
            else:
                columns.remove(column)
        return entries, columns

    def _comparable(self, entries: Sequence[str], columns: Sequence[Column]) -> tuple[list[str], list[Common]]:
        """Return the entries that share a training of at least one column, and all that they share."""
        left = list(entries)
        while left and not (parts := self._shared(left, columns)):
            counts = {v: sum(len(self.cells[v, c].seeds) for c in self._has(v, columns)) for v in left}
            fewest = [v for v in left if counts[v] == min(counts.values())]
            left.remove(max(fewest, key=lambda v: (self._is_reference(v), v)))
        return left, parts if left else []

    def _shared(self, entries: Sequence[str], columns: Iterable[Column]) -> list[Common]:
        """Return the columns in which the entries have seeds in common, with these."""
        parts = ((column, self._seeds(entries, column)) for column in columns)
        return [(column, seeds) for column, seeds in parts if seeds]

    def _seeds(self, entries: Sequence[str], column: Column) -> tuple[int, ...]:
        """Return the seeds that all entries have in a column."""
        if not entries or any((v, column) not in self.cells for v in entries):
            return ()
        return tuple(sorted(set.intersection(*(set(self.cells[v, column].seeds) for v in entries))))

    def _ranks(self, ordered: Sequence[str], signed: Mapping[tuple[str, str], Difference]) -> dict[str, int]:
        """Return the ranks of the generators among entries in the order of their means."""
        ranks: dict[str, int] = {}
        for entry in (entry for entry in ordered if not self._is_reference(entry)):
            pairs = (signed.get((better, entry)) for better in ranks)
            clear = sum(pair is not None and pair.clear and pair.difference > 0 for pair in pairs)
            ranks[entry] = max([1 + clear, *ranks.values()])
        return ranks

    def _difference(self, a: str, b: str, columns: Sequence[Column]) -> Difference | None:
        """Return a - b over the columns and seeds that both have; None if they share none."""
        parts = self._shared([a, b], columns)
        if not parts:
            return None
        of_a, of_b = self._mean(a, parts), self._mean(b, parts)
        value = sum(self._point(a, *part) - self._point(b, *part) for part in parts) / len(parts)
        ends = _Interval(of_a.draws - of_b.draws, of_a.varies and of_b.varies).ends()
        low, high = ends or (None, None)
        clear = ends is not None and not ends[0] <= 0 <= ends[1]
        trainings = sum(len(seeds) for _, seeds in parts)
        return Difference(
            a=a, b=b, difference=value, low=low, high=high, clear=clear, columns=len(parts), trainings=trainings
        )

    def _point(self, entry: str, column: Column, seeds: Sequence[int]) -> float:
        cell = self.cells[entry, column]
        return float(sum(cell.values[cell.seeds.index(seed)] for seed in seeds) / len(seeds))

    def _line(
        self,
        entry: str,
        columns: Sequence[Column],
        parts: Sequence[Common],
        signed: Mapping[tuple[str, str], Difference],
    ) -> Line:
        """Return the entry's line, its figures over the parts (no figures without); the rank is the table's."""
        has = self._has(entry, columns)
        ends = self._mean(entry, parts).ends() if parts else None
        low, high = (max(0.0, ends[0]), min(1.0, ends[1])) if ends else (None, None)
        rows = [row for row in self.rows if row.entry == entry and self._in(row, columns)]
        baselines = {name: base for name in BASELINES if (base := self._baseline(entry, name))}
        return Line(
            entry=entry,
            rank=None,
            mean=float(np.mean([self._point(entry, *part) for part in parts])) if parts else None,
            low=low,
            high=high,
            sd=self._deviation(entry, parts),
            seeds=min((len(self.cells[entry, c].seeds) for c in has), default=0),
            columns=len(has),
            idle=sum((entry, column) in self.idle for column in columns),
            incomplete=not parts or self._lacks(entry, columns),
            failed=sum(not isinstance(row, Done) for row in rows),
            undefined=sum(isinstance(row, Done) and self._value(row) is None for row in rows),
            against={name: signed[entry, base] for name, base in baselines.items() if (entry, base) in signed},
        )

    def _lacks(self, entry: str, columns: Sequence[Column]) -> bool:
        """Return whether a generator has a seed in one of the columns that the entry does not have there."""
        own = {(c, seed) for c in self._has(entry, columns) for seed in self.cells[entry, c].seeds}
        generators = [v for v in self.entries if not self._is_reference(v)]
        return any((c, s) not in own for v in generators for c in self._has(v, columns) for s in self.cells[v, c].seeds)

    def _deviation(self, entry: str, parts: Sequence[Common]) -> float | None:
        """Return the standard deviation over the seeds that all parts have of the mean over parts; None below two."""
        seeds = sorted(set.intersection(*(set(seeds) for _, seeds in parts))) if parts else []
        if len(seeds) < 2:
            return None
        return float(np.std([np.mean([self._point(entry, c, [s]) for c, _ in parts]) for s in seeds], ddof=1))

    def _is_reference(self, entry: str) -> bool:
        return self.recipes[entry][0] in REFERENCES

    def _baseline(self, entry: str, name: str) -> str | None:
        """Return the line of a baseline that an entry is held against, where baselines are swept: the nearest one."""
        own = self.recipes[entry][1]
        found = [v for v in self.entries if self.recipes[v][0] == name and self._shares(self.recipes[v][1], own)]
        return max(found, key=lambda v: len(self.recipes[v][1]), default=None)

    def _shares(self, theirs: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
        return all(own.get(key) == value for key, value in theirs.items())

    def tau(self, between: tuple[str, str], paired: Sequence[tuple[Column, Column]]) -> Tau:
        """Return how alike the generators are ordered in the first and in the second columns of the pairs.

        tau: 1 the same order, -1 the opposite; None with fewer than two generators or where one side ties them all.
        """
        both = {v: [p for p in paired if all((v, c) in self.cells for c in p)] for v in self.entries}
        compared = [v for v in self.entries if both[v] and not self._is_reference(v)]
        common = [parts for pair in paired if len(parts := self._shared(compared, pair)) == 2]
        tau = np.nan
        if len(compared) > 1 and common:
            means = [[np.mean([self._point(v, *parts[k]) for parts in common]) for v in compared] for k in (0, 1)]
            tau = stats.kendalltau(*means).statistic
        value = float(tau) if np.isfinite(tau) else None
        return Tau(between=between, tau=value, entries=len(compared), columns=len(common))


def _last_of_each(rows: Iterable[Result]) -> list[Result]:
    """Return the last finished row of each data set, entry, detector and seed, in an order of their own."""
    found: dict[tuple[str, str, str, int], Result] = {}
    for row in rows:
        place = (row.data, row.entry, row.detector, row.seed)
        if place not in found or row.finished >= found[place].finished:
            found[place] = row
    return [found[place] for place in sorted(found)]


def _chosen(rows: Sequence[Result], metric: str | None) -> dict[str, str]:
    if metric is None:
        return ranking_metrics(rows)
    known = sorted({name for row in rows for name in row.metrics})
    if known and metric not in known:
        raise UsageError(f"no metric {metric!r}{near_miss(metric, known)}: the rows hold {', '.join(known)}")
    return {row.data: metric for row in rows}


@cache
def _widening(freedom: int) -> float:
    """Return how much wider an interval is that estimates its deviation with so many degrees of freedom."""
    return float(stats.t.ppf(TAIL, freedom) / stats.norm.ppf(TAIL)) if freedom else 0.0
