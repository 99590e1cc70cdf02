"""Reading a dataset: opening its folder, and its rows one by one, from files that anybody may have written.

Nothing that a file says of itself is trusted before it is compared with its size: only regular files are opened, and
what cannot be so is an error that names the file and the row.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from anomgen.config.text import read_json
from anomgen.dataset import parquet
from anomgen.dataset.columns import IMAGE_COLUMNS, Columns
from anomgen.dataset.origin import (
    LEFT_OUT,
    PROVENANCE,
    RECIPE,
    Damaged,
    own_file,
    read_left_out,
    read_provenance,
    read_recipe,
)
from anomgen.dataset.pictures import Pictured, page_of
from anomgen.dataset.png import decode_png
from anomgen.dataset.record import OPTIONAL, Record, fault_in, kind_fault
from anomgen.dataset.row import StoredRow
from anomgen.errors import AnomgenError, SourceError, UsageError, near_miss
from anomgen.places import file_in, place, read_within
from anomgen.sources.images import read_image
from anomgen.sources.value_range import ValueRange, recorded_range

SHARD_PATTERN = re.compile(r"(?:train|test)-([0-9]{5,})-of-([0-9]{5,})\.parquet")

PREVIEW = "preview.png"
MAX_PREVIEW = 1 << 26
"""Bytes of a preview; one that we write has a quarter of a million."""

_AGAIN = "make the dataset again"


def decode_row(cells: dict[str, Any], columns: Columns) -> dict[str, Any]:
    """Return a stored row with images as arrays, the defect type as a name and the parameters as a dict.

    image, normal: (H, W, C). mask: bool (H, W). soft_mask: float32 (H, W) in [0, 1], or None.
    """
    row = dict(cells)
    for name in IMAGE_COLUMNS:
        if row.get(name) is not None:
            row[name] = decode_png(row[name]["bytes"])
    if "mask" in row:
        row["mask"] = row["mask"][..., 0] > 127
    if row.get("soft_mask") is not None:
        row["soft_mask"] = row["soft_mask"][..., 0] / np.float32(255)
    if "defect_type" in row:
        row["defect_type"] = columns.defect_names[row["defect_type"]]
    if "params" in row:
        row["params"] = read_json(row["params"])
    return row


@dataclass(frozen=True)
class _Group:
    """A row group of a shard, and the smallest and largest index in it."""

    shard: Path
    number: int
    rows: int
    first: int
    last: int


class Dataset(Pictured):
    """A folder that `anomgen make` wrote: its rows, its recipe, its provenance.

    path: the folder, or its URL. partial: also open a run that is not finished; `provenance` is then empty.

    Raises UsageError when the folder is missing, is no anomgen dataset, or is unfinished; Damaged, a UsageError, when
    one of its files is broken.
    """

    def __init__(self, path: str | Path, *, partial: bool = False):
        self.path = place(path)
        _require_dataset(self.path)
        self.shards: tuple[Path, ...] = find_shards(self.path)
        if not partial and not (self.path / PROVENANCE).exists():
            words = ["anomgen", "make", "--recipe", str(self.path / RECIPE), "-o", str(self.path), "--resume"]
            raise UsageError(
                f"{self.path}: unfinished ({len(self.shards)} shards so far, no provenance.json); finish it "
                f"with `{shlex.join(words)}`, and the --source that it was begun with"
            )
        self.recipe: dict[str, Any] = read_recipe(self.path)
        self.provenance: dict[str, Any] = {} if partial else read_provenance(self.path)
        self.left_out: frozenset[int] = read_left_out(self.path)
        """Rows that somebody has thrown out; they are still here, and not in exports and pushes."""
        if not self.shards:
            raise Damaged(f"{self.path}: no data/train-*.parquet in it; {_AGAIN}")
        self.columns = _shared_columns(self.shards)
        self._groups = [group for shard in self.shards for group in _row_groups(shard)]
        self._length = sum(group.rows for group in self._groups)
        if not partial and not self._length:
            raise Damaged(f"{self.path}: its files hold no row; {_AGAIN}")
        if not partial:
            self._require_left()

    @classmethod
    def of(cls, dataset: Dataset | str | Path) -> Dataset:
        """Return a finished dataset: as it is when it is open, or opened."""
        return dataset if isinstance(dataset, Dataset) else cls(dataset)

    @property
    def splits(self) -> dict[str, tuple[Path, ...]]:
        """Return the files of each split, ``train`` first; ``test`` is there where the recipe's `test_share` is."""
        named = {
            split: tuple(file for file in self.shards if file.name.startswith(split)) for split in ("train", "test")
        }
        return {split: files for split, files in named.items() if files}

    @property
    def value_range(self) -> ValueRange | None:
        """Return the range of the source's values, as recorded; None for the whole depth."""
        return recorded_range(self.provenance.get("source", {}).get("range"))

    def rows_in(self, shards: Collection[Path]) -> int:
        """Return how many rows some of the files hold."""
        return sum(group.rows for group in self._groups if group.shard in shards)

    def __len__(self) -> int:
        result: int = self._length
        return result

    def cells(self, index: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """Return row `index` as stored, images as {"bytes", "path"}; reads one row group.

        Raises UsageError when there is no such row or column, or its file is damaged.
        """
        wanted = self._checked(columns)
        for group in self._groups:
            if group.first <= index <= group.last:
                with _reading(group.shard), parquet.open_parquet(group.shard) as file:
                    table = file.read_row_group(group.number, columns=sorted({*wanted, "index"}))
                    position = np.flatnonzero(table["index"].to_numpy() == index)
                    if position.size:
                        row = table.select(wanted).slice(int(position[0]), 1)
                        result: dict[str, Any] = parquet.written_out(row, group.shard, _AGAIN).to_pylist()[0]
                        return result
        raise UsageError(f"{self.path}: no row {index}; it has {len(self)} rows, numbered from 0")

    def row(self, index: int, columns: Sequence[str] | None = None) -> StoredRow:
        """Return row `index` decoded, see `decode_row`; a notebook shows it. Raises UsageError as `cells` does."""
        row = StoredRow(self._decoded(self.cells(index, columns), index))
        row.value_range = self.value_range
        return row

    def stored_rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield every row as stored, in the order of the files, holding at most one row group in memory."""
        wanted = self._checked(columns)
        for shard in self.shards:
            yield from shard_rows(shard, wanted)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield every row decoded, see `decode_row`, holding at most one row group in memory."""
        for position, cells in enumerate(self.stored_rows(columns)):
            yield self._decoded(cells, cells.get("index", position))

    def records(self) -> Iterator[Record]:
        """Yield every row as a record, its images not decoded.

        Raises Damaged for one that is, is there twice, or has other channels or another depth than the first.
        """
        before, usual = -1, None
        for cells in self.stored_rows():
            try:
                record = Record.of_cells(cells, self.columns.defect_names)
            except AnomgenError as error:
                raise Damaged(f"{self.path}: {error}") from error
            if record.is_anomalous and record.defect_type not in self.columns.defect_types:
                raise Damaged(
                    f"{self.path}: row {record.index} has a type of defect that is not among its own; {_AGAIN}"
                )
            if record.index <= before:
                raise Damaged(f"{self.path}: row {record.index} stands after row {before}; {_AGAIN}")
            usual = usual or record.kind
            if fault := kind_fault(record.kind, usual):
                raise Damaged(f"{self.path}: row {record.index}: {fault}; {_AGAIN}")
            before = record.index
            yield record

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Return these columns of all rows; meant for the small ones. Raises Damaged where one lacks a value."""
        wanted = self._checked(columns)
        tables = []
        for shard in self.shards:
            with _reading(shard), parquet.open_parquet(shard) as file:
                tables.append(parquet.plain(parquet.written_out(file.read(columns=wanted), shard, _AGAIN)))
            _require_values(tables[-1], shard)
        return pa.concat_tables(tables).select(wanted)

    def picture(self) -> np.ndarray:
        """Return the sheet of samples that `make` has drawn. Raises UsageError where there is none."""
        file = self.path / PREVIEW
        try:
            return read_image(read_within(file_in(self.path, PREVIEW), MAX_PREVIEW), file.name)
        except (OSError, ValueError, SourceError) as error:
            raise UsageError(f"{file}: no picture ({error}); `anomgen preview {self.path}` draws one") from error

    def _repr_html_(self) -> str:
        """Return how many rows there are of what, above the sheet of samples, as a notebook shows them."""
        rows = self.table(["defect_type"])["defect_type"].value_counts().to_pylist()
        named = {self.columns.defect_names[row["values"]]: row["counts"] for row in rows}
        ranked = sorted(named.items(), key=lambda item: (-item[1], item[0]))
        counts = ", ".join(f"{count} {name}" for name, count in ranked)
        out = f"; {len(self.left_out)} thrown out" if self.left_out else ""
        try:
            picture = self.picture()
        except UsageError:
            picture = None
        return page_of(self.recipe["name"], f"{len(self)} rows ({counts}){out}", picture)

    def _require_left(self) -> None:
        """Raise Damaged where rows are thrown out that are not there, or all of them."""
        spans = [(group.first, group.last) for group in self._groups]
        gone = next((row for row in sorted(self.left_out) if not any(low <= row <= high for low, high in spans)), None)
        fault = f"there is no row {gone}" if gone is not None else "no row is left" * (len(self.left_out) >= len(self))
        if fault:
            file = self.path / LEFT_OUT
            raise Damaged(f"{file}: damaged ({fault}); remove it, and throw the samples out again", "record")

    def _decoded(self, cells: dict[str, Any], index: int) -> dict[str, Any]:
        try:
            if fault := fault_in(cells, self.columns.defect_names):
                raise ValueError(fault)
            return decode_row(cells, self.columns)
        except ValueError as error:
            raise Damaged(f"{self.path}: row {index} is damaged: {error}") from error

    def _checked(self, columns: Sequence[str] | None) -> list[str]:
        known = list(self.columns.names)
        for name in columns or ():
            if name not in known:
                raise UsageError(f"{self.path}: no column {name!r}{near_miss(name, known)}")
        return known if columns is None else list(columns)


def find_shards(path: Path) -> tuple[Path, ...]:
    """Return the shards of a dataset folder in the order of their numbers. Raises Damaged for one that is elsewhere."""
    named = ((SHARD_PATTERN.fullmatch(file.name), file.name) for file in (path / "data").glob("*.parquet"))
    return tuple(own_file(path, f"data/{file}") for _, file in sorted((int(m[1]), file) for m, file in named if m))


def shard_rows(shard: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of one shard as stored. Raises UsageError, naming the file, where it is damaged."""
    with _reading(shard), parquet.open_parquet(shard) as file:
        for rows in parquet.batches(file, shard, columns, _AGAIN):
            yield from rows


def _reading(shard: Path) -> AbstractContextManager[None]:
    return parquet.reading(shard, "delete it and run `anomgen make` with --resume")


def _shared_columns(shards: tuple[Path, ...]) -> Columns:
    with _reading(shards[0]):
        first = parquet.schema_of(shards[0])
    try:
        columns = Columns.of_schema(first)
    except (ValueError, UsageError) as error:
        raise Damaged(f"{shards[0]}: not a file of anomgen: {error}") from error
    for shard in shards[1:]:
        with _reading(shard):
            other = parquet.schema_of(shard)
        if not other.equals(first, check_metadata=True):
            raise Damaged(f"{shard}: its columns differ from those of {shards[0].name}; they are not of one run")
    return columns


def _row_groups(shard: Path) -> Iterator[_Group]:
    with _reading(shard):
        metadata = parquet.metadata_of(shard)
    parquet.require_sound(shard, metadata, _AGAIN)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        leaves = (group.column(i) for i in range(group.num_columns))
        statistics = next((leaf.statistics for leaf in leaves if leaf.path_in_schema == "index"), None)
        if statistics is None or not statistics.has_min_max:
            raise Damaged(f"{shard}: another program wrote this file (no statistics of the column 'index')")
        yield _Group(shard, number, group.num_rows, statistics.min, statistics.max)


def _require_values(table: pa.Table, shard: Path) -> None:
    for name in table.column_names:
        column = table[name]
        if column.null_count and name not in OPTIONAL:
            raise Damaged(f"{shard}: {column.null_count} rows have no {name}; {_AGAIN}", "row")
        if pa.types.is_floating(column.type) and not np.isfinite(column.drop_null().to_numpy()).all():
            raise Damaged(f"{shard}: the column {name} holds what is no number; {_AGAIN}", "row")


def _require_dataset(path: Path) -> None:
    if not path.exists():
        raise UsageError(f"{path}: no such folder")
    if not path.is_dir():
        raise UsageError(f"{path}: a file; give the folder that `anomgen make` wrote")
    if not (path / RECIPE).exists():
        raise UsageError(f"{path}: not an anomgen dataset (no recipe.yaml); give a folder that `anomgen make` wrote")


def load_dataset(dataset: str | Path, *, partial: bool = False) -> Dataset:
    """Open a dataset that `make` wrote: its rows, recipe and provenance.

    dataset: the folder, or its URL. partial: also open a run that is not finished. Raises UsageError when it is none.
    """
    return Dataset(dataset, partial=partial)
