"""Which mask belongs to which image, by their folders and stems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from anomgen.errors import SourceError
from anomgen.sources.mask_files import read_mask
from anomgen.sources.sorting import sorted_pictures
from anomgen.sources.tree import (
    NORMAL_NAMES,
    bases,
    folders_of,
    left_out,
    mask_places,
    nearness,
    place_of,
)

_NEARLY_ALL = 0.9
"""Share of a folder's masks that, marking more than half of their images, are taken for inverted ones."""


def paired(images: Sequence[str], masks: Sequence[str], path: str, others: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return the masks of each image that has any: one, or several that together say what is anomalous.

    A mask's folders, without the one that says that it holds masks, are the last ones of the image's:
    ``test/crack/001.jpg`` has ``ground_truth/crack/001_mask.png``, ``bad/001.jpg`` has ``masks/001.png`` and
    ``test/logical/001.png`` has ``ground_truth/logical/001/000.png`` and the others there. Of the masks left, each
    belongs to the image whose stem is most of its own: ``bad/b0.jpg`` has ``y/b0_0.png`` and ``y/b0_1.png``. others:
    further images, of which no masks are wanted. Raises SourceError for masks that fit several images, or of which
    several fit one.
    """
    masks_of = _by_places(images, masks, path)
    used = {mask for own in masks_of.values() for mask in own}
    for image, own in _by_stems(images, [mask for mask in masks if mask not in used], path, others).items():
        masks_of.setdefault(image, own)
    return masks_of


def _by_places(images: Sequence[str], masks: Sequence[str], path: str) -> dict[str, list[str]]:
    """Return the masks whose folders and stems say exactly to which images they belong."""
    exact: dict[tuple[str, ...], str] = {}
    ended: dict[tuple[str, ...], str] = {}
    in_folder: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for mask in masks:
        first, *others = mask_places(mask)
        for known, place in ((exact, first), *((ended, place) for place in others)):
            if place in known:
                raise _twice(path, known[place], mask)
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
                raise _ambiguous(path, mask, image_of[mask], image)
            image_of[mask] = image
    return masks_of


def _by_stems(images: Sequence[str], masks: Sequence[str], path: str, others: Sequence[str]) -> dict[str, list[str]]:
    """Return the masks whose stems are, or begin with, those of images in folders that may be theirs."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in (*images, *others):
        by_stem[place_of(name)[-1]].append(name)
    wanted, exact = set(images), dict[str, str]()
    masks_of: dict[str, list[str]] = defaultdict(list)
    for mask in masks:
        for base, ending in bases(place_of(mask)[-1]):
            near = [(nearness(mask, image), image) for image in by_stem.get(base, ())]
            fitting = [image for how, image in near if how and how == max(near)[0]]
            if len(fitting) > 1 and wanted.intersection(fitting):
                raise _ambiguous(path, mask, *fitting[:2])
            if fitting and not ending and exact.setdefault(fitting[0], mask) != mask:
                raise _twice(path, exact[fitting[0]], mask)
            if fitting:
                masks_of[fitting[0]].append(mask)
                break
    return {image: own for image, own in masks_of.items() if image in wanted}


def _twice(path: str, first: str, second: str) -> SourceError:
    return SourceError(f"{path}: {first} and {second} are masks of the same image; {_way_out(first, second)}")


def _way_out(first: str, second: str) -> str:
    """Return what to do about two masks of one image: whole folders of them are mostly one and the same twice."""
    one, other = (name.rpartition("/")[0] for name in (first, second))
    if one == other:
        return "remove or rename one"
    return f"the folders {one or '.'} and {other or '.'} both hold masks: move one of them away (bank: --masks FOLDER)"


def _ambiguous(path: str, mask: str, first: str, second: str) -> SourceError:
    return SourceError(
        f"{path}: {mask} could be the mask of {first} and of {second}; put the masks into folders named like those of "
        "the images"
    )


def _ends(place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield a place and what is left of it without its first folders, the longest first."""
    for start in range(len(place)):
        yield place[start:]


def marks(masks: Sequence[str], read: Callable[[str], bytes]) -> bool:
    """Return whether one of several mask files marks a pixel."""
    return any(_marked_share(mask, read) for mask in masks)


def _marked_share(mask: str, read: Callable[[str], bytes]) -> float:
    return float(read_mask(read(mask), mask).mean())


class ChosenPictures(NamedTuple):
    """The pictures of a folder that are images of one sort, and notes on what was left out."""

    images: list[str]
    notes: tuple[str, ...]


def normal_among(pictures: Sequence[str], read: Callable[[str], bytes], path: str) -> ChosenPictures:
    """Return the pictures that are neither masks nor have one beside them that marks an anomaly."""
    images, masks, notes = sorted_pictures(pictures, read, path)
    masks_of = paired(images, sorted(masks), path)
    shares = {name: max(_marked_share(mask, read) for mask in masks_of[name]) for name in images if name in masks_of}
    marked = [name for name, share in shares.items() if share]
    notes += left_out(sorted(masks), "masks") + left_out(marked, f"whose masks mark an anomaly{_as_inverted(shares)}")
    return ChosenPictures([name for name in images if name not in set(marked)], notes)


def _as_inverted(shares: Mapping[str, float]) -> str:
    """Return what to say where nearly every mask marks more than half of its image; shares: what each one marks."""
    most = sum(share > 0.5 for share in shares.values())
    if most < _NEARLY_ALL * len(shares):
        return ""
    return (
        f" ({most} of {len(shares)} images' masks mark more than half, as if inverted: a mask is black where the image "
        "is normal)"
    )


def abnormal_among(pictures: Sequence[str], read: Callable[[str], bytes], path: str) -> ChosenPictures:
    """Return the pictures that are no masks, in no folder of normal images, and have no empty mask beside them."""
    images, masks, notes = sorted_pictures(pictures, read, path)
    masks_of = paired(images, sorted(masks), path)
    normal = [
        name
        for name in images
        if folders_of(name) & NORMAL_NAMES or (name in masks_of and not marks(masks_of[name], read))
    ]
    notes += left_out(sorted(masks), "masks") + left_out(normal, "normal images")
    return ChosenPictures([name for name in images if name not in set(normal)], notes)
