"""CutPaste: patches and scars have the paper's sizes, and show the image they are pasted into."""

import numpy as np
import pytest
from drawn import draws

from anomgen.generators.conformance import TestPool
from anomgen.generators.cutpaste import _jittered


def test_cutpaste_areas_and_aspects_follow_the_paper():
    samples = draws({"kind": "cutpaste"}, TestPool((128, 128, 3)))
    boxes = np.array([sample.params["box"] for sample in samples], float)
    areas, aspects = boxes[:, 2] * boxes[:, 3] / 128**2, boxes[:, 2] / boxes[:, 3]
    assert 0.018 < areas.min() and areas.max() < 0.155
    assert abs(areas.mean() - 0.085) < 0.006
    assert 0.28 < aspects.min() and aspects.max() < 3.6
    assert 0.4 < np.mean(aspects > 1) < 0.6


def test_scars_are_thin_and_scale_with_the_image():
    areas = {}
    for size in (128, 256):
        samples = draws({"kind": "cutpaste", "variant": "scar"}, TestPool((size, size, 3)), 200)
        areas[size] = np.mean([sample.mask.mean() for sample in samples])
        assert {sample.defect_type for sample in samples} == {"scar"}
    assert areas[128] == pytest.approx(areas[256], rel=0.25)
    assert areas[256] == pytest.approx(9 * 17.5 / 256**2, rel=0.25)


def test_three_way_draws_patches_and_scars_equally_often():
    kinds = [sample.defect_type for sample in draws({"kind": "cutpaste", "variant": "3way"}, TestPool((64, 64, 3)))]
    assert 0.4 < kinds.count("scar") / len(kinds) < 0.6


def test_aspects_outside_one_are_drawn_from_their_range():
    samples = draws(
        {"kind": "cutpaste", "aspect_range": [2.0, 3.0], "area_range": [0.05, 0.06]}, TestPool((200, 200, 1)), 60
    )
    aspects = [sample.params["box"][2] / sample.params["box"][3] for sample in samples]
    assert min(aspects) > 1.9 and max(aspects) < 3.1


def test_without_jitter_a_patch_is_a_piece_of_the_image():
    pool = TestPool((64, 64, 3))
    for k, sample in enumerate(draws({"kind": "cutpaste", "jitter": 0.0}, pool, 20)):
        normal = pool[k % len(pool)]
        y, x, h, w = sample.params["cut"]
        to_y, to_x, *_ = sample.params["box"]
        pasted = normal.copy()
        pasted[to_y : to_y + h, to_x : to_x + w] = normal[y : y + h, x : x + w]
        assert np.abs(sample.image.astype(int) - pasted)[sample.mask].max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_vary_as_by_torchvisions_color_jitter(channels):
    torch = pytest.importorskip("torch", reason="the reference is torchvision's")
    functional = pytest.importorskip("torchvision.transforms.v2.functional", reason="the reference is torchvision's")
    image = np.random.default_rng(0).integers(0, 256, (12, 9, channels), np.uint8)
    orders = set()
    for seed in range(12):
        varied, factors, order = _jittered(np.random.default_rng(seed), image, 0.3)
        by = dict(zip(("brightness", "contrast", "saturation", "hue"), factors, strict=True))
        wanted = torch.from_numpy(image).permute(2, 0, 1) / 255
        for name in order:
            wanted = getattr(functional, f"adjust_{name}")(wanted, by[name])
        assert np.abs(wanted.permute(1, 2, 0).numpy() * 255 - varied).max() < 0.52  # rounded to whole levels
        assert all(0.7 <= factor <= 1.3 for factor in factors[:3]) and -0.3 <= factors[3] <= 0.3
        orders.add(tuple(order))
    assert len(orders) > 6
