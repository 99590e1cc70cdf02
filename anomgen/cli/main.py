"""The command line: parses, calls, prints; results on standard output, progress and errors on standard error."""

from __future__ import annotations

import errno
import json
import sys
import time
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from anomgen.cli import bank, doctor, export, inspect, push, score, studio, train, tune
from anomgen.cli.made import print_made, print_part, print_plan
from anomgen.cli.streams import fault, flush, prepare
from anomgen.cli.terminal import (
    ExcludeOption,
    JsonOption,
    RoiOption,
    SeedOption,
    SetOption,
    SizeOption,
    print_json,
    print_next,
    progress_of,
    same_options,
    show_warnings,
    sides_of,
    with_regions,
)
from anomgen.errors import AnomgenError, Interrupted, UsageError, lacks_memory
from anomgen.places import place, refuse_lost


class Commands(TyperGroup):
    """The commands, which Ctrl-C ends as an error that says so."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None


app = typer.Typer(
    name="anomgen",
    cls=Commands,
    help="Make synthetic visual anomalies with exact masks from normal images, as Hugging Face datasets.",
    epilog="Start with: anomgen make --recipe nsa --source FOLDER_OF_GOOD_IMAGES",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for part in (bank, doctor, export, inspect, push, score, studio, train, tune):
    app.add_typer(part.app)

RecipeOption = Annotated[str, typer.Option("--recipe", "-r", help="Bundled recipe (anomgen ls recipes) or YAML file.")]
SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source", "-s", help="Folder of normal images, category folder of a known layout, or Hub dataset id."
    ),
]
DatasetArgument = Annotated[
    Path, typer.Argument(metavar="DATASET", parser=place, help="Folder that `anomgen make` wrote, or its URL.")
]
NEXT = {
    "recipes": ("show", "RECIPE"),
    "generators": ("show", "nsa", "--set", "generator.kind=GENERATOR"),
    "sources": ("preview", "--foreground", "--source", "SOURCE"),
    "detectors": ("score", "DATA", "--recipes", "nsa,perlin", "--detectors", "DETECTOR"),
    "exporters": ("export", "DATASET", "--to", "EXPORTER", "-o", "FOLDER"),
}
"""What to do after `ls` of a group; the words in capitals are for the reader to replace."""
AgainOption = Annotated[str | None, typer.Option("--source", "-s", help="Where the normal images are now.")]


@app.command()
def make(
    recipe: RecipeOption,
    source: SourceOption = None,
    count: Annotated[int | None, typer.Option("--count", "-n", help="Rows, normal ones included.")] = None,
    size: SizeOption = None,
    out: Annotated[
        Path | None,
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
    from anomgen.making.make import make as make_dataset

    if out is not None:
        refuse_lost(out)
    started = time.perf_counter()
    try:
        with redirect_stdout(sys.stderr), progress_of("making") as progress:  # Ray tells of dead workers there
            result = make_dataset(
                recipe,
                out,
                source=source,
                count=count,
                size=sides_of(size),
                seed=seed,
                overrides=changes or (),
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
    except KeyboardInterrupt:
        raise Interrupted("interrupted; what is finished is kept: run the same command with --resume") from None
    seconds = round(time.perf_counter() - started, 2)
    if result.plan is not None:
        print_plan(result.plan, as_json=as_json)
        return
    if result.provenance is None:
        print_part(result, shard, seconds, as_json=as_json)
        return
    summary = {
        "path": str(result.path),
        "rows": result.provenance["rows"],
        "made": result.made,
        "rejects": result.provenance["rejects"],
        "skipped": result.provenance["source"]["skipped"],
        "notes": result.provenance["source"]["notes"],
        "seconds": seconds,
    }
    print_json(summary) if as_json else print_made(result, summary)


@app.command()
def preview(
    dataset: Annotated[Path | None, typer.Argument(metavar="[DATASET]", help="Finished dataset to look at.")] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", help="Look at what a recipe would make.")] = None,
    recipes: Annotated[str | None, typer.Option(help="Several, side by side: nsa,perlin,defects.")] = None,
    source: SourceOption = None,
    size: SizeOption = None,
    seed: SeedOption = None,
    roi: RoiOption = None,
    exclude: ExcludeOption = None,
    changes: SetOption = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Show which pixels count as the object.")] = False,
    rows: Annotated[int, typer.Option(min=1, max=64, help="Samples, of each recipe.")] = 8,
    cols: Annotated[
        int | None, typer.Option(min=1, max=64, help="A grid of so many a line, outlined and cropped.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write: .png, .jpg, .webp, or .html, a page.")
    ] = Path("anomgen-preview.png"),
    as_json: JsonOption = False,
) -> None:
    """Draw a sheet of samples: of a dataset, of a recipe before making one, or of the foreground."""
    from anomgen.making.preview import preview as draw

    with progress_of("drawing"):
        result = draw(
            dataset,
            recipe=recipe,
            recipes=recipes,
            source=source,
            size=sides_of(size),
            seed=seed,
            overrides=changes or (),
            roi=roi,
            exclude=exclude,
            foreground=foreground,
            rows=rows,
            cols=cols,
            out=out,
        )
    if as_json:
        print_json({"path": str(out), **result.resolved})
        return
    print(out)
    for key, value in result.resolved.items():
        print(f"  {key}: {json.dumps(value, ensure_ascii=False)}")
    if dataset is None:
        chosen = recipe or (recipes or "nsa").split(",")[0]
        print_next("make", *same_options(chosen, source, size, seed, with_regions(changes, roi, exclude)))
    else:
        print_next("check", dataset)


@app.command()
def check(
    dataset: DatasetArgument,
    source: AgainOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a dataset against its own records; exits with 1 and a report when something does not hold."""
    from anomgen.making.check import check as verify

    with progress_of("checking") as progress:
        report = verify(dataset, source=source, overrides=changes or (), progress=progress)
    if as_json:
        print_json(report.as_dict())
    else:
        print(report.render())
        print_next(*(("preview", dataset) if report.ok else ("replay", dataset, "INDEX")))
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def replay(
    dataset: DatasetArgument,
    index: Annotated[int, typer.Argument(metavar="INDEX", help="Row to make again.")],
    source: AgainOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make one sample again from the record alone and say whether it is bit-identical; exits with 1 if not."""
    from anomgen.making.replay import replay as replay_row

    with progress_of("making it again"):
        result = replay_row(dataset, index, source, changes or ())
    if as_json:
        lists = {"different": list(result.different), "notes": list(result.notes)}
        print_json({"index": index, "identical": result.identical, **lists})
    elif result.identical:
        print(f"{dataset} row {index}: bit-identical")
        print_next("check", dataset)
    else:
        print(f"{dataset} row {index}: different in {', '.join(result.different)}")
        for note in result.notes:
            print(f"  {note}")
    if not result.identical:
        raise typer.Exit(1)


@app.command("ls")
def list_names(
    what: Annotated[
        str | None,
        typer.Argument(
            help="recipes, generators, sources, exporters or detectors, or one of them for its keys, detectors/draem; "
            "default all."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List what is there: recipes, generators, sources, exporters, detectors."""
    from anomgen.making.catalogue import ls

    listed = ls(what)
    if as_json:
        print_json(listed)
        return
    for group, entries in listed.items():
        print(f"{group}:")
        width = max((len(name) for name in entries), default=0)
        for name, summary in entries.items():
            print(f"  {name:<{width}}  {summary}")
    print_next(*NEXT[(what or "recipes").partition("/")[0]])


@app.command()
def show(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Bundled recipe or YAML file.")],
    changes: SetOption = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of recipes, for editors.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print a recipe with every key written out; save it as a YAML file to make your own."""
    from anomgen.config.text import write_yaml
    from anomgen.making import catalogue

    shown = catalogue.show(recipe, overrides=changes or (), schema=schema)
    if as_json or schema:
        print_json(shown)
    else:
        print(write_yaml(shown), end="")


@app.command()
def validate(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="YAML file or bundled recipe.")],
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a recipe is valid; exits with 2 and names every faulty key when it is not."""
    from anomgen.making import catalogue

    valid = catalogue.validate(recipe, overrides=changes or ())
    if as_json:
        print_json(valid)
        return
    print(f"{recipe}: valid (fingerprint {valid['fingerprint']})")
    print_next("make", *same_options(recipe, changes=changes), "--dry-run")


def _version(wanted: bool) -> None:
    if wanted:
        from anomgen import __version__

        print(f"anomgen {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: ARG001 - its callback prints
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    show_warnings()


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage or recipe, 130 interrupted."""
    prepare()
    try:
        try:
            app()
        finally:
            flush()
    except BrokenPipeError:  # whoever read has enough
        sys.exit(1)
    except AnomgenError as error:
        _print_error(error)
    except OSError as error:
        _print_error((UsageError if error.errno == errno.ENAMETOOLONG else AnomgenError)(fault(error)))
    except Exception as error:
        if not lacks_memory(error):
            raise
        _print_error(AnomgenError("out of memory: use fewer --workers, or smaller images (--size)"))


def _print_error(error: AnomgenError) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    if "--json" in sys.argv:
        with suppress(OSError):
            print_json({"error": str(error)})
            flush()
    sys.exit(error.exit_code)
