"""The card of a guiding classifier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomgen.cards import as_yaml
from anomgen.models.card import write_card


def write_classifier_card(folder: Path, record: Mapping[str, Any], shape: tuple[int, ...]) -> None:
    """Write a classifier's card. record: of its training; shape: (H, W, C) of the guided model's images."""
    values = {
        "guides": record["guides"]["name"],
        "data": record["data"],
        "settings": as_yaml(record["settings"], width=80, flow=None),
    }
    front = {"library_name": "anomgen", "pipeline_tag": "image-classification", "tags": ["sdas", "guidance"]}
    write_card(folder, "classifier", record, shape, values, **front)
