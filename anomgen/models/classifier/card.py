"""The card of a guiding classifier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from anomgen.models.card import write_card


def write_classifier_card(folder: Path, record: Mapping[str, Any], shape: tuple[int, ...]) -> None:
    """Write a classifier's card. record: of its training; shape: (H, W, C) of the guided model's images."""
    values = {
        "guides": record["guides"]["name"],
        "data": record["data"],
        "settings": yaml.safe_dump(record["settings"], sort_keys=False, default_flow_style=None).rstrip("\n"),
    }
    front = {"library_name": "anomgen", "pipeline_tag": "image-classification", "tags": ["sdas", "guidance"]}
    write_card(folder, "classifier", record, shape, values, **front)
