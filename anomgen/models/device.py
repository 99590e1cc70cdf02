"""Which device a model is trained or run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anomgen.errors import UsageError, require
from anomgen.models.training import TrainingSettings

if TYPE_CHECKING:
    from accelerate import Accelerator


def require_diffusion() -> None:
    """Raise UsageError when the packages for learned models are not installed."""
    require("diffusion", "a learned generator", "torch", "diffusers", "accelerate")


def has_accelerator() -> bool:
    """Return whether torch sees a GPU or the like."""
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def accelerator_for(settings: TrainingSettings) -> Accelerator:
    """Return the device layout: what `accelerate launch` says, otherwise the one GPU there is, otherwise the CPU."""
    import torch
    from accelerate import Accelerator

    precision = settings.mixed_precision
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "no"
    accelerator = Accelerator(mixed_precision=precision, gradient_accumulation_steps=settings.accumulation)
    share = settings.accumulation * accelerator.num_processes
    if settings.batch_size % share:
        raise UsageError(
            f"batch_size {settings.batch_size} cannot be split into {settings.accumulation} parts on "
            f"{accelerator.num_processes} processes; make it a multiple of {share}"
        )
    return accelerator
