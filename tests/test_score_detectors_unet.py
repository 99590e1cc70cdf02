"""The plain U-Net: it learns, its shape is the paper's, its loss is what it says."""

import numpy as np
import pytest
from small_detectors import told_apart

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
pytest.importorskip("accelerate", reason="detectors need the extra `score`")

from anomgen.score.detectors.unet import Network, UNet, cross_entropy_and_dice

torch.set_num_threads(1)


def test_it_learns_bright_discs():
    assert told_apart(UNet(steps=25, batch_size=8, width=4, depth=2)) > 0.8


def test_the_paper_preset_has_the_papers_weights():
    detector = UNet(preset="paper")
    network = Network(detector.width, detector.depth)
    kernels = sum(p.numel() for name, p in network.named_parameters() if p.ndim == 4 and "mark" not in name)
    expected = 9 * 64 * (3 + 64)  # two convolutions of three channels
    for level in range(1, 5):
        w = 64 * 2**level
        expected += 9 * w * (w // 2 + w)  # contracting
        expected += 4 * w * (w // 2) + 9 * (w // 2) * (w + w // 2)  # up-convolution, expanding
    assert kernels == expected


@pytest.mark.parametrize("size", [(32, 32), (37, 50), (8, 129)])
def test_any_size_gives_maps_of_that_size(size):
    network = Network(2, 4).eval()
    assert network(torch.zeros(1, 3, *size)).shape == (1, 1, *size)


def test_the_loss_is_cross_entropy_and_one_minus_dice():
    rng = np.random.default_rng(0)
    logits, masks = rng.normal(0, 2, (2, 1, 5, 6)), (rng.random((2, 1, 5, 6)) < 0.3).astype(float)
    p = 1 / (1 + np.exp(-logits))
    cross = -np.mean(masks * np.log(p) + (1 - masks) * np.log(1 - p))
    dice = (2 * (p * masks).sum() + 1) / (p.sum() + masks.sum() + 1)
    found = cross_entropy_and_dice(torch.from_numpy(logits), torch.from_numpy(masks))
    assert float(found) == pytest.approx(cross + 1 - dice)


def test_without_anomalies_marking_nothing_is_free():
    assert float(cross_entropy_and_dice(torch.full((1, 1, 4, 4), -30.0), torch.zeros(1, 1, 4, 4))) < 1e-5
