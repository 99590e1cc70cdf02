"""What the departures under `Note:` of the generator `sdas` come to, with a trained model of the images.

python benchmarks/sdas_notes.py MODEL DATA [KEY=VALUE…]     DATA and overrides as `anomgen make` takes them

Prints, over 32 samples: how much of the regions is left out of the masks, since it changes by no more than a grey
level; how often a region has no pixel on the foreground, which the official code keeps as an anomaly; how different the
samples of 16 are with one strength, as there, and with their own; what JPEG does to a sample, and how well compressing
again tells one that was compressed before; and how far samples are from the image that they are laid over.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from labels import left_out
from sklearn.metrics import roc_auc_score

from anomgen.generators.base import foreground_of
from anomgen.making.engine import Plan
from anomgen.making.recipe import load_recipe
from anomgen.making.threads import single_threaded
from anomgen.models.images import unscaled
from anomgen.models.sdas.model import load_sdas
from anomgen.rng import Stream, rng_for
from anomgen.synthesis.perlin import perlin_mask

COUNT, BATCH, REGIONS = 32, 16, 1000
QUALITY = 75
"""Of the JPEG files that the official code writes: Pillow's default."""


def empty(plan: Plan) -> float:
    """Return the share of regions without a pixel on the foreground of an image."""
    found = []
    for k in range(REGIONS):
        image = plan.source[k % len(plan.source)]
        region, _ = perlin_mask(rng_for(0, Stream.SAMPLE, k), image.shape[:2])
        foreground = foreground_of(plan.source, image)
        found.append(not (region if foreground is None else region & foreground).any())
    return float(np.mean(found))


def compressed(image: np.ndarray) -> np.ndarray:
    """Return what a JPEG file keeps of an image."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return np.atleast_3d(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))


def main(folder: str, source: str, overrides: Sequence[str]) -> None:
    """Print the figures."""
    model = load_sdas(folder)
    changes = ["anomaly_ratio=1.0", f"generator.model={folder}", *overrides]
    with single_threaded():
        plan = Plan.of(load_recipe("sdas", source=source, size=model.shape[:2], overrides=changes))
        settings: Any = plan.generator
        label = model.category(settings.category)

        def drawn(strengths: Sequence[float], images: Sequence[np.ndarray] | None = None) -> np.ndarray:
            rngs = [rng_for(0, Stream.SAMPLE, k) for k in range(COUNT)]
            started = {} if images is None else {"images": images, "starts": [0.45] * COUNT}
            values = model.draw(rngs, strengths, labels=[label] * COUNT, **started)
            return np.stack([unscaled(value, np.dtype(np.uint8)) for value in values])

        def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
            return np.abs(one.astype(float) - other).mean(axis=(1, 2, 3))

        own = rng_for(1, Stream.SAMPLE).uniform(*settings.strength_range, COUNT)
        samples, base = drawn(own), drawn([0.0] * COUNT)
        shared = drawn(np.repeat(own[:: COUNT // BATCH], COUNT // (COUNT // BATCH))[:COUNT])
        spread = [
            np.std(apart(values, base).reshape(-1, BATCH), axis=1).mean() / apart(values, base).mean()
            for values in (shared, samples)
        ]
        images = [plan.source[k % len(plan.source)] for k in range(COUNT)]
        near = apart(drawn(own, images), np.stack(images))
        files = np.stack([compressed(image) for image in samples])
        again = [apart(np.stack([compressed(image) for image in group]), group) for group in (samples, files)]
        told = roc_auc_score([0] * COUNT + [1] * COUNT, -np.concatenate(again))
        print(f"left out of the masks: {left_out(plan, 'sdas', COUNT):.1%} of the regions' pixels")
        print(f"regions without a pixel: {empty(plan):.1%}")
        print(f"change by the strength, deviation over 16 samples: {spread[0]:.2f} with one, {spread[1]:.2f} with own")
        print(f"JPEG: {again[0].mean():.2f} grey levels in the mean, {again[1].mean():.2f} when compressed again")
        print(f"how well compressing again tells what was compressed: AUROC {told:.3f}")
        print(
            f"from the image: {apart(samples, np.stack(images)).mean():.1f} grey levels, {near.mean():.1f} begun at .45"
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
