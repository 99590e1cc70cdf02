"""The autoencoder: normal images alone, the layers of the paper, the residual as map."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
pytest.importorskip("accelerate", reason="detectors need the extra `score`")

from anomgen.rng import Stream, rng_for
from anomgen.score.detectors.autoencoder import Autoencoder, Network
from anomgen.score.detectors.conformance import MadeTraining, pixel_auroc
from anomgen.score.detectors.networks import normal_batches, padded, tensor

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
    assert (detector.grey, detector.border, detector.calibrated, detector.steps) == (True, 0, False, 50 * 1000 // 4)
    network = Network(detector.width, skip_top=True, channels=1)
    kernels = [tuple(p.shape) for p in network.parameters() if p.ndim == 4]
    down = [(48, 48 if k else 1, size, size) for k, size in enumerate((11, 9, 7, 5, 3))]
    up = [(96 if k else 48, 48, size, size) for k, size in enumerate((5, 7, 9, 11))]  # transposed: in, out
    assert kernels == [*down, *up, (1, 96, 1, 1)]
    assert Network(48, skip_top=False, channels=3).end[0].weight.shape == (3, 48, 1, 1)


@pytest.mark.parametrize("grey", [True, False])
def test_the_map_is_the_mean_absolute_residual_of_what_it_sees(grey):
    train = MadeTraining((50, 64, 3))
    detector = Autoencoder(steps=2, width=2, grey=grey)
    detector.fit(train, rng_for(0, Stream.TRAINING))
    images = train.test(2).images
    seen = (images / 255) @ np.array([[0.299], [0.587], [0.114]]) if grey else images / 255
    with torch.inference_mode():
        given = torch.from_numpy(seen.transpose(0, 3, 1, 2)).float()
        rebuilt = detector._network(given).numpy().transpose(0, 2, 3, 1)
    expected = np.abs(seen - rebuilt).mean(axis=3)
    assert np.allclose(detector.anomaly_maps(images), expected, atol=1e-5)


def test_the_network_sees_images_mirrored_at_their_borders():
    """So that beside them lies what looks like them, not zeros."""
    image = torch.arange(40 * 50, dtype=torch.float32).reshape(1, 1, 40, 50)
    seen, inside = padded(image, 16, 8)
    assert seen.shape[2:] == (64, 80) and torch.equal(seen[inside], image)
    assert torch.equal(seen[..., 11, :], seen[..., 13, :]) and torch.equal(seen[..., 4, :], seen[..., 20, :])
    for small in (8, 17, 24):  # less where less is there
        few, inside = padded(torch.ones(1, 1, small, small), 16, 8)
        assert few.shape[2] % 16 == 0 and few[inside].shape[2:] == (small, small)
    network = Network(2, skip_top=True, channels=3, border=8).eval()
    given = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        alone = Network(2, skip_top=True, channels=3).eval()
        alone.load_state_dict(network.state_dict())
        mirrored = torch.nn.functional.pad(given, (8, 8, 8, 8), mode="reflect")
        torch.testing.assert_close(network(given), alone(mirrored)[..., 8:-8, 8:-8])


@pytest.mark.parametrize(("tint", "channels"), [(0, 1), (20, 3)])
def test_it_sees_colours_where_there_are_some_and_so_do_its_weights(tint, channels):
    train = MadeTraining()
    train.normals = [np.stack([grey, grey, grey - tint], 2) for grey in (np.full((32, 32), 90, np.uint8),) * 4]
    detector, restored = (Autoencoder(steps=1, width=2) for _ in range(2))
    detector.fit(train, rng_for(0, Stream.TRAINING))
    assert detector._network.channels == channels
    restored.restore(detector.arrays())
    images = train.test(2).images
    assert np.array_equal(restored.anomaly_maps(images), detector.anomaly_maps(images))


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
        detector = Autoencoder(steps=60, width=4, calibrated=calibrated, border=0)
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
