"""Every registered generator keeps the contract; what each paper fixes holds statistically."""

import cv2
import numpy as np
import pytest
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
"""Learned generators need a model; the tests of their models run the same checks."""


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_every_registered_generator_keeps_the_contract(name, variant):
    check_generator(build_generator({"kind": name, **variant}))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([case for case in CASES if case[0] != "mix"]), st.integers(32, 90), st.integers(32, 90),
    st.sampled_from([1, 3]), st.sampled_from([np.uint8, np.uint16]), st.booleans(),
)  # fmt: skip
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
def test_without_a_model_a_learned_generator_says_how_to_make_one(name):
    with pytest.raises(UsageError, match=f"anomgen train {name}"):
        build_generator({"kind": name}).prepared(TestPool((32, 32, 3)))


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


def test_cutpaste_areas_and_aspects_follow_the_paper():
    samples = draws({"kind": "cutpaste"}, TestPool((128, 128, 3)))
    boxes = np.array([sample.params["box"] for sample in samples], float)
    areas, aspects = boxes[:, 2] * boxes[:, 3] / 128**2, boxes[:, 2] / boxes[:, 3]
    assert 0.018 < areas.min() and areas.max() < 0.155
    assert abs(areas.mean() - 0.085) < 0.006
    assert 0.28 < aspects.min() and aspects.max() < 3.6
    assert 0.4 < np.mean(aspects > 1) < 0.6


def test_scars_are_thin_and_scale_with_the_image():
    areas = {}
    for size in (128, 256):
        samples = draws({"kind": "cutpaste", "variant": "scar"}, TestPool((size, size, 3)), 200)
        areas[size] = np.mean([sample.mask.mean() for sample in samples])
        assert {sample.defect_type for sample in samples} == {"scar"}
    assert areas[128] == pytest.approx(areas[256], rel=0.25)
    assert areas[256] == pytest.approx(9 * 17.5 / 256**2, rel=0.25)


def test_three_way_draws_patches_and_scars_equally_often():
    kinds = [sample.defect_type for sample in draws({"kind": "cutpaste", "variant": "3way"}, TestPool((64, 64, 3)))]
    assert 0.4 < kinds.count("scar") / len(kinds) < 0.6


@pytest.mark.parametrize("kind", ["fpi", "pii"])
def test_fpi_and_pii_squares_and_weights_follow_the_papers(kind):
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


def test_fpi_is_the_convex_combination():
    pool = TestPool((64, 64, 3), count=2)
    image, donor = pool[0].astype(float), pool[1].astype(float)
    generator = build_generator({"kind": "fpi", "weight_range": [0.3, 0.9]})
    for k in range(20):
        sample = generator.sample(rng_for(2, Stream.SAMPLE, k), pool[0], pool)
        expected = image + sample.params["weight"] * (donor - image)
        assert np.abs(sample.image - expected)[sample.mask].max() <= 0.51


def test_nsa_patch_sides_follow_the_gamma_law():
    configuration = {
        "kind": "nsa", "height_range": [0.06, 0.8], "width_range": [0.06, 0.8], "resize_range": [1.0, 1.0],
        "patches": 1, "blend": "normal", "slope": 1.0, "midpoint": 2.0,
    }  # fmt: skip
    samples = draws(configuration, TestPool((200, 200, 1)))
    sides = np.array([sample.params["boxes"][0][2:] for sample in samples]) / 200
    assert 0.05 < sides.min() and sides.max() <= 0.8
    uncut = 0.06 + np.random.default_rng(0).gamma(2, 0.1, 4000)
    assert np.quantile(sides, 0.25) == pytest.approx(np.quantile(uncut, 0.25), abs=0.02)
    assert np.median(sides) <= np.median(uncut)  # boxes that leave the donor are cut


def test_nsa_resized_patches_are_clipped_by_the_bounds_or_by_half_of_them_as_in_the_code():
    pool = TestPool((160, 160, 1))
    for clip, cap in (("full", 128), ("code", 64)):
        samples = draws({"kind": "nsa", "preset": "tile", "size_clip": clip}, pool, 200)
        sides = np.array([box[2:] for sample in samples for box in sample.params["boxes"]])
        assert sides.max() == cap
        assert sides.min() >= 5
    assert 0.07 < np.mean(sides == cap) < 0.2  # of the official code's: 13 %


class SlantedPool(TestPool):
    """Images of an object as long as the image and a sixth as wide, on the diagonal."""

    def foreground(self, image):
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        return np.abs(y - x) <= image.shape[0] / 12


def test_nsa_patches_are_as_large_as_the_object_is_thick_not_as_it_reaches():
    generator = build_generator({"kind": "nsa"}).prepared(SlantedPool((120, 120, 1)))
    low, high = generator.height_range
    assert (low, generator.width_range) == (0.06, (low, high))
    assert high == 0.25  # 4/3 of a sixth, not less than a quarter


def test_nsa_fades_out_where_the_objects_end():
    """Off the foreground, the outermost pixels of the mask change about half as much as the inside; cut off, 70 %."""
    pool = TestPool((128, 128, 3), with_foreground=True)
    foreground, ends, inside = pool.foreground(None), [], []
    for sample in draws({"kind": "nsa"}, pool, 100):
        normal = min(pool, key=lambda image: np.count_nonzero(image != sample.image))
        change = np.abs(sample.image.astype(float) - normal).mean(axis=2)
        core = cv2.erode(sample.mask.view(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
        ends.extend(change[sample.mask & ~core & ~foreground])
        inside.extend(change[core])
    assert np.mean(ends) < 0.55 * np.mean(inside)


def test_nsa_number_of_patches_is_one_plus_a_binomial():
    counts = [len(s.params["boxes"]) for s in draws({"kind": "nsa", "preset": "tile"}, TestPool((160, 160, 1)))]
    assert set(counts) == {1, 2, 3, 4}
    assert abs(np.mean(counts) - 2.5) < 0.15


def test_nsa_stays_on_the_object_where_there_is_one():
    pool = TestPool((128, 128, 3), with_foreground=True)
    shares = [pool.foreground(None)[sample.mask].mean() for sample in draws({"kind": "nsa"}, pool, 100)]
    assert np.mean(shares) > 0.75


def test_nsa_logistic_label_is_calibrated_to_the_source():
    """An unchanged pixel would be labelled 0.1; beyond the 40th percentile of changes it is at least 0.99."""
    pool = TestPool((128, 128, 3))
    generator = build_generator({"kind": "nsa"}).prepared(pool)
    assert 1 / (1 + np.exp(generator.slope * generator.midpoint)) == pytest.approx(0.1)
    soft = np.concatenate([sample.soft_mask[sample.mask] for sample in draws({"kind": "nsa"}, pool, 200)])
    assert 0.45 < np.mean(soft >= 0.98) < 0.75


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


def test_donors_of_another_size_bring_their_own_foreground():
    class Sizes(TestPool):
        def __init__(self):
            super().__init__((96, 96, 3), with_foreground=True)
            wide = TestPool((64, 120, 3), with_foreground=True)
            self._all = {id(image): self._foreground for image in self._images}
            self._all |= {id(image): wide._foreground for image in wide._images}
            self._images = [self._images[0], wide._images[1]]

        def foreground(self, image):
            return self._all[id(image)]  # a KeyError for anything but the pool's own images

    pool = Sizes()
    for k, sample in enumerate(draws({"kind": "nsa"}, pool, 12)):
        assert sample.image.shape in {(96, 96, 3), (64, 120, 3)}, k


def test_aspects_outside_one_are_drawn_from_their_range():
    samples = draws(
        {"kind": "cutpaste", "aspect_range": [2.0, 3.0], "area_range": [0.05, 0.06]}, TestPool((200, 200, 1)), 60
    )
    aspects = [sample.params["box"][2] / sample.params["box"][3] for sample in samples]
    assert min(aspects) > 1.9 and max(aspects) < 3.1


def test_in_a_mixture_with_soft_masks_binary_parts_have_their_mask_as_one():
    parts = [{"kind": "nsa"}, {"kind": "cutpaste"}, {"kind": "mix", "parts": [{"kind": "fpi"}]}]
    samples = draws({"kind": "mix", "parts": parts}, TestPool((96, 96, 3)), 40)
    assert {sample.params["part"] for sample in samples} == {0, 1, 2}
    for sample in samples:
        if sample.defect_type == "cutpaste":
            assert np.array_equal(sample.soft_mask, sample.mask)
        if sample.params["part"] == 2:
            assert "weight" in sample.params["drawn"]["drawn"]


def test_only_logistic_labels_are_calibrated():
    ready = build_generator({"kind": "nsa", "label": "binary"}).prepared(TestPool((64, 64, 3)))
    assert ready.slope == "auto" and ready.patches != "auto"
    assert ready.prepared(TestPool((64, 64, 3))) is ready


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
