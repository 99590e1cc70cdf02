"""The only maker of randomness.

Every sample has a generator of its own that follows from (seed, stream, index, attempt) alone. So its pixels do not
depend on which worker draws it, in which order, or after how many interruptions. Rules for all code in this
package: never the global generator, never a seed of one's own, a function without `rng` in its signature is
deterministic.
"""

from enum import IntEnum
from functools import lru_cache

import numpy as np


class Stream(IntEnum):
    """What a generator is for. Numbers are part of every dataset's identity: only append."""

    ORDER = 0
    SAMPLE = 1
    CALIBRATION = 2
    SOURCE = 3
    TEXTURE = 4
    TRAINING = 5
    ONLINE = 6
    BOOTSTRAP = 7
    PERTURBATION = 8


def rng_for(seed: int, stream: Stream, index: int = 0, attempt: int = 0) -> np.random.Generator:
    """Return the generator of one sample.

    Uses ``spawn_key`` and not a list of seeds, because ``SeedSequence([7, 0])`` equals ``SeedSequence([7])``.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(int(stream), index, attempt))
    return np.random.Generator(np.random.Philox(sequence))


@lru_cache(maxsize=16)
def order_of(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order in which an epoch uses `count` things, a permutation of their numbers."""
    return rng_for(seed, Stream.ORDER, epoch).permutation(count)
