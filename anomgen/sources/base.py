"""What a source of normal images is, its configuration, and the pool that hands its images to the generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from pydantic import BeforeValidator, Field

from anomgen.config import Config, PathText
from anomgen.registry import build

__all__ = ["Images", "PathText", "Side", "Size", "Source", "SourceConfig", "build_source"]
"""What the author of a source needs, in one place."""


def build_source(values: Mapping[str, Any]) -> SourceConfig:
    """Return the source configuration that ``{"kind": name, …}`` describes; the inverse of its ``config``."""
    result: SourceConfig = build("sources", values)
    return result


Images = Sequence[np.ndarray]
"""The pool: normal images (H, W, C), read-only. A list of arrays will do; the engine passes a `Pool`."""


@runtime_checkable
class Source(Protocol):
    """Normal images by index. Reading is deterministic and the images are all of one dtype and channel count."""

    license: str | None
    """SPDX-like identifier as the Hub writes it (cc-by-4.0), None where it is not known."""
    skipped: tuple[str, ...]
    """Ids of the files that were left out because they could not be used and the user said to skip such files.

    A source may also have `notes`, sentences on what else was left out or done to the images; `dataset`, the id on the
    Hub that they were read from; `shape`, the (height, width) of all, None where they differ; `value_range`, see
    `anomgen.sources.value_range`, None for the whole depth; `contents()`, a hash of each image's pixels.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray:
        """Return image `index` at the configured size: (H, W, C) uint8 or uint16, C 1 or 3, read-only."""

    def id(self, index: int) -> str:
        """Return a name of image `index` that is stable and holds no path of the machine."""

    def fingerprint(self) -> str:
        """Return a hash of the images' ids, contents and size: equal when the images are equal."""


def notes_of(source: Source) -> tuple[str, ...]:
    """Return what a source says of files that it left out and of what it did to its images; see `Source`."""
    return getattr(source, "notes", ())


MIN_SIDE = 16
"""Smaller images hold no anomaly that anybody could see; they are refused."""


MAX_SIDE = 16384


def _size(value: Any) -> Any:
    """Take a list, as YAML and JSON write a pair, for a tuple; refuse in one sentence what is no size."""
    sides = list(value) if isinstance(value, list | tuple) else [value, value]
    is_size = len(sides) == 2 and all(type(side) is int and MIN_SIDE <= side <= MAX_SIDE for side in sides)
    if value is not None and not is_size:
        raise ValueError(f"a size is a number of pixels from {MIN_SIDE} to {MAX_SIDE}, [height, width], or null")
    return tuple(value) if isinstance(value, list) else value


Side = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)]
"""Height or width in pixels."""

Size = Annotated[Side | tuple[Side, Side] | None, BeforeValidator(_size)]
"""One number for the longer side (for both where images are cut or stretched), [height, width], or null."""


class SourceConfig(Config):
    """Base class of the sources' configurations: its fields are the recipe's keys under `source`."""

    kind: ClassVar[str]
    """Name in recipes and in the registry."""

    size: Size = 256
    """Size of the images in pixels; null: the images' own. In YAML: one number, for the longer side (for both where
    images are cut or stretched), or [height, width]."""

    def open(self) -> Source:
        """Find and check the images.

        Raises UsageError when the request is wrong (no such folder), SourceError when images cannot be used.
        """
        raise NotImplementedError(f"{type(self).__name__} must define open()")

    @property
    def exact_shape(self) -> tuple[int, int] | None:
        """Return the size as (height, width), None for the images' own."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def shape(self) -> tuple[int, int] | None:
        """Return the (height, width) that every image has, None where they may differ."""
        return self.exact_shape
