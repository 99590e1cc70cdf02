"""What a source of normal images is, its configuration, and the pool that hands its images to the generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from pydantic import BeforeValidator, Field

from anomgen.config import Config
from anomgen.registry import build

if TYPE_CHECKING:  # a foreground may be a folder of masks, which is read with the code of the sources
    pass


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
    """Ids of the files that were left out because they could not be used and the user said to skip such files."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray:
        """Return image `index` at the configured size: (H, W, C) uint8 or uint16, C 1 or 3, read-only."""

    def id(self, index: int) -> str:
        """Return a name of image `index` that is stable and holds no path of the machine."""

    def fingerprint(self) -> str:
        """Return a hash of the images' ids, contents and size: equal when the images are equal."""


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
"""One number for a square, [height, width], or null for the images' own size."""


def _path_text(value: Any) -> Any:
    text = str(value) if isinstance(value, Path) else value
    if isinstance(text, str) and not text.isprintable():
        raise ValueError("the path holds bytes that are no text and could not be recorded; rename the folder")
    return text


PathText = Annotated[str, BeforeValidator(_path_text), Field(min_length=1)]
"""A path as recipes write it; code may pass a `Path`."""


class SourceConfig(Config):
    """Base class of the sources' configurations: its fields are the recipe's keys under `source`."""

    kind: ClassVar[str]
    """Name in recipes and in the registry."""

    size: Size = 256

    def open(self) -> Source:
        """Find and check the images.

        Raises UsageError when the request is wrong (no such folder), SourceError when images cannot be used.
        """
        raise NotImplementedError(f"{type(self).__name__} must define open()")

    def portable(self) -> Self:
        """Return this configuration without paths of the machine: what is written into a dataset."""
        path = getattr(self, "path", None)
        return self if path is None else self.model_copy(update={"path": portable_path(path)})

    def config(self) -> dict[str, Any]:
        """Return the configuration as plain JSON, `kind` included."""
        return {"kind": self.kind, **self.model_dump(mode="json")}

    @property
    def shape(self) -> tuple[int, int] | None:
        """Return the size as (height, width), None for the images' own."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


def portable_path(path: str) -> str:
    """Return `path` if it says nothing about the machine, otherwise its last component.

    Absolute paths, paths through the home folder and paths with ``..`` say something.
    """
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    if windows.is_absolute() or windows.drive:
        return windows.name or "."
    if posix.is_absolute() or ".." in posix.parts or path.startswith("~"):
        return posix.name if posix.name not in ("", "..") else "."
    return path
