"""`anomgen preview`: a sheet of samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from anomgen.cli.talk import App, print_remark
from anomgen.cli.terminal import (
    ExcludeOption,
    JsonOption,
    RoiOption,
    SeedOption,
    SetOption,
    SizeOption,
    SourceOption,
    print_json,
    print_next,
    progress_of,
    same_options,
    with_regions,
)
from anomgen.config.text import listed
from anomgen.errors import in_one_block
from anomgen.places import place

app = App()


@app.command(epilog="Example: anomgen preview --recipes nsa,perlin,defects -s photos -o look.html")
def preview(
    dataset: Annotated[
        Any, typer.Argument(metavar="[DATASET]", parser=place, help="Finished dataset, or its URL, to look at.")
    ] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", help="Look at what a recipe would make.")] = None,
    recipes: Annotated[str | None, typer.Option(help="Several, side by side: nsa,perlin,defects.")] = None,
    source: SourceOption = None,
    size: SizeOption = None,
    seed: SeedOption = None,
    roi: RoiOption = None,
    exclude: ExcludeOption = None,
    changes: SetOption = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Show which pixels count as the object.")] = False,
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, max=64, help="Samples, of each recipe.")] = 8,
    cols: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="Samples a line, each outlined beside a crop of it; not with several recipes, one a column.",
            show_default="2",
        ),
    ] = None,
    views: Annotated[
        bool, typer.Option("--views", help="A line a sample instead: normal, anomalous, masks, difference.")
    ] = False,
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
            size=size,
            seed=seed,
            overrides=changes,
            roi=roi,
            exclude=exclude,
            foreground=foreground,
            rows=rows,
            cols=cols,
            views=views,
            out=out,
        )
    if as_json:
        print_json({"path": str(out), **result.resolved})
        return
    print(out)
    several = [result.resolved] if "notes" in result.resolved else list(result.resolved.values())
    for line in dict.fromkeys(_foreground(values) for values in several):
        print(in_one_block(f"  {line}"))
    for note in dict.fromkeys(note for values in several for note in values.get("notes", ())):
        print_remark(f"  {note}")
    if dataset is None:
        chosen = recipe or ("nsa" if recipes is None else listed(recipes, "--recipes")[0])
        print_next("make", *same_options(chosen, source, size, seed, with_regions(changes, roi, exclude)))
    else:
        print_next("check", dataset)


def _foreground(resolved: dict[str, Any]) -> str:
    """Return in words which foreground was chosen; --json has all of what was resolved."""
    method, *keys = (resolved.get("foreground") or {"method": "none"}).items()
    return f"foreground: {method[1]}" + "".join(f", {key} {value}" for key, value in keys)
