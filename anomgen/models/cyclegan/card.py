"""The card of a Cycle-GAN."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomgen.cards import as_yaml
from anomgen.models.card import write_card


def write_cyclegan_card(folder: Path, record: Mapping[str, Any], shape: tuple[int, ...], threshold: float) -> None:
    """Write a Cycle-GAN's card. record: of its training; shape: (H, W, C); threshold: of `CycleGANDescription`."""
    normal, abnormal = record["data"]
    values = {
        "size": shape[0] if shape[0] == shape[1] else f"{shape[0]}x{shape[1]}",
        "normal": normal,
        "abnormal": abnormal,
        "threshold": f"{threshold:.2%}",
        "settings": as_yaml(record["settings"], width=80, flow=None),
    }
    front = {"library_name": "anomgen", "pipeline_tag": "image-to-image", "tags": ["cyclegan"]}
    write_card(folder, "cyclegan", record, shape, values, **front)
