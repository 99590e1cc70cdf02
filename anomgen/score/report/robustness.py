"""How false alarms and F1 change when the test images come under other light or noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from anomgen.score.report import charts
from anomgen.score.report.blocks import Block, Chart, Details, Table, Text
from anomgen.score.report.chance import chance
from anomgen.score.report.operating import cells_of
from anomgen.score.report.summary import Run, distinct, grouped, mean, number, of, percent
from anomgen.score.result import Done, Perturbed

MEANINGS = {
    "brightness": "factor of the values",
    "gradient": "how much brighter the right side is than the left, a share of the middle",
    "noise": "deviation of Gaussian noise, a share of the value range",
    "blur": "deviation of a Gaussian, pixels",
    "jpeg": "quality of JPEG",
}
TOLD = (
    "The test images are changed, the threshold is not: it was chosen on unchanged validation images: that of the best "
    "F1, for none the lowest that flags no normal one. Mean over seeds, with the seeds' span."
)


def robustness(run: Run) -> Iterator[Block]:
    """Yield a chart of F1 and one of false alarms for each kind of change that rows hold, and the figures."""
    rows = [row for row in run.done if row.perturbed]
    if rows:
        yield Text(TOLD)
    for kind in distinct(found.kind for row in rows for found in row.perturbed):
        label = f"{kind}: {MEANINGS.get(kind, 'strength')}"
        for name, metric, value, guessed in (
            ("f1", "image F1", lambda found: found.f1, "image_f1_max"),
            ("false_alarms", "false alarms", lambda found: found.fpr, None),
        ):
            panels = _panels(rows, kind, value)
            strengths = sorted({strength for lines in panels.values() for dots in lines.values() for strength in dots})
            if len(strengths) > 1:
                caption = f"{metric.capitalize()} on the test images against {label}."
                levels = _levels(rows, guessed) if guessed else {}
                draw = partial(charts.sweep_chart, panels, strengths, kind, metric, levels)
                yield Chart(f"{kind}_{name}", draw, caption)
        for data in run.data:
            if own := of(rows, data=data):
                yield Details(f"{kind} on {data}", [_table(run, own, kind)])


def perturbed_means(rows: Sequence[Done]) -> dict[str, Any]:
    """Return kind → strength → means over a cell's seeds, for machines."""
    found: dict[str, Any] = {}
    for row in rows:
        for part in row.perturbed:
            found.setdefault(part.kind, {}).setdefault(f"{part.strength:g}", []).append(part)
    return {
        kind: {
            strength: {key: mean(getattr(part, key) for part in parts) for key in ("fpr", "fnr", "f1", "best_f1")}
            for strength, parts in strengths.items()
        }
        for kind, strengths in found.items()
    }


def _levels(rows: Sequence[Done], metric: str) -> dict[str, float | None]:
    """Return what guessing reaches in each panel."""
    return {_title(row): chance([row], metric) for row in rows}


def _title(row: Done) -> str:
    return f"{row.data} · {row.detector}"


def _panels(
    rows: Sequence[Done], kind: str, value: Callable[[Perturbed], float | None]
) -> dict[str, dict[str, dict[Any, charts.Dot]]]:
    panels: dict[str, dict[str, dict[Any, charts.Dot]]] = {}
    for (title, entry), seeds in grouped(rows, lambda row: (_title(row), row.entry)).items():
        by_strength: dict[float, list[float]] = {}
        for part in (part for row in seeds for part in row.perturbed if part.kind == kind):
            found = value(part)
            if found is not None:
                by_strength.setdefault(part.strength, []).append(found)
        dots = {s: charts.Dot(float(np.mean(v)), min(v), max(v)) for s, v in by_strength.items()}
        if dots:
            panels.setdefault(title, {})[entry] = dots
    return panels


def _table(run: Run, rows: Sequence[Done], kind: str) -> Table:
    strengths = sorted({part.strength for row in rows for part in row.perturbed if part.kind == kind})
    heads = ["entry", "detector"]
    for strength in strengths:
        heads += [f"{strength:g}: F1", "false alarms"]
    lines = []
    for words, seeds in cells_of(run, rows):
        means = perturbed_means(seeds).get(kind, {})
        figures = [means.get(f"{strength:g}", {}) for strength in strengths]
        own = [text for found in figures for text in (number(found.get("f1")), percent(found.get("fpr")))]
        lines.append([*words, *own])
    return Table(heads, lines)
