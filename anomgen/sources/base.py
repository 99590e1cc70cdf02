"""What a source of normal images is, its configuration, and the pool that hands its images to the generators."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from pydantic import BeforeValidator, Field

from anomgen.generators.base import Config

if TYPE_CHECKING:  # a foreground may be a folder of masks, which is read with the code of the sources
    from anomgen.foreground import Foreground

DEFAULT_CACHE_BYTES = 1 << 30
"""Decoded images that a run keeps in memory, all workers together."""


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


class Pool(Sequence[np.ndarray]):
    """A source with a cache of bounded size and, where wanted, the foreground of each image.

    The same image is the same array for as long as anybody holds it, so generators can tell a donor from the image
    itself by identity, and `foreground(image)` knows which image it is asked about.
    """

    def __init__(self, source: Source, foreground: Foreground | None = None, cache_bytes: int = DEFAULT_CACHE_BYTES):
        self.source = source
        self._foreground = foreground
        self._limit = cache_bytes
        self._used = 0
        self._images: OrderedDict[int, np.ndarray] = OrderedDict()
        self._masks: dict[int, np.ndarray | None] = {}
        self._alive: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
        self._index_of: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        image = self._images.get(index)
        if image is not None:
            self._images.move_to_end(index)
            return image
        image = self._alive.get(index)
        if image is None:
            image = self.source[index]
            self._alive[index] = image
            self._index_of[id(image)] = index
        self._keep(index, image)
        return image

    def foreground(self, image: np.ndarray) -> np.ndarray | None:
        """Return the foreground, bool (H, W), of an image; None where the whole image is foreground."""
        if self._foreground is None:
            return None
        index = self._index_of.get(id(image))
        if index is None or self._alive.get(index) is not image:
            return self._foreground.mask(image, None)
        if index in self._masks:
            return self._masks[index]
        mask = self._foreground.mask(image, self.source.id(index), getattr(self.source, "fit", "stretch"))
        if index in self._images:  # masks live and go with their images
            self._masks[index] = mask
            self._used += 0 if mask is None else mask.nbytes
        return mask

    def _keep(self, index: int, image: np.ndarray) -> None:
        self._images[index] = image
        self._used += image.nbytes
        while self._used > self._limit and len(self._images) > 1:
            old, evicted = self._images.popitem(last=False)
            mask = self._masks.pop(old, None)
            self._used -= evicted.nbytes + (0 if mask is None else mask.nbytes)
