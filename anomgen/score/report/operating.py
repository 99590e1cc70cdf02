"""What a detector is worth at one threshold: accuracy, a product's own limits, F1 against the threshold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from anomgen.errors import AnomgenError
from anomgen.score.limits import Bound, choose, is_for_misses, rule_text
from anomgen.score.metrics import Curve
from anomgen.score.report import charts
from anomgen.score.report.blocks import Block, Chart, Details, Table, Text
from anomgen.score.report.chance import chance
from anomgen.score.report.summary import Run, grouped, mean, number, of, percent
from anomgen.score.result import Done, Scored

ACCURACY = (
    "Accuracy on the test images, mean over seeds: at the threshold of the best F1 on validation data, and the best of "
    "any threshold; then at the highest threshold that misses no anomaly: of the validation data, with what it misses "
    "on the test images, and of the test images themselves."
)
LIMITED = (
    "Errors on the test images at the thresholds that keep each limit on the validation images, mean over seeds. None: "
    "no threshold keeps it there, which is explained below."
)
CURVED = (
    "F1 on the test images, and on their pixels, against the threshold: first seed of the best recipe. Filled: the "
    "threshold that was chosen on validation data. Hollow: the best."
)
MOST_PANELS = 12


def operating(run: Run) -> Iterator[Block]:
    """Yield accuracies, the limits that were asked for, and curves; nothing for rows that hold no labels."""
    rows = [row for row in run.done if row.anomalous]
    if not rows:
        return
    rules = asked(run)
    for name in run.data:
        own = of(rows, data=name)
        tables = [_accuracy_table(run, own), *([_limit_table(run, own, rules)] if rules else [])] if own else []
        if rules and own:
            yield Text(f"{name}: limits {', '.join(rule_text(rule) for rule in rules)}.")
            yield tables[1]
            yield from _refused(run, own, rules)
        if own:
            yield Details(f"Accuracy on {name}", tables[:1])
    panels = list(_panels(run, rows))[:MOST_PANELS]
    if panels:
        yield Chart("f1_curves", partial(charts.curve_chart, dict(panels), "threshold", "F1"), CURVED)


def asked(run: Run) -> list[tuple[Bound, ...]]:
    """Return the limits of the request, each alone, and, where there is one of each kind, both together."""
    bounds = [Bound.parse(text) for text in (run.configuration.limits if run.configuration else ())]
    alone = [(bound,) for bound in bounds]
    together = len(bounds) == 2 and is_for_misses(bounds[0]) != is_for_misses(bounds[1])
    return [*alone, *([tuple(bounds)] if together else [])]


def accuracies(row: Done) -> dict[str, float | None]:
    """Return the accuracies of a row, and the share that its zero-FN threshold of the validation data misses."""
    test = Curve.scored(Scored(scores=row.scores, anomalous=row.anomalous))
    at, zero = row.thresholds.f1.threshold, row.thresholds.zero_fn
    own = test.zero_fn_threshold()
    return {
        "accuracy": None if at is None else test.accuracy_at(at),
        "best_accuracy": float(test.accuracy.max()),
        "zero_fn_accuracy": None if zero.threshold is None else test.accuracy_at(zero.threshold),
        "zero_fn_missed": zero.test.fnr,
        "best_zero_fn_accuracy": None if own is None else test.accuracy_at(own),
    }


def limited(row: Done, rule: tuple[Bound, ...]) -> dict[str, float | None] | str:
    """Return the errors and the accuracy of a row at the threshold that keeps a rule; why there is none, where so."""
    if row.validation is None:
        return "the row holds no scores of validation images: an older version wrote it"
    test = Curve.scored(Scored(scores=row.scores, anomalous=row.anomalous))
    try:
        threshold = choose(Curve.scored(row.validation), rule)
    except AnomgenError as error:  # no threshold keeps it, or there is no image to judge it by
        return str(error)
    rates = test.rates(threshold)
    return {"threshold": threshold, "fnr": rates.fnr, "fpr": rates.fpr, "accuracy": test.accuracy_at(threshold)}


def operating_points(run: Run, rows: Sequence[Done]) -> dict[str, Any]:
    """Return accuracies and limits of a cell's seeds for machines: means over them."""
    known = [row for row in rows if row.anomalous]
    if not known:
        return {}
    found = [accuracies(row) for row in known]
    limits = {rule_text(rule): _means([limited(row, rule) for row in known]) for rule in asked(run)}
    return {"accuracy": _means(found), **({"limits": limits} if limits else {})}


def _means(found: Sequence[dict[str, float | None] | str]) -> dict[str, float | None] | None:
    known = [values for values in found if not isinstance(values, str)]
    return {key: mean(values[key] for values in known) for key in known[0]} if known else None


def cells_of(run: Run, rows: Sequence[Done]) -> Iterator[tuple[list[str], list[Done]]]:
    """Yield the first words of a line, and the seeds it is about."""
    cells = grouped(rows, lambda row: (row.entry, row.detector))
    for entry, detector in ((e, d) for e in run.entries for d in (*run.detectors, "none") if (e, d) in cells):
        yield [run.about(entry), detector], cells[entry, detector]


def _accuracy_table(run: Run, rows: Sequence[Done]) -> Table:
    heads = ["entry", "detector", "accuracy", "best", "zero FN: accuracy", "missed", "best with zero FN"]
    lines = []
    for words, seeds in cells_of(run, rows):
        means = _means([accuracies(row) for row in seeds]) or {}
        figures = [percent(value) if key.endswith("missed") else number(value) for key, value in means.items()]
        lines.append([*words, *figures])
    return Table(heads, lines, ACCURACY)


def _limit_table(run: Run, rows: Sequence[Done], rules: Sequence[tuple[Bound, ...]]) -> Table:
    heads = ["entry", "detector"]
    for rule in rules:
        heads += [f"{rule_text(rule)}: missed", "false alarms", "accuracy"]
    lines = []
    for words, seeds in cells_of(run, rows):
        line = list(words)
        for rule in rules:
            means = _means([limited(row, rule) for row in seeds])
            kept = ["none"] * 3 if means is None else [percent(means["fnr"]), percent(means["fpr"])]
            line += kept if means is None else [*kept, number(means["accuracy"])]
        lines.append(line)
    return Table(heads, lines, LIMITED)


def _refused(run: Run, rows: Sequence[Done], rules: Sequence[tuple[Bound, ...]]) -> Iterator[Block]:
    """Yield why limits have no threshold, with the best that is reached; nothing where all have one."""
    lines = []
    for words, seeds in cells_of(run, rows):
        for rule in rules:
            refused = [(row, why) for row in seeds if isinstance(why := limited(row, rule), str)]
            for why, own in grouped(refused, lambda found: found[1]).items():
                lines.append([*words, ", ".join(str(row.seed) for row, _ in own), why])
    if lines:
        yield Details("Limits without a threshold", [Table(["entry", "detector", "seeds", "why"], lines)])


def _panels(run: Run, rows: Sequence[Done]) -> Iterator[tuple[str, charts.F1Curve]]:
    for name in run.data:
        best = run.first(run.board.by_data.get(name, run.board.overall))
        for detector in run.detectors:
            seeds = [] if best is None else of(rows, data=name, entry=best.entry, detector=detector)
            if seeds:
                yield from _curves(f"{name}, {detector}", min(seeds, key=lambda row: row.seed))


def _curves(title: str, row: Done) -> Iterator[tuple[str, charts.F1Curve]]:
    test = Curve.scored(Scored(scores=row.scores, anomalous=row.anomalous))
    chosen, pixels = row.thresholds.f1, row.thresholds.pixel_f1
    yield (
        f"{title}: images",
        charts.F1Curve(test.f1_points(200), chosen.threshold, chosen.f1, chance([row], "image_f1_max")),
    )
    if row.pixel_f1 and pixels is not None:
        yield (
            f"{title}: pixels",
            charts.F1Curve(row.pixel_f1, pixels.threshold, pixels.f1, chance([row], "pixel_f1_max")),
        )
