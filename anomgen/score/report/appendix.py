"""The report's end: examples, what failed, what is not defined, where the time went, and how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from anomgen.cards import as_yaml
from anomgen.score.report.blocks import Block, Code, Details, PictureList, Table, Text
from anomgen.score.report.summary import SPARE, WORDS, Run, distinct, duration, of, percent
from anomgen.score.result import Done
from anomgen.score.rows import MAPS

MOST_PICTURES = 48
EXAMPLES = (
    "Anomalous test images with the highest and the lowest scores. Found: the score reaches the threshold that flags "
    "at most 5 % of the normal validation images."
)
REDUCED = {
    "window": "the highest mean of its anomaly map over a square window, 1/16 of the shorter side wide",
    "max": "the highest value of its anomaly map",
    "sum": "the sum of its anomaly map",
}
SCORED = (
    "An image's score is {score}, for every detector. Ground truth is resized by area; a pixel is anomalous from half "
    "of its area on. Intervals are of a bootstrap over test images and seeds. Nothing is chosen on the test images."
)
SIZED = (
    "The default preset is sized for two CPU cores: smaller images, networks and schedules than in the papers, so "
    "figures are lower than published ones. --preset paper takes the published sizes; the configuration below says "
    "what --steps or --set changed."
)


def examples(run: Run, folder: Path) -> Iterator[Block]:
    """Yield example maps of each data set's best recipe and of boxes: first seed, each detector."""
    cells = [
        of(run.done, data=data, detector=detector, entry=entry)[:1]
        for data in run.data
        for detector in run.detectors
        for entry in _exemplary(run, data)
    ]
    rows = [row for cell in cells for row in cell if row.examples.best or row.examples.worst]
    each = max(MOST_PICTURES // (2 * len(rows)), 1) if rows else 0
    absent = sum(not any(_pictures(row, folder, each)) for row in rows)
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
                parts += [Text(f"{row.entry}, {row.detector}, seed {row.seed}"), PictureList(shown)]
        if parts:
            yield Details(f"{name}: image, ground truth, anomaly map", parts)


def _exemplary(run: Run, data: str) -> list[str]:
    """Return the best recipe on a data set, and boxes."""
    best = run.first(run.board.by_data.get(data, run.board.overall))
    return [] if best is None else list(dict.fromkeys([best.entry, *(set(best.against) & {"boxes"})]))


def _pictures(row: Done, folder: Path, each: int) -> Iterator[tuple[Path, str]]:
    count = sum(part.images for part in row.by_type.values())
    best = [(f"best-{k}", "highest score", k, image) for k, image in enumerate(row.examples.best)]
    worst = [(f"worst-{k}", "lowest score", count - 1 - k, image) for k, image in enumerate(row.examples.worst)]
    for name, meaning, place, image in [*best[:each], *worst[:each]]:
        path = Path(MAPS, row.key, f"{name}.webp")
        if (folder / path).is_file():
            yield path, f"{meaning}{_found(row, place)}: {image}"


def _found(row: Done, place: int) -> str:
    """Return whether the anomalous image of this place by score is found: by how many of the test set are.

    Empty where the row does not tell.
    """
    parts = [(part.images, part.recall) for part in row.by_type.values()]
    recalled = [images * recall for images, recall in parts if recall is not None]
    if not parts or len(recalled) < len(parts) or sum(images for images, _ in parts) != row.counts.test_anomalous:
        return ""
    return ", found" if place < round(sum(recalled)) else ", missed"


def failures(run: Run) -> Iterator[Block]:
    """Yield the cells that failed, and why."""
    if run.failed:
        rows = [[row.entry, row.detector, row.data, str(row.seed), row.error or "unknown"] for row in run.failed]
        yield Table(["entry", "detector", "data", "seed", "error"], rows)


def undefined(run: Run) -> Iterator[Block]:
    """Yield which metrics have no value, and why."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in run.done:
        for metric, why in row.undefined.items():
            found.setdefault((row.data, why), []).append(metric)
    for (data, why), names in found.items():
        yield Text(f"{data}: {', '.join(WORDS.get(name, name) for name in distinct(names))}: {why}.")
    for name in run.data:
        lost = next((row.counts.lost_masks for row in of(run.done, data=name)), 0)
        if lost:
            yield Text(
                f"{name}: {lost} anomalous test images have no pixel left in their masks at this size; they count for "
                "image metrics only."
            )


def time_spent(run: Run) -> Iterator[Block]:
    """Yield where the time went."""
    rows = run.done
    if not rows:
        return
    fit, waiting = sum(row.seconds.fit for row in rows), sum(row.seconds.waiting for row in rows)
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


def _time_line(name: str, rows: Sequence[Done]) -> list[str]:
    spent = [row.seconds for row in rows]
    fit, waiting = sum(seconds.fit for seconds in spent), sum(seconds.waiting for seconds in spent)
    rest = zip(*((seconds.predict, seconds.metrics, seconds.synthesis) for seconds in spent), strict=True)
    share = waiting / fit if fit else None
    return [
        name,
        str(len(rows)),
        duration(fit),
        percent(share),
        *(duration(sum(part)) for part in rest),
    ]


def how(run: Run) -> Iterator[Block]:
    """Yield the configuration, the data, versions, and the command that makes the report again."""
    lines = []
    for name in run.data:
        row = of(run.rows, data=name)[0]
        counts, size = row.counts, "×".join(map(str, row.size))
        images = (counts.train, counts.validation, counts.test_normal, counts.test_anomalous)
        lines.append([name, size, *map(str, images)])
    if lines:
        yield Table(
            ["data", "size", "training", "validation", "normal test images", "anomalous test images"],
            lines,
            "Training and validation images are normal; the anomalies among them are synthetic.",
        )
    configuration = run.configuration
    yield Text(SCORED.format(score=REDUCED["window" if configuration is None else configuration.score]))
    if configuration is None or configuration.preset == "default":
        yield Text(SIZED)
    if configuration is not None:
        shown = {key: value for key, value in configuration.plain().items() if key != "command"}
        yield Details("Configuration", [Code(as_yaml(shown))])
    if versions(run):
        yield Text(f"Versions: {', '.join(versions(run))}.")
    if configuration is not None:
        yield Text("This makes it again:")
        yield Code(configuration.command)


def versions(run: Run) -> list[str]:
    """Return what the rows were made with; several versions of one thing where they differ."""
    return sorted({f"{name} {version}" for row in run.rows for name, version in row.versions.items()})
