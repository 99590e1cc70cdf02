"""What the foreground benchmark counts, from masks whose figures are known."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parent.parent / "benchmarks" / "foreground.py"


@pytest.fixture(scope="module")
def benchmark_module():
    spec = importlib.util.spec_from_file_location("benchmark_foreground", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_are_overlap_and_what_is_left_out_and_taken_in_as_shares_of_the_object(benchmark_module):
    wanted, found = np.zeros((2, 10, 10), bool)
    wanted[:, :4] = True  # 40 pixels
    found[:5, :5] = True  # 20 of them, and 5 beyond
    assert benchmark_module.figures(found, wanted) == pytest.approx((20 / 45, 20 / 40, 5 / 40))
    assert benchmark_module.figures(wanted, wanted) == (1, 0, 0)
    assert benchmark_module.figures(~wanted, wanted) == (0, 1, 60 / 40)


def test_no_foreground_is_the_whole_image(benchmark_module):
    wanted = np.zeros((10, 10), bool)
    wanted[:, :4] = True
    assert benchmark_module.figures(None, wanted) == pytest.approx((0.4, 0, 1.5))


def test_a_polygon_is_filled_and_shrunk(benchmark_module):
    found = benchmark_module.filled([[0, 0], [255, 0], [255, 511], [0, 511]], (512, 512), 64)
    assert found[:, :32].all() and not found[:, 32:].any()


def test_outlines_are_of_sixty_images_and_within_them():
    entries = json.loads(FILE.with_name("outlines.json").read_text())
    assert sum(len(entry["outlines"]) for entry in entries.values()) >= 60
    for entry in entries.values():
        if "folder" in entry:
            assert all(len(name) == 64 and len(polygon) > 3 for name, polygon in entry["outlines"].items())
            numbers = np.concatenate([np.ravel(polygon) for polygon in entry["outlines"].values()])
            assert 0 <= numbers.min() and numbers.max() < 512


def test_light_from_one_side_falls_to_about_half(benchmark_module):
    image = np.full((64, 64, 1), 200, np.uint8)
    product = benchmark_module.Product("plain", [image], [(image, np.ones((64, 64), bool))])
    lit = benchmark_module.relit(product).drawn[0][0]
    assert 0.4 < lit.min() / lit.max() < 0.6 and lit.max() <= 200
    assert (lit == lit[:1]).all() and lit[0, 0] < lit[0, -1]
