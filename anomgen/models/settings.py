"""Settings that every training has."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from anomgen.config import Preset


class TrainingSettings(Preset):
    """Settings that every training has."""

    on_accelerator: ClassVar[str] = "paper"
    """Preset that is taken where there is a GPU; elsewhere it is `laptop`."""

    steps: Annotated[int, Field(ge=1)] = 1000
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Images of one optimiser step, over all devices and accumulated parts."""
    accumulation: Annotated[int, Field(ge=1)] = 1
    """Parts that a batch is worked off in: as many times less memory, the same gradient."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Step size of the optimiser."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient; longer ones are scaled down."""
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"
    """`auto`: bfloat16 on accelerators that have it; always float32 on CPUs, where bfloat16 is slower."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the weights, the order of the images and the noise."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 200
    """Steps between two checkpoints: what a killed training loses at most."""
    sheet_every: Annotated[int, Field(ge=1)] = 500
    """Steps between two sheets of samples."""
