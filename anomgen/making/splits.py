"""Which rows are anomalous, and which are for testing: of images that training never sees, not even as donors."""

from __future__ import annotations

import math
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from anomgen.errors import UsageError
from anomgen.rng import order_of
from anomgen.sources.pixels import digest_of
from anomgen.sources.pool import Pool

FEWEST = 2
"""Different normal images that either part needs at least: one to change, one to take from."""


@dataclass(frozen=True)
class Part:
    """A part of a dataset. start: its first row; positions: which images of the source its pool holds."""

    start: int
    pool: Pool
    positions: Sequence[int]

    def place(self, seed: int, index: int, image: int) -> int:
        """Return which image of the pool a row uses: a new permutation in every epoch, and `image` places on."""
        count = len(self.positions)
        epoch, position = divmod(index - self.start, count)
        return int(order_of(seed, epoch, count)[(position + image) % count])


def is_anomalous(index: int, ratio: float) -> bool:
    """Return whether row `index` is an anomalous one: spread evenly, round(ratio · n) among the first n."""
    return math.floor((index + 1) * ratio + 0.5) > math.floor(index * ratio + 0.5)


def train_count(count: int, block_size: int, test_share: float) -> int:
    """Return how many of `count` rows, from the first on, are for training: whole blocks where there are several."""
    if not test_share:
        return count
    step = block_size if count > block_size else 1
    return min(max(round((1 - test_share) * count / step), 1), math.ceil(count / step) - 1) * step


def split_files(data: Path) -> list[Path]:
    """Return the files that would be loaded as a split of a dataset, ours or not."""
    return [file for split in ("train", "test") for file in data.glob(f"{split}-*.parquet")]


def parts_of(pool: Pool, test_share: float, train_rows: int, seed: int) -> list[Part]:
    """Return the part of a dataset for training, and that for testing where there is one; they share no image.

    Equal images stay together. Raises UsageError where there are too few different ones.
    """
    if not test_share:
        return [Part(0, pool, range(len(pool)))]
    key = test_share, seed
    if pool not in _halves or _halves[pool][0] != key:
        _halves[pool] = key, [(pool.of_images(own), own) for own in _divided(pool, test_share, seed)]
    return [Part(start, *half) for start, half in zip((0, train_rows), _halves[pool][1], strict=True)]


def _divided(pool: Pool, test_share: float, seed: int) -> tuple[list[int], list[int]]:
    """Return which images are for training, and which for testing: a share of the different ones."""
    contents = _contents(pool)
    order = list(dict.fromkeys(contents[position] for position in order_of(seed, 0, len(pool))))
    count = len(order)
    if count < 2 * FEWEST:
        raise UsageError(
            f"test_share: either part needs {FEWEST} different normal images or more, and there are {count}"
            f"{_equal(pool, contents)}"
        )
    held = set(order[: min(max(round(test_share * count), FEWEST), count - FEWEST)])
    training = [position for position, content in enumerate(contents) if content not in held]
    return training, [position for position, content in enumerate(contents) if content in held]


def _equal(pool: Pool, contents: Sequence[str]) -> str:
    """Return, for a message, which images are equal; nothing where all are different."""
    for position, content in enumerate(contents):
        if (first := contents.index(content)) < position:
            names = [pool.source.id(place) for place in (first, position)]
            return f" among {len(contents)}: some are equal, such as {' and '.join(names)}"
    return ""


def _contents(pool: Pool) -> Sequence[str]:
    """Return a hash of each image's pixels; a source that keeps it is not read again."""
    known = getattr(pool.source, "contents", None)
    return [digest_of(pool.stored(k)) for k in range(len(pool))] if known is None else known()


_halves: MutableMapping[Pool, tuple[tuple[float, int], list[tuple[Pool, list[int]]]]] = WeakKeyDictionary()
"""What the images of a pool were last divided into, so that recipes of one division share decoded images."""
