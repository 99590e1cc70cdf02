"""One row of a finished dataset as it is stored, checked: what exporters and `anomgen score` read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from anomgen.dataset.png import decode_png
from anomgen.dataset.row import ANOMALY, image_name
from anomgen.errors import AnomgenError


@dataclass(frozen=True)
class Record:
    """A row: its columns by name, images as the PNG bytes that are stored.

    mask: 0/255, all 0 for a normal row. soft_mask, normal: None where the dataset has none. defect_type: the name,
    "normal" for a normal row. boxes: [x, y, w, h] of the mask's components. params: JSON text.
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

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any], defect_names: Sequence[str]) -> Record:
        """Return the record of a row as stored, images as {"bytes", "path"}, the defect type as a number.

        Raises AnomgenError where a value is missing, or there is no such defect type.
        """
        values = {name: cell["bytes"] if isinstance(cell, dict) else cell for name, cell in cells.items()}
        empty = [name for name, value in values.items() if value is None and name not in ("soft_mask", "normal")]
        if empty:
            raise AnomgenError(_damaged(cells["index"], f"it has no {empty[0]}"))
        if not 0 <= cells["defect_type"] < len(defect_names):
            raise AnomgenError(_damaged(cells["index"], f"there is no defect type {cells['defect_type']}"))
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


def _damaged(index: int, why: str) -> str:
    return f"row {index} is damaged: {why}; `anomgen check` says more"
