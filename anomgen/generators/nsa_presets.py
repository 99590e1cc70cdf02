"""NSA's settings for the classes of MVTec AD and for chest X-rays: the paper's table, and what its code does."""

from __future__ import annotations

from typing import Any

PUBLISHED = {"size_clip": "code", "rim": 5 / 256, "mask_filter": "code", "min_foreground": 0.0}
"""What every preset takes from the code behind the published numbers."""


def _objects(
    height: tuple[float, float],
    width: tuple[float, float],
    min_object: float | None,
    patches: int,
    slope: float,
    midpoint: float,
) -> dict[str, Any]:
    """Return one row of the paper's table; sizes there are half-widths."""
    return {
        "height_range": [2 * height[0], 2 * height[1]],
        "width_range": [2 * width[0], 2 * width[1]],
        "min_object": min_object or 0.0,
        "patches": patches,
        "slope": slope,
        "midpoint": midpoint,
        "resize_range": [0.7, 1.3],
        "blend": "normal",
        "min_overlap": 0.25,
        **PUBLISHED,
    }


def _texture(slope: float, midpoint: float) -> dict[str, Any]:
    row = _objects((0.03, 0.4), (0.03, 0.4), None, 4, slope, midpoint)
    return {**row, "resize_range": [0.5, 2.0], "blend": "mixed"}


PRESETS: dict[str, dict[str, Any]] = {
    "bottle": _objects((0.03, 0.4), (0.03, 0.4), 0.7, 3, 1 / 12, 24),
    "cable": _objects((0.05, 0.4), (0.05, 0.4), None, 3, 1 / 12, 24),
    "capsule": _objects((0.03, 0.15), (0.03, 0.4), 0.7, 3, 1 / 2, 4),
    "hazelnut": _objects((0.03, 0.35), (0.03, 0.35), 0.7, 3, 1 / 12, 24),
    "metal_nut": _objects((0.03, 0.4), (0.03, 0.4), 0.5, 3, 1 / 3, 7),
    "pill": _objects((0.03, 0.2), (0.03, 0.4), 0.7, 3, 1 / 3, 7),
    "screw": _objects((0.03, 0.12), (0.03, 0.12), 0.5, 4, 1, 3),
    "toothbrush": _objects((0.03, 0.4), (0.03, 0.2), 0.25, 3, 1 / 6, 15),
    "transistor": _objects((0.03, 0.4), (0.03, 0.4), None, 3, 1 / 6, 15),
    "zipper": _objects((0.03, 0.4), (0.03, 0.2), 0.7, 4, 1 / 6, 15),
    "carpet": _texture(1 / 3, 7),
    "grid": _texture(1 / 3, 7),
    "leather": _texture(1 / 3, 7),
    "tile": _texture(1 / 3, 7),
    "wood": _texture(1 / 6, 15),
    "rcxr": {
        **_objects((0.03, 0.4), (0.03, 0.4), 0.7, 3, 1 / 2, 4),
        "min_overlap": 0.7,
        "blend": "mixed",
        "size_offset": 0.1,
        "size_scale": 0.06,
    },
}
"""Settings per class of MVTec AD and of the chest X-rays; foregrounds of the same names: ``foreground: nsa/bottle``."""
