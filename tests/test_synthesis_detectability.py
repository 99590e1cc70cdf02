"""Detectability: r is a distance to the normal pixels in units of the boundary that one normal pixel in 100 passes."""

import json

import numpy as np
import pytest

from anomgen.making.recipe import load_recipe
from anomgen.sources.pool import Pool
from anomgen.synthesis.detectability import LOOKED_AT, Detectability, detectability_of, features, remember_fit


def texture(number, channels=1, shape=(128, 128), dtype=np.uint8):
    rng = np.random.default_rng([3, number])
    values = 120 + rng.normal(0, 12, (*shape, channels))
    top = np.iinfo(dtype).max
    return np.clip(np.rint(values * (top / 255)), 0, top).astype(dtype)


def fitted(channels=1, **how):
    images = [texture(k, channels, **how) for k in range(30)]
    return Detectability.fitted(images, [None] * len(images))


def disc(shape=(128, 128), radius=8):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(y - shape[0] / 2, x - shape[1] / 2) < radius * shape[0] / 128


@pytest.mark.parametrize("channels", [1, 3])
def test_one_normal_pixel_in_a_hundred_lies_beyond_the_boundary(channels):
    measure = fitted(channels)
    beyond = np.mean([np.mean(measure.map(texture(k, channels)) > 1) for k in range(100, 130)])
    assert 0.003 < beyond < 0.03


def test_r_grows_with_the_contrast_and_passes_1_where_the_change_leaves_the_noise():
    measure, mask = fitted(), disc()
    found = []
    for contrast in (0, 10, 25, 60, 120):
        image = texture(200).astype(int)
        image[mask] -= contrast
        found.append(measure.of(np.clip(image, 0, 255).astype(np.uint8), mask))
    assert found == sorted(found)
    assert found[0] < 1 < found[3]


def test_only_the_surroundings_of_the_mask_are_looked_at():
    measure, mask = fitted(), disc()
    image = texture(201)
    image[mask] = 40
    far = image.copy()
    far[:20, :20] = 255
    assert measure.of(image, mask) == measure.of(far, mask)
    whole = np.quantile(measure.map(image)[mask], 0.9)
    assert measure.of(image, mask) == pytest.approx(whole, rel=1e-3)


def test_16_bits_are_measured_as_8_bits():
    measure, mask = fitted(), disc()
    image = texture(202)
    image[mask] = 60
    assert measure.of(image.astype(np.uint16) * 257, mask) == pytest.approx(measure.of(image, mask), rel=1e-3)


def test_features_are_18_of_a_coloured_image_and_12_of_a_grey_one():
    assert features(texture(0, 3)).shape == (128, 128, 18)
    assert features(texture(0, 1)).shape == (128, 128, 12)


def test_an_even_surface_and_a_single_image_have_a_boundary():
    flat = np.full((64, 64, 1), 90, np.uint8)
    measure = Detectability.fitted([flat], [None])
    assert np.isfinite(measure.map(flat)).all() and measure.boundary > 0
    spotted = flat.copy()
    spotted[30:34, 30:34] = 120
    assert measure.of(spotted, (spotted != flat)[..., 0]) > 5


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_recorded_measures_the_same(channels):
    measure, mask = fitted(channels), disc()
    image = texture(203, channels)
    image[mask] = 60
    read = Detectability.of_record(json.loads(json.dumps(measure.as_dict())))
    assert read == measure and read.of(image, mask) == measure.of(image, mask)


def test_of_a_large_mask_a_part_of_the_pixels_says_enough():
    measure, mask = fitted(3), disc(radius=50)
    image = texture(204, 3)
    image[mask] //= 2
    whole = measure.map(image)[mask]
    assert len(whole) > 5 * LOOKED_AT
    assert measure.of(image, mask) == pytest.approx(np.quantile(whole, 0.9), rel=0.02)


def test_features_of_some_pixels_are_those_of_all():
    image, chosen = texture(0, 3), np.array([5, 777, 16000])
    assert np.array_equal(features(image, None, chosen), features(image).reshape(-1, 18)[chosen])


def test_a_pool_is_fitted_to_once_and_keeps_a_fit_that_is_known(monkeypatch):
    source = load_recipe("perlin", size=48, overrides=["source.count=4"]).source.open()
    pool, other = Pool(source), Pool(source)
    first = detectability_of(pool)
    monkeypatch.setattr(Detectability, "fitted", None)
    assert detectability_of(pool) is first
    remember_fit(other, first)
    assert detectability_of(other) is first
