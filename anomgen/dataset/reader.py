"""The dataset on disk: what a row is, the columns of its Parquet files, and how to read them back.

Writing needs no `datasets`: the Hugging Face features are part of the Arrow schema, as JSON made here, so
that `datasets.load_dataset(folder)` reads the files as they are.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from anomgen.dataset.columns import IMAGE_COLUMNS, Columns
from anomgen.dataset.png import decode_png
from anomgen.dataset.record import Record
from anomgen.errors import AnomgenError, UsageError, near_miss
from anomgen.places import place, readable
from anomgen.sources.value_range import ValueRange, recorded_range

MARK = "# The recipe of the dataset in this folder, written by anomgen make.\n"
"""First line of the recipe.yaml in a dataset: what tells our folder from one that holds a recipe of the user's."""


def is_ours(out: Path) -> bool:
    """Return whether a folder holds a dataset that `make` made or began; a recipe of the user's own is none."""
    try:
        return (out / "recipe.yaml").read_text(encoding="utf-8").startswith(MARK)
    except (OSError, UnicodeDecodeError):
        return False


SHARD_PATTERN = re.compile(r"train-(\d{5,})-of-(\d{5,})\.parquet")


# -------------------------------------------------------------------------------------------------- measures


# ------------------------------------------------------------------------------------------------------ rows


# --------------------------------------------------------------------------------------------------- columns


# --------------------------------------------------------------------------------------------------- reading


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
        row["params"] = json.loads(row["params"])
    return row


@dataclass(frozen=True)
class _Group:
    """A row group of a shard, and the smallest and largest index in it."""

    shard: Path
    number: int
    first: int
    last: int


class Dataset:
    """A folder that `anomgen make` wrote: its rows, its recipe, its provenance.

    path: the folder, or its URL. partial: also open a run that is not finished; `provenance` is then empty.

    Raises UsageError when the folder is missing, is no anomgen dataset, is unfinished, or has a damaged file.
    """

    def __init__(self, path: str | Path, *, partial: bool = False):
        self.path = place(path)
        self.recipe: dict[str, Any] = _read_recipe(self.path)
        self.shards: tuple[Path, ...] = find_shards(self.path)
        if not partial and not (self.path / "provenance.json").is_file():
            words = ["anomgen", "make", "--recipe", str(self.path / "recipe.yaml"), "-o", str(self.path), "--resume"]
            raise UsageError(
                f"{self.path}: unfinished ({len(self.shards)} shards so far, no provenance.json); finish it "
                f"with `{shlex.join(words)}`, and the --source that it was begun with"
            )
        self.provenance: dict[str, Any] = {} if partial else _read_json(self.path / "provenance.json")
        if not self.shards:
            raise UsageError(f"{self.path}: no data/train-*.parquet in it; make the dataset again")
        self.columns = _shared_columns(self.shards)
        self._groups = [group for shard in self.shards for group in _row_groups(shard)]
        self._length = sum(_metadata(shard).num_rows for shard in self.shards)

    @classmethod
    def of(cls, dataset: Dataset | str | Path) -> Dataset:
        """Return a finished dataset: as it is when it is open, or opened."""
        return dataset if isinstance(dataset, Dataset) else cls(dataset)

    @property
    def value_range(self) -> ValueRange | None:
        """Return the range of the source's values, as recorded; None for the whole depth."""
        return recorded_range(self.provenance.get("source", {}).get("range"))

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
                with _reading(group.shard), _open(group.shard) as file:
                    table = file.read_row_group(group.number, columns=sorted({*wanted, "index"}))
                position = np.flatnonzero(table["index"].to_numpy() == index)
                if position.size:
                    result: dict[str, Any] = table.select(wanted).slice(int(position[0]), 1).to_pylist()[0]
                    return result
        raise UsageError(f"{self.path}: no row {index}; it has {len(self)} rows, numbered from 0")

    def row(self, index: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """Return row `index` decoded, see `decode_row`. Raises UsageError as `cells` does."""
        return self._decoded(self.cells(index, columns), index)

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
        """Yield every row as a record, its images not decoded. Raises UsageError for a damaged one."""
        for cells in self.stored_rows():
            try:
                yield Record.of_cells(cells, self.columns.defect_names)
            except AnomgenError as error:
                raise UsageError(f"{self.path}: {error}") from error

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Return these columns of all rows; meant for the small ones."""
        wanted = self._checked(columns)
        tables = []
        for shard in self.shards:
            with _reading(shard), _open(shard) as file:
                tables.append(file.read(columns=wanted))
        return pa.concat_tables(tables).select(wanted)

    def _decoded(self, cells: dict[str, Any], index: int) -> dict[str, Any]:
        try:
            return decode_row(cells, self.columns)
        except (ValueError, IndexError) as error:
            raise UsageError(f"{self.path}: row {index} is damaged: {error}") from error

    def _checked(self, columns: Sequence[str] | None) -> list[str]:
        known = list(self.columns.names)
        for name in columns or ():
            if name not in known:
                raise UsageError(f"{self.path}: no column {name!r}{near_miss(name, known)}")
        return known if columns is None else list(columns)


def find_shards(path: Path) -> tuple[Path, ...]:
    """Return the shards of a dataset folder in the order of their numbers."""
    found = ((SHARD_PATTERN.fullmatch(file.name), file) for file in (path / "data").glob("*.parquet"))
    return tuple(file for _, file in sorted((int(match[1]), file) for match, file in found if match))


def shard_rows(shard: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of one shard as stored. Raises UsageError, naming the file, where it is damaged."""
    with _reading(shard), _open(shard) as file:
        for number in range(file.num_row_groups):
            for batch in file.iter_batches(64, row_groups=[number], columns=list(columns)):
                yield from batch.select(list(columns)).to_pylist()


@contextmanager
def _reading(shard: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{shard}: cannot be read as Parquet ({reason}); delete it and run `anomgen make` with --resume"
        ) from error


def _open(shard: Path) -> pq.ParquetFile:
    return pq.ParquetFile(readable(shard), page_checksum_verification=True)


def _metadata(shard: Path) -> pq.FileMetaData:
    with _reading(shard):
        return pq.read_metadata(readable(shard))


def _shared_columns(shards: tuple[Path, ...]) -> Columns:
    with _reading(shards[0]):
        first = pq.read_schema(readable(shards[0]))
    try:
        columns = Columns.of_schema(first)
    except (ValueError, UsageError) as error:
        raise UsageError(f"{shards[0]}: not a file of anomgen: {error}") from error
    for shard in shards[1:]:
        with _reading(shard):
            other = pq.read_schema(readable(shard))
        if not other.equals(first, check_metadata=True):
            raise UsageError(f"{shard}: its columns differ from those of {shards[0].name}; they are not of one run")
    return columns


def _row_groups(shard: Path) -> Iterator[_Group]:
    metadata = _metadata(shard)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        leaves = (group.column(i) for i in range(group.num_columns))
        statistics = next(leaf.statistics for leaf in leaves if leaf.path_in_schema == "index")
        if statistics is None or not statistics.has_min_max:
            raise UsageError(f"{shard}: another program wrote this file (no statistics of the column 'index')")
        yield _Group(shard, number, statistics.min, statistics.max)


def _read_recipe(path: Path) -> dict[str, Any]:
    import yaml

    from anomgen.config.text import decoded, read_yaml

    if not path.exists():
        raise UsageError(f"{path}: no such folder")
    if not path.is_dir():
        raise UsageError(f"{path}: a file; give the folder that `anomgen make` wrote")
    file = path / "recipe.yaml"
    if not file.is_file():
        raise UsageError(f"{path}: not an anomgen dataset (no recipe.yaml); give a folder that `anomgen make` wrote")
    try:
        recipe = read_yaml(decoded(file.read_bytes()))
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{file}: not valid YAML: {error}") from error
    if not isinstance(recipe, dict):
        raise UsageError(f"{file}: holds no recipe")
    return recipe


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file}: damaged ({error}); run `anomgen make` with --resume") from error
    if not isinstance(content, dict):
        raise UsageError(f"{file}: damaged (not an object); run `anomgen make` with --resume")
    return content


def load_dataset(dataset: str | Path, *, partial: bool = False) -> Dataset:
    """Open a dataset that `make` wrote: its rows, recipe and provenance.

    dataset: the folder, or its URL. partial: also open a run that is not finished. Raises UsageError when it is none.
    """
    return Dataset(dataset, partial=partial)
