"""What is measured of a row: boxes, severity, area, its name."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from anomgen.dataset.row import area_of, boxes_of, image_name, severity_of

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


@settings(deadline=None)
@given(masks)
def test_boxes_are_those_of_the_eight_connected_components(mask):
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    expected = [[int(v) for v in row[:4]] for row in stats[1:]]
    assert boxes_of(mask) == sorted(expected, key=lambda box: (box[1], box[0], box[2], box[3]))


def test_a_component_inside_the_hole_of_another_has_a_box():
    mask = np.zeros((20, 30), bool)
    mask[2:18, 3:25] = True
    mask[5:15, 6:20] = False
    mask[8:10, 10:14] = True
    assert boxes_of(mask) == [[3, 2, 22, 16], [10, 8, 4, 2]]


@settings(deadline=None)
@given(masks, st.sampled_from([np.uint8, np.uint16]), st.sampled_from([1, 3]), st.integers(0, 2**32))
def test_severity_is_the_mean_change_inside_the_mask(mask, dtype, channels, seed):
    rng = np.random.default_rng(seed)
    shape, limit = (*mask.shape, channels), np.iinfo(dtype).max
    image, normal = (rng.integers(0, limit, shape, dtype=dtype, endpoint=True) for _ in range(2))
    change = np.abs(image.astype(np.float64) - normal)[mask]
    expected = change.mean() / limit if mask.any() else 0.0
    assert severity_of(image, normal, mask) == np.float32(severity_of(image, normal, mask))
    assert severity_of(image, normal, mask) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(deadline=None)
@given(masks)
def test_area_is_the_share_of_the_image(mask):
    assert area_of(mask) == np.float32(mask.mean())


def test_names_of_images_sort_like_their_numbers():
    assert [image_name(i) for i in (0, 123, 999_999, 1_234_567)] == [
        "000000.png",
        "000123.png",
        "999999.png",
        "1234567.png",
    ]
