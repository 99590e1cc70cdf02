"""`anomgen ls`, `show` and `validate`: what there is, and what a recipe says."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from anomgen.cli.talk import App, print_hint
from anomgen.cli.terminal import JsonOption, SetOption, print_json, print_next, progress_of, same_options

app = App()
NEXT = {
    "recipes": ("show", "RECIPE"),
    "generators": ("show", "nsa", "--set", "generator.kind=GENERATOR"),
    "sources": ("preview", "--foreground", "--source", "SOURCE"),
    "detectors": ("score", "DATA", "--recipes", "nsa,perlin", "--detectors", "DETECTOR"),
    "exporters": ("export", "DATASET", "--to", "EXPORTER", "-o", "FOLDER"),
}
"""What to do after `ls` of a group; the words in capitals are for the reader to replace."""


@app.command("ls", epilog="Example: anomgen ls recipes --pictures")
def list_names(
    what: Annotated[
        str | None,
        typer.Argument(
            help="recipes, generators, sources, exporters or detectors, or one of them for its keys, detectors/draem; "
            "default all."
        ),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Of recipes: draw a sample of each, on built-in textures.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File for --pictures: .png, .jpg, .webp, or .html, a page.",
            show_default="anomgen-recipes.png",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List what is there: recipes, generators, sources, exporters, detectors."""
    from anomgen.making.catalogue import SHEET, ls

    with progress_of("drawing") if pictures else nullcontext():
        listed = ls(what, pictures=pictures, out=out)
    if as_json:
        print_json(listed)
        return
    for group, entries in listed.items():
        print(f"{group}:")
        width = max((len(name) for name in entries), default=0)
        for name, summary in entries.items():
            print(f"  {name:<{width}}  {summary}")
    if pictures:
        print_hint(f"look: {out or SHEET}")
    print_next(*NEXT[(what or "recipes").partition("/")[0]])


@app.command(epilog="Example: anomgen show nsa --set generator.blend=mixed")
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


@app.command(epilog="Example: anomgen validate mine.yaml")
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
