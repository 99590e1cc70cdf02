"""Samples that a configuration draws, for tests of what a method's paper fixes."""

import numpy as np

from anomgen.generators.base import build_generator
from anomgen.generators.conformance import TestPool
from anomgen.rng import Stream, rng_for
from anomgen.synthesis.sample import Reject


def draws(configuration, pool, count=400):
    """Return the samples of a configuration on a pool; rejected draws are left out."""
    generator = build_generator(configuration).prepared(pool)
    samples = []
    for k in range(count):
        try:
            samples.append(generator.sample(rng_for(5, Stream.SAMPLE, k), pool[k % len(pool)], pool))
        except Reject:
            continue
    return samples


def assert_squares_and_weights_are_the_papers(kind):
    """Assert what FPI and PII share: squares of a tenth to two fifths, centres inside the core, even weights."""
    samples = draws({"kind": kind}, TestPool((100, 100, 1), count=8))
    boxes = np.array([sample.params["box"] for sample in samples])
    weights = np.array([sample.params["weight"] for sample in samples])
    assert boxes[:, 2:].max() <= 40
    assert abs(np.median(boxes[:, 2:]) - 25) <= 3
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    assert centres.min() >= 4 and centres.max() <= 96
    assert 0.05 <= weights.min() and weights.max() <= 0.95
    assert abs(weights.mean() - 0.5) < 0.06
    for sample in samples:
        assert np.allclose(sample.soft_mask[sample.mask], sample.params["weight"])
