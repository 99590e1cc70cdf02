"""Boxes: one rectangle of one colour, uniform in size and place, on the foreground where there is one."""

import numpy as np
from drawn import draws

from anomgen.generators.conformance import TestPool


def test_the_mask_is_a_rectangle_of_one_colour_where_the_image_had_another():
    pool = TestPool((64, 80, 3))
    for k, sample in enumerate(draws({"kind": "boxes"}, pool, 40)):
        y, x, h, w = sample.params["box"]
        expected = pool[k % len(pool)].copy()
        expected[y : y + h, x : x + w] = sample.params["colour"]
        assert np.array_equal(sample.image[sample.mask], expected[sample.mask])
        assert sample.mask.sum() > 0.9 * h * w


def test_sides_places_and_colours_are_uniform():
    samples = draws({"kind": "boxes"}, TestPool((100, 200, 1)), 600)
    y, x, h, w = np.array([sample.params["box"] for sample in samples]).T
    for share in (h / 100, w / 200):
        assert 0.03 <= share.min() and share.max() <= 0.3
        assert abs(share.mean() - 0.165) < 0.01 and abs(share.std() - 0.27 / 12**0.5) < 0.005
    for place in (y / (100 - h), x / (200 - w), np.array([sample.params["colour"][0] for sample in samples]) / 255):
        assert abs(place.mean() - 0.5) < 0.04 and abs(place.std() - 1 / 12**0.5) < 0.02


def test_a_rectangle_is_cut_to_the_foreground():
    pool = TestPool((96, 96, 3), with_foreground=True)
    for sample in draws({"kind": "boxes"}, pool, 40):
        assert pool.foreground(sample.image)[sample.mask].mean() > 0.95
