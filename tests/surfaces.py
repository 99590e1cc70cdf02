"""Surfaces for tests, and the folders of a product of which some images have a defect."""

import cv2
import numpy as np

from anomgen.generators.defects.generator import Defects
from anomgen.rng import Stream, rng_for
from anomgen.synthesis.sample import Reject

SIDE = 128
"""Pixels of a side, unless it is said."""


class Surfaces(list):
    """Grey or coloured textures; with `object`, discs on a dark background and their foreground."""

    def __init__(self, count=12, channels=3, side=SIDE, *, disc=False, dtype=np.uint8):
        y, x = np.mgrid[:side, :side]
        self.disc = np.hypot(y - side / 2, x - side / 2) < 0.38 * side if disc else None
        top = np.iinfo(dtype).max
        for number in range(count):
            rng = np.random.default_rng([5, number])
            grain = cv2.GaussianBlur(rng.normal(0, 30, (side, side)), (0, 0), 1.2)
            values = np.stack([140 + grain, 110 + grain, 90 + grain][:channels], axis=-1)
            if disc:
                values = np.where(self.disc[..., None], values, 20)
            super().append(np.clip(np.rint(values * top / 255), 0, top).astype(dtype))
            self[-1].flags.writeable = False

    def foreground(self, image):
        return self.disc


def drawn(generator, image, pool, k):
    """Return a sample on an image; what cannot be seen is drawn again, as `make` does: that differs by OpenCV."""
    for attempt in range(10):
        try:
            return generator.sample(rng_for(9, Stream.SAMPLE, k, attempt), image, pool)
        except Reject:
            continue
    raise AssertionError(f"nothing is drawn on image {k}")


def write_cracked(root, pool, normals):
    """Write the first images of a pool to `good`, the others cracked to `bad`, and to `masks` the cracks."""
    for folder in ("good", "bad", "masks"):
        (root / folder).mkdir()
    cracks = Defects(kinds=["crack"], severity=2.0, dark=1.0).prepared(pool)
    for k, image in enumerate(pool):
        if k < normals:
            cv2.imwrite(str(root / "good" / f"{k}.png"), image)
            continue
        sample = drawn(cracks, image, pool, k)
        cv2.imwrite(str(root / "bad" / f"{k}.png"), sample.image)
        cv2.imwrite(str(root / "masks" / f"{k}.png"), sample.mask.view(np.uint8) * 255)
    return root
