"""Pictures of an object on its background, and how well a mask covers it."""

import cv2
import numpy as np
from scipy import ndimage

from anomgen.rng import Stream, rng_for


def rng(index=0):
    return rng_for(11, Stream.SOURCE, index)


def disc(shape, index):
    """Return the object of scene `index`: a disc that moves a little."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    centre = np.array(shape) * (0.5 + rng(index).uniform(-0.08, 0.08, 2))
    return np.hypot(y - centre[0], x - centre[1]) < 0.27 * min(shape)


def scene(index, inside, outside, shape=(128, 160), dtype=np.uint8, channels=3):
    """Return a noisy disc of one colour on a ground of another, and the disc."""
    mask = disc(shape, index)
    values = np.where(mask[..., None], np.array(inside, float)[:channels], np.array(outside, float)[:channels])
    values = values + rng(index).normal(0, 3, (*shape, channels))
    image = np.clip(values, 0, 255) * (np.iinfo(dtype).max // 255)
    return image.astype(dtype), mask


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def shadowed(index, shape=(192, 224)):
    """Return a disc with a dark and a lighter half on a bright ground with a soft shadow beside it, and the disc."""
    mask = disc(shape, index)
    shadow = cv2.GaussianBlur(np.roll(mask, (7, 9), (0, 1)).astype(np.float32), (0, 0), 6)
    lower = np.arange(shape[0])[:, None] > ndimage.center_of_mass(mask)[0]
    values = np.where(mask, np.where(lower, 50.0, 80.0), 215 - 70 * shadow)[..., None]
    return np.clip(values + rng(index).normal(0, 3, (*shape, 3)), 0, 255).astype(np.uint8), mask
