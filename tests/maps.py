"""Masks and anomaly maps of every kind, drawn."""

import numpy as np


def blobs(rng, count=6, size=24, normal=2):
    """Masks with several components in most images, none in the first `normal`."""
    masks = np.zeros((count, size, size), bool)
    for mask in masks[normal:]:
        for _ in range(rng.integers(1, 4)):
            y, x = rng.integers(0, size - 4, size=2)
            mask[y : y + rng.integers(1, 7), x : x + rng.integers(1, 7)] = True
    return masks


def maps_of(rng, masks, kind):
    noise = rng.normal(size=masks.shape)
    return {
        "random": noise,
        "good": noise + 2 * masks,
        "ties": np.round(noise + masks),
        "binary": (noise + masks > 0.5) * 1.0,
        "constant": np.full(masks.shape, 0.25),
        "perfect": masks * 1.0,
        "inverted": 1.0 - masks,
    }[kind].astype(np.float32)


KINDS = ["random", "good", "ties", "binary", "constant", "perfect", "inverted"]
