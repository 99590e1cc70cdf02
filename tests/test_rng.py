"""Randomness follows from (seed, stream, index, attempt) alone, as in the datasets that exist."""

import pickle
from itertools import product

import numpy as np

from anomgen.rng import Stream, rng_for


def test_generators_of_neighbouring_samples_are_unrelated():
    """The trap that spawn keys avoid: a list of seeds would make (7, 0) and 7 the same generator."""
    keys = product(range(4), range(50), range(3))
    first = {rng_for(seed, Stream.SAMPLE, index, attempt).random() for seed, index, attempt in keys}
    assert len(first) == 600
    assert rng_for(7, Stream.SAMPLE).random() != np.random.Generator(np.random.Philox(7)).random()


def test_the_numbers_of_streams_stay_as_they_are():
    known = ["order", "sample", "calibration", "source", "texture", "training", "online", "bootstrap"]
    assert [stream.name.lower() for stream in Stream][: len(known)] == known
    assert [int(stream) for stream in Stream] == list(range(len(Stream)))


def test_the_generator_is_numpys_philox_over_the_spawn_key():
    sequence = np.random.SeedSequence(7, spawn_key=(int(Stream.TEXTURE), 3, 2))
    expected = np.random.Generator(np.random.Philox(sequence)).integers(2**63, size=4)
    assert np.array_equal(rng_for(7, Stream.TEXTURE, 3, 2).integers(2**63, size=4), expected)


def test_it_pickles_in_the_middle():
    rng = rng_for(1, Stream.SAMPLE, 5)
    rng.random(3)
    assert pickle.loads(pickle.dumps(rng)).random() == rng.random()
