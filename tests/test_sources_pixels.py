"""Depth and channels: what becomes a pixel, and how one kind of image becomes another."""

import numpy as np
import pytest

from anomgen.errors import AnomgenError
from anomgen.sources.pixels import levels, quantise, to_channels, to_depth, to_lab


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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("white", [255.0, 1])
def test_levels_run_from_black_to_the_white_that_is_asked_for(dtype, white):
    image = np.linspace(0, np.iinfo(dtype).max, 12).astype(dtype).reshape(2, 2, 3)
    before, values = image.copy(), levels(image, white)
    assert values.dtype == np.float32 and np.array_equal(image, before)
    assert values.ravel()[[0, -1]] == pytest.approx([0, white])
    assert values == pytest.approx(image.astype(float) * white / np.iinfo(dtype).max, rel=1e-6)


def test_lightness_of_grey_is_that_of_equal_channels():
    """CIE 1976: L is 116 f(Y) - 16, so of linear light 0.2140 (sRGB 0.5) it is 53.39."""
    image = np.array([0, 0.5, 1], np.float32).reshape(1, 3, 1)
    lab = to_lab(np.repeat(image, 3, axis=2))
    assert lab[0, :, 0] == pytest.approx([0, 53.39, 100], abs=0.05) and np.abs(lab[..., 1:]).max() < 0.05
    assert to_lab(image).ravel().tolist() == [0, 50, 100]
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    assert to_lab(grey) is grey
