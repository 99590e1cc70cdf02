"""The autoencoder: normal images alone, the layers of the paper, the residual as map."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
pytest.importorskip("accelerate", reason="detectors need the extra `score`")

from anomgen.rng import Stream, rng_for
from anomgen.score.detectors.autoencoder import Autoencoder, Network
from anomgen.score.detectors.conformance import MadeTraining, pixel_auroc
from anomgen.score.detectors.networks import normal_batches, tensor

torch.set_num_threads(1)


def test_it_rebuilds_what_is_normal_and_not_bright_discs():
    train = MadeTraining()
    test = train.test()
    detector = Autoencoder(steps=100, width=4, skip_top=False, learning_rate=5e-3)
    detector.fit(train, rng_for(0, Stream.TRAINING))
    assert train.read == 0
    assert pixel_auroc(detector.anomaly_maps(test.images), test.masks) > 0.85


def test_the_paper_preset_has_the_papers_layers():
    detector = Autoencoder(preset="paper")
    assert (detector.width, detector.batch_size, detector.learning_rate, detector.skip_top) == (48, 4, 1e-3, True)
    assert not detector.calibrated and detector.steps == 50 * 1000 // 4
    network = Network(detector.width, skip_top=True)
    kernels = [tuple(p.shape) for p in network.parameters() if p.ndim == 4]
    down = [(48, 48 if k else 3, size, size) for k, size in enumerate((11, 9, 7, 5, 3))]
    up = [(96 if k else 48, 48, size, size) for k, size in enumerate((5, 7, 9, 11))]  # transposed: in, out
    assert kernels == [*down, *up, (3, 96, 1, 1)]
    assert Network(48, skip_top=False).end[0].weight.shape == (3, 48, 1, 1)


def test_the_map_is_the_mean_absolute_residual():
    train = MadeTraining((50, 64, 3))
    detector = Autoencoder(steps=2, width=2)
    detector.fit(train, rng_for(0, Stream.TRAINING))
    images = train.test(2).images
    with torch.inference_mode():
        rebuilt = detector._network(tensor(images)).numpy().transpose(0, 2, 3, 1)
    expected = np.abs(images / 255 - rebuilt).mean(axis=3)
    assert np.allclose(detector.anomaly_maps(images), expected, atol=1e-6)


def test_a_short_training_arrives_at_the_images_brightness():
    """Bright and dark images: a bias that begins at 0 stays there, and running means follow the last batches."""
    train = MadeTraining(count=8)
    shifted = [
        np.clip(image * (0.3 if k % 2 else 1.0), 0, 255).astype(np.uint8)
        for k, image in enumerate(train.normals[k] for k in range(8))
    ]
    train.normals = shifted
    residuals = {}
    for calibrated in (False, True):
        detector = Autoencoder(steps=60, width=4, calibrated=calibrated)
        detector.fit(train, rng_for(0, Stream.TRAINING))
        residuals[calibrated] = detector.anomaly_maps(np.stack(shifted)).mean()
    assert residuals[True] < 0.05 < 0.1 < residuals[False]
    network = detector._network.cpu()
    with torch.inference_mode():
        first = network.down[0][0](tensor(np.stack(shifted)))
    assert torch.allclose(network.down[0][1].running_mean, first.mean((0, 2, 3)), atol=1e-5)


def test_every_epoch_shows_every_normal_image():
    train, detector = MadeTraining(count=6), Autoencoder(steps=6, batch_size=4)
    shown = [
        image.tobytes()
        for batch in normal_batches(train, detector, rng_for(0, Stream.TRAINING), 0)
        for image in batch.images
    ]
    assert len(shown) == 24
    known = {image.tobytes() for image in train.normals}
    assert all(set(shown[start : start + 6]) == known for start in range(0, 24, 6))
