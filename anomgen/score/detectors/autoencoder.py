"""Reconstruction of normal images by a U-Net autoencoder: what it cannot rebuild is anomalous.

Minhas, Zelek: Semi-supervised anomaly detection using AutoEncoders, 2020, arXiv 2001.03674, as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from anomgen.score.detectors.base import Batch, Training, stacked
from anomgen.score.detectors.networks import (
    Arrays,
    NetworkDetector,
    device,
    normal_batches,
    padded,
    seeded,
    tensor,
    trained,
)
from anomgen.sources.base import Images

MEASURED = 64
"""Most training images from which the normalisations' statistics are taken, evenly spaced."""
ENCODER, DECODER = (11, 9, 7, 5, 3), (5, 7, 9, 11)
"""Kernel sizes; the first convolution keeps the resolution, each other halves or doubles it."""
STRIDE = 16
COLOURS = 2 / 255
"""By which the channels of a pixel differ in the mean where images have colours."""
BRIGHTNESS = (0.299, 0.587, 0.114)
"""The shares of red, green and blue."""


class Autoencoder(NetworkDetector):
    """Trained on normal images alone; the map is the residual, averaged over the channels and not smoothed.

    The synthetic anomalies serve to choose its threshold, which is hard: the first convolution's output goes past
    the bottleneck, so part of an anomaly is rebuilt and residuals are small. ``skip_top=False`` closes that way;
    on seven real data sets neither is clearly better (docs/reference/methods.md), so the default is the paper's.

    Note: as in the code, every layer ends in batch normalisation and a leaky ReLU of slope 0.2, the last one too;
    the paper says ReLU. By default that last normalisation starts at the images' own mean and deviation, and all are
    measured anew after training: from 0 and 1, Adam moves a bias by .001 a step and never arrives within some hundred
    steps, and running means over batches of four differ from batch to batch by more than an anomaly. By default, too,
    images are mirrored at their borders, where residuals beside zeros outshine faint defects, and seen in colours where
    they have some.
    The weights are those after the last step; the authors keep those of the least validation loss. They train 25
    epochs in the code and 50 in the paper; the paper preset has the steps of 50 epochs of 1,000 images. Their images
    are 512 × 512, those of ``--preset paper`` 256 × 256 without ``--size 512``.
    """

    kind: ClassVar[str] = "autoencoder"
    widths: ClassVar[tuple[str, ...]] = ("width",)
    paper: ClassVar[str] = (
        "Minhas, Zelek: Semi-supervised Anomaly Detection Using AutoEncoders, 2020, "
        "[arXiv 2001.03674](https://arxiv.org/abs/2001.03674)"
    )
    rate: ClassVar[float] = 1.4
    uses_anomalies: ClassVar[bool] = False
    needs_masks: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "paper": {"width": 48, "steps": 12_500, "calibrated": False, "border": 0, "grey": True},
    }

    steps: Annotated[int, Field(ge=1)] = 500
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=1)] = 4
    """Normal images of one step."""
    width: Annotated[int, Field(ge=1)] = 16
    """Channels of every layer."""
    skip_top: bool = True
    """Whether the features at full resolution go straight to the last layer, as in the paper."""
    border: Annotated[int, Field(ge=0)] = 8
    """Pixels by which images are mirrored at their borders for the network; what it makes of these is cut off."""
    grey: bool | Literal["auto"] = "auto"
    """Whether it sees the brightness alone, as in the paper; `auto`: where the images have no colours."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Of Adam; constant."""
    calibrated: bool = True
    """Whether the last normalisation starts at the training images' mean and deviation, and all end with statistics of
    these images; otherwise they start at 0 and 1 and end with running means, as the paper's."""

    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """See `Detector.fit`."""
        with seeded(rng):
            measured = self._measured(train.normals)
            grey = without_colours(measured) if self.grey == "auto" else self.grey
            network = Network(self.width, skip_top=self.skip_top, border=self.border, channels=1 if grey else 3)
            if self.calibrated:
                network.start_at(network.seen(torch.cat(measured)))
            optimiser = torch.optim.Adam(network.parameters(), self.learning_rate)

            def loss(batch: Batch, where: torch.device) -> torch.Tensor:
                images = network.seen(tensor(batch.images, where))
                return F.mse_loss(network(images), images)

            trained(network, self, train, loss, optimiser, batches=partial(normal_batches, train, self, rng))
        if self.calibrated:
            torch.optim.swa_utils.update_bn(map(network.seen, measured), network, device())
        self._network = network

    def _measured(self, normals: Images) -> list[torch.Tensor]:
        """Return up to `MEASURED` of the images, evenly spaced, in batches (N, 3, H, W)."""
        chosen = np.unique(np.linspace(0, len(normals) - 1, min(len(normals), MEASURED)).astype(int))
        parts = np.array_split(chosen, -(-len(chosen) // self.batch_size))
        return [tensor(stacked([normals[k] for k in part])) for part in parts]

    def built(self, arrays: Arrays) -> nn.Module:
        """See `NetworkDetector.built`; the weights say by their shape whether they see colours."""
        grey = len(arrays.get("end.0.weight", ())) == 1
        return Network(self.width, skip_top=self.skip_top, border=self.border, channels=1 if grey else 3)

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return ``|x - AE(x)|`` of values in [0, 1], averaged over the channels; see `NetworkDetector.maps`."""
        network: Network = self.learnt(self._network)
        seen = network.seen(images)
        rebuilt: torch.Tensor = network(seen)
        return (seen - rebuilt).abs().mean(dim=1)


class Network(nn.Module):
    """Images in [0, 1], (N, C, H, W), to their reconstruction, not limited to [0, 1]; sides of at least 8."""

    def __init__(self, width: int, *, skip_top: bool, channels: int, border: int = 0):
        super().__init__()
        w = width
        self.skip_top, self.channels, self.border = skip_top, channels, border
        self.down = nn.ModuleList(
            _layer(nn.Conv2d(w if level else channels, w, k, stride=2 if level else 1, padding=k // 2), w)
            for level, k in enumerate(ENCODER)
        )
        self.up = nn.ModuleList(
            _layer(nn.ConvTranspose2d(2 * w if level else w, w, k, 2, k // 2, output_padding=1), w)
            for level, k in enumerate(DECODER)
        )
        self.end = _layer(nn.Conv2d(2 * w if skip_top else w, channels, 1), channels)

    def seen(self, images: torch.Tensor) -> torch.Tensor:
        """Return what it sees of images (N, 3, H, W): with one channel, their brightness, (N, 1, H, W)."""
        return brightness(images) if self.channels == 1 else images

    def start_at(self, images: torch.Tensor) -> None:
        """Let the last normalisation begin with the mean and the deviation of each channel of images (N, C, H, W)."""
        last = self.end[1]
        assert isinstance(last, nn.BatchNorm2d)
        values = images.transpose(0, 1).flatten(1)
        with torch.no_grad():
            last.bias.copy_(values.mean(1))
            last.weight.copy_(values.std(1).clamp(min=1e-3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction."""
        x, inside = padded(x, STRIDE, self.border)
        kept = []
        for layer in self.down:
            x = layer(x)
            kept.append(x)
        x = kept.pop()
        for layer in self.up:
            x = layer(x)
            beside = kept.pop()
            if kept or self.skip_top:
                x = torch.cat([x, beside], dim=1)
        rebuilt: torch.Tensor = self.end(x)
        return rebuilt[inside]


def without_colours(parts: Sequence[torch.Tensor]) -> bool:
    """Return whether the channels of images, in parts (N, 3, H, W), are alike but for `COLOURS`."""
    return max(float((part.amax(1) - part.amin(1)).mean()) for part in parts) < COLOURS


def brightness(images: torch.Tensor) -> torch.Tensor:
    """Return the brightness of images (N, 3, H, W), (N, 1, H, W), by the weights of ITU-R BT.601."""
    return (images * images.new_tensor(BRIGHTNESS).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _layer(convolution: nn.Module, width: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.LeakyReLU(0.2))
