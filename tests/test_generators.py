"""Every registered generator keeps the contract and names the key of a wrong configuration."""

import numpy as np
import pytest
from drawn import draws
from hypothesis import given, settings
from hypothesis import strategies as st
from learned import LEARNED

from anomgen.errors import RecipeError, SourceError, UsageError
from anomgen.generators.base import build_generator
from anomgen.generators.conformance import TestPool, check_generator
from anomgen.registry import names
from anomgen.rng import Stream, rng_for
from anomgen.synthesis.sample import Reject

VARIANTS = {
    "cutpaste": [{}, {"variant": "scar"}, {"variant": "3way"}],
    "fpi": [{}, {"preset": "brain"}, {"preset": "abdomen"}],
    "nsa": [
        {},
        {"shape": "ellipse", "blend": "mixed"},
        {"label": "binary"},
        {"label": "continuous"},
        {"label": "intensity"},
        {"preset": "bottle"},
        {"preset": "wood", "size_clip": "code"},
    ],
    "mix": [{"parts": [{"kind": "nsa", "weight": 2.0}, {"kind": "cutpaste", "variant": "3way"}, {"kind": "fpi"}]}],
}
CASES = [(name, variant) for name in names("generators") if name not in LEARNED for variant in VARIANTS.get(name, [{}])]
"""Learned generators need a model, transplants a bank; their own tests run the same checks."""


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_every_registered_generator_keeps_the_contract(name, variant):
    check_generator(build_generator({"kind": name, **variant}))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([case for case in CASES if case[0] != "mix"]),
    st.integers(32, 90),
    st.integers(32, 90),
    st.sampled_from([1, 3]),
    st.sampled_from([np.uint8, np.uint16]),
    st.booleans(),
)
def test_any_size_from_32_any_depth_grey_or_colour(case, h, w, channels, dtype, with_foreground):
    pool = TestPool((h, w, channels), dtype, with_foreground=with_foreground, count=3)
    generator = build_generator({"kind": case[0], **case[1]}).prepared(pool)
    drawn = 0
    for k in range(6):
        try:
            sample = generator.sample(rng_for(1, Stream.SAMPLE, k), pool[k % 3], pool)
        except Reject:
            continue
        drawn += 1
        assert np.array_equal(sample.image[~sample.mask], pool[k % 3][~sample.mask])
        assert sample.mask.any()
    assert drawn


@pytest.mark.parametrize("name", sorted(LEARNED))
def test_without_a_model_or_a_bank_a_generator_says_how_to_make_one(name):
    with pytest.raises(UsageError, match=LEARNED[name]):
        build_generator({"kind": name}).prepared(TestPool((32, 32, 3)))


class Rods(TestPool):
    """Images with a thin upright rod as their foreground."""

    def __init__(self, width, **options):
        super().__init__((128, 128, 3), **options)
        self._foreground = np.zeros((128, 128), bool)
        self._foreground[20:110, 60 : 60 + width] = True


@pytest.mark.parametrize("kind", ["fpi", "pii", "cutpaste", "nsa", "perlin"])
def test_thin_objects_are_found(kind):
    pool = Rods(16)
    samples = draws({"kind": kind}, pool, 60)
    assert len(samples) >= 20
    least = build_generator({"kind": kind}).min_on_foreground
    assert all(pool.foreground(None)[sample.mask].mean() >= least for sample in samples)


def test_a_single_image_cannot_be_its_own_donor():
    pool = TestPool((64, 64, 3), count=1)
    for kind in ("nsa", "fpi", "pii"):
        with pytest.raises(SourceError, match="second normal image"):
            build_generator({"kind": kind}).sample(rng_for(0, Stream.SAMPLE), pool[0], pool)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"kind": "nsaa"}, "did you mean 'nsa'"),
        ({"kind": "nsa", "presett": "bottle"}, "did you mean 'preset'"),
        ({"kind": "nsa", "preset": "botle"}, "did you mean 'bottle'"),
        ({"kind": "fpi", "weight_range": [0.9, 0.1]}, "weight_range: the range is empty"),
        ({"kind": "fpi", "core": "half"}, "core"),
        (
            {"kind": "mix", "parts": [{"kind": "fpi"}, {"kind": "pii", "coer": 1}]},
            r"parts.1.coer: unknown key; did you",
        ),
        ({"kind": "mix", "parts": []}, "parts"),
        ({"kind": "mix", "parts": [{"kind": "fpi"}, {"kind": "pii", "weight": -1.0}]}, r"parts.1.weight"),
        ({"kind": "mix", "parts": [{"generator": {"kind": "fpi"}}]}, r"parts.0"),
        ({"kind": "cutpaste", "aspect_range": [-1, 2]}, "aspect_range: both ends must be above 0"),
        ({"kind": "fpi", "weights": []}, "weights"),
        ({}, "kind: is missing"),
    ],
)
def test_a_wrong_configuration_names_the_key(values, text):
    with pytest.raises(RecipeError, match=text):
        build_generator(values)
