"""`anomgen bank`: real defects with masks in one folder, for the recipe transplant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomgen.cli.talk import App, print_hint, print_remark
from anomgen.cli.terminal import JsonOption, print_json, print_next, progress_of
from anomgen.places import local

if TYPE_CHECKING:
    from anomgen.banks.make import Banked

app = App()


@app.command(epilog="Example: anomgen bank defects --masks masks -o bank")
def bank(
    defects: Annotated[
        str,
        typer.Argument(
            metavar="DEFECTS",
            help="Pictures of real defects: a folder, a category of a known layout, a file of annotations, a Hub "
            "dataset; or a bank, to approve its masks.",
        ),
    ],
    masks: Annotated[
        str | None,
        typer.Option(
            "--masks", "-m", help="Where the masks are: a folder of them or of YOLO's labels, or a file of annotations."
        ),
    ] = None,
    normal: Annotated[
        str | None,
        typer.Option(
            help="Normal images: pictures without masks get one by their difference to these, to be approved."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", parser=local, metavar="PATH", help="Folder.", show_default="bank")
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(help="Licence of the pictures, such as cc-by-4.0.", show_default="what a file beside says"),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="How many to take, of all types.", show_default="all")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="ITEM", help="Leave this one out. Repeatable.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve masks that were proposed by difference.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the bank in the output folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Collect 1 to some hundred real defects with masks, to put them on other images with the recipe transplant."""
    from anomgen.banks.make import bank as make_bank

    with progress_of("reading") as progress:
        made = make_bank(
            defects,
            out,
            masks=masks,
            normal=normal,
            license=license,
            count=count,
            without=without or (),
            yes=yes,
            overwrite=overwrite,
            progress=progress,
        )
    print_json(made.as_dict()) if as_json else _print(made)


def _print(made: Banked) -> None:
    kinds = ", ".join(f"{kind} {number}" for kind, number in made.defect_types.items())
    print(
        f"{made.path}: {made.defects} defect{'s' * (made.defects > 1)} ({kinds}), licence {made.license or 'unknown'}"
    )
    for note in made.notes:
        print_remark(f"  {note}")
    print_hint(f"look: {made.path / 'preview.png'}")
    if made.proposed:
        print_hint(
            f"  {len(made.proposed)} masks are proposals; approve them when they fit, --without ITEM for bad ones:"
        )
        print_next("bank", made.path, "--yes")
        return
    words = ("preview", "--recipe", "transplant", "--source", "NORMAL_IMAGES")
    print_next(*words, "--set", f"generator.bank={made.path}")
