"""Depth and channels: what becomes a pixel, and how one kind of image becomes another."""

import numpy as np
import pytest

from anomgen.errors import AnomgenError
from anomgen.sources.pixels import quantise, to_channels, to_depth


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_that_is_not_finite_becomes_a_pixel(value):
    values = np.full((4, 4, 1), 100.0)
    values[2, 3] = value
    with pytest.raises(AnomgenError, match="no finite numbers"):
        quantise(values, np.dtype(np.uint8))


def test_values_are_rounded_halves_to_even_and_clipped():
    values = np.array([-3.0, 0.5, 1.5, 254.5, 300.0])
    assert quantise(values, np.dtype(np.uint8)).tolist() == [0, 0, 2, 254, 255]


def test_black_and_white_stay_so_in_another_depth_and_back():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    deep = to_depth(image, np.uint16)
    assert (deep.min(), deep.max()) == (0, 65535) and np.array_equal(to_depth(deep, np.uint8), image)


def test_grey_becomes_three_equal_channels_and_comes_back():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    coloured = to_channels(image, 3)
    assert np.ptp(coloured, axis=2).max() == 0 and np.array_equal(to_channels(coloured, 1), image)
