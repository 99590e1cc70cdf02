"""What every exporter must hold, as one check for the authors of exporters and for our own tests."""

from __future__ import annotations

import hashlib
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from anomgen.config import validated
from anomgen.dataset.columns import Columns
from anomgen.dataset.reader import Dataset
from anomgen.dataset.row import Row
from anomgen.dataset.writer import shard_name, write_shard
from anomgen.errors import UsageError
from anomgen.exporters.base import Exporter
from anomgen.exporters.export import Exported, export
from anomgen.rng import Stream, rng_for
from anomgen.sources.pixels import value_max
from anomgen.synthesis.sample import Sample

TYPES = ("nsa", "scar")
SOURCES = 6


def check_exporter(exporter: Exporter, dataset: Dataset | str | Path | None = None) -> None:
    """Check the contract of an exporter on a dataset, by default on made-up ones.

    Its settings survive JSON and pickling; two exports are equal, byte for byte; the dataset is left as it was; no
    file tells a path of the machine; every row is counted once; it says how to load what it wrote. A dataset that
    the format cannot hold, of 16 bits or without an anomaly perhaps, is refused with a UsageError.

    Raises AssertionError that says what does not hold.
    """
    _check_settings(exporter)
    with tempfile.TemporaryDirectory(prefix="anomgen-check-") as name:
        folder = Path(name)
        if dataset is not None:
            chosen = dataset if isinstance(dataset, Dataset) else Dataset(dataset)
            _check_export(exporter, chosen, folder / "given")
            return
        _check_export(exporter, Dataset(made_dataset(folder / "colour")), folder / "colour-out")
        deep = made_dataset(folder / "deep", shape=(40, 56, 1), dtype=np.uint16)
        normal = made_dataset(folder / "normal", only_normal=True)
        for other in (deep, normal):
            try:
                _check_export(exporter, Dataset(other), other.with_name(f"{other.name}-out"))
            except UsageError:  # said plainly, before anything was left in the folder
                assert not other.with_name(f"{other.name}-out").exists(), "a refused export left a folder"


def _check_settings(exporter: Exporter) -> None:
    values = exporter.model_dump(mode="json")
    again = validated(type(exporter), json.loads(json.dumps(values)))
    assert again == exporter, f"{exporter.kind}: the settings do not survive JSON: {again!r} is not {exporter!r}"
    assert pickle.loads(pickle.dumps(exporter)) == exporter, f"{exporter.kind}: it does not survive pickling"


def _check_export(exporter: Exporter, dataset: Dataset, out: Path) -> None:
    kind, before = exporter.kind, contents(Path(dataset.path))
    first, second = export(dataset, exporter, out), export(dataset, exporter, out.with_name(f"{out.name}-2"))
    assert contents(Path(dataset.path)) == before, f"{kind}: the dataset was changed"
    found = contents(first.path)
    assert found == contents(second.path), f"{kind}: two exports of one dataset differ"
    _check_counts(kind, first, dataset)
    text = str(out.parent).encode()
    told = [name for name in found if text in (first.path / name).read_bytes()]
    assert not told, f"{kind}: a path of this machine is in {told}"
    assert first.load.strip(), f"{kind}: files.load says nothing about how to read it"
    left = list(out.parent.glob(".*"))
    assert not left, f"{kind}: it left {left} beside the export"


def _check_counts(kind: str, exported: Exported, dataset: Dataset) -> None:
    rows = dataset.table(["defect_type"])["defect_type"].to_pylist()
    for number, name in enumerate(dataset.columns.defect_names):
        counted = sum(part.get(name, 0) for part in exported.splits.values())
        assert counted == rows.count(number), f"{kind}: {counted} of {rows.count(number)} rows of {name} are counted"


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder by its name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --- a dataset to export --------------------------------------------------------------------------------------------


def made_dataset(
    folder: Path,
    *,
    shape: tuple[int, int, int] = (48, 64, 3),
    dtype: type = np.uint8,
    count: int = 24,
    sources: int = SOURCES,
    license: str | None = "cc-by-4.0",
    only_normal: bool = False,
) -> Path:
    """Write a small finished dataset with masks that are hard to hold: holes in holes, dots, lines, the whole rim.

    Rows are normal and anomalous in turn, of two defect types; with soft masks and normal images.
    """
    columns = Columns(TYPES, keep_normal=True)
    rows = [_row(index, shape, np.dtype(dtype), sources, only_normal) for index in range(count)]
    (folder / "data").mkdir(parents=True)
    write_shard(folder / "data" / shard_name(0, 1), rows, columns, {"shard": 0})
    anomalous = sum(row.label for row in rows)
    recipe = {"anomgen": 1, "name": "made-up", "source": {"kind": "folder", "path": "good"}, "license": license}
    provenance: dict[str, Any] = {
        "anomgen": "0",
        "versions": {},
        "recipe_fingerprint": "0" * 32,
        "source": {"kind": "folder", "count": sources, "fingerprint": "0" * 32, "license": license, "skipped": []},
        "resolved": {"generator": {"kind": "nsa"}, "foreground": {"method": "none"}},
        "rows": {"normal": count - anomalous, "anomaly": anomalous, "by_type": _by_type(rows)},
        "rejects": {},
        "shards": 1,
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    (folder / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    return folder


def _by_type(rows: list[Row]) -> dict[str, int]:
    return {name: sum(row.defect_type == name for row in rows) for name in TYPES}


def _row(index: int, shape: tuple[int, int, int], dtype: np.dtype, sources: int, only_normal: bool) -> Row:
    number = index // 2
    source = number % sources
    limit = value_max(dtype)
    normal = rng_for(source, Stream.SOURCE).integers(limit // 5, limit // 2, shape, dtype=dtype)
    name = f"part/{source:03d}.png"
    if index % 2 == 0 or only_normal:
        return Row.of_normal(index, 7, name, normal, soft=True)
    masks = hard_masks((shape[0], shape[1]))
    mask = masks[number % len(masks)]
    image = normal.copy()
    image[mask] += limit // 4
    soft = mask * np.float32(0.6)
    sample = Sample(image, mask, soft, {"number": number}, TYPES[number % len(TYPES)], 1.25)
    return Row.of_sample(sample, index=index, seed=7, attempt=0, source_id=name, normal=normal)


def hard_masks(shape: tuple[int, int]) -> list[np.ndarray]:
    """Return masks, bool (H, W), that formats tend to lose something of; sides of 32 pixels at least."""
    h, w = shape
    y, x = np.mgrid[:h, :w]
    far = np.hypot(y - h / 2, x - w / 2)
    rings = ((far < 15) & (far >= 12)) | ((far < 9) & (far >= 5)) | (far < 2)
    frame = (y < 3) | (y >= h - 2) | (x < 2) | (x >= w - 4)
    lines = np.zeros(shape, np.uint8)
    for start, end in [
        ((3, 3), (3, 3)),
        ((8, 3), (9, 3)),
        ((3, 8), (20, 8)),
        ((24, 4), (30, 10)),
        ((30, 14), (24, 20)),
        ((5, 12), (5, 25)),
        ((w - 1, h - 1), (w - 1, h - 1)),
        ((10, 20), (21, 27)),
    ]:
        cv2.line(lines, start, end, 1)
    noise = rng_for(0, Stream.SOURCE).random(shape)
    blocks = cv2.blur(noise, (3, 3)) > 0.5
    return [rings, frame, lines > 0, blocks, noise > 0.4, (y > 5) & (y < 20) & (x > 7) & (x < 30)]
