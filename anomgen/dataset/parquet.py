"""Parquet files: those that anybody may have written are read within bounds, and what is written fails in one place.

A few kilobytes can stand for any number of rows, boxes and copies of a text. So no file makes room for more than its
size allows, and nothing that repeats is written out before it is known how much it comes to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from anomgen.dataset.origin import Damaged
from anomgen.files import writing
from anomgen.places import readable

LEAST_ROW = 100
"""Bytes that a row takes in a file at least: its pictures are not compressed further."""
MAX_SMALL = 1 << 28
"""Bytes that the compressed columns of a row group may come to."""
MAX_VALUES = 1 << 22
"""Numbers in a column of a row group, where its rows hold several: those of a million boxes."""
MAX_PARTS = 1 << 14
"""Row groups, and columns, of a file."""
ROWS_AT_ONCE = 64
MAGIC = b"PAR1"
"""What every file begins with."""


@contextmanager
def reading(file: Path, advice: str) -> Iterator[None]:
    """Turn what Parquet's reader raises into Damaged, which names the file and says what to do."""
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError, MemoryError, OverflowError) as error:
        reason = str(getattr(error, "strerror", None) or error).splitlines() or [type(error).__name__]
        raise Damaged(f"{file}: cannot be read as Parquet ({reason[0]}); {advice}") from error


def metadata_of(file: Path) -> pq.FileMetaData:
    """Return what a file says of itself. Raises what the reader raises."""
    with pq.ParquetFile(readable(file), thrift_container_size_limit=MAX_PARTS) as opened:
        return opened.metadata


def schema_of(file: Path) -> pa.Schema:
    """Return a file's schema, as `metadata_of`."""
    with pq.ParquetFile(readable(file), thrift_container_size_limit=MAX_PARTS) as opened:
        return opened.schema_arrow


def open_parquet(file: Path) -> pq.ParquetFile:
    """Open a file for `batches` and `row_group`: what repeats is held once. Raises what the reader raises."""
    metadata = metadata_of(file)
    columns = [metadata.schema.column(number) for number in range(metadata.num_columns)]
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    return pq.ParquetFile(readable(file), metadata=metadata, read_dictionary=texts, page_checksum_verification=True)


def require_sound(file: Path, metadata: pq.FileMetaData, advice: str) -> None:
    """Raise Damaged for a file that cannot hold what it claims to hold, before that is looked for and made room for."""
    size = file.stat().st_size
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    kinds = [metadata.schema.column(number).physical_type for number in range(metadata.num_columns)]
    fault = None
    if not 0 <= metadata.num_rows <= size // LEAST_ROW:
        fault = f"claims {metadata.num_rows} rows in {size} bytes"
    elif min((group.num_rows for group in groups), default=0) < 0 or metadata.num_rows != _rows_of(groups):
        fault = f"claims {metadata.num_rows} rows, its parts {_rows_of(groups)}"
    fault = fault or next(filter(None, (_fault_in(group, kinds, size) for group in groups)), None)
    if fault:
        raise Damaged(f"{file}: {fault}; {advice}")


def _rows_of(groups: Sequence[pq.RowGroupMetaData]) -> int:
    return sum(group.num_rows for group in groups)


def _fault_in(group: pq.RowGroupMetaData, kinds: Sequence[str], size: int) -> str | None:
    """Return what cannot be so in a row group of a file of `size` bytes whose columns have these physical types."""
    if group.num_columns != len(kinds):
        return f"has {group.num_columns} columns in a part, {len(kinds)} in all"
    columns = [group.column(place) for place in range(group.num_columns)]
    values = max((column.num_values for column in columns), default=0)
    if group.total_byte_size > size + MAX_SMALL or values > max(MAX_VALUES, group.num_rows):
        return _too_much()
    for column, kind in zip(columns, kinds, strict=True):
        offsets = [column.data_page_offset] + [column.dictionary_page_offset] * column.has_dictionary_page
        if column.physical_type != kind or column.num_values < group.num_rows:
            return f"claims another kind or number of values in {column.path_in_schema} than it has elsewhere"
        start, end = min(offsets), min(offsets) + column.total_compressed_size
        if not len(MAGIC) <= start <= max(offsets) < end <= size:
            return f"claims values of {column.path_in_schema} where it has none"
    return None


def batches(opened: pq.ParquetFile, file: Path, columns: Sequence[str], advice: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a file, some at a time. Raises Damaged for more than the file's size allows."""
    for number in range(opened.num_row_groups):
        for batch in opened.iter_batches(ROWS_AT_ONCE, row_groups=[number], columns=list(columns)):
            yield written_out(batch.select(list(columns)), file, advice).to_pylist()


def written_out(rows: pa.RecordBatch | pa.Table, file: Path, advice: str) -> Any:
    """Return the rows themselves. Raises Damaged when what is repeated in them comes to too much."""
    if sum(map(_bytes_of, rows.columns)) > file.stat().st_size + MAX_SMALL:
        raise Damaged(f"{file}: {_too_much()}; {advice}")
    return rows


def plain(table: pa.Table) -> pa.Table:
    """Return a table with its texts as such."""
    columns: Mapping[str, Any] = {name: table[name] for name in table.column_names}
    return pa.table(
        {
            name: column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            for name, column in columns.items()
        }
    )


def _too_much() -> str:
    return f"would take more than {MAX_SMALL / 1e6:.3g} MB of memory"


def _bytes_of(column: Any) -> int:
    """Return how many bytes a column's values have when each is written out."""
    if isinstance(column, pa.ChunkedArray):
        return sum(map(_bytes_of, column.chunks))
    if pa.types.is_struct(column.type):
        return sum(map(_bytes_of, column.flatten()))
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    if not len(column.dictionary):
        return 0
    lengths = pc.binary_length(column.dictionary).cast(pa.int64())
    return int(pc.sum(pc.take(lengths, column.indices)).as_py() or 0)


# --- writing --------------------------------------------------------------------------------------------------------


@contextmanager
def parquet_writer(file: IO[bytes], schema: pa.Schema, path: Path, **options: Any) -> Iterator[pq.ParquetWriter]:
    """Give a writer to an opened file, which is whole after the block. path: what errors call it; options: Parquet's.

    Raises AnomgenError when the disk is full or fails. What the block raises passes, and nothing is written after it.
    """
    sink = _Sink(file, path)
    writer = pq.ParquetWriter(sink, schema, **options)
    try:
        yield writer
        writer.close()
    except BaseException:
        sink.abandon()
        with suppress(Exception):
            writer.close()
        raise


class _Sink:
    """The file as Parquet's writer sees it: named in errors, and ignoring what comes after a failure."""

    closed = False

    def __init__(self, file: IO[bytes], path: Path):
        self._file = file
        self._path = path
        self._abandoned = False

    def write(self, data: bytes) -> int:
        if self._abandoned:
            return len(data)
        with writing(self._path):
            return self._file.write(data)

    def tell(self) -> int:
        return 0 if self._abandoned else self._file.tell()

    def flush(self) -> None: ...

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def abandon(self) -> None:
        self._abandoned = True
