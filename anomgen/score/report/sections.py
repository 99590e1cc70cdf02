"""What the report says, from the rows of a run: text, tables and charts. The statistics are those of `ranking`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from anomgen.errors import Progress, silent
from anomgen.score.intrinsic import Correlation, correlations
from anomgen.score.report import charts
from anomgen.score.report.appendix import examples, failures, how, time_spent, undefined
from anomgen.score.report.blocks import Block, Chart, Details, Section, Table, TableCell, Text
from anomgen.score.report.chance import chance
from anomgen.score.report.evidence import differences, leaderboard, metric_charts, sweeps
from anomgen.score.report.findings import headline
from anomgen.score.report.operating import operating
from anomgen.score.report.pictures import Strips, compared, drawn
from anomgen.score.report.robustness import robustness
from anomgen.score.report.summary import (
    METRICS,
    NOTHING,
    RECIPE,
    SPARE,
    WORDS,
    Run,
    distinct,
    grouped,
    mean,
    number,
    of,
    percent,
    signed,
)
from anomgen.score.result import ChosenF1, Done, Limit, Thresholds, TypeFigures

TAUGHT = 0.5
"""Recall below which a type of defect counts as not taught."""
Measured = Mapping[str, Mapping[str, Mapping[str, float | None]]]
"""Data set → entry → figure → value, as `anomgen.score.intrinsic` measures them."""
OfType = Callable[[TypeFigures], float | None]
F1S: Mapping[str, Callable[[Thresholds], ChosenF1 | None]] = {
    "image F1": lambda chosen: chosen.f1,
    "pixel F1": lambda chosen: chosen.pixel_f1,
}
LIMITS: Mapping[str, Callable[[Thresholds], Limit | None]] = {
    "zero FN": lambda chosen: chosen.zero_fn,
    "≤ 1 % FP": lambda chosen: chosen.max_fpr_1,
    "≤ 5 % FP": lambda chosen: chosen.max_fpr_5,
    "≤ 10 % FP": lambda chosen: chosen.max_fpr_10,
}
"""Thresholds, as the report calls them."""
ACHIEVED = (
    "Achieved on the test images, mean over a line's own seeds. Missed: share of the anomalous images that are not "
    "flagged. False alarms: share of the normal ones that are. Best F1: of any threshold."
)
FIGURES = (
    "Severity and area: shares of the value range and of the image. Diversity: 0 where all anomalies do the same to "
    "the features, about 1 where they have nothing in common. KID: distance to the real anomalies' features, which no "
    "generator has seen."
)
RHO = "ρ: over the generators, their number in brackets; it needs many to say much."
NO_RHO = "How they go with usefulness cannot be said: that takes three generators whose figures differ."
RECALL = (
    "Share of each type's images that is found, at the threshold that flags at most 5 % of the normal validation "
    "images. In brackets: test images."
)
TYPE_AP = "Pixel AP of each type's images together with all normal ones: it depends on no threshold."
CHOSEN = (
    "Every threshold is chosen on held-out normal images with synthetic anomalies, never on the test images. Zero "
    "false negatives (FN): the highest threshold that misses no validation anomaly. At most 5 % false positives (FP): "
    "the lowest that flags at most 5 % of the normal validation images."
)


def sections(
    run: Run,
    folder: Path,
    figures: Measured | None = None,
    strips: Strips | None = None,
    progress: Progress = silent,
) -> list[Section]:
    """Return the whole report; folder: of the run, where the example maps are. progress: told each section."""
    parts: dict[str, Iterator[Block]] = {
        "": headline(run),
        "What each recipe draws": drawn(run, strips or {}),
        "Leaderboard": leaderboard(run),
        "Metrics": metric_charts(run),
        "Against the baselines": differences(run),
        "Image by image": compared(run, folder),
        "Real defects that a recipe does not teach": defect_types(run),
        "Thresholds": thresholds(run),
        "Operating points": operating(run),
        "Under other light and noise": robustness(run),
        "Sweeps": sweeps(run),
        "Figures of the images themselves": intrinsic(run, figures),
        "Best and worst images": examples(run, folder),
        "Failed": failures(run),
        "Not defined": undefined(run),
        "Time": time_spent(run),
        "How it was made": how(run),
    }
    found = []
    for done, (title, blocks) in enumerate(parts.items()):
        progress(done, len(parts), f"writing the report: {title or 'what to use'}")
        found.append(Section(title, list(blocks)))
    return [section for section in found if section.blocks]


# --- what it is worth in use ----------------------------------------------------------------------------------------


def defect_types(run: Run) -> Iterator[Block]:
    """Yield recall and pixel AP by type of real defect, heat maps of each data set."""
    for name in run.data:
        own = [row for row in of(run.done, data=name) if row.by_type]
        told = (row for row in own if row.detector in (*run.ranked, SPARE))
        rows = [row for row in told if run.is_idle or (row.data, row.entry, row.detector) not in run.idle]
        if not rows:
            continue
        yield Text(f"{name}. {_untaught(run, rows)}".strip())
        yield from _type_tables(run, rows, f"Mean over {'detectors and ' if len(run.ranked) > 1 else ''}seeds. ")
        if len(run.ranked) > 1:
            parts = {detector: of(rows, detector=detector) for detector in run.ranked if of(rows, detector=detector)}
            tables = [table for d, part in parts.items() for table in _type_tables(run, part, f"{d} alone. ")]
            yield Details(f"{name}: each detector", tables)


def _type_tables(run: Run, rows: Sequence[Done], lead: str) -> Iterator[Table]:
    for figure, write, caption in ((_recall, percent, RECALL), (_pixel_ap, number, TYPE_AP)):
        table = _type_table(run, rows, figure, write, lead + caption)
        if any(cell.shade is not None for line in table.cells for cell in line):
            yield table


def _type_table(
    run: Run, rows: Sequence[Done], figure: OfType, write: Callable[[float | None], str], caption: str
) -> Table:
    images = {kind: part.images for row in rows for kind, part in row.by_type.items()}
    lines: list[list[str | TableCell]] = []
    for entry in (name for name in run.entries if of(rows, entry=name)):
        values = [_of_type(of(rows, entry=entry), kind, figure) for kind in images]
        lines.append([run.about(entry), *(TableCell(write(value), shade=value) for value in values)])
    return Table(["entry", *(f"{kind} ({count})" for kind, count in images.items())], lines, caption)


def _untaught(run: Run, rows: Sequence[Done]) -> str:
    """Say which types every recipe misses with every detector, and what finds them best."""
    by_entry = {name: of(rows, entry=name) for name in run.entries if of(rows, entry=name)}
    recipes = [name for name in by_entry if run.kind(name) == RECIPE]
    kinds = distinct(kind for row in rows for kind in row.by_type)
    missed = []
    for kind in kinds:
        recall = {name: _best_recall(own, kind) for name, own in by_entry.items()}
        best = max((found for name in recipes if (found := recall[name]) is not None), default=None)
        if best is not None and best < TAUGHT:
            others = [f", {name} {percent(recall[name])}" for name in by_entry if name not in recipes]
            missed.append(f"{kind} (at best {percent(best)}{''.join(others)})")
    several = len(run.ranked) > 1
    if missed:
        return f"No recipe teaches{' any detector' if several else ''}: {'; '.join(missed)}."
    if not recipes or all(_of_type(rows, kind, _recall) is None for kind in kinds):
        return ""
    return f"Every type is found by some recipe{' with some detector' if several else ''} at {percent(TAUGHT)} or more."


def _best_recall(rows: Sequence[Done], kind: str) -> float | None:
    """Return the recall of a type with the detector that finds it best, mean over seeds."""
    found = (_of_type(part, kind, _recall) for part in grouped(rows, lambda row: row.detector).values())
    return max((recall for recall in found if recall is not None), default=None)


def _recall(part: TypeFigures) -> float | None:
    return part.recall


def _pixel_ap(part: TypeFigures) -> float | None:
    return part.pixel_ap


def _of_type(rows: Sequence[Done], kind: str, figure: OfType) -> float | None:
    return mean(figure(row.by_type[kind]) for row in rows if kind in row.by_type)


def thresholds(run: Run) -> Iterator[Block]:
    """Yield what thresholds that were chosen on validation data reach on the test data."""
    rows = run.done
    if not rows:
        return
    yield Text(CHOSEN)
    panels = {name: _achieved(of(rows, data=name)) for name in run.data}
    shown = {name: gaps for name, gaps in panels.items() if gaps}
    if shown:
        entries = [name for name in run.entries if of(rows, entry=name)]
        caption = (
            "Image F1 on the test images at the threshold that was chosen on synthetic anomalies (filled), and the "
            "best that any threshold reaches (hollow)."
        )
        levels = {name: chance(of(rows, data=name), "image_f1_max") for name in shown}
        draw = partial(charts.gap_chart, shown, entries, run.detectors, "image F1", levels)
        yield Chart("threshold_f1", draw, caption)
    for name in run.data:
        if of(rows, data=name):
            yield Details(f"Thresholds on {name}", [_threshold_table(run, of(rows, data=name))])


def _achieved(rows: Sequence[Done]) -> dict[tuple[str, str], tuple[float, float]]:
    found = {}
    for cell, part in grouped(rows, lambda row: (row.entry, row.detector)).items():
        chosen = [row.thresholds.f1 for row in part]
        achieved, best = mean(f1.f1 for f1 in chosen), mean(f1.best_f1 for f1 in chosen)
        if achieved is not None and best is not None:
            found[cell] = (achieved, best)
    return found


def _threshold_table(run: Run, rows: Sequence[Done]) -> Table:
    """Return what each chosen threshold reaches; one that no row has is left out."""
    f1s = [(unit, of_f1) for unit, of_f1 in F1S.items() if any(of_f1(row.thresholds) for row in rows)]
    limits = [(rule, of_limit) for rule, of_limit in LIMITS.items() if any(of_limit(row.thresholds) for row in rows)]
    heads = ["entry", "detector"]
    for unit, _ in f1s:
        heads += [unit, f"best {unit}"]
    for rule, _ in limits:
        heads += [f"{rule}: missed", "false alarms"]
    cells = grouped(rows, lambda row: (row.entry, row.detector))
    lines = []
    for entry, detector in ((e, d) for e in run.entries for d in run.detectors if (e, d) in cells):
        line = [run.about(entry), detector]
        part = [row.thresholds for row in cells[entry, detector]]
        for _, of_f1 in f1s:
            chosen = [f1 for thresholds in part if (f1 := of_f1(thresholds))]
            line += [number(mean(f1.f1 for f1 in chosen)), number(mean(f1.best_f1 for f1 in chosen))]
        for _, of_limit in limits:
            reached = [limit.test for thresholds in part if (limit := of_limit(thresholds))]
            line += [percent(mean(rates.fnr for rates in reached)), percent(mean(rates.fpr for rates in reached))]
        lines.append(line)
    return Table(heads, lines, ACHIEVED)


def intrinsic(run: Run, figures: Measured | None) -> Iterator[Block]:
    """Yield the figures of the entries' images, a table a data set, and how they go with usefulness."""
    found = correlated(run, figures)
    for data, measured in (figures or {}).items():
        names = distinct(name for values in measured.values() for name in values)
        useful = _usefulness(run)
        if not names or data not in useful:
            continue
        lines: list[list[str | TableCell]] = []
        for entry in (name for name in run.entries if name in measured):
            own = [_figure(name, measured[entry].get(name)) for name in names]
            lines.append([run.about(entry), number(useful[data].get(entry)), *own])
        rho = [_rho(found[data].get(name)) for name in names]
        is_known = any(told != NOTHING for told in rho)
        if is_known:
            lines.append(["Spearman's ρ with usefulness", "", *rho])
        heads = [
            "entry",
            METRICS[run.board.metrics[data]],
            *(WORDS.get(name, name.replace("_", " ")) for name in names),
        ]
        yield Table(heads, lines, f"{data}. {FIGURES} {RHO if is_known else NO_RHO}")


def correlated(run: Run, figures: Measured | None) -> dict[str, dict[str, Correlation]]:
    """Return data set → figure → its rank correlation with usefulness, over the generators."""
    if not figures:
        return {}
    useful = _usefulness(run)
    generators = {name for name in run.entries if run.kind(name) in (RECIPE, "boxes")}
    return {
        data: correlations({name: values for name, values in measured.items() if name in generators}, useful[data])
        for data, measured in figures.items()
        if data in useful
    }


def _usefulness(run: Run) -> dict[str, dict[str, float | None]]:
    """Return data set → entry → its mean on the board of that data set."""
    return {data: {line.entry: line.mean for line in table.lines} for data, table in run.board.by_data.items()}


def _figure(name: str, value: float | None) -> str:
    if value is None or not name.startswith(("severity", "area")):
        return number(value)
    return f"{100 * value:.2f} %"


def _rho(pair: Correlation | None) -> str:
    return NOTHING if pair is None or pair.rho is None else f"{signed(pair.rho)} ({pair.n})"
