"""`anomgen make`: a dataset."""

from __future__ import annotations

import json
import shlex
import sys
import time
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomgen.cli.talk import App, print_hint, print_remark
from anomgen.cli.terminal import (
    ExcludeOption,
    JsonOption,
    RoiOption,
    SeedOption,
    SetOption,
    SizeOption,
    SourceOption,
    print_json,
    progress_of,
)
from anomgen.errors import Interrupted
from anomgen.places import load_line, place, refuse_lost

if TYPE_CHECKING:
    from anomgen.making.make import Made

app = App()


@app.command(epilog="Example: anomgen make -r defects -s photos -n 1000 --size 256 -o made")
def make(
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Bundled recipe (anomgen ls recipes) or YAML file.")],
    source: SourceOption = None,
    each: Annotated[
        list[str] | None,
        typer.Option(
            "--each",
            metavar="FOLDER",
            help="Folder of all categories of a data set, instead of --source: makes a dataset of each, OUT/CATEGORY. "
            "Repeat it for several; in --set {category} stands for the category's name.",
        ),
    ] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", help="Rows, normal ones included.")] = None,
    size: SizeOption = None,
    out: Annotated[
        Any,  # a place: of what is annotated as a Path, some releases of typer make one
        typer.Option(
            "--out",
            "-o",
            parser=place,
            metavar="PATH",
            help="Output folder, or the URL of one (s3://, gs://, hf://, …).",
            show_default="anomgen-out/NAME",
        ),
    ] = None,
    seed: SeedOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            "-j",
            min=1,
            help="Shards made at once; the result is the same.",
            show_default="1; with ray all processors",
        ),
    ] = None,
    engine: Annotated[str, typer.Option(help="Who makes the shards: local or ray.")] = "local",
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Ray cluster, or auto.", show_default="RAY_ADDRESS, else this machine"),
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="K/N", help="Make part K of N only, beside other such runs: array jobs.")
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="All parts are there: write card, preview and provenance.")
    ] = False,
    roi: RoiOption = None,
    exclude: ExcludeOption = None,
    changes: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the dataset in the output folder.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and print the plan; write nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a dataset of normal and anomalous images with exact masks."""
    from anomgen.making.make import datasets_of
    from anomgen.making.make import make as make_dataset

    if out is not None:
        refuse_lost(out)
    told = []
    try:
        for path, folder, own in datasets_of(source, each, out, changes):
            started = time.perf_counter()
            with redirect_stdout(sys.stderr), progress_of("making") as progress:  # Ray tells of dead workers there
                result = make_dataset(
                    recipe,
                    folder,
                    source=path,
                    count=count,
                    size=size,
                    seed=seed,
                    overrides=own,
                    roi=roi,
                    exclude=exclude,
                    workers=workers,
                    engine=engine,
                    address=address,
                    shard=shard,
                    finish=finish,
                    resume=resume,
                    overwrite=overwrite,
                    dry_run=dry_run,
                    progress=progress,
                )
            summary = _summary(result, shard, round(time.perf_counter() - started, 2))
            told.append(summary)
            if not as_json:
                _print(result, summary)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; what is finished is kept: run the same command with --resume") from None
    if as_json:
        print_json(told if each else told[0])


def _summary(result: Made, shard: str | None, seconds: float) -> dict[str, Any]:
    """Return what came of a run, as plain JSON."""
    if result.plan is not None:
        return result.plan
    if result.provenance is None:
        path = str(result.path)
        return {"path": path, "shard": shard, "rows": result.rows, "made": result.made, "seconds": seconds}
    return {
        "path": str(result.path),
        "rows": result.provenance["rows"],
        "made": result.made,
        "rejects": result.provenance["rejects"],
        "skipped": result.provenance["source"]["skipped"],
        "notes": result.provenance["source"]["notes"],
        "seconds": seconds,
    }


def _print(result: Made, summary: dict[str, Any]) -> None:
    """Print what came of a run in words."""
    if result.plan is not None:
        _print_plan(summary)
    elif result.provenance is None:
        _print_part(result, summary)
    else:
        _print_made(result, summary)


def _print_made(result: Made, summary: dict[str, Any]) -> None:
    """Print what a run made, and how to look at it, check it and load it."""
    rows, folder = summary["rows"], result.path
    now = f" ({result.made} made now)" if result.made != result.rows else ""
    counts = f"{result.rows} rows, {rows['anomaly']} anomalous, {rows['normal']} normal"
    print(f"{folder}: {counts}{now} in {summary['seconds']} s")
    for reason, number in summary["rejects"].items():
        print_remark(f"  drawn again {number}×: {reason}")
    if summary["skipped"]:
        print_remark(f"  skipped source files: {len(summary['skipped'])} (listed in provenance.json)")
    for note in summary["notes"]:
        print_remark(f"  {note}")
    print_hint(f"look:  {folder / 'preview.png'}")
    print_hint(f"check: {shlex.join(['anomgen', 'check', str(folder)])}")
    print_hint(f"load:  {load_line(folder)}")


def _print_part(result: Made, summary: dict[str, Any]) -> None:
    """Print what a part of an array job made."""
    print(
        f"{result.path}: part {summary['shard']}, {result.rows} rows ({result.made} made now) in {summary['seconds']} s"
    )
    print_hint("when all parts are there: the same command with --finish instead of --shard")


def _print_plan(plan: dict[str, Any]) -> None:
    """Print what a dry run found."""
    for key, value in plan.items():
        line = f"{key:>16}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        if key == "notes":
            print_remark(line)
        else:
            print(line)
    print_hint("nothing was written; leave out --dry-run to make it")
