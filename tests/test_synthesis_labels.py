"""Soft masks against the formulas of the papers."""

import numpy as np
import pytest
from scipy.ndimage import median_filter

from anomgen.synthesis.labels import calibrate_logistic, continuous, intensity, logistic
from anomgen.synthesis.sample import Box, Composite


def changed(seed=0, h=40, w=50):
    """Return a composite whose change is smooth noise inside a box of a 64 × 64 image."""
    rng = np.random.default_rng(seed)
    change = rng.gamma(2, 10, (h, w)).astype(np.float32)
    mask = np.zeros((64, 64), bool)
    mask[8 : 8 + h, 6 : 6 + w] = rng.random((h, w)) < 0.9
    box = Box(8, 6, h, w)
    return Composite(np.zeros((64, 64, 1), np.uint8), mask, box, np.where(mask[box.slices], change, 0))


def median_of(result):
    full = np.zeros(result.mask.shape)
    full[result.box.slices] = result.change
    return median_filter(full, 9, mode="constant")


def test_logistic_is_the_papers_formula_on_the_filtered_change():
    result = changed()
    expected = result.mask / (1 + np.exp(-1 / 12 * (median_of(result) - 24)))
    assert np.abs(logistic(result, 1 / 12, 24) - expected).max() <= 0.5 / 255 + 1e-6


def test_intensity_is_the_filtered_change():
    result = changed(1)
    expected = np.where(result.mask, median_of(result), 0) / 255
    assert np.abs(intensity(result) - expected).max() <= 0.5 / 255 + 1e-6


def test_continuous_is_the_weight():
    result = changed(2)
    assert np.array_equal(continuous(result, 0.25), np.where(result.mask, np.float32(0.25), 0))


def test_soft_masks_survive_eight_bits():
    soft = logistic(changed(3), 0.3, 7)
    assert np.array_equal(np.rint(soft * 255).astype(np.uint8).astype(np.float32) / np.float32(255), soft)


def test_calibration_meets_its_two_points():
    changes = np.random.default_rng(0).gamma(2, 8, 10_000)
    slope, midpoint = calibrate_logistic(changes)
    curve = 1 / (1 + np.exp(-slope * (np.array([0, np.quantile(changes, 0.4)]) - midpoint)))
    assert curve == pytest.approx([0.1, 0.99])
