"""Which device a model is trained or run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anomgen.errors import UsageError, near_miss, require
from anomgen.models.settings import TrainingSettings
from anomgen.models.use import drawing_device

if TYPE_CHECKING:
    from accelerate import Accelerator


DEVICES = ("auto", "cpu", "gpu")
_ANOTHER = (
    "this process has used another device or precision than {} with mixed_precision: {}, and accelerate keeps one for "
    "the whole process; train in a new process, or say the same device and mixed_precision"
)


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

    device: one of `DEVICES`; with cpu a GPU is left alone. Raises UsageError where it is not there, where a batch does
    not split into its parts, and where this process has trained on another device or in another precision, of which
    accelerate keeps one.
    """
    import torch
    from accelerate import Accelerator

    precision = settings.mixed_precision
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "no"
    wanted = require_device(device)
    if wanted == "cpu":
        precision = "no"
    try:
        accelerator = Accelerator(
            cpu=wanted == "cpu", mixed_precision=precision, gradient_accumulation_steps=settings.accumulation
        )
    except ValueError as error:
        if "already been initialized" not in str(error):
            raise
        raise UsageError(_ANOTHER.format(wanted, precision)) from None
    if device == "gpu" and accelerator.device.type == "cpu":
        raise UsageError(_ANOTHER.format(wanted, precision))
    share = settings.accumulation * accelerator.num_processes
    if settings.batch_size % share:
        raise UsageError(
            f"batch_size {settings.batch_size} cannot be split into {settings.accumulation} parts on "
            f"{accelerator.num_processes} processes; make it a multiple of {share}"
        )
    return accelerator
