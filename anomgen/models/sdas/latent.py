"""Fit the linear latent transform of a small DDPM: principal components of patches, half-whitened.

A patch of 8 × 8 pixels of natural images has few components that matter, so a 256 × 256 image becomes 32 × 32 cells of
32 numbers, and a U-Net on it is twenty times cheaper. Components are divided by the root of their deviation, not by
the deviation: full whitening would make the network spend itself on invisible grain, none at all would leave the grain
below the noise of every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from anomgen.models.sdas.pipeline import PatchTransform

NOISE = 0.1
"""Deviation of the error, in latents, that the decoder expects of the network; it smooths the edges of cells."""


def fit_transform(images: Callable[[], Iterable[np.ndarray]], patch: int, components: int) -> PatchTransform:
    """Return the transform of `components` numbers per cell of `patch` × `patch` pixels.

    images: called twice, yields float32 (H, W, C) in [−1, 1] with H and W multiples of `patch`.
    """
    import torch

    mean, vectors, deviations = _principal(images(), patch, components)
    scale = np.sqrt(deviations)
    scale *= np.sqrt(np.mean((deviations / scale) ** 2))  # latents of unit mean square
    encode = (vectors / scale).astype(np.float32)
    shift = (-mean @ (vectors / scale)).astype(np.float32)
    decode, base = _decoder(images(), patch, encode, shift)
    channels = vectors.shape[0] // patch**2
    return PatchTransform(
        {
            "encode_weight": torch.from_numpy(encode.T.reshape(components, channels, patch, patch).copy()),
            "encode_bias": torch.from_numpy(shift),
            "decode_weight": torch.from_numpy(decode),
            "decode_bias": torch.from_numpy(base),
        }
    )


def _cells(image: np.ndarray, patch: int) -> np.ndarray:
    """Return the patches of an image, (H, W, C), as rows (rows, columns, C · p · p), channels first as in torch."""
    h, w, c = image.shape
    cut = image.reshape(h // patch, patch, w // patch, patch, c)
    return cut.transpose(0, 2, 4, 1, 3).reshape(h // patch, w // patch, c * patch * patch)


def _principal(images: Iterable[np.ndarray], patch: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (D,), the first `count` principal vectors (D, count), and the deviations along them."""
    total: np.ndarray | float = 0.0
    products: np.ndarray | float = 0.0
    number = 0
    for image in images:
        rows = _cells(image, patch).reshape(-1, image.shape[2] * patch**2).astype(np.float64)
        total, products, number = total + rows.sum(0), products + rows.T @ rows, number + len(rows)
    mean = np.asarray(total) / number
    values, vectors = np.linalg.eigh(np.asarray(products) / number - np.outer(mean, mean))
    order = np.argsort(-values)[:count]
    # The floor keeps components of almost constant images, such as a flat background, finite.
    return mean, vectors[:, order], np.sqrt(np.maximum(values[order], 1e-6))


def _decoder(
    images: Iterable[np.ndarray], patch: int, encode: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the 3 × 3 filters and the bias that give a cell's pixels from noisy latents with least squares."""
    left: np.ndarray | float = 0.0
    right: np.ndarray | float = 0.0
    number = 0
    for image in images:
        cells = _cells(image, patch)
        latents = cells @ encode + shift
        around = _neighbourhoods(latents).astype(np.float64)
        left, right = left + around.T @ around, right + around.T @ cells.reshape(len(around), -1).astype(np.float64)
        number += len(around)
    noise = np.full(len(np.asarray(left)), NOISE**2 * number)
    noise[-1] = 0  # the bias
    solved = np.linalg.solve(np.asarray(left) + np.diag(noise), right).astype(np.float32)
    components, pixels = encode.shape[1], solved.shape[1]
    return np.ascontiguousarray(solved[:-1].T.reshape(pixels, 3, 3, components).transpose(0, 3, 1, 2)), solved[-1]


def _neighbourhoods(latents: np.ndarray) -> np.ndarray:
    """Return each cell's 3 × 3 neighbourhood, its edge repeated, and a 1: (cells, 9 · K + 1)."""
    rows, columns, components = latents.shape
    padded = np.pad(latents, ((1, 1), (1, 1), (0, 0)), mode="edge")
    windows = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    return np.concatenate([*windows, np.ones((rows, columns, 1))], axis=2).reshape(-1, 9 * components + 1)
