"""A tiny data set with real-looking defects in the layout of MVTec AD, for tests of scoring."""

from pathlib import Path

import cv2
import numpy as np


def texture(seed, side=32):
    """Return a smooth grey-brown texture, uint8 (side, side, 3)."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (side, side, 3)), (0, 0), 1.5)
    return np.clip(150 + 30 * noise, 0, 255).astype(np.uint8)


def defect(seed, side=32):
    """Return a texture with a dark disc or a bright bar, and its mask, uint8 0/255."""
    image, mask = texture(seed, side), np.zeros((side, side), np.uint8)
    rng = np.random.default_rng(seed)
    x, y = (int(v) for v in rng.integers(8, side - 8, 2))
    if seed % 2:
        cv2.circle(mask, (x, y), 4, 255, -1)
    else:
        cv2.rectangle(mask, (x - 5, y - 2), (x + 5, y + 2), 255, -1)
    image[mask > 0] = 30 if seed % 2 else 240
    return image, mask


def tiny_data(root: Path, *, train=12, good=6, bad=4, masks=True, side=32) -> Path:
    """Write the data set and return its folder: defects `spot` (dark discs) and `bar` (bright bars)."""
    pictures = {f"train/good/{k:03d}.png": texture(k, side) for k in range(train)}
    pictures |= {f"test/good/{k:03d}.png": texture(100 + k, side) for k in range(good)}
    for k in range(2 * bad):
        image, mask = defect(200 + k, side)
        name = "spot" if k % 2 else "bar"
        pictures[f"test/{name}/{k:03d}.png"] = image
        if masks:
            pictures[f"ground_truth/{name}/{k:03d}_mask.png"] = mask
    for name, picture in pictures.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture)
    return root
