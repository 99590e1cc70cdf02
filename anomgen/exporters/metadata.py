"""``metadata.parquet``: what makes an image folder of `datasets` one with masks and all other columns.

`datasets` takes the rows of a split from this file; each ``*_file_name`` column becomes an image. Parquet rather than
JSON lines, because a split of normal images alone has no mask to tell the column's type from, and because a label
stays a ClassLabel.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from anomgen.dataset.columns import IMAGE_COLUMNS, Columns
from anomgen.dataset.parquet import parquet_writer
from anomgen.dataset.record import Record

NAME = "metadata.parquet"
_BATCH = 4096


@contextmanager
def metadata_file(file: IO[bytes], columns: Columns, images: tuple[str, ...]) -> Iterator[Metadata]:
    """Give what writes the metadata of one split. file: open for bytes. images: the image columns that have files."""
    small = tuple(name for name in columns.names if name not in IMAGE_COLUMNS)
    schema = _schema(columns, images, small)
    with parquet_writer(file, schema, Path(NAME), compression="zstd") as writer:
        metadata = Metadata(writer, schema, columns, small)
        yield metadata
        metadata.flush()


class Metadata:
    """Writes the metadata of one split, see `metadata_file`."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema, columns: Columns, small: tuple[str, ...]):
        self._writer, self._schema, self._columns, self._small = writer, schema, columns, small
        self._rows: list[dict[str, Any]] = []

    def add(self, record: Record, paths: Mapping[str, str | None]) -> None:
        """Add a record. paths: image column → file, relative to the metadata's folder, None where it has none."""
        row: dict[str, Any] = {_file_column(name): path for name, path in paths.items()}
        row |= {name: getattr(record, name) for name in self._small}
        row["defect_type"] = self._columns.defect_names.index(record.defect_type)
        self._rows.append(row)
        if len(self._rows) == _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write the records that wait."""
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


def _file_column(image: str) -> str:
    return "file_name" if image == "image" else f"{image}_file_name"


def _schema(columns: Columns, images: tuple[str, ...], small: tuple[str, ...]) -> pa.Schema:
    names = [_file_column(name) for name in images]
    features: dict[str, Any] = {name: {"dtype": "string", "_type": "Value"} for name in names}
    features |= {name: columns.features[name] for name in small}
    fields = [pa.field(name, pa.string()) for name in names] + [columns.schema.field(name) for name in small]
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": features}})})
