"""Settings of the training of a guiding classifier, and their presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from anomgen.models.sdas.settings import Levels, NoisedSettings


class TrainClassifier(NoisedSettings):
    """Settings of `anomgen train classifier`. The defaults are the preset `laptop`; RealNet's are `paper`."""

    on_accelerator: ClassVar[str] = "gpu"

    preset: str | None = None
    """Settings by name, `laptop`, `gpu` or `paper`; keys given beside it win."""
    steps: Annotated[int, Field(ge=1)] = 2000
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Images of one optimiser step, over all devices and accumulated parts."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    """Of AdamW, constant."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """Share of the weights, times the learning rate, that every step takes off; 0 makes AdamW Adam."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of the gradient; longer ones are scaled down. null: none are."""
    channels: Levels = (32, 64, 128)
    """Channels of the levels, each at half the resolution of the one before; multiples of 32."""

    scale_shift: bool = True
    """Whether the time step scales and shifts the features; merely added, it is lost on groups of one channel."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "laptop": {},
        "gpu": {
            "channels": (64, 64, 128, 128, 256, 256),
            "attention": (False, False, False, False, True, True),
            "layers": 1,
            "steps": 10_000,
            "checkpoint_every": 1000,
            "sheet_every": 2000,
        },
        "paper": {
            "channels": (128, 128, 256, 256, 512, 512),
            "attention": (False, False, False, True, True, True),
            "layers": 2,
            "head_dim": 64,
            "resample": "resnet",
            "balanced": False,
            "mixed_precision": "no",
            "steps": 39_000,
            "batch_size": 40,
            "learning_rate": 1e-4,
            "weight_decay": 0.0,
            "checkpoint_every": 500,
            "sheet_every": 1000,
        },
    }
