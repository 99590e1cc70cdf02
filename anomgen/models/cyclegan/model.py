"""A trained Cycle-GAN on disk and in use: the two translators, normal → abnormal and abnormal → normal.

Zhu, Park, Isola, Efros: Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017,
arXiv 1703.10593; the generators are those of Johnson, Alahi, Fei-Fei, ECCV 2016, arXiv 1603.08155.

A model folder holds ``generators/*.safetensors``, ``README.md`` and, written last, ``anomgen_model.json``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field, model_validator
from torch import nn

from anomgen.config import Config
from anomgen.errors import UsageError
from anomgen.models.described import DESCRIPTION, load_network, read_description
from anomgen.models.images import WAYS, Augment, scaled, turned, turned_back
from anomgen.models.use import model_folder, threads_for
from anomgen.sources.base import MAX_SIDE, Side
from anomgen.sources.pixels import require_finite
from anomgen.sources.scan import files_fingerprint

TO_ABNORMAL, TO_NORMAL = "generators/normal_to_abnormal.safetensors", "generators/abnormal_to_normal.safetensors"
FILES = (DESCRIPTION, TO_ABNORMAL, TO_NORMAL)
SMALLEST = 24
"""Shortest side, in pixels, that the networks can see."""


# --- the network ----------------------------------------------------------------------------------------------------


class InstanceNorm(nn.Module):
    """Each channel of each image to mean 0 and deviation 1: torch's instance norm, by its faster group norm."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (N, C, H, W)."""
        return F.group_norm(x, x.shape[1])


class _Block(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = x + self.layers(x)
        return result


class ResNetGenerator(nn.Module):
    """7×7 convolution, two halvings, residual blocks, two doublings, 7×7 convolution, tanh.

    channels: of the image. width: features at full resolution, four times as many in the blocks. residual: the
    network's output is the change that is added to the image, instead of the image; small networks then learn an
    anomaly without having to learn the normal image first. upsampling: `transposed` convolutions as in the paper, or
    `nearest` neighbours and a convolution, which leaves no chequered pattern (Odena, Dumoulin, Olah, Distill 2016).
    """

    def __init__(self, channels: int, width: int, blocks: int, residual: bool, upsampling: str):
        super().__init__()
        self.residual = residual
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels, width, 7),
            InstanceNorm(),
            nn.ReLU(inplace=True),
            *_half(width),
            *_half(2 * width),
            *(_Block(4 * width) for _ in range(blocks)),
            *_double(4 * width, upsampling),
            *_double(2 * width, upsampling),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, channels, 7),
            nn.Tanh(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Translate images (N, C, H, W) in [−1, 1]; a residual network's output may leave that range."""
        h, w = x.shape[2:]
        padded = F.pad(x, (0, -w % 4, 0, -h % 4), mode="reflect")
        output: torch.Tensor = self.layers(padded)[:, :, :h, :w]
        return x + output if self.residual else output


def _half(width: int) -> list[nn.Module]:
    return [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), InstanceNorm(), nn.ReLU(inplace=True)]


def _double(width: int, upsampling: str) -> list[nn.Module]:
    up: list[nn.Module]
    if upsampling == "transposed":
        up = [nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1)]
    else:
        up = [nn.Upsample(scale_factor=2), nn.Conv2d(width, width // 2, 3, padding=1, padding_mode="reflect")]
    return [*up, InstanceNorm(), nn.ReLU(inplace=True)]


# --- orientations ---------------------------------------------------------------------------------------------------


# --- in use ---------------------------------------------------------------------------------------------------------


class CycleGANDescription(Config):
    """What ``anomgen_model.json`` says. shape: (H, W, C) of the images that the model was trained on."""

    model_config = ConfigDict(extra="ignore")  # what is known about the training stands beside it

    kind: Literal["cyclegan"] = "cyclegan"
    """Which model the folder holds."""
    shape: tuple[Side, Side, Annotated[int, Field(ge=1, le=4)]]
    """Height, width and channels of the images that the model was trained on."""
    resolution: Annotated[int, Field(ge=SMALLEST, le=MAX_SIDE)] | None
    """Longest side, in pixels, that the networks see; null for all of the image."""
    augment: Augment
    """Mirrorings and quarter turns that were part of the training."""
    width: Annotated[int, Field(ge=1, le=1024)]
    """Features of a generator at full resolution."""
    blocks: Annotated[int, Field(ge=0, le=64)]
    """Residual blocks of a generator."""
    residual: bool
    """Whether a generator's output is added to the image."""
    upsampling: Literal["nearest", "transposed"]
    """How a generator doubles its resolution."""
    threshold: Annotated[float, Field(ge=0, le=1)]
    """Change, a share of the value range, that is not seen in the identity residuals of held-out normal images."""

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        if min(self.seen) < SMALLEST:
            h, w = self.seen
            raise ValueError(f"shape, resolution: the networks would see {h}×{w} pixels, the least is {SMALLEST}")
        return self

    @property
    def ways(self) -> int:
        """Return in how many orientations images were trained on, see `turned`."""
        return WAYS[self.augment]

    @property
    def seen(self) -> tuple[int, int]:
        """Return height and width of what the networks see."""
        return seen_shape(self.shape, self.resolution)

    def network(self) -> ResNetGenerator:
        """Return a generator with this model's architecture, its weights not set."""
        return ResNetGenerator(self.shape[2], self.width, self.blocks, self.residual, self.upsampling)


def seen_shape(shape: tuple[int, ...], resolution: int | None) -> tuple[int, int]:
    """Return (height, width) of what the networks see of images (H, W, …): the longest side is `resolution`."""
    shrink = min(1.0, (resolution or max(shape[:2])) / max(shape[:2]))
    return round(shape[0] * shrink), round(shape[1] * shrink)


def as_seen(values: np.ndarray, seen: tuple[int, int]) -> np.ndarray:
    """Return a float32 image (H, W, C) at the size that the networks see."""
    if values.shape[:2] == seen:
        return values
    return cv2.resize(values, seen[::-1], interpolation=cv2.INTER_AREA).reshape(*seen, values.shape[2])


@dataclass(frozen=True)
class Translator:
    """One direction of a trained model."""

    network: ResNetGenerator
    seen: tuple[int, int]

    def change(self, image: np.ndarray, way: int = 0) -> np.ndarray:
        """Return what the translation adds to an image: float32 (H, W, C), a share of the value range, −1 to 1.

        image: (H, W, C) uint8 or uint16, of the model's size. way: the orientation, see `turned`, in which it is
        translated. The same image gives the same bits in every process of a machine: it is translated alone, on a
        CPU by one thread. Raises AnomgenError for what is not finite, as damaged weights make it.
        """
        device = next(self.network.parameters()).device
        values = turned(as_seen(scaled(image), self.seen), way)
        pixels = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None].to(device)
        with threads_for(device), torch.inference_mode():
            change = (self.network(pixels) - pixels)[0].permute(1, 2, 0).cpu().numpy() / 2
        change = np.ascontiguousarray(turned_back(change, way))
        require_finite(change)
        if change.shape[:2] != image.shape[:2]:
            change = cv2.resize(change, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        result: np.ndarray = change.reshape(image.shape)
        return result


@dataclass(frozen=True)
class Translators:
    """A trained model: both directions and what is known about it."""

    to_abnormal: Translator
    to_normal: Translator
    description: CycleGANDescription

    def require(self, image: np.ndarray, path: str) -> None:
        """Raise UsageError when images of this size or channel count cannot be translated."""
        h, w, c = self.description.shape
        if image.shape[:2] != (h, w):
            size = f"{h}" if h == w else f"{h}x{w}"
            raise UsageError(
                f"{path}: the model was trained on images of {h}×{w}, these are {image.shape[0]}×{image.shape[1]}: "
                f"use --size {size}, or train one with --size {image.shape[0]}x{image.shape[1]}"
            )
        if image.shape[2] != c:
            raise UsageError(
                f"{path}: the model was trained on images of {_channels(c)}, these have {_channels(image.shape[2])}; "
                "train one on such images"
            )


def _channels(count: int) -> str:
    return "1 channel (grey)" if count == 1 else f"{count} channels"


def without_shift(change: np.ndarray) -> np.ndarray:
    """Return a change (H, W, C) without what it has all over the image: each channel's median.

    Abnormal images that are a little darker or redder than the normal ones teach that to the network, too.
    """
    result: np.ndarray = change - np.median(change, axis=(0, 1), keepdims=True).astype(np.float32)
    return result


def change_map(change: np.ndarray, smoothing: float) -> np.ndarray:
    """Return how much a translation changed each pixel: the largest channel's |change|, smoothed; float32 (H, W).

    smoothing: deviation of the Gaussian, a share of the shorter side.
    """
    result: np.ndarray = cv2.GaussianBlur(
        np.abs(change).max(axis=2), (0, 0), max(smoothing * min(change.shape[:2]), 0.3)
    )
    return result


# --- on disk --------------------------------------------------------------------------------------------------------


def load_translators(path: str | Path) -> Translators:
    """Load a model folder.

    Raises UsageError when it is missing, unfinished, damaged, or not a model of `anomgen train cyclegan`.
    """
    folder = model_folder(path, "train cyclegan", FILES)
    description = read_description(folder, CycleGANDescription)
    to_abnormal, to_normal = (load_network(folder / name, description.network) for name in (TO_ABNORMAL, TO_NORMAL))
    return Translators(Translator(to_abnormal, description.seen), Translator(to_normal, description.seen), description)


def model_fingerprint(path: str | Path) -> str:
    """Return a hash of a model's description and weights."""
    return files_fingerprint(model_folder(path, "train cyclegan", FILES), FILES)
