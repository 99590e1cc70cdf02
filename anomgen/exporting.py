"""What is exported: a dataset in another tool's format, or a kept detector for other runtimes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

from anomgen.config.text import Overrides, changed
from anomgen.dataset.reader import Dataset
from anomgen.errors import Progress, UsageError, near_miss, require, silent
from anomgen.exporters import export as datasets
from anomgen.exporters.base import Exporter
from anomgen.hub.upload import is_model, model_kind
from anomgen.places import local
from anomgen.registry import names

ONNX = "onnx"
"""The format of detectors; all others are of datasets."""


@dataclass(frozen=True)
class ExportedDetector:
    """What `export` did with a kept detector.

    description: what it is. bytes: of the file. difference: most that its maps are off those of torch. load: how to
    run it.
    """

    path: Path
    format: str
    description: str
    bytes: int
    difference: float
    load: str


@overload
def export(  # type: ignore[overload-overlap]  # the format decides
    dataset: str | Path, to: Literal["onnx"], out: str | Path, *, overwrite: bool = False
) -> ExportedDetector: ...


@overload
def export(
    dataset: Dataset | str | Path,
    to: Exporter | str,
    out: str | Path,
    *,
    overrides: Overrides = (),
    overwrite: bool = False,
    progress: Progress = silent,
) -> datasets.Exported: ...


def export(
    dataset: Dataset | str | Path,
    to: Exporter | str,
    out: str | Path,
    *,
    overrides: Overrides = (),
    overwrite: bool = False,
    progress: Progress = silent,
) -> datasets.Exported | ExportedDetector:
    """Write a finished dataset to the folder `out` in another tool's format; the options are those of `anomgen export`.

    dataset: its folder or URL; or the folder of a detector that `fit` has kept, which goes to ``onnx``: the file `out`
    is compared with torch before it is written. to: a format's name, or an exporter. overrides: settings of the
    format, what --set takes, ``train_share=0.5``. overwrite: replace an earlier export, never anything else; of a
    detector, the file. It appears whole or not at all.

    Raises UsageError for an unknown format or setting, a dataset that is unfinished or does not fit the format, a
    detector that is more than a network, and an output that is there already; MissingExtra without the extra `onnx`;
    AnomgenError when files cannot be written.
    """
    if to == ONNX:
        return _detector(dataset, out, overrides, overwrite=overwrite)
    known = [*names("exporters"), ONNX]
    if isinstance(to, str) and to not in known:
        raise UsageError(f"unknown exporter {to!r}{near_miss(to, known)} (known: {', '.join(known)})")
    if not isinstance(dataset, Dataset) and _is_detector(Path(dataset)):
        raise UsageError(f"--to {to}: {dataset} is a detector; it is exported to {ONNX}")
    return datasets.export(dataset, to, out, overrides=overrides, overwrite=overwrite, progress=progress)


def _is_detector(folder: Path) -> bool:
    return is_model(folder) and model_kind(folder) == "detector"


def _detector(
    folder: Dataset | str | Path, out: str | Path, overrides: Overrides, *, overwrite: bool
) -> ExportedDetector:
    """Write a kept detector's ONNX file."""
    if isinstance(folder, Dataset):
        raise UsageError(f"--to {ONNX}: {folder.path} is a dataset; give the folder of a detector that `fit` has kept")
    path = local(out)
    for name in changed({}, overrides):
        raise UsageError(f"--set {name}: {ONNX} has no settings")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; give the file to write, such as {path / 'detector.onnx'}")
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: is there already; replace it with --overwrite, or choose another file with -o")
    require("onnx", "an ONNX file", "torch", "onnx", "onnxruntime", "onnxscript")
    from anomgen.score.inspector.inspector import Inspector

    inspector = Inspector.load(folder)
    difference = inspector.export(path)
    load = f'onnxruntime.InferenceSession("{path}").run(["map", "score"], {{"image": images}})'
    return ExportedDetector(path, ONNX, inspector.description.text, path.stat().st_size, difference, load)
