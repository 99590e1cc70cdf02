"""A long training of a detector goes on where it was stopped: its state, in one file, every minute."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from anomgen.errors import UsageError
from anomgen.files import fingerprint_of, replacing
from anomgen.models.checkpoint import load_optimiser, optimiser_tensors, weights_under
from anomgen.versions import installed

EVERY = 60.0
"""Seconds between two writings."""
LONG = 120.0
"""Seconds that a training must take, all in all, to be worth one."""
VERSIONED = ("anomgen", "torch", "numpy")
TORCH = "torch_random"
"""Name of the tensor that holds torch's random state."""


@dataclass
class State:
    """All that changes while a detector is trained: a checkpoint holds it, and `restored` sets it.

    rng: what steps draw from. images: lists of images that steps add to or replace, by name.
    """

    networks: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]
    rng: np.random.Generator | None = None
    images: Mapping[str, list[torch.Tensor]] = field(default_factory=dict)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return everything but `rng`, by name; torch's random state, too."""
        found = {TORCH: torch.get_rng_state()}
        for name, network in self.networks.items():
            found |= {f"network.{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimiser in self.optimisers.items():
            found |= optimiser_tensors(f"optimiser.{name}", optimiser)
        for name, images in self.images.items():
            found |= {f"images.{name}.{number:04d}": image for number, image in enumerate(images)}
        return {name: tensor.detach().cpu().contiguous() for name, tensor in found.items()}

    def restore(self, tensors: Mapping[str, torch.Tensor], rng: Mapping[str, Any] | None) -> None:
        """Set what `tensors` returned. Raises KeyError, ValueError or RuntimeError for what does not fit."""
        for name, network in self.networks.items():
            network.load_state_dict(weights_under(f"network.{name}", tensors))
        for name, optimiser in self.optimisers.items():
            load_optimiser(f"optimiser.{name}", optimiser, tensors)
            _lay_out(optimiser)
        for name, images in self.images.items():
            where = next(next(iter(self.networks.values())).parameters()).device
            images[:] = [image.to(where) for _, image in sorted(weights_under(f"images.{name}", tensors).items())]
        torch.set_rng_state(tensors[TORCH])
        if self.rng is not None:
            if rng is None:
                raise KeyError("rng")
            self.rng.bit_generator.state = dict(rng)


def _lay_out(optimiser: torch.optim.Optimizer) -> None:
    """Let moments lie in memory as their parameters do: in another order, their sums are rounded in another way."""
    for parameter, values in optimiser.state.items():
        for key, value in values.items():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                values[key] = torch.empty_like(parameter).copy_(value)


class Checkpoint:
    """The file of one training. A training of less than `LONG` seconds never writes it.

    path: of the file. training: what decides the result, plain JSON. State of another training, or of other versions of
    the libraries, is not gone on with.
    """

    def __init__(self, path: Path, training: Any):
        self.path = path
        self._key = fingerprint_of({"training": training, "versions": installed(VERSIONED)})
        self._first = 0
        self._started = self._written = time.monotonic()

    def restored(self, state: State) -> int:
        """Set the state to that of the file, if there is one of this training; return how many steps it has done.

        Raises UsageError for a damaged file.
        """
        from safetensors import SafetensorError, safe_open

        self._started = self._written = time.monotonic()
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata() or {}
                if "key" not in metadata:
                    raise ValueError("it is none of anomgen's")
                if metadata["key"] != self._key:
                    return 0
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            state.restore(tensors, json.loads(metadata["rng"]))
            self._first = int(metadata["done"])
        except FileNotFoundError:
            return 0
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise UsageError(
                f"{self.path}: this checkpoint of an interrupted training is damaged ({error}); remove it to begin anew"
            ) from None
        return self._first

    def step(self, done: int, total: int, state: State) -> None:
        """Write the state when it is time; `done` of `total` steps are done."""
        now = time.monotonic()
        pace = (now - self._started) / max(1, done - self._first)
        if done < total and now - self._written >= EVERY and pace * total >= LONG:
            self._write(done, state)
            self._written = time.monotonic()

    def _write(self, done: int, state: State) -> None:
        from safetensors.torch import save

        rng = None if state.rng is None else state.rng.bit_generator.state
        metadata = {"key": self._key, "done": str(done), "rng": json.dumps(rng, default=np.ndarray.tolist)}
        with replacing(self.path) as file:
            file.write(save(state.tensors(), metadata))

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


def going_on(train: Any, state: State, schedule: LRScheduler | None = None) -> tuple[int, Callable[[int, int], None]]:
    """Return the step that a training goes on with, and what is to be told that steps are done and how many there are.

    train: a `Training`; where its attribute `checkpoint` is None, or missing, it begins at 0. schedule: of the learning
    rate, which is brought to that step.
    """
    checkpoint: Checkpoint | None = getattr(train, "checkpoint", None)
    first = 0 if checkpoint is None else checkpoint.restored(state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a rate that changes before the first step
        for _ in range(first if schedule is not None else 0):
            schedule.step()  # type: ignore[union-attr]

    def told(done: int, total: int) -> None:
        if checkpoint is not None:
            checkpoint.step(done, total, state)
        train.progress(done, total)

    return first, told
