"""The dataset on disk: what a row is, the columns of its Parquet files, and how to read them back.

Writing needs no `datasets`: the Hugging Face features are part of the Arrow schema, as JSON made here, so
that `datasets.load_dataset(folder)` reads the files as they are.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from anomgen.errors import UsageError, near_miss
from anomgen.places import place, readable
from anomgen.sample import Sample, value_max

if TYPE_CHECKING:
    from anomgen.sources.base import Pool

LABELS = ("normal", "anomaly")
NORMAL, ANOMALY = 0, 1
IMAGE_COLUMNS = ("image", "mask", "soft_mask", "normal")
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
SHARD_PATTERN = re.compile(r"train-(\d{5,})-of-(\d{5,})\.parquet")

_IMAGE = {"_type": "Image"}
_IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_BOX_TYPE = pa.list_(pa.list_(pa.int32(), 4))


def _value(dtype: str) -> dict[str, str]:
    return {"dtype": dtype, "_type": "Value"}


# -------------------------------------------------------------------------------------------------- measures


def severity_of(image: np.ndarray, normal: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean absolute change inside the mask, a share 0..1 of the value range; 0 for an empty mask.

    image, normal: (H, W, C), one dtype. mask: bool (H, W). The sums are of integers, so the result is exact.
    """
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    if w == 0:
        return 0.0
    window = slice(y, y + h), slice(x, x + w)
    means = cv2.mean(cv2.absdiff(image[window], normal[window]), mask[window].view(np.uint8))
    channels = image.shape[2]
    return float(np.float32(sum(means[:channels]) / (channels * value_max(image.dtype))))


def area_of(mask: np.ndarray) -> float:
    """Return the share of the image, 0..1, that lies in the mask, bool (H, W)."""
    return float(np.float32(cv2.countNonZero(mask.view(np.uint8)) / mask.size))


def boxes_of(mask: np.ndarray) -> list[list[int]]:
    """Return [x, y, w, h] of each 8-connected component of a mask, bool (H, W), sorted by y, x, w, h.

    Note: the outer contours of the two-level hierarchy are the components; following them is 20 times faster
    than labelling every pixel, and a component inside another's hole has an outer contour of its own.
    """
    contours, hierarchy = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return []
    outer = [cv2.boundingRect(c) for c, links in zip(contours, hierarchy[0], strict=True) if links[3] < 0]
    return [list(box) for box in sorted(outer, key=lambda box: (box[1], box[0], box[2], box[3]))]


# ------------------------------------------------------------------------------------------------------ rows


@dataclass(frozen=True)
class Row:
    """One record of a dataset before it is encoded.

    index: position in the dataset. seed, attempt: with index, enough to draw the sample again. source_id:
    which normal image. normal: that image, untouched, (H, W, C) uint8 or uint16. image: the same with an
    anomaly, or `normal` itself. mask: bool (H, W), empty for a normal row. soft_mask: float32 (H, W) in [0, 1],
    or None where the generator makes none. label: 0 normal, 1 anomaly. params: plain JSON, what was drawn.

    Whether `normal` is written is not the row's affair but that of `Columns.keep_normal`.
    """

    index: int
    seed: int
    attempt: int
    source_id: str
    normal: np.ndarray
    image: np.ndarray
    mask: np.ndarray
    soft_mask: np.ndarray | None
    label: int
    defect_type: str
    params: dict[str, Any]

    @classmethod
    def of_normal(cls, index: int, seed: int, source_id: str, image: np.ndarray, *, soft: bool) -> Row:
        """Return the row of an untouched image; `soft`: whether this dataset's generator makes soft masks."""
        shape = image.shape[:2]
        soft_mask = np.zeros(shape, np.float32) if soft else None
        mask = np.zeros(shape, bool)
        return cls(index, seed, 0, source_id, image, image, mask, soft_mask, NORMAL, LABELS[NORMAL], {})

    @classmethod
    def of_sample(
        cls, sample: Sample, *, index: int, seed: int, attempt: int, source_id: str, normal: np.ndarray
    ) -> Row:
        """Return the row of an anomalous image that was made of `normal`."""
        return cls(
            index,
            seed,
            attempt,
            source_id,
            normal,
            sample.image,
            sample.mask,
            sample.soft_mask,
            ANOMALY,
            sample.defect_type,
            sample.params,
        )

    @property
    def path(self) -> str:
        """Return the name of this row's images, see `image_name`."""
        return image_name(self.index)

    @cached_property
    def severity(self) -> float:
        """Return the mean absolute change inside the mask, 0..1 of the value range."""
        return severity_of(self.image, self.normal, self.mask)

    @cached_property
    def area(self) -> float:
        """Return the share of the image in the mask."""
        return area_of(self.mask)

    @cached_property
    def boxes(self) -> list[list[int]]:
        """Return [x, y, w, h] of the connected components of the mask."""
        return boxes_of(self.mask)


def image_name(index: int) -> str:
    """Return the name of the images of row `index`, ``000123.png``: sorting such names pairs them rightly."""
    return f"{index:06d}.png"


def params_text(params: dict[str, Any]) -> str:
    """Return the parameters of a sample as the JSON that is stored: sorted keys, no NaN."""
    return json.dumps(params, sort_keys=True, ensure_ascii=False, allow_nan=False)


# --------------------------------------------------------------------------------------------------- columns


@dataclass(frozen=True)
class Columns:
    """What differs between the columns of two datasets: the names of the defects, and the untouched twin.

    Raises UsageError when a defect type is called "normal" or is given twice.
    """

    defect_types: tuple[str, ...]
    keep_normal: bool = False

    def __post_init__(self) -> None:
        if LABELS[NORMAL] in self.defect_types or len(set(self.defect_types)) != len(self.defect_types):
            raise UsageError(
                f"defect types {list(self.defect_types)}: each name may be given once, and 'normal' is taken"
            )

    @property
    def defect_names(self) -> tuple[str, ...]:
        """Return the class names of the column `defect_type`; their positions are the stored numbers."""
        return (LABELS[NORMAL], *self.defect_types)

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """Return the Hugging Face features, as `datasets` itself writes them to JSON."""
        features: dict[str, dict[str, Any]] = {
            "image": _IMAGE,
            "mask": _IMAGE,
            "soft_mask": _IMAGE,
            "label": {"names": list(LABELS), "_type": "ClassLabel"},
            "defect_type": {"names": list(self.defect_names), "_type": "ClassLabel"},
            "severity": _value("float32"),
            "area": _value("float32"),
            "boxes": {"feature": {"feature": _value("int32"), "length": 4, "_type": "List"}, "_type": "List"},
            "source_id": _value("string"),
            "index": _value("int64"),
            "seed": _value("int64"),
            "attempt": _value("int64"),
            "params": _value("string"),
        }
        return features | ({"normal": _IMAGE} if self.keep_normal else {})

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns, in their order."""
        return tuple(self.features)

    @cached_property
    def schema(self) -> pa.Schema:
        """Return the Arrow schema, with the features in its metadata."""
        metadata = {"huggingface": json.dumps({"info": {"features": self.features}})}
        return pa.schema([(name, _arrow_type(name, feature)) for name, feature in self.features.items()], metadata)

    @classmethod
    def of_schema(cls, schema: pa.Schema) -> Columns:
        """Return the columns that a file's schema describes. Raises ValueError when it is not anomgen's."""
        try:
            features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
            names = tuple(features["defect_type"]["names"])
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError("its schema has no anomgen features") from error
        columns = cls(defect_types=names[1:], keep_normal="normal" in features)
        if not columns.schema.equals(schema):
            raise ValueError(f"its columns are {schema.names}, not anomgen's {columns.schema.names}")
        return columns


def _arrow_type(name: str, feature: dict[str, Any]) -> pa.DataType:
    if feature["_type"] == "Image":
        return _IMAGE_TYPE
    if name == "boxes":
        return _BOX_TYPE
    return pa.int64() if feature["_type"] == "ClassLabel" else pa.type_for_alias(feature["dtype"])


# --------------------------------------------------------------------------------------------------- reading


def decode_png(data: bytes) -> np.ndarray:
    """Return the image in PNG bytes as (H, W, C) uint8 or uint16, C 1 or 3 (RGB).

    Raises ValueError when the bytes are damaged.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if image is None:
        raise ValueError("its PNG cannot be decoded")
    return image[..., None] if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


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

    def __len__(self) -> int:
        return self._length

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
                    return table.select(wanted).slice(int(position[0]), 1).to_pylist()[0]
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

    if not path.exists():
        raise UsageError(f"{path}: no such folder")
    if not path.is_dir():
        raise UsageError(f"{path}: a file; give the folder that `anomgen make` wrote")
    file = path / "recipe.yaml"
    if not file.is_file():
        raise UsageError(f"{path}: not an anomgen dataset (no recipe.yaml); give a folder that `anomgen make` wrote")
    try:
        recipe = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
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


# ----------------------------------------------------------------------------------------- twins, statistics


class Twins:
    """Finds the untouched image that an anomalous row was made of.

    It is looked for in the row itself (column `normal`), then in a normal row of the same source, then in the
    pool. Holds at most `cache_bytes` of decoded images.
    """

    def __init__(self, dataset: Dataset, pool: Pool | None = None, cache_bytes: int = 1 << 28):
        self.dataset = dataset
        self.pool = pool
        self._position = {} if pool is None else {pool.source.id(i): i for i in range(len(pool))}
        self._row_of = _first_normal_rows(dataset)
        self._cache: OrderedDict[str, np.ndarray] = OrderedDict()
        self._limit, self._used = cache_bytes, 0

    def of(self, row: dict[str, Any]) -> np.ndarray | None:
        """Return the twin of a decoded row that has `source_id`, and `normal` where kept; None if nowhere."""
        if row.get("normal") is not None:
            return row["normal"]
        twin = self.in_rows(row["source_id"])
        return self.in_pool(row["source_id"]) if twin is None else twin

    def in_rows(self, source_id: str) -> np.ndarray | None:
        """Return the image of the first normal row of a source, or None."""
        if source_id not in self._row_of:
            return None
        if source_id in self._cache:
            self._cache.move_to_end(source_id)
            return self._cache[source_id]
        image = self.dataset.row(self._row_of[source_id], ["image"])["image"]
        self._cache[source_id] = image
        self._used += image.nbytes
        while self._used > self._limit and len(self._cache) > 1:
            self._used -= self._cache.popitem(last=False)[1].nbytes
        return image

    def in_pool(self, source_id: str) -> np.ndarray | None:
        """Return the pool's own image of a source, or None."""
        position = self._position.get(source_id)
        return None if self.pool is None or position is None else self.pool[position]


def _first_normal_rows(dataset: Dataset) -> dict[str, int]:
    rows: dict[str, int] = {}
    for cells in dataset.stored_rows(["index", "label", "source_id"]):
        if cells["label"] == NORMAL:
            rows.setdefault(cells["source_id"], cells["index"])
    return rows


def statistics(dataset: Dataset) -> dict[str, Any]:
    """Return counts, and quantiles of area and severity of the anomalous rows, overall and by defect type.

    Reads the small columns alone. Quantiles are those of `QUANTILES`, keyed "0", "5", … "100" (per cent).
    """
    table = dataset.table(["label", "defect_type", "area", "severity"])
    columns = {name: table[name].to_numpy() for name in table.column_names}
    anomalous = columns["label"] == ANOMALY
    by_type = {
        name: _measures(columns, anomalous & (columns["defect_type"] == number))
        for number, name in enumerate(dataset.columns.defect_names)
        if number
    }
    counts = {"normal": int(np.count_nonzero(~anomalous)), "anomaly": int(np.count_nonzero(anomalous))}
    return {"rows": len(anomalous), **counts, "all": _measures(columns, anomalous), "by_type": by_type}


def _measures(columns: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, Any]:
    return {"count": int(np.count_nonzero(chosen))} | {
        name: quantiles_of(columns[name][chosen]) for name in ("area", "severity")
    }


def quantiles_of(values: Iterable[float] | np.ndarray) -> dict[str, float] | None:
    """Return the quantiles `QUANTILES` of some numbers, keyed by per cent; None where there are none."""
    numbers = np.asarray(values, dtype=np.float64)
    if not numbers.size:
        return None
    return {f"{100 * q:g}": float(v) for q, v in zip(QUANTILES, np.quantile(numbers, QUANTILES), strict=True)}
