"""The step that makes masks exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomgen.sources.pixels import quantise
from anomgen.synthesis.sample import Box, Reject, change_between, composite, majority


@settings(max_examples=60, deadline=None)
@given(
    st.integers(32, 70),
    st.integers(32, 70),
    st.sampled_from([1, 3]),
    st.sampled_from([np.uint8, np.uint16]),
    st.floats(0, 1),
    st.integers(0, 9999),
)
def test_outside_the_mask_the_image_is_the_input(h, w, channels, dtype, density, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, np.iinfo(dtype).max, (h, w, channels)).astype(dtype)
    support = np.zeros((h, w), bool)
    support[8:24, 8:24] = rng.random((16, 16)) < density
    drawn = image.copy()
    drawn[8:24, 8:24] = rng.integers(0, np.iinfo(dtype).max, (16, 16, channels))
    try:
        result = composite(image, drawn, support, box=Box(8, 8, 16, 16))
    except Reject:
        assert support.sum() < 40
        return
    assert np.array_equal(result.image[~result.mask], image[~result.mask])
    assert not (result.mask & ~support).any()
    assert np.mean(change_between(result.image, image)[result.mask] > 1) >= 0.5


def test_a_thin_line_keeps_all_its_pixels():
    image = np.full((64, 64, 1), 100, np.uint8)
    support = np.zeros((64, 64), bool)
    support[10:50, 20:22] = True
    drawn = image.copy()
    drawn[support] = 180
    assert np.array_equal(composite(image, drawn, support).mask, support)


def test_specks_go_and_small_holes_are_filled():
    support = np.ones((40, 40), bool)
    changed = np.zeros((40, 40), bool)
    changed[10:30, 10:30] = True
    changed[20, 20] = False
    changed[2, 2] = True
    mask = majority(changed, support)
    assert mask[20, 20] and not mask[2, 2]


@pytest.mark.parametrize(("dtype", "step"), [(np.uint8, 1), (np.uint16, 257)])
def test_change_is_in_grey_levels_of_255_at_any_depth(dtype, step):
    image = np.full((32, 32, 3), 100 * step, dtype)
    other = image.copy()
    other[..., 0] += 3 * step
    assert change_between(image, other) == pytest.approx(np.ones((32, 32)))


def test_an_invisible_change_is_rejected():
    image = np.full((64, 64, 1), 100, np.uint8)
    with pytest.raises(Reject, match="nothing visible"):
        composite(image, image + 1, np.ones((64, 64), bool))


def test_quantise_rounds_and_clips():
    assert quantise(np.array([-3.0, 0.4, 0.6, 1.5, 2.5, 300.0]), np.dtype(np.uint8)).tolist() == [0, 0, 1, 2, 2, 255]


def test_a_box_around_a_mask_holds_what_lies_in_the_larger_box_and_no_more():
    mask = np.zeros((20, 30), bool)
    mask[3, 4] = mask[9, 12] = mask[18, 29] = True
    assert Box(2, 1, 12, 20).around(mask) == Box(3, 4, 7, 9)
    assert Box(0, 20, 5, 5).around(mask)[2:] == (0, 0)
