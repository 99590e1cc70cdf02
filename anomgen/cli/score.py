"""`anomgen score`: which recipe is useful."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomgen.cli.talk import App, print_hint, print_remark
from anomgen.cli.terminal import JsonOption, print_json, progress_of
from anomgen.errors import Interrupted
from anomgen.places import local

if TYPE_CHECKING:
    from anomgen.score.cell import Cell
    from anomgen.score.harness import Outcome
    from anomgen.score.misses import Missed
    from anomgen.score.schedule import Schedule

app = App()


@app.command(epilog="Example: anomgen score data --recipes none,nsa,defects --seeds 3 -o scores")
def score(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="Real data with normal training images and real anomalies: a category folder of MVTec AD, MPDD, VisA "
            "or BTAD, a folder with good, bad and masks, or a Hub dataset. Several are ranked together.",
        ),
    ],
    recipes: Annotated[
        str,
        typer.Option(
            "--recipes",
            "-r",
            help="Comma-separated recipes (bundled or YAML files), mixtures (nsa+perlin), folders of finished "
            "datasets, and real: a share of the real anomalies, the ceiling. none and boxes are always there.",
        ),
    ],
    detectors: Annotated[
        str, typer.Option("--detectors", "-d", help="Comma-separated (anomgen ls detectors), or all.")
    ] = "probe",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each recipe and detector; 3 or more to rank.")] = 3,
    out: Annotated[
        Path, typer.Option("--out", "-o", parser=local, metavar="PATH", help="Folder for the rows and the report.")
    ] = Path("anomgen-score"),
    size: Annotated[
        str | None, typer.Option(help="Size of the images: N or HxW.", show_default="128; with the preset paper 256")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="Settings of the detectors: default (two CPU cores) or paper (the published sizes).")
    ] = "default",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps of every detector.", show_default="the preset's")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Train what fits, such as 20m or 2h, and say what was left out.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-j", min=1, help="Trainings at once.", show_default="one a core; one with a GPU"),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="Train the K-th of N parts only: to spread a run over machines."),
    ] = None,
    ratios: Annotated[
        str | None, typer.Option(help="Sweep: shares of anomalous training images, such as 0.1,0.5,0.9.")
    ] = None,
    counts: Annotated[str | None, typer.Option(help="Sweep: numbers of normal training images, such as 20,50.")] = None,
    abnormal: Annotated[
        str | None,
        typer.Option(help="Sweep: numbers of real anomalies that the line real is trained on, such as 10,30,100."),
    ] = None,
    real_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the real anomalies that the line real has for training and thresholds; the rest is tested "
            "on.",
            show_default="0.3",
        ),
    ] = None,
    sweeps: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="KEY=LIST",
            help="Sweep a key that all recipes have: generator.opacity_range=[[0.2,0.4],[0.6,1]]. May be repeated.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a recipe or a detector: recipe.sdas.generator.model=DIR, detector.draem.width=32. May be "
            "repeated. In changes of recipes {data} stands for the data set's name.",
        ),
    ] = None,
    anomalies: Annotated[
        int, typer.Option(min=2, help="Anomalies that a generator with a trained model draws beforehand.")
    ] = 256,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="KIND=NUMBER",
            help="Report what thresholds reach that keep a limit on the validation images: fn=0, fpr=0.02. Repeatable.",
        ),
    ] = None,
    reducer: Annotated[
        str, typer.Option("--score", help="How a map becomes its image's score: window, max or sum.")
    ] = "window",
    perturb: Annotated[
        list[str] | None,
        typer.Option(
            "--perturb",
            metavar="KIND=LOW..HIGH",
            help="Judge the detectors also on changed test images, 5 strengths of a range: brightness=0.8..1.2, "
            "gradient=0..0.5, noise=0..0.1, blur=0..3 (pixels), jpeg=20..95. Repeatable.",
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Keep each trained detector in OUT/inspectors, for `anomgen inspect`, as fit does."
        ),
    ] = False,
    figures: Annotated[
        bool, typer.Option(help="Measure each recipe's images: severity, area, diversity, distance to the real ones.")
    ] = True,
    misses: Annotated[
        bool,
        typer.Option(
            "--misses",
            help="List the real anomalies that detectors trained on each recipe do not find; anomgen tune --misses "
            "makes a recipe of them.",
        ),
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Train again what failed before.")] = False,
    split: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the images that models may be trained on to DIR/DATA/good, with the recipe real also "
            "DIR/DATA/abnormal and their masks, and stop.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan with an estimate; write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rank recipes: train detectors on their anomalies, test them on real ones.

    Rows are kept as they come: after an interruption run the same command again, nothing is trained twice. The report
    is written anew each time. Rows of other machines are added with `cat OTHER/rows.jsonl >> RUN/rows.jsonl`. Exits
    with 1 when a training failed.
    """
    from anomgen.score.request import require_extra

    require_extra()
    from anomgen.score.harness import Outcome, default_workers
    from anomgen.score.rows import ROWS
    from anomgen.score.run import score as run_score
    from anomgen.score.schedule import Schedule

    try:
        with progress_of("scoring", timed=False) as progress:
            result = run_score(
                data,
                recipes,
                detectors=detectors,
                seeds=seeds,
                out=out,
                size=size,
                preset=preset,
                steps=steps,
                budget=budget,
                workers=workers,
                part=part,
                ratios=ratios or (),
                counts=counts or (),
                sweep=sweeps or (),
                overrides=changes or (),
                anomalies=anomalies,
                limit=limit or (),
                score=reducer,
                perturb=perturb or (),
                abnormal=abnormal or (),
                real_share=real_share,
                keep=keep,
                figures=figures,
                misses=misses,
                retry=retry,
                split=split,
                dry_run=dry_run,
                progress=progress,
            )
    except KeyboardInterrupt:
        kept = "finished trainings are kept" if (out / ROWS).exists() else "no training was finished"
        raise Interrupted(f"interrupted; {kept}: run the same command again") from None
    if isinstance(result, Outcome):
        _print(result, seeds, out, as_json=as_json)
        if result.summary.failed:
            raise typer.Exit(1)
    elif isinstance(result, Schedule):
        _print_plan(result, workers or default_workers(), as_json=as_json)
    else:
        _print_split(result, as_json=as_json)


def _print_split(written: dict[Path, int], *, as_json: bool) -> None:
    if as_json:
        print_json({str(folder): count for folder, count in written.items()})
        return
    for folder, count in written.items():
        print(f"{folder}: {count} image{'s' if count != 1 else ''}")


def _print_plan(schedule: Schedule, workers: int, *, as_json: bool) -> None:
    from anomgen.score.request import time_text

    cells = [(job, cell) for job in schedule.todo for cell in job.cells]
    left = [(job, cell) for job in schedule.left_out for cell in job.cells]
    finished = len(schedule.cells) - len(cells) - len(left)
    seconds = schedule.seconds(workers)
    if as_json:
        print_json(
            {
                "cells": len(schedule.cells),
                "to_train": [_cell(job.seconds / len(job.cells), cell) for job, cell in cells],
                "left_out": [
                    _cell(job.seconds / len(job.cells), cell) for job in schedule.left_out for cell in job.cells
                ],
                "seconds": round(seconds),
                "workers": workers,
                "notes": list(schedule.notes),
            }
        )
        return
    lead = f"{_cells(len(schedule.cells))}, each a data set, recipe, detector and seed"
    print(f"{lead}: {finished} finished or of another part, {len(cells)} to train, {len(left)} left out")
    for detector in dict.fromkeys(cell.detector for _, cell in cells):
        own = [(job, cell) for job, cell in cells if cell.detector == detector]
        names = ", ".join(dict.fromkeys(cell.entry.name for _, cell in own))
        each = sum(job.seconds / len(job.cells) for job, _ in own) / len(own)
        print(f"  {detector}: {_cells(len(own))}, about {time_text(each)} each: {names}")
    for text in schedule.notes:
        print_remark(text)
    for text in left_out_text(schedule):
        print(text)
    print(f"about {time_text(seconds)} with {workers} worker{'s' if workers > 1 else ''}")
    print_hint("Start it: the same command without --dry-run")


def _cell(seconds: float, cell: Cell) -> dict[str, Any]:
    return {
        "key": cell.key,
        "data": cell.data,
        "entry": cell.entry.name,
        "detector": cell.detector,
        "seed": cell.seed,
        "seconds": round(seconds, 1),
    }


def left_out_text(schedule: Schedule) -> Sequence[str]:
    """Return a line for each detector, data set and seed of which the budget leaves cells out."""
    groups: dict[tuple[str, str, int], int] = {}
    for job in schedule.left_out:
        for cell in job.cells:
            groups[cell.data, cell.detector, cell.seed] = groups.get((cell.data, cell.detector, cell.seed), 0) + 1
    return [
        f"  left out: {data}, {detector}, seed {seed}: {_cells(count)}"
        for (data, detector, seed), count in groups.items()
    ]


def misses_text(misses: Sequence[Missed], out: Path) -> Iterator[str]:
    """Yield what is told of the anomalies that each recipe's detectors do not find."""
    for missed in misses:
        number = len(missed.images)
        yield f"{missed.data}, {missed.entry}: {number} of {missed.of} anomalies are not found{':' * bool(number)}"
        for image, kind, found in zip(missed.images, missed.defect_types, missed.found, strict=True):
            yield f"  {image} ({kind}){f', found by {found:.0%} of the trainings' if found else ''}"
        if missed.bank is not None:
            yield f"  look: {out / missed.bank / 'preview.png'}"


def _cells(count: int) -> str:
    return f"{count} cell{'s' if count != 1 else ''}"


def _print(outcome: Outcome, seeds: int, out: Path, *, as_json: bool) -> None:
    if as_json:
        misses = {"misses": [missed.plain() for missed in outcome.misses]} if outcome.misses else {}
        print_json({"path": str(out), **outcome.summary.plain(), **misses})
        return
    from anomgen.score.cell import KEPT

    for line in outcome.lines:
        print(line)
    for text in left_out_text(outcome.schedule):
        print(text)
    for text in misses_text(outcome.misses, out):
        print(text)
    missing, failed = outcome.summary.missing, outcome.summary.failed
    if missing:
        print(f"The board is partial: {missing} of {_cells(outcome.summary.cells)} are not trained yet")
    if failed:
        print(f"{_cells(failed)} failed; the report says why, --retry trains them again")
    print_hint(f"Look at it: {out / 'report.html'}")
    kept = outcome.summary.kept
    if kept:
        print_hint(f"{kept} detectors are kept: anomgen inspect {out / KEPT}/NAME PHOTOS -o findings")
    if seeds < 3:
        print_hint("A first look: with --seeds 3 or more the report has intervals that a decision can rest on")
