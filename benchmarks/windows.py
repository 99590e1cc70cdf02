"""What the window of the image score does to DRAEM: ours, 1/16 of the side, against its paper's 21 of 256 pixels.

python benchmarks/windows.py DATA...       categories as `anomgen score` takes them; trains `draem` on `perlin`, seed 0
"""

from __future__ import annotations

import sys

from scipy import ndimage
from sklearn.metrics import roc_auc_score

from anomgen.making.engine import Plan
from anomgen.making.recipe import load_recipe
from anomgen.making.threads import single_threaded
from anomgen.rng import Stream, rng_for
from anomgen.score.cell import generator_loader
from anomgen.score.data import load
from anomgen.score.detectors.base import build_detector
from anomgen.score.metrics import reduce_maps

SIZE = 128


def main(paths: list[str]) -> None:
    """Print image AUROC with either window."""
    side = round(21 / 256 * SIZE)
    for path in paths:
        data = load(path, SIZE)
        with single_threaded():
            plan = Plan.of(load_recipe("perlin", source=path, size=SIZE), source=data.train)
            detector = build_detector({"kind": "draem"}).unfitted()
            detector.fit(generator_loader(plan, data, 0), rng_for(0, Stream.TRAINING))
            maps = detector.anomaly_maps(data.test.images)
        theirs = [ndimage.uniform_filter(image, side, mode="constant").max() for image in maps]
        ours, paper = (roc_auc_score(data.test.labels, scores) for scores in (reduce_maps(maps), theirs))
        print(f"{path}: image AUROC {ours:.3f}, with the paper's window, {side} pixels here, {paper:.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
