"""An albumentations transform (2.0) that draws a recipe's anomalies on image and mask."""

from __future__ import annotations

from anomgen.errors import require

require("adapters", __name__, "albumentations")

from typing import Any

import numpy as np
from albumentations import DualTransform
from albumentations.core.type_definitions import Targets

from anomgen.adapters.base import Drawer, check_values
from anomgen.errors import UsageError
from anomgen.making.engine import Recipe


class Anomaly(DualTransform):
    """Draws an anomaly on the image, with the recipe's `anomaly_ratio`, and marks it in the mask.

    image: (H, W), (H, W, 1) or (H, W, 3), uint8, uint16, or floating point in 0..1; not yet normalised. mask: any
    dtype, zeros where nothing is marked yet; the anomaly's pixels become 1 (True). All else passes as it is: boxes,
    keypoints, and other masks (`additional_targets`, `masks`), such as a segmentation with numbers of classes.

    What is drawn follows from the recipe's seed and this transform's `random_generator`, so ``Compose(seed=…)`` and
    ``set_random_seed`` repeat it. As with every albumentations transform, forked loader workers start with the same
    state: call ``compose.set_random_seed(epoch * len(dataset) + index)`` before each item, and it follows from
    (epoch, index), for any number of workers.

    recipe, options: a Recipe, or what `anomgen.load_recipe` takes; `float_range` and `value_range` are `Drawer`'s. p:
    how often the transform is applied at all. marks: the target in which anomalies are marked: ``mask``, another one
    of `additional_targets`, or ``masks``, for each of them.

    Raises UsageError for a call without that mask, for the anomaly's would be lost, with one of another size or of
    values beyond 0..1, and with a second image (`additional_targets`, `images`, `volume`), for its anomaly would be
    another.
    """

    _targets = (Targets.IMAGE, Targets.MASK, Targets.BBOXES, Targets.KEYPOINTS)

    def __init__(self, recipe: Recipe | str, p: float = 1.0, *, marks: str = "mask", **options: Any):
        super().__init__(p=p)
        self.recipe, self.marks, self.options = recipe, marks, options
        self.drawer = Drawer(recipe, **options)

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the anomaly: the new image and its mask."""
        targets = {key: target for key, target in self._key2func.items() if data.get(key) is not None}
        images = sorted(key for key, target in targets.items() if target in self._of_images())
        masks = sorted(key for key, target in targets.items() if target in (self.apply_to_mask, self.apply_to_masks))
        if images != ["image"] or self.marks not in masks or not len(data[self.marks]):
            raise UsageError(
                f"Anomaly needs one image and a mask of zeros, {self.marks!r}, to mark the anomaly in; given: "
                f"{', '.join([*images, *masks]) or 'neither'}. Say with marks=NAME which mask it is, and give other "
                "images, on which its anomaly is not, to transforms before or after it"
            )
        image = np.atleast_3d(data["image"])
        (sample,) = self.drawer.draw([image], [int(self.random_generator.integers(2**63))])
        drawn = image if sample is None else sample.image
        marked = np.zeros(image.shape[:2], bool) if sample is None else sample.mask
        return {**params, "drawn": drawn.reshape(data["image"].shape), "marked": marked}

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return what was given, with the anomaly in the image and the mask; the rest passes."""
        changed = {key: kwargs[key] for key in ("image", self.marks)}
        return {**kwargs, **super().apply_with_params(params, *args, **changed)}

    def _of_images(self) -> tuple[Any, ...]:
        return self.apply, self.apply_to_images, self.apply_to_volume, self.apply_to_volumes

    def apply(self, img: np.ndarray, *args: Any, drawn: np.ndarray, **params: Any) -> np.ndarray:  # noqa: ARG002
        """Return the image with the anomaly."""
        return drawn

    def apply_to_mask(self, mask: np.ndarray, *args: Any, marked: np.ndarray, **params: Any) -> np.ndarray:  # noqa: ARG002
        """Return the mask with 1 where the anomaly is."""
        if mask.shape[:2] != marked.shape:
            raise UsageError(
                f"the mask has {mask.shape[0]}×{mask.shape[1]} pixels (height × width), the image "
                f"{marked.shape[0]}×{marked.shape[1]}: give one of its size"
            )
        check_values(mask)
        return np.where(marked if mask.ndim == 2 else marked[..., None], np.ones_like(mask), mask)

    def get_transform_init_args(self) -> dict[str, Any]:
        """Return what makes this transform again."""
        return {"recipe": self.recipe, "marks": self.marks, **self.options}
