"""The columns of a dataset and how their values are read back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from anomgen.dataset.row import LABELS, NORMAL
from anomgen.errors import UsageError

IMAGE_COLUMNS = ("image", "mask", "soft_mask", "normal")

_IMAGE = {"_type": "Image"}
_IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_BOX_TYPE = pa.list_(pa.list_(pa.int32(), 4))


def _value(dtype: str) -> dict[str, str]:
    return {"dtype": dtype, "_type": "Value"}


@dataclass(frozen=True)
class Columns:
    """What differs between the columns of two datasets: the names of the defects, and the normal image.

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
