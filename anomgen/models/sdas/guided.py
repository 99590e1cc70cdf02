"""Weights of OpenAI's guided-diffusion for our U-Net: RealNet begins with those that were learnt on ImageNet.

Dhariwal, Nichol: Diffusion models beat GANs on image synthesis, NeurIPS 2021, arXiv 2105.05233. The network is the one
that diffusers builds, under other names, and with the attention's questions, keys and values in one layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from diffusers import UNet2DModel
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from safetensors import SafetensorError
from safetensors.torch import load_file

from anomgen.errors import UsageError
from anomgen.places import home

ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "middle_block.0": "mid_block.resnets.0",
    "middle_block.1": "mid_block.attentions.0",
    "middle_block.2": "mid_block.resnets.1",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
"""Parts outside of the levels: their names and those of diffusers."""
RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
"""The same of the layers of a residual block."""
CLASSES = {"label_emb.weight": "class_embedding.weight"}
"""ImageNet's embedding of its classes is left out, as in RealNet; ours begins anew."""
SUFFIXES = (".safetensors", ".pt", ".pth")
"""By which `--init` is told from a folder or a Hub id."""


def guided_file(init: str) -> Path:
    """Return the file that `--init` names. Raises UsageError for a pickle, and when it is not there."""
    file = home(init)
    if file.suffix != ".safetensors":
        raise UsageError(
            f"--init {init}: a pickle, which could execute code. Convert it once, in Python: safetensors.torch."
            f"save_file(torch.load({file.name!r}, weights_only=True), {file.stem + '.safetensors'!r})"
        )
    if not file.is_file():
        raise UsageError(f"--init {init}: there is no such file")
    return file


def load_guided(unet: UNet2DModel, file: Path) -> None:
    """Give `unet` the weights in a safetensors file with guided-diffusion's names.

    Raises UsageError for a damaged file and for the weights of another network.
    """
    try:
        theirs = load_file(file)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"--init {file}: the file is damaged: {error}") from error
    ours = {name: tensor for name, tensor in unet.state_dict().items() if name not in CLASSES.values()}
    found, left = _renamed(unet, theirs)
    wrong = sorted(name for name, tensor in ours.items() if name not in found or found[name].shape != tensor.shape)
    wrong += sorted(left)
    if wrong:
        raise UsageError(
            f"--init {file}: {len(wrong)} layers do not fit this network, the first is {wrong[0]}; OpenAI's "
            "256x256_diffusion.pt fits the preset paper on colour images"
        )
    unet.load_state_dict(found, strict=False)


def _renamed(unet: UNet2DModel, theirs: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], set[str]]:
    """Return the weights under our names, and the names of those that have no place."""
    found: dict[str, torch.Tensor] = {}
    left = set(theirs) - set(CLASSES)
    for there, here in _parts(unet):
        part = unet.get_submodule(here)
        for name in [name for name in left if name.startswith(f"{there}.")]:
            for own, tensor in _layers(part, name.removeprefix(f"{there}."), theirs[name]):
                found[f"{here}.{own}"] = tensor
                left.discard(name)
    return found, left


def _parts(unet: UNet2DModel) -> Iterator[tuple[str, str]]:
    """Yield each residual block, attention and single layer: its name there, where stages are counted, and here."""
    yield from ENDS.items()
    stage = 1
    for number, block in enumerate(unet.down_blocks):
        for k in range(len(block.resnets)):
            yield from _stage(f"input_blocks.{stage}", f"down_blocks.{number}", block, k)
            stage += 1
        if block.downsamplers is not None:
            yield f"input_blocks.{stage}.0", f"down_blocks.{number}.downsamplers.0"
            stage += 1
    stage = 0
    for number, block in enumerate(unet.up_blocks):
        for k in range(len(block.resnets)):
            yield from _stage(f"output_blocks.{stage}", f"up_blocks.{number}", block, k)
            stage += 1
        if block.upsamplers is not None:
            yield f"output_blocks.{stage - 1}.{1 + _attends(block)}", f"up_blocks.{number}.upsamplers.0"


def _stage(there: str, here: str, block: torch.nn.Module, k: int) -> Iterator[tuple[str, str]]:
    yield f"{there}.0", f"{here}.resnets.{k}"
    if _attends(block):
        yield f"{there}.1", f"{here}.attentions.{k}"


def _attends(block: torch.nn.Module) -> bool:
    return hasattr(block, "attentions")


def _layers(part: torch.nn.Module, name: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the layers here that a layer of a part holds there; none for an unknown one."""
    layer, _, kind = name.rpartition(".")
    if isinstance(part, ResnetBlock2D):
        if layer in RESIDUAL:
            yield f"{RESIDUAL[layer]}.{kind}", tensor
    elif not isinstance(part, Attention):
        yield name, tensor
    elif layer == "norm":
        yield f"group_norm.{kind}", tensor
    elif layer == "proj_out":
        yield f"to_out.0.{kind}", tensor.flatten(1) if kind == "weight" else tensor
    elif layer == "qkv":
        apart = tensor.reshape(part.heads, 3, -1, *tensor.shape[1:2])
        for own, values in zip(("to_q", "to_k", "to_v"), apart.unbind(1), strict=True):
            yield f"{own}.{kind}", values.flatten(0, 1)
