"""The ten random operations by which DRAEM varies its textures.

Zavrtanik, Kristan, Skočaj: "DRAEM – A discriminatively trained reconstruction embedding for surface anomaly
detection", ICCV 2021, arXiv 2108.07610. Ranges are those of the official code, which calls a library that no longer
installs; posterize, autocontrast, equalize and sharpness follow Pillow's definitions.

Note: seven of the ten map each value of a channel to another value, so runs of them become one table, and the
histogram that autocontrast and equalize need is carried through the table instead of being counted again.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from anomgen.synthesis.sample import Box

OPERATIONS = (
    "gamma",
    "brightness",
    "sharpness",
    "hue_saturation",
    "solarize",
    "posterize",
    "invert",
    "autocontrast",
    "equalize",
    "rotate",
)
"""Names of the operations."""

_LEVELS = np.arange(256, dtype=np.float32)
_IDENTITY = np.arange(256, dtype=np.uint8)


def operations_for(channels: int) -> tuple[str, ...]:
    """Return the operations that mean something: a grey texture has no hue and no saturation."""
    return OPERATIONS if channels == 3 else tuple(name for name in OPERATIONS if name != "hue_saturation")


def augment(
    rng: np.random.Generator, texture: np.ndarray, count: int = 3, window: Box | None = None
) -> tuple[np.ndarray, list[str]]:
    """Apply `count` distinct operations, drawn uniformly, in random order; tell which.

    texture: (H, W, C) uint8, C 1 or 3; not changed. window: the part of the result that is wanted, by default all.
    Returns its shape and the same dtype.
    """
    names = rng.permutation(np.array(operations_for(texture.shape[2])))[:count].tolist()
    tones = _Tones(texture)
    for name in names:
        if name in _TONES:
            tones.apply(_TONES[name](rng, tones))
        else:
            tones = _Tones(np.atleast_3d(_FILTERS[name](rng, tones.image())))
    return tones.image(window), names


def operate(rng: np.random.Generator, texture: np.ndarray, name: str) -> np.ndarray:
    """Apply one operation to (H, W, C) uint8."""
    tones = _Tones(texture)
    if name not in _TONES:
        return np.atleast_3d(_FILTERS[name](rng, texture))
    tones.apply(_TONES[name](rng, tones))
    return tones.image()


class _Tones:
    """An image together with a table (C, 256) of what its values have become; the image is written once."""

    def __init__(self, image: np.ndarray):
        self._image = image
        self.channels = image.shape[2]
        self._table: np.ndarray | None = None

    def apply(self, table: np.ndarray) -> None:
        """Map the current values by `table`, (256,) or (C, 256)."""
        table = np.broadcast_to(table, (self.channels, 256))
        self._table = table if self._table is None else np.take_along_axis(table, self._table.astype(np.intp), 1)

    def histogram(self) -> np.ndarray:
        """Return the counts, (C, 256), of the current values."""
        counts = np.stack(
            [cv2.calcHist([self._image], [c], None, [256], [0, 256]).ravel() for c in range(self.channels)]
        )
        if self._table is None:
            return counts
        return np.stack([np.bincount(row, counts[c], minlength=256) for c, row in enumerate(self._table)])

    def image(self, window: Box | None = None) -> np.ndarray:
        """Return the image, or a part of it, with the table applied."""
        image = self._image if window is None else self._image[window.slices]
        if self._table is None:
            return image
        return _looked_up(image, self._table)


def _looked_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return an image (H, W, C) with the values of each channel mapped by its row of a table (C, 256)."""
    return np.atleast_3d(cv2.LUT(image, np.ascontiguousarray(table.T)[None]))


def _to_table(values: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return result


def _gamma(rng: np.random.Generator, tones: _Tones) -> np.ndarray:
    """Raise each channel to a power of its own, U(0.5, 2)."""
    power = rng.uniform(0.5, 2.0, (tones.channels, 1))
    return _to_table(255 * (_LEVELS / 255) ** power)


def _brightness(rng: np.random.Generator, tones: _Tones) -> np.ndarray:  # noqa: ARG001
    """Multiply by U(0.8, 1.2) and add U(−30, 30), all channels alike."""
    return _to_table(_LEVELS * rng.uniform(0.8, 1.2) + rng.uniform(-30, 30))


def _solarize(rng: np.random.Generator, tones: _Tones) -> np.ndarray:  # noqa: ARG001
    """Invert, in one case of two, the values from a threshold U{32 … 128} on."""
    threshold = int(rng.integers(32, 129)) if rng.random() < 0.5 else 256
    return np.where(threshold <= _IDENTITY, 255 - _IDENTITY, _IDENTITY)


def _posterize(rng: np.random.Generator, tones: _Tones) -> np.ndarray:  # noqa: ARG001
    """Keep the upper U{1 … 8} bits."""
    return _IDENTITY & np.uint8(0xFF00 >> int(rng.integers(1, 9)) & 0xFF)


def _invert(rng: np.random.Generator, tones: _Tones) -> np.ndarray:  # noqa: ARG001
    return 255 - _IDENTITY


def _autocontrast(rng: np.random.Generator, tones: _Tones) -> np.ndarray:
    """Stretch each channel to the full range after cutting U{0 … 20} % of its pixels at either end."""
    cutoff = int(rng.integers(0, 21)) / 100
    share = np.cumsum(tones.histogram(), axis=1)
    share /= share[:, -1:]
    low = np.argmax(share > cutoff, axis=1)[:, None]
    high = np.argmax(share >= 1 - cutoff, axis=1)[:, None]
    width = high - low
    return np.where(width > 0, _to_table((_LEVELS - low) * (255 / np.maximum(width, 1))), _IDENTITY)


def _equalize(rng: np.random.Generator, tones: _Tones) -> np.ndarray:  # noqa: ARG001
    """Make the values of each channel equally frequent."""
    table = np.tile(_IDENTITY, (tones.channels, 1))
    for channel, counts in enumerate(tones.histogram()):
        used = counts[counts > 0]
        step = int(counts.sum() - used[-1]) // 255
        if step > 0:
            below = np.concatenate(([0], np.cumsum(counts)[:-1]))
            table[channel] = np.minimum((below + step // 2) // step, 255)
    return table


def _sharpness(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Mix with the smoothed image by a factor U(0, 2): below 1 it blurs, above it sharpens."""
    factor = rng.uniform(0, 2)
    kernel = np.full((3, 3), (1 - factor) / 13, dtype=np.float32)
    kernel[1, 1] = (1 - factor) * 5 / 13 + factor
    return cv2.filter2D(image, -1, kernel)


def _hue_saturation(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Turn the hue by U{−50 … 50} of 255 and shift the saturation by U{−50 … 50} of 255."""
    hue, saturation = (int(v) for v in rng.integers(-50, 51, 2))
    turned = ((np.arange(256) + round(hue * 180 / 255)) % 180).astype(np.uint8)
    table = np.stack((turned, _to_table(_LEVELS + saturation), _IDENTITY))
    return cv2.cvtColor(_looked_up(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), table), cv2.COLOR_HSV2RGB)


def _rotate(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Turn by U(−45, 45) degrees; the corners are mirrored (the official code leaves them black)."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rng.uniform(-45, 45), 1.0)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)


_TONES: dict[str, Callable[[np.random.Generator, _Tones], np.ndarray]] = {
    "gamma": _gamma,
    "brightness": _brightness,
    "solarize": _solarize,
    "posterize": _posterize,
    "invert": _invert,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
_FILTERS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "sharpness": _sharpness,
    "hue_saturation": _hue_saturation,
    "rotate": _rotate,
}
