"""What the detectors that train a network share: images as tensors, seeds, the training loop, working in parts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from pydantic import PrivateAttr
from torch import nn

from anomgen.models.described import require_fitting
from anomgen.models.training import require_finite
from anomgen.score.checkpoint import State, going_on
from anomgen.score.detectors.base import Batch, Detector, Training, stacked
from anomgen.sources.pixels import value_max

Loss = Callable[[Batch, torch.device], torch.Tensor]
Arrays = Mapping[str, np.ndarray]
"""What was learnt, by name."""
PIXELS = 1 << 22
"""Of the images that maps are computed of at once, where each has fewer."""


class NetworkDetector(Detector):
    """A detector that learns one network, whose weights are all that it keeps."""

    _network: Any = PrivateAttr(None)

    @abstractmethod
    def built(self, arrays: Arrays) -> nn.Module:
        """Return a network into which these weights fit; it reads no others."""

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the anomaly maps (N, H, W) of images in [0, 1], (N, 3, H, W).

        It is what other runtimes are given; a detector that does not end in torch defines `anomaly_maps` instead.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither maps nor anomaly_maps")

    def anomaly_maps(self, images: np.ndarray) -> np.ndarray:
        """See `Detector.anomaly_maps`."""
        self.learnt(self._network)
        return in_parts(images, self.maps)

    @property
    def ends_in_torch(self) -> bool:
        """Return whether `maps` says all that it does."""
        return type(self).anomaly_maps is NetworkDetector.anomaly_maps

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Detector.arrays`."""
        return arrays_of(self.learnt(self._network))

    def restore(self, arrays: Arrays) -> None:
        """See `Detector.restore`."""
        self._network = loaded(lambda: self.built(arrays), arrays)


def arrays_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Return a network's weights and statistics."""
    return {name: values.detach().cpu().contiguous().numpy() for name, values in network.state_dict().items()}


def loaded(build: Callable[[], nn.Module], arrays: Arrays) -> nn.Module:
    """Return a network with these weights, ready to run. Raises ValueError when they are not its own."""
    with torch.device("meta"):  # sizes are compared before anything of them is allocated
        require_fitting(build().state_dict(), arrays)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        network = build()
    network.load_state_dict({name: torch.from_numpy(np.array(values)) for name, values in arrays.items()})
    return network.to(device()).to(memory_format=torch.channels_last).eval().requires_grad_(False)


@contextmanager
def seeded(rng: np.random.Generator) -> Iterator[None]:
    """Let torch draw from a state that follows from `rng`; its global state is as before afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(int(rng.integers(2**63)))
        yield


def device() -> torch.device:
    """Return where detectors are trained: what accelerate finds."""
    result: torch.device = Accelerator().device
    return result


def tensor(images: np.ndarray, where: torch.device | str = "cpu") -> torch.Tensor:
    """Return images (N, H, W, C), uint8 or uint16, as float32 (N, 3, H, W) in [0, 1], channels last in memory."""
    scaled = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2).to(where) / value_max(images.dtype)
    colour = scaled.expand(-1, 3, -1, -1) if scaled.shape[1] == 1 else scaled
    return colour.contiguous(memory_format=torch.channels_last)


def targets(masks: np.ndarray, where: torch.device | str = "cpu") -> torch.Tensor:
    """Return masks or soft masks (N, H, W) as float32 (N, 1, H, W)."""
    return torch.from_numpy(masks.astype(np.float32))[:, None].to(where)


def padded(x: torch.Tensor, multiple: int, border: int = 0) -> tuple[torch.Tensor, tuple[Any, ...]]:
    """Return images (N, C, H, W) reflected at their borders to multiples of `multiple`, and the index that cuts back.

    border: pixels that are added at every side in any case, fewer where images are small. Both sides are at
    least half of `multiple`.
    """
    height, width = x.shape[-2:]
    margin = max(0, min(border, height - multiple, width - multiple))
    high, wide = -(-(height + 2 * margin) // multiple) * multiple, -(-(width + 2 * margin) // multiple) * multiple
    top, left = (high - height) // 2, (wide - width) // 2
    bottom, right = high - height - top, wide - width - left
    inside = (..., slice(top, top + height), slice(left, left + width))
    return F.pad(x, (left, right, top, bottom), mode="reflect") if top + bottom + left + right else x, inside


def trained(
    network: nn.Module,
    detector: Detector,
    train: Training,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    batches: Callable[[int], Iterable[Batch]] | None = None,
    rng: np.random.Generator | None = None,
) -> None:
    """Train `network` in place for the detector's steps; `loss` runs it on a batch.

    batches: gives what it is trained on from a step on, by default the training's. rng: what `loss` draws from, if it
    does. The schedule is stepped once per optimiser step. An interrupted training of some minutes goes on with its
    checkpoint. Raises Diverged when a loss is not a number.
    """
    accelerator = Accelerator()
    network.to(accelerator.device).to(memory_format=torch.channels_last).train()
    ready = accelerator.prepare(optimiser)
    first, told = going_on(train, State({"": network}, {"": optimiser}, rng), schedule)
    shown = batches_from(train, detector, first) if batches is None else batches(first)
    for number, batch in enumerate(shown, first):
        value = loss(batch, accelerator.device)
        require_finite(number, {"loss": float(value.detach())})
        ready.zero_grad(set_to_none=True)
        accelerator.backward(value)
        ready.step()
        if schedule is not None:
            schedule.step()
        told(number + 1, detector.steps)
    network.eval()


def batches_from(
    train: Training, detector: Detector, first: int, anomaly_ratio: float | None = None, times: int = 1
) -> Iterator[Batch]:
    """Return the batches of the detector's steps from step `first` on, each of `times` its `batch_size`."""
    size = times * detector.batch_size
    if first:
        return train.batches(detector.steps, size, anomaly_ratio, first=first)
    return train.batches(detector.steps, size, anomaly_ratio)


def normal_batches(train: Training, detector: Detector, rng: np.random.Generator, first: int) -> Iterator[Batch]:
    """Yield the detector's steps, from step `first` on, as batches of normal images: epochs in random order."""
    wanted = detector.steps * detector.batch_size
    epochs = -(-wanted // len(train.normals))
    order = np.concatenate([rng.permutation(len(train.normals)) for _ in range(epochs)])
    for start in range(first * detector.batch_size, wanted, detector.batch_size):
        images = stacked([train.normals[k] for k in order[start : start + detector.batch_size]])
        nothing = np.zeros(images.shape[:3], np.float32)
        yield Batch(images, images, nothing.astype(bool), nothing, ("normal",) * len(images))


def in_parts(images: np.ndarray, run: Callable[[torch.Tensor], torch.Tensor], size: int = 16) -> np.ndarray:
    """Return `run` of all images, (N, …) float32, worked off in parts without gradients.

    images: (N, H, W, C). run: takes float32 (n, 3, H, W) in [0, 1]. size: images of a part; of large ones as many as
    have `PIXELS`, or one.
    """
    where, size = device(), max(1, min(size, PIXELS // (images.shape[1] * images.shape[2])))
    with torch.inference_mode():
        parts = [run(tensor(images[k : k + size], where)).float().cpu().numpy() for k in range(0, len(images), size)]
    return np.concatenate(parts)
