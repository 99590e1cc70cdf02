"""What the report says, from the rows of a run: text, tables and charts. The statistics are those of `ranking`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from anomgen.score.report import charts
from anomgen.score.report.blocks import Block, Cell, Chart, Code, Details, Pictures, Section, Table, Text
from anomgen.score.report.findings import differences, headline, leaderboard, metric_charts, sweeps
from anomgen.score.report.summary import (
    METRICS,
    NOTHING,
    RECIPE,
    SPARE,
    Row,
    Run,
    distinct,
    duration,
    grouped,
    mean,
    number,
    of,
    percent,
    signed,
)

TAUGHT = 0.5
"""Recall below which a type of defect counts as not taught."""
Figures = Mapping[str, Mapping[str, Mapping[str, float | None]]]
"""Data set → entry → figure → value, as `anomgen.score.intrinsic` measures them."""
MOST_PICTURES = 48
UNITS = {"f1": "image F1", "pixel_f1": "pixel F1"}
ACHIEVED = (
    "Achieved on the test images, mean over seeds. Missed: share of the anomalous images that are not flagged. False "
    "alarms: share of the normal ones that are. Best F1: of any threshold."
)
FIGURES = (
    "Severity and area: shares of the value range and of the image. Diversity: 0 where all anomalies do the same to "
    "the features, about 1 where they have nothing in common. KID: distance to the real anomalies' features, which no "
    "generator has seen. ρ: over the generators, their number in brackets; it needs many to say much."
)
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
EXAMPLES = (
    "Anomalous test images with the highest and the lowest scores. Found: the score reaches the threshold that flags "
    "at most 5 % of the normal validation images."
)
LIMITS = {"zero_fn": "zero FN", "max_fpr_1": "≤ 1 % FP", "max_fpr_5": "≤ 5 % FP", "max_fpr_10": "≤ 10 % FP"}
"""Thresholds under a constraint, as the report calls them."""
SCORED = (
    "An image's score is the highest mean of its anomaly map over a square window, 1/16 of the shorter side wide, for "
    "every detector. Ground truth is resized by area; a pixel is anomalous from half of its area on. Intervals are of "
    "a bootstrap over test images and seeds. Nothing is chosen on the test images."
)
SIZED = (
    "The default preset is sized for two CPU cores: smaller images, networks and schedules than in the papers, so "
    "figures are lower than published ones. --preset paper takes the published sizes; the configuration below says "
    "what --steps or --set changed."
)


def sections(run: Run, folder: Path, configuration: Mapping[str, Any], figures: Figures | None) -> list[Section]:
    """Return the whole report; folder: of the run, where the example maps are."""
    found = [
        Section("", list(headline(run))),
        Section("Leaderboard", list(leaderboard(run))),
        Section("Metrics", list(metric_charts(run))),
        Section("Against the baselines", list(differences(run))),
        Section("Real defects that a recipe does not teach", list(defect_types(run))),
        Section("Thresholds", list(thresholds(run))),
        Section("Sweeps", list(sweeps(run))),
        Section("Figures of the images themselves", list(intrinsic(run, figures))),
        Section("Examples", list(examples(run, folder))),
        Section("Failed", list(failures(run))),
        Section("Not defined", list(undefined(run))),
        Section("Time", list(time_spent(run))),
        Section("How it was made", list(how(run, configuration))),
    ]
    return [section for section in found if section.blocks]


# --- what it is worth in use ----------------------------------------------------------------------------------------


def defect_types(run: Run) -> Iterator[Block]:
    """Yield recall and pixel AP by type of real defect, heat maps of each data set."""
    for name in run.data:
        own = [row for row in of(run.done, data=name) if row.get("by_type")]
        rows = [row for row in own if row["detector"] in (*run.ranked, SPARE)]
        if not rows:
            continue
        yield Text(f"{name}. {_untaught(run, rows)}".strip())
        yield from _type_tables(run, rows, f"Mean over {'detectors and ' if len(run.ranked) > 1 else ''}seeds. ")
        if len(run.ranked) > 1:
            parts = {detector: of(rows, detector=detector) for detector in run.ranked}
            tables = [table for d, part in parts.items() for table in _type_tables(run, part, f"{d} alone. ")]
            yield Details(f"{name}: each detector", tables)


def _type_tables(run: Run, rows: Sequence[Row], lead: str) -> Iterator[Table]:
    for figure, caption in (("recall", RECALL), ("pixel_ap", TYPE_AP)):
        table = _type_table(run, rows, figure, lead + caption)
        if any(cell.shade is not None for line in table.cells for cell in line):
            yield table


def _type_table(run: Run, rows: Sequence[Row], figure: str, caption: str) -> Table:
    images = {kind: part["images"] for row in rows for kind, part in row["by_type"].items()}
    write = percent if figure == "recall" else number
    lines: list[list[str | Cell]] = []
    for entry in (name for name in run.entries if of(rows, variant=name)):
        values = [_of_type(of(rows, variant=entry), kind, figure) for kind in images]
        lines.append([run.about(entry), *(Cell(write(value), shade=value) for value in values)])
    return Table(["variant", *(f"{kind} ({count})" for kind, count in images.items())], lines, caption)


def _untaught(run: Run, rows: Sequence[Row]) -> str:
    """Say which types every recipe misses with every detector, and what finds them best."""
    by_entry = {name: of(rows, variant=name) for name in run.entries if of(rows, variant=name)}
    recipes = [name for name in by_entry if run.kind(name) == RECIPE]
    kinds = distinct(kind for row in rows for kind in row["by_type"])
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
    if not recipes or all(_of_type(rows, kind, "recall") is None for kind in kinds):
        return ""
    return f"Every type is found by some recipe{' with some detector' if several else ''} at {percent(TAUGHT)} or more."


def _best_recall(rows: Sequence[Row], kind: str) -> float | None:
    """Return the recall of a type with the detector that finds it best, mean over seeds."""
    found = (_of_type(part, kind, "recall") for part in grouped(rows, lambda row: row["detector"]).values())
    return max((recall for recall in found if recall is not None), default=None)


def _of_type(rows: Sequence[Row], kind: str, figure: str) -> float | None:
    return mean(row["by_type"].get(kind, {}).get(figure) for row in rows)


def thresholds(run: Run) -> Iterator[Block]:
    """Yield what thresholds that were chosen on validation data reach on the test data."""
    rows = [row for row in run.done if row.get("thresholds")]
    if not rows:
        return
    yield Text(CHOSEN)
    panels = {name: _achieved(of(rows, data=name)) for name in run.data}
    shown = {name: gaps for name, gaps in panels.items() if gaps}
    if shown:
        entries = [name for name in run.entries if of(rows, variant=name)]
        caption = (
            "Image F1 on the test images at the threshold that was chosen on synthetic anomalies (filled), and the "
            "best that any threshold reaches (hollow)."
        )
        yield Chart("threshold_f1", charts.gap_chart(shown, entries, run.detectors, "image F1"), caption)
    for name in run.data:
        if of(rows, data=name):
            yield Details(f"Thresholds on {name}", [_threshold_table(run, of(rows, data=name))])


def _achieved(rows: Sequence[Row]) -> dict[tuple[str, str], tuple[float, float]]:
    found = {}
    for cell, part in grouped(rows, lambda row: (row["variant"], row["detector"])).items():
        achieved, best = (mean(row["thresholds"]["f1"][key] for row in part) for key in ("f1", "best_f1"))
        if achieved is not None and best is not None:
            found[cell] = (achieved, best)
    return found


def _threshold_table(run: Run, rows: Sequence[Row]) -> Table:
    rules = [name for name in ("f1", "pixel_f1") if any(row["thresholds"].get(name) for row in rows)]
    heads = ["variant", "detector"]
    for rule in rules:
        heads += [UNITS[rule], f"best {UNITS[rule]}"]
    limits = [name for name in LIMITS if any(row["thresholds"].get(name) for row in rows)]
    for limit in limits:
        heads += [f"{LIMITS[limit]}: missed", "false alarms"]
    cells = grouped(rows, lambda row: (row["variant"], row["detector"]))
    lines = []
    for entry, detector in ((v, d) for v in run.entries for d in run.detectors if (v, d) in cells):
        part = [row["thresholds"] for row in cells[entry, detector]]
        f1 = [
            number(mean(chosen.get(rule, {}).get(key) for chosen in part))
            for rule in rules
            for key in ("f1", "best_f1")
        ]
        rates = [
            percent(mean((chosen.get(limit) or {}).get("test", {}).get(rate) for chosen in part))
            for limit in limits
            for rate in ("fnr", "fpr")
        ]
        lines.append([run.about(entry), detector, *f1, *rates])
    return Table(heads, lines, ACHIEVED)


def intrinsic(run: Run, figures: Figures | None) -> Iterator[Block]:
    """Yield the figures of the entries' images, a table a data set, and how they go with usefulness."""
    found = correlated(run, figures)
    for data, measured in (figures or {}).items():
        names = distinct(name for values in measured.values() for name in values)
        useful = _usefulness(run)
        if not names or data not in useful:
            continue
        lines: list[list[str | Cell]] = []
        for entry in (name for name in run.entries if name in measured):
            own = [_figure(name, measured[entry].get(name)) for name in names]
            lines.append([run.about(entry), number(useful[data].get(entry)), *own])
        rho = [found[data].get(name, {}) for name in names]
        lines.append(["Spearman's ρ with usefulness", "", *map(_rho, rho)])
        metric = METRICS[run.board["metrics"][data]]
        yield Table(["variant", metric, *(name.replace("_", " ") for name in names)], lines, f"{data}. {FIGURES}")


def correlated(run: Run, figures: Figures | None) -> dict[str, dict[str, Any]]:
    """Return data set → figure → its rank correlation with usefulness, over the generators."""
    if not figures:
        return {}
    from anomgen.score.intrinsic import correlations

    useful = _usefulness(run)
    generators = {name for name in run.entries if run.kind(name) in (RECIPE, "boxes")}
    return {
        data: correlations({name: values for name, values in measured.items() if name in generators}, useful[data])
        for data, measured in figures.items()
        if data in useful
    }


def _usefulness(run: Run) -> dict[str, dict[str, float | None]]:
    """Return data set → entry → its mean on the board of that data set."""
    boards = run.board["by_data"].items()
    return {data: {line["variant"]: line["mean"] for line in table["lines"]} for data, table in boards}


def _figure(name: str, value: float | None) -> str:
    if value is None or not name.startswith(("severity", "area")):
        return number(value)
    return f"{100 * value:.2f} %"


def _rho(pair: Mapping[str, Any]) -> str:
    return NOTHING if pair.get("rho") is None else f"{signed(pair['rho'])} ({pair['n']})"


# --- what was seen, what went wrong ---------------------------------------------------------------------------------


def examples(run: Run, folder: Path) -> Iterator[Block]:
    """Yield example maps of each data set's best recipe and of boxes: first seed, each detector."""
    cells = [
        of(run.done, data=data, detector=detector, variant=entry)[:1]
        for data in run.data
        for detector in run.detectors
        for entry in _exemplary(run, data)
    ]
    rows = [row for cell in cells for row in cell if row.get("examples")]
    each = max(MOST_PICTURES // (2 * len(rows)), 1) if rows else 0
    absent = sum(not (folder / "maps" / row["key"]).is_dir() for row in rows)
    if absent:
        yield Text(
            f"The example maps of {absent} of {len(rows)} trainings that would be shown here are not in this folder: "
            "they are where those were trained, in the folder maps."
        )
    if absent < len(rows):
        yield Text(EXAMPLES)
    for name in run.data:
        parts: list[Block] = []
        for row in of(rows, data=name):
            shown = list(_pictures(row, folder, each))
            if shown:
                parts += [Text(f"{row['variant']}, {row['detector']}, seed {row['seed']}"), Pictures(shown)]
        if parts:
            yield Details(f"{name}: image, ground truth, anomaly map", parts)


def _exemplary(run: Run, data: str) -> list[str]:
    """Return the best recipe on a data set, and boxes."""
    best = run.first(run.board["by_data"].get(data) or run.board["overall"])
    return [] if best is None else list(dict.fromkeys([best["variant"], *(set(best["against"]) & {"boxes"})]))


def _pictures(row: Row, folder: Path, each: int) -> Iterator[tuple[Path, str]]:
    for rank, meaning in (("best", "highest score"), ("worst", "lowest score")):
        for place, image in list(enumerate(row["examples"].get(rank, ())))[:each]:
            path = Path("maps", row["key"], f"{rank}-{place}.png")
            if (folder / path).is_file():
                yield path, f"{meaning}{_found(row, rank, place)}: {image}"


def _found(row: Row, rank: str, place: int) -> str:
    """Return whether an example is found, as far as a row tells: by how many anomalous images of the test set are."""
    types = list((row.get("by_type") or {}).values())
    count = sum(part["images"] for part in types)
    unknown = any(part.get("recall") is None for part in types)
    if unknown or not count or count != (row.get("counts") or {}).get("test_anomalous"):
        return ""
    found = round(sum(part["images"] * part["recall"] for part in types))
    return ", found" if (place if rank == "best" else count - 1 - place) < found else ", missed"


def failures(run: Run) -> Iterator[Block]:
    """Yield the cells that failed, and why."""
    if run.failed:
        rows = [
            [row["variant"], row["detector"], row["data"], str(row["seed"]), row.get("error") or "unknown"]
            for row in run.failed
        ]
        yield Table(["variant", "detector", "data", "seed", "error"], rows)


def undefined(run: Run) -> Iterator[Block]:
    """Yield which metrics have no value, and why."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in run.done:
        for metric, why in (row.get("undefined") or {}).items():
            found.setdefault((row["data"], why), []).append(metric)
    for (data, why), names in found.items():
        yield Text(f"{data}: {', '.join(distinct(names))}: {why}.")
    for name in run.data:
        lost = next(((row.get("counts") or {}).get("lost_masks") for row in of(run.done, data=name)), 0)
        if lost:
            yield Text(
                f"{name}: {lost} anomalous test images have no pixel left in their masks at this size; they count for "
                "image metrics only."
            )


def time_spent(run: Run) -> Iterator[Block]:
    """Yield where the time went."""
    rows = [row for row in run.done if row.get("seconds")]
    if not rows:
        return
    fit, waiting = (sum(row["seconds"].get(key) or 0.0 for row in rows) for key in ("fit", "waiting"))
    if fit:
        share = percent(1 - waiting / fit)
        yield Text(f"{share} of the time of the fits is the detectors' own work; the rest is waiting for images.")
    lines = [_time_line(name, of(rows, detector=name)) for name in [*run.detectors, SPARE] if of(rows, detector=name)]
    heads = [
        "detector",
        "trainings",
        "fit",
        "of it waiting for images",
        "predict",
        "metrics",
        "drawing images (beside the fit)",
    ]
    caption = "Images are drawn while the detector computes; what is lost by it is the waiting."
    yield Table(heads, [*lines, _time_line("all", rows)] if len(lines) > 1 else lines, caption)


def _time_line(name: str, rows: Sequence[Row]) -> list[str]:
    fit, waiting, predict, metrics, synthesis = (
        sum(row["seconds"].get(key) or 0.0 for row in rows)
        for key in ("fit", "waiting", "predict", "metrics", "synthesis")
    )
    share = waiting / fit if fit else None
    return [name, str(len(rows)), duration(fit), percent(share), *map(duration, (predict, metrics, synthesis))]


def how(run: Run, configuration: Mapping[str, Any]) -> Iterator[Block]:
    """Yield the configuration, the data, versions, and the command that makes the report again."""
    lines = []
    for name in run.data:
        row = next((row for row in of(run.rows, data=name) if row.get("counts")), None)
        if row:
            counts = row["counts"]
            size = "×".join(map(str, row.get("size") or ()))
            lines.append(
                [
                    name,
                    size,
                    *(
                        str(counts.get(key, NOTHING))
                        for key in ("train", "validation", "test_normal", "test_anomalous")
                    ),
                ]
            )
    if lines:
        yield Table(["data", "size", "training", "validation", "normal test images", "anomalous test images"], lines,
                    "Training and validation images are normal; the anomalies among them are synthetic.")  # fmt: skip
    yield Text(SCORED)
    if configuration.get("preset", "default") in (None, "default"):
        yield Text(SIZED)
    shown = {key: value for key, value in configuration.items() if key not in ("command", "missing")}
    if shown:
        yield Details("Configuration", [Code(_yaml(shown))])
    if versions(run):
        yield Text(f"Versions: {', '.join(versions(run))}.")
    if configuration.get("command"):
        yield Text("This makes it again:")
        yield Code(str(configuration["command"]))


def versions(run: Run) -> list[str]:
    """Return what the rows were made with; several versions of one thing where they differ."""
    found = (row.get("versions") or {} for row in run.rows)
    return sorted({f"{name} {version}" for made in found for name, version in made.items()})


def _yaml(values: Any) -> str:
    return yaml.safe_dump(
        json.loads(json.dumps(values, default=str)), sort_keys=False, allow_unicode=True, width=100
    ).rstrip("\n")
