"""One row of a finished dataset as it is stored, checked: what exporters and `anomgen score` read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from anomgen.dataset.columns import IMAGE_COLUMNS
from anomgen.dataset.png import decode_png, png_kind
from anomgen.dataset.row import ANOMALY, NORMAL, image_name
from anomgen.errors import AnomgenError

OPTIONAL = ("soft_mask", "normal", "detectability")
"""Columns in which a row may hold nothing."""
MAX_ID = 10_000
"""Characters of a normal image's name."""


@dataclass(frozen=True)
class Record:
    """A row: its columns by name, images as the PNG bytes that are stored.

    mask: 0/255, all 0 for a normal row. `OPTIONAL`: None where the dataset has none. defect_type: the name, "normal"
    for a normal row. boxes: [x, y, w, h] of the mask's components. params: JSON text.
    """

    image: bytes
    mask: bytes
    soft_mask: bytes | None
    label: int
    defect_type: str
    severity: float
    area: float
    boxes: list[list[int]]
    source_id: str
    index: int
    seed: int
    attempt: int
    params: str
    normal: bytes | None = None
    detectability: float | None = None

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any], defect_names: Sequence[str]) -> Record:
        """Return the record of a row as stored, images as {"bytes", "path"}, the defect type as a number.

        Raises AnomgenError where `fault_in` the row finds one, and where its pictures do not go together by what their
        headers say, or its boxes do not lie in them.
        """
        if fault := fault_in(cells, defect_names) or _misfit_in(cells):
            raise AnomgenError(_damaged(cells["index"], fault))
        values = {name: cell["bytes"] if isinstance(cell, dict) else cell for name, cell in cells.items()}
        return cls(**{**values, "defect_type": defect_names[cells["defect_type"]]})

    @property
    def is_anomalous(self) -> bool:
        """Return whether there is an anomaly in the image."""
        return self.label == ANOMALY

    @property
    def name(self) -> str:
        """Return ``000123.png``: six digits, so that sorted images and sorted masks pair rightly."""
        return image_name(self.index)

    @property
    def stem(self) -> str:
        """Return ``000123``."""
        return self.name.removesuffix(".png")

    @property
    def kind(self) -> tuple[int, np.dtype]:
        """Return channels and dtype of the image, by its header."""
        return png_kind(self.image)[2:]

    @cached_property
    def image_pixels(self) -> np.ndarray:
        """Return the image, (H, W, C). Raises AnomgenError when its PNG is damaged, as the others do."""
        return self._decoded("image", self.image)

    @cached_property
    def mask_pixels(self) -> np.ndarray:
        """Return the mask, bool (H, W)."""
        return self._decoded("mask", self.mask)[..., 0] > 127

    @cached_property
    def soft_mask_pixels(self) -> np.ndarray | None:
        """Return the soft mask, float32 (H, W) in [0, 1], or None."""
        if self.soft_mask is None:
            return None
        result: np.ndarray = self._decoded("soft mask", self.soft_mask)[..., 0] / np.float32(255)
        return result

    @cached_property
    def normal_pixels(self) -> np.ndarray | None:
        """Return the normal image, (H, W, C), where the dataset keeps it."""
        return None if self.normal is None else self._decoded("normal image", self.normal)

    def _decoded(self, what: str, data: bytes) -> np.ndarray:
        try:
            return decode_png(data)
        except ValueError as error:
            raise AnomgenError(_damaged(self.index, f"its {what}: {error}")) from error


def missing_in(cells: Mapping[str, Any]) -> str | None:
    """Return which value of a row as stored, or of some of its columns, is missing or no number; None: all are there.

    Those of `OPTIONAL` may be missing.
    """
    for name, value in cells.items():
        if value is None:
            is_there = name in OPTIONAL
        elif name in IMAGE_COLUMNS:
            is_there = value["bytes"] is not None
        elif isinstance(value, float):
            is_there = math.isfinite(value)
        elif name == "boxes":
            is_there = all(box is not None and None not in box for box in value)
        else:
            is_there = True
        if not is_there:
            return f"it has no {name}"
    return None


def fault_in(cells: Mapping[str, Any], defect_names: Sequence[str]) -> str | None:
    """Return what of a row as stored, or of some of its columns, cannot be; None where there is no fault."""
    if missing := missing_in(cells):
        return missing
    if cells.get("label", ANOMALY) not in (NORMAL, ANOMALY):
        return f"there is no label {cells['label']}"
    if not 0 <= cells.get("defect_type", 0) < len(defect_names):
        return f"there is no defect type {cells['defect_type']}"
    if len(cells.get("source_id", "")) > MAX_ID:
        return f"its source_id has {len(cells['source_id'])} characters"
    low = next((name for name in ("index", "attempt") if cells.get(name, 0) < 0), None)
    return low and f"its {low} is {cells[low]}"


def _misfit_in(cells: Mapping[str, Any]) -> str | None:
    """Return what of a row's pictures, by their headers, and its boxes cannot be; None where they go together."""
    kinds = {}
    for name in IMAGE_COLUMNS:
        if (cell := cells.get(name)) is not None:
            try:
                kinds[name] = png_kind(cell["bytes"])
            except ValueError as error:
                return f"its {name}: {error}"
    height, width, *_ = kinds["image"]
    for name, kind in kinds.items():
        if kind != (kinds["image"] if name in ("image", "normal") else (height, width, 1, np.dtype(np.uint8))):
            return f"its {name} is {_words(kind)}, the image {_words(kinds['image'])}"
    for x, y, w, h in cells["boxes"]:
        if not (0 <= x < x + w <= width and 0 <= y < y + h <= height):
            return f"its box {[x, y, w, h]} does not lie in the image of {height}×{width} pixels"
    return None


def _words(kind: tuple[int, int, int, np.dtype]) -> str:
    height, width, channels, dtype = kind
    return f"{height}×{width}×{channels} {dtype}"


def kind_fault(kind: tuple[int, np.dtype], usual: tuple[int, np.dtype]) -> str | None:
    """Return what is wrong with a row whose image has other channels or another depth than the dataset's first."""
    if kind == usual:
        return None
    here, there = (f"{'grey' if channels == 1 else 'colour'} {dtype}" for channels, dtype in (kind, usual))
    return f"its image is {here}, that of the dataset's first row {there}"


def _damaged(index: int | None, why: str) -> str:
    return f"row {index} is damaged: {why}; `anomgen check` says more"
