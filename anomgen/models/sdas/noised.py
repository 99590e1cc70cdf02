"""Training on noised images: how they are drawn from several categories, with time steps and noise; and one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from anomgen.errors import UsageError
from anomgen.models.images import WAYS, Images, require_square, shuffled, turned
from anomgen.models.sdas.network import TIMESTEPS
from anomgen.models.sdas.pipeline import PatchTransform
from anomgen.models.sdas.settings import NoisedSettings
from anomgen.models.training import Task, parts_of_batch, require_finite
from anomgen.rng import Stream, rng_for
from anomgen.sources.base import Source

if TYPE_CHECKING:
    from accelerate.optimizer import AcceleratedOptimizer

MINIMUM_IMAGES = 8
"""Fewer normal images are learned by heart within minutes and say nothing about what is normal."""
FITTED_ON = 200
"""Images that the latent transform is fitted on, evenly spaced over the source."""


@dataclass(frozen=True)
class Category:
    """Normal images of one kind and what they are called."""

    name: str
    source: Source


class NoisedImages:
    """The images of categories, of one shape (H, W, C). Everything drawn follows from the number of the draw.

    Categories of grey images among coloured ones are shown in RGB. channels: how many to show at least.
    """

    def __init__(
        self, categories: Sequence[Category], settings: NoisedSettings, timesteps: int = TIMESTEPS, channels: int = 1
    ):
        self.images = [Images(category.source, MINIMUM_IMAGES) for category in categories]
        self.settings, self.timesteps = settings, timesteps
        for images in self.images:
            images.show_in(max(channels, *(each.shape[2] for each in self.images)))
        self.shape = _one_shape(self.images, [category.name for category in categories])
        require_square(settings.augment, self.shape)

    def batch(
        self, part: range, transform: PatchTransform | None, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return latents or pixels (N, C, H, W), numbers of their categories (N,), time steps (N,), and noise."""
        pixels, times, noises = [], [], []
        ways = WAYS[self.settings.augment]
        shape = self._latent_shape(transform)
        drawn = [self._drawn(number) for number in part]
        for number, (_, image) in zip(part, drawn, strict=True):
            rng = rng_for(self.settings.seed, Stream.TRAINING, number, 1)
            pixels.append(np.ascontiguousarray(turned(image, int(rng.integers(ways))).transpose(2, 0, 1)))
            times.append(int(rng.integers(self.timesteps)))
            noises.append(rng.standard_normal(shape, dtype=np.float32))
        clean = torch.from_numpy(np.stack(pixels)).to(device)
        if transform is not None:
            clean = transform.encode(clean)
        clean = clean.contiguous(memory_format=torch.channels_last)
        categories = torch.tensor([category for category, _ in drawn], device=device)
        noise = torch.from_numpy(np.stack(noises)).to(device)
        return clean, categories, torch.tensor(times, device=device), noise

    def _latent_shape(self, transform: PatchTransform | None) -> tuple[int, int, int]:
        h, w, c = self.shape
        if transform is None:
            return c, h, w
        return transform.components, h // transform.patch, w // transform.patch

    def _drawn(self, number: int) -> tuple[int, np.ndarray]:
        """Return the category and the image, float32 (H, W, C) in [−1, 1], that are drawn as number `number`."""
        seed = self.settings.seed
        if self.settings.balanced:
            number, category = divmod(number, len(self.images))
            return category, self.images[category].drawn(seed, number)
        ends = np.cumsum([len(images) for images in self.images])
        place = shuffled(seed, number, int(ends[-1]))
        category = int(np.searchsorted(ends, place, side="right"))
        return category, self.images[category].scaled(place - int(ends[category]) + len(self.images[category]))

    def for_fitting(self) -> Iterator[np.ndarray]:
        """Yield images evenly spaced over every category, in all the orientations that training shows."""
        each = max(1, FITTED_ON // len(self.images))
        for images in self.images:
            for index in np.unique(np.linspace(0, len(images) - 1, each).astype(int)):
                for way in range(WAYS[self.settings.augment]):
                    yield turned(images.scaled(int(index)), way)


def descend(
    task: Task,
    net: torch.nn.Module,
    optimiser: AcceleratedOptimizer,
    number: int,
    terms_of: Callable[[range], Mapping[str, torch.Tensor]],
) -> dict[str, float]:
    """Do optimiser step `number` and return the loss terms, means over the batch.

    terms_of: numbers of drawn images → terms, whose sum is what is lowered. Raises Diverged before it does harm.
    """
    accelerator, settings = task.accelerator, task.settings
    losses: dict[str, float] = {}
    net.train()
    for part in parts_of_batch(task, number):
        with accelerator.accumulate(net):
            terms = terms_of(part)
            for name, term in terms.items():
                mean = accelerator.reduce(term.detach(), "mean").item()
                losses[name] = losses.get(name, 0.0) + mean / settings.accumulation
            require_finite(number, losses)
            accelerator.backward(sum(terms.values()))
            if accelerator.sync_gradients and settings.gradient_clip:
                accelerator.clip_grad_norm_(net.parameters(), settings.gradient_clip)
            optimiser.step()
            optimiser.zero_grad()
    return losses


def noised(clean: torch.Tensor, noise: torch.Tensor, t: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Return x_t of x_0 (N, K, h, w) at time steps (N,); levels: ᾱ of every one."""
    level = levels[t].view(-1, 1, 1, 1)
    return level.sqrt() * clean + (1 - level).sqrt() * noise


def _one_shape(sets: Sequence[Images], names: Sequence[str]) -> tuple[int, ...]:
    for images, name in zip(sets, names, strict=True):
        if images.shape != sets[0].shape:
            raise UsageError(
                f"the images of {name} are {images.shape}, those of {names[0]} {sets[0].shape} (height, width, "
                "channels): one model takes one size; give it with --size HxW, or train one model for each"
            )
    return sets[0].shape
