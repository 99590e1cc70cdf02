"""Which recipe teaches most about defects that it has not seen: arms, each trained on folds of the real defects."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from anomgen.banks.folder import Defect
from anomgen.errors import AnomgenError, MissingExtra, Progress
from anomgen.files import replacing
from anomgen.generators.defects.generator import Defects
from anomgen.generators.transplant.generator import ENOUGH
from anomgen.making.engine import Plan, Recipe
from anomgen.making.recipe import parse_recipe
from anomgen.rng import Stream, rng_for
from anomgen.tuning.folds import SCORES, SIDE, Fold, note_written, parted, write_folds
from anomgen.tuning.measure import Reference, tuned

DEFAULT, TUNED = "transplant", "tuned"
ARMS = {
    DEFAULT: "transplants, and drawn defects as usual, three to one",
    TUNED: "transplants, and drawn defects like the real ones, three to one",
    "transplant-alone": "transplants alone",
    "defects": "drawn defects as usual, without the real ones",
}
"""What is compared; the first stays unless another is clearly better."""
DETECTOR, STEPS, SEEDS = "probe", 150, 1
"""Half of its default steps."""
MARGIN = 0.02
"""Pixel AP by which an arm must be better at least."""
LEAST_FOLDS = 3
"""Folds below which nothing is decided."""
DRAWS = 2000
INTERVAL = 0.025, 0.975


class Arm(NamedTuple):
    """What an arm reached: pixel AP of each fold, and its difference to the default's with an interval of 95 %."""

    name: str
    scores: tuple[float, ...]
    difference: float
    low: float
    high: float

    @property
    def mean(self) -> float:
        """Return the mean over folds."""
        return float(np.mean(self.scores))

    @property
    def is_clearly_better(self) -> bool:
        """Return whether it is better than the default by more than chance and than `MARGIN`."""
        return self.difference >= MARGIN and self.low > 0


@dataclass(frozen=True)
class Comparison:
    """What came of comparing the arms."""

    arms: tuple[Arm, ...] = ()
    folds: tuple[tuple[str, ...], ...] = ()
    """The defects that each fold left out."""
    of: int = 0
    """How many folds there would be."""
    note: str = ""
    """Why not everything was compared, in a sentence."""

    @property
    def chosen(self) -> str:
        """Return the arm that is clearly better than the default, the best of several; else the default."""
        better = [arm for arm in self.arms if arm.is_clearly_better]
        if len(self.folds) < LEAST_FOLDS or not better:
            return DEFAULT
        return max(better, key=lambda arm: arm.mean).name

    def plain(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        arms = [
            {"name": arm.name, "recipe": ARMS[arm.name], "mean": arm.mean, **arm._asdict(), "scores": list(arm.scores)}
            for arm in self.arms
        ]
        return {
            "detector": DETECTOR,
            "steps": STEPS,
            "seeds": SEEDS,
            "size": SIDE,
            "folds": [list(fold) for fold in self.folds],
            "of": self.of,
            "arms": arms,
            "chosen": self.chosen,
            "note": self.note,
        }


class Limits(NamedTuple):
    """What a comparison keeps to. deadline: `time.monotonic()` at which it ends. item: see `parted`."""

    deadline: float = math.inf
    workers: int | None = None
    """Trainings at once; None: one a core."""
    item: str | None = None


def recipe_of(arm: str, usual: Recipe, drawn: Defects, bank: str, count: int) -> Recipe:
    """Return the recipe of an arm. drawn: defects like the real ones; bank: of these, `count` of them."""
    assert isinstance(usual.generator, Defects)
    if arm == "defects":
        return usual
    transplants: dict[str, Any] = {"kind": "transplant", "bank": bank, "with_defects": 0.0}
    if arm == "transplant-alone":
        return parse_recipe({**usual.as_dict(), "generator": transplants})
    chosen = {"kinds": drawn.kinds, "severity": drawn.severity, "dark": drawn.dark} if arm == TUNED else {}
    own = usual.generator.model_copy(update=chosen).config()
    parts = [{"weight": 3.0 if count >= ENOUGH else 1.0, **transplants}, {"weight": 1.0, **own}]
    return parse_recipe({**usual.as_dict(), "generator": {"kind": "mix", "parts": parts}})


def compare(
    plan: Plan,
    usual: Recipe,
    real: Sequence[Defect],
    reference: Reference,
    work: Path,
    limits: Limits,
    progress: Progress,
) -> Comparison:
    """Train `DETECTOR` on each arm's anomalies, test it on a fold's defects and held-out normals.

    What follows from defects is measured on the others alone. work: folder of the rows, which go on where they were
    left. Raises UsageError for an `item` that cannot be used; whatever else stands against a comparison becomes its
    note.
    """
    parts = parted(real, limits.item)
    if len(parts) < LEAST_FOLDS:
        return Comparison(of=len(parts), note=f"The defects are of {len(parts)} items, too few to leave some out.")
    try:
        from anomgen.score.request import require_extra

        require_extra()
        folds = write_folds(work, plan, parts)
        return _compared(folds, usual, reference, work, limits, progress)
    except MissingExtra as error:
        return Comparison(of=len(parts), note=f"No recipes were compared: {error}.")
    except AnomgenError as error:
        return Comparison(of=len(parts), note=f"The recipes could not be compared: {error}.")


def _compared(
    folds: Sequence[Fold],
    usual: Recipe,
    reference: Reference,
    work: Path,
    limits: Limits,
    progress: Progress,
) -> Comparison:
    from anomgen.score.harness import default_workers
    from anomgen.score.jobs import run_jobs
    from anomgen.score.request import time_text
    from anomgen.score.rows import opened
    from anomgen.score.schedule import Schedule, scheduled, within

    number, scores, deadline = limits.workers or default_workers(), work / SCORES, limits.deadline
    with opened(scores) as rows:
        schedules: list[Schedule] = []
        for fold in folds:
            progress(len(schedules), len(folds), "measures the folds")
            schedules.append(scheduled(_request(fold, usual, reference), scores, rows))
        whole = _together(schedules)
        fitting = within(whole, deadline - time.monotonic(), number)
        kept = {(job.cells[0].data, job.cells[0].seed) for job in fitting.todo}
        kept -= {(job.cells[0].data, job.cells[0].seed) for job in fitting.left_out}
        todo = [job for job in fitting.todo if (job.cells[0].data, job.cells[0].seed) in kept]
        with suppress(_OutOfTime):
            run_jobs(replace(whole, todo=todo), rows, number, _until(deadline, progress), deadline)
        found = {(row.data, row.entry): row for row in rows.rows.values()}
    failed = [row.error for row in found.values() if row.status == "failed"]
    whole_folds = [fold for fold in folds if all(_is_done(found, fold, arm) for arm in ARMS)]
    note = ""
    if len(whole_folds) < len(folds):
        needed = max(whole.seconds(number), _pace(found.values()) * len(folds) * len(ARMS) / number)
        why = f"{failed[0]}" if failed else f"all take about {time_text(needed)} here; give a longer --budget"
        note = f"{len(whole_folds)} of {len(folds)} folds were finished: {why}."
    figures = {arm: [found[fold.folder.name, arm] for fold in whole_folds] for arm in ARMS}
    arms = tuple(_arm(arm, own, figures[DEFAULT]) for arm, own in figures.items()) if whole_folds else ()
    left = tuple(tuple(own.item for own in fold.left) for fold in whole_folds)
    return Comparison(arms, left, len(folds), note)


def _pace(rows: Iterable[Any]) -> float:
    """Return the mean seconds of the trainings that were finished; 0 without any."""
    took = [row.seconds.fit + row.seconds.predict + row.seconds.metrics for row in rows if row.status == "done"]
    return float(np.mean(took)) if took else 0.0


def _is_done(found: Mapping[tuple[str, str], Any], fold: Fold, arm: str) -> bool:
    row = found.get((fold.folder.name, arm))
    return row is not None and row.status == "done" and "pixel_ap" in row.replicates


def _request(fold: Fold, usual: Recipe, reference: Reference) -> Any:
    """Return what to score on a fold: all arms, as they would be with the defects that it may learn from."""
    from anomgen.score.request import Request

    drawn, count = tuned(fold.used, reference).tuned, len(fold.used)
    foreground = str(fold.foreground) if fold.foreground.is_dir() else "none"
    files = []
    for arm in ARMS:
        recipe = recipe_of(arm, usual, drawn, str(fold.bank), max(count, ENOUGH))
        recipe = parse_recipe({**recipe.as_dict(), "name": arm, "foreground": foreground})
        files.append(fold.folder / "recipes" / f"{arm}.yaml")
        with replacing(files[-1], sync=False) as file:
            file.write(recipe.to_yaml().encode())
    note_written(fold.folder.parent, files)
    return Request.of(fold.data, files, detectors=DETECTOR, seeds=SEEDS, size=SIDE, steps=STEPS)


def _together(schedules: Sequence[Any]) -> Any:
    """Return one schedule of several, without the baselines."""
    bench = replace(
        schedules[0].bench,
        data={key: data for own in schedules for key, data in own.bench.data.items()},
        plans={key: plan for own in schedules for key, plan in own.bench.plans.items() if key[1] in ARMS},
    )
    jobs = [job for own in schedules for job in own.todo if all(cell.entry.name in ARMS for cell in job.cells)]
    cells = [cell for own in schedules for cell in own.cells if cell.entry.name in ARMS]
    return replace(schedules[0], bench=bench, cells=cells, todo=jobs)


class _OutOfTime(Exception):
    """The budget is spent while a training runs."""


def _until(deadline: float, progress: Progress) -> Progress:
    def tell(done: int, total: int, note: str = "", /) -> None:
        if time.monotonic() > deadline and not math.isinf(deadline):
            raise _OutOfTime
        progress(done, total, note)

    return tell


def _arm(name: str, own: Sequence[Any], default: Sequence[Any]) -> Arm:
    """Return what an arm came to; the interval is of folds and test images that are drawn anew."""
    scores = np.array([row.metrics["pixel_ap"] for row in own])
    others = np.array([row.metrics["pixel_ap"] for row in default])
    apart = np.array([row.replicates["pixel_ap"] for row in own]) - [row.replicates["pixel_ap"] for row in default]
    rng = rng_for(0, Stream.BOOTSTRAP)
    shape = (DRAWS, len(apart))
    drawn = apart[rng.integers(len(apart), size=shape), rng.integers(apart.shape[1], size=shape)].mean(axis=1)
    low, high = (round(float(end), 4) for end in np.quantile(drawn, INTERVAL))
    return Arm(
        name, tuple(round(float(score), 4) for score in scores), round(float((scores - others).mean()), 4), low, high
    )
