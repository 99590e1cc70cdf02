"""Which device a model is trained or run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anomgen.errors import UsageError, near_miss, require
from anomgen.models.settings import TrainingSettings
from anomgen.models.use import drawing_device

if TYPE_CHECKING:
    from accelerate import Accelerator


DEVICES = ("auto", "cpu", "gpu")


def require_diffusion() -> None:
    """Raise UsageError when the packages for learned models are not installed."""
    require("diffusion", "a learned generator", "torch", "diffusers", "accelerate")


def has_accelerator() -> bool:
    """Return whether torch sees a GPU or the like."""
    return drawing_device() != "cpu"


def require_device(device: str) -> str:
    """Return the device that is meant, cpu or gpu. Raises UsageError for an unknown one, or a GPU that is not there."""
    if device not in DEVICES:
        raise UsageError(f"there is no device {device!r}{near_miss(device, DEVICES)}; it is {', '.join(DEVICES)}")
    if device == "gpu" and not has_accelerator():
        raise UsageError("torch sees no GPU here; leave out --device, or say --device cpu")
    return ("gpu" if has_accelerator() else "cpu") if device == "auto" else device


def accelerator_for(settings: TrainingSettings, device: str = "auto") -> Accelerator:
    """Return the device layout: what `accelerate launch` says, otherwise the one GPU there is, otherwise the CPU.

    device: one of `DEVICES`; with cpu a GPU is left alone.
    """
    import torch
    from accelerate import Accelerator

    precision = settings.mixed_precision
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "no"
    alone = require_device(device) == "cpu"
    if alone:
        precision = "no"
    accelerator = Accelerator(cpu=alone, mixed_precision=precision, gradient_accumulation_steps=settings.accumulation)
    share = settings.accumulation * accelerator.num_processes
    if settings.batch_size % share:
        raise UsageError(
            f"batch_size {settings.batch_size} cannot be split into {settings.accumulation} parts on "
            f"{accelerator.num_processes} processes; make it a multiple of {share}"
        )
    return accelerator
