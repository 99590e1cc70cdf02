"""The columns of a dataset and how their values are read back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from anomgen.config.text import read_json
from anomgen.dataset.row import LABELS, NORMAL
from anomgen.errors import UsageError

VOCABULARY = (
    *("boxes", "cutpaste", "scar", "fpi", "pii", "nsa", "perlin", "sdas", "cyclegan"),
    *("scratch", "crack", "stain", "spot", "dent", "bump", "hole", "fold", "contamination", "discoloration"),
    *("missing_part", "misprint", "haze", "burn", "chipped_edge", "broken_outline", "corrosion"),
    "uneven_finish",
)
"""The defect types of all bundled generators, which have the same numbers in every dataset, so that datasets of two
recipes can be joined. New ones are added at the end: the numbers of the others stay."""

MAX_NAME = 200
"""Characters of a defect type's name that is read."""
IMAGE_COLUMNS = ("image", "mask", "soft_mask", "normal")

OWN = "anomgen.defect_types"
"""Key in a schema's metadata."""

IMAGE = {"_type": "Image"}
"""A column of pictures, as a feature of Hugging Face, …"""
IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""… and in Arrow."""
_BOX_TYPE = pa.list_(pa.list_(pa.int32(), 4))


def _value(dtype: str) -> dict[str, str]:
    return {"dtype": dtype, "_type": "Value"}


@dataclass(frozen=True)
class Columns:
    """What differs between the columns of two datasets: the names of the defects, the normal image, and its age.

    defect_types: those that this dataset may hold. vocabulary: the names that the column `defect_type` knows, in their
    order; defect types that are not among them follow. with_detectability: whether there is a column of that name;
    datasets that are older than it have none.

    Raises UsageError when a defect type is called "normal" or is given twice.
    """

    defect_types: tuple[str, ...]
    keep_normal: bool = False
    vocabulary: tuple[str, ...] = VOCABULARY
    with_detectability: bool = True

    def __post_init__(self) -> None:
        known = tuple(dict.fromkeys((*self.vocabulary, *self.defect_types)))
        object.__setattr__(self, "vocabulary", known)
        if LABELS[NORMAL] in self.defect_types or len(set(self.defect_types)) != len(self.defect_types):
            raise UsageError(
                f"defect types {list(self.defect_types)}: each name may be given once, and 'normal' is taken"
            )

    @property
    def defect_names(self) -> tuple[str, ...]:
        """Return the class names of the column `defect_type`; their positions are the stored numbers."""
        return (LABELS[NORMAL], *self.vocabulary)

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """Return the Hugging Face features, as `datasets` itself writes them to JSON."""
        features: dict[str, dict[str, Any]] = {
            "image": IMAGE,
            "mask": IMAGE,
            "soft_mask": IMAGE,
            "label": {"names": list(LABELS), "_type": "ClassLabel"},
            "defect_type": {"names": list(self.defect_names), "_type": "ClassLabel"},
            "severity": _value("float32"),
            **({"detectability": _value("float32")} if self.with_detectability else {}),
            "area": _value("float32"),
            "boxes": {"feature": {"feature": _value("int32"), "length": 4, "_type": "List"}, "_type": "List"},
            "source_id": _value("string"),
            "index": _value("int64"),
            "seed": _value("int64"),
            "attempt": _value("int64"),
            "params": _value("string"),
        }
        return features | ({"normal": IMAGE} if self.keep_normal else {})

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns, in their order."""
        return tuple(self.features)

    @cached_property
    def schema(self) -> pa.Schema:
        """Return the Arrow schema, with the features and the dataset's own defect types in its metadata."""
        metadata = {
            "huggingface": json.dumps({"info": {"features": self.features}}),
            OWN: json.dumps(self.defect_types),
        }
        return pa.schema([(name, _arrow_type(name, feature)) for name, feature in self.features.items()], metadata)

    @classmethod
    def of_schema(cls, schema: pa.Schema) -> Columns:
        """Return the columns that a file's schema describes. Raises ValueError when it is not anomgen's.

        A file that does not tell the dataset's own defect types, as those of anomgen 0.1, holds all that it names.
        """
        metadata = schema.metadata or {}
        try:
            features = read_json(metadata[b"huggingface"])["info"]["features"]
            names = tuple(features["defect_type"]["names"])[1:]
            own = tuple(read_json(metadata[OWN.encode()])) if OWN.encode() in metadata else names
            if not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME for name in (*names, *own)):
                raise TypeError("a name is a text")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("its schema has no anomgen features") from error
        if not set(own) <= set(names):
            raise ValueError(f"its defect types {list(own)} are not among the classes {list(names)}")
        columns = cls(own, "normal" in features, names, "detectability" in features)
        if not columns.schema.equals(schema):
            raise ValueError(_difference(schema, columns.schema))
        return columns


def _difference(found: pa.Schema, ours: pa.Schema) -> str:
    """Return what differs between the columns of a file and those that it should have."""
    if found.names != ours.names:
        return f"its columns are {found.names}, not anomgen's {ours.names}"
    pairs = ((there, own) for there, own in zip(found, ours, strict=True) if not there.equals(own))
    return "; ".join(f"its column {own.name} holds {_held(there)}, not {_held(own)}" for there, own in pairs)


def _held(field: pa.Field) -> str:
    return f"{field.type}{'' if field.nullable else ' without nulls'}"


def _arrow_type(name: str, feature: dict[str, Any]) -> pa.DataType:
    if feature["_type"] == "Image":
        return IMAGE_TYPE
    if name == "boxes":
        return _BOX_TYPE
    return pa.int64() if feature["_type"] == "ClassLabel" else pa.type_for_alias(feature["dtype"])
