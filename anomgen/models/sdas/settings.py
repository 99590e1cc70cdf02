"""Settings of the training of an SDAS model, and their presets; `NoisedSettings` are its guide's, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from anomgen.config import Config
from anomgen.models.images import Augment
from anomgen.models.settings import TrainingSettings

Levels = Annotated[tuple[Annotated[int, Field(ge=1, le=8192)], ...], Field(strict=False, min_length=1, max_length=8)]


class NetworkSettings(Config):
    """What a network that sees noised images is like: the U-Net of the model, the half of one of its guide."""

    channels: Levels = (64, 128, 256)
    """Channels of the U-Net's levels, each at half the resolution of the one before; multiples of 32."""
    attention: Annotated[tuple[bool, ...], Field(strict=False, max_length=8)] = (False, False, True)
    """Which levels have self-attention."""
    layers: Annotated[int, Field(ge=1, le=8)] = 1
    """Residual blocks per level."""
    head_dim: Annotated[int, Field(ge=8, le=8192)] = 32
    """Channels per attention head."""
    scale_shift: bool = False
    """Whether the time step scales and shifts the features, instead of being added."""
    resample: Literal["conv", "resnet"] = "conv"
    """How levels are joined: by strided convolutions, or inside residual blocks as in BigGAN."""


class NoisedSettings(NetworkSettings, TrainingSettings):
    """Settings of a training on noised images."""

    balanced: bool = True
    """With several categories: show each equally often; otherwise each of their images."""
    augment: Augment = "none"
    """Mirrorings and quarter turns under which a normal image stays normal."""


class TrainSDAS(NoisedSettings):
    """Settings of `anomgen train sdas`. The defaults are the preset `laptop`; the paper's model is `paper`."""

    on_accelerator: ClassVar[str] = "gpu"

    preset: str | None = None
    """Settings by name, `laptop`, `gpu` or `paper`; keys given beside it win."""
    steps: Annotated[int, Field(ge=1)] = 6000
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Images of one optimiser step, over all devices and accumulated parts."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Of Adam, the highest one: after the warm-up."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of the gradient; longer ones are scaled down. null: none are."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """How the learning rate goes on after the warm-up; cosine ends at a twentieth."""
    warmup: Annotated[int, Field(ge=0)] = 100
    """Steps over which the learning rate rises from 0."""
    patch: Literal[1, 4, 8, 16] = 8
    """Side of a latent cell in pixels; 1 trains on pixels, without a transform."""
    components: Annotated[int, Field(ge=1, le=256)] = 16
    """Numbers per latent cell."""
    prediction: Literal["epsilon", "v_prediction", "sample"] = "v_prediction"
    """What the network predicts: the noise, v (Salimans, Ho, ICLR 2022, arXiv 2202.00512), or the image."""
    variance: Literal["fixed_small", "learned_range"] = "fixed_small"
    """Of a sampling step: the posterior's, or learned between that and the largest (Nichol, Dhariwal, ICML 2021,
    arXiv 2102.09672), for models on pixels."""
    min_snr: Annotated[float, Field(gt=0)] | None = None
    """Cap γ of the loss weight min(SNR, γ) (Hang and others, ICCV 2023, arXiv 2303.09556); null weights all alike."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the averaged weights, which are what is saved. From new weights it rises from 0 as (1 + n) / (10 + n),
    so that they are forgotten; from another model's it is constant."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "laptop": {},
        "gpu": {
            "patch": 1,
            "channels": (128, 128, 256, 256, 512, 512),
            "attention": (False, False, False, False, True, False),
            "layers": 2,
            "steps": 30_000,
            "batch_size": 16,
            "learning_rate": 1e-4,
            "warmup": 500,
            "ema": 0.9999,
            "checkpoint_every": 1000,
            "sheet_every": 2000,
        },
        "paper": {
            "patch": 1,
            "channels": (256, 256, 512, 512, 1024, 1024),
            "attention": (False, False, False, True, True, True),
            "layers": 2,
            "head_dim": 64,
            "scale_shift": True,
            "resample": "resnet",
            "prediction": "epsilon",
            "variance": "learned_range",
            "balanced": False,
            "mixed_precision": "no",
            "steps": 15_000,
            "batch_size": 60,
            "accumulation": 3,
            "learning_rate": 1e-4,
            "schedule": "constant",
            "warmup": 0,
            "ema": 0.9999,
            "checkpoint_every": 500,
            "sheet_every": 1000,
        },
    }
