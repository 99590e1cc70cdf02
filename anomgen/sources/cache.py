"""Caches that are bounded in bytes: the least recently used go first."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, TypeVar

from cachetools import LRUCache

V = TypeVar("V")


def bounded(limit: int, size: Callable[[V], int]) -> MutableMapping[Any, V]:
    """Return a cache of at most `limit` bytes, where a value takes up `size(value)`.

    A value larger than the whole bound is held, too, but alone: it counts as just as large.
    """
    limit = max(limit, 1)
    return LRUCache(limit, lambda value: min(size(value), limit))
