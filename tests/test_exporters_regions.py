"""Run lengths, polygons and brush strokes hold any mask exactly, by readers written here from their definitions."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomgen.exporters.conformance import hard_masks
from anomgen.exporters.labelstudio import brush
from anomgen.exporters.regions import components, polygon, run_lengths
from anomgen.exporters.yolo import _line, read_back

SIDES = st.sampled_from((1, 2, 3, 7, 16, 24))
MASKS = st.builds(
    lambda h, w, density, seed: np.random.default_rng(seed).random((h, w)) < density,
    *(SIDES, SIDES, st.floats(0, 1), st.integers(0, 10**6)),
)


def in_image(component, shape):
    mask = np.zeros(shape, bool)
    h, w = component.pixels.shape
    mask[component.y : component.y + h, component.x : component.x + w] = component.pixels
    return mask


def filled(corners, shape):
    """Even-odd at the pixels' centres, then the outline: every step of an edge, which runs straight or diagonally."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    edges = list(zip(corners.tolist(), np.roll(corners, -1, axis=0).tolist(), strict=True))
    for (ax, ay), (bx, by) in edges:
        if ay != by:
            mask ^= ((ay <= y) != (by <= y)) & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    for (ax, ay), (bx, by) in edges:
        steps = max(abs(bx - ax), abs(by - ay), 1)
        assert {abs(bx - ax), abs(by - ay)} <= {0, steps}
        for k in range(steps + 1):
            mask[ay + k * (by - ay) // steps, ax + k * (bx - ax) // steps] = True
    return mask


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_components_are_the_mask_in_pieces(mask):
    pieces = [in_image(component, mask.shape) for component in components(mask)]
    assert np.array_equal(sum(pieces, np.zeros(mask.shape, int)), mask)
    count = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[0] - 1
    assert len(pieces) == count
    first = [int(np.flatnonzero(piece)[0]) for piece in pieces]
    assert first == sorted(first)


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_run_lengths_go_down_the_columns_and_begin_with_zeros(mask):
    for component in components(mask):
        counts = run_lengths(component, mask.shape)
        flat = np.concatenate([np.full(count, k % 2 == 1) for k, count in enumerate(counts)])
        flat = np.pad(flat, (0, mask.size - len(flat)))
        assert np.array_equal(flat.reshape(mask.shape[::-1]).T, in_image(component, mask.shape))
        assert all(count > 0 for count in counts[1:])


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_polygons_keep_holes(mask):
    for component in components(mask):
        assert np.array_equal(filled(polygon(component), mask.shape), in_image(component, mask.shape))


@pytest.mark.parametrize("number", range(6))
def test_polygons_keep_the_masks_that_are_hard_to_hold(number):
    mask = hard_masks((48, 64))[number]
    for component in components(mask):
        assert np.array_equal(filled(polygon(component), mask.shape), in_image(component, mask.shape))


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_lines_of_a_label_file_hold_the_mask(mask):
    pieces = list(components(mask))
    assert len({tuple(piece.box) for piece in pieces}) == len(pieces), "readers keep one line of several with one box"
    text = "".join(_line(0, component, mask.shape) for component in pieces)
    for line in text.splitlines():
        values = [float(value) for value in line.split()[1:]]
        assert len(values) >= 6 and len(values) % 2 == 0 and min(values) >= 0 and max(values) <= 1
        corners = np.array(values).reshape(-1, 2)
        assert (np.ptp(corners, axis=0) > 0).all(), "a box of no size is thrown away"
    assert np.array_equal(read_back(text, mask.shape), mask)


def test_polygons_hold_on_large_images():
    """Six decimals are enough for the largest sides that images have."""
    mask = np.zeros((40, 30000), bool)
    mask[3:30, 29000:29990] = True
    mask[8:12, 29500:29600] = False
    mask[35, 29999] = True
    text = "".join(_line(0, component, mask.shape) for component in components(mask))
    assert np.array_equal(read_back(text, mask.shape), mask)


def decoded(data):
    """Read rle-pack as its source describes it, bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in data)
    at = 0

    def read(count):
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    total, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values = []
    while len(values) < total:
        repeated = read(1)
        length = read(sizes[read(2)]) + 1
        values += [read(word)] * length if repeated else [read(word) for _ in range(length)]
    assert len(values) == total and len(bits) - at < 8
    return np.array(values, np.uint8)


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_brush_strokes_hold_the_mask_in_all_four_channels(mask):
    values = decoded(brush(mask)).reshape(*mask.shape, 4)
    assert np.array_equal(values, np.repeat(mask[..., None] * np.uint8(255), 4, axis=2))


def test_brush_strokes_hold_long_runs():
    mask = np.zeros((300, 300), bool)
    mask[250:] = True
    assert np.array_equal(decoded(brush(mask)).reshape(300, 300, 4)[..., 3] > 0, mask)
