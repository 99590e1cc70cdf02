"""What a large picture takes: bytes at the peak, in multiples of its own, of each step that once took most."""

import tracemalloc

import numpy as np
import pytest

from anomgen.generators.defects.material import measured
from anomgen.sources.foreground import Foreground
from anomgen.synthesis.blend import poisson_blend
from anomgen.synthesis.labels import logistic
from anomgen.synthesis.sample import Box, Composite, change_between, composite

H, W = 1400, 1900


@pytest.fixture(scope="module")
def pictures():
    """Return two coloured pictures of an object before a background, and where it is."""
    y, x = np.mgrid[:H, :W]
    inside = np.hypot((y - H / 2) / H, (x - W / 2) / W) < 0.35
    rng = np.random.default_rng(0)
    both = [np.where(inside[..., None], level, 220) + rng.integers(-6, 7, (H, W, 3)) for level in (90, 120)]
    return *(image.astype(np.uint8) for image in both), inside


def segment(image, other, inside):
    keys = {"method": "background_color", "tolerance": 20.0, "open": 3, "clean": 0.03, "snap": True}
    assert abs(Foreground.model_validate(keys).segment(image).mean() - inside.mean()) < 0.01


def rectangle(image, other, inside):
    mask = np.zeros((H, W), bool)
    mask[1:-1, 1:-1] = True
    poisson_blend(image, other, mask, guidance="mixed")


def membrane(image, other, inside):
    mask = np.zeros((H, W), bool)
    mask[1:-1, 1:-1] = True
    poisson_blend(image, other, mask)


def free_form(image, other, inside):
    poisson_blend(image, other, inside, guidance="mixed")


def label(image, other, inside):
    change = change_between(image, other)
    logistic(Composite(other, inside, Box.whole(image), change), 0.5, 4.0)


STEPS = {
    "segment": (segment, 8),
    "change": (lambda image, other, inside: change_between(image, other), 3),
    "composite": (lambda image, other, inside: composite(image, other.copy(), inside), 6),
    "rectangle": (rectangle, 14),
    "membrane": (membrane, 12),
    "free form": (free_form, 9),
    "label": (label, 5),
    "material": (lambda image, other, inside: measured([(image, inside)]), 9),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_takes_few_times_what_the_picture_does(name, pictures):
    step, times = STEPS[name]
    tracemalloc.start()
    step(*pictures)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= times * pictures[0].nbytes, f"{peak / pictures[0].nbytes:.1f} times"
