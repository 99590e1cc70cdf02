"""Images as an export stores them, and how they compare with a row."""

import cv2
import numpy as np


def pixels(path):
    """Return an image as it is stored, (H, W) or (H, W, 3) RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def same(image, row):
    return np.array_equal(np.atleast_3d(image), row["image"])
