"""A torch Dataset of a recipe's rows, drawn as they are asked for, and what the tensor adapters share."""

from __future__ import annotations

from anomgen.errors import require

require("adapters", __name__, "torch")

import math
import operator
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch.utils.data import Dataset, get_worker_info

from anomgen.adapters.base import Drawer
from anomgen.dataset.row import Row
from anomgen.errors import UsageError
from anomgen.making.engine import Plan, Recipe, Renderer
from anomgen.making.recipe import recipe_of
from anomgen.making.threads import single_threaded
from anomgen.rng import Stream, rng_for
from anomgen.sources.pixels import value_max
from anomgen.sources.pool import DEFAULT_CACHE_BYTES
from anomgen.sources.value_range import ValueRange


class AnomalyDataset(Dataset[dict[str, Any]]):
    """The rows of a recipe's dataset without the files: item i of epoch e is row ``e * count + i``.

    So the first epoch is what `anomgen make` writes, pixel for pixel, and later epochs are what a longer dataset goes
    on with. An item follows from (recipe, epoch, index) alone: the same for any number of loader workers.

    An item is a dict of `image` and, where the recipe has ``keep_normal``, `normal`: float32 (C, H, W) in 0..1,
    the pixel's place in the source's range of values (8 bits: the pixel / 255); `mask`: float32 (1, H, W), 0 or 1;
    `soft_mask`: float32 (1, H, W) in 0..1, where the generator makes one; `label`: 0 normal, 1 anomaly;
    `detectability`: how visible, NaN for a normal row and where it cannot be known;
    `defect_type`: its number in `defect_names`; `index`: the row's.

    recipe, options: a Recipe, or what `anomgen.load_recipe` takes. Raises what that raises, and SourceError.
    """

    def __init__(self, recipe: Recipe | str, **options: Any):
        self.plan = Plan.of(recipe_of(recipe, **options))
        self.defect_names = self.plan.columns.defect_names
        self._epoch = _shared_counter()
        self._process: _Process | None = None

    def __len__(self) -> int:
        return self.plan.recipe.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        position = range(len(self))[index]
        if self._process is None or self._process.pid != os.getpid():
            self._process = _Process(self.plan)
        row = self._process.row(int(self._epoch) * len(self) + position)
        return self._item(row)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": None}

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes; call it before iterating the loader. Workers that live on learn of it too."""
        self._epoch.fill_(_epoch(epoch))

    def _item(self, row: Row) -> dict[str, Any]:
        soft = row.mask if row.soft_mask is None else row.soft_mask
        has_soft, has_normal = self.plan.generator.has_soft_mask, self.plan.recipe.keep_normal
        return {
            "image": image_tensor(row.image, row.value_range),
            "mask": mask_tensor(row.mask),
            **({"soft_mask": mask_tensor(soft)} if has_soft else {}),
            **({"normal": image_tensor(row.normal, row.value_range)} if has_normal else {}),
            "label": row.label,
            "detectability": math.nan if row.detectability is None else row.detectability,
            "defect_type": self.defect_names.index(row.defect_type),
            "index": row.index,
        }


class _Process:
    """What a process keeps: the renderer with its cache, and how to keep libraries to one thread."""

    def __init__(self, plan: Plan):
        info = get_worker_info()
        self.pid = os.getpid()
        self._renderer = Renderer(plan, DEFAULT_CACHE_BYTES // (info.num_workers if info else 1))
        self._threads = ThreadpoolController()

    def row(self, index: int) -> Row:
        with single_threaded(self._threads):
            return self._renderer.row(index)


class Seeded(Dataset[Any]):
    """A dataset whose random transforms follow from (seed, epoch, index), for any number of loader workers.

    Seeds torch's generator before each item and restores it afterwards; what draws from it, as torchvision's
    transforms and `anomgen.adapters.torchvision.Anomaly` do, then no longer depends on who loads the item.
    """

    def __init__(self, dataset: Any, seed: int = 0):
        self.dataset, self.seed = dataset, seed
        self._epoch = _shared_counter()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        position = range(len(self))[index]
        rng = rng_for(self.seed, Stream.ONLINE, int(self._epoch) * len(self) + position)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(int(rng.integers(2**63)))
            return self.dataset[position]

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes; call it before iterating the loader. Workers that live on learn of it too."""
        self._epoch.fill_(_epoch(epoch))


def _shared_counter() -> torch.Tensor:
    """Return a zero in memory that loader workers share, forked or spawned, also those that outlive an epoch."""
    result: torch.Tensor = torch.zeros((), dtype=torch.int64).share_memory_()
    return result


def _epoch(value: int) -> int:
    try:
        value = operator.index(value)
    except TypeError:
        raise UsageError(f"an epoch is a whole number, not {value!r}") from None
    if value < 0:
        raise UsageError(f"epochs are numbered from 0, not {value}")
    return value


# --- tensors --------------------------------------------------------------------------------------------------------


def image_tensor(image: np.ndarray, value_range: ValueRange | None = None) -> torch.Tensor:
    """Return float32 (C, H, W) of an image (H, W, C), uint8 or uint16: 0..1 from end to end of the range of values.

    value_range: None for the whole depth; outliers of another lie outside 0..1.
    """
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32)
    low, high = value_range or (0, value_max(image.dtype))
    return torch.from_numpy(planes).sub_(low).div_(high - low)


def mask_tensor(mask: np.ndarray) -> torch.Tensor:
    """Return float32 (1, H, W) of a mask (H, W), bool or float32."""
    return torch.from_numpy(mask.astype(np.float32))[None]


def drawn_numbers(count: int) -> list[int]:
    """Return numbers for `Drawer.draw` from torch's generator: `torch.manual_seed` repeats them, workers differ."""
    return [int(number) for number in torch.randint(2**63 - 1, (count,))]


def draw_on_tensors(drawer: Drawer, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a batch with anomalies, and their masks, float32 (B, 1, H, W), 0 or 1.

    batch: (B, C, H, W), C 1 or 3, uint8, uint16 or floating point in 0..1; its dtype and device are kept. Raises
    UsageError for values and shapes that are none of these.
    """
    if batch.ndim != 4 or batch.shape[1] not in (1, 3):
        raise UsageError(
            f"an image is (C, H, W) or a batch (B, C, H, W) with 1 or 3 channels, not {tuple(batch.shape)}"
        )
    images = _arrays(batch)
    samples = drawer.draw(images, drawn_numbers(len(images)))
    out, masks = batch.clone(), batch.new_zeros((len(images), 1, *batch.shape[2:]), dtype=torch.float32)
    for k, sample in enumerate(samples):
        if sample is not None:
            planes = np.ascontiguousarray(sample.image.transpose(2, 0, 1))
            out[k] = torch.from_numpy(planes)
            masks[k] = mask_tensor(sample.mask)
    return out, masks


def _arrays(batch: torch.Tensor) -> Sequence[np.ndarray]:
    """Return the images (H, W, C); half precision, which numpy lacks or rounds coarsely, as float32."""
    values = batch.detach().cpu()
    if values.is_floating_point() and values.dtype != torch.float64:
        values = values.float()
    return list(np.ascontiguousarray(values.numpy().transpose(0, 2, 3, 1)))
