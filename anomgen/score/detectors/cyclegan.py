"""Cycle-GAN's detector: translate the image to a normal one; what the translation changes is anomalous.

Bougaham, Delchevalerie, El Adoui, Frénay: Industrial and medical anomaly detection through cycle-consistent adversarial
networks, Neurocomputing 614:128762, 2025, arXiv 2302.05154, after Zhu, Park, Isola, Efros, ICCV 2017, arXiv 1703.10593.

Note: the paper trains on real anomalies, here the recipe's stand in for them; they are paired with normal images at
random, as in the paper, but none is mirrored or turned. The squared difference is smoothed a little, and the highest
mean of a window is the image's score, as of every detector; the paper's is the sum (``--score sum``), to which small
changes of the whole image add up: by it image AUROC on paper_a is .66 instead of .99 (docs/reference/claims.md). The
default preset shows a six-hundredth of the paper's images to networks of a few channels: it finds what stands out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from pydantic import Field

from anomgen.errors import UsageError
from anomgen.generators.cyclegan import CycleGAN
from anomgen.models.cyclegan.model import SMALLEST, ResNetGenerator
from anomgen.models.cyclegan.networks import (
    Buffer,
    Networks,
    build_networks,
    discriminator_loss,
    generator_losses,
    share_of_rate,
)
from anomgen.models.cyclegan.training import SMOOTHING
from anomgen.models.training import require_finite
from anomgen.score.checkpoint import State, going_on
from anomgen.score.detectors.base import Training
from anomgen.score.detectors.networks import Arrays, NetworkDetector, batches_from, in_parts, tensor


class CycleGANDetector(NetworkDetector):
    """Two translators, normal ↔ abnormal, and their discriminators; the one to normal is the detector."""

    kind: ClassVar[str] = "cyclegan"
    needs_masks: ClassVar[bool] = False
    widths: ClassVar[tuple[str, ...]] = ("width",)
    paper: ClassVar[str] = CycleGAN.paper
    rate: ClassVar[float] = 14.5
    """For the default width and blocks."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "paper": {
            "steps": 20_000,
            "batch_size": 16,
            "learning_rate": 2e-4,
            "width": 64,
            "blocks": 9,
            "discriminator_width": 64,
            "residual": False,
            "upsampling": "transposed",
        },
    }

    steps: Annotated[int, Field(ge=1)] = 500
    """Optimiser steps of the translators, and as many of the discriminators."""
    batch_size: Annotated[int, Field(ge=1)] = 1
    """Pairs of a normal and an abnormal image."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Of Adam with β = (0.5, 0.999); constant for the first 10 % of the steps, then falling to 0 on a line."""
    cycle: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the mean absolute error after a translation there and back."""
    identity: Annotated[float, Field(ge=0)] = 5.0
    """Weight of the mean absolute change of an image that is of the target class already."""
    width: Annotated[int, Field(ge=4, le=256)] = 16
    """Features of a translator at full resolution."""
    blocks: Annotated[int, Field(ge=1, le=16)] = 2
    """Residual blocks of a translator."""
    discriminator_width: Annotated[int, Field(ge=4, le=256)] = 16
    """Features of a discriminator's first layer."""
    residual: bool = False
    """Whether a translator's output is added to the image. Then some hundred steps teach it to change nothing."""
    upsampling: Literal["nearest", "transposed"] = "nearest"
    """How a translator doubles its resolution: nearest neighbours and a convolution, or the paper's transposed one."""

    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """See `Detector.fit`. Raises UsageError for images that are too small for the networks."""
        h, w = train.normals[0].shape[:2]
        if min(h, w) < SMALLEST:
            raise UsageError(f"detector cyclegan: images of {h}×{w} pixels are too small, {SMALLEST} is the least")
        accelerator = Accelerator()
        architecture = {key: getattr(self, key) for key in ("width", "blocks", "residual", "upsampling")}
        networks = build_networks(rng, 3, self.discriminator_width, **architecture)
        for network in networks:
            network.to(accelerator.device)
        step = _Step(self, networks, accelerator, rng)
        first, told = going_on(train, step.state())
        for number, (normal, abnormal) in enumerate(self._pairs(train, accelerator.device, rng, first), first):
            require_finite(number, step(number, normal, abnormal))
            told(number + 1, self.steps)
        self._network = networks.to_normal.eval()

    def _pairs(
        self, train: Training, where: torch.device, rng: np.random.Generator, first: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield normal and abnormal images (N, 3, H, W) in [−1, 1], not of one pair, from step `first` on."""
        for batch in batches_from(train, self, first, anomaly_ratio=1.0):
            drawn = np.stack([train.normals[int(k)] for k in rng.integers(len(train.normals), size=len(batch))])
            yield 2 * tensor(drawn, where) - 1, 2 * tensor(batch.images, where) - 1

    def built(self, arrays: Arrays) -> torch.nn.Module:  # noqa: ARG002
        """See `NetworkDetector.built`."""
        return ResNetGenerator(3, self.width, self.blocks, self.residual, self.upsampling)

    def anomaly_maps(self, images: np.ndarray) -> np.ndarray:
        """See `Detector.anomaly_maps`: squared change, a share of the value range, summed over three channels."""
        to_normal = self.learnt(self._network)

        def run(part: torch.Tensor) -> torch.Tensor:
            changed: torch.Tensor = (to_normal(2 * part - 1) + 1) / 2 - part
            return (changed**2).sum(1)

        sigma = max(SMOOTHING * min(images.shape[1:3]), 0.3)
        return np.stack([cv2.GaussianBlur(values, (0, 0), sigma) for values in in_parts(images, run)])

    def cost(self, shape: tuple[int, int], normals: int) -> float:
        """See `Detector.cost`."""
        return super().cost(shape, normals) * (2 + self.blocks) / 4


class _Step:
    """One step of the translators, then one of the discriminators."""

    def __init__(
        self, detector: CycleGANDetector, networks: Networks, accelerator: Accelerator, rng: np.random.Generator
    ):
        self.detector, self.networks, self.accelerator, self.rng = detector, networks, accelerator, rng
        self.translators = self._optimiser(networks.to_abnormal, networks.to_normal)
        self.discriminators = self._optimiser(networks.is_abnormal, networks.is_normal)
        self.abnormal, self.normal = Buffer(), Buffer()

    def state(self) -> State:
        """Return all that the steps change."""
        optimisers = {"translators": self.translators.optimizer, "discriminators": self.discriminators.optimizer}
        buffers = {"abnormal": self.abnormal.images, "normal": self.normal.images}
        return State(self.networks._asdict(), optimisers, self.rng, buffers)

    def _optimiser(self, *networks: torch.nn.Module) -> Any:
        parameters = [parameter for network in networks for parameter in network.parameters()]
        optimiser = torch.optim.Adam(parameters, self.detector.learning_rate, betas=(0.5, 0.999))
        return self.accelerator.prepare(optimiser)

    def __call__(self, number: int, normal: torch.Tensor, abnormal: torch.Tensor) -> dict[str, float]:
        """Learn from images (N, 3, H, W) in [−1, 1]; return the losses."""
        self._learnable(False)
        terms, as_abnormal, as_normal = generator_losses(self.networks, normal, abnormal)
        total = terms["generators"] + self.detector.cycle * terms["cycle"] + self.detector.identity * terms["identity"]
        self._update(self.translators, number, total)
        self._learnable(True)
        earlier = self._earlier(self.normal, as_normal), self._earlier(self.abnormal, as_abnormal)
        told = discriminator_loss(self.networks, normal, abnormal, *earlier)
        self._update(self.discriminators, number, told)
        return {name: float(term.detach()) for name, term in {**terms, "discriminators": told}.items()}

    def _learnable(self, value: bool) -> None:
        """Let the discriminators be learnt, or not."""
        for network in (self.networks.is_abnormal, self.networks.is_normal):
            network.requires_grad_(value)

    def _earlier(self, buffer: Buffer, made: torch.Tensor) -> torch.Tensor:
        return torch.stack([buffer.exchange(image, self.rng) for image in made.detach()])

    def _update(self, optimiser: Any, number: int, loss: torch.Tensor) -> None:
        for group in optimiser.param_groups:
            group["lr"] = self.detector.learning_rate * share_of_rate(self.detector.steps, number)
        optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        optimiser.step()
