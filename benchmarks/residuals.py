"""What else the autoencoder's residuals could be told as: over their mean on normal images at the same place.

python benchmarks/residuals.py DATA… [--steps N]      categories as `anomgen score` takes them; seed 0, 128×128

Fits the detector `autoencoder` at its default, prints image AUROC / pixel AP of its map, and of the map divided by the
mean map of up to 64 normal training images, smoothed with a deviation of 2 pixels; and where on normal images the
residual is largest: its mean within 4 pixels of the border against that of the rest.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from anomgen.making.engine import Plan
from anomgen.making.recipe import load_recipe
from anomgen.making.threads import single_threaded
from anomgen.rng import Stream, rng_for
from anomgen.score.cell import generator_loader
from anomgen.score.data import RealData, load
from anomgen.score.detectors.autoencoder import MEASURED, Autoencoder
from anomgen.score.metrics import Curve, image_metrics, pixel_metrics, reduce_maps

SIZE, BORDER, SMOOTHING, LEAST = 128, 4, 2.0, 1e-3


def judged(data: RealData, maps: np.ndarray) -> str:
    """Return image AUROC and pixel AP of maps of the test images."""
    assert data.test.masks is not None
    images = image_metrics(Curve.of(data.test.labels, reduce_maps(maps))).metrics
    pixels = pixel_metrics(Curve.of_maps(data.test.masks, maps)).metrics
    return f"{images['image_auroc']:.3f} / {pixels['pixel_ap']:.3f}"


def main() -> None:
    """Print a line for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--steps", type=int, default=Autoencoder.model_fields["steps"].default)
    chosen = parser.parse_args()
    for path in chosen.data:
        data = load(path, SIZE)
        with single_threaded():
            plan = Plan.of(load_recipe("boxes", source=path, size=SIZE), source=data.train)
            detector = Autoencoder(steps=chosen.steps)
            detector.fit(generator_loader(plan, data, 0), rng_for(0, Stream.TRAINING))
            places = np.unique(np.linspace(0, len(data.train) - 1, MEASURED).astype(int))
            normal = detector.anomaly_maps(np.stack([data.train[int(k)] for k in places])).mean(axis=0)
            maps = detector.anomaly_maps(data.test.images)
        usual = cv2.GaussianBlur(normal, (0, 0), SMOOTHING) + np.float32(LEAST)
        inside = np.zeros(normal.shape, bool)
        inside[BORDER:-BORDER, BORDER:-BORDER] = True
        at_border = normal[~inside].mean() / normal[inside].mean()
        print(f"{path}: {judged(data, maps)}, relative {judged(data, maps / usual)}", flush=True)
        print(f"    the residual of normal images is {at_border:.1f} times as large at the border", flush=True)


if __name__ == "__main__":
    main()
