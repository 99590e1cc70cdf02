"""The contract of an exporter: the rows of a finished dataset in, the files of another format out."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Any, ClassVar, cast

import numpy as np
from pydantic import Field

from anomgen.config import Config, Share, validated
from anomgen.dataset import card
from anomgen.dataset.reader import Dataset, shard_rows
from anomgen.dataset.record import Record
from anomgen.dataset.row import NORMAL
from anomgen.errors import UsageError, near_miss
from anomgen.files import digest, file_digest, writing
from anomgen.registry import BUNDLED, check_stored, load
from anomgen.sources.verdicts import NORMAL_NAMES


def build_exporter(kind: str, settings: Mapping[str, Any] | None = None) -> Exporter:
    """Return the exporter of a format. Raises UsageError for an unknown one, RecipeError for a wrong setting."""
    exporter: Exporter = validated(load("exporters", kind), settings or {})
    if kind not in BUNDLED["exporters"]:
        check_stored(exporter)
    return exporter


PLAIN_NAME = re.compile(r"\w[\w .-]*")
"""What may become the name of a folder, a class and a part of a pattern."""


FOLDER = "<FOLDER>"
"""Stands for the export's folder in what `Files.load` says."""
SHELL_FOLDER = "<FOLDER, quoted>"
"""Stands for it in a command for the shell: a space in it does not end the word."""


class Files:
    """The files of one export: written below a folder, listed with their digests, counted by split and type.

    folder: where to write. load: how to read the export, line by line; to be filled, with `FOLDER` or, in a command
    for the shell, `SHELL_FOLDER` where its path belongs. notes: what the user should know about this export, a sentence
    each. card: what the YAML of its README.md says besides licence and tags.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.digests: dict[str, str] = {}
        self.counts: dict[str, Counter[str]] = {}
        self.load: list[str] = []
        self.notes: list[str] = []
        self.card: dict[str, Any] = {}
        self.mask_pixels = 0
        self.lost: dict[str, int] | None = None

    def write(self, name: str, data: bytes | str) -> None:
        """Write one file. name: relative, with slashes; its folders are made. Text is written as UTF-8."""
        with self.open(name) as file:
            file.write(data.encode() if isinstance(data, str) else data)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open one file to write bytes to it bit by bit.

        Raises ValueError for a name that is not relative or was written before, AnomgenError when it cannot be
        written.
        """
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name:
            raise ValueError(f"{name!r}: a file of an export has a plain relative name")
        if name in self.digests:
            raise ValueError(f"{name!r} is written twice")
        self.digests[name] = ""
        place = self.folder / path
        with writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as file:
                hashing = _Hashing(file)
                yield cast(IO[bytes], hashing)
        self.digests[name] = hashing.hash.hexdigest()

    def fingerprint(self) -> str:
        """Return the hash of what was written so far; equal when names and contents are equal."""
        return file_digest(json_text(sorted(self.digests.items())).encode())

    def count(self, split: str, record: Record) -> None:
        """Count a record that was written."""
        self.counts.setdefault(split, Counter())[record.defect_type] += 1

    def compare(self, name: str, mask: np.ndarray, held: np.ndarray) -> None:
        """Note how many pixels of a mask, bool (H, W), differ in what the file `name` holds of it."""
        self.lost = self.lost or {}
        self.mask_pixels += int(np.count_nonzero(mask))
        different = int(np.count_nonzero(mask != held))
        if different:
            self.lost[name] = different


class _Hashing:
    """A file that knows the digest of what was written to it."""

    closed = False

    def __init__(self, file: IO[bytes]):
        self.hash = digest()
        self._file = file

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False


class Exporter(Config):
    """Base class of the exporters: its fields are what ``--set`` changes.

    Deterministic: the same dataset and settings give the same files. No path of the machine is written.
    """

    kind: ClassVar[str]
    """Name of the format and in the registry."""
    bits: ClassVar[int] = 16
    """How many bits a channel the format's readers keep; a dataset with more is refused."""

    names: dict[str, str] | Annotated[str, Field(min_length=1)] = Field(default_factory=dict)
    """What defect types are called in the export, ``{nsa: scratch}``, or one name for all of them; by default as in the
    dataset. Types of one name are one class."""

    def called(self, defect_type: str) -> str:
        """Return what a defect type of the dataset is called in the export."""
        return self.names if isinstance(self.names, str) else self.names.get(defect_type, defect_type)

    def renamed(self, dataset: Dataset) -> Dataset:
        """Return the dataset with its defect types called as `names` says.

        Raises UsageError where that cannot be, and where one is then called like normal images: good, ok, normal, ….
        Its rows are still stored under the old names; an exporter gets them as records, under the new ones.
        """
        known = dataset.columns.defect_types
        for name in () if isinstance(self.names, str) else self.names:
            if name not in known:
                listed = ", ".join(known)
                raise UsageError(f"names: no defect type {name!r}{near_miss(name, known)} (there is {listed})")
        types = tuple(dict.fromkeys(map(self.called, known)))
        for name in types:
            if not name or name.lower() in NORMAL_NAMES:
                why = "is called like normal images" if name else "has no name"
                raise UsageError(f"{dataset.path}: the defect type {name!r} {why}; {another_name(name, self.names)}")
        if not self.names:
            return dataset
        result = copy(dataset)
        result.columns = replace(dataset.columns, defect_types=types, vocabulary=())
        return result

    def merged(self, dataset: Dataset) -> dict[str, list[str]]:
        """Return which defect types of the dataset become one class, by its name; none where each has its own."""
        classes: dict[str, list[str]] = {}
        for name in dataset.columns.defect_types:
            classes.setdefault(self.called(name), []).append(name)
        return {name: types for name, types in classes.items() if len(types) > 1}

    def write(self, dataset: Dataset, records: Iterable[Record], files: Files) -> None:
        """Write every record.

        dataset: for what concerns all rows; `columns.defect_types`, `recipe`, `table([…])`. records: its rows in
        order, read while they are taken; all of them must be, and each one counted. Copy the images' bytes, do not
        encode anew. files: takes the files, and how to load them.
        Raises UsageError when the format cannot hold this dataset; nothing is left of the export then.
        """
        raise NotImplementedError(f"{type(self).__name__} must define write()")


class SplitExporter(Exporter):
    """An exporter with a training part.

    The split goes by normal image, not by row: no image, nor what was made of it, is in both parts. It follows from
    the images' ids alone, or is the dataset's own where that has a split `test`.
    """

    train_share: Share = 0.8
    """Share of the normal images whose rows are for training, 0 to 1; no image is in both parts."""

    def training_sources(self, dataset: Dataset, *, normal_only: bool = False) -> frozenset[str]:
        """Return the ids of the normal images whose rows are for training.

        Equal images under two ids are told apart here, unlike by `test_share`. normal_only: the share is of the images
        of normal rows. Raises UsageError when there are too few to split.
        """
        if "test" in dataset.splits:
            rows = (row for file in dataset.splits["train"] for row in shard_rows(file, ["source_id", "label"]))
            return frozenset(row["source_id"] for row in rows if not normal_only or row["label"] == NORMAL)
        rows = dataset.table(["source_id", "label"]).to_pydict()
        pairs = zip(rows["source_id"], rows["label"], strict=True)
        ids = {source_id for source_id, label in pairs if not normal_only or label == NORMAL}
        count = math.floor(self.train_share * len(ids) + 0.5)
        if 0 < self.train_share < 1:
            if len(ids) < 2:
                raise UsageError(_too_few(dataset, len(ids), normal_only))
            count = min(max(count, 1), len(ids) - 1)
        return frozenset(sorted(ids, key=lambda name: hashlib.blake2b(name.encode()).digest())[:count])


def _too_few(dataset: Dataset, count: int, normal_only: bool) -> str:
    rows = "normal rows" if normal_only else "rows"
    found = f"all {rows} come from one normal image" if count else f"it has no {rows}"
    remedy = "make it from more images" if count else "make it with an anomaly_ratio below 1"
    return (
        f"{dataset.path}: {found}, so there is nothing to split into a training and a test part; {remedy}, put all "
        "into one part with --set train_share=1 or 0 where the format allows it, or choose a format without a split"
    )


Category = Annotated[str | None, Field(min_length=1)]
"""The name of the object in the pictures; by default the recipe's name."""


def category_of(dataset: Dataset, category: str | None) -> str:
    """Return the category's name. Raises UsageError when it cannot be a folder's name."""
    name = category if category is not None else str(dataset.recipe.get("name", "anomgen"))
    if not PLAIN_NAME.fullmatch(name):
        raise UsageError(
            f"category {name!r}: it becomes a folder's name; give one of letters, digits, '_', '-', '.' with "
            "--set category=NAME"
        )
    return name


def check_types(dataset: Dataset, names: Mapping[str, str] | str) -> None:
    """Raise UsageError when a defect type cannot be a folder's name.

    names: see `Exporter.names`, as which the dataset's types are called.
    """
    for name in dataset.columns.defect_types:
        if not PLAIN_NAME.fullmatch(name):
            raise UsageError(
                f"{dataset.path}: the defect type {name!r} cannot be the name of a folder in this format; export it "
                f"--to coco, or {another_name(name, names)}"
            )


def another_name(name: str, names: Mapping[str, str] | str) -> str:
    """Return how to call a defect type otherwise that is called so, perhaps as `names` says; see `Exporter.names`."""
    stored = {} if isinstance(names, str) else {new: old for old, new in names.items()}
    other = "NAME" if isinstance(names, str) else f"'{{{stored.get(name, name)}: NAME}}'"
    return f"give it another name with --set names={other}"


def license_of(dataset: Dataset) -> str | None:
    """Return the licence that a dataset's records give it, None where it is not known."""
    return card.license_of(dataset.provenance, dataset.recipe)


def json_text(values: Any) -> str:
    """Return JSON on one line, without a trace of the machine's settings."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
