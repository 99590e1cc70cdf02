"""NSA: patch sides, their number, where they lie and how they are labelled, as in the paper and its code."""

import cv2
import numpy as np
import published_nsa
import pytest
from drawn import draws
from scipy.stats import ks_2samp

from anomgen.generators.base import build_generator
from anomgen.generators.conformance import TestPool


def test_nsa_patch_sides_follow_the_gamma_law():
    configuration = {
        "kind": "nsa",
        "height_range": [0.06, 0.8],
        "width_range": [0.06, 0.8],
        "resize_range": [1.0, 1.0],
        "patches": 1,
        "blend": "normal",
        "slope": 1.0,
        "midpoint": 2.0,
    }
    samples = draws(configuration, TestPool((200, 200, 1)))
    sides = np.array([sample.params["boxes"][0][2:] for sample in samples]) / 200
    assert 0.05 < sides.min() and sides.max() <= 0.8
    uncut = 0.06 + np.random.default_rng(0).gamma(2, 0.1, 4000)
    assert np.quantile(sides, 0.25) == pytest.approx(np.quantile(uncut, 0.25), abs=0.02)
    assert np.median(sides) <= np.median(uncut)  # boxes that leave the donor are cut


def test_nsa_resized_patches_are_clipped_by_the_bounds_or_by_half_of_them_as_in_the_code():
    pool = TestPool((160, 160, 1))
    for clip, cap in (("full", 128), ("code", 64)):
        samples = draws({"kind": "nsa", "preset": "tile", "size_clip": clip}, pool, 200)
        sides = np.array([box[2:] for sample in samples for box in sample.params["boxes"]])
        assert sides.max() == cap
        assert sides.min() >= 5
    assert 0.07 < np.mean(sides >= cap - 1) < 0.2  # of the official code's: 13 %


# --- presets are the published law ----------------------------------------------------------------------------------

PUBLISHED = {
    "tile": {
        "half_widths": ((0.03, 0.4), (0.03, 0.4)),
        "min_object": 0.0,
        "patches": 4,
        "slope": 1 / 3,
        "midpoint": 7,
        "resize": (0.5, 2.0),
        "clone": cv2.MIXED_CLONE,
    },
    "hazelnut": {
        "half_widths": ((0.03, 0.35), (0.03, 0.35)),
        "min_object": 0.7,
        "patches": 3,
        "slope": 1 / 12,
        "midpoint": 24,
        "resize": (0.7, 1.3),
        "clone": cv2.NORMAL_CLONE,
    },
    "screw": {
        "half_widths": ((0.03, 0.12), (0.03, 0.12)),
        "min_object": 0.5,
        "patches": 4,
        "slope": 1,
        "midpoint": 3,
        "resize": (0.7, 1.3),
        "clone": cv2.NORMAL_CLONE,
    },
}
"""Rows of the paper's table, in its unit: half-widths."""


@pytest.mark.parametrize(
    ("preset", "count"),
    [("screw", 150), *(pytest.param(name, 200, marks=pytest.mark.slow) for name in ("tile", "hazelnut"))],
)
def test_nsa_presets_draw_what_the_authors_code_draws(preset, count):
    """Sides and areas by Kolmogorov and Smirnov, label values by their mean, and hardly a draw is rejected.

    Labels are not quite the same: their change is of truncated values, their median's window is round.
    """
    pool = TestPool((256, 256, 3), with_foreground=preset != "tile")
    theirs = [published(pool, preset, seed) for seed in range(count)]
    theirs = [(mask, soft, sides) for mask, soft, sides in theirs if mask.any()]
    ours = draws({"kind": "nsa", "preset": preset}, pool, count)
    assert len(ours) >= 0.96 * count and len(theirs) >= 0.96 * count
    for axis in (0, 1):
        sides = [box[2 + axis] for sample in ours for box in sample.params["boxes"]]
        assert ks_2samp(sides, [side[axis] for *_, found in theirs for side in found]).pvalue > 0.01
    areas = [sample.mask.mean() for sample in ours]
    assert ks_2samp(areas, [mask.mean() for mask, *_ in theirs]).pvalue > 0.01
    labels = np.mean([sample.soft_mask[sample.mask].mean() for sample in ours])
    assert abs(labels - np.mean([soft[mask].mean() for mask, soft, _ in theirs])) < 0.06


def published(pool, preset, seed):
    rng = np.random.default_rng(seed)
    image, donor = (pool[int(k)] for k in rng.choice(len(pool), 2, replace=False))
    objects = None if preset == "tile" else (pool.foreground(image), pool.foreground(donor))
    return published_nsa.draw(rng, image, donor, objects, PUBLISHED[preset])


class SlantedPool(TestPool):
    """Images of an object as long as the image and a sixth as wide, on the diagonal."""

    def foreground(self, image):
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        return np.abs(y - x) <= image.shape[0] / 12


def test_nsa_patches_are_as_large_as_the_object_is_thick_not_as_it_reaches():
    generator = build_generator({"kind": "nsa"}).prepared(SlantedPool((120, 120, 1)))
    low, high = generator.height_range
    assert (low, generator.width_range) == (0.06, (low, high))
    assert high == 0.25  # 4/3 of a sixth, not less than a quarter


def test_nsa_fades_out_where_the_objects_end():
    """Off the foreground, the outermost pixels of the mask change about half as much as the inside; cut off, 70 %."""
    pool = TestPool((128, 128, 3), with_foreground=True)
    foreground, ends, inside = pool.foreground(None), [], []
    for sample in draws({"kind": "nsa"}, pool, 100):
        normal = min(pool, key=lambda image: np.count_nonzero(image != sample.image))
        change = np.abs(sample.image.astype(float) - normal).mean(axis=2)
        core = cv2.erode(sample.mask.view(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
        ends.extend(change[sample.mask & ~core & ~foreground])
        inside.extend(change[core])
    assert np.mean(ends) < 0.55 * np.mean(inside)


def test_nsa_number_of_patches_is_one_plus_a_binomial():
    counts = [len(s.params["boxes"]) for s in draws({"kind": "nsa", "preset": "tile"}, TestPool((160, 160, 1)))]
    assert set(counts) == {1, 2, 3, 4}
    assert abs(np.mean(counts) - 2.5) < 0.15


def test_nsa_stays_on_the_object_where_there_is_one():
    pool = TestPool((128, 128, 3), with_foreground=True)
    shares = [pool.foreground(None)[sample.mask].mean() for sample in draws({"kind": "nsa"}, pool, 100)]
    assert np.mean(shares) > 0.75


def test_nsa_logistic_label_is_calibrated_to_the_source():
    """An unchanged pixel would be labelled 0.1; beyond the 40th percentile of changes it is at least 0.99."""
    pool = TestPool((128, 128, 3))
    generator = build_generator({"kind": "nsa"}).prepared(pool)
    assert 1 / (1 + np.exp(generator.slope * generator.midpoint)) == pytest.approx(0.1)
    soft = np.concatenate([sample.soft_mask[sample.mask] for sample in draws({"kind": "nsa"}, pool, 200)])
    assert 0.45 < np.mean(soft >= 0.98) < 0.75


def test_donors_of_another_size_bring_their_own_foreground():
    class Sizes(TestPool):
        def __init__(self):
            super().__init__((96, 96, 3), with_foreground=True)
            wide = TestPool((64, 120, 3), with_foreground=True)
            self._all = {id(image): self._foreground for image in self._images}
            self._all |= {id(image): wide._foreground for image in wide._images}
            self._images = [self._images[0], wide._images[1]]

        def foreground(self, image):
            return self._all[id(image)]  # a KeyError for anything but the pool's own images

    pool = Sizes()
    for k, sample in enumerate(draws({"kind": "nsa"}, pool, 12)):
        assert sample.image.shape in {(96, 96, 3), (64, 120, 3)}, k


def test_only_logistic_labels_are_calibrated():
    ready = build_generator({"kind": "nsa", "label": "binary"}).prepared(TestPool((64, 64, 3)))
    assert ready.slope == "auto" and ready.patches != "auto"
    assert ready.prepared(TestPool((64, 64, 3))) is ready
