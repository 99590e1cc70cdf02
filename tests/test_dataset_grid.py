"""The grid of samples: a crop holds the anomaly and lies in the image; any size and depth can be shown."""

import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomgen.dataset.grid import Group, crop_of, grid_sheet
from anomgen.dataset.panel import Panel
from anomgen.dataset.pictures import at_most, outline_of


@given(st.integers(16, 90), st.integers(16, 90), st.data())
def test_a_crop_is_a_square_in_the_image_around_the_largest_piece(height, width, data):
    mask = np.zeros((height, width), bool)
    y, x = data.draw(st.integers(0, height - 3)), data.draw(st.integers(0, width - 3))
    mask[y : y + 3, x : x + 3] = True
    mask[0, 0] = True
    rows, columns = crop_of(mask)
    assert rows.stop - rows.start == columns.stop - columns.start
    assert 0 <= rows.start and rows.stop <= height and 0 <= columns.start and columns.stop <= width
    assert mask[rows, columns].sum() >= 9


@pytest.mark.parametrize("shape", [(16, 16, 1), (40, 400, 3), (700, 30, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_size_depth_and_channels_are_laid_out(shape, dtype):
    image = np.full(shape, 40, dtype)
    mask = np.zeros(shape[:2], bool)
    mask[2:8, 2:8] = True
    normal = Panel(image, np.zeros_like(mask), None, image, "normal")
    panels = [Panel(image, mask, None, None, "x" * 300), normal, normal]
    one, two = grid_sheet([Group("a", panels)], 1), grid_sheet([Group("a", panels)], 3, "title")
    assert one.dtype == np.uint8 and one.shape[0] > two.shape[0] and one.shape[1] < two.shape[1]
    beside = grid_sheet([Group("a", panels), Group("b", panels[:1])], 1)
    assert (beside == 238).all(axis=2).any()  # b has no second sample


def test_a_sample_goes_before_the_next_is_read():
    read = []

    def panel():
        assert all(before() is None for before in read)
        shown = Panel(np.full((20, 20, 3), 9, np.uint8), np.eye(20, dtype=bool), None, None, "")
        read.append(weakref.ref(shown))
        return shown

    grid_sheet([Group("a", (panel() for _ in range(5)))], 2)
    assert len(read) == 5


def test_an_outline_runs_through_the_rim_of_each_piece():
    mask = np.zeros((20, 30), bool)
    mask[3:6, 4:9] = mask[10, 20] = True
    assert sorted(outline_of(mask).split("M")[1:]) == ["20.5 10.5Z", "4.5 3.5 4.5 5.5 8.5 5.5 8.5 3.5Z"]
    assert outline_of(np.zeros((4, 4), bool)) == ""


@pytest.mark.parametrize("shape", [(100, 50, 3), (50, 100, 1), (4, 4, 3)])
def test_a_thumbnail_keeps_aspect_and_channels(shape):
    small = at_most(np.zeros(shape, np.uint8), 25)
    assert max(small.shape[:2]) == min(25, max(shape[:2])) and small.shape[2] == shape[2]
    assert at_most(small, None) is small
