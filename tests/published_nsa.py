"""NSA as its authors' code draws it, stated plainly: OpenCV's cloning, later masks over earlier ones, no redrawing."""

import cv2
import numpy as np
from skimage.filters import median
from skimage.morphology import disk

TRIES = 199


def draw(rng, image, donor, objects, row):
    """One draw for uint8 images (H, W, C); objects: their masks, bool (H, W), or None.

    row: half_widths (of height and width), min_object, patches, slope, midpoint, resize, clone, of the paper's table.
    Returns (mask, soft mask, sides of the patches); the mask is empty where no patch could be placed.
    """
    drawn, covered, sides = image.copy(), np.zeros(image.shape[:2], bool), []
    for number in range(row["patches"]):
        if number and rng.random() < 0.5:
            continue
        patch = _patch(rng, drawn, donor, objects, row)
        if patch is not None:
            drawn, box, inside = patch
            covered[box] = inside
            sides.append(inside.shape)
    change = np.abs(drawn.astype(float) - image).mean(axis=2)
    mask = cv2.medianBlur(((change > 1) & covered).astype(np.uint8), 5).astype(bool)
    filtered = median(change * mask, disk(5))
    soft = mask / (1 + np.exp(-row["slope"] * (filtered - row["midpoint"])))
    return mask, soft, sides


def _patch(rng, drawn, donor, objects, row):
    shape = np.array(drawn.shape[:2])
    low, high = (np.rint(bounds * shape).astype(int) for bounds in np.transpose(row["half_widths"]))
    half = np.clip((0.03 + rng.gamma(2, 0.05, 2)) * shape, low, high).astype(int)
    near, far = objects or (None, None)
    for _ in range(TRIES):
        centre = rng.integers(low, shape - low)
        start, end = np.maximum(centre - half, 0), np.minimum(centre + half, shape)
        cut = (slice(start[0], end[0]), slice(start[1], end[1]))
        if far is None or far[cut].mean() > row["min_object"]:
            break
    else:
        return None
    before = end - start
    scale = np.clip(rng.normal(1, 0.5), *row["resize"])
    h = np.clip(scale * before[0], low[0], high[0])
    w = int(np.clip(int(h / before[0] * before[1]), low[1], high[1]))
    h = int(np.clip(int(w / before[1] * before[0]), low[0], high[0]))
    content = cv2.resize(donor[cut], (w, h)).reshape(h, w, -1)
    for _ in range(TRIES):
        centre = rng.integers((h // 2 + 1, w // 2 + 1), shape - (h // 2 + 1, w // 2 + 1))
        y, x = centre - (h // 2, w // 2)
        box = (slice(y, y + h), slice(x, x + w))
        if near is None:
            inside = clone = np.ones((h, w), bool)
            break
        theirs, ours = cv2.resize(far[cut].astype(np.uint8), (w, h)) > 0, near[box]
        inside, clone = theirs | ours, np.ones((h, w), bool)  # the clone gets what both show as background, too
        if theirs.mean() > row["min_object"] and (theirs & ours).sum() > 0.25 * theirs.sum():
            break
    else:
        return None
    clone = np.pad(clone[1:-1, 1:-1], 1).astype(np.uint8) * 255
    if np.count_nonzero(clone) < 50:
        return None
    middle = (int(x + (w + 1) // 2), int(y + h // 2))
    colour = (np.repeat(array, 3 // array.shape[2], axis=2) for array in (content, drawn))
    return cv2.seamlessClone(*colour, clone, middle, row["clone"])[..., : drawn.shape[2]], box, inside
