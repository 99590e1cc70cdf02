"""Perlin keeps the mask contract at every size, and its draws follow the paper's code."""

import json
import random
import sys
from collections import Counter
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomgen.errors import RecipeError, SourceError, UsageError
from anomgen.generators.base import build_generator
from anomgen.generators.conformance import TestPool, check_generator
from anomgen.generators.perlin import Perlin
from anomgen.rng import Stream, rng_for
from anomgen.synthesis.augment import OPERATIONS
from anomgen.synthesis.sample import Reject, change_between, smallest_mask
from anomgen.synthesis.textures import FolderTextures, ProceduralTextures

NEEDS_EXTRA = pytest.mark.skipif(find_spec("noise") is None, reason="the extra `noise` is not installed")


def rng(index=0):
    return rng_for(0, Stream.SAMPLE, index)


def grey_pool(height, width, channels=3, value=128):
    """Return one even image: every texture is visible on it."""
    return [np.full((height, width, channels), value, np.uint8)]


def samples(generator, pool, count):
    """Return what `count` draws give, without the rejected ones."""
    drawn = []
    for index in range(count):
        try:
            drawn.append(generator.sample(rng(index), pool[index % len(pool)], pool))
        except Reject:
            continue
    return drawn


@pytest.mark.parametrize(
    "generator",
    [
        Perlin(),
        Perlin(threshold_range=(0.3, 0.6), opacity_range=(0.1, 1.0)),
        Perlin(augmentations=0, rotation_range=(0.0, 0.0), exponent_range=(3, 3)),
        Perlin(texture=ProceduralTextures(families=("fibres",), bank_size=2)),
        pytest.param(Perlin(field="noise"), marks=NEEDS_EXTRA),
    ],
    ids=["default", "paper", "plain", "one family", "the package's field"],
)
def test_conformance(generator):
    check_generator(generator)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(32, 200),
    st.integers(32, 200),
    st.sampled_from([1, 3]),
    st.sampled_from([np.uint8, np.uint16]),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_the_mask_contract_at_any_size(height, width, channels, dtype, with_foreground, index):
    pool = TestPool((height, width, channels), dtype, with_foreground=with_foreground, count=1)
    image = pool[0]
    before = image.copy()
    try:
        sample = Perlin().sample(rng(index), image, pool)
    except Reject:
        return
    np.testing.assert_array_equal(image, before)
    assert sample.image.dtype == dtype and sample.image.shape == image.shape
    np.testing.assert_array_equal(sample.image[~sample.mask], image[~sample.mask])
    assert sample.mask.sum() >= smallest_mask(image.shape)
    assert np.mean(change_between(sample.image, image)[sample.mask] > 1) > 0.5
    if with_foreground:
        assert not (sample.mask & ~pool.foreground(image)).any()


@pytest.mark.parametrize("shape", [(32, 32), (32, 48), (250, 250), (300, 200), (829, 1010)])
def test_masks_are_hardly_ever_empty(shape):
    """The official code gives 7 % empty masks at 256 × 256; here a region is drawn again."""
    count = 10 if shape[0] > 500 else 60
    drawn = samples(Perlin(opacity_range=(0.6, 1.0)), grey_pool(*shape), count)
    assert len(drawn) >= 0.95 * count
    assert all(sample.mask.any() for sample in drawn)


def test_cover_is_that_of_the_paper():
    """Mean cover: 4.7 % in the official code with its empty masks and cut corners, 5.7 % without."""
    drawn = samples(Perlin(), grey_pool(256, 256), 400)
    assert 0.045 < np.mean([sample.mask.mean() for sample in drawn]) < 0.07


def test_draws_are_uniform():
    drawn = samples(Perlin(), grey_pool(64, 64), 1500)
    opacity = np.array([sample.params["opacity"] for sample in drawn])
    assert 0.2 <= opacity.min() < 0.25 and 0.96 < opacity.max() <= 1
    assert np.histogram(opacity, 4, (0.2, 1.0))[0] / len(drawn) == pytest.approx(0.25, abs=0.06)
    counts = Counter(name for sample in drawn for name in sample.params["augmentations"])
    assert set(counts) == set(OPERATIONS)
    assert np.array(list(counts.values())) / len(drawn) == pytest.approx(0.3, abs=0.06)
    assert min(Counter(sample.params["res_y"] for sample in drawn).values()) > 150
    assert all(-90 <= sample.params["rotation"] <= 90 for sample in drawn)


def test_opacity_is_the_weight_of_the_texture():
    """With full opacity the texture covers; with half, the change is half as large (up to rounding)."""
    pool = grey_pool(96, 96)
    for index in range(20):
        full = Perlin(opacity_range=(1.0, 1.0)).sample(rng(index), pool[0], pool)
        half = Perlin(opacity_range=(0.5, 0.5)).sample(rng(index), pool[0], pool)
        both = full.mask & half.mask
        expected = 128 + (full.image.astype(float) - 128) / 2
        assert np.abs(half.image[both] - expected[both]).max() <= 0.5


def test_texture_is_the_configured_one(tmp_path):
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / "red.png"), red)
    textures = FolderTextures(path=str(tmp_path))
    generator = Perlin(texture=textures, augmentations=0, opacity_range=(1.0, 1.0), colourful=True)
    pool = grey_pool(128, 100)
    sample = generator.prepared(pool).sample(rng(), pool[0], pool)
    assert (sample.image[sample.mask] == (255, 0, 0)).all()
    assert sample.params["texture"] == "red.png"
    deep = [np.full((128, 100, 3), 30000, np.uint16)]
    sample = generator.sample(rng(), deep[0], deep)
    assert (sample.image[sample.mask] == (65535, 0, 0)).all()


def test_threshold_decides_the_size():
    pool = grey_pool(128, 128)
    covers = [
        np.mean([sample.mask.mean() for sample in samples(Perlin(threshold_range=(t, t)), pool, 100)])
        for t in (0.2, 0.4, 0.6)
    ]
    assert covers[0] > 1.5 * covers[1] > 2 * covers[2]


def test_a_hopeless_draw_is_rejected_not_passed_as_normal():
    pool = grey_pool(64, 64)
    with pytest.raises(Reject, match="no region above the threshold"):
        Perlin(threshold_range=(3.0, 3.0)).sample(rng(), pool[0], pool)

    class NoObject(list):
        def foreground(self, image):
            return np.zeros(image.shape[:2], bool)

    with pytest.raises(Reject, match="no region on the foreground"):
        Perlin().sample(rng(), pool[0], NoObject(pool))


def test_pure():
    pool = TestPool((64, 80, 3))
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first = Perlin().sample(rng(4), pool[0], pool)
    second = Perlin().sample(rng(4), pool[0], pool)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.mask, second.mask)
    assert first.params == second.params
    json.dumps(first.params)
    np.testing.assert_array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert before[1] == random.getstate()


def test_missing_textures_are_an_error_before_the_run(tmp_path):
    pool = grey_pool(64, 64)
    with pytest.raises(UsageError, match="no such folder"):
        Perlin(texture=FolderTextures(path=str(tmp_path / "gone"))).prepared(pool)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"texture bad\.png"):
        Perlin(texture=FolderTextures(path=str(tmp_path))).prepared(pool)


def test_configuration_round_trips():
    for values in (
        {"kind": "perlin"},
        {"kind": "perlin", "texture": {"kind": "folder", "path": "a/b"}, "exponent_range": [1, 4]},
        {"kind": "perlin", "texture": {"kind": "hub", "path": "owner/name"}, "opacity_range": [0.1, 1]},
    ):
        generator = build_generator(values)
        assert build_generator(json.loads(json.dumps(generator.config()))) == generator
    portable = Perlin(texture=FolderTextures(path="/somewhere/textures")).portable()
    assert portable.config()["texture"] == {"kind": "folder", "path": "textures"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"exponent_range": [3, 1]}, "exponent_range"),
        ({"exponent_range": [-1, 4]}, "exponent_range"),
        ({"opacity_range": [0.5, 1.5]}, "opacity_range"),
        ({"threshold_range": [0.6, 0.5]}, "threshold_range.*empty"),
        ({"augmentations": 11}, "augmentations"),
        ({"treshold_range": [0.5, 0.5]}, "treshold_range: unknown key; did you mean 'threshold_range'"),
        ({"texture": {"kind": "folder"}}, "texture.path: is missing"),
        ({"texture": {"kind": "procedual"}}, "texture.kind: unknown kind 'procedual'; did you mean 'procedural'"),
    ],
)
def test_faults_are_named(values, message):
    with pytest.raises(RecipeError, match=message):
        build_generator({"kind": "perlin", **values})


def test_the_field_is_written_where_it_is_chosen():
    assert "field" not in Perlin().config()
    chosen = Perlin(field="noise")
    assert chosen.config()["field"] == "noise" and build_generator(chosen.config()) == chosen


def test_the_packages_field_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "noise", None)
    with pytest.raises(UsageError, match=r"generator\.field: noise needs noise: pip install .*, or take field"):
        Perlin(field="noise").prepared(grey_pool(32, 32))


@pytest.mark.parametrize("coloured", [False, True])
def test_grey_pictures_stored_as_rgb_get_grey_textures(coloured):
    pool = []
    for number in range(3):
        image = np.random.default_rng(number).integers(60, 180, (64, 64, 1), dtype=np.uint8).repeat(3, axis=2)
        image[..., 2] //= 2 if coloured else 1
        pool.append(image)
    ready = Perlin().prepared(pool)
    assert ready.colourful is coloured and "colourful" not in Perlin().config()
    for seed in range(6):
        image = ready.sample(np.random.default_rng(seed), pool[0], pool).image
        if not coloured:
            assert (image == image[..., :1]).all()
