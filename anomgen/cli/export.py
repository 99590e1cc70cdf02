"""`anomgen export`: a dataset in another tool's format, or a kept detector for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomgen.cli.terminal import JsonOption, print_json, progress_of
from anomgen.errors import Interrupted, UsageError, require

if TYPE_CHECKING:
    from anomgen.exporters.export import Exported

app = typer.Typer()
ONNX = "onnx"


@app.command()
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
            "--set", metavar="KEY=VALUE", help="Change a setting: train_share=0.5, category=bottle. Repeatable."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the export in the output folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a dataset in another tool's format: images and masks unchanged, split into parts as the tool needs.

    A detector that `anomgen fit` has kept becomes one ONNX file: stored pixels in, anomaly map and score out; it is
    compared with torch before it is written.
    """
    if is_detector(dataset) or to == ONNX:
        _print_onnx(dataset, to, Path(out), changes, overwrite=overwrite, as_json=as_json)
        return
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


def is_detector(folder: str) -> bool:
    """Return whether a folder holds a kept detector."""
    from anomgen.hub.upload import is_model, model_kind

    return is_model(Path(folder)) and model_kind(Path(folder)) == "detector"


def _print_onnx(folder: str, to: str, path: Path, changes: list[str] | None, *, overwrite: bool, as_json: bool) -> None:
    """Write a detector's ONNX file and say how to run it."""
    if to != ONNX:
        raise UsageError(f"--to {to}: {folder} is a detector; it is exported to {ONNX}")
    if changes:
        raise UsageError(f"--set {changes[0]}: {ONNX} has no settings")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; give the file to write, such as {path / 'detector.onnx'}")
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: is there already; replace it with --overwrite, or choose another file with -o")
    require("onnx", "an ONNX file", "torch", "onnx", "onnxruntime", "onnxscript")
    from anomgen.score.inspector.inspector import Inspector

    inspector = Inspector.load(folder)
    off = inspector.export(path)
    size = path.stat().st_size
    if as_json:
        print_json({"path": str(path), "format": ONNX, "bytes": size, "difference": off})
        return
    print(f"{path}: {inspector.description.text}, {size / 1e6:.1f} MB, maps at most {off:.1g} off those of torch")
    print(f'load: onnxruntime.InferenceSession("{path}").run(["map", "score"], {{"image": images}})')


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
