"""What the alpha of a file says of its pixels: how it is taken, where the object is, and what was measured."""

from __future__ import annotations

from typing import Literal

import numpy as np

from anomgen.sources.images import (
    SPECK,
    Fit,
    deep_colour,
    fit_image,
    is_deep,
    opacity_of,
    open_header,
    quiet,
    shallow,
)
from anomgen.sources.orientation import upright
from anomgen.sources.pixels import value_max


def transparency(data: bytes, name: str) -> Literal["", "white", "ignored"]:
    """Return how `read_image` takes transparent pixels: as white, or, where alpha was not meant, as if opaque."""
    image = open_header(data, name)
    key = image.info.get("transparency")
    if image.mode.startswith("I"):
        return "white" if isinstance(key, int) and (np.asarray(image) == key).any() else ""
    if not image.has_transparency_data:
        return ""
    pixels = deep_colour(image, data, name) if is_deep(image, data) else shallow(image, name)
    if pixels.shape[2] in (1, 3) or (pixels[..., -1] == value_max(pixels.dtype)).all():
        return ""
    return "ignored" if opacity_of(pixels) is None else "white"


def opaque_part(data: bytes, name: str) -> np.ndarray | None:
    """Return where a picture is opaque by half, bool (H, W), upright; None where alpha says nothing."""
    levels = _levels(data, name)
    return None if levels is None else levels > value_max(levels.dtype) // 2


def measured_part(
    data: bytes, stored: np.ndarray, size: int | tuple[int, int] | None, fit: Fit, name: str
) -> np.ndarray | None:
    """Return which pixels of a fitted picture are measured ones, bool (H, W); None for all.

    Those are not that show the white beneath what is transparent, nor those that fitting has mixed from saturated and
    other ones. stored: what `read_image` gives of the file.
    """
    levels, white = _levels(data, name), value_max(stored.dtype)
    saturated = (stored == white).any(axis=2)
    part: np.ndarray | None = None
    if levels is not None:
        shown = fit_image(levels[..., None], size, fit, name)
        part = shown >= (1 - SPECK) * shown.max()
    if saturated.any():
        share = fit_image(saturated[..., None] * stored.dtype.type(white), size, fit, name)
        pure = (share == 0) | (share == white)
        part = pure if part is None else part & pure
    return None if part is None else part[..., 0]


def _levels(data: bytes, name: str) -> np.ndarray | None:
    """Return how opaque a picture is, (H, W), upright and of its depth; None where alpha says nothing."""
    with quiet():
        image = open_header(data, name)
        if image.mode.startswith("I"):
            key = image.info.get("transparency")
            opaque = np.asarray(image) != key if isinstance(key, int) else np.True_
            return None if opaque.all() else upright(np.asarray(opaque), image) * np.uint16(65535)
        if not image.has_transparency_data:
            return None
        pixels = deep_colour(image, data, name) if is_deep(image, data) else upright(shallow(image, name), image)
        opacity = opacity_of(pixels) if pixels.shape[2] in (2, 4) else None
        return None if opacity is None else opacity[..., 0].astype(pixels.dtype)
