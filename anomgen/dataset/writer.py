"""One shard, one Parquet file: PNG encoding, streaming into row groups, putting the file in place whole."""

from __future__ import annotations

import json
import os
import shutil
import weakref
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from anomgen.config.text import read_json
from anomgen.dataset.columns import IMAGE_COLUMNS, Columns
from anomgen.dataset.parquet import parquet_writer
from anomgen.dataset.png import encode_png, encode_soft_mask
from anomgen.dataset.row import NORMAL, Row, params_text
from anomgen.errors import AnomgenError
from anomgen.files import replacing
from anomgen.places import readable
from anomgen.sources.cache import bounded

ROW_GROUP_BYTES = 16 << 20
"""A row group is closed as soon as it holds this much: reading one row reads little, and memory stays small."""

METADATA_KEY = "anomgen"
"""Key of a shard's own log in the Parquet metadata."""


# -------------------------------------------------------------------------------------------------- encoding


class _Encoded(NamedTuple):
    image: weakref.ref[np.ndarray]
    png: bytes


class Encoder:
    """Turns rows into the cells that are stored. Remembers the PNGs of untouched images: they come again.

    The memory is keyed by the array itself, not by what it is called, and bounded by `cache_bytes`.
    """

    def __init__(self, columns: Columns, cache_bytes: int = 64 << 20):
        self.columns = columns
        self._normal: MutableMapping[int, _Encoded] = bounded(cache_bytes, lambda known: len(known.png))
        self._empty: dict[tuple[int, ...], bytes] = {}

    def cells(self, row: Row) -> dict[str, Any]:
        """Return the stored form of a row: a value per column, images as {"bytes", "path"} or None."""
        cells: dict[str, Any] = {
            **self._images(row),
            "label": row.label,
            "defect_type": self.columns.defect_names.index(row.defect_type),
            "severity": row.severity,
            "detectability": row.detectability,
            "area": row.area,
            "boxes": row.boxes,
            "source_id": row.source_id,
            "index": row.index,
            "seed": row.seed,
            "attempt": row.attempt,
            "params": params_text(row.params),
        }
        return {name: cells[name] for name in self.columns.names}

    def _images(self, row: Row) -> dict[str, dict[str, Any] | None]:
        images: dict[str, bytes | None]
        if row.label == NORMAL:
            empty = self._empty_mask(row.mask)
            soft = None if row.soft_mask is None else empty
            images = {"image": self._untouched(row.image), "mask": empty, "soft_mask": soft}
        else:
            soft = None if row.soft_mask is None else encode_soft_mask(row.soft_mask)
            images = {"image": encode_png(row.image), "mask": encode_png(row.mask), "soft_mask": soft}
        if self.columns.keep_normal:
            images["normal"] = self._untouched(row.normal)
        path = row.path
        return {name: None if data is None else {"bytes": data, "path": path} for name, data in images.items()}

    def _empty_mask(self, mask: np.ndarray) -> bytes:
        if mask.shape not in self._empty:
            self._empty[mask.shape] = encode_png(np.zeros(mask.shape, bool))
        return self._empty[mask.shape]

    def _untouched(self, image: np.ndarray) -> bytes:
        known = self._normal.get(id(image))
        if known is not None and known.image() is image:
            return known.png
        data = encode_png(image)
        if not image.flags.writeable:  # otherwise somebody could write to it before it comes again
            self._normal[id(image)] = _Encoded(weakref.ref(image), data)
        return data


# --------------------------------------------------------------------------------------------------- writing


def shard_name(number: int, count: int, split: str = "train") -> str:
    """Return the file name of shard `number` of `count`: ``train-00000-of-00004.parquet``."""
    return f"{split}-{number:05d}-of-{count:05d}.parquet"


def write_shard(
    path: Path,
    rows: Iterable[Row],
    columns: Columns,
    metadata: Mapping[str, Any],
    *,
    encoder: Encoder | None = None,
) -> None:
    """Write rows to a Parquet file that is there whole or not at all. The same rows give the same bytes.

    rows: consumed one by one; at most a row group of encoded images is held. metadata: plain JSON, the
    shard's log for `shard_metadata`; read after the last row, so `rows` may still fill it. encoder: one that has
    seen earlier shards of this dataset saves time; it does not change the result.

    Raises AnomgenError, naming the file, when the disk is full or not writable. What `rows` raises passes.
    """
    encoder = encoder or Encoder(columns)
    with replacing(path) as file, parquet_writer(file, columns.schema, path, **_options(columns)) as writer:
        for cells in _row_groups(rows, encoder):
            writer.write_table(_table(cells, columns.schema))
        writer.add_key_value_metadata({METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)})


def copy_shard(shard: Path, copy: Path, columns: Columns, without: frozenset[int]) -> None:
    """Write a shard without some of its rows, given by their indices; one that has none of them is linked or copied."""
    with pq.ParquetFile(readable(shard)) as file:
        if without.isdisjoint(file.read(columns=["index"])["index"].to_pylist()):
            try:
                os.link(shard, copy)
            except OSError:
                shutil.copyfile(shard, copy)
            return
        with pq.ParquetWriter(copy, columns.schema, **_options(columns)) as writer:
            for number in range(file.num_row_groups):
                table = file.read_row_group(number)
                kept = np.array([index not in without for index in table["index"].to_pylist()])
                if kept.any():
                    writer.write_table(table.filter(pa.array(kept)).cast(columns.schema))
            log = (file.metadata.metadata or {}).get(METADATA_KEY.encode())
            if log is not None:
                writer.add_key_value_metadata({METADATA_KEY: log.decode()})


def shard_metadata(path: Path) -> dict[str, Any] | None:
    """Return the log that was written with a shard; None when it is missing, damaged or not of anomgen."""
    try:
        stored = pq.read_metadata(readable(path)).metadata or {}
        log = read_json(stored[METADATA_KEY.encode()])
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None
    return log if isinstance(log, dict) else None


def _row_groups(rows: Iterable[Row], encoder: Encoder) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    held = 0
    for cells in map(encoder.cells, rows):  # no name for a row: a large one goes before the next is drawn
        group.append(cells)
        held += sum(len(cells[name]["bytes"]) for name in IMAGE_COLUMNS if cells.get(name))
        if held >= ROW_GROUP_BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group


def _table(group: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.table([_array([c[f.name] for c in group], f.type) for f in schema], schema=schema)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_struct(kind):
        return pa.array(values, kind)
    missing = pa.array([value is None for value in values])
    data = _binary_array([b"" if value is None else value["bytes"] for value in values])
    paths = pa.array([None if value is None else value["path"] for value in values], pa.string())
    return pa.StructArray.from_arrays([data, paths], fields=list(kind), mask=missing)


def _binary_array(values: list[bytes]) -> pa.Array:
    """Return the values end to end in one buffer: five times faster than letting Arrow grow one."""
    ends = np.cumsum([0, *map(len, values)], dtype=np.int64)
    if ends[-1] > np.iinfo(np.int32).max:
        raise AnomgenError(f"a row's images take {ends[-1]} bytes; Parquet's limit is 2 GiB; use a smaller size")
    buffers = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)


def _options(columns: Columns) -> dict[str, Any]:
    """Return how the columns are stored: PNGs as they are, the rest compressed, all with checksums.

    The checksums (0.025 ms a row) catch a flipped bit; the page index (free) lets a reader fetch single rows
    over HTTP. Content-defined chunks (0.025 ms) are left out: they keep compressed pages alike between versions
    of a file, and these are not compressed, so the Hub's own chunking already finds the equal bytes.
    """
    small = [name for name in columns.names if name not in IMAGE_COLUMNS]
    images = [name for name in columns.names if name in IMAGE_COLUMNS]
    return {
        "compression": {f"{name}.bytes": "none" for name in images}
        | {f"{name}.path": "zstd" for name in images}
        | {_leaf(name): "zstd" for name in small},
        "use_dictionary": ["label", "defect_type", "source_id", "seed", "attempt"],
        "write_statistics": [_leaf(name) for name in small if name != "params"],
        "write_page_index": True,
        "write_page_checksum": True,
    }


def _leaf(name: str) -> str:
    """Return the path of a column's values as Parquet names it."""
    return "boxes.list.element.list.element" if name == "boxes" else name
