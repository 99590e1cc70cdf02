"""Perlin noise is what the formula says, at any size, and its regions have DRAEM's statistics."""

import math
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomgen.rng import Stream, rng_for
from anomgen.synthesis.perlin import draw_perlin, perlin_mask, perlin_noise, rotated_noise

NEEDS_EXTRA = pytest.mark.skipif(find_spec("noise") is None, reason="the extra `noise` is not installed")
FIELDS = ["gradient", pytest.param("noise", marks=NEEDS_EXTRA)]


def rng(index=0):
    return rng_for(7, Stream.SAMPLE, index)


def naive_noise(generator, shape, res_y, res_x):
    """Evaluate the definition pixel by pixel, in double precision."""
    step_y, step_x = res_y / shape[0], res_x / shape[1]
    rows, columns = int((shape[0] - 1) * step_y) + 2, int((shape[1] - 1) * step_x) + 2
    angle = generator.random((rows, columns), dtype=np.float32).astype(np.float64) * 2 * math.pi
    noise = np.empty(shape)
    for i in range(shape[0]):
        for j in range(shape[1]):
            y, x = i * step_y, j * step_x
            total = 0.0
            for row in (int(y), int(y) + 1):
                for column in (int(x), int(x) + 1):
                    dy, dx = y - row, x - column
                    weight = 1.0
                    for t in (1 - abs(dy), 1 - abs(dx)):
                        weight *= 6 * t**5 - 15 * t**4 + 10 * t**3
                    total += weight * (math.sin(angle[row, column]) * dy + math.cos(angle[row, column]) * dx)
            noise[i, j] = math.sqrt(2) * total
    return noise


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.3, 16), st.floats(0.3, 16), st.integers(0, 2**32))
def test_noise_equals_a_naive_loop(height, width, res_y, res_x, index):
    fast = perlin_noise(rng(index), (height, width), res_y, res_x)
    assert fast.dtype == np.float32 and fast.shape == (height, width)
    np.testing.assert_allclose(fast, naive_noise(rng(index), (height, width), res_y, res_x), atol=2e-5)


def line_weights(length, cells):
    """Return what each pixel takes from each lattice line, (length, cells + 1): weight, and weight times distance."""
    position = np.arange(length) * cells / length
    distance = position[:, None] - np.arange(cells + 1)
    t = np.maximum(1 - np.abs(distance), 0)
    weight = 6 * t**5 - 15 * t**4 + 10 * t**3
    return weight, weight * distance


@pytest.mark.parametrize("field", FIELDS)
def test_the_noise_has_the_covariance_of_the_formula(field):
    """With gradients whose components are independent of mean square 1, pixels i, k of a column, and so of a row, have
    the covariance Σ ω_i ω_k δ_i δ_k · Σ ω_j² + Σ ω_i ω_k · Σ ω_j² δ_j²: mean, variance and spectrum follow from it.
    """
    shape, cells, count = (48, 40), (4, 3), 1500
    drawn = np.stack([rotated_noise(rng(k), shape, *cells, 0.0, field) for k in range(count)])
    (down, down_far), (across, across_far) = (line_weights(n, c) for n, c in zip(shape, cells, strict=True))
    for axis, (one, one_far), (other, other_far) in (
        (1, (down, down_far), (across, across_far)),
        (2, (across, across_far), (down, down_far)),
    ):
        expected = one_far @ one_far.T * (other**2).sum(1).mean() + one @ one.T * (other_far**2).sum(1).mean()
        lines = np.moveaxis(drawn, axis, -1).reshape(-1, drawn.shape[axis]).astype(np.float64)
        np.testing.assert_allclose(lines.T @ lines / len(lines), expected, atol=0.012)
    assert abs(drawn.mean()) < 0.005


@NEEDS_EXTRA
@pytest.mark.parametrize("degrees", [0.0, 33.0])
def test_both_fields_cut_out_alike(degrees):
    """The regions have the same mean area at any level, and the fourth moments differ by less than a tenth."""
    ours, theirs = (
        np.stack([rotated_noise(rng(k), (96, 96), 6, 6, degrees, field) for k in range(400)])
        for field in ("gradient", "noise")
    )
    for level in (-0.4, 0.0, 0.3, 0.5):
        assert (theirs > level).mean() == pytest.approx((ours > level).mean(), rel=0.08)
    tails = [(noise**4).mean() / (noise**2).mean() ** 2 for noise in (ours, theirs)]
    assert tails[1] == pytest.approx(tails[0], rel=0.1)
    slope = [np.abs(np.diff(noise, axis=1)).mean() for noise in (ours, theirs)]
    assert slope[1] == pytest.approx(slope[0], rel=0.05)


@NEEDS_EXTRA
def test_the_packages_noise_is_a_cut_out_of_its_solid():
    from noise import pnoise3

    layer, top, left = rng(4).integers(256, size=3)
    drawn = rotated_noise(rng(4), (20, 30), 2, 3, 0.0, "noise")
    assert drawn.dtype == np.float32 and drawn.shape == (20, 30)
    for i, j in ((0, 0), (7, 11), (19, 29)):
        assert drawn[i, j] == pytest.approx(math.sqrt(1.6) * pnoise3(left + j * 0.1, top + i * 0.1, layer), abs=1e-4)
    np.testing.assert_array_equal(drawn, rotated_noise(rng(4), (20, 30), 2, 3, 0.0, "noise"))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("shape", [(250, 250), (300, 200), (829, 1010), (256, 256), (33, 1)])
@pytest.mark.parametrize("res", [(1, 1), (4, 32), (32, 2)])
def test_any_shape(shape, res, field):
    noise = rotated_noise(rng(), shape, *res, degrees=33.0, field=field)
    assert noise.shape == shape
    assert np.isfinite(noise).all()


def test_no_rotation_is_the_noise_itself():
    turned = rotated_noise(rng(), (40, 56), 4, 4, 0.0)
    np.testing.assert_array_equal(turned, perlin_noise(rng(), (40, 56), 4, 4))


@pytest.mark.parametrize("field", FIELDS)
def test_rotation_turns_the_lattice(field):
    """Noise that is coarse along y and fine along x becomes fine along y when it is turned by 90 degrees."""
    for degrees, along_y, along_x in ((0.0, 0, 1), (90.0, 1, 0)):
        noise = rotated_noise(rng(), (128, 128), 2, 16, degrees, field)
        slope = [np.abs(np.diff(noise, axis=axis)).mean() for axis in (0, 1)]
        assert (slope[0] > slope[1]) == (along_y > along_x)


def test_turned_noise_has_no_empty_corners():
    corners = []
    for index in range(300):
        region, _ = perlin_mask(rng(index), (64, 64), rotation_range=(45.0, 45.0), exponent_range=(2, 3))
        corners.append(region)
    cover = np.mean(corners, axis=0)
    corner = np.mean([cover[:12, :12], cover[:12, -12:], cover[-12:, :12], cover[-12:, -12:]])
    assert corner == pytest.approx(cover[20:44, 20:44].mean(), rel=0.4)


def test_cover_of_the_regions():
    """Mean cover a little above 4.7 %, which the official code has with its corners cut off."""
    cover = np.array([perlin_mask(rng(index), (256, 256))[0].mean() for index in range(1000)])
    assert 0.045 < cover.mean() < 0.062
    assert 0.03 < (cover == 0).mean() < 0.08


def test_settings_are_uniform():
    drawn = [draw_perlin(rng(index), (256, 256), threshold_range=(0.3, 0.7)) for index in range(3000)]
    for cells in ([d.res_y for d in drawn], [d.res_x for d in drawn]):
        values, counts = np.unique(cells, return_counts=True)
        assert values.tolist() == [1, 2, 4, 8, 16, 32]
        assert counts.min() > 400
    assert np.mean([d.rotation for d in drawn]) == pytest.approx(0, abs=4)
    assert min(d.rotation for d in drawn) < -85 and max(d.rotation for d in drawn) > 85
    assert np.mean([d.threshold for d in drawn]) == pytest.approx(0.5, abs=0.01)
    assert np.corrcoef([d.res_y for d in drawn], [d.res_x for d in drawn])[0, 1] == pytest.approx(0, abs=0.06)


def test_small_images_get_coarse_lattices():
    drawn = [draw_perlin(rng(index), (32, 256)) for index in range(300)]
    assert max(d.res_y for d in drawn) == 8
    assert max(d.res_x for d in drawn) == 32


def test_same_rng_same_region_and_global_state_untouched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = perlin_mask(rng(3), (50, 70)), perlin_mask(rng(3), (50, 70))
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
