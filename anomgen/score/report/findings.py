"""What the report says first: which recipe is best, the leaderboard, charts of the metrics, differences, sweeps."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from anomgen.score.report import charts
from anomgen.score.report.blocks import Block, Chart, Details, Table, TableCell, Text
from anomgen.score.report.board import BoardTable, Difference, Line, Tau
from anomgen.score.report.summary import (
    METRICS,
    NOTHING,
    RECIPE,
    SPARE,
    Run,
    digits_of,
    distinct,
    ends,
    gap,
    interval,
    mean,
    number,
    of,
)
from anomgen.score.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEANING = {
    "boxes": "flat rectangles (boxes)",
    "none": "a detector without anomalies (none)",
    "real": "training on real anomalies (real)",
}
FEW_SEEDS = (
    "A first look: with fewer than three seeds, how much another training would change is hardly in the intervals."
)
INDIFFERENT = (
    "trained on normal images only, so its maps are the same for every recipe and say nothing about which is better. "
    "It is left out of the ranking. The recipe decides its threshold alone: see Thresholds."
)
ALL_INDIFFERENT = (
    "trained on normal images only, so the maps are the same for every recipe. A recipe decides nothing but the "
    "threshold, and the board is about that"
)
PARTIAL = "not done yet (left out by the budget, another part, or interrupted): the board is partial."
MIXED = ("anomgen", "torch", "timm")
"""What changes figures where its version differs."""


def headline(run: Run) -> Iterator[Block]:
    """Say which recipe is best, by how much, and whether that is clear."""
    first, *rest = _best(run)
    yield first
    yield from _left_out(run)
    yield from _unfinished(run)
    yield from rest
    for name, found in _made_with(run).items():
        yield Text(f"The rows were made with several versions of {name} ({', '.join(found)}): that, too, may differ.")


def _best(run: Run) -> Iterator[Block]:
    best = run.best
    if run.by_threshold:
        yield from _best_by_threshold(run)
    elif best is None:
        yield Text(f"No recipe has a figure: {_why_nothing(run)}.", strong=True)
        return
    else:
        yield from _best_by_maps(run, best)
    if len({row.seed for row in run.done}) < 3:
        yield Text(FEW_SEEDS)
    if run.indifferent and not run.by_threshold:
        yield Text(f"{', '.join(run.indifferent)}: {INDIFFERENT}")
    if run.failed:
        yield Text(f"{len(run.failed)} of {len(run.rows)} trainings failed; they are listed below, with why.")


def _why_nothing(run: Run) -> str:
    """Return why there is no best recipe."""
    reasons = [f"{len(run.failed)} of {len(run.rows)} trainings failed"] if run.failed else []
    if run.missing:
        reasons.append("trainings are still to be done")
    if not run.rows and not run.missing:
        reasons.append("the run has no rows")
    elif not reasons:
        recipes = any(run.kind(row.entry) == RECIPE for row in run.rows)
        reasons.append("no metric that ranks is defined" if recipes else "only baselines are trained")
    return ", and ".join(reasons)


def _best_by_maps(run: Run, best: Line) -> Iterator[Block]:
    name = best.entry
    yield Text(f"{name} is the best recipe: {run.label} {interval(best)}, over {_scope(run)}.", strong=True)
    alike = [_other(pair, name) for pair in run.board.pairs if name in (pair.a, pair.b) and not pair.clear]
    alike = [other for other in run.entries if other in alike and run.kind(other) == RECIPE]
    if alike:
        more = f" and {len(alike) - 5} more" if len(alike) > 5 else ""
        yield Text(f"It is not clearly apart from {', '.join(alike[:5])}{more}.")
    for baseline, meaning in MEANING.items():
        if baseline in best.against:
            yield Text(_gap_sentence(name, meaning, best.against[baseline]))


def _best_by_threshold(run: Run) -> Iterator[Block]:
    yield Text(f"No recipe is the best by its maps. {', '.join(run.detectors)}: {ALL_INDIFFERENT}.", strong=True)
    known = [line for line in run.lines if line.mean is not None]
    reached = [f"{line.entry} {number(line.mean)} of {number(_best_f1(run, line.entry))}" for line in known]
    if reached:
        more = f" and {len(reached) - 6} more below" if len(reached) > 6 else ""
        yield Text(
            "Image F1 on the test images at the threshold that was chosen with each one's synthetic anomalies, of the "
            f"best F1 that any threshold reaches: {', '.join(reached[:6])}{more}; over {_scope(run)}."
        )


def _best_f1(run: Run, entry: str, data: str | None = None) -> float | None:
    """Return the best F1 of any threshold, mean over the rows of an entry that have a chosen one."""
    chosen = [row.thresholds.f1 for row in of(run.done, entry=entry, data=data)]
    return mean(part.best_f1 for part in chosen if part.f1 is not None)


def _unfinished(run: Run) -> Iterator[Block]:
    """Yield how much of the request has no row yet, and what."""
    if run.missing:
        count = run.missing.cells
        yield Text(f"{count} of {run.missing.of} trainings {'is' if count == 1 else 'are'} {PARTIAL}")
        groups = run.missing.groups
        lines = [[", ".join(entries), detector, data, str(seed)] for data, detector, seed, entries in groups]
        if lines:
            yield Details("Trainings that are not done yet", [Table(["entries", "detector", "data", "seed"], lines)])


def _made_with(run: Run) -> dict[str, list[str]]:
    """Return what the rows were made with in several versions."""
    found = {name: {row.versions.get(name) for row in run.rows} - {None} for name in MIXED}
    return {name: sorted(map(str, versions)) for name, versions in found.items() if len(versions) > 1}


def _other(pair: Difference, name: str) -> str:
    return pair.b if pair.a == name else pair.a


def _gap_sentence(best: str, meaning: str, pair: Difference) -> str:
    size = f"{abs(pair.difference):.{digits_of(pair)}f}"
    side = f"{size} {'above' if pair.difference > 0 else 'below'}" if float(size) else "level with"
    lead = f"{best} is {side} {meaning}"
    if pair.low is None:
        return f"{lead}; one seed and no bootstrap give no interval."
    clear = "a clear difference" if pair.clear else "not a clear difference, since that holds 0"
    return f"{lead}, 95 % interval of the difference {ends(pair)}: {clear}."


def _scope(run: Run) -> str:
    """Return what the means of the whole board are over, in words."""
    data, detectors = ({column[k] for column in run.board.overall.over} for k in (0, 1))
    seeds = len({row.seed for row in run.done})
    parts = [_some(data, run.board.data, "data set"), _some(detectors, run.board.detectors, "detector")]
    return ", ".join([*parts, f"{seeds} seed{'s' if seeds != 1 else ''}"])


def _some(chosen: Collection[str], every: Collection[str], name: str) -> str:
    share = f" of {len(every)}" if len(chosen) < len(every) else ""
    return f"{len(chosen)}{share} {name}{'s' if len(every) != 1 else ''}"


def _left_out(run: Run) -> Iterator[Block]:
    """Say which pairs of data set and detector the means of the whole board leave out."""
    table = run.board.overall
    every = [(data, detector) for data in run.board.data for detector in run.ranked]
    gone = [pair for pair in every if pair not in table.over]
    if table.columns < table.of:
        yield Text(
            f"The means leave out {', '.join(f'{data} with {detector}' for data, detector in gone)}: not every line "
            "has a training there. Each data set's own board has what is there."
        )


def leaderboard(run: Run) -> Iterator[Block]:
    """Yield the board over everything and that of each data set."""
    if not run.rows:
        return
    varied = " and ".join(run.board.intervals)
    caption = (
        f"{run.label}: mean (95 % interval over {varied}), and the mean with each detector. Entries share a rank "
        "where nothing tells them apart: the rank is 1 + the number of entries that are clearly better, by their "
        "paired differences. none and real are no generators and have no rank. ±: standard deviation over seeds. Bold: "
        "the recipe with the highest mean."
    )
    yield _board_table(run, run.board.overall, run.board.by_detector, caption)
    if len(run.board.data) > 1:
        for name, table in run.board.by_data.items():
            cells = {cell.detector: cell for cell in run.board.by_cell if cell.data == name}
            caption = f"{METRICS[run.board.metrics[name]]}. Bold: the recipe with the highest mean on {name}."
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
    seeds = any(line.sd is not None for line in table.lines)
    first = run.first(table)
    lines: list[list[str | TableCell]] = []
    for line in table.lines:
        name = line.entry
        is_best = first is not None and run.kind(name) == RECIPE and line.mean == first.mean
        faults = f" ({line.failed} failed)" if line.failed else ""
        alone = (column.line(name) for column in columns.values())
        trained = [NOTHING if run.kind(name) == SPARE else number(own.mean if own else None) for own in alone]
        spread = [number(line.sd)] if seeds else []
        rank = NOTHING if line.rank is None else str(line.rank)
        reachable = [number(_best_f1(run, name, data))] if run.by_threshold else []
        figure = TableCell(interval(line) + faults, strong=is_best)
        lines.append([run.about(name), rank, figure, *reachable, *spread, *trained])
    if table.columns < table.of:
        share = f"{table.columns} of {table.of} pairs of data set and detector"
        caption += f" Means are over {share}: those that every entry has."
    extra = [*(["best F1 of any threshold"] if run.by_threshold else []), *(["±"] if seeds else [])]
    return Table(["entry", "rank", "mean (95 % interval)", *extra, *columns], lines, caption)


def metric_charts(run: Run) -> Iterator[Block]:
    """Yield a chart a metric, that of the ranking unfolded."""
    for metric in run.metrics:
        label = METRICS[metric]
        caption = f"{label}: mean and 95 % interval of each entry and detector; ticks: single seeds."
        chart = Chart(metric, metric_chart(run, metric), caption)
        yield chart if metric in run.board.metrics.values() else Details(label, [chart])


def metric_chart(run: Run, metric: str) -> Figure:
    """Return the figure of a metric: a panel a data set."""
    panels: dict[str, dict[tuple[str, str], charts.Dot]] = {}
    for cell in run.by_metric[metric]:
        for line in cell.lines:
            detector = SPARE if run.kind(line.entry) == SPARE else cell.detector
            dot = _dot(run, line, cell.data, detector, metric)
            if dot is not None:
                panels.setdefault(cell.data, {})[line.entry, detector] = dot
    return charts.interval_chart(panels, run.entries, run.detectors, METRICS[metric])


def _dot(run: Run, line: Line, data: str, detector: str, metric: str) -> charts.Dot | None:
    """Return a line's dot; None where it has no mean."""
    if line.mean is None:
        return None
    values = (row.metrics.get(metric) for row in of(run.done, data=data, detector=detector, entry=line.entry))
    low, high = (line.mean if end is None else end for end in (line.low, line.high))
    return charts.Dot(line.mean, low, high, tuple(value for value in values if value is not None))


def differences(run: Run) -> Iterator[Block]:
    """Yield the paired differences between each entry and the baselines."""
    caption = (
        f"Difference in {run.label} (95 % interval), paired: over the same resamples of the test images and the same "
        "seeds, of all that the two have in common. Bold: clear, since 0 is outside the interval."
    )
    table = _difference_table(run, run.board.overall, caption)
    if table:
        yield table
    if table and len(run.board.data) > 1:
        bold = "Bold: clear, since 0 is outside the interval."
        tables = ((name, _difference_table(run, part, bold)) for name, part in run.board.by_data.items())
        yield from (Details(f"On {name} alone", [part]) for name, part in tables if part)


def _difference_table(run: Run, table: BoardTable, caption: str) -> Table | None:
    known = [name for name in MEANING if any(name in line.against for line in table.lines)]
    lines: list[list[str | TableCell]] = []
    for line in table.lines:
        pairs = [line.against.get(name) for name in known]
        cells = [TableCell(gap(pair), strong=pair.clear) if pair else NOTHING for pair in pairs]
        lines.append([run.about(line.entry), *cells])
    return Table(["entry", *(f"minus {name}" for name in known)], lines, caption) if known else None


def sweeps(run: Run) -> Iterator[Block]:
    """Yield a chart for each key that is varied: the metric that ranks against its values."""
    metrics = run.board.metrics
    for key in distinct(key for row in run.done for key in row.variation):
        rows = {row.entry: row for row in run.done if key in row.variation}
        panels: dict[str, dict[str, dict[Any, charts.Dot]]] = {}
        for metric in run.metrics:
            for cell in (cell for cell in run.by_metric[metric] if metrics[cell.data] == metric):
                title = f"{cell.data} · {cell.detector}"
                for line in (line for line in cell.lines if line.entry in rows):
                    dot = _dot(run, line, cell.data, cell.detector, metric)
                    if dot is not None:
                        name, value = _place(rows[line.entry], key)
                        panels.setdefault(title, {}).setdefault(name, {})[value] = dot
        found = distinct(value for lines in panels.values() for dots in lines.values() for value in dots)
        values = _in_order(found, run.configuration.sweeps.get(key, ()) if run.configuration else ())
        if len(values) > 1:
            figure = charts.sweep_chart(panels, values, key, run.label)
            yield Chart(f"sweep-{_file_name(key)}", figure, f"{run.label} against {key}: mean; 95 % interval shaded.")


def _place(row: Result, key: str) -> tuple[str, Any]:
    """Return where a row is in the chart of a sweep: the line (the recipe, and what else is varied), and the value."""
    others = [f"{name.removeprefix('generator.')}={value}" for name, value in row.variation.items() if name != key]
    return " ".join([row.recipe, *others]), _plain(row.variation[key])


def _plain(value: Any) -> Any:
    """Return a swept value as something that can be a key: lists as text."""
    return value if isinstance(value, int | float | str) else json.dumps(value)


def _in_order(values: Sequence[Any], asked: Sequence[Any]) -> list[Any]:
    """Return numbers by size, anything else in the order that was asked for."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return sorted(values)
    known = [_plain(value) for value in asked]
    return sorted(values, key=lambda value: known.index(value) if value in known else len(known))


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", text).strip("-").lower() or "values"
