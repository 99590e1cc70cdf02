"""Which foreground fits a product: methods are tried on some of its images, and their masks judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from anomgen.errors import tell
from anomgen.sources.base import Images
from anomgen.sources.pool import SmallImages
from anomgen.sources.segmentation import border_distance, eight_bits, enlarged, fit, flattened, is_uneven

LOOKED_AT = 16
"""Images that are looked at, evenly spaced over the pool."""
PLAUSIBLE = 0.75
"""Share of the images on which a method's masks must be plausible."""
SHOWN = 0.5
"""Share of the images that must show an object, where the others are empty."""
SEEN, FEWEST = 0.125, 2
"""Share and number of the images from which on an object is told of that most of them do not show."""
EMPTY = 0.001
"""Share of an image up to which a mask is that of an empty one."""

Keys = dict[str, Any]
"""Of a foreground; none of them where it is the whole image."""
Segment = Callable[[Mapping[str, Any], np.ndarray], np.ndarray]
"""Keys of a foreground and an image, (H, W, C) → its mask, uint8 (H, W), 1 for object."""

_AUTO: Keys = {"close": 6, "open": 3, "clean": 0.03}


class _Product(NamedTuple):
    """Images of one product, (H, W, C) of 8 bits, and how they are looked at."""

    images: list[np.ndarray]
    segment: Segment
    shown: float = 1.0
    """Share of the images that must show an object; below 1 masks of nothing are those of empty images, no mistakes."""


class Overlooked(NamedTuple):
    """An object that few images show: the method that finds it, the names of these, and how many were looked at."""

    keys: Keys
    names: list[str]
    of: int


def chosen(pool: Images, segment: Segment) -> Keys:
    """Return the method that finds an object in nearly all of up to 16 images, or no keys: then it is a texture.

    Candidates: bright or dark, by Otsu or by the triangle rule; far from the colour of the border, with and without
    the lightness. A mask is plausible when the background is even compared with its difference from the object, is
    reached from the image's border, holds most of this border, and when the outline is short. Among the methods
    whose masks are plausible on three quarters of the images, that with the sharpest edges on most of them wins. Where
    the light is uneven they are tried on flattened images, too, and win if they are twice as good. Outlines are snapped
    to edges if they are plausible then, too.

    Where no method is, some images may show no object: then a method is judged on those in which it finds anything, if
    they are half of all; on the others every pixel is of the background's colour.
    """
    if not len(pool):
        return {}
    product = _Product(_seen(SmallImages(pool, LOOKED_AT)), segment)
    return _chosen(product) or _chosen(product._replace(shown=SHOWN))


def overlooked(pool: Images, segment: Segment) -> Overlooked | None:
    """Return the object that some of the images show for which `chosen` has no method, as most show none; or None.

    On surfaces there is none: masks must be plausible, and the images without one all of the background's colour.
    """
    if not len(pool):
        return None
    looked = SmallImages(pool, LOOKED_AT)
    product = _Product(_seen(looked), segment, SEEN)
    keys, _ = _best(product)
    if not keys:
        return None
    fits = [fit(image, segment(keys, image), keys["lightness"]) for image in product.images]
    names = [name for name, own in zip(looked.names, fits, strict=True) if own.plausible]
    return Overlooked(keys, names, len(fits)) if len(names) >= FEWEST else None


def _seen(images: SmallImages) -> list[np.ndarray]:
    return [enlarged(eight_bits(image)) for image in images]


def _chosen(product: _Product) -> Keys:
    best, score = _best(product)
    flatten = sum(is_uneven(image) for image in product.images) >= PLAUSIBLE * len(product.images)
    if flatten:
        flat = product._replace(images=[flattened(image) for image in product.images])
        other, other_score = _best(flat, without_light=False)  # where the light is even, it need not be left out
        flatten = other_score > 2 * score
        best, product = (other, flat) if flatten else (best, product)
    if not best:
        return best
    snap = _score(product, {**best, "snap": True}) > 0
    return {**best, "snap": snap, "flatten": flatten}


def _best(product: _Product, *, without_light: bool = True) -> tuple[Keys, float]:
    """Return the method with the highest score, and the score; no keys and 0 where no masks are plausible.

    without_light: whether the lightness may be left out, where there are colours.
    """
    best: Keys = {}
    best_score = 0.0
    candidates = _candidates(product, (1.0, 0.0) if without_light and product.images[0].shape[2] == 3 else (1.0,))
    for done, candidate in enumerate(candidates):
        tell(done, len(candidates), "choosing the foreground")
        score = _score(product, candidate)
        if "tolerance" not in candidate:
            score *= 0.9  # a threshold found anew on every image errs now and then on one that was not looked at
        if score > best_score:
            best, best_score = candidate, score
    return best, best_score


def _score(product: _Product, candidate: Keys) -> float:
    """Return how well a method's masks fit; 0 when they are plausible on fewer than three quarters of the images."""
    contrasts, wrong, empty, count = [], 0, 0, len(product.images)
    for image in product.images:
        mask = product.segment(candidate, image)
        if product.shown < 1 and mask.mean() <= EMPTY:
            empty += 1
        else:
            fits = fit(image, mask, candidate.get("lightness", 1.0))
            contrasts.append(fits.contrast)
            wrong += not fits.plausible
        if wrong > (1 - PLAUSIBLE) * (count - empty) or empty > (1 - product.shown) * count:
            return 0.0  # whatever the others are
    return (1 - wrong / (count - empty)) * float(np.quantile(contrasts, 0.25))


def _candidates(product: _Product, lightnesses: Sequence[float]) -> list[Keys]:
    """Return the methods to try; their levels are those in the middle of the images that must show an object."""
    found: list[Keys] = []
    middle = 1 - product.shown / 2
    for lightness in lightnesses:
        distances = [border_distance(image, lightness) for image in product.images]
        rules = (cv2.THRESH_OTSU, cv2.THRESH_TRIANGLE)
        otsu, triangle = (
            max(float(np.quantile([cv2.threshold(distance, 0, 1, rule)[0] for distance in distances], middle)), 0.0)
            for rule in rules
        )  # the triangle rule gives −1 where nearly all distances are 0
        # The triangle rule's level is low and may include shadows; above Otsu's, deep shadows are left out.
        levels = {triangle, float(np.sqrt(otsu * triangle)), otsu, 1.35 * otsu}
        for tolerance in sorted({round(level, 1) for level in levels} - {0.0}):
            found.append({"method": "background_color", "tolerance": tolerance, "lightness": lightness})
    for method in () if product.shown < 1 else ("otsu", "triangle"):  # which part every image in two
        found += [{"method": method, "side": side} for side in ("dark", "bright")]
    return [{**values, **_AUTO} for values in found]
