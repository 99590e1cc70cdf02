"""CutPaste's detector: a classifier of normal and anomalous windows, then a Gaussian over normal embeddings.

Li, Sohn, Yoon, Pfister: CutPaste: Self-supervised learning for anomaly detection and localization, CVPR 2021, arXiv
2104.04015; the density as in Sohn, Li, Yoon, Jin, Pfister, ICLR 2021, arXiv 2011.02578. Localisation is that of the
paper's patch model: windows are scored one by one, and a Gaussian spreads each score over the map.

Note: the paper pastes into each window; here windows are cut from the recipe's images, of which a patch then fills .44
instead of .085 (.08 where `area_range` is a sixteenth as large), a scar as much as the paper's. A window counts as
anomalous when the rim of an anomaly is in its central half, and the same window of the image's normal is its
counterpart. Classes are the normal one and the recipe's defect types, all of them, so a recipe of two types is
classified in three ways. A step of `paper` and `paper-image` has 32 windows of each class, 64 of the recipe `cutpaste`
and 96 of `cutpaste-3way`, as in the paper; these 96 come from 64 images, since a row has one anomaly, where the paper
makes three of each of 32. The paper also shifts the whole image at random, which `image` and `paper-image` leave out;
windows of the others lie anywhere. Windows vary in brightness and contrast, by 8.7 grey levels of 255 on coffee leaves,
not in hue and saturation, with which it would be 10.3 (docs/reference/methods.md). The density's covariance is shrunk
as Ledoit and Wolf do. The default preset's network has half the width and learns by Adam, because the paper's SGD has
hardly begun to tell pasted from untouched after some hundred steps. The paper's maps of its image model, by GradCAM,
are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PrivateAttr
from torch import nn

from anomgen.config import Share
from anomgen.generators.cutpaste import CutPaste
from anomgen.models.described import require_fitting
from anomgen.score.detectors.base import Batch, Training
from anomgen.score.detectors.networks import Arrays, NetworkDetector, batches_from, in_parts, seeded, tensor, trained

SPREAD = 10 / 32
"""Deviation of the Gaussian that spreads a window's score, a share of the window."""
EMBEDDED = 10
"""Windows of each normal training image that the Gaussian is fitted to."""
AT_ONCE = 256
"""Windows that go through the network together."""
NORMAL = "normal"
MEAN, PRECISION, LAST = "density.mean", "density.precision", "head.6.weight"
"""Names of arrays: of the density, and of the layer with a row for each class."""
PAPER = {
    "steps": 65_536,
    "batch_size": 32,
    "windows": 1,
    "balanced": True,
    "width": 64,
    "optimiser": "sgd",
    "learning_rate": 0.03,
}
"""What both of the paper's models have: 256 epochs of 256 updates, each on 32 windows of every class: 64 where there is
one defect type, 96 in three ways; ResNet-18 as it was published."""


class CutPasteGDE(NetworkDetector):
    """ResNet-18 from scratch on windows, Gaussian density estimate of its embeddings of normal windows."""

    kind: ClassVar[str] = "cutpaste"
    widths: ClassVar[tuple[str, ...]] = ("width",)
    paper: ClassVar[str] = CutPaste.paper
    rate: ClassVar[float] = 0.65
    """Per million pixels of windows, for a network of width 32."""
    footprint: ClassVar[float] = 1000.0
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "image": {"steps": 250, "window": 1.0, "windows": 1},
        "paper": {**PAPER, "spacing": 1 / 16},
        "paper-image": {**PAPER, "window": 1.0},
    }
    """`paper`: the paper's patch model, which localises. `paper-image`: its image model, behind its headline, with
    `image` as a small version; these have one score for the whole image, and a constant map."""

    steps: Annotated[int, Field(ge=1)] = 600
    """Optimiser steps."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """Weight decay is 3e-5; SGD has momentum 0.9."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Falls to 0 on half a cosine."""
    window: Annotated[Share, Field(gt=0)] = 0.25
    """Sides of a window, a share of the image's; the paper's 64 of 256 pixels."""
    windows: Annotated[int, Field(ge=1)] = 4
    """Windows cut from each training image, and from the normal of each anomalous one."""
    balanced: bool = False
    """Show as many normal windows as anomalous ones of each type, whatever share of the recipe's images is normal; then
    `batch_size` counts the images of each class."""
    spacing: Annotated[Share, Field(gt=0)] = 0.25
    """Distance between the windows that are scored, a share of the window's sides."""
    width: Annotated[int, Field(ge=1)] = 32
    """Channels of the network's first stage; embeddings have eight times as many. 64 in the paper."""

    _density: Any = PrivateAttr(None)

    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """See `Detector.fit`."""
        classes = (NORMAL, *train.defect_types)
        with seeded(rng):
            network = Classifier(self.width, len(classes))
            optimiser = self._optimiser(network)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)

            def loss(batch: Batch, where: torch.device) -> torch.Tensor:
                cut, labels = self._training_windows(batch, classes, rng)
                logits = network(varied(tensor(cut, where), rng))
                return F.cross_entropy(logits, torch.from_numpy(labels).to(where))

            trained(network, self, train, loss, optimiser, schedule, self._batches(train), rng)
        self._network = network
        self._density = Density.of(np.concatenate(list(self._normal_embeddings(train, rng))))

    def _optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        if self.optimiser == "sgd":
            return torch.optim.SGD(network.parameters(), self.learning_rate, momentum=0.9, weight_decay=3e-5)
        return torch.optim.AdamW(network.parameters(), self.learning_rate, weight_decay=3e-5)

    def _batches(self, train: Training) -> Callable[[int], Iterator[Batch]]:
        """Return what is trained on from a step on; balanced, anomalous images alone, whose normals are shown, too."""
        if self.balanced:
            return partial(batches_from, train, self, anomaly_ratio=1.0, times=len(train.defect_types))
        return partial(batches_from, train, self)

    def _training_windows(
        self, batch: Batch, classes: Sequence[str], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return windows (N, h, w, C) and their classes, int64 (N,)."""
        found, labels = [], []
        size = self._size(batch.images.shape[1:3])
        types = len(classes) - 1 if self.balanced else 1  # then one of so many anomalous images shows its normal, too
        rows = zip(batch.images, batch.normals, batch.masks, batch.defect_types, strict=True)
        for number, (image, normal, mask, name) in enumerate(rows):
            for _ in range(self.windows):
                place = around(mask, size, rng) if name != NORMAL else anywhere(mask.shape, size, rng)
                found.append(image[place])
                labels.append(classes.index(name))
                if name != NORMAL and number % types == 0:
                    found.append(normal[place])
                    labels.append(0)
        return np.stack(found), np.array(labels)

    def _normal_embeddings(self, train: Training, rng: np.random.Generator) -> Iterator[np.ndarray]:
        count = EMBEDDED if self.window < 1 else 1
        per_part = max(1, AT_ONCE // count)
        for start in range(0, len(train.normals), per_part):
            images = [train.normals[k] for k in range(start, min(start + per_part, len(train.normals)))]
            size = self._size(images[0].shape)
            cut = [image[anywhere(image.shape, size, rng)] for image in images for _ in range(count)]
            yield self._embedded(np.stack(cut))

    def _embedded(self, windows: np.ndarray) -> np.ndarray:
        return in_parts(windows, self._network.embed, AT_ONCE if self.window < 1 else 16)

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Detector.arrays`."""
        density = self.learnt(self._density)
        return {**super().arrays(), MEAN: density.mean, PRECISION: density.precision}

    def restore(self, arrays: Arrays) -> None:
        """See `Detector.restore`."""
        super().restore({name: values for name, values in arrays.items() if name not in (MEAN, PRECISION)})
        features = 8 * self.width
        shapes = {MEAN: (features,), PRECISION: (features, features)}
        density = {name: torch.empty(shape, dtype=torch.float64, device="meta") for name, shape in shapes.items()}
        require_fitting(density, {name: arrays[name] for name in shapes})
        self._density = Density(arrays[MEAN], arrays[PRECISION])

    def built(self, arrays: Arrays) -> nn.Module:
        """See `NetworkDetector.built`."""
        return Classifier(self.width, arrays[LAST].shape[0])

    def anomaly_maps(self, images: np.ndarray) -> np.ndarray:
        """See `Detector.anomaly_maps`; the unit is a Mahalanobis distance."""
        density = self.learnt(self._density)
        size = self._size(images.shape[1:3])
        rows, columns = (starts(whole, part, self.spacing) for whole, part in zip(images.shape[1:3], size, strict=True))
        maps = np.empty(images.shape[:3], np.float32)
        for image, values in zip(images, maps, strict=True):
            cut = [image[y : y + size[0], x : x + size[1]] for y in rows for x in columns]
            scores = density.distances(self._embedded(np.stack(cut))).reshape(len(rows), len(columns))
            values[:] = spread(scores, rows, columns, size, image.shape[:2])
        return maps

    def _size(self, shape: Sequence[int]) -> tuple[int, int]:
        """Return height and width of the windows of images (H, W, …)."""
        return max(1, round(self.window * shape[0])), max(1, round(self.window * shape[1]))

    def cost(self, shape: tuple[int, int], normals: int) -> float:
        """See `Detector.cost`."""
        h, w = self._size(shape)
        each = 3 if self.balanced else 1.5  # three classes; or half of the images come with their normals
        learnt = self.steps * self.batch_size * self.windows * each
        embedded = normals * EMBEDDED / 4  # without gradients
        return (learnt + embedded) * h * w / 1e6 * self.rate * self.growth


# --- windows --------------------------------------------------------------------------------------------------------

Place = tuple[slice, slice]


def anywhere(shape: Sequence[int], size: tuple[int, int], rng: np.random.Generator) -> Place:
    """Return a window of height and width `size`, drawn uniformly among those inside an image (H, W, …)."""
    y, x = (int(rng.integers(whole - part + 1)) for whole, part in zip(shape[:2], size, strict=True))
    return slice(y, y + size[0]), slice(x, x + size[1])


def around(mask: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> Place:
    """Return a window that has a random pixel of the mask's rim in its central half, as far as the border allows.

    mask: bool (H, W). The rim, because a window inside a pasted patch of normal material looks normal.
    """
    inner = cv2.erode(mask.view(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    pixels = np.argwhere(mask & (inner == 0))
    pixel = pixels[int(rng.integers(len(pixels)))]
    start = []
    for at, whole, part in zip(pixel, mask.shape, size, strict=True):
        offset = int(rng.integers(part // 4, part - part // 4))
        start.append(min(max(int(at) - offset, 0), whole - part))
    return slice(start[0], start[0] + size[0]), slice(start[1], start[1] + size[1])


def starts(whole: int, part: int, spacing: float) -> np.ndarray:
    """Return where windows of `part` pixels begin: evenly from end to end, at most `spacing` of a window apart."""
    count = -(-(whole - part) // max(1, int(spacing * part))) + 1
    return np.rint(np.linspace(0, whole - part, count)).astype(int)


def spread(
    scores: np.ndarray, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Return the mean of the windows' scores at each pixel, weighted by a Gaussian around the windows' centres.

    scores: (len(rows), len(columns)), of windows of `size` that begin there. Returns float32 (H, W) of `shape`.
    """
    at = np.ix_(rows + size[0] // 2, columns + size[1] // 2)
    sums, weights = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    sums[at], weights[at] = scores, 1
    blurred = [
        cv2.GaussianBlur(
            values, (0, 0), sigmaX=SPREAD * size[1], sigmaY=SPREAD * size[0], borderType=cv2.BORDER_CONSTANT
        )
        for values in (sums, weights)
    ]
    return blurred[0] / blurred[1]


def varied(windows: torch.Tensor, rng: np.random.Generator, by: float = 0.1) -> torch.Tensor:
    """Return windows (N, 3, h, w) in [0, 1], each with another brightness and contrast, changed by up to `by`."""
    brightness, contrast = (
        torch.from_numpy(rng.uniform(1 - by, 1 + by, (2, len(windows), 1, 1, 1)).astype(np.float32))
        .to(windows.device)
        .unbind()
    )
    bright = windows * brightness
    mean = bright.mean((1, 2, 3), keepdim=True)
    return ((bright - mean) * contrast + mean).clamp(0, 1)


# --- the density ----------------------------------------------------------------------------------------------------


class Density:
    """One Gaussian with a full covariance. mean: (D,). precision: (D, D), the covariance's inverse."""

    def __init__(self, mean: np.ndarray, precision: np.ndarray):
        self.mean, self.precision = mean, precision

    @classmethod
    def of(cls, points: np.ndarray) -> Density:
        """Return the Gaussian of points (N, D), the covariance shrunk as Ledoit and Wolf do."""
        from sklearn.covariance import LedoitWolf

        fitted = LedoitWolf().fit(points.astype(np.float64))
        return cls(fitted.location_, fitted.precision_)

    def distances(self, points: np.ndarray) -> np.ndarray:
        """Return the Mahalanobis distances, float32 (N,), of points (N, D)."""
        off = points.astype(np.float64) - self.mean
        result: np.ndarray = np.sqrt(np.maximum(np.einsum("nd,nd->n", off @ self.precision, off), 0)).astype(np.float32)
        return result


# --- the network ----------------------------------------------------------------------------------------------------


class Classifier(nn.Module):
    """ResNet-18 (He, Zhang, Ren, Sun, CVPR 2016, arXiv 1512.03385) of any width, and a head of two hidden layers."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        stages = [
            layer
            for number, (before, after) in enumerate(pairwise(widths))
            for layer in (_Block(before, after, 2 if number else 1), _Block(after, after, 1))
        ]
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
            *stages,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Sequential(*_dense(8 * width, 8 * width), *_dense(8 * width, 128), nn.Linear(128, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes) of images (N, 3, H, W) in [0, 1]."""
        logits: torch.Tensor = self.head(self.layers(2 * x - 1))
        return logits

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features before the head, each image's of length 1: (N, 8 · width)."""
        return F.normalize(self.layers(2 * x - 1))


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        alike = before == after and stride == 1
        self.skip = (
            nn.Identity()
            if alike
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.layers(x) + self.skip(x))


def _dense(before: int, after: int) -> list[nn.Module]:
    return [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
