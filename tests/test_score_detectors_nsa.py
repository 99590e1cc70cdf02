"""NSA's encoder-decoder: ResNet-18 in size, the shapes of the paper, soft masks as targets."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
pytest.importorskip("accelerate", reason="detectors need the extra `score`")

from anomgen.rng import Stream, rng_for
from anomgen.score.detectors.base import Batch
from anomgen.score.detectors.conformance import MadeTraining, pixel_auroc
from anomgen.score.detectors.networks import tensor
from anomgen.score.detectors.nsa import EncoderDecoder, NSAEncoderDecoder

torch.set_num_threads(1)


QUICK = {"steps": 80, "batch_size": 8, "width": 16, "learning_rate": 3e-3}


def fitted(train, **settings):
    detector = NSAEncoderDecoder(**QUICK, **settings)
    detector.fit(train, rng_for(0, Stream.TRAINING))
    return detector


def test_it_learns_bright_discs():
    train = MadeTraining()
    test = train.test()
    assert pixel_auroc(fitted(train).anomaly_maps(test.images), test.masks) > 0.8


@pytest.mark.parametrize(("loss", "end"), [("bce", torch.sigmoid), ("mse", torch.relu)])
def test_the_loss_decides_the_last_activation(loss, end):
    train = MadeTraining()
    detector = NSAEncoderDecoder(steps=2, batch_size=2, width=4, loss=loss)
    detector.fit(train, rng_for(0, Stream.TRAINING))
    images = train.test(2).images
    with torch.inference_mode():
        expected = end(detector._network(tensor(images)))[:, 0].numpy()
    assert np.array_equal(detector.anomaly_maps(images), expected)


def test_the_paper_preset_is_resnet_18_and_its_shapes_are_the_papers():
    detector = NSAEncoderDecoder(preset="paper")
    assert (detector.batch_size, detector.learning_rate) == (64, 1e-3)
    network = EncoderDecoder(detector.width).eval()
    resnet = 11_689_512 - 512 * 1000 - 1000  # without its classifier
    assert sum(p.numel() for p in network.encode.parameters()) == resnet
    x = torch.zeros(1, 3, 256, 256)
    shapes = []
    for part in (network.encode, network.squeeze, *network.decode):
        x = part(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(512, 8, 8), (128, 8, 8), (64, 16, 16), (32, 32, 32), (16, 64, 64)]
    assert network(torch.zeros(1, 3, 50, 96)).shape == (1, 1, 50, 96)


class Graded(MadeTraining):
    """The same discs, graded a quarter."""

    graded = True

    def batches(self, count, batch_size, anomaly_ratio=None):
        for batch in super().batches(count, batch_size, anomaly_ratio):
            yield Batch(batch.images, batch.normals, batch.masks, batch.soft_masks / 4, batch.defect_types)


def test_the_papers_images_all_hold_an_anomaly():
    class Asked(MadeTraining):
        ratio = None

        def batches(self, count, batch_size, anomaly_ratio=None):
            self.ratio = anomaly_ratio
            return super().batches(count, batch_size, anomaly_ratio)

    for preset, ratio in (("default", None), ("paper", 1.0)):
        train = Asked()
        detector = NSAEncoderDecoder(preset=preset, steps=1, batch_size=2, width=4)
        detector.fit(train, np.random.default_rng(0))
        assert train.ratio == ratio


def test_soft_masks_are_the_targets():
    train = Graded()
    test = train.test()
    maps = fitted(train).anomaly_maps(test.images)
    assert 0.05 < np.median(maps[test.masks]) < 0.4


@pytest.mark.parametrize(("label", "squared"), [("intensity", True), ("logistic", False), ("binary", False)])
def test_the_label_decides_the_loss(label, squared):
    train = MadeTraining()
    train.label = label
    detector = NSAEncoderDecoder(steps=1, batch_size=2, width=4)
    detector.fit(train, np.random.default_rng(0))
    assert detector._squared == squared
    assert detector.anomaly_maps(train.test().images).min() >= 0


def test_squared_errors_are_of_grey_levels_and_maps_are_shares(monkeypatch):
    """Law: as the authors', whose labels of intensity go up to 255; of shares far less is learnt."""
    shown = []
    squares = torch.nn.functional.mse_loss
    monkeypatch.setattr(torch.nn.functional, "mse_loss", lambda *both: shown.append(both[1].max()) or squares(*both))
    train = Graded()
    maps = fitted(train, loss="mse").anomaly_maps(train.test().images)
    assert max(shown) == 255 * max(float(batch.soft_masks.max()) for batch in train.batches(4, 8))
    assert 0.05 < maps[train.test().masks].mean() < 0.4
