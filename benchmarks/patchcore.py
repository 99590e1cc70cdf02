"""What PatchCore's weighting of the image score would do to `none`, which leaves it out.

python benchmarks/patchcore.py DATA…       categories as `anomgen score` takes them; seed 0, 128×128

The paper scores an image by its farthest patch, times 1 − exp(d) / Σ exp(d_k): d is its distance to the nearest patch
of the memory, d_k those to the nine of the memory that are nearest to that one. Prints image AUROC by our rule, by
the farthest patch, and by the weighted one.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from anomgen.making.threads import single_threaded
from anomgen.rng import Stream, rng_for
from anomgen.score.anomalies import Anomalies
from anomgen.score.cell import given_loader
from anomgen.score.data import load
from anomgen.score.detectors.networks import tensor
from anomgen.score.detectors.none import Memory, enlarged
from anomgen.score.entries import Entry
from anomgen.score.metrics import reduce_maps

SIZE, NEIGHBOURS = 128, 9


def scores(detector: Memory, image: np.ndarray) -> tuple[float, float]:
    """Return the score of an image (H, W, C) by its farthest patch, and the same weighted."""
    memory: torch.Tensor = detector._memory
    patches = detector._patches(enlarged(tensor(image[None]))).flatten(0, 2)
    distances = torch.cdist(patches, memory)
    nearest, places = distances.min(1)
    farthest = int(nearest.argmax())
    there = memory[places[farthest]]
    around = torch.cdist(there[None], memory)[0].topk(NEIGHBOURS, largest=False).indices
    share = torch.softmax(distances[farthest, around], 0)[0]  # the patch itself is the first of them
    return float(nearest[farthest]), float((1 - share) * nearest[farthest])


def main(paths: list[str]) -> None:
    """Print a line for each data set."""
    for path in paths:
        data, detector = load(path, SIZE), Memory()
        with single_threaded(), torch.inference_mode():
            loader = given_loader(Anomalies([], []), Entry("none", "none", "none"), data, 0)
            detector.fit(loader, rng_for(0, Stream.TRAINING))
            found = np.array([scores(detector, image) for image in data.test.images])
            ours = reduce_maps(detector.anomaly_maps(data.test.images))
        rules = {"window": ours, "farthest patch": found[:, 0], "weighted": found[:, 1]}
        print(path, *(f"{name} {roc_auc_score(data.test.labels, values):.3f}" for name, values in rules.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
