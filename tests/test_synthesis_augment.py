"""The ten operations do what Pillow's do, within the ranges of the paper's code, and are drawn uniformly."""

from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from anomgen.rng import Stream, rng_for
from anomgen.synthesis.augment import OPERATIONS, augment, operate, operations_for


def rng(index=0):
    return rng_for(3, Stream.SAMPLE, index)


def picture(shape=(60, 90, 3), index=0):
    """Return a smooth picture that does not use the full range."""
    noise = rng(index).normal(0, 1, (*shape[:2], 3)).astype(np.float32)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 20, 210, cv2.NORM_MINMAX)
    return smooth.astype(np.uint8)[..., : shape[2]].copy()


class Fixed:
    """Stands in for a generator: gives the listed values in turn."""

    def __init__(self, *values):
        self.values = list(values)

    def _next(self, *_):
        return self.values.pop(0)

    integers = uniform = random = _next


def assert_near(ours, pillow, levels):
    assert np.abs(ours.astype(int) - np.asarray(pillow).astype(int)).max() <= levels


def test_operations_agree_with_pillow():
    image = picture()
    pillow = Image.fromarray(image)
    for cutoff in (0, 5, 20):
        ours = operate(Fixed(cutoff), image, "autocontrast")
        assert_near(ours, ImageOps.autocontrast(pillow, cutoff=cutoff), 1)
    assert_near(operate(Fixed(), image, "equalize"), ImageOps.equalize(pillow), 0)
    assert_near(operate(Fixed(), image, "invert"), ImageOps.invert(pillow), 0)
    for bits in (1, 3, 8):
        assert_near(operate(Fixed(bits), image, "posterize"), ImageOps.posterize(pillow, bits), 0)
    assert_near(operate(Fixed(0.4, 90), image, "solarize"), ImageOps.solarize(pillow, 90), 0)
    np.testing.assert_array_equal(operate(Fixed(0.6), image, "solarize"), image)
    for factor in (0.0, 0.5, 1.0, 2.0):
        ours = operate(Fixed(factor), image, "sharpness")[1:-1, 1:-1]
        assert_near(ours, np.asarray(ImageEnhance.Sharpness(pillow).enhance(factor))[1:-1, 1:-1], 2)


def test_tones_by_their_formulas():
    image = picture()
    assert_near(operate(Fixed(1.1, -20.0), image, "brightness"), np.clip(image * 1.1 - 20, 0, 255).round(), 1)
    power = np.array([[0.5], [1.0], [2.0]])
    assert_near(operate(Fixed(power), image, "gamma"), 255 * (image / 255) ** power.ravel(), 1)
    turned = operate(Fixed(np.array([50, 0])), image, "hue_saturation")
    before, after = (cv2.cvtColor(x, cv2.COLOR_RGB2HSV).astype(int) for x in (image, turned))
    vivid = (before[..., 1] > 80) & (before[..., 2] > 80)
    shift = (after[..., 0] - before[..., 0])[vivid] % 180
    assert np.median(shift) == pytest.approx(50 * 180 / 255, abs=1)


def test_rotation_leaves_no_black_corner():
    image = np.full((50, 70, 3), 90, np.uint8)
    for index in range(20):
        assert (operate(rng(index), image, "rotate") == 90).all()


def test_equal_pictures_are_not_stretched():
    flat = np.full((20, 20, 3), 77, np.uint8)
    for name in ("autocontrast", "equalize"):
        np.testing.assert_array_equal(operate(rng(), flat, name), flat)


def test_a_run_of_tables_equals_one_after_the_other():
    """The histogram that is carried through the tables is the histogram of the image."""
    image = picture()
    for index in range(60):
        together, names = augment(rng(index), image)
        generator = rng(index)
        generator.permutation(np.array(OPERATIONS))
        alone = image
        for name in names:
            alone = operate(generator, alone, name)
        np.testing.assert_array_equal(together, alone)


def test_operations_are_distinct_and_uniform():
    image = picture((16, 16, 3))
    counts, firsts = Counter(), Counter()
    for index in range(2000):
        _, names = augment(rng(index), image)
        assert len(set(names)) == 3
        counts.update(names)
        firsts[names[0]] += 1
    assert set(counts) == set(OPERATIONS)
    for name in OPERATIONS:
        assert counts[name] == pytest.approx(600, abs=90)
        assert firsts[name] == pytest.approx(200, abs=60)


def test_grey_textures_have_no_hue():
    assert set(operations_for(1)) == set(OPERATIONS) - {"hue_saturation"}
    for index in range(40):
        result, names = augment(rng(index), picture((20, 30, 1)), 9)
        assert result.shape == (20, 30, 1) and len(names) == 9


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 70), st.integers(2, 70), st.sampled_from([1, 3]), st.integers(0, 9), st.integers(0, 10**6))
def test_any_size(height, width, channels, count, index):
    image = picture((height, width, channels), index)
    before = image.copy()
    image.flags.writeable = False
    result, names = augment(rng(index), image, count)
    assert result.shape == image.shape and result.dtype == np.uint8 and len(names) == count
    np.testing.assert_array_equal(image, before)
    again, _ = augment(rng(index), image, count)
    np.testing.assert_array_equal(result, again)


def test_a_view_will_do():
    image = picture((40, 60, 3))
    cut = image[3:33, 5:45]
    for index in range(20):
        np.testing.assert_array_equal(augment(rng(index), cut)[0], augment(rng(index), cut.copy())[0])
