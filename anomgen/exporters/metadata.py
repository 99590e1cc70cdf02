"""``metadata.parquet``: what makes an image folder of `datasets` one with masks and all other columns.

`datasets` takes the rows of a split from this file; each ``*_file_name`` column becomes an image. Parquet rather than
JSON lines, because a split of normal images alone has no mask to tell the column's type from, and because a label
stays a ClassLabel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from anomgen.dataset.columns import IMAGE_COLUMNS, Columns
from anomgen.dataset.record import Record

NAME = "metadata.parquet"
_BATCH = 4096


class Metadata:
    """Writes the metadata of one split. file: open for bytes. images: the image columns that have files."""

    def __init__(self, file: IO[bytes], columns: Columns, images: tuple[str, ...]):
        self._columns = columns
        self._small = tuple(name for name in columns.names if name not in IMAGE_COLUMNS)
        self._schema = _schema(columns, images, self._small)
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def add(self, record: Record, paths: Mapping[str, str | None]) -> None:
        """Add a record. paths: image column → file, relative to the metadata's folder, None where it has none."""
        row: dict[str, Any] = {_file_column(name): path for name, path in paths.items()}
        row |= {name: getattr(record, name) for name in self._small}
        row["defect_type"] = self._columns.defect_names.index(record.defect_type)
        self._rows.append(row)
        if len(self._rows) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self._rows:
            self._flush()
        self._writer.close()


def _file_column(image: str) -> str:
    return "file_name" if image == "image" else f"{image}_file_name"


def _schema(columns: Columns, images: tuple[str, ...], small: tuple[str, ...]) -> pa.Schema:
    names = [_file_column(name) for name in images]
    features: dict[str, Any] = {name: {"dtype": "string", "_type": "Value"} for name in names}
    features |= {name: columns.features[name] for name in small}
    fields = [pa.field(name, pa.string()) for name in names] + [columns.schema.field(name) for name in small]
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": features}})})
