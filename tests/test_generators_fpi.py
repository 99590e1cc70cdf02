"""FPI: squares and weights are the paper's, and the square is the convex combination with a donor."""

import numpy as np
from drawn import assert_squares_and_weights_are_the_papers, draws

from anomgen.generators.base import build_generator
from anomgen.generators.conformance import TestPool
from anomgen.rng import Stream, rng_for


def test_fpi_is_the_convex_combination():
    pool = TestPool((64, 64, 3), count=2)
    image, donor = pool[0].astype(float), pool[1].astype(float)
    generator = build_generator({"kind": "fpi", "weight_range": [0.3, 0.9]})
    for k in range(20):
        sample = generator.sample(rng_for(2, Stream.SAMPLE, k), pool[0], pool)
        expected = image + sample.params["weight"] * (donor - image)
        assert np.abs(sample.image - expected)[sample.mask].max() <= 0.51


def test_squares_and_weights_follow_the_paper():
    assert_squares_and_weights_are_the_papers("fpi")


def test_the_abdomen_preset_draws_the_papers_four_weights():
    weights = [sample.params["weight"] for sample in draws({"kind": "fpi", "preset": "abdomen"}, TestPool((64, 64, 1)))]
    assert set(weights) == {0.25, 0.5, 0.75, 1.0}
    assert all(abs(weights.count(weight) / len(weights) - 0.25) < 0.08 for weight in set(weights))
