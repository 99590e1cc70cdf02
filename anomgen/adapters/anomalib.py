"""Recipes as the anomaly generator of anomalib's models (2.x): DRAEM, GLASS, DSR and SuperSimpleNet.

    model = Draem()
    model.augmenter = Augmenter("nsa", source="bottle/train/good", overrides=["anomaly_ratio=0.5"])

GLASS calls it `model.model.augmentor` and wants every image anomalous (``anomaly_ratio=1``), DSR `perlin_generator`.
SuperSimpleNet draws on features; `load_anomalies` gives its network anomalous images with masks, which it also learns
from.
"""

from __future__ import annotations

from anomgen.errors import require

require("adapters", __name__, "torch")

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from anomgen.adapters.base import Drawer
from anomgen.adapters.torch import draw_on_tensors
from anomgen.making.engine import Recipe

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Augmenter(nn.Module):
    """Draws anomalies on images, with the recipe's `anomaly_ratio`, as anomalib's `PerlinAnomalyGenerator` does.

    What is drawn follows from the recipe's seed and torch's generator, which ``seed_everything`` seeds.

    recipe, options: a Recipe, or what `anomgen.load_recipe` takes; `float_range` and `value_range` are `Drawer`'s. The
    source's channels and depth need not be the images'.
    """

    def __init__(self, recipe: Recipe | str, **options: Any):
        super().__init__()
        self.drawer = Drawer(recipe, **options)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the images with anomalies and their masks, float32, 0 or 1, (1, H, W) or (B, 1, H, W).

        image: (C, H, W) or (B, C, H, W), C 1 or 3, floating point in 0..1 or uint8; dtype and device are kept. Raises
        UsageError for normalised images.
        """
        drawn, mask = draw_on_tensors(self.drawer, image if image.ndim == 4 else image[None])
        return (drawn, mask) if image.ndim == 4 else (drawn[0], mask[0])


def load_anomalies(
    model: nn.Module,
    augmenter: Augmenter,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> RemovableHandle:
    """Let a network that learns from (images, masks, labels) train on anomalous ones; return the hook's handle.

    model: takes the keywords `images`, `masks` and `labels` as anomalib's `SupersimplenetModel` does, while training
    the images normalised by `mean` and `std`; masks are (B, H, W). Masks and labels that are there already are kept
    and added to.
    """

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        if not module.training:
            return None
        images = kwargs["images"]
        centre, spread = (images.new_tensor(values).view(1, -1, 1, 1) for values in (mean, std))
        drawn, masks = augmenter(images * spread + centre)
        masks = masks[:, 0]
        labels = masks.flatten(1).any(dim=1)
        if kwargs.get("masks") is not None:
            masks = torch.maximum(masks, kwargs["masks"].reshape(masks.shape).to(masks.dtype))
        if kwargs.get("labels") is not None:
            labels = labels | kwargs["labels"].bool()
        return args, {**kwargs, "images": (drawn - centre) / spread, "masks": masks, "labels": labels}

    return model.register_forward_pre_hook(before, with_kwargs=True)
