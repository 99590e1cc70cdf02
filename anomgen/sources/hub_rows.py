"""The rows of a Hugging Face dataset: what reads their images, and which of them its columns call normal."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from anomgen.errors import SourceError, UsageError
from anomgen.places import home, is_url
from anomgen.sources.annotations.marked import without_marked
from anomgen.sources.images import read_bytes
from anomgen.sources.mask_files import Look, look_of
from anomgen.sources.pairing import is_of_object, marked
from anomgen.sources.tree import MASK_NAMES, left_out
from anomgen.sources.verdicts import NOTHING, are_flags, is_verdict, normal_labels, says_normal, words_of

MASK_COLUMNS = MASK_NAMES | {"label_mask", "anomaly_mask"}
_LOOKED = 6
"""Rows of a column of images that are opened to see whether it is one of masks."""
_RUNS = frozenset({"rle", "encodedpixels"})
_NO_RUNS = NOTHING | {"", "-1", "[]"}
BOX_COLUMNS = _RUNS | {"objects", "bbox", "bboxes", "boxes", "annotations", "polygons", "segments", "defects"}
_LABEL_COLUMNS = ("defect_type", "defect", "label", "class", "anomaly", "is_anomaly")
_LABEL_WORDS = frozenset(
    re.findall(r"\w+", "category class condition diagnosis grade label labels quality result state target type verdict")
)
"""Words of columns in which one word of normal images is enough; in others another must speak of anomalous ones."""
_FLAG_WORDS = frozenset({"label", "labels", "target"})
_CLASS_KEYS = ("category", "categories", "label", "labels", "class", "classes", "name", "names")
_BATCH = 256
_IGNORE = "--set 'source.ignored_columns=[{}]'"
_MASK_ADVICE = "Invert masks that are inverted. Where the column holds something else, such as masks of the object: "


@dataclass(frozen=True)
class RowReader:
    """Reads the encoded image of a row; pickles as a reference to the dataset's files."""

    dataset: Any
    column: str
    roots: tuple[Path, ...]
    """Folders of the dataset; of files elsewhere, which its rows may name, none is read."""

    def __call__(self, row: int) -> bytes:
        """Return the image file's contents; SourceError when the row has none."""
        cell = self.dataset[row][self.column]
        if cell is None:
            raise SourceError(f"row {row}: has no image in column {self.column!r}")
        data = cell["bytes"]
        return read_bytes(self._inside(row, cell["path"]), f"row {row}") if data is None else data

    def _inside(self, row: int, named: str | None) -> Path:
        """Return the file that a row names. Raises SourceError where it is none of the dataset's."""
        path = Path(named or "")
        if named and not path.is_absolute():
            path = self.roots[0] / path
        if not named or is_url(named) or ".." in path.parts or not any(map(path.is_relative_to, self.roots)):
            raise SourceError(
                f"row {row}: names the file {str(named)[:200]!r}, which is not the dataset's; store the images in it"
            )
        return path


def roots_of(datasets: Any, path: str) -> tuple[Path, ...]:
    """Return where the files of a dataset lie: its folder, and where the libraries keep what they load and unpack."""
    from huggingface_hub import constants

    folder, config = home(path), datasets.config
    own = (folder.absolute(), folder.resolve()) if folder.is_dir() else ()
    kept = (config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE)
    return (*own, *(Path(where).absolute() for where in kept))


class Labels(NamedTuple):
    """A column that tells normal rows from others. of: the label of each row; normal: which labels are normal ones."""

    column: str
    of: list[str]
    normal: frozenset[str]

    @property
    def are_flags(self) -> bool:
        """Return whether the labels are 0 and 1, or true and false."""
        return are_flags({label for label in self.of if label})

    @property
    def others(self) -> list[str]:
        """Return the labels of rows that are not normal."""
        return sorted(set(self.of) - self.normal)


class Rows:
    """The rows of a split of a dataset, loaded by the library `datasets`. path: of the dataset, as the user gave it."""

    def __init__(self, datasets: Any, dataset: Any, path: str, split: str, roots: tuple[Path, ...]):
        self.path, self.split = path, split
        self._library, self._dataset, self._roots = datasets, dataset, roots
        self.features: Mapping[str, Any] = dataset.features

    def __len__(self) -> int:
        return len(self._dataset)

    def id(self, row: int) -> str:
        """Return what a row is called."""
        return f"{self.split}/{row:06d}"

    def reader(self, column: str) -> RowReader:
        """Return what reads a column of images."""
        images = self._dataset.select_columns([column])
        return RowReader(images.cast_column(column, self._library.Image(decode=False)), column, self._roots)

    def image_columns(self) -> tuple[list[str], str | None]:
        """Return the columns of images, the likeliest first, and that of masks; None where there are no masks."""
        images, masks = self._images_and_masks
        return images, (masks[0] if masks else None)

    @cached_property
    def _images_and_masks(self) -> tuple[list[str], list[str]]:
        images = [name for name, feature in self.features.items() if isinstance(feature, self._library.Image)]
        images.sort(key=lambda name: name != "image")
        masks = [name for name in images if name.lower() in MASK_COLUMNS]
        others = [name for name in images if name not in masks]
        perhaps = [name for name in others[others[:1] == ["image"] :] if len(others) > 1 and not is_of_object(name)]
        drawn = [name for name in perhaps if self._is_flat(name)]
        if len(drawn) < len(others):
            masks += drawn
        return [name for name in others if name not in masks], masks

    def _is_flat(self, column: str) -> bool:
        """Return whether some of a column's images, from all parts of it, look like masks, all of them."""
        rows = [row for row, given in enumerate(self.given(column)) if given]
        read = self.reader(column)
        some = rows[:: max(1, len(rows) // _LOOKED)][:_LOOKED]
        return bool(some) and all(look_of(read(row)) in (Look.MASK, Look.EMPTY) for row in some)

    @property
    def box_columns(self) -> list[str]:
        """Return the columns of objects, of their boxes or outlines, of masks as runs, and of defects where any are."""
        images = {name for own in self._images_and_masks for name in own}
        return [name for name in self.features if name not in images and self._marks(name)]

    def _marks(self, column: str) -> bool:
        feature = self.features[column]
        if not isinstance(feature, self._library.Value | self._library.ClassLabel):
            return _plain(column) in (_RUNS | {"defects"} if _is_of_texts(feature) else BOX_COLUMNS)
        if not self._is_text(column) or _plain(column) in _RUNS:
            return _plain(column) in _RUNS
        texts = self._dataset.unique(column) if says_normal(column) is False else [""]
        return not all(texts) and any(texts) and not any(says_normal(text) for text in texts if text)

    def class_columns(self) -> list[str]:
        """Return the columns of class labels."""
        return [name for name, feature in self.features.items() if getattr(feature, "names", None)]

    def given(self, column: str | None) -> list[bool]:
        """Return which rows have something in a column; none has where there is no column."""
        if column is None:
            return [False] * len(self)
        batches = self._dataset.select_columns([column]).with_format("arrow").iter(_BATCH)
        return [valid for batch in batches for valid in batch[column].is_valid().to_pylist()]

    def label_columns(self) -> list[str]:
        """Return the columns whose names or kinds say that they may tell normal rows, the likeliest first."""
        kinds = (self._library.Value, self._library.ClassLabel)
        known = {name.lower(): name for name, feature in self.features.items() if isinstance(feature, kinds)}
        named = [known[name] for name in _LABEL_COLUMNS if name in known]
        told = [name for name in known.values() if says_normal(name) is not None or words_of(name) & _FLAG_WORDS]
        flags = [name for name in told if self._is_whole(name) or self._is_text(name)]
        return list(dict.fromkeys([*named, *self.class_columns(), *flags]))

    def _is_whole(self, column: str) -> bool:
        return str(self.features[column].dtype).startswith(("bool", "int", "uint"))

    def _is_text(self, column: str) -> bool:
        return str(getattr(self.features[column], "dtype", "")).endswith("string")

    def _told_texts(self) -> Iterator[str]:
        """Yield the columns of few texts that are called like labels, or of which all are verdicts, of both kinds."""
        for name in filter(self._is_text, self.features):
            texts = {text for text in self._dataset.unique(name) if text}
            if len(texts) <= max(2, len(self) // 2):
                is_told = all(map(is_verdict, texts)) and set(map(says_normal, texts)) == {True, False}
                if words_of(name) & _LABEL_WORDS or is_told:
                    yield name

    def labels(self, column: str) -> list[str]:
        """Return a column's values as text: class labels as their names, "" for none."""
        names = getattr(self.features[column], "names", None)
        return [_text(value, names) for value in self._dataset[column]]

    def told(self) -> Iterator[Labels]:
        """Yield the columns of which `normal_labels` tells normal rows from others, the likeliest first."""
        marking = self.box_columns
        for column in dict.fromkeys([*self.label_columns(), *self._told_texts()]):
            if column in marking:
                continue
            labels = self.labels(column)
            normal = normal_labels(column, set(labels) - {""})
            if normal is not None:
                yield Labels(column, labels, normal)

    def unmarked(self, rows: Sequence[int], mask: str | None) -> tuple[list[int], tuple[str, ...]]:
        """Return those of some rows that neither a mask nor an object marks, and notes on the others.

        mask: the column of masks, None for none. Classes called normal mark nothing. Raises SourceError for masks that
        `read_defect_mask` refuses.
        """
        kept, notes = self._without_masks(rows, mask) if mask is not None else (list(rows), ())
        for column in self.box_columns:
            kinds = {self.id(row): own for row, own in self._objects(column, kept)}
            left, told = without_marked([self.id(row) for row in kept], kinds, f"column {column}", what="row")
            if len(left) < len(kept):
                say = _IGNORE.format(column)
                told += (f"annotations were read from column {column}; if they mark no defects: {say}",)
            staying = set(left)
            kept, notes = [row for row in kept if self.id(row) in staying], notes + told
        return kept, notes

    def _without_masks(self, rows: Sequence[int], mask: str) -> tuple[list[int], tuple[str, ...]]:
        """Return the rows that no mask marks, and a note on the others."""
        given = self.given(mask)
        row_of = {self.id(row): row for row in rows if given[row]}
        read, where = self.reader(mask), f"{self.path}: column {mask}"
        ignore = _IGNORE.format(mask)
        masks_of = {name: [name] for name in row_of}
        gone = marked(masks_of, lambda name: read(row_of[name]), where, advice=_MASK_ADVICE + ignore)
        names = [name for name in row_of if name in gone]
        if len(names) == len(rows) and mask.lower() not in MASK_COLUMNS:
            note = (
                f"column {mask} marks something on all rows, which is taken for what they normally show; if it is a "
                "defect they are no normal images: give them to `anomgen bank`"
            )
            return list(rows), (note,)
        kept = [row for row in rows if self.id(row) not in gone]
        read_from = (f"masks were read from column {mask}; if they mark no defects: {ignore}",) * bool(names)
        return kept, left_out(names, f"whose masks, in column {mask}, mark an anomaly", "row") + read_from

    def _objects(self, column: str, rows: Sequence[int]) -> Iterator[tuple[int, set[str]]]:
        """Yield the rows that have objects, and the classes of these; "object" for those without."""
        wanted, names = set(rows), _names_in(self.features[column])
        batches = self._dataset.select_columns([column]).with_format("arrow").iter(_BATCH)
        cells = (cell for batch in batches for cell in batch[column].to_pylist())
        for row, cell in enumerate(cells):
            kinds = {kind for kind in _kinds(cell, names) if says_normal(kind) is not True} if row in wanted else None
            if kinds:
                yield row, {"object"} if _plain(column) in _RUNS else kinds


def refuse_anomalous_rows(rows: Rows) -> None:
    """Raise UsageError when labels say that not all rows are normal."""
    for labels in rows.told():
        if not labels.others:
            continue
        column, others = labels.column, ", ".join(label or "nothing" for label in labels.others[:5])
        normal = sorted(labels.normal & set(labels.of))
        chosen = shlex.quote(f"source.label={normal[0] if normal else labels.others[-1]}")
        choose = f"--set source.label_column={column} --set {chosen}"
        ignore = f"if all are normal, {_IGNORE.format(column)}"
        if normal:
            raise UsageError(
                f"{rows.path}: not all rows are normal images: {column} is also {others}. Choose the normal ones with "
                f"{choose}; {ignore}"
            )
        raise UsageError(
            f"{rows.path}: no row is said to be a normal image: {column} is {others}. Give images of defects to "
            f"`anomgen bank`; {ignore}, or choose the normal ones with {choose}"
        )


def _is_of_texts(feature: Any) -> bool:
    """Return whether a column holds lists of texts."""
    inner = feature[0] if isinstance(feature, list) and feature else getattr(feature, "feature", None)
    return str(getattr(inner, "dtype", "")).endswith("string")


def _plain(column: str) -> str:
    """Return the letters of a column's name, small ones."""
    return "".join(filter(str.isalpha, column.lower()))


def _text(value: Any, names: Sequence[str] | None) -> str:
    if value is None or (names and value < 0):  # -1 is a row of which the label is kept
        return ""
    if names:
        return str(names[value])
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _names_in(feature: Any) -> dict[str, Sequence[str]]:
    """Return the names of the classes of objects, by key, where a column's feature holds them."""
    while feature is not None and not isinstance(feature, Mapping):
        feature = feature[0] if isinstance(feature, list) and feature else getattr(feature, "feature", None)
    ends: dict[str, Any] = {key: getattr(value, "feature", value) for key, value in (feature or {}).items()}
    return {key: end.names for key, end in ends.items() if getattr(end, "names", None)}


def _kinds(cell: Any, names: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the class of each object in a cell: a list of objects or of boxes, one box, or lists by key."""
    if isinstance(cell, Mapping):
        lists = {key: value for key, value in cell.items() if isinstance(value, list)}
        count = max(map(len, lists.values()), default=0)
        cell = [{key: value[k] for key, value in lists.items() if k < len(value)} for k in range(count)]
    if isinstance(cell, str):
        cell = [cell] if cell.strip().lower() not in _NO_RUNS else []
    if not isinstance(cell, list):
        return
    if cell and all(isinstance(value, int | float) for value in cell):
        cell = [cell]
    for one in cell:
        if isinstance(one, str):
            yield one
            continue
        known = [key for key in (*names, *_CLASS_KEYS) if isinstance(one, Mapping) and one.get(key) is not None]
        yield (_text(one[known[0]], names.get(known[0])) if known else "") or "object"
