"""Departures of the models' trainings from their papers' code, undone one by one, for trainings.py to measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from anomgen.models.cyclegan import networks as cyclegan_networks
from anomgen.models.cyclegan.training import CycleGANTask
from anomgen.models.images import turned
from anomgen.models.training import Task, parts_of_batch, require_finite
from anomgen.rng import Stream, rng_for

INITIALISE = cyclegan_networks.initialise


def zeroed(network: nn.Module) -> nn.Module:
    """Return the network, the last layers of its blocks and its own last one at zero, as OpenAI's."""
    last = [part.conv2 for part in network.modules() if isinstance(part, ResnetBlock2D)]
    last += [part.to_out[0] for part in network.modules() if isinstance(part, Attention)]
    last += [network.conv_out] if hasattr(network, "conv_out") else []
    for layer in last:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    return network


def after(build: Callable[..., nn.Module], change: Callable[[nn.Module], nn.Module]) -> Callable[..., nn.Module]:
    """Return what builds a network and changes it."""
    return lambda *given, **named: change(build(*given, **named))


def clipped_after_each(
    task: Task, net: nn.Module, optimiser: Any, number: int, terms_of: Callable[[range], Mapping[str, torch.Tensor]]
) -> dict[str, float]:
    """Do an optimiser step as RealNet's code: parts are added up and clipped after each, the first one steps."""
    losses: dict[str, float] = {}
    net.train()
    for k, part in enumerate(parts_of_batch(task, number)):
        terms = terms_of(part)
        for name, term in terms.items():
            losses[name] = losses.get(name, 0.0) + term.item() / task.settings.accumulation
        require_finite(number, losses)
        torch.stack(list(terms.values())).sum().backward()
        assert task.settings.gradient_clip is not None
        nn.utils.clip_grad_norm_(net.parameters(), task.settings.gradient_clip)
        if k == 0:
            optimiser.optimizer.step()
            optimiser.optimizer.zero_grad()
    return losses


def paired(alike: bool) -> Callable[..., Any]:
    """Return what draws pairs as the authors' code does: fixed ones, of each abnormal image at least one.

    alike: whether both of a pair are turned alike, in one of their nine ways, of which two are the same.
    """

    def draw(self: CycleGANTask, part: range) -> tuple[torch.Tensor, torch.Tensor, list[np.random.Generator]]:
        settings, normal, count = self.settings, self.trained_on, len(self.abnormal)
        rng = rng_for(settings.seed, Stream.TRAINING, 0, 3)
        others = np.concatenate([rng.permutation(count), rng.integers(count, size=max(0, len(normal) - count))])
        rngs = [rng_for(settings.seed, Stream.TRAINING, number) for number in part]
        images: list[list[np.ndarray]] = [[], []]
        for number, each in zip(part, rngs, strict=True):
            epoch, position = divmod(number, len(normal))
            place = int(rng_for(settings.seed, Stream.ORDER, epoch).permutation(len(normal))[position])
            ways = [int(way) for way in ([each.integers(9)] * 2 if alike else each.integers(8, size=2))]
            sources = (self.normal, int(normal[place])), (self.abnormal, int(others[place]))
            for found, way, (source, index) in zip(images, ways, sources, strict=True):
                found.append(turned(self._seen(source, index), way if way < 8 else 2))
        return self._batch(images[0]), self._batch(images[1]), rngs

    return draw


def all_trained_on(_: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Hold none back; the model's threshold would then be of images that it knows."""
    return np.arange(2), np.arange(count)


def with_biases(networks: Sequence[nn.Module], rng: np.random.Generator) -> None:
    """Draw the weights as the authors', who leave biases as torch draws them."""
    INITIALISE(networks, rng)
    for layer in (layer for network in networks for layer in network.modules()):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.bias is not None:
            fan = layer.weight[0].numel()
            layer.bias.data.copy_(torch.from_numpy(rng.uniform(-1, 1, layer.bias.shape) / math.sqrt(fan)))
