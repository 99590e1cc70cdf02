"""The normal image of an anomalous row, wherever it can be had: its column, another row, the source."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from anomgen.dataset.reader import Dataset
from anomgen.dataset.record import missing_in
from anomgen.dataset.row import NORMAL
from anomgen.sources.cache import bounded

if TYPE_CHECKING:
    from anomgen.sources.pool import Pool


class NormalImages:
    """Finds the untouched image that an anomalous row was made of.

    It is looked for in the row itself (column `normal`), then in a normal row of the same source, then in the
    pool. Holds at most `cache_bytes` of decoded images.
    """

    def __init__(self, dataset: Dataset, pool: Pool | None = None, cache_bytes: int = 1 << 28):
        self.dataset = dataset
        self.pool = pool
        self._position = {} if pool is None else {pool.source.id(i): i for i in range(len(pool))}
        self._row_of = _first_normal_rows(dataset)
        self._cache: MutableMapping[str, np.ndarray] = bounded(cache_bytes, lambda image: image.nbytes)

    def of(self, row: dict[str, Any]) -> np.ndarray | None:
        """Return the normal image of a decoded row that has `source_id`, and `normal` where kept; None if nowhere."""
        image = self.in_dataset(row["source_id"], row.get("normal"))
        return self.in_pool(row["source_id"]) if image is None else image

    def in_dataset(self, source_id: str, own: np.ndarray | None) -> np.ndarray | None:
        """Return the normal image of a row that the dataset holds, the row's own or that of a normal row, or None."""
        return self.in_rows(source_id) if own is None else own

    def in_rows(self, source_id: str) -> np.ndarray | None:
        """Return the image of the first normal row of a source, or None."""
        if source_id not in self._row_of:
            return None
        image: np.ndarray | None = self._cache.get(source_id)
        if image is None:
            image = self._cache[source_id] = self.dataset.row(self._row_of[source_id], ["image"])["image"]
        return image

    def in_pool(self, source_id: str) -> np.ndarray | None:
        """Return the pool's own image of a source, or None."""
        position = self._position.get(source_id)
        return None if self.pool is None or position is None else self.pool.stored(position)

    def foreground(self, source_id: str) -> np.ndarray | None:
        """Return the foreground of the pool's image of a source, bool (H, W); None where there is none."""
        position = self._position.get(source_id)
        return None if self.pool is None or position is None else self.pool.foreground(self.pool[position])


def _first_normal_rows(dataset: Dataset) -> dict[str, int]:
    rows: dict[str, int] = {}
    for cells in dataset.stored_rows(["index", "label", "source_id"]):
        if cells["label"] == NORMAL and missing_in(cells) is None:
            rows.setdefault(cells["source_id"], cells["index"])
    return rows
