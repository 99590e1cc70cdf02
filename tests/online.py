"""Recipes for the online adapters, images from outside, and what a loader gave."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the adapters are for torch")

from anomgen.making.recipe import load_recipe

SMALL = ["source.count=9", "shard_size=32"]
ALWAYS = ["anomaly_ratio=1.0"]


def recipe(name="nsa", count=32, size=64, overrides=(), **values):
    return load_recipe(name, count=count, size=size, overrides=[*SMALL, *overrides], **values)


def loaded(dataset, epochs=1, **options):
    """Return the items of some epochs by (epoch, index)."""
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, **options)
    items = {}
    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        for item in loader:
            items[epoch, item["index"]] = item
    return items


def same(items, others):
    assert items.keys() == others.keys()
    for key, item in items.items():
        assert item.keys() == others[key].keys()
        for name, value in item.items():
            pair = torch.as_tensor(value), torch.as_tensor(others[key][name])
            assert torch.allclose(*pair, rtol=0, atol=0, equal_nan=True), (key, name)
    return True


def outside(seed=0, shape=(80, 72, 3)):
    """Return an image that is in no source: smooth, uint8."""
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 3).reshape(shape).astype(int) * 2 - 128, 0, 255).astype(np.uint8)


def as_tensor(image):
    return torch.from_numpy(image.transpose(2, 0, 1).copy())
