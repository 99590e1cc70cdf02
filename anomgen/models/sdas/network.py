"""The U-Net and the noise schedule of an SDAS model, new or begun with another model's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from diffusers import DDPMScheduler, UNet2DModel
from pydantic import ConfigDict, Field, model_validator
from safetensors import safe_open

from anomgen.config import Config, Share, validated
from anomgen.errors import RecipeError, UsageError
from anomgen.files import json_object
from anomgen.models.sdas.guided import load_guided
from anomgen.models.sdas.pipeline import SDASPipeline
from anomgen.models.sdas.settings import NetworkSettings, TrainSDAS
from anomgen.places import regular

TIMESTEPS = 1000
MAX_CONFIG = 1 << 20
"""Bytes of a configuration."""
_Small = Annotated[int, Field(ge=1, le=8192)]


_Blocks = Annotated[list[Annotated[str, Field(pattern=r"^\w{1,100}$")]], Field(max_length=10)]
_Joint = Literal["conv", "resnet"]


class _Unet(Config):
    """What a U-Net's configuration may say: the arguments of `UNet2DModel`."""

    model_config = ConfigDict(extra="allow")  # what a version of diffusers adds

    sample_size: _Small | Annotated[list[_Small], Field(min_length=2, max_length=2)]
    in_channels: _Small = 3
    out_channels: _Small = 3
    center_input_sample: bool = False
    time_embedding_type: Literal["positional", "fourier", "learned"] = "positional"
    time_embedding_dim: _Small | None = None
    freq_shift: Annotated[float, Field(ge=-1000, le=1000)] = 0
    flip_sin_to_cos: bool = True
    down_block_types: _Blocks = Field(default_factory=list)
    mid_block_type: Literal["UNetMidBlock2D"] | None = "UNetMidBlock2D"
    up_block_types: _Blocks = Field(default_factory=list)
    block_out_channels: Annotated[list[_Small], Field(max_length=10)]
    layers_per_block: Annotated[int, Field(ge=1, le=16)] = 2
    mid_block_scale_factor: Annotated[float, Field(gt=0, le=1000)] = 1
    downsample_padding: Annotated[int, Field(ge=0, le=8)] = 1
    downsample_type: _Joint = "conv"
    upsample_type: _Joint = "conv"
    dropout: Share = 0
    act_fn: Literal["silu", "swish", "mish", "gelu", "relu"] = "silu"
    attention_head_dim: _Small | None = 8
    norm_num_groups: _Small = 32
    attn_norm_num_groups: _Small | None = None
    norm_eps: Share = 1e-5
    resnet_time_scale_shift: Literal["default", "scale_shift"] = "default"
    add_attention: bool = True
    class_embed_type: None = None
    num_class_embeds: Annotated[int, Field(ge=1, le=10**6)] | None = None
    num_train_timesteps: Annotated[int, Field(ge=1, le=10**5)] | None = None


class _Schedule(Config):
    """What a schedule's configuration may say: the arguments of `DDPMScheduler` and `DDIMScheduler`."""

    model_config = ConfigDict(extra="allow")

    num_train_timesteps: Annotated[int, Field(ge=1, le=10**5)] = 1000
    beta_start: Share = 1e-4
    beta_end: Share = 0.02
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"] = "linear"
    trained_betas: Annotated[list[Share], Field(max_length=10**5)] | None = None
    variance_type: Literal[
        "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"
    ] = "fixed_small"
    clip_sample: bool = True
    prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    thresholding: bool = False
    dynamic_thresholding_ratio: Share = 0.995
    clip_sample_range: Annotated[float, Field(gt=0, le=1000)] = 1
    sample_max_value: Annotated[float, Field(gt=0, le=1000)] = 1
    timestep_spacing: Literal["linspace", "leading", "trailing"] = "leading"
    steps_offset: Annotated[int, Field(ge=0, le=1)] = 0
    rescale_betas_zero_snr: bool = False
    set_alpha_to_one: bool = True

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if self.trained_betas is not None and len(self.trained_betas) != self.num_train_timesteps:
            raise ValueError(f"trained_betas: {len(self.trained_betas)} of {self.num_train_timesteps} steps")
        return self


def require_bounded(folder: Path) -> None:
    """Raise ValueError for a saved model whose figures ask for more than its weights' files hold.

    Raises OSError for a part that is no regular file. Nothing is built to find out.
    """
    described, config = _read(folder, "unet/config.json", _Unet)
    schedule, _ = _read(folder, "scheduler/scheduler_config.json", _Schedule)
    said = described.in_channels * (2 if schedule.variance_type in ("learned", "learned_range") else 1)
    if described.out_channels != said:
        raise ValueError(f"the U-Net has {described.out_channels} outputs, {said} are needed")
    size = sum(regular(file).stat().st_size for file in (folder / "unet").glob("*.safetensors"))
    with torch.device("meta"):
        unet = UNet2DModel.from_config(config)
        needed = sum(tensor.numel() for tensor in unet.parameters())
    if 2 * needed > size:  # of 16 bits at least
        raise ValueError(f"the U-Net that is described has {needed} weights, the files hold {size} bytes")
    _try(unet, described)
    for file in folder.glob("*/*.safetensors"):
        _require_floats(regular(file))


def _read(folder: Path, file: str, model: type[Config]) -> tuple[Any, dict[str, Any]]:
    """Return a configuration, and what its file says."""
    values = json_object(folder / file, MAX_CONFIG)
    try:
        return validated(model, values), values
    except RecipeError as error:
        raise error.inside(file) from None


def _try(unet: UNet2DModel, described: _Unet) -> None:
    """Raise ValueError for a U-Net whose parts do not fit one another; it is on no device, so nothing is computed."""
    side = described.sample_size
    sides = (side, side) if isinstance(side, int) else tuple(side)
    with torch.device("meta"), torch.no_grad():
        seen = torch.zeros(1, described.in_channels, *sides)
        labels = None if described.num_class_embeds is None else torch.zeros(1, dtype=torch.long)
        said = unet(seen, torch.zeros(1, dtype=torch.long), class_labels=labels).sample
    if said.shape != (1, described.out_channels, *sides):
        raise ValueError(f"the U-Net makes {tuple(said.shape[1:])} of {tuple(seen.shape[1:])}")


def _require_floats(file: Path) -> None:
    """Raise ValueError for a file of weights that are no floating-point numbers."""
    with safe_open(file, "pt") as weights:
        for name in weights.keys():  # noqa: SIM118 - it is no dict
            kind = weights.get_slice(name).get_dtype()
            if kind not in ("F16", "BF16", "F32", "F64"):
                raise ValueError(f"{file.name}: {name[:200]} is of the type {kind}")


def build_unet(settings: TrainSDAS, shape: Sequence[int], categories: int = 1) -> UNet2DModel:
    """Return the U-Net for images (H, W, C); class-conditional when there are several categories.

    Raises UsageError when the size does not fit the levels.
    """
    h, w, c = shape
    levels = len(settings.channels)
    unit = settings.patch * 2 ** (levels - 1)
    if h % unit or w % unit:
        fitting = f"{max(1, round(h / unit)) * unit}x{max(1, round(w / unit)) * unit}"
        raise UsageError(
            f"images of {h}×{w} do not fit a U-Net of {levels} levels on cells of {settings.patch} pixels; both sides "
            f"must be multiples of {unit}: --size {fitting}, or fewer levels with --set channels=…"
        )
    if settings.patch > 1 and settings.variance == "learned_range":
        raise UsageError("variance: learned_range is for models on pixels; add --set patch=1")
    require_levels(settings)
    latent = c if settings.patch == 1 else min(settings.components, c * settings.patch**2)
    outputs = latent * (2 if settings.variance == "learned_range" else 1)
    return unet_of(settings, (latent, h // settings.patch, w // settings.patch), outputs, categories)


def require_levels(settings: NetworkSettings) -> None:
    """Raise UsageError for levels of which no network can be built."""
    if any(channels % 32 for channels in settings.channels):
        raise UsageError(f"channels: all must be multiples of 32, these are {list(settings.channels)}")
    if len(settings.attention) != len(settings.channels):
        raise UsageError(
            f"attention has {len(settings.attention)} entries, channels has {len(settings.channels)}: one for each "
            "level"
        )


def unet_of(settings: NetworkSettings, inputs: Sequence[int], outputs: int, categories: int = 1) -> UNet2DModel:
    """Return a new U-Net. inputs: (K, h, w) of what it sees; outputs: channels of what it says."""
    channels, h, w = inputs
    kinds = _BLOCKS[settings.resample]
    resnet = settings.resample == "resnet"
    return UNet2DModel(
        sample_size=h if h == w else (h, w),
        in_channels=channels,
        out_channels=outputs,
        block_out_channels=settings.channels,
        down_block_types=tuple(kinds[attends][0] for attends in settings.attention),
        up_block_types=tuple(kinds[attends][1] for attends in reversed(settings.attention)),
        layers_per_block=settings.layers,
        attention_head_dim=settings.head_dim,
        resnet_time_scale_shift="scale_shift" if settings.scale_shift else "default",
        attn_norm_num_groups=32 if settings.scale_shift else None,  # else the middle attention would have no norm
        num_class_embeds=categories if categories > 1 else None,
        downsample_type="resnet" if resnet else "conv",
        upsample_type="resnet" if resnet else "conv",
    )


_BLOCKS = {
    "conv": {False: ("DownBlock2D", "UpBlock2D"), True: ("AttnDownBlock2D", "AttnUpBlock2D")},
    "resnet": {False: ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D"), True: ("AttnDownBlock2D", "AttnUpBlock2D")},
}
"""How levels are joined → whether a level attends → names of its blocks in diffusers."""


def begun_unet(
    init: SDASPipeline | Path | None, settings: TrainSDAS, shape: Sequence[int], categories: int
) -> UNet2DModel:
    """Return the U-Net that a training begins with: new, another model's, or with guided-diffusion's weights."""
    if isinstance(init, SDASPipeline):
        return started_from(init, settings, shape, categories)
    unet = build_unet(settings, shape, categories)
    if init is not None:
        load_guided(unet, init)
    return unet


def build_scheduler(settings: TrainSDAS) -> DDPMScheduler:
    """Return the noise schedule: linear from 1e-4 to 0.02 in 1000 steps, respaced as in the official code.

    Predicted pixels are clipped to [−1, 1]; latents have no such bound.
    """
    return DDPMScheduler(
        TIMESTEPS,
        1e-4,
        0.02,
        "linear",
        prediction_type=settings.prediction,
        variance_type=settings.variance,
        clip_sample=settings.patch == 1,
        timestep_spacing="leading",
    )


def as_in(pipeline: SDASPipeline, settings: TrainSDAS) -> TrainSDAS:
    """Return the settings with those that the model to start from decides. Raises UsageError where they disagree."""
    scheduler, config = pipeline.scheduler.config, pipeline.unet.config
    found = {
        "prediction": scheduler.prediction_type,
        "variance": "learned_range" if scheduler.variance_type == "learned_range" else "fixed_small",
        "patch": 1 if pipeline.transform is None else pipeline.transform.patch,
        "components": config.in_channels if pipeline.transform is not None else settings.components,
        "channels": tuple(config.block_out_channels),
        "attention": tuple("Attn" in name for name in config.down_block_types),
        "layers": config.layers_per_block,
    }
    default = TrainSDAS(preset=settings.preset)
    for key, value in found.items():
        if getattr(settings, key) not in (getattr(default, key), value):
            raise UsageError(f"{key}: the model to start from has {value}; leave out --set {key}, or --init")
    return settings.model_copy(update=found)


def started_from(pipeline: SDASPipeline, settings: TrainSDAS, shape: Sequence[int], categories: int) -> UNet2DModel:
    """Return the U-Net of a model for other images: of any size that fits, with a label embedding of its own."""
    old = pipeline.unet
    channels = shape[2] if pipeline.transform is None else pipeline.transform.channels
    if channels != shape[2] or (pipeline.transform is None and old.config.in_channels != shape[2]):
        raise UsageError(f"--init is a model of images with {channels} channels, the normal images have {shape[2]}")
    unit = settings.patch * 2 ** (len(settings.channels) - 1)
    if shape[0] % unit or shape[1] % unit:
        raise UsageError(f"images of {shape[0]}×{shape[1]} do not fit --init, whose sizes are multiples of {unit}")
    sides = (shape[0] // settings.patch, shape[1] // settings.patch)
    size = sides[0] if sides[0] == sides[1] else sides
    fresh = UNet2DModel.from_config(
        old.config, sample_size=size, num_class_embeds=categories if categories > 1 else None
    )
    kept = {name: tensor for name, tensor in old.state_dict().items() if not name.startswith("class_embedding.")}
    missing, unexpected = fresh.load_state_dict(kept, strict=False)
    assert not unexpected and all(name.startswith("class_embedding.") for name in missing), (missing, unexpected)
    return fresh
