"""What the departures under `Note:` in the detectors' docstrings come to: figures as they are, and with each undone.

python benchmarks/detector_notes.py DETECTOR DATA… [--seeds 0,1] [--only 'NAME;…'] [--steps N]

DATA are categories as `anomgen score` takes them, here at 128×128. Prints image AUROC / pixel AP of the detector at its
default, trained on the anomalies of `perlin`, or on its own paper's (`RECIPES`), then with one departure undone at a
time. What is a matter of reading its maps, or of weights on the way, is read off one training.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import PrivateAttr
from scipy import ndimage
from torch import nn
from undone import (
    SIDE,
    KeptGDE,
    MirroredCycleGAN,
    OneChannel,
    ShiftedGDE,
    Shown,
    WatchedAutoencoder,
    aligned_corners,
    averaged_features,
    by_momentum,
    falling_as_in_paper,
    mirrored_and_moved,
    mirrored_borders,
    ssim_of_code,
    turned_and_moved,
    turned_normals,
    unnormalised,
    watched,
)

from anomgen.making.engine import Plan
from anomgen.making.recipe import load_recipe
from anomgen.making.threads import single_threaded
from anomgen.models.training import Diverged
from anomgen.rng import Stream, rng_for
from anomgen.score.cell import generator_loader
from anomgen.score.data import RealData, load
from anomgen.score.detectors import cutpaste, cyclegan, draem, none, nsa, realnet, unet
from anomgen.score.detectors.base import Batch, Detector, Training, build_detector
from anomgen.score.detectors.networks import tensor
from anomgen.score.metrics import Curve, image_metrics, pixel_metrics, reduce_maps

RECIPES = {"none": "boxes", "autoencoder": "boxes", "cutpaste": "cutpaste", "nsa": "nsa", "cyclegan": "nsa"}
"""What is trained on; `perlin` for the others. Those of `boxes` see normal images alone."""
NEIGHBOURS = 9
"""By which PatchCore weighs an image's score."""
Judged = tuple[float, float]
"""Image AUROC and pixel AP."""


@dataclass(frozen=True)
class Bench:
    """One data set, one seed and a detector at its default, which is trained when it is first asked for."""

    kind: str
    path: str
    data: RealData
    seed: int
    steps: int | None = None
    """Of each training; None: the detector's own."""

    def loader(self, *overrides: str) -> Training:
        """Return what is trained on; overrides: of the recipe."""
        recipe = load_recipe(RECIPES.get(self.kind, "perlin"), source=self.path, size=SIDE, overrides=[*overrides])
        return generator_loader(Plan.of(recipe, source=self.data.train), self.data, self.seed)

    def fitted(self, detector: Detector, train: Any = None) -> Detector:
        """Return the detector, trained."""
        detector = detector if self.steps is None else detector.model_copy(update={"steps": self.steps})
        detector.fit(self.loader() if train is None else train, rng_for(self.seed, Stream.TRAINING))
        return detector

    @cached_property
    def own(self) -> Any:
        """The detector at its default."""
        made = OWN[self.kind](self) if self.kind in OWN else build_detector({"kind": self.kind})
        return self.fitted(made)

    @cached_property
    def maps(self) -> np.ndarray:
        """Its maps of the test images."""
        return self.mapped(self.own)

    def mapped(self, detector: Detector) -> np.ndarray:
        """Return the maps of the test images."""
        return detector.anomaly_maps(self.data.test.images)

    def judged(self, maps: np.ndarray, scores: np.ndarray | None = None) -> Judged:
        """Return the figures of maps; scores: of the images, by default the one rule of all detectors."""
        images = self.images(reduce_maps(maps) if scores is None else scores)
        return images["image_auroc"], self.pixels(maps)["pixel_ap"]

    def images(self, scores: np.ndarray) -> dict[str, Any]:
        """Return the figures over images."""
        return image_metrics(Curve.of(self.data.test.labels, scores)).metrics

    def pixels(self, maps: np.ndarray) -> dict[str, Any]:
        """Return the figures over pixels."""
        assert self.data.test.masks is not None
        return pixel_metrics(Curve.of_maps(self.data.test.masks, maps)).metrics


Case = Callable[[Bench], Judged]


def as_it_is(bench: Bench) -> Judged:
    """The default."""
    return bench.judged(bench.maps)


def scored(rule: Callable[[np.ndarray], np.ndarray]) -> Case:
    """Return the default with other image scores: `rule` of its maps."""
    return lambda bench: bench.judged(bench.maps, rule(bench.maps))


def setting(**values: Any) -> Case:
    """Return a training with other settings."""
    return lambda bench: bench.judged(bench.mapped(bench.fitted(build_detector({"kind": bench.kind, **values}))))


def swapped(place: Any, name: str, value: Any, **values: Any) -> Case:
    """Return a training, and a reading, with another value at a place in the code."""

    def case(bench: Bench) -> Judged:
        with patch.object(place, name, value):
            return setting(**values)(bench)

    return case


def made(kind: Callable[[], Detector]) -> Case:
    """Return a training of another class."""
    return lambda bench: bench.judged(bench.mapped(bench.fitted(kind())))


def shown(change: Callable[[Batch, np.random.Generator], Batch]) -> Case:
    """Return a training on changed batches."""

    def case(bench: Bench) -> Judged:
        train = Shown(bench.loader(), change)
        return bench.judged(bench.mapped(bench.fitted(build_detector({"kind": bench.kind}), train)))

    return case


def of_intensities(most: float) -> Case:
    """Return a training on labels of intensity, `most` for one of 1."""

    def case(bench: Bench) -> Judged:
        train = bench.loader("generator.label=intensity")
        with patch.object(nsa, "LEVELS", most):
            return bench.judged(bench.mapped(bench.fitted(build_detector({"kind": bench.kind}), train)))

    return case


def all_candidates(bench: Bench) -> Judged:
    """Choose a memory as large as the default's from all patches."""
    own = bench.own._memory
    place = none.Memory(candidates=None)
    cells = -(-SIDE * none.factor((SIDE, SIDE)) // min(place.strides))
    share = len(own) / (len(bench.data.train) * cells**2)
    return setting(candidates=None, coreset=share)(bench)


def farthest(weighted: bool) -> Case:
    """Score an image by its farthest patch, as it is or times 1 − exp(d) / Σ exp(d_k).

    d is its distance to the nearest patch of the memory, d_k those to the nine of the memory nearest to that one.
    """

    def score(detector: none.Memory, image: np.ndarray) -> float:
        memory: torch.Tensor = detector._memory
        patches = detector._patches(none.enlarged(tensor(image[None]))).flatten(0, 2)
        distances = torch.cdist(patches, memory)
        nearest, places = distances.min(1)
        place = int(nearest.argmax())
        around = torch.cdist(memory[places[place]][None], memory)[0].topk(NEIGHBOURS, largest=False).indices
        share = torch.softmax(distances[place, around], 0)[0]  # the patch itself is the first of them
        return float((1 - share if weighted else 1) * nearest[place])

    def case(bench: Bench) -> Judged:
        with torch.inference_mode():
            return bench.judged(bench.maps, np.array([score(bench.own, image) for image in bench.data.test.images]))

    return case


def plain_covariance(bench: Bench) -> Judged:
    """Take the covariance of the embeddings as it is, but for 1e-6 on its diagonal, scikit-learn's for a mixture."""
    points, shrunk = bench.own._points.astype(np.float64), bench.own._density
    covariance = np.cov(points, rowvar=False) + 1e-6 * np.eye(points.shape[1])
    bench.own._density = cutpaste.Density(points.mean(axis=0), np.linalg.inv(covariance))
    try:
        return bench.judged(bench.mapped(bench.own))
    finally:
        bench.own._density = shrunk


def window_of_21(maps: np.ndarray) -> np.ndarray:
    """Return the scores by the paper's window, 21 of 256 pixels, zeros beyond the border."""
    side = round(21 / 256 * SIDE)
    return np.array([ndimage.uniform_filter(values, side, mode="constant").max() for values in maps])


class WatchedRealNet(realnet.RealNet):
    """Keeps the best figures on the test on the way, as the authors' code does."""

    _bench: Any = PrivateAttr(None)
    _best: Any = PrivateAttr((-1.0, None))

    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """See `RealNet.fit`."""
        with patch.object(realnet, "trained", partial(watched, self._look, 50)):
            super().fit(train, rng)

    def _look(self, network: nn.Module) -> None:
        self._network = network.eval()
        maps = self._bench.mapped(self)
        images = self._bench.images(reduce_maps(maps))["image_auroc"]
        together = images + self._bench.pixels(maps)["pixel_auroc"]
        if together > self._best[0]:
            self._best = (together, self._bench.judged(maps))
        network.train()


def watched_realnet(bench: Bench) -> Detector:
    """Return the detector that knows the test."""
    detector = WatchedRealNet()
    detector._bench = bench
    return detector


def unsmoothed(bench: Bench) -> Judged:
    """Read the maps without the Gaussian."""
    with patch.object(cyclegan.cv2, "GaussianBlur", lambda values, *_: values):
        return bench.judged(bench.mapped(bench.own))


def least_loss(bench: Bench) -> Judged:
    """Read the weights of the least validation loss."""
    last = bench.own._network
    bench.own._network = bench.own._least[1]
    try:
        return bench.judged(bench.mapped(bench.own))
    finally:
        bench.own._network = last


def range_of_code(bench: Bench) -> Judged:
    """Take the range of the similarity from the reconstructions, and tell how often it is 2."""
    spans: list[int] = []
    figures = swapped(draem, "ssim", partial(ssim_of_code, spans))(bench)
    print(f"    the range is 2 in {spans.count(2)} of {len(spans)} steps")
    return figures


# ----------------------------------------------------------------------------------------------------------------------

OWN: Mapping[str, Callable[[Bench], Detector]] = {
    "cutpaste": lambda _: KeptGDE(),
    "realnet": watched_realnet,
    "autoencoder": lambda _: WatchedAutoencoder(),
}
"""Those whose training is looked at; they learn the same."""
NOTES: dict[str, dict[str, Case]] = {
    "none": {
        "image score by the farthest patch": farthest(weighted=False),
        "the same, weighted": farthest(weighted=True),
        "all patches as candidates": all_candidates,
        "averaged over 3×3, concatenated": swapped(none, "patch_features", averaged_features),
        "all patches, a memory of a tenth": setting(candidates=None),
    },
    "cutpaste": {
        "covariance not shrunk": plain_covariance,
        "SGD": setting(optimiser="sgd", learning_rate=0.03),
        "whole width": setting(width=64),
        "whole images": setting(preset="image"),
        "whole images, shifted": made(lambda: ShiftedGDE(preset="image")),
    },
    "draem": {
        "window of 21": scored(window_of_21),
        "range of the similarity": range_of_code,
        "turned normal images": shown(turned_normals),
        "rate falls as in the paper": swapped(draem, "trained", falling_as_in_paper),
    },
    "autoencoder": {
        "least validation loss": least_loss,
        "grey": setting(grey=True),
        "zeros beyond the border": setting(border=0),
        "running means": swapped(torch.optim.swa_utils, "update_bn", lambda *_: None),
    },
    "nsa": {
        "image score by the mean": scored(partial(reduce_maps, by="sum")),
        "anomalies in all images": setting(anomaly_ratio=1.0),
        "turned and moved": shown(turned_and_moved),
        "mirrored and moved": shown(mirrored_and_moved),
        "one channel": swapped(nsa, "EncoderDecoder", OneChannel),
        "labels of intensity": of_intensities(nsa.LEVELS),
        "the same, up to 1": of_intensities(1),
    },
    "realnet": {
        "best on the test": lambda bench: (bench.own, bench.own._best[1])[1],
        "stride 32, too": setting(strides=(4, 8, 16, 32), selected=(16, 24, 48, 40)),
        "constant rate, 1e-3": setting(one_cycle=False, learning_rate=1e-3),
        "constant rate, 1e-4": setting(one_cycle=False, learning_rate=1e-4),
        "aligned corners": swapped(realnet, "_resized", aligned_corners),
    },
    "supersimplenet": {
        "flipped": setting(flips=True),
        "larger noisy regions": setting(noise_level=0.2),
        "judging does not teach marking": setting(stop_gradient=True),
        "gradients not clipped": setting(gradient_clip=None),
        "noise alone": setting(anomaly_ratio=0.0),
        "noise alone, as the authors": setting(
            anomaly_ratio=0.0, noise_level=0.2, stop_gradient=True, gradient_clip=None
        ),
    },
    "cyclegan": {
        "image score by the sum": scored(partial(reduce_maps, by="sum")),
        "not smoothed": unsmoothed,
        "mirrored and turned": made(MirroredCycleGAN),
    },
    "unet": {
        "cross-entropy alone": swapped(unet, "cross_entropy_and_dice", F.binary_cross_entropy_with_logits),
        "mirrored borders": swapped(unet, "_two", mirrored_borders),
        "no normalisation": swapped(unet, "_two", unnormalised),
        "momentum, no Adam": swapped(unet, "trained", by_momentum),
    },
}


def main() -> None:
    """Print a line for each departure of each data set and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", choices=NOTES)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", default="0", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--steps", type=int, help="of each training, for a short look")
    parser.add_argument("--only", type=lambda text: text.split(";"), help="these departures alone")
    chosen = parser.parse_args()
    cases = {"as it is": as_it_is, **NOTES[chosen.detector]}
    for path in chosen.data:
        data = load(path, SIDE)
        for seed in chosen.seeds:
            bench = Bench(chosen.detector, path, data, seed, chosen.steps)
            for name in chosen.only or cases:
                started = time.process_time()
                with single_threaded():
                    try:
                        figures = "{:.3f} / {:.3f}".format(*cases[name](bench))
                    except Diverged as error:
                        figures = str(error)
                spent = time.process_time() - started
                print(f"{path}, seed {seed}, {name:33}{figures}   {spent:.0f} s", flush=True)


if __name__ == "__main__":
    main()
