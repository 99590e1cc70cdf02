"""Some of a source's images as a source of their own: a dataset's training part and its test part share none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anomgen.sources.base import Source


class Subset:
    """Images of a source by their positions there; everything else is the source's. See `Source`."""

    def __init__(self, source: Source, positions: Sequence[int]):
        self.source, self.positions = source, tuple(positions)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return image `index` of these, as the source has it."""
        image: np.ndarray = self.source[self.positions[index]]
        return image

    def id(self, index: int) -> str:
        """Return the image's name in the source."""
        return self.source.id(self.positions[index])

    def __getattr__(self, name: str) -> Any:
        if name in ("source", "positions", "contents") or name.startswith("__"):  # not there yet while it is unpickled
            raise AttributeError(name)
        found = getattr(self.source, name)
        return (lambda index: found(self.positions[index])) if name == "opaque" else found
