"""CutPaste's detector: its density is Mahalanobis's, its windows lie where they should, its classes are the types."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from small_detectors import told_apart

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
covariance = pytest.importorskip("sklearn.covariance", reason="detectors need the extra `score`")
pytest.importorskip("accelerate", reason="detectors need the extra `score`")

from anomgen.score.detectors.base import Batch
from anomgen.score.detectors.conformance import MadeTraining
from anomgen.score.detectors.cutpaste import Classifier, CutPasteGDE, Density, anywhere, around, spread, starts, varied

SMALL = {"steps": 4, "batch_size": 4, "windows": 2, "width": 4, "spacing": 0.5}


def batch(types, shape=(32, 48)):
    """Return images whose anomaly is a white square; type k's windows are recognised by their pixels."""
    normals = np.full((len(types), *shape, 3), 10, np.uint8)
    images, masks = normals.copy(), np.zeros((len(types), *shape), bool)
    for k, name in enumerate(types):
        if name != "normal":
            masks[k, 12:20, 16:30] = True
            images[k][masks[k]] = 200
    return Batch(images, normals, masks, masks.astype(np.float32), tuple(types))


def test_it_learns_easy_anomalies():
    assert told_apart(CutPasteGDE(**{**SMALL, "steps": 25, "windows": 4, "width": 8, "spacing": 0.25})) > 0.8


def test_the_density_is_mahalanobis_with_ledoit_and_wolfs_covariance():
    rng = np.random.default_rng(0)
    points, others = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)), rng.normal(size=(5, 6))
    shrunk, _ = covariance.ledoit_wolf(points)
    expected = [mahalanobis(x, points.mean(0), np.linalg.inv(shrunk)) for x in others]
    np.testing.assert_allclose(Density.of(points).distances(others), expected, rtol=1e-5)


@pytest.mark.parametrize("types", [("cutpaste",), ("cutpaste", "scar"), ("a", "b", "c")])
def test_classes_are_normal_and_the_types(types):
    """An anomalous image gives a window of its type and the same window of its normal; a normal one the latter only."""
    classes = ("normal", *types)
    names = ["normal", *types]
    found, labels = CutPasteGDE(windows=3)._training_windows(batch(names), classes, np.random.default_rng(0))
    assert np.bincount(labels).tolist() == [3 + 3 * len(types), *[3] * len(types)]
    assert found.shape == (3 + 6 * len(types), 8, 12, 3)
    for window, label in zip(found, labels, strict=True):
        assert (window.max() == 200) == (label > 0)
    assert Classifier(4, len(classes))(torch.zeros(2, 3, 8, 8)).shape == (2, len(classes))


@pytest.mark.parametrize("types", [("cutpaste",), ("cutpaste", "scar")])
def test_the_papers_steps_show_32_windows_of_each_class(types):
    """64 in two ways, 96 in three; every third image of three ways shows its normal, too."""
    detector = CutPasteGDE(preset="paper")
    asked = []

    class Asked:
        defect_types = types

        def batches(self, count, batch_size, anomaly_ratio=None):
            asked.append((count, batch_size, anomaly_ratio))
            yield batch(types * (batch_size // len(types)))

    (shown,) = detector._batches(Asked())(0)
    _, labels = detector._training_windows(shown, ("normal", *types), np.random.default_rng(0))
    assert asked == [(256 * 256, 32 * len(types), 1.0)]
    assert np.bincount(labels).tolist() == [32] * (1 + len(types))


def test_windows_hold_the_rim_of_the_anomaly_where_the_border_allows():
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:50] = True
    for _ in range(50):
        part = mask[around(mask, (10, 12), rng)]
        assert part.shape == (10, 12) and part.any() and not part.all()
    corner = np.zeros((40, 60), bool)
    corner[0, 59] = True
    assert corner[around(corner, (10, 12), rng)].any()
    assert mask[around(np.ones_like(mask), (40, 60), rng)].shape == mask.shape
    assert {anywhere((40, 60, 3), (39, 60), rng)[0].start for _ in range(30)} == {0, 1}


def test_windows_that_are_scored_cover_the_image():
    assert starts(128, 32, 0.25).tolist() == list(range(0, 97, 8))
    assert starts(100, 30, 0.5).tolist() == [0, 14, 28, 42, 56, 70]
    assert starts(64, 64, 0.25).tolist() == [0]


def test_a_spread_is_a_weighted_mean_that_peaks_at_the_highest_window():
    rows, columns = starts(64, 16, 0.25), starts(96, 16, 0.25)
    alike = spread(np.full((len(rows), len(columns)), 3.0), rows, columns, (16, 16), (64, 96))
    np.testing.assert_allclose(alike, 3.0, rtol=1e-4)
    scores = np.zeros((len(rows), len(columns)))
    scores[4, 9] = 1
    peak = np.unravel_index(spread(scores, rows, columns, (16, 16), (64, 96)).argmax(), (64, 96))
    assert np.abs(np.array(peak) - [rows[4] + 8, columns[9] + 8]).max() <= 1


def test_the_image_model_gives_constant_maps():
    detector = CutPasteGDE(**{**SMALL, "preset": "image", "window": 1.0})
    train = MadeTraining((32, 48, 3))
    detector.fit(train, np.random.default_rng(0))
    maps = detector.anomaly_maps(train.test(2).images)
    assert maps.shape == (2, 32, 48)
    np.testing.assert_allclose(maps, np.broadcast_to(maps[:, :1, :1], maps.shape), rtol=1e-4)
    assert maps[0, 0, 0] != maps[1, 0, 0]


def test_brightness_and_contrast_vary_by_a_tenth():
    windows = torch.full((200, 3, 4, 4), 0.5)
    means = varied(windows, np.random.default_rng(0)).mean((1, 2, 3))
    assert 0.45 <= means.min() < 0.46 < 0.54 < means.max() <= 0.55


def test_the_papers_models_differ_in_what_they_see():
    whole, patches = CutPasteGDE(preset="paper-image"), CutPasteGDE(preset="paper")
    assert (whole.window, patches.window) == (1.0, 0.25)
    for detector in (whole, patches):
        assert (detector.width, detector.steps, detector.batch_size, detector.windows) == (64, 256 * 256, 32, 1)
        assert (detector.optimiser, detector.learning_rate, detector.balanced) == ("sgd", 0.03, True)


def test_the_presets_cost_what_they_show():
    cost = CutPasteGDE().cost((128, 128), 400)
    assert 20 < cost < 90
    assert CutPasteGDE(preset="paper").cost((256, 256), 400) > 50 * cost
