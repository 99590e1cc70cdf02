"""Depth and channels change as written: black stays black, white stays white, grey is Rec. 601's luminance."""

import numpy as np
import pytest

from anomgen.rng import Stream, rng_for
from anomgen.sources.pixels import quantise, to_channels, to_depth, value_max


def picture(dtype, channels):
    values = rng_for(0, Stream.SOURCE).integers(0, value_max(np.dtype(dtype)), (20, 30, channels), endpoint=True)
    return values.astype(dtype)


@pytest.mark.parametrize("channels", [1, 3])
def test_eight_bits_survive_sixteen(channels):
    image = picture(np.uint8, channels)
    deep = to_depth(image, np.uint16)
    assert deep.dtype == np.uint16 and (deep == image.astype(int) * 65535 // 255).all()
    np.testing.assert_array_equal(to_depth(deep, np.uint8), image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_is_the_luminance_and_colour_of_grey_is_grey(dtype):
    image = picture(dtype, 3)
    grey = to_channels(image, 1)
    assert grey.shape == (20, 30, 1) and grey.dtype == dtype
    luminance = image @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - luminance).max() <= 0.51 + value_max(grey.dtype) / 2**15
    np.testing.assert_array_equal(to_channels(grey, 3), np.dstack([grey[..., 0]] * 3))


def test_what_is_so_already_is_not_copied():
    image = picture(np.uint16, 1)
    assert to_depth(to_channels(image, 1), np.uint16) is image


def test_halves_round_to_even_and_values_beyond_the_range_are_clipped():
    assert quantise(np.array([-3.0, 0.5, 1.5, 254.6, 300.0]), np.dtype(np.uint8)).tolist() == [0, 0, 2, 255, 255]
