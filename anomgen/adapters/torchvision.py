"""A torchvision v2 transform that draws a recipe's anomalies on the images that pass through it."""

from __future__ import annotations

from anomgen.errors import require

require("adapters", __name__, "torch", "torchvision")

from typing import Any

import numpy as np
import PIL.Image
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from anomgen.adapters.base import Drawer, check_values
from anomgen.adapters.torch import draw_on_tensors
from anomgen.errors import UsageError
from anomgen.making.engine import Recipe


class Anomaly(v2.Transform):
    """Draws an anomaly on the image, with the recipe's `anomaly_ratio`, and marks it in the Mask given with it.

    Takes any structure with one image (tv_tensors.Image, a tensor, or PIL) and one tv_tensors.Mask, zeros where nothing
    is marked yet; in it the anomaly's pixels become 1 (True). Give images before normalising them:
    uint8, uint16, or floating point in 0..1; (C, H, W), or a batch (B, C, H, W). All else passes unchanged.

    What is drawn follows from the recipe's seed and torch's generator: `torch.manual_seed` repeats it, loader workers
    differ. `anomgen.adapters.torch.Seeded` makes it follow from (seed, epoch, index).

    recipe, options: a Recipe, or what `anomgen.load_recipe` takes; `float_range` and `value_range` are `Drawer`'s.
    Raises UsageError for inputs without a Mask (the anomaly's would be lost), with several images or Masks, of which
    another, such as a segmentation, would be written to, and with a Mask of values beyond 0..1.
    """

    def __init__(self, recipe: Recipe | str, **options: Any):
        super().__init__()
        self.drawer = Drawer(recipe, **options)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the anomaly: the new image and its mask."""
        masks = [value for value in flat_inputs if isinstance(value, tv_tensors.Mask)]
        images = [value for value in flat_inputs if _is_image(value)]
        if len(images) != 1 or len(masks) != 1:
            raise UsageError(
                f"Anomaly needs one image and one tv_tensors.Mask to mark the anomaly in, and was given {len(images)} "
                f"images and {len(masks)} masks; give a Mask of zeros, (1, H, W), and others to transforms before or "
                "after it"
            )
        image = images[0]
        batch = _pixels(image) if isinstance(image, PIL.Image.Image) else image.as_subclass(torch.Tensor)
        drawn, mask = draw_on_tensors(self.drawer, batch if batch.ndim == 4 else batch[None])
        return {"image": drawn.reshape(batch.shape), "mask": mask if batch.ndim == 4 else mask[0]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return the image, or the mask, with the anomaly."""
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(_marked(inpt.as_subclass(torch.Tensor), params["mask"]), like=inpt)
        if isinstance(inpt, PIL.Image.Image):
            pixels = params["image"].permute(1, 2, 0).numpy()
            return PIL.Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        if not _is_image(inpt):
            return inpt
        drawn = params["image"]
        return tv_tensors.wrap(drawn, like=inpt) if isinstance(inpt, tv_tensors.Image) else drawn


def _is_image(value: Any) -> bool:
    if isinstance(value, PIL.Image.Image | tv_tensors.Image):
        return True
    return isinstance(value, torch.Tensor) and not isinstance(value, tv_tensors.TVTensor)


def _pixels(image: PIL.Image.Image) -> torch.Tensor:
    if image.mode not in ("L", "RGB"):
        raise UsageError(f"a PIL image must be L or RGB, not {image.mode}; convert it first")
    return torch.from_numpy(np.atleast_3d(np.array(image)).transpose(2, 0, 1).copy())


def _marked(mask: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Return a mask with 1 where the anomaly is; drawn: (1, H, W) or (B, 1, H, W), 0 or 1."""
    check_values(mask.detach().float().cpu().numpy())
    where = drawn.to(mask.device) > 0
    if mask.shape == where.shape[:-3] + where.shape[-2:]:  # masks without an axis for channels
        where = where[..., 0, :, :]
    try:
        return torch.where(where, torch.ones_like(mask), mask)
    except RuntimeError:
        raise UsageError(f"the Mask is {tuple(mask.shape)}, the image's mask {tuple(drawn.shape)}") from None
