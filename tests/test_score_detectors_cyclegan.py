"""Cycle-GAN's detector: keeps the contract, learns unpaired images, and its map is the squared change."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
pytest.importorskip("accelerate", reason="detectors need the extra `score`")

from anomgen.errors import UsageError
from anomgen.models.cyclegan.training import TrainCycleGAN
from anomgen.models.training import Diverged
from anomgen.score.detectors.conformance import MadeTraining
from anomgen.score.detectors.cyclegan import CycleGANDetector

SMALL = {"steps": 2, "batch_size": 1, "width": 4, "blocks": 1, "discriminator_width": 4}


def test_it_learns_easy_anomalies():
    detector = CycleGANDetector(**{**SMALL, "steps": 60, "width": 8, "learning_rate": 4e-3})
    train = MadeTraining((48, 48, 3))
    detector.fit(train, np.random.default_rng(0))
    test = train.test()
    maps = detector.anomaly_maps(test.images)
    assert maps[test.masks].mean() > 3 * maps[~test.masks].mean()


def test_the_map_is_the_squared_change():
    """A translation that darkens one corner by a tenth changes three channels there."""
    detector = CycleGANDetector()
    darker = torch.zeros(1, 1, 64, 64)
    darker[:, :, :24, :24] = 0.2  # of the range [−1, 1]
    detector._network = lambda x: x - darker
    maps = detector.anomaly_maps(np.full((2, 64, 64, 3), 128, np.uint8))
    np.testing.assert_allclose(maps[:, :20, :20], 3 * 0.1**2, rtol=1e-3)
    np.testing.assert_allclose(maps[:, 30:, 30:], 0, atol=1e-6)


def test_only_anomalous_images_are_asked_for():
    ratios = []

    class Asked(MadeTraining):
        def batches(self, count, batch_size, anomaly_ratio=None):
            ratios.append(anomaly_ratio)
            return super().batches(count, batch_size, anomaly_ratio)

    CycleGANDetector(**SMALL).fit(Asked((32, 32, 3)), np.random.default_rng(0))
    assert ratios == [1.0]


def test_the_paper_preset_is_that_of_the_generators_training():
    """One paper, one table of settings: what both classes have, they have alike."""
    paper, trained = (cls.presets["paper"] for cls in (CycleGANDetector, TrainCycleGAN))
    common = {key: value for key, value in trained.items() if key in CycleGANDetector.model_fields}
    assert {key: paper[key] for key in common} == common
    assert CycleGANDetector(preset="paper").learning_rate == TrainCycleGAN(preset="paper").learning_rate


def test_too_small_images_and_diverged_losses_are_errors():
    with pytest.raises(UsageError, match="16×64 pixels are too small"):
        CycleGANDetector(**SMALL).fit(MadeTraining((16, 64, 3)), np.random.default_rng(0))
    with pytest.raises(Diverged, match="is nan"):
        CycleGANDetector(**{**SMALL, "steps": 9, "learning_rate": 1e30}).fit(
            MadeTraining((32, 32, 3)), np.random.default_rng(0)
        )


def test_the_default_fits_into_two_minutes():
    assert 40 < CycleGANDetector().cost((128, 128), 400) < 120
    assert CycleGANDetector(preset="paper").cost((256, 256), 400) > 1000 * CycleGANDetector().cost((128, 128), 400)
