"""`anomgen export`: a dataset in another tool's format, or a kept detector for other runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomgen.cli.talk import App, print_hint, print_remark
from anomgen.cli.terminal import JsonOption, print_json, progress_of
from anomgen.errors import Interrupted

if TYPE_CHECKING:
    from anomgen.exporters.export import Exported
    from anomgen.exporting import ExportedDetector

app = App()


@app.command(epilog="Example: anomgen export made --to mvtec -o made-mvtec")
def export(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="Folder that `anomgen make` wrote, or its URL; or one of `fit`.")
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="Format: mvtec, visa, ader, coco, yolo, labelstudio, folder, or a plug-in's (anomgen ls exporters); "
            "of a detector: onnx.",
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="Output folder; of onnx, the file.")],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting: train_share=0.5, category=bottle; names=defect makes all types one class. "
            "Repeatable.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the export in the output folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a dataset in another tool's format: images and masks unchanged, split into parts as the tool needs.

    A detector that `anomgen fit` has kept becomes one ONNX file: stored pixels in, anomaly map and score out; it is
    compared with torch before it is written.
    """
    from anomgen.exporting import ExportedDetector
    from anomgen.exporting import export as run_export

    try:
        with progress_of("exporting") as progress:
            result = run_export(dataset, to, out, overwrite=overwrite, progress=progress, overrides=changes or ())
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {out} is as it was before: run the same command again") from None
    if isinstance(result, ExportedDetector):
        _print_detector(result, as_json=as_json)
    elif as_json:
        print_json(_summary(result))
    else:
        _print(result)


def _print_detector(result: ExportedDetector, *, as_json: bool) -> None:
    if as_json:
        difference = result.difference
        print_json({"path": str(result.path), "format": result.format, "bytes": result.bytes, "difference": difference})
        return
    size, off = result.bytes / 1e6, result.difference
    print(f"{result.path}: {result.description}, {size:.1f} MB, maps at most {off:.1g} off those of torch")
    print_hint(f"load: {result.load}")


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
        print_remark(f"note: {note}")
    for line in result.load.splitlines():
        print_hint(f"load: {line}")
