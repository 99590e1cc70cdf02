"""Opening a source with its foreground: pictures that show no object are found, named, and left out if wanted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from anomgen.errors import SourceError, tell
from anomgen.sources.base import Source, SourceConfig, notes_of
from anomgen.sources.choosing import overlooked
from anomgen.sources.foreground import Foreground, segmented
from anomgen.sources.plugged import open_source
from anomgen.sources.pool import DEFAULT_CACHE_BYTES, Pool
from anomgen.sources.scan import ScannedSource
from anomgen.sources.tree import left_out, listed

SMALLEST = 0.05
"""Share of the area that the larger objects have (the upper quartile) from which on something is an object."""
LOOKED_AT = 1 << 29
"""Pixels, over all images, that are looked at to name those without an object; to leave these out, all are."""
FEWEST = 16
"""Images that are looked at, however large they are."""


class Opened(NamedTuple):
    """A source, which pixels of its images count as the object, and what is to be known of both, in sentences."""

    source: Source
    foreground: Foreground
    notes: tuple[str, ...]
    pool: Pool
    """The images with their foreground."""
    surprises: tuple[str, ...] = ()
    """What of the notes should be known before a run."""


def opened(
    config: SourceConfig,
    foreground: Foreground,
    source: Source | None = None,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    looked_at: int = LOOKED_AT,
) -> Opened:
    """Open a source, choose the foreground, and find the images that show no object, in that order.

    source: what `config` opens, where it is open already. cache_bytes: of the pool. looked_at:
    pixels, over all images, that are looked at to name those without an object. Raises what these raise, and
    SourceError when images without an object are to be left out and no other is there.
    """
    source = open_source(config) if source is None else source
    plain = Pool(source, cache_bytes=cache_bytes)
    is_auto, foreground = foreground.method == "auto", foreground.resolved(plain)
    told = foreground.doubts(source)
    if is_auto and foreground.method == "none":
        told += _told_of_few(plain)
    pool, skip = plain.with_foreground(foreground), getattr(config, "on_no_object", "keep") == "skip"
    empty, of = _without_object(pool, foreground, None if skip else looked_at)
    if not empty:
        return Opened(source, foreground, (*notes_of(source), *told), pool, told)
    names = [source.id(index) for index in empty]
    if skip and isinstance(source, ScannedSource):
        if len(empty) == len(source):
            raise SourceError(
                f"the foreground ({foreground.method}) finds no object in any of the {of} images; look with `anomgen "
                "preview --foreground`, and set another one"
            )
        source = source.without(empty)
        notes = (*notes_of(source), *told, *left_out(names, "in which no object is found"))
        return Opened(source, foreground, notes, Pool(source, foreground, cache_bytes), told)
    where = f"{of} images" if of == len(source) else f"the {of} images that were looked at, of {len(source)}"
    note = (
        f"no object is found in {len(empty)} of {where}: {listed(names)}; anomalies that need one are drawn on others. "
        "Look with `anomgen preview --foreground`, or leave them out with --set source.on_no_object=skip"
    )
    return Opened(source, foreground, (*notes_of(source), *told, note), pool, (*told, note))


def _told_of_few(pool: Pool) -> tuple[str, ...]:
    """Return a note on an object that few of the images show, so that `auto` takes them whole; none for surfaces."""
    found = overlooked(pool, segmented)
    if found is None:
        return ()
    method = ", ".join(f"{key}: {found.keys[key]:g}" for key in ("tolerance", "lightness"))
    where = f"{len(found.names)} of the {found.of} that were looked at"
    return (
        f"foreground: auto takes whole images, as most show no object, but {where} seem to show one: "
        f"{listed(found.names)}. Give those that do in a folder of their own, or name the method: --set "
        f"'foreground={{method: {found.keys['method']}, {method}}}', with --set source.on_no_object=skip to leave the "
        "others out",
    )


def _without_object(pool: Pool, foreground: Foreground, looked_at: int | None) -> tuple[list[int], int]:
    """Return which images show no object, and how many were looked at; None looks at all."""
    if foreground.method == "none" or not len(pool):
        return [], 0
    count = len(pool)
    if looked_at is not None:
        count = min(count, max(looked_at // pool[0][..., 0].size, FEWEST))
    picked = sorted({round(k) for k in np.linspace(0, len(pool) - 1, count)})
    areas: list[float] = []
    for index in picked:
        tell(len(areas), count, "looking for the objects")
        areas.append(pool.object_area(index))
    least = SMALLEST * float(np.quantile(areas, 0.75))
    return [index for index, area in zip(picked, areas, strict=True) if area <= least], count
