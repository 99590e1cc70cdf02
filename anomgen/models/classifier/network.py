"""The network of a guiding classifier: the first half of a U-Net, pooled by attention.

Dhariwal, Nichol: Diffusion models beat GANs on image synthesis, NeurIPS 2021, arXiv 2105.05233, section 4.

Note: the layers are those of diffusers' U-Net, as many and as wide as in the official code with RealNet's numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from anomgen.errors import UsageError
from anomgen.models.sdas.network import require_levels, unet_of
from anomgen.models.sdas.settings import NetworkSettings


class AttentionPool(nn.Module):
    """One vector of many cells: their mean asks, the cells and it answer, each with its place.

    Radford, Kim and others, ICML 2021, arXiv 2103.00020.
    """

    def __init__(self, channels: int, cells: int, head_dim: int):
        super().__init__()
        self.heads = max(1, channels // head_dim)
        self.places = nn.Parameter(torch.randn(cells + 1, channels) / channels**0.5)
        self.to_qkv = nn.Linear(channels, 3 * channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, C) of features (N, C, H, W)."""
        cells = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([cells.mean(1, keepdim=True), cells], 1) + self.places
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.to_qkv(tokens).chunk(3, 2))
        pooled: torch.Tensor = F.scaled_dot_product_attention(q[:, :, :1], k, v).flatten(1)
        return pooled


class NoisyClassifier(nn.Module):
    """Which category is it, seen through the noise of time step t? See the module."""

    def __init__(self, settings: NetworkSettings, inputs: Sequence[int], categories: int):
        super().__init__()
        require_fitting(settings, inputs)
        unet = unet_of(settings, inputs, inputs[0])
        self.time_proj, self.time_embedding = unet.time_proj, unet.time_embedding
        self.conv_in, self.down_blocks, self.mid_block = unet.conv_in, unet.down_blocks, unet.mid_block
        last, shrunk = settings.channels[-1], 2 ** (len(settings.channels) - 1)
        self.norm = nn.GroupNorm(32, last)
        self.pool = AttentionPool(last, inputs[1] * inputs[2] // shrunk**2, settings.head_dim)
        self.head = nn.Linear(last, categories)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Return logits (N, categories) of x_t, (N, K, h, w), at time steps (N,)."""
        time = self.time_embedding(self.time_proj(t).to(x.dtype))
        features = self.conv_in(x)
        for block in self.down_blocks:
            features, _ = block(features, time)
        features = F.silu(self.norm(self.mid_block(features, time)))
        logits: torch.Tensor = self.head(self.pool(features))
        return logits


def require_fitting(settings: NetworkSettings, inputs: Sequence[int]) -> None:
    """Raise UsageError for levels that do not fit what is seen, (K, h, w), or one another."""
    require_levels(settings)
    unit = 2 ** (len(settings.channels) - 1)
    if inputs[1] % unit or inputs[2] % unit:
        raise UsageError(
            f"the model to guide works on {inputs[1]}×{inputs[2]} cells, which {len(settings.channels)} levels cannot "
            "halve; take fewer levels with --set channels=… and attention=…, or --preset laptop"
        )
    attending = [*settings.attention[:-1], True]
    for channels in (channels for channels, attends in zip(settings.channels, attending, strict=True) if attends):
        if channels % settings.head_dim:
            raise UsageError(f"head_dim: {settings.head_dim} does not divide the {channels} channels of a level")
