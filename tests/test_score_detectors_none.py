"""The memory of normal patches: its coreset and its distances are what their definitions say."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_detectors import told_apart

torch = pytest.importorskip("torch", reason="detectors need the extra `score`")
pytest.importorskip("timm", reason="detectors need the extra `score`")

from anomgen.score.backbone import Backbone
from anomgen.score.detectors.networks import tensor
from anomgen.score.detectors.none import Memory, coreset, enlarged, factor, nearest, patch_features, pooling


def textures(count, shape, seed=0, channels=3):
    rng = np.random.default_rng(seed)
    return rng.integers(90, 130, (count, *shape, channels), dtype=np.uint8)


def training(images):
    return SimpleNamespace(normals=list(images), progress=lambda done, total: None)


@pytest.fixture(scope="module")
def fitted():
    detector = Memory(candidates=300)
    detector.fit(training(textures(6, (48, 64))), np.random.default_rng(0))
    return detector


def test_it_tells_what_it_has_not_seen():
    assert told_apart(Memory(candidates=500)) > 0.8


def test_the_coreset_is_the_greedy_one():
    """Each next point is the one whose nearest chosen point is farthest."""
    points = np.random.default_rng(3).normal(size=(60, 5)).astype(np.float32)
    chosen = [7]
    while len(chosen) < 12:
        distances = np.linalg.norm(points[:, None] - points[chosen][None], axis=2).min(axis=1)
        chosen.append(int(distances.argmax()))
    assert coreset(points, 12, 7).tolist() == chosen


def test_a_coreset_of_everything_holds_everything_even_among_copies():
    points = np.repeat(np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32), 2, axis=0)
    assert sorted(coreset(points, 10, 0)) == list(range(10))


def test_nearest_distances_equal_brute_force():
    rng = np.random.default_rng(2)
    points, memory = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(9, 8)).astype(np.float32)
    expected = np.linalg.norm(points[:, None] - memory[None], axis=2).min(axis=1)
    np.testing.assert_allclose(nearest(torch.from_numpy(points), torch.from_numpy(memory)), expected, rtol=1e-4)


def test_small_images_are_enlarged_to_what_the_network_knows():
    assert [factor((side, 300)) for side in (32, 96, 128, 192, 224, 512)] == [7, 2, 2, 1, 1, 1]
    assert enlarged(torch.zeros(1, 3, 128, 130)).shape == (1, 3, 256, 260)


@pytest.mark.parametrize(("shape", "cells"), [((224, 240), (28, 30)), ((227, 250), (29, 32))])
def test_features_lie_on_the_grid_of_the_smallest_stride(shape, cells):
    backbone = Backbone(strides=(8, 16))
    with torch.inference_mode():
        found = patch_features(backbone, pooling(backbone.channels, 100), tensor(textures(1, shape)))
    assert found.shape == (1, 100, *cells)


def test_features_of_a_patch_are_pooled_as_in_patchcore():
    """3×3 cells of each map, zeros around it, brought to the finest map, pooled; then all maps together."""
    backbone, dimensions = Backbone(strides=(8, 16)), 130
    images = tensor(textures(2, (64, 96)))
    with torch.inference_mode():
        found = patch_features(backbone, pooling(backbone.channels, dimensions), images)
        fine, coarse = (
            torch.nn.functional.unfold(maps, 3, padding=1).unflatten(2, maps.shape[2:]) for maps in backbone(images)
        )
        coarse = torch.nn.functional.interpolate(coarse, (8, 12), mode="bilinear", align_corners=False)
    pool = torch.nn.AdaptiveAvgPool1d(dimensions)
    each = [pool(places.permute(0, 2, 3, 1).flatten(1, 2)) for places in (fine, coarse)]
    expected = pool(torch.cat(each, 2)).unflatten(1, (8, 12)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_what_is_in_the_memory_is_at_distance_zero():
    """A memory of all patches knows its own images."""
    images = textures(2, (64, 64))
    detector = Memory(candidates=None, coreset=1.0)
    detector.fit(training(images), np.random.default_rng(0))
    other = textures(1, (64, 64), seed=9)
    assert detector.anomaly_maps(images).max() < 0.1 < detector.anomaly_maps(other).min()


def test_a_disc_is_found_where_it_is(fitted):
    image = textures(1, (48, 64), seed=5)
    y, x = np.ogrid[:48, :64]
    disc = np.hypot(y - 14, x - 45) < 7
    image[0][disc] = 240
    maps = fitted.anomaly_maps(image)
    assert maps.shape == (1, 48, 64) and maps.dtype == np.float32
    assert disc[np.unravel_index(maps[0].argmax(), disc.shape)]


def test_the_same_rng_gives_the_same_maps_and_an_image_is_alone(fitted):
    again = fitted.unfitted()
    again.fit(training(textures(6, (48, 64))), np.random.default_rng(0))
    images = textures(3, (48, 64), seed=8)
    maps = fitted.anomaly_maps(images)
    assert np.array_equal(maps, again.anomaly_maps(images))
    np.testing.assert_allclose(fitted.anomaly_maps(images[1:2])[0], maps[1], rtol=1e-4)


def test_the_memory_does_not_know_positions(fitted):
    """A patch is judged by what it looks like: mirrored images are about as far from the memory."""
    images = textures(4, (48, 64), seed=8)
    maps, mirrored = (fitted.anomaly_maps(np.ascontiguousarray(x)) for x in (images, images[:, :, ::-1]))
    assert abs(maps.mean() - mirrored.mean()) < 0.1 * maps.mean()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_and_deep_images_are_read(dtype):
    images = textures(2, (48, 48), channels=1).astype(dtype) * (1 if dtype == np.uint8 else 257)
    detector = Memory(candidates=100)
    detector.fit(training(images), np.random.default_rng(0))
    assert np.isfinite(detector.anomaly_maps(images)).all()


def test_the_cost_grows_with_pixels_and_candidates():
    cost = Memory().cost((128, 128), 400)
    assert 1 < cost < 20
    assert cost < Memory().cost((256, 256), 1000) < Memory(preset="paper").cost((256, 256), 1000)
