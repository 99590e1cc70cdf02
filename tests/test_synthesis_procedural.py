"""Every family draws varied, even-handed textures at any size, the same for the same rng."""

import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomgen.errors import UsageError
from anomgen.rng import Stream, rng_for
from anomgen.synthesis.fields import octaves, ramp, value_noise
from anomgen.synthesis.procedural import DEFAULT_FAMILIES, FAMILIES

NEEDS_EXTRA = pytest.mark.skipif(find_spec("noise") is None, reason="the extra `noise` is not installed")


def rng(index=0):
    return rng_for(5, Stream.TEXTURE, index)


def families():
    return [pytest.param(name, marks=NEEDS_EXTRA if name == "simplex" else ()) for name in FAMILIES]


@pytest.mark.parametrize("name", families())
def test_textures_are_textured_and_differ(name):
    drawn = [FAMILIES[name](rng(k), (96, 128)) for k in range(8)]
    for texture in drawn:
        assert texture.dtype == np.uint8 and texture.shape == (96, 128, 3)
    assert np.median([texture.std(axis=(0, 1)).max() for texture in drawn]) > 8
    for k in range(1, 8):
        assert np.abs(drawn[0].astype(int) - drawn[k]).mean() > 5


@pytest.mark.parametrize("name", families())
def test_same_rng_same_texture(name):
    np.testing.assert_array_equal(FAMILIES[name](rng(3), (40, 70)), FAMILIES[name](rng(3), (40, 70)))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(DEFAULT_FAMILIES), st.integers(16, 200), st.integers(16, 200), st.integers(0, 10**6))
def test_any_size(name, height, width, index):
    texture = FAMILIES[name](rng(index), (height, width))
    assert texture.shape == (height, width, 3) and texture.dtype == np.uint8


@pytest.mark.parametrize("name", ["clouds", "mosaic", "weave", "dots", "cracks"])
def test_features_scale_with_the_image(name):
    """Shrunk to the same size, a large texture is as coarse as a small one."""

    def coarseness(texture):
        grey = cv2.cvtColor(texture, cv2.COLOR_RGB2GRAY).astype(float)
        return np.abs(np.diff(grey, axis=1)).mean() / max(grey.std(), 1)

    small = [
        coarseness(cv2.resize(FAMILIES[name](rng(k), (256, 256)), (128, 128), interpolation=cv2.INTER_AREA))
        for k in range(6)
    ]
    large = [
        coarseness(cv2.resize(FAMILIES[name](rng(k), (512, 512)), (128, 128), interpolation=cv2.INTER_AREA))
        for k in range(6)
    ]
    assert np.mean(large) == pytest.approx(np.mean(small), rel=0.35)


def test_noise_is_about_within_its_range():
    field = value_noise(rng(), (200, 150), 12)
    assert field.shape == (200, 150) and field.dtype == np.float32
    assert -0.3 < field.min() < 0.2 and 0.8 < field.max() < 1.3
    total = octaves(rng(), (200, 150), 5, ridged=True)
    assert total.min() == 0 and total.max() == pytest.approx(1)


def test_noise_has_the_cells_it_was_asked_for():
    def crossings(field):
        return np.abs(np.diff(np.sign(field - field.mean()), axis=1) / 2).sum(axis=1).mean()

    few, many = (np.mean([crossings(value_noise(rng(k), (256, 256), c)) for k in range(5)]) for c in (5, 40))
    assert many / few == pytest.approx(8, rel=0.35)
    long = np.mean([crossings(value_noise(rng(k), (256, 256), 40, 4)) for k in range(5)])
    assert many / long == pytest.approx(4, rel=0.35)


def test_ramps_are_varied():
    ramps = np.array([ramp(rng(k)) for k in range(100)], dtype=float)
    assert ramps.shape == (100, 256, 3)
    assert ramps.mean(axis=(0, 1)).std() < 20
    assert np.median(ramps.max(axis=1).max(axis=1) - ramps.min(axis=1).min(axis=1)) > 120


def test_simplex_without_its_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "noise", None)
    with pytest.raises(UsageError, match=r'pip install "\.\[noise\]"'):
        FAMILIES["simplex"](rng(), (32, 32))


def test_default_families_need_no_extra():
    assert "simplex" not in DEFAULT_FAMILIES and len(DEFAULT_FAMILIES) == 16
