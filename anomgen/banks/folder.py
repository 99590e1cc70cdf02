"""A bank on disk: one Parquet file of pictures, masks and names, a record, a card; the same defects, the same bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict, Field

from anomgen.cards import Card
from anomgen.config import Config, validated
from anomgen.config.text import read_json
from anomgen.dataset import parquet
from anomgen.dataset.columns import IMAGE, IMAGE_TYPE
from anomgen.dataset.origin import Damaged
from anomgen.dataset.png import decode_png, encode_png
from anomgen.errors import RecipeError, UsageError
from anomgen.files import file_digest, fingerprint_of, replacing, sweep
from anomgen.places import file_in, home, read_within
from anomgen.sources.hub import hub_folder

RECORD = "bank.json"
DATA = Path("data") / "train-00000-of-00001.parquet"
MAX_RECORD = 1 << 26
WRITTEN = (str(DATA), RECORD, "README.md", "preview.png")
"""What a bank consists of."""
_INSIDE = "anomgen_bank"
"""Key of the record in the data's own metadata."""
_AGAIN = "make the bank again, or take it from a copy"


@dataclass(frozen=True)
class Defect:
    """One real defect: a picture and what of it is the defect.

    image: (H, W, C) uint8 or uint16. mask: bool (H, W). item: the picture's name, portable. digest: the hash of its
    file (`anomgen.files.file_digest`). proposed: whether nobody has approved the mask yet.
    """

    item: str
    defect_type: str
    image: np.ndarray
    mask: np.ndarray
    digest: str
    proposed: bool = False


class DefectRecord(NamedTuple):
    """What the record says of a defect; `image` and `mask` are hashes of the stored PNGs."""

    item: str
    defect_type: str
    digest: str
    proposed: bool
    image: str
    mask: str


class _Record(Config):
    """What a bank's record says; read from what anybody may have written."""

    model_config = ConfigDict(extra="ignore")  # what later versions add

    anomgen_bank: Literal[1]
    name: str
    license: str | None
    masks: Literal["drawn", "difference"]
    notes: list[str]
    defect_types: dict[str, int]
    fingerprint: str
    defects: Annotated[list[DefectRecord], Field(min_length=1)]


def is_bank(folder: Path) -> bool:
    """Return whether a folder holds a bank, be it damaged."""
    return any(_records_of(folder))


def banks_in(folder: Path) -> tuple[list[Bank], list[str]]:
    """Return the banks that lie in a folder, by name, and what is said of each that is damaged."""
    banks, damaged = [], []
    for place in filter(is_bank, sorted(folder.glob("[!.]*"))):
        try:
            banks.append(Bank(place))
        except UsageError as error:
            damaged.append(str(error))
    return banks, damaged


def features(defect_types: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the columns as Hugging Face features."""
    return {
        "image": IMAGE,
        "mask": IMAGE,
        "defect_type": {"names": list(defect_types), "_type": "ClassLabel"},
        "item": {"dtype": "string", "_type": "Value"},
        "digest": {"dtype": "string", "_type": "Value"},
        "proposed": {"dtype": "bool", "_type": "Value"},
    }


def write_bank(
    out: Path, defects: Iterable[Defect], about: Mapping[str, Any], defect_types: Sequence[str], notes: Sequence[str]
) -> Bank:
    """Write data and record of a bank, one row group a defect; whole or not at all.

    The data hold the record, too: a run that is killed between the two leaves a bank, the earlier one or this one.
    Nobody else may be at work in the folder: what killed runs have left of files goes.

    defects: consumed one by one. about: what else is recorded. notes: recorded when all are read. Raises what reading
    them raises, UsageError when there are none, AnomgenError when it cannot be written.
    """
    known = features(defect_types)
    metadata = {"huggingface": json.dumps({"info": {"features": known}})}
    kinds = {"image": IMAGE_TYPE, "mask": IMAGE_TYPE, "defect_type": pa.int64(), "proposed": pa.bool_()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in known], metadata)
    entries: list[DefectRecord] = []
    data = out / DATA
    sweep(out, data.parent)
    with replacing(data) as file, parquet.parquet_writer(file, schema, data, compression="none") as writer:
        for defect in defects:
            image, mask = encode_png(defect.image), encode_png(defect.mask)
            path = f"{len(entries):06d}.png"
            entry = DefectRecord(
                defect.item, defect.defect_type, defect.digest, defect.proposed, file_digest(image), file_digest(mask)
            )
            entries.append(entry)
            row = {
                "image": {"bytes": image, "path": path},
                "mask": {"bytes": mask, "path": path},
                "defect_type": list(defect_types).index(defect.defect_type),
                "item": defect.item,
                "digest": defect.digest,
                "proposed": defect.proposed,
            }
            writer.write_table(pa.Table.from_pylist([row], schema=schema))
        if not entries:
            raise UsageError(f"{out}: no defect is left to put into the bank: {'; '.join(notes)}")
        record = {
            "anomgen_bank": 1,
            **about,
            "notes": list(notes),
            "defect_types": dict(sorted(Counter(entry.defect_type for entry in entries).items())),
            "fingerprint": _fingerprint(entries),
            "defects": [entry._asdict() for entry in entries],
        }
        writer.add_key_value_metadata({_INSIDE: json.dumps(record, ensure_ascii=False)})
    with replacing(out / RECORD) as written:
        written.write((json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    return Bank(out)


class Bank:
    """A folder that `anomgen bank` wrote. Raises UsageError when it is none, or damaged."""

    def __init__(self, folder: Path):
        beside, inside = _records_of(folder)
        if not beside and not inside:
            raise UsageError(f"{folder}: is no bank of defects; `anomgen bank DEFECTS -o BANK` makes one")
        record = (inside if beside is None else beside) or {}
        entries = _entries_of(record)
        if entries and inside and inside.get("fingerprint") != record["fingerprint"]:
            record, entries = inside, _entries_of(inside)
        if not entries:
            raise UsageError(f"{folder / RECORD}: is damaged; {_AGAIN}")
        self.path, self.record, self.entries = folder, record, entries

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def defect_types(self) -> tuple[str, ...]:
        """Return the types, sorted."""
        return tuple(sorted({entry.defect_type for entry in self.entries}))

    @property
    def fingerprint(self) -> str:
        """Return the hash of all pictures, masks, types and names."""
        return str(self.record["fingerprint"])

    @property
    def license(self) -> str | None:
        """Return the licence, None where it is not known."""
        return self.record.get("license")

    @property
    def proposed(self) -> list[str]:
        """Return the items whose masks nobody has approved."""
        return [entry.item for entry in self.entries if entry.proposed]

    @property
    def files(self) -> frozenset[str]:
        """Return the hash of each picture's file."""
        return frozenset(entry.digest for entry in self.entries)

    def defects(self) -> Iterator[Defect]:
        """Yield the defects, decoded one by one. Raises UsageError where the file is not what was recorded."""
        return self._read(range(len(self.entries)))

    def defect(self, number: int) -> Defect:
        """Return one defect, decoded. Raises UsageError as `defects` does, and where there is none of that number."""
        if not 0 <= number < len(self.entries):
            raise UsageError(f"{self.path}: no defect {number}; it has {len(self)}, numbered from 0")
        return next(self._read([number]))

    def _read(self, numbers: Iterable[int]) -> Iterator[Defect]:
        file = self.path / DATA
        with parquet.reading(file, _AGAIN):
            metadata = parquet.metadata_of(file_in(self.path, DATA))
            parquet.require_sound(file, metadata, _AGAIN)
            if metadata.num_row_groups != len(self.entries):
                raise Damaged(f"{file}: has {metadata.num_row_groups} rows, {RECORD} says {len(self)}; {_AGAIN}")
            with parquet.open_parquet(file) as opened:
                for number in numbers:
                    yield self._defect_of(opened.read_row_group(number, columns=["image", "mask"]), number)

    def _defect_of(self, group: pa.Table, number: int) -> Defect:
        file, entry = self.path / DATA, self.entries[number]
        row = parquet.written_out(group.slice(0, 1), file, _AGAIN).to_pylist()[0]
        try:
            image, mask = row["image"]["bytes"], row["mask"]["bytes"]
            if (file_digest(image), file_digest(mask)) != (entry.image, entry.mask):
                raise UsageError(f"{file}: row {number} is not what {RECORD} says; take the bank from a copy")
            pixels, marked = decode_png(image), decode_png(mask)[..., 0] > 0
        except (TypeError, ValueError) as error:
            raise Damaged(f"{file}: row {number} is damaged ({error}); {_AGAIN}") from error
        return Defect(entry.item, entry.defect_type, pixels, marked, entry.digest, entry.proposed)


def open_bank(name: str | Path) -> Bank:
    """Return a bank: in a folder, or in a dataset of the Hub, ``OWNER/NAME`` or ``OWNER/NAME:BANK``.

    The card there says the licence of one whose record names none.

    Raises UsageError when there is none.
    """
    base, colon, chosen = str(name).partition(":")
    inside = chosen or "*"
    patterns = [f"{inside}/{RECORD}", f"{inside}/{DATA.as_posix()}", "README.md"]
    place = hub_folder(name, patterns, "bank", "bank DEFECTS", repo_type="dataset", inside=colon + chosen)
    if place == home(name):
        return Bank(place)
    found = sorted(record.parent for record in place.glob(f"{inside}/{RECORD}"))
    if len(found) != 1:
        names = ", ".join(folder.name for folder in found)
        raise UsageError(
            f"{name}: holds {len(found)} banks ({names}); name one, as in {base}:{found[0].name}"
            if found
            else f"{name}: holds no bank of defects"
        )
    bank, card = Bank(found[0]), Card.read(place)
    if bank.license is None and card is not None and len(card.licenses) == 1:  # given when it was published
        bank.record["license"] = card.licenses[0]
    return bank


def _fingerprint(entries: Sequence[DefectRecord]) -> str:
    return fingerprint_of([list(entry) for entry in entries])


def _records_of(folder: Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the record beside a bank's data, and that in them: None where there is none, empty where it is damaged.

    That in the data counts where there is none beside them, or that of an earlier bank.
    """
    beside = inside = None
    with suppress(OSError):
        beside = _checked(read_within(file_in(folder, RECORD), MAX_RECORD))
    with suppress(OSError, ValueError, pa.ArrowException, KeyError, TypeError):
        inside = _checked(parquet.metadata_of(file_in(folder, DATA)).metadata[_INSIDE.encode()])
    return beside, inside


def _checked(data: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        record = read_json(data)
        if isinstance(record, dict) and record.get("anomgen_bank") == 1:
            return record
    return {}


def _entries_of(record: Mapping[str, Any]) -> tuple[DefectRecord, ...]:
    """Return the defects of a record; none where it is damaged."""
    try:
        known: _Record = validated(_Record, record)
    except RecipeError:
        return ()
    return tuple(known.defects) if known.fingerprint == _fingerprint(known.defects) else ()
