"""The board as typed records: what the rows of a run come to, for the report and for machines."""

from __future__ import annotations

from anomgen.score.result import JsonRecord


class Difference(JsonRecord):
    """Entry `a` - entry `b`, paired: over the same columns, seeds and resamples."""

    a: str
    b: str
    difference: float
    low: float | None
    high: float | None
    clear: bool
    """Whether the interval leaves out 0."""
    columns: int
    trainings: int

    def turned(self) -> Difference:
        """Return the difference seen from the other side."""
        low, high = (None if end is None else -end for end in (self.high, self.low))
        update = {"a": self.b, "b": self.a, "difference": -self.difference, "low": low, "high": high}
        return self.model_copy(update=update)


class Line(JsonRecord):
    """An entry in a table: its mean, and its interval where something varies."""

    entry: str
    rank: int | None
    mean: float | None
    low: float | None
    high: float | None
    sd: float | None
    """Over seeds."""
    seeds: int
    """The fewest in a column."""
    columns: int
    idle: int
    """Columns whose detector learned nothing from it."""
    incomplete: bool
    """Whether it lacks a training that another generator has."""
    failed: int
    undefined: int
    """Counts of rows."""
    against: dict[str, Difference]
    """Baseline → difference."""


class Column(JsonRecord):
    """A data set with a detector."""

    data: str
    detector: str


class BoardTable(JsonRecord):
    """A comparison of the entries over some columns, the best mean first."""

    columns: int
    """How many the means are over."""
    of: int
    over: list[tuple[str, str]]
    """The columns of the means: data set and detector."""
    seeds: int
    """At the fewest, of each column."""
    lines: list[Line]

    def line(self, entry: str) -> Line | None:
        """Return an entry's line."""
        return next((line for line in self.lines if line.entry == entry), None)


class ColumnTable(BoardTable, Column):
    """The table of a single column."""


class Tau(JsonRecord):
    """How alike two detectors or two data sets order the generators."""

    between: tuple[str, str]
    tau: float | None
    entries: int
    columns: int


class Agreement(JsonRecord):
    """Kendall's tau-b for every two detectors and every two data sets."""

    detectors: list[Tau]
    data: list[Tau]


class Board(JsonRecord):
    """What `anomgen.score.report.ranking.board` returns; it says how everything is computed."""

    metrics: dict[str, str]
    """Data set → metric."""
    data: list[str]
    detectors: list[str]
    intervals: list[str]
    """What they include."""
    overall: BoardTable
    by_data: dict[str, BoardTable]
    by_detector: dict[str, BoardTable]
    by_cell: list[ColumnTable]
    pairs: list[Difference]
    """Of every two entries, over everything."""
    tau: Agreement
