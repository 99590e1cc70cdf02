"""Which mask belongs to which image, by their folders and stems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from anomgen.errors import SourceError
from anomgen.sources.mask_files import read_mask
from anomgen.sources.tree import (
    MASK_NAMES,
    NORMAL_NAMES,
    folders_of,
    left_out,
    mask_places,
    masks_among,
    place_of,
)


def paired(images: Sequence[str], masks: Sequence[str], path: str) -> dict[str, list[str]]:
    """Return the masks of each image that has any: one, or those in a folder that is called like the image.

    A mask's folders, without the one that says that it holds masks, are the last ones of the image's:
    ``test/crack/001.jpg`` has ``ground_truth/crack/001_mask.png``, ``bad/001.jpg`` has ``masks/001.png`` and
    ``test/logical/001.png`` has ``ground_truth/logical/001/000.png`` and the others there. Raises SourceError for masks
    that fit several images, or of which several fit one.
    """
    exact: dict[tuple[str, ...], str] = {}
    ended: dict[tuple[str, ...], str] = {}
    in_folder: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for mask in masks:
        first, *others = mask_places(mask)
        for known, place in ((exact, first), *((ended, place) for place in others)):
            if place in known:
                raise SourceError(f"{path}: {known[place]} and {mask} are masks of the same image; remove one")
            known[place] = mask
        in_folder[first[:-1]].append(mask)
    masks_of: dict[str, list[str]] = {}
    image_of: dict[str, str] = {}
    for image in images:
        for place in _ends(place_of(image)):
            single = exact.get(place) or ended.get(place)
            if single or place in in_folder:
                masks_of[image] = [single] if single else in_folder[place]
                break
        for mask in masks_of.get(image, ()):
            if mask in image_of:
                raise SourceError(
                    f"{path}: {mask} could be the mask of {image_of[mask]} and of {image}; put the masks into folders "
                    "named like those of the images"
                )
            image_of[mask] = image
    return masks_of


def _ends(place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield a place and what is left of it without its first folders, the longest first."""
    for start in range(len(place)):
        yield place[start:]


def marks(masks: Sequence[str], read: Callable[[str], bytes]) -> bool:
    """Return whether one of several mask files marks a pixel."""
    return any(bool(np.any(read_mask(read(mask), mask))) for mask in masks)


class ChosenPictures(NamedTuple):
    """The pictures of a folder that are images of one sort, and notes on what was left out."""

    images: list[str]
    notes: tuple[str, ...]


def normal_among(pictures: Sequence[str], read: Callable[[str], bytes], path: str) -> ChosenPictures:
    """Return the pictures that are neither masks nor have one beside them that marks an anomaly."""
    masks = masks_among(pictures, read)
    images = [name for name in pictures if name not in masks]
    masks_of = _beside(images, masks, path)
    marked = [name for name in images if name in masks_of and marks(masks_of[name], read)]
    notes = left_out(sorted(masks), "masks") + left_out(marked, "whose masks mark an anomaly")
    return ChosenPictures([name for name in images if name not in set(marked)], notes)


def abnormal_among(pictures: Sequence[str], read: Callable[[str], bytes], path: str) -> ChosenPictures:
    """Return the pictures that are no masks, in no folder of normal images, and have no empty mask beside them."""
    masks = masks_among(pictures, read)
    images = [name for name in pictures if name not in masks]
    masks_of = _beside(images, masks, path)
    normal = [
        name
        for name in images
        if folders_of(name) & NORMAL_NAMES or (name in masks_of and not marks(masks_of[name], read))
    ]
    notes = left_out(sorted(masks), "masks") + left_out(normal, "normal images")
    return ChosenPictures([name for name in images if name not in set(normal)], notes)


def _beside(images: Sequence[str], masks: set[str], path: str) -> dict[str, list[str]]:
    return paired(images, sorted(mask for mask in masks if not folders_of(mask) & MASK_NAMES), path)
