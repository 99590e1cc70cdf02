"""Departures of the detectors from their papers, undone one by one; detector_notes.py measures what that changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pydantic import PrivateAttr
from torch import nn

from anomgen.score.backbone import Backbone
from anomgen.score.detectors import autoencoder, cutpaste, cyclegan, draem, nsa, unet
from anomgen.score.detectors.base import Batch, Detector, Training
from anomgen.score.detectors.networks import tensor, trained

SIDE = 128
"""Of the images, in pixels."""
SSIM, TWO = draem.ssim, unet._two


@dataclass
class Shown:
    """A training whose batches are changed before they are shown, or that is looked at as it goes."""

    train: Any
    change: Callable[[Batch, np.random.Generator], Batch] | None = None
    look: Callable[[], None] | None = None
    every: int = 25
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.train, name)

    def batches(self, *given: Any, **named: Any) -> Iterator[Batch]:
        """Yield the batches, changed."""
        for batch in self.train.batches(*given, **named):
            yield batch if self.change is None else self.change(batch, self.rng)

    def progress(self, done: int, total: int) -> None:
        """Look every so many steps, and at the end."""
        self.train.progress(done, total)
        if self.look is not None and (done % self.every == 0 or done == total):
            self.look()


def watched(look: Callable[[nn.Module], None], every: int, network: nn.Module, *given: Any, **named: Any) -> None:
    """Train as `trained` does, and look at the network on the way, and at the end."""
    detector, train, *rest = given
    trained(network, detector, Shown(train, look=lambda: look(network), every=every), *rest, **named)  # type: ignore[arg-type]


def warped(batch: Batch, turns: list[np.ndarray], border: int) -> Batch:
    """Return a batch whose rows are moved by matrices (2, 3), images and masks alike."""

    def one(array: np.ndarray, turn: np.ndarray, how: int) -> np.ndarray:
        size = (array.shape[1], array.shape[0])
        return cv2.warpAffine(array, turn, size, flags=how, borderMode=border).reshape(array.shape)

    def each(arrays: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
        return np.stack([one(array, turn, how) for array, turn in zip(arrays, turns, strict=True)])

    masks = each(batch.masks.astype(np.uint8), cv2.INTER_NEAREST) > 0
    return replace(
        batch, images=each(batch.images), normals=each(batch.normals), masks=masks, soft_masks=each(batch.soft_masks)
    )


def turn(degrees: float, across: float = 0, down: float = 0, *, upside_down: bool = False) -> np.ndarray:
    """Return the matrix that turns an image about its middle, moves it by pixels, and mirrors it."""
    middle = (SIDE - 1) / 2
    matrix: np.ndarray = cv2.getRotationMatrix2D((middle, middle), degrees, 1)
    matrix[:, 2] += across, down
    return np.diag([1.0, -1.0]) @ matrix + np.array([[0, 0, 0], [0, 0, 2 * middle]]) if upside_down else matrix


# --- none -------------------------------------------------------------------------------------------------------------


def averaged_features(backbone: Backbone, _: object, images: torch.Tensor) -> torch.Tensor:
    """Return the features of both maps, averaged over 3×3 cells and concatenated."""
    h, w = images.shape[2:]
    step, finest = max(backbone.strides), min(backbone.strides)
    maps = backbone(F.pad(images, (0, -w % step, 0, -h % step), mode="reflect"))
    means = [F.avg_pool2d(found, 3, 1, 1, count_include_pad=False) for found in maps]
    alike = [F.interpolate(found, maps[0].shape[2:], mode="bilinear", align_corners=False) for found in means]
    return torch.cat(alike, 1)[:, :, : -(-h // finest), : -(-w // finest)]


# --- cutpaste ---------------------------------------------------------------------------------------------------------


class KeptGDE(cutpaste.CutPasteGDE):
    """Keeps the embeddings that its density is of."""

    _points: Any = PrivateAttr(None)

    def _normal_embeddings(self, train: Training, rng: np.random.Generator) -> Iterator[np.ndarray]:
        self._points = np.concatenate(list(super()._normal_embeddings(train, rng)))
        yield self._points


class ShiftedGDE(cutpaste.CutPasteGDE):
    """Shown images that are shifted by up to an eighth of their sides; what leaves comes in at the other side."""

    def _training_windows(self, batch: Batch, *given: Any) -> tuple[np.ndarray, np.ndarray]:
        rng: np.random.Generator = given[-1]
        shifts = [turn(0, *rng.integers(-SIDE // 8, SIDE // 8 + 1, 2)) for _ in batch.images]
        return super()._training_windows(warped(batch, shifts, cv2.BORDER_WRAP), *given)


# --- draem ------------------------------------------------------------------------------------------------------------


def falling_as_in_paper(network: nn.Module, detector: Detector, *given: Any) -> None:
    """Train with a rate that falls by .1 after 400 and 600 of 700 epochs."""
    train, loss, optimiser, _ = given
    milestones = [int(share * detector.steps) for share in (4 / 7, 6 / 7)]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones, gamma=0.1)
    trained(network, detector, train, loss, optimiser, schedule)


def ssim_of_code(spans: list[int], a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the similarity with the range that the code reads off the reconstructions of a batch, and keep that."""
    span = 2 if float(a.detach().min()) < -0.5 else 1
    spans.append(span)
    return SSIM(a / span, b / span)


def turned_normals(batch: Batch, rng: np.random.Generator) -> Batch:
    """Return a batch of whose images 30 % are turned by up to 90°, with black corners."""
    turns = [turn(rng.uniform(-90, 90) if rng.random() < 0.3 else 0) for _ in batch.images]
    return warped(batch, turns, cv2.BORDER_CONSTANT)


# --- nsa --------------------------------------------------------------------------------------------------------------


def turned_and_moved(batch: Batch, rng: np.random.Generator) -> Batch:
    """Turn by up to 5° and crop at random, 224 of 230 pixels, as the authors do with objects."""
    turns = [turn(rng.uniform(-5, 5), *rng.uniform(-3, 3, 2) * SIDE / 224) for _ in batch.images]
    return warped(batch, turns, cv2.BORDER_REFLECT_101)


def mirrored_and_moved(batch: Batch, rng: np.random.Generator) -> Batch:
    """Turn upside down or not and crop at random, 256 of 264 pixels, as the authors do with textures."""
    turns = [turn(0, *rng.uniform(-4, 4, 2) * SIDE / 256, upside_down=bool(rng.random() < 0.5)) for _ in batch.images]
    return warped(batch, turns, cv2.BORDER_REFLECT_101)


class OneChannel(nsa.EncoderDecoder):
    """One input channel for values in [0, 1], as the authors' for X-rays."""

    def __init__(self, width: int):
        super().__init__(width)
        first = nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
        self.encode[0] = first
        self.mean, self.std = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See `EncoderDecoder.forward`."""
        return super().forward(x[:, :1])


# --- realnet ----------------------------------------------------------------------------------------------------------


def aligned_corners(x: torch.Tensor, size: Any) -> torch.Tensor:
    """Return maps of another size, corner on corner."""
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=True)


# --- cyclegan ---------------------------------------------------------------------------------------------------------


class MirroredCycleGAN(cyclegan.CycleGANDetector):
    """Shown images in eight orientations."""

    def _pairs(self, train: Training, where: Any, rng: np.random.Generator, first: int) -> Iterator[Any]:
        for pair in super()._pairs(train, where, rng, first):
            yield tuple(self._turned(images, int(rng.integers(8))) for images in pair)

    def _turned(self, images: torch.Tensor, way: int) -> torch.Tensor:
        images = images.flip(3) if way & 1 else images
        images = images.flip(2) if way & 2 else images
        return images.transpose(2, 3).contiguous() if way & 4 else images


# --- autoencoder ------------------------------------------------------------------------------------------------------


class WatchedAutoencoder(autoencoder.Autoencoder):
    """Keeps the weights of the least loss on the held-out normal images."""

    _least: Any = PrivateAttr((np.inf, None))

    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """See `Autoencoder.fit`."""
        held_out = tensor(train.validation.images[~train.validation.labels])
        measured = self._measured(train.normals)

        def look(network: nn.Module) -> None:
            now = deepcopy(network)
            torch.optim.swa_utils.update_bn(measured, now)
            with torch.inference_mode():
                loss = float(F.mse_loss(now.eval()(held_out), held_out))
            if loss < self._least[0]:
                self._least = (loss, now)

        with patch.object(autoencoder, "trained", partial(watched, look, 25)):
            super().fit(train, rng)


# --- unet -------------------------------------------------------------------------------------------------------------


def unnormalised(channels: int, width: int) -> nn.Sequential:
    """Return two convolutions with He's weights and without normalisation."""
    layers: list[nn.Module] = []
    for before in (channels, width):
        layer = nn.Conv2d(before, width, 3, padding=1)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers)


def mirrored_borders(channels: int, width: int) -> nn.Sequential:
    """Return the two convolutions with borders that are mirrored, as the paper mirrors images, instead of zeros."""
    layers = TWO(channels, width)
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            layer.padding_mode = "reflect"
            layer._reversed_padding_repeated_twice = [1, 1, 1, 1]
    return layers


def by_momentum(network: nn.Module, detector: Detector, train: Training, loss: Any, *_: Any) -> None:
    """Train by stochastic gradient descent with the paper's momentum and a constant rate."""
    trained(network, detector, train, loss, torch.optim.SGD(network.parameters(), 1e-3, momentum=0.99))
