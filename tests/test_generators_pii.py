"""PII: squares and weights are the paper's, and the square has the larger of the two weighted gradients."""

import cv2
import numpy as np
from drawn import assert_squares_and_weights_are_the_papers, draws

from anomgen.generators.conformance import TestPool


def test_squares_and_weights_follow_the_paper():
    assert_squares_and_weights_are_the_papers("pii")


def test_the_square_solves_the_papers_equation():
    """Inside, the sum of differences to the neighbours is that of the larger of α∇donor and (1 − α)∇image."""
    pool = TestPool((64, 64, 1), np.uint16, count=2)
    for sample in draws({"kind": "pii", "half_width_range": [0.15, 0.2]}, pool, 20):
        drawn = sample.image.astype(float)
        image, donor = sorted((pool[0], pool[1]), key=lambda other: np.count_nonzero(other != sample.image))
        weight, found, wanted = sample.params["weight"], 0, 0
        for step, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
            of_donor, of_image, of_drawn = (np.roll(v, step, axis) - v for v in (donor * 1.0, image * 1.0, drawn))
            larger = np.abs(weight * of_donor) > np.abs((1 - weight) * of_image)
            wanted = wanted + np.where(larger, weight * of_donor, (1 - weight) * of_image)
            found = found + of_drawn
        inside = cv2.erode(sample.mask.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert np.abs(found - wanted)[inside].max() <= 8 * 0.5 + 0.1  # eight halves of a level from rounding


def test_no_value_leaves_the_images_own_range():
    """Values that no normal image holds would tell a detector where to look."""
    pool, at_the_end = Uneven((64, 64, 3), count=4), 0
    for sample in draws({"kind": "pii"}, pool, 40):
        normal = min(pool, key=lambda image: np.count_nonzero(image != sample.image))
        low, high = normal.min(axis=(0, 1)), normal.max(axis=(0, 1))
        assert (sample.image >= low).all() and (sample.image <= high).all()
        at_the_end += np.count_nonzero(((sample.image == low) | (sample.image == high))[sample.mask])
    assert at_the_end > 1000  # much was clipped


class Uneven(TestPool):
    """Images of which every second fills a tenth of the levels, each channel another tenth."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        faint = [(image * 0.1 + np.array([50, 100, 150])).astype(np.uint8) for image in self._images]
        self._images = [faint[k] if k % 2 else image for k, image in enumerate(self._images)]
