"""The evidence for the findings: the leaderboard, charts of the metrics, differences, sweeps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from anomgen.score.report import charts
from anomgen.score.report.blocks import Block, Chart, Details, Table, TableCell
from anomgen.score.report.board import BoardTable, Line, Tau
from anomgen.score.report.chance import chance
from anomgen.score.report.findings import gains, is_better, recommended
from anomgen.score.report.names import entry_name, key_name, value_name
from anomgen.score.report.summary import (
    BASES,
    METRICS,
    NOTHING,
    SPARE,
    Run,
    best_f1,
    distinct,
    gap,
    interval,
    number,
    of,
)
from anomgen.score.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEARNED_NOTHING = "learned nothing"
BOLD = "Bold: clearly more than without anomalies (none) and flat rectangles (boxes), as far as they were tried."
GAIN = "Bold: a clear gain, since the interval lies above 0."
OWN = "none has a detector of its own: below the others stands its mean over the data sets that theirs are over."


def leaderboard(run: Run) -> Iterator[Block]:
    """Yield the board over everything and that of each data set."""
    if not run.rows:
        return
    varied = " and ".join(run.board.intervals)
    caption = (
        f"{run.label}: mean (95 % interval over {varied}), and the mean with each detector. Entries share a rank "
        "where nothing tells them apart: the rank is 1 + the number of entries that are clearly better, by their "
        "paired differences. none and real are no generators and have no rank. ±: standard deviation over seeds."
    )
    if any(run.kind(name) == SPARE for name in run.entries) and run.board.detectors != [SPARE]:
        caption += f" {OWN}"
    yield _board_table(run, run.board.overall, run.board.by_detector, caption)
    if len(run.board.data) > 1:
        for name, table in run.board.by_data.items():
            cells = {cell.detector: cell for cell in run.board.by_cell if cell.data == name}
            caption = f"{METRICS[run.board.metrics[name]]}."
            yield Details(f"On {name} alone", [_board_table(run, table, cells, caption, name)])
    tau = run.board.tau
    rows = [
        _tau_line(kind, pair) for kind, pairs in (("detectors", tau.detectors), ("data", tau.data)) for pair in pairs
    ]
    if rows:
        heads = ["do they order the recipes alike?", "Kendall's τ", "entries"]
        caption = "1: the same order; 0: unrelated; −1: the opposite order."
        yield Details("Do detectors and data sets agree on the ranking?", [Table(heads, rows, caption)])


def _tau_line(kind: str, pair: Tau) -> list[str]:
    tau = NOTHING if pair.tau is None else f"{pair.tau:.2f}".replace("-", "−")
    return [f"{kind}: {' and '.join(pair.between)}", tau, str(pair.entries)]


def _board_table(
    run: Run,
    table: BoardTable,
    columns: Mapping[str, BoardTable],
    caption: str,
    data: str | None = None,
) -> Table:
    """Return a board; columns: detector → the table of that detector alone; data: the set it is about, None for all."""
    columns = {name: column for name, column in columns.items() if name != SPARE}
    idle = [name for name in columns if data is not None and (data, name) in run.idle_columns]
    seeds = any(line.sd is not None for line in table.lines)
    best = _recommended(run, table, data)
    lines: list[list[str | TableCell]] = []
    for line in table.lines:
        name = line.entry
        faults = f" ({line.failed} failed)" if line.failed else ""
        told = {
            c: NOTHING if c in idle and run.kind(name) == SPARE else _alone(t.line(name)) for c, t in columns.items()
        }
        spread = [number(line.sd)] if seeds else []
        rank = NOTHING if line.rank is None else str(line.rank)
        reachable = [number(best_f1(run, name, data))] if run.by_threshold else []
        figure = TableCell(
            (LEARNED_NOTHING if _is_idle(line) else interval(line)) + faults, strong=best == (None, name)
        )
        alone = [TableCell(text, strong=True) if best == (c, name) else text for c, text in told.items()]
        lines.append([run.about(name), rank, figure, *reachable, *spread, *alone])
    if table.columns < table.of:
        share = f"{table.columns} of {table.of} pairs of data set and detector"
        caption += f" Means are over {share}: those that every entry has, of detectors that have learned something."
    if best is not None:
        caption += f" {BOLD}"
    extra = [*(["best F1 of any threshold"] if run.by_threshold else []), *(["±"] if seeds else [])]
    heads = [_column_head(name, column, is_idle=name in idle) for name, column in columns.items()]
    return Table(["entry", "rank", "mean (95 % interval)", *extra, *heads], lines, caption)


def _recommended(run: Run, table: BoardTable, data: str | None) -> tuple[str | None, str] | None:
    """Return which cell of a board stands out: detector, None for the mean, and entry; None where no recipe gains."""
    if data is None:
        use = recommended(run)
        return None if use is None else (use[0], use[1].entry)
    first = None if run.best is None or run.is_idle else run.first(table)
    return (None, first.entry) if first is not None and gains(first) else None


def _alone(line: Line | None) -> str:
    """Return a line's mean with a single detector."""
    if line is None:
        return NOTHING
    return LEARNED_NOTHING if _is_idle(line) else number(line.mean)


def _is_idle(line: Line) -> bool:
    return line.mean is None and line.idle > 0


def _column_head(name: str, column: BoardTable, *, is_idle: bool) -> str:
    if is_idle:
        return f"{name} ({LEARNED_NOTHING})"
    return f"{name} (on {column.columns} of {column.of})" if column.columns < column.of else name


def metric_charts(run: Run) -> Iterator[Block]:
    """Yield a chart a metric, that of the ranking unfolded."""
    for metric in run.metrics:
        label = METRICS[metric]
        caption = f"{label}: mean and 95 % interval of each entry and detector; ticks: single seeds."
        caption += " Faint: the detector learned nothing." if run.idle else ""
        chart = Chart(metric, partial(metric_chart, run, metric), caption)
        yield chart if metric in run.board.metrics.values() else Details(label, [chart])


def metric_chart(run: Run, metric: str, paper: charts.Paper = charts.WIDE) -> Figure:
    """Return the figure of a metric: a panel a data set."""
    panels: dict[str, dict[tuple[str, str], charts.Dot]] = {}
    for cell in run.by_metric[metric]:
        for line in cell.lines:
            detector = SPARE if run.kind(line.entry) == SPARE else cell.detector
            dot = _dot(run, line, cell.data, detector, metric)
            if dot is not None:
                panels.setdefault(cell.data, {})[line.entry, detector] = dot
    levels = {name: chance(of(run.done, data=name), metric) for name in panels}
    return charts.interval_chart(panels, run.entries, run.detectors, METRICS[metric], levels, paper)


def _dot(run: Run, line: Line, data: str, detector: str, metric: str) -> charts.Dot | None:
    """Return a line's dot; None where it has no mean."""
    if line.mean is None:
        return None
    values = (row.metrics.get(metric) for row in of(run.done, data=data, detector=detector, entry=line.entry))
    low, high = (line.mean if end is None else end for end in (line.low, line.high))
    seeds = tuple(value for value in values if value is not None)
    return charts.Dot(line.mean, low, high, seeds, idle=(data, line.entry, detector) in run.idle)


def differences(run: Run) -> Iterator[Block]:
    """Yield the paired differences between each entry and the baselines."""
    caption = (
        f"Difference in {run.label} (95 % interval), paired: over the same resamples of the test images and the same "
        f"seeds, of all that the two have in common. {GAIN}"
    )
    table = _difference_table(run, run.board.overall, caption)
    if table:
        yield table
    if table and len(run.board.data) > 1:
        tables = ((name, _difference_table(run, part, GAIN)) for name, part in run.board.by_data.items())
        yield from (Details(f"On {name} alone", [part]) for name, part in tables if part)


def _difference_table(run: Run, table: BoardTable, caption: str) -> Table | None:
    known = [name for name in BASES if any(name in line.against for line in table.lines)]
    lines: list[list[str | TableCell]] = []
    for line in table.lines:
        pairs = [line.against.get(name) for name in known]
        cells = [TableCell(gap(pair), strong=is_better(pair)) if pair else NOTHING for pair in pairs]
        lines.append([run.about(line.entry), *cells])
    return Table(["entry", *(f"minus {name}" for name in known)], lines, caption) if known else None


def sweeps(run: Run) -> Iterator[Block]:
    """Yield a chart for each key that is varied: the metric that ranks against its values."""
    metrics = run.board.metrics
    for key in distinct(key for row in run.done for key in row.variation):
        rows = {row.entry: row for row in run.done if key in row.variation}
        panels: dict[str, dict[str, dict[Any, charts.Dot]]] = {}
        of_data: dict[str, str] = {}
        for metric in run.metrics:
            for cell in (cell for cell in run.by_metric[metric] if metrics[cell.data] == metric):
                title = f"{cell.data} · {cell.detector}"
                for line in (line for line in cell.lines if line.entry in rows):
                    dot = _dot(run, line, cell.data, cell.detector, metric)
                    if dot is not None:
                        name, value = _place(rows[line.entry], key)
                        panels.setdefault(title, {}).setdefault(name, {})[value] = dot
                        of_data[title] = cell.data
        found = distinct(value for lines in panels.values() for dots in lines.values() for value in dots)
        values = _in_order(found, run.configuration.sweeps.get(key, ()) if run.configuration else ())
        if len(values) > 1:
            levels = {title: chance(of(run.done, data=data), metrics[data]) for title, data in of_data.items()}
            draw = partial(charts.sweep_chart, panels, values, key_name(key), run.label, levels)
            caption = f"{run.label} against {key_name(key)}: mean; 95 % interval shaded."
            yield Chart(f"sweep-{_file_name(key)}", draw, caption)


def _place(row: Result, key: str) -> tuple[str, Any]:
    """Return where a row is in the chart of a sweep: the line (the recipe, and what else is varied), and the value."""
    others = {name: value for name, value in row.variation.items() if name != key}
    return entry_name(row.recipe, others), _plain(row.variation[key])


def _plain(value: Any) -> Any:
    """Return a swept value as something that can be a key: lists as text."""
    return value if isinstance(value, int | float | str) else value_name(value)


def _in_order(values: Sequence[Any], asked: Sequence[Any]) -> list[Any]:
    """Return numbers by size, anything else in the order that was asked for."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return sorted(values)
    known = [_plain(value) for value in asked]
    return sorted(values, key=lambda value: known.index(value) if value in known else len(known))


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", text).strip("-").lower() or "values"
