"""One sample as people look at it: its pictures in 8 bits, what differs, and the outline of its mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np

from anomgen.dataset.normals import NormalImages
from anomgen.dataset.row import ANOMALY, Row
from anomgen.sources.pixels import to_channels, value_max
from anomgen.sources.value_range import ValueRange, stretched

OUTLINE = (255, 0, 160)
"""Colour of the line around a mask."""
FACTORS = (1, 2, 4, 8, 16)
"""What a faint difference may be multiplied by."""

View = Literal["image", "normal", "mask", "soft_mask", "difference"]
VIEWS: tuple[View, ...] = get_args(View)
"""The pictures of a sample."""


@dataclass(frozen=True)
class Panel:
    """One sample as a sheet shows it.

    image: (H, W, C) uint8 or uint16, stretched to its depth. mask: bool (H, W). soft_mask: float32 (H, W)
    in [0, 1], or None. normal: the image before, or None where it is not known. caption: one line of text.
    """

    image: np.ndarray
    mask: np.ndarray
    soft_mask: np.ndarray | None
    normal: np.ndarray | None
    caption: str

    @classmethod
    def of_row(cls, row: Row) -> Panel:
        """Return the panel of a row that was just drawn."""
        caption = caption_of(row.index, row.defect_type, row.detectability, row.severity, row.area, row.source_id)
        image, normal = stretched(row.image, row.value_range), stretched(row.normal, row.value_range)
        return cls(image, row.mask, row.soft_mask, normal, caption)

    @classmethod
    def of_stored(cls, row: dict[str, Any], normals: NormalImages, value_range: ValueRange | None) -> Panel:
        """Return the panel of a decoded row of a dataset; normals: where its normal image is looked for."""
        image = row["image"]
        normal = normals.of(row) if row["label"] == ANOMALY else image
        if normal is not None:
            normal = stretched(normal, value_range) if normal.shape == image.shape else None
        measures = row.get("detectability"), row["severity"], row["area"]
        caption = caption_of(row["index"], row["defect_type"], *measures, row["source_id"])
        return cls(stretched(image, value_range), row["mask"], row["soft_mask"], normal, caption)

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
        return coloured(changes * factor_of([changes]))


def scale_of(*images: np.ndarray | None) -> float:
    """Return what a value is multiplied by to be shown: 8-bit values as they are, 16-bit ones up to their largest."""
    known = [image for image in images if image is not None]
    if known[0].dtype == np.uint8:
        return 1.0
    return 255 / max(int(image.max()) for image in known) if any(image.any() for image in known) else 1.0


def displayable(image: np.ndarray, scale: float) -> np.ndarray:
    """Return an image (H, W, C) as (H, W, 3) uint8, its values multiplied by `scale`."""
    shown = image if scale == 1.0 and image.dtype == np.uint8 else np.rint(image * scale).astype(np.uint8)
    return to_channels(shown, 3)


def difference(panel: Panel) -> np.ndarray:
    """Return the mean change over the channels, float32 (H, W), in the levels of 255 that the sheet shows."""
    assert panel.normal is not None
    scale = scale_of(panel.image, panel.normal) if value_max(panel.image.dtype) > 255 else 1.0
    result: np.ndarray = np.abs(panel.image.astype(np.float32) - panel.normal).mean(axis=2) * np.float32(scale)
    return result


def factor_of(differences: Sequence[np.ndarray]) -> int:
    """Return the largest factor that saturates no more than a few of the changed pixels."""
    changed = [difference[difference > 0] for difference in differences if difference.any()]
    strongest = float(np.quantile(np.concatenate(changed), 0.9)) if changed else 255.0
    return max(factor for factor in FACTORS if factor == 1 or factor * strongest <= 255)


def grey(values: np.ndarray) -> np.ndarray:
    """Return values 0..255, (H, W), as RGB."""
    result: np.ndarray = cv2.cvtColor(np.rint(values).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    return result


def coloured(values: np.ndarray) -> np.ndarray:
    """Return values 0..255 from black over red and orange to white, as RGB."""
    levels = np.minimum(values, 255).astype(np.uint8)
    result: np.ndarray = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return result


def caption_of(
    index: int, defect_type: str, detectability: float | None, severity: float, area: float, source_id: str
) -> str:
    """Return what stands below a sample."""
    known = "" if detectability is None else f" · detectability {detectability:.2f}"
    return f"row {index} · {defect_type}{known} · severity {severity:.1%} · area {area:.1%} · from {source_id}"


def outlined(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a picture, (H, W, 3) uint8, with a line on the rim of a mask, bool (H, W)."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.array(picture, order="C"), contours, -1, OUTLINE, 1)


def outline_of(mask: np.ndarray) -> str:
    """Return the outline of a mask, bool (H, W), as an SVG path in pixels, through the rim's middles."""
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    lines = (" ".join(f"{x}.5 {y}.5" for x, y in contour[:, 0]) for contour in contours)
    return "".join(f"M{line}Z" for line in lines)


def shrunk(picture: np.ndarray, side: int | None) -> np.ndarray:
    """Return a picture, (H, W, C), whose longer side has at most so many pixels; None for as it is."""
    longest = max(picture.shape[:2])
    if side is None or longest <= side:
        return picture
    height, width = (max(round(length * side / longest), 1) for length in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
