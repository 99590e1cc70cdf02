"""The networks of a Cycle-GAN in training, and their losses.

Two ResNet generators and two PatchGAN discriminators with least-squares losses; the discriminators see a buffer of
earlier translations, too (Zhu, Park, Isola, Efros, ICCV 2017, arXiv 1703.10593).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from anomgen.models.cyclegan.model import InstanceNorm, ResNetGenerator

BUFFER = 50
"""Earlier translations that a discriminator may see again."""


def build_discriminator(channels: int, width: int) -> nn.Sequential:
    """Return a PatchGAN: one score for each overlapping patch of 70×70 pixels of images (N, C, H, W)."""

    def layer(before: int, after: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 4, stride, 1), InstanceNorm(), nn.LeakyReLU(0.2, inplace=True)]

    return nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1),
        nn.LeakyReLU(0.2, inplace=True),
        *layer(width, 2 * width, 2),
        *layer(2 * width, 4 * width, 2),
        *layer(4 * width, 8 * width, 1),
        nn.Conv2d(8 * width, 1, 4, 1, 1),
    )


class Networks(NamedTuple):
    """Both translators, and what tells abnormal, or normal, images from translations."""

    to_abnormal: ResNetGenerator
    to_normal: ResNetGenerator
    is_abnormal: nn.Sequential
    is_normal: nn.Sequential


def build_networks(rng: np.random.Generator, channels: int, discriminator_width: int, **architecture: Any) -> Networks:
    """Return networks for images of `channels`, with new weights; architecture: see `ResNetGenerator`."""
    with torch.device("meta"):
        networks = Networks(
            ResNetGenerator(channels, **architecture),
            ResNetGenerator(channels, **architecture),
            build_discriminator(channels, discriminator_width),
            build_discriminator(channels, discriminator_width),
        )
    initialise(networks, rng)
    return networks


def initialise(networks: Sequence[nn.Module], rng: np.random.Generator) -> None:
    """Draw all weights from N(0, 0.02), as the paper does, and set all biases to 0; they may have no memory yet."""
    for network in networks:
        for parameter in network.to_empty(device="cpu").parameters():
            values = rng.normal(0, 0.02, parameter.shape) if parameter.ndim > 1 else np.zeros(parameter.shape)
            parameter.data.copy_(torch.from_numpy(values))


class Buffer:
    """Earlier translations: a new one goes in, and, half of the time, an old one comes out instead of it."""

    def __init__(self) -> None:
        self.images: list[torch.Tensor] = []

    def exchange(self, image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Return the image (C, H, W), or the old one whose place it takes."""
        if len(self.images) < BUFFER:
            self.images.append(image)
            return image
        if rng.random() < 0.5:
            return image
        place = int(rng.integers(BUFFER))
        old, self.images[place] = self.images[place], image
        return old


def generator_losses(
    networks: Networks, normal: torch.Tensor, abnormal: torch.Tensor
) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """Return the terms `generators`, `cycle` and `identity`, and what became of the images.

    normal, abnormal: (N, C, H, W) in [−1, 1].
    """
    there, back = networks.to_abnormal, networks.to_normal
    as_abnormal, as_normal = there(normal), back(abnormal)
    terms = {
        "generators": _squares(networks.is_abnormal(as_abnormal), 1) + _squares(networks.is_normal(as_normal), 1),
        "cycle": _error(back(as_abnormal), normal) + _error(there(as_normal), abnormal),
        "identity": _error(back(normal), normal) + _error(there(abnormal), abnormal),
    }
    return terms, as_abnormal, as_normal


def discriminator_loss(
    networks: Networks,
    normal: torch.Tensor,
    abnormal: torch.Tensor,
    as_normal: torch.Tensor,
    as_abnormal: torch.Tensor,
) -> torch.Tensor:
    """Return the discriminators' loss, halved, on real images and on translations of the other ones."""
    seen = _squares(networks.is_abnormal(abnormal), 1) + _squares(networks.is_abnormal(as_abnormal), 0)
    seen = seen + _squares(networks.is_normal(normal), 1) + _squares(networks.is_normal(as_normal), 0)
    return seen / 2


def share_of_rate(steps: int, number: int) -> float:
    """Return the share of the first learning rate that step `number` of `steps` has: 1, then falling to 0."""
    return min(1.0, (steps - number) / (0.9 * steps))


def _squares(scores: torch.Tensor, target: float) -> torch.Tensor:
    return ((scores.float() - target) ** 2).mean()


def _error(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (image.float() - target).abs().mean()
