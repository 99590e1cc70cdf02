"""A small plain segmentation network, trained from scratch on nothing but the masks.

Ronneberger, Fischer, Brox: U-Net: convolutional networks for biomedical image segmentation, MICCAI 2015,
arXiv 1505.04597.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from anomgen.score.detectors.base import Batch, Training
from anomgen.score.detectors.networks import Arrays, NetworkDetector, padded, seeded, targets, tensor, trained


class UNet(NetworkDetector):
    """Contracting and expanding path with skips; binary cross-entropy and Dice loss with the masks.

    The Dice loss (Milletari et al. 2016, arXiv 1606.04797), here over all pixels of a batch, is there because
    anomalies cover few pixels: cross-entropy alone is low for a while when nothing is marked anywhere.

    Note: unlike in the paper, convolutions are padded, followed by batch normalisation, and trained by Adam on
    batches; the paper's net learns by gradient descent on single images with a momentum of .99, drops features out at
    the end of the contracting path, and is shown elastic deformations, random moves of 10 pixels on a grid of 3 × 3:
    here augmenting belongs to the recipe. Its weights for rare classes are the Dice loss's part, those for the borders
    between cells mean nothing here. It tells no number of steps.
    """

    kind: ClassVar[str] = "unet"
    widths: ClassVar[tuple[str, ...]] = ("width",)
    paper: ClassVar[str] = (
        "Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI "
        "2015, "
        "[arXiv 1505.04597](https://arxiv.org/abs/1505.04597)"
    )
    rate: ClassVar[float] = 1.7
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "paper": {"width": 64, "depth": 4, "steps": 20_000},
    }

    steps: Annotated[int, Field(ge=1)] = 250
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Images of one optimiser step."""
    width: Annotated[int, Field(ge=1)] = 12
    """Channels at the images' resolution; twice as many at each halving."""
    depth: Annotated[int, Field(ge=1, le=6)] = 4
    """Halvings of the resolution."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    """Of Adam, the highest one: it rises and falls again."""

    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """See `Detector.fit`."""
        with seeded(rng):
            network = Network(self.width, self.depth)
            optimiser = torch.optim.Adam(network.parameters(), self.learning_rate)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.learning_rate, total_steps=self.steps + 1)

            def loss(batch: Batch, where: torch.device) -> torch.Tensor:
                return cross_entropy_and_dice(network(tensor(batch.images, where)), targets(batch.masks, where))

            trained(network, self, train, loss, optimiser, schedule)
        self._network = network

    def built(self, arrays: Arrays) -> nn.Module:  # noqa: ARG002
        """See `NetworkDetector.built`."""
        return Network(self.width, self.depth)

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the probability of an anomaly of each pixel; see `NetworkDetector.maps`."""
        logits: torch.Tensor = self.learnt(self._network)(images)
        return logits.sigmoid()[:, 0]


def cross_entropy_and_dice(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Return the sum of both losses of logits and masks, (N, 1, H, W); 1 is added so that empty masks have a Dice."""
    found = logits.sigmoid()
    dice = (2 * (found * masks).sum() + 1) / (found.sum() + masks.sum() + 1)
    return F.binary_cross_entropy_with_logits(logits, masks) + 1 - dice


class Network(nn.Module):
    """The U-Net: images in [0, 1], (N, 3, H, W), to logits (N, 1, H, W); any size of at least ``2 ** depth / 2``."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(_two(a, b) for a, b in zip([3, *widths], widths, strict=False))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.up = nn.ModuleList(_two(2 * w, w) for w in reversed(widths[:-1]))
        self.mark = nn.Conv2d(width, 1, 1)
        self.multiple = 2**depth

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x, inside = padded(x, self.multiple)
        kept = []
        for level, convolve in enumerate(self.down):
            x = convolve(F.max_pool2d(x, 2) if level else x)
            kept.append(x)
        for grow, convolve, beside in zip(self.grow, self.up, reversed(kept[:-1]), strict=True):
            x = convolve(torch.cat([beside, grow(x)], dim=1))
        logits: torch.Tensor = self.mark(x)[inside]
        return logits


def _two(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (channels, width):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)
