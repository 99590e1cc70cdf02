"""Images as training and models see them: floats from −1 to 1, in several orientations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from anomgen.errors import SourceError, UsageError
from anomgen.rng import order_of
from anomgen.sources.base import Source
from anomgen.sources.pixels import quantise, to_channels, value_max
from anomgen.sources.pool import Pool

Augment = Literal["none", "horizontal", "flips", "rotations"]
"""Mirrorings and quarter turns under which a normal image stays normal; `rotations` on square images only."""

WAYS = {"none": 1, "horizontal": 2, "flips": 4, "rotations": 8}
"""Setting `augment` → number of orientations, of those that `turned` knows, in which images are shown."""


def turned(image: np.ndarray, way: int) -> np.ndarray:
    """Return a view of an image (H, W, …) in one of eight orientations; way 0 is the image itself."""
    image = image[:, ::-1] if way & 1 else image
    image = image[::-1] if way & 2 else image
    return image.swapaxes(0, 1) if way & 4 else image


def turned_back(image: np.ndarray, way: int) -> np.ndarray:
    """Undo `turned`."""
    image = image.swapaxes(0, 1) if way & 4 else image
    image = image[::-1] if way & 2 else image
    return image[:, ::-1] if way & 1 else image


def require_square(augment: Augment, shape: Sequence[int]) -> None:
    """Raise UsageError where quarter turns would change the images' shape, (H, W, …)."""
    if augment == "rotations" and shape[0] != shape[1]:
        raise UsageError(
            f"augment: rotations needs square images, these are {shape[0]}×{shape[1]}: use --set augment=flips (or "
            "horizontal, or none), or make them square with --set source.fit=crop"
        )


class Images:
    """A source as floats: image k of the training is the k-th of permutation after permutation of the source.

    like: images whose range of values is this one's, too, whatever its own is.
    """

    def __init__(self, source: Source, minimum: int = 2, like: Images | None = None):
        if len(source) < minimum:
            raise SourceError(
                f"training needs at least {minimum} images, the source has {len(source)}: add normal images"
            )
        self.pool = Pool(source)
        if like is not None:
            self.pool.value_range = like.pool.value_range
        self.shape: tuple[int, ...] = self.pool[0].shape
        for index in range(len(source)):
            if self.pool[index].shape != self.shape:
                raise SourceError(
                    f"{source.id(index)} is {_text(self.pool[index].shape)}, the first image {_text(self.shape)}: "
                    "training needs one size; stretch them with --size HxW, or cut them with --set source.fit=crop"
                )

    def __len__(self) -> int:
        return len(self.pool)

    def drawn(self, seed: int, number: int) -> np.ndarray:
        """Return the image that is drawn as number `number`: float32 (H, W, C) in [−1, 1]."""
        return self.scaled(shuffled(seed, number, len(self.pool)))

    def show_in(self, channels: int) -> None:
        """Show grey images as colour ones of equal channels, where others are in colour."""
        self.shape = (*self.shape[:2], max(channels, self.shape[2]))

    def scaled(self, index: int) -> np.ndarray:
        """Return an image of the source, float32 (H, W, C) in [−1, 1]."""
        return scaled(to_channels(self.pool[index], self.shape[2]))


def scaled(image: np.ndarray) -> np.ndarray:
    """Return an image, uint8 or uint16, as float32 in [−1, 1]."""
    return image.astype(np.float32) * np.float32(2 / value_max(image.dtype)) - np.float32(1)


def unscaled(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return float values of [−1, 1] as an image; what lies outside is clipped, halves round to even."""
    return quantise((values.astype(np.float64) + 1) * (value_max(dtype) / 2), dtype)


def shuffled(seed: int, number: int, count: int) -> int:
    """Return the `number`-th entry of one permutation of `count` things after the other."""
    epoch, position = divmod(number, count)
    return int(order_of(seed, epoch, count)[position])


def _text(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
