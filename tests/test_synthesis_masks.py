"""Shapes have the areas that geometry says, and land where they are allowed to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomgen.synthesis.masks import ellipse, place, rotated_rectangle
from anomgen.synthesis.sample import Box


@pytest.mark.parametrize("tilt", [-0.8, -0.3, 0.0, 0.5, 0.8])
@pytest.mark.parametrize(("h", "w"), [(40, 40), (30, 90), (101, 57)])
def test_an_ellipse_has_its_area_and_fills_its_box(h, w, tilt):
    mask = ellipse(h, w, tilt)
    assert mask.sum() == pytest.approx(np.pi / 4 * h * w * np.sqrt(1 - tilt**2), rel=0.02)
    assert mask.any(axis=1).sum() >= h - 2 and mask.any(axis=0).sum() >= w - 2


def test_a_positive_tilt_leans_from_top_left_to_bottom_right():
    mask = ellipse(50, 50, 0.7)
    assert mask[10, 10] and mask[40, 40] and not mask[10, 40]


@given(st.floats(4, 60), st.floats(2, 20), st.floats(-45, 45))
def test_a_turned_rectangle_keeps_its_area(length, width, angle):
    mask = rotated_rectangle(length, width, angle)
    # A side of pixel centres is up to a pixel longer or shorter than the side that it stands for.
    assert abs(mask.sum() - length * width) <= 0.1 * length * width + length + width + 1


def test_a_turned_rectangle_has_its_area_on_average():
    areas = [rotated_rectangle(20, 7, angle).sum() for angle in np.linspace(-45, 45, 91)]
    assert np.mean(areas) == pytest.approx(140, rel=0.02)


def test_placement_is_uniform_without_a_foreground():
    rng = np.random.default_rng(0)
    tops = [place(rng, (50, 60), 20, 30, None, 0.5).y for _ in range(3000)]
    counts = np.bincount(tops, minlength=31)
    assert counts.min() > 55 and counts.max() < 145


def test_placement_respects_the_foreground():
    foreground = np.zeros((100, 100), bool)
    foreground[30:60, 40:90] = True
    rng = np.random.default_rng(0)
    for _ in range(200):
        box = place(rng, foreground.shape, 20, 20, foreground, 0.8)
        assert foreground[box.slices].mean() >= 0.8


def test_placement_gives_up_where_there_is_no_room():
    assert place(np.random.default_rng(0), (50, 50), 10, 10, np.zeros((50, 50), bool), 0.5) is None


def test_boxes_unite():
    assert Box(2, 3, 4, 5).union(Box(0, 7, 3, 3)) == Box(0, 3, 6, 7)
