"""DRAEM: a network that repaints an image without its anomaly, and one that sees the difference.

Zavrtanik, Kristan and Skočaj, "DRAEM - A discriminatively trained reconstruction embedding for surface anomaly
detection", ICCV 2021, arXiv 2108.07610.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from anomgen.generators.perlin import Perlin
from anomgen.score.detectors.base import Batch, Training
from anomgen.score.detectors.networks import Arrays, NetworkDetector, padded, seeded, targets, tensor, trained

STRIDE = 32
"""Both sides of what the networks see are multiples of it; other images are padded by reflection."""
WINDOW, SIGMA = 11, 1.5
"""Of the structural similarity, in pixels."""
GAMMA = 2
"""How strongly the focal loss turns away from pixels that are already right."""


class DRAEM(NetworkDetector):
    """Reconstruct the normal image, then segment from image and reconstruction.

    Note: the paper decays the learning rate by 0.1 after 400 and 600 of 700 epochs, its code by 0.2 after 560 and
    630; this follows the code. The dynamic range of the structural similarity is always 1, and no rotated normal
    images are shown: augmenting belongs to the recipe. The image score is one for all detectors, the highest mean of a
    window 1/16 of the side wide, 16 of 256 pixels; the paper's window has 21, which on paper_a gives an image AUROC of
    .964 instead of .975. The default is a sixteenth as wide in its first part: in the time of one core, many small
    steps of narrow networks teach more than few of wide ones, at a learning rate of 5e-3 instead of 1e-4
    (docs/reference/methods.md has what all this comes to).
    """

    kind: ClassVar[str] = "draem"
    widths: ClassVar[tuple[str, ...]] = ("width",)
    paper: ClassVar[str] = Perlin.paper
    rate: ClassVar[float] = 2.1
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "paper": {
            "width": 128,
            "segmentation_width": 64,
            "learning_rate": 1e-4,
            "batch_size": 8,
            "steps": 21_000,
        },
    }
    """`paper`: 700 epochs of 240 images, about what a category of MVTec AD has."""

    batch_size: Annotated[int, Field(ge=2)] = 4
    """Images of one optimiser step; 2 or more."""
    steps: Annotated[int, Field(ge=1)] = 400
    """Optimiser steps."""
    width: Annotated[int, Field(ge=1)] = 8
    """Channels of the reconstructive network's first level; the deeper levels have up to eight times as many."""
    segmentation_width: Annotated[int, Field(ge=1)] = 8
    """The same of the discriminative network."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    """Of Adam, before it falls."""

    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """Train both networks together on pairs of an anomalous image and the normal one that it was made from."""
        with seeded(rng):
            network = DRAEMNetwork(self.width, self.segmentation_width)
            optimiser = torch.optim.Adam(network.parameters(), self.learning_rate)
            milestones = [int(0.8 * self.steps), int(0.9 * self.steps)]
            schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones, gamma=0.2)
            trained(network, self, train, lambda batch, where: _loss(network, batch, where), optimiser, schedule)
        self._network = network

    def built(self, arrays: Arrays) -> nn.Module:  # noqa: ARG002
        """See `NetworkDetector.built`."""
        return DRAEMNetwork(self.width, self.segmentation_width)

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the probability of an anomaly of each pixel; see `NetworkDetector.maps`."""
        logits: torch.Tensor = self.learnt(self._network)(images)[1]
        return logits.softmax(1)[:, 1]


def _loss(network: DRAEMNetwork, batch: Batch, where: torch.device) -> torch.Tensor:
    normal = tensor(batch.normals, where)
    repainted, logits = network(tensor(batch.images, where))
    unlike = 1 - ssim(repainted, normal).mean()
    return F.mse_loss(repainted, normal) + unlike + focal_loss(logits, targets(batch.masks, where))


def focal_loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of -(1 - p)^2 log p, p the probability of each pixel's own class (Lin et al., ICCV 2017).

    logits: (N, 2, H, W), normal and anomalous. mask: (N, 1, H, W), 0 or 1.

    Note: the original keeps p off 0 and 1 by 1e-5; a logarithm of the softmax needs no such help.
    """
    log_p = logits.log_softmax(1).gather(1, mask.long())
    return (-((1 - log_p.exp()) ** GAMMA) * log_p).mean()


def ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the map of the structural similarity, (N, C, H, W), of two images in [0, 1] (Wang et al., 2004).

    Gaussian window of 11 pixels, σ 1.5; zeros beyond the border, as in DRAEM.
    """
    channels = a.shape[1]
    moments = _blurred(torch.cat((a, b, a * a, b * b, a * b), 1))
    mean_a, mean_b, aa, bb, ab = moments.split(channels, 1)
    c1, c2 = 0.01**2, 0.03**2
    covariance = ab - mean_a * mean_b
    variances = (aa - mean_a**2) + (bb - mean_b**2)
    result: torch.Tensor = (
        (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))
    )
    return result


def _blurred(x: torch.Tensor) -> torch.Tensor:
    """Weigh rows and columns by products with banded matrices, much faster on CPUs than a convolution by planes."""
    down, across = (_bands(side, x) for side in x.shape[-2:])
    return down @ x.contiguous() @ across


def _bands(side: int, like: torch.Tensor) -> torch.Tensor:
    places = torch.arange(side, device=like.device, dtype=like.dtype)
    distances = places[:, None] - places[None]
    total = torch.exp(-((torch.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2)).sum().item()
    return torch.exp(-(distances**2) / (2 * SIGMA**2)) * (distances.abs() <= WINDOW // 2) / total


# --- the networks -----------------------------------------------------------------------------------------------------


class DRAEMNetwork(nn.Module):
    """Both networks; images of any size in [0, 1], (N, 3, H, W), give a repainted image and logits (N, 2, H, W)."""

    def __init__(self, width: int, segmentation_width: int):
        super().__init__()
        self.repaint = Reconstructive(width)
        self.segment = Discriminative(segmentation_width)
        self.apply(_initialised)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the image without its anomaly, and the logits of normal and anomalous."""
        x, inside = padded(x, STRIDE)
        repainted = self.repaint(x)
        logits = self.segment(torch.cat((repainted, x), 1))
        return repainted[inside], logits[inside]


class Reconstructive(nn.Module):
    """Five levels down and up without skips, so that an anomaly does not get through."""

    def __init__(self, width: int):
        super().__init__()
        w = width
        self.down = _levels(3, (w, 2 * w, 4 * w, 8 * w, 8 * w))
        self.up = nn.Sequential(
            *(_rise(c) for c in ((8 * w, 8 * w, 4 * w), (4 * w, 4 * w, 2 * w), (2 * w, 2 * w, w), (w, w, w)))
        )
        self.out = nn.Conv2d(w, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the repainted images, (N, 3, H, W)."""
        for number, level in enumerate(self.down):
            x = level(F.max_pool2d(x, 2) if number else x)
        result: torch.Tensor = self.out(self.up(x))
        return result


class Discriminative(nn.Module):
    """A U-Net of six levels on image and reconstruction."""

    def __init__(self, width: int):
        super().__init__()
        widths = [width * k for k in (1, 2, 4, 8, 8, 8)]
        self.down = _levels(6, widths)
        self.rise = nn.ModuleList()
        self.join = nn.ModuleList()
        deep = widths[-1]
        for number, skip in enumerate(reversed(widths[:-1])):
            narrow = deep if number == 0 else widths[max(0, 3 - number)]
            self.rise.append(nn.Sequential(_upsample(), _convolution(deep, narrow)))
            self.join.append(nn.Sequential(_convolution(narrow + skip, narrow), _convolution(narrow, narrow)))
            deep = narrow
        self.out = nn.Conv2d(deep, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, (N, 2, H, W)."""
        skips: list[torch.Tensor] = []
        for number, level in enumerate(self.down):
            x = level(F.max_pool2d(x, 2) if number else x)
            skips.append(x)
        for rise, join, skip in zip(self.rise, self.join, reversed(skips[:-1]), strict=True):
            x = join(torch.cat((rise(x), skip), 1))
        result: torch.Tensor = self.out(x)
        return result


def _levels(channels: int, widths: Sequence[int]) -> nn.ModuleList:
    inputs = (channels, *widths[:-1])
    pairs = zip(inputs, widths, strict=True)
    return nn.ModuleList(nn.Sequential(_convolution(before, w), _convolution(w, w)) for before, w in pairs)


def _rise(widths: tuple[int, int, int]) -> nn.Sequential:
    above, middle, below = widths
    return nn.Sequential(
        _upsample(), _convolution(above, above), _convolution(above, middle), _convolution(middle, below)
    )


def _upsample() -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _initialised(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0, 0.02)
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)
