"""`anomgen tune`: a recipe for this product."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from anomgen.cli.terminal import JsonOption, SetOption, SizeOption, print_json, progress_of, sides_of
from anomgen.places import home

app = typer.Typer()


@app.command()
def tune(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Folder of normal images, category folder of a known layout, or Hub dataset id."
        ),
    ],
    defects: Annotated[
        str | None,
        typer.Option(help="Real defects of this product with masks: a bank (anomgen bank), or what a bank is made of."),
    ] = None,
    masks: Annotated[
        str | None, typer.Option(help="Their masks or annotations, where they do not lie beside the pictures.")
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", parser=home, metavar="FILE", help="The recipe; the report stands beside it, as .html."
        ),
    ] = Path("tuned.yaml"),
    size: SizeOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a recipe for this product, and a report of what was measured and chosen.

    Without real defects the recipe is `defects`, which measures contrast, colour, light and the normal boundary on the
    images by itself. With real defects it puts these on normal images and draws others like them; do not test on the
    same ones later.
    """
    from anomgen.tuning.tune import tune as run_tune

    with progress_of("tuning") as progress:
        tuned = run_tune(
            source,
            defects=defects,
            masks=masks,
            out=out,
            size=sides_of(size),
            overrides=changes or (),
            progress=progress,
        )
    if as_json:
        likeness = {} if tuned.measured is None else tuned.measured.likeness
        print_json({"recipe": str(tuned.path), "report": str(tuned.report), "likeness": likeness})
        return
    if tuned.measured is None:
        print(f"{tuned.path}: the recipe defects as it is; without real defects nothing else can be known")
    else:
        ranked = sorted(tuned.measured.likeness.items(), key=lambda item: -item[1])
        kinds = ", ".join(f"{kind.replace('_', ' ')} {share:.0%}" for kind, share in ranked[:4])
        low, high = tuned.measured.tuned.severity
        print(f"{tuned.path}: {len(tuned.defects)} real defects are like {kinds}; severity {low:g} to {high:g}")
    print(f"look: {tuned.report}")
    print(f"next: {shlex.join(['anomgen', 'make', '--recipe', str(tuned.path)])}")
