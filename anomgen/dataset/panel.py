"""One sample as people look at it: its pictures in 8 bits, and what differs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from anomgen.dataset.normals import NormalImages
from anomgen.dataset.pictures import coloured, displayable, factor_of, grey, saturated, scale_of
from anomgen.dataset.row import ANOMALY, Row
from anomgen.sources.pixels import value_max
from anomgen.sources.value_range import ValueRange, stretched

View = Literal["image", "normal", "mask", "soft_mask", "difference"]
VIEWS: tuple[View, ...] = get_args(View)
"""The pictures of a sample."""
RECORDED = (
    "index",
    "seed",
    "attempt",
    "source_id",
    "defect_type",
    "detectability",
    "severity",
    "area",
    "boxes",
    "params",
)
"""What of a row is told beside its pictures."""


@dataclass(frozen=True)
class Panel:
    """One sample as a sheet shows it.

    image: (H, W, C) uint8 or uint16, stretched to its depth. mask: bool (H, W). soft_mask: float32 (H, W)
    in [0, 1], or None. normal: the image before, or None where it is not known. caption: one line of text. record:
    what is recorded of it, plain.
    """

    image: np.ndarray
    mask: np.ndarray
    soft_mask: np.ndarray | None
    normal: np.ndarray | None
    caption: str
    record: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_row(cls, row: Row) -> Panel:
        """Return the panel of a row that was just drawn."""
        caption = caption_of(row.index, row.defect_type, row.detectability, row.severity, row.area, row.source_id)
        image, normal = stretched(row.image, row.value_range), stretched(row.normal, row.value_range)
        record = {name: getattr(row, name) for name in RECORDED}
        return cls(image, row.mask, row.soft_mask, normal, caption, record)

    @classmethod
    def of_stored(cls, row: dict[str, Any], normals: NormalImages, value_range: ValueRange | None) -> Panel:
        """Return the panel of a decoded row of a dataset; normals: where its normal image is looked for."""
        image = row["image"]
        normal = normals.of(row) if row["label"] == ANOMALY else image
        if normal is not None:
            normal = stretched(normal, value_range) if normal.shape == image.shape else None
        measures = row.get("detectability"), row["severity"], row["area"]
        caption = caption_of(row["index"], row["defect_type"], *measures, row["source_id"])
        record = {name: row[name] for name in RECORDED if name in row}
        return cls(stretched(image, value_range), row["mask"], row["soft_mask"], normal, caption, record)

    def picture(self, view: View) -> np.ndarray | None:
        """Return one of the sample's pictures, (H, W, 3) uint8; None where it is not known.

        A difference is multiplied by the largest of `FACTORS` that its changes allow.
        """
        scale = scale_of(self.image, self.normal)
        if view == "image":
            return displayable(self.image, scale)
        if view == "mask":
            return grey(self.mask * np.float32(255))
        if view == "soft_mask":
            return None if self.soft_mask is None else grey(self.soft_mask * np.float32(255))
        if self.normal is None:
            return None
        if view == "normal":
            return displayable(self.normal, scale)
        changes = difference(self)
        return coloured(changes * factor_of(saturated(changes)))


def difference(panel: Panel) -> np.ndarray:
    """Return the mean change over the channels, float32 (H, W), in the levels of 255 that the sheet shows."""
    assert panel.normal is not None
    scale = scale_of(panel.image, panel.normal) if value_max(panel.image.dtype) > 255 else 1.0
    result: np.ndarray = np.abs(panel.image.astype(np.float32) - panel.normal).mean(axis=2) * np.float32(scale)
    return result


def caption_of(
    index: int, defect_type: str, detectability: float | None, severity: float, area: float, source_id: str
) -> str:
    """Return what stands below a sample, in the words of the studio: visibility and change."""
    known = "" if detectability is None else f" · visibility {detectability:.2f}"
    kind = defect_type.replace("_", " ")
    return f"row {index} · {kind}{known} · change {severity:.1%} · area {area:.1%} · from {source_id}"
