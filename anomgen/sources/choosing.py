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
    may_be_empty: bool = False
    """Whether masks of nothing are those of empty images, and not mistakes."""


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
    images = [enlarged(eight_bits(image)) for image in SmallImages(pool, LOOKED_AT)]
    return _chosen(_Product(images, segment)) or _chosen(_Product(images, segment, may_be_empty=True))


def _chosen(product: _Product) -> Keys:
    best, score = _best(product, (1.0, 0.0) if product.images[0].shape[2] == 3 else (1.0,))
    flatten = sum(is_uneven(image) for image in product.images) >= PLAUSIBLE * len(product.images)
    if flatten:
        flat = product._replace(images=[flattened(image) for image in product.images])
        other, other_score = _best(flat, (1.0,))  # where the light is even, it need not be left out
        flatten = other_score > 2 * score
        best, product = (other, flat) if flatten else (best, product)
    if not best:
        return best
    snap = _score(product, {**best, "snap": True}) > 0
    return {**best, "snap": snap, "flatten": flatten}


def _best(product: _Product, lightnesses: Sequence[float]) -> tuple[Keys, float]:
    """Return the method with the highest score, and the score; no keys and 0 where no masks are plausible."""
    best: Keys = {}
    best_score = 0.0
    candidates = _candidates(product, lightnesses)
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
        if product.may_be_empty and mask.mean() <= EMPTY:
            empty += 1
        else:
            fits = fit(image, mask, candidate.get("lightness", 1.0))
            contrasts.append(fits.contrast)
            wrong += not fits.plausible
        if wrong > (1 - PLAUSIBLE) * (count - empty) or empty > (1 - SHOWN) * count:
            return 0.0  # whatever the others are
    return (1 - wrong / (count - empty)) * float(np.quantile(contrasts, 0.25))


def _candidates(product: _Product, lightnesses: Sequence[float]) -> list[Keys]:
    """Return the methods to try; where images may be empty, their levels are those of the half with the higher ones."""
    found: list[Keys] = []
    middle = 0.75 if product.may_be_empty else 0.5
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
    for method in () if product.may_be_empty else ("otsu", "triangle"):  # which part every image in two
        found += [{"method": method, "side": side} for side in ("dark", "bright")]
    return [{**values, **_AUTO} for values in found]
