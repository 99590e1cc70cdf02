"""Which mask belongs to which image, by their folders and stems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from anomgen.errors import SourceError, tell
from anomgen.sources.mask_files import read_defect_mask
from anomgen.sources.sorting import sorted_pictures
from anomgen.sources.tree import (
    bases,
    folders_of,
    left_out,
    listed_problems,
    mask_places,
    nearness,
    place_of,
)
from anomgen.sources.verdicts import normal_folders


def paired(images: Sequence[str], masks: Sequence[str], path: str, others: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return the masks of each image that has any: one, or several that together say what is anomalous.

    A mask's folders, without the one that says that it holds masks, are the last ones of the image's:
    ``test/crack/001.jpg`` has ``ground_truth/crack/001_mask.png``, ``bad/001.jpg`` has ``masks/001.png`` and
    ``test/logical/001.png`` has ``ground_truth/logical/001/000.png`` and the others there. Of the masks left, each
    belongs to the image whose stem is most of its own: ``bad/b0.jpg`` has ``y/b0_0.png`` and ``y/b0_1.png``. others:
    further images, of which no masks are wanted. Raises SourceError for masks that fit several images, or of which
    several fit one, in two folders, too.
    """
    masks_of = _by_places(images, masks, path)
    used = {mask for own in masks_of.values() for mask in own}
    for image, own in _by_stems(images, [mask for mask in masks if mask not in used], path, others).items():
        for first in masks_of.get(image, ())[:1]:
            if elsewhere := [mask for mask in own if mask.rpartition("/")[0] != first.rpartition("/")[0]]:
                raise _twice(path, first, elsewhere[0])
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


def marked(masks_of: Mapping[str, Sequence[str]], read: Callable[[str], bytes], path: str) -> set[str]:
    """Return the images of which a mask marks a pixel; each one's masks are as `paired` has them.

    Raises SourceError, which calls the folder `path` and names the files, for masks that `read_defect_mask` refuses.
    """
    found, problems = set[str](), list[str]()
    pairs = [(image, mask) for image, masks in masks_of.items() for mask in masks]
    for done, (image, mask) in enumerate(pairs):
        tell(done, len(pairs), "reading the masks")
        try:
            if read_defect_mask(read(mask), mask).any():
                found.add(image)
        except SourceError as error:
            problems.append(str(error))
    if problems:
        raise SourceError(
            f"{path}: {len(problems)} of {len(pairs)} masks cannot be used:\n{listed_problems(problems)}\n"
            "Invert masks that are inverted. Move photographs out of the folder, and masks of the object or a region: "
            "these are given by --set foreground=FOLDER and --roi FOLDER"
        )
    return found


class ChosenPictures(NamedTuple):
    """The pictures of a folder that are images of one sort, and notes on what was left out."""

    images: list[str]
    notes: tuple[str, ...]


def normal_among(pictures: Sequence[str], read: Callable[[str], bytes], path: str) -> ChosenPictures:
    """Return the pictures that are neither masks nor have one beside them that marks an anomaly."""
    images, masks, notes = sorted_pictures(pictures, read, path)
    masks_of = paired(images, sorted(masks), path)
    anomalous = marked(masks_of, read, path)
    notes += left_out(sorted(masks), "masks")
    notes += left_out([name for name in images if name in anomalous], "whose masks mark an anomaly")
    return ChosenPictures([name for name in images if name not in anomalous], notes)


def abnormal_among(pictures: Sequence[str], read: Callable[[str], bytes], path: str) -> ChosenPictures:
    """Return the pictures that are no masks, in no folder of normal images, and have no empty mask beside them."""
    images, masks, notes = sorted_pictures(pictures, read, path)
    good = normal_folders(images)
    apart = {name for name in images if folders_of(name) & good}
    masks_of = {name: own for name, own in paired(images, sorted(masks), path).items() if name not in apart}
    empty = masks_of.keys() - marked(masks_of, read, path)
    normal = [name for name in images if name in apart | empty]
    notes += left_out(sorted(masks), "masks") + left_out(normal, "normal images")
    return ChosenPictures([name for name in images if name not in set(normal)], notes)
