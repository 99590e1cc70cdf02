"""A small dataset made by hand, so that reading, checking and describing are tested without the engine."""

import json
from pathlib import Path

import numpy as np
import yaml

from anomgen.dataset.columns import Columns
from anomgen.dataset.row import Row
from anomgen.dataset.writer import shard_name, write_shard
from anomgen.sources.pixels import value_max
from anomgen.synthesis.sample import Sample

SOURCES = 3


def normal_image(number: int, shape=(48, 40, 3), dtype=np.uint8) -> np.ndarray:
    rng = np.random.default_rng(number)
    limit = value_max(np.dtype(dtype))
    image = rng.integers(limit // 5, limit // 2, shape, dtype=dtype)
    image.flags.writeable = False
    return image


def anomalous(image: np.ndarray, number: int, *, soft: bool, defect_type: str) -> Sample:
    """Draw two rectangles whose place depends on the number; the change is a quarter of the range."""
    changed, mask = image.copy(), np.zeros(image.shape[:2], bool)
    mask[4 + number % 5 : 15, 3:14] = True
    mask[20:30, 8 + number % 7 : 25] = True
    changed[mask] += value_max(image.dtype) // 4
    soft_mask = mask * np.float32(0.6) if soft else None
    return Sample(changed, mask, soft_mask, {"number": number, "parts": [1, 2]}, defect_type)


def made_rows(count=12, *, soft=True, shape=(48, 40, 3), dtype=np.uint8, types=("nsa", "scar"), start=0) -> list[Row]:
    """Return rows that alternate between normal and anomalous; the sources take turns."""
    rows = []
    for index in range(start, start + count):
        number = index // 2 % SOURCES
        image, source_id = normal_image(number, shape, dtype), f"part/{number:03d}.png"
        if index % 2 == 0:
            rows.append(Row.of_normal(index, 7, source_id, image, soft=soft))
            continue
        sample = anomalous(image, index, soft=soft, defect_type=types[index // 2 % len(types)])
        rows.append(Row.of_sample(sample, index=index, seed=7, attempt=0, source_id=source_id, normal=image))
    return rows


def provenance_of(rows: list[Row], shards: int, license="cc-by-4.0") -> dict:
    anomalies = [row for row in rows if row.label]
    types = sorted({row.defect_type for row in anomalies})
    return {
        "anomgen": "0.1.0",
        "versions": {"numpy": "2.4.6", "opencv-python": "5.0.0"},
        "recipe_fingerprint": "0123abcd" * 8,
        "source": {
            "kind": "folder",
            "count": SOURCES,
            "fingerprint": "89ef" * 16,
            "license": license,
            "skipped": ["broken.png"],
        },
        "resolved": {
            "generator": {"kind": "nsa", "blend": "mixed", "width_range": [0.06, 0.8]},
            "foreground": {"method": "none"},
        },
        "rows": {
            "normal": len(rows) - len(anomalies),
            "anomaly": len(anomalies),
            "by_type": {name: sum(row.defect_type == name for row in anomalies) for name in types},
        },
        "rejects": {"nothing visible changed": 3},
        "shards": shards,
    }


def recipe_of(count: int, license="cc-by-4.0") -> dict:
    return {
        "anomgen": 1,
        "name": "nsa",
        "source": {"kind": "folder", "path": "good", "size": 256},
        "generator": {"kind": "nsa", "blend": "mixed"},
        "foreground": "auto",
        "count": count,
        "anomaly_ratio": 0.5,
        "seed": 7,
        "license": license,
    }


def write_dataset(
    folder: Path,
    rows: list[Row] | None = None,
    *,
    shards=2,
    keep_normal=False,
    license="cc-by-4.0",
    with_detectability=True,
) -> Path:
    """Write a finished dataset folder: shards, recipe, provenance."""
    rows = made_rows() if rows is None else rows
    columns = Columns(("nsa", "scar"), keep_normal, with_detectability=with_detectability)
    (folder / "data").mkdir(parents=True)
    size = -(-len(rows) // shards)
    for number in range(shards):
        part = rows[number * size : (number + 1) * size]
        write_shard(folder / "data" / shard_name(number, shards), part, columns, {"shard": number})
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe_of(len(rows), license), sort_keys=False))
    (folder / "provenance.json").write_text(json.dumps(provenance_of(rows, shards, license)))
    return folder


class MadePool:
    """The normal images of the made dataset, with the left half as foreground where asked."""

    def __init__(self, foreground=None, count=3):
        self.images = [normal_image(i) for i in range(count)]
        self.mask = foreground
        self.source = self

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]

    stored = __getitem__

    def id(self, index):
        return f"part/{index:03d}.png"

    def foreground(self, image):
        assert any(image is known for known in self.images), "the pool must be asked about its own arrays"
        return self.mask
