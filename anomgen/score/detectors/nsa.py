"""The detector of NSA: an encoder-decoder that tells each pixel's label from the image.

Schlüter, Tan, Hou, Kainz: Natural synthetic anomalies for self-supervised anomaly detection and localization,
ECCV 2022, arXiv 2109.15222, as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PrivateAttr
from torch import nn

from anomgen.config import Share
from anomgen.generators.nsa import NSA
from anomgen.models.described import require_fitting
from anomgen.score.detectors.base import Batch, Training
from anomgen.score.detectors.networks import (
    Arrays,
    NetworkDetector,
    batches_from,
    padded,
    seeded,
    targets,
    tensor,
    trained,
)

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LAST_RATE = 1e-6
"""Learning rate that the cosine ends at."""
SQUARED = "squared"
"""Name of the array that says which loss was taken."""
LEVELS = 255
"""Grey levels of a label of 1, where errors are squared: with shares up to 1 far less is learnt."""
STRIDE = 32
"""Of the encoder's last features."""


class NSAEncoderDecoder(NetworkDetector):
    """ResNet-18 from scratch, without skips to a decoder of transposed convolutions; soft masks are the targets.

    Where the generator grades nothing, the targets are the masks.

    Note: the default is the same network of half the width, trained for fewer steps. The authors rotate objects and
    crop at random; here images are as the source delivers them. All of their training images hold an anomaly, those
    of the default as many as the recipe says, half. For X-rays, their network has one input channel for values as
    they are; here grey images are three equal channels, normalised as ImageNet's. Their image score is the mean of
    the map; here one rule turns every detector's maps into scores. They train 320 to 560 epochs of 200 to 390
    images, a different number for each category; the paper preset has the steps of 320 epochs of 256 images.
    """

    kind: ClassVar[str] = "nsa"
    widths: ClassVar[tuple[str, ...]] = ("width",)
    paper: ClassVar[str] = NSA.paper
    rate: ClassVar[float] = 0.55
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "paper": {"width": 64, "batch_size": 64, "steps": 1280, "anomaly_ratio": 1.0},
    }

    anomaly_ratio: Share | None = None
    """Share of the images that hold the recipe's anomalies; None: as the recipe says; the authors' 1."""
    width: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    """Channels of the encoder's first stage; 64 is ResNet-18."""
    loss: Literal["auto", "bce", "mse"] = "auto"
    """`bce`: sigmoid and binary cross-entropy. `mse`: ReLU and squared error of labels in grey levels, up to 255.
    `auto`, as the authors: `mse` for intensity labels, `bce` for the others."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Of Adam; falls on half a cosine."""

    _squared: bool = PrivateAttr(False)

    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """See `Detector.fit`."""
        self._squared = squared = self.loss == "mse" or (self.loss == "auto" and train.label == "intensity")
        with seeded(rng):
            network = EncoderDecoder(self.width)
            optimiser = torch.optim.Adam(network.parameters(), self.learning_rate)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps, LAST_RATE)

            def loss(batch: Batch, where: torch.device) -> torch.Tensor:
                outputs, wanted = network(tensor(batch.images, where)), targets(batch.soft_masks, where)
                if squared:
                    return F.mse_loss(outputs.relu(), LEVELS * wanted)
                return F.binary_cross_entropy_with_logits(outputs, wanted)

            batches = partial(batches_from, train, self, anomaly_ratio=self.anomaly_ratio)
            trained(network, self, train, loss, optimiser, schedule, batches)
        if squared:
            network.scale(1 / LEVELS)
        self._network = network

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Detector.arrays`."""
        return {**super().arrays(), SQUARED: np.array(self._squared)}

    def restore(self, arrays: Arrays) -> None:
        """See `Detector.restore`."""
        super().restore({name: values for name, values in arrays.items() if name != SQUARED})
        require_fitting({SQUARED: np.array(False)}, {SQUARED: arrays[SQUARED]})
        self._squared = bool(arrays[SQUARED])

    def built(self, arrays: Arrays) -> nn.Module:  # noqa: ARG002
        """See `NetworkDetector.built`."""
        return EncoderDecoder(self.width)

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the expected label of each pixel; see `NetworkDetector.maps`."""
        values: torch.Tensor = self.learnt(self._network)(images)
        return (values.relu() if self._squared else values.sigmoid())[:, 0]


class EncoderDecoder(nn.Module):
    """Images in [0, 1], (N, 3, H, W), to values before the last activation, (N, 1, H, W); sides of at least 16."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, width: int):
        super().__init__()
        w = width
        self.encode = nn.Sequential(
            nn.Conv2d(3, w, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(w),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            *(_Block(w, w), _Block(w, w)),
            *(_Block(w, 2 * w, stride=2), _Block(2 * w, 2 * w)),
            *(_Block(2 * w, 4 * w, stride=2), _Block(4 * w, 4 * w)),
            *(_Block(4 * w, 8 * w, stride=2), _Block(8 * w, 8 * w)),
        )
        self.squeeze = nn.Sequential(nn.Conv2d(8 * w, 4 * w, 1), nn.ReLU(), nn.Conv2d(4 * w, 2 * w, 1), nn.ReLU())
        self.decode = nn.Sequential(_Block(2 * w, w, grow=2), _Block(w, w // 2, grow=2), _Block(w // 2, w // 4, grow=2))
        self.end = nn.ConvTranspose2d(w // 4, 1, 7, stride=2, padding=3, output_padding=1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def scale(self, factor: float) -> None:
        """Multiply what is returned by a factor."""
        for values in self.end.parameters():
            values.data *= factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the values before the last activation."""
        x, inside = padded((x - self.mean) / self.std, STRIDE)
        small = self.decode(self.squeeze(self.encode(x)))
        values: torch.Tensor = self.end(F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=True))
        return values[inside]


class _Block(nn.Module):
    """ResNet's basic block; with `grow`, its first convolution and its skip are transposed."""

    def __init__(self, channels: int, width: int, *, stride: int = 1, grow: int = 1):
        super().__init__()
        self.first = nn.Sequential(_changing(channels, width, 3, stride, grow), nn.BatchNorm2d(width), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        same = channels == width and stride == grow == 1
        self.skip = (
            nn.Identity() if same else nn.Sequential(_changing(channels, width, 1, stride, grow), nn.BatchNorm2d(width))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(self.first(x)) + self.skip(x))


def _changing(channels: int, width: int, kernel: int, stride: int, grow: int) -> nn.Module:
    """Return the convolution that makes maps `stride` times smaller, or `grow` times larger."""
    pad = kernel // 2
    if grow == 1:
        return nn.Conv2d(channels, width, kernel, stride=stride, padding=pad, bias=False)
    return nn.ConvTranspose2d(channels, width, kernel, stride=grow, padding=pad, output_padding=grow - 1, bias=False)
