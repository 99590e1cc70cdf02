"""`anomgen export`: a dataset in another tool's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomgen.cli.terminal import JsonOption, print_json, progress_of
from anomgen.errors import Interrupted

if TYPE_CHECKING:
    from anomgen.exporters.export import Exported

app = typer.Typer()


@app.command()
def export(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Folder that `anomgen make` wrote, or its URL.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="Format: mvtec, visa, ader, coco, yolo, labelstudio, folder, or a plug-in's (anomgen ls exporters).",
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="Output folder.")],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting: train_share=0.5, category=bottle. Repeatable."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the export in the output folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a dataset in another tool's format: images and masks unchanged, split into parts as the tool needs."""
    from anomgen.exporters.export import export as export_dataset

    try:
        with progress_of("exporting") as progress:
            result = export_dataset(dataset, to, out, overwrite=overwrite, progress=progress, overrides=changes or ())
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {out} is as it was before: run the same command again") from None
    if as_json:
        print_json(_summary(result))
    else:
        _print(result)


def _summary(result: Exported) -> dict[str, Any]:
    return {
        "path": str(result.path),
        "format": result.format,
        "rows": result.rows,
        "files": result.files,
        "splits": result.splits,
        "lost": result.lost,
        "notes": list(result.notes),
        "load": result.load,
    }


def _print(result: Exported) -> None:
    print(f"{result.path}: {result.rows} images as {result.format}")
    for split, kinds in result.splits.items():
        print(f"  {split}: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
    if result.lost is not None:
        print(f"  mask pixels lost: {result.lost['pixels']} of {result.lost['of']}")
        for name, count in result.lost["files"].items():
            print(f"    {name}: {count}")
    for note in result.notes:
        print(f"note: {note}")
    for line in result.load.splitlines():
        print(f"load: {line}")
