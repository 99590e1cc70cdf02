"""Which mask belongs to which image, by their folders and stems."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from anomgen.errors import SourceError, tell
from anomgen.sources.mask_files import read_defect_mask
from anomgen.sources.sorting import sorted_pictures
from anomgen.sources.tree import (
    are_beside,
    bases,
    beginnings,
    folders_of,
    left_out,
    listed,
    listed_problems,
    mask_bases,
    mask_places,
    nearness,
    place_of,
)
from anomgen.sources.verdicts import normal_folders

_ADVICE = (
    "Invert masks that are inverted. Move photographs out of the folder, and masks of the object or a region: these "
    "are given by --set foreground=FOLDER and --roi FOLDER"
)

_OF_OBJECT = re.compile(
    r"(?<![a-z])(?:roi|fg|foreground|objects?|regions?|alpha|matte|outline|silhouette|cutout|shape)s?(?![a-z])"
)
"""What says of a further mask of an image that it is none of a defect."""
_VIEWS = 64
"""Images that one mask may be of, as the views of a part are."""


def paired(
    images: Sequence[str], masks: Sequence[str], path: str, others: Sequence[str] = (), *, shared: bool = False
) -> dict[str, list[str]]:
    """Return the masks of each image that has any: one, or several that together say what is anomalous.

    A mask's folders, without the one that says that it holds masks, are the last ones of the image's:
    ``test/crack/001.jpg`` has ``ground_truth/crack/001_mask.png``, ``bad/001.jpg`` has ``masks/001.png`` and
    ``test/logical/001.png`` has ``ground_truth/logical/001/000.png`` and the others there. Of the masks left, each
    belongs to the image whose stem is most of its own: ``bad/b0.jpg`` has ``y/b0_0.png`` and ``y/b0_1.png``, and
    ``001.jpg`` has ``001_mask_1.png`` beside ``001_mask.png``. What is left after that goes to the image whose stem
    goes on from what the mask's has beside a word of masks, as ``b0_cam1`` does from ``b0_GT``, or to the only one that
    differs from it in zeros before numbers; ``b0_dent_mask`` goes to the images of ``b0_mask``.

    others: further images, of which no masks are wanted. shared: whether a mask belongs to all images that go on from
    it, where there are several. Beside others one that is called as the object's is none. Raises SourceError for masks
    that fit several images, or of which several fit one, in two folders, too.
    """
    stages: list[Callable[[Sequence[str]], dict[str, list[str]]]] = [
        lambda left: _by_places(images, left, path),
        lambda left: _by_stems(images, left, path, others),
        lambda left: _by_beginnings(images, left, path, others, shared),
        lambda left: _by_masks(masks_of, left, (*images, *others)),
    ]
    masks_of: dict[str, list[str]] = {}
    left: Sequence[str] = masks
    for stage in stages:
        for image, more in stage(left).items():
            if not (own := masks_of.setdefault(image, [])):
                own += more
                continue
            more = [mask for mask in more if not is_of_object(_beyond(mask, image))]
            if elsewhere := [mask for mask in more if not are_beside(mask, own[0])]:
                raise _twice(path, own[0], elsewhere[0])
            own += more
        left = without(masks_of, left)
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
                masks_of[image] = [single] if single else list(in_folder[place])
                break
        for mask in masks_of.get(image, ()):
            if mask in image_of:
                raise _ambiguous(path, mask, image_of[mask], image)
            image_of[mask] = image
    return masks_of


def _by_stems(images: Sequence[str], masks: Sequence[str], path: str, others: Sequence[str]) -> dict[str, list[str]]:
    """Return the masks whose stems are, or begin with, those of images in folders that may be theirs."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    beside: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in (*images, *others):
        stem = place_of(name)[-1]
        by_stem[stem].append(name)
        beside[stem, name.rpartition("/")[0]].append(name)
    wanted, exact = set(images), dict[str, str]()
    masks_of: dict[str, list[str]] = defaultdict(list)
    for mask in masks:
        for base, ending in bases(place_of(mask)[-1]):
            fitting = beside.get((base, mask.rpartition("/")[0])) or _nearest(mask, by_stem.get(base, ()))
            if len(fitting) > 1 and wanted.intersection(fitting):
                raise _ambiguous(path, mask, *fitting[:2])
            if fitting and not ending and exact.setdefault(fitting[0], mask) != mask:
                raise _twice(path, exact[fitting[0]], mask)
            if fitting:
                masks_of[fitting[0]].append(mask)
                break
    return {image: own for image, own in masks_of.items() if image in wanted}


def is_of_object(name: str) -> bool:
    """Return whether a word of a name says that masks called so are of the object or of a region, not of defects."""
    return _OF_OBJECT.search(name.lower()) is not None


def _beyond(mask: str, image: str) -> str:
    """Return what a mask's stem has beyond an image's."""
    return place_of(mask)[-1].removeprefix(place_of(image)[-1])


def _nearest(mask: str, images: Sequence[str]) -> list[str]:
    """Return those of images of one stem whose folders fit a mask's best; none where none fits."""
    near = [nearness(mask, image) for image in images]
    best = max(near, default=0)
    return [image for how, image in zip(near, images, strict=True) if how and how == best]


def _by_beginnings(
    images: Sequence[str], masks: Sequence[str], path: str, others: Sequence[str], shared: bool
) -> dict[str, list[str]]:
    """Return the masks of which images' stems are what goes on, or what differs in zeros before numbers."""
    masks_of: dict[str, list[str]] = defaultdict(list)
    wanted = set(images)
    claims = _going_on((*images, *others), masks, str, shared=shared)
    for mask, fitting in claims.items():
        if len(fitting) > 1 and not shared and wanted.intersection(fitting):
            raise _ambiguous(path, mask, *fitting[:2])
        for image in fitting:
            masks_of[image].append(mask)
    free = [image for image in (*images, *others) if image not in masks_of]
    claims = _going_on(free, [mask for mask in masks if mask not in claims], _without_zeros)
    claimed = Counter(image for fitting in claims.values() for image in fitting)
    for mask, fitting in claims.items():
        if len(fitting) == 1 == claimed[fitting[0]]:
            masks_of[fitting[0]].append(mask)
    for own in masks_of.values():
        if elsewhere := [mask for mask in own if not are_beside(mask, own[0])]:
            raise _twice(path, own[0], elsewhere[0])
    return {image: own for image, own in masks_of.items() if image in wanted}


def _by_masks(
    masks_of: Mapping[str, Sequence[str]], masks: Sequence[str], images: Sequence[str]
) -> dict[str, list[str]]:
    """Return the masks, called like none of the images, that go on from what masks of some have beside their word."""
    images_of: dict[tuple[str, str], list[str]] = defaultdict(list)
    for image, own in masks_of.items():
        for mask in own:
            for base, _ in mask_bases(mask):
                images_of[base, mask.rpartition("/")[0]].append(image)
    stems = {place_of(image)[-1] for image in images}
    found: dict[str, list[str]] = defaultdict(list)
    for mask in masks:
        begun = [base for base, _ in bases(place_of(mask)[-1])]
        if stems.isdisjoint(begun):
            known = (images_of.get((base, mask.rpartition("/")[0]), ()) for base in begun)
            for image in dict.fromkeys(next(filter(None, known), ())):
                found[image].append(mask)
    return found


def _going_on(
    images: Sequence[str], masks: Sequence[str], plain: Callable[[str], str], *, shared: bool = False
) -> dict[str, list[str]]:
    """Return the images of each mask that go on from its stem, in the nearest folders, both stems made plain.

    shared: take those that go on from any part of it that may be an image's, not from the longest alone. Of several
    images a mask with a number of its own, which may be that of one of them, is none, nor is one of very many.
    """
    by_beginning = _by_beginning(images, plain)
    claims: dict[str, list[str]] = {}
    for mask in masks:
        for base, ending in mask_bases(mask):
            near = [(nearness(mask, image), image) for image in by_beginning.get(plain(base), ())]
            fitting = [image for how, image in near if how and how == max(near)[0]]
            is_open = len(fitting) > (1 if re.search(r"\d", ending) else _VIEWS)
            if fitting and not is_open:
                claims[mask] = list(dict.fromkeys((*claims.get(mask, ()), *fitting)))
                if not shared:
                    break
    return claims


def _by_beginning(images: Sequence[str], plain: Callable[[str], str] = str) -> dict[str, list[str]]:
    """Return the images by their stems, and by each of the stems that they go on from, made plain."""
    found: dict[str, list[str]] = defaultdict(list)
    for image in images:
        for beginning in beginnings(place_of(image)[-1]):
            found[plain(beginning)].append(image)
    return found


def _without_zeros(stem: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", stem)


def without(masks_of: Mapping[str, Sequence[str]], masks: Collection[str]) -> list[str]:
    """Return the masks, sorted, that belong to no image."""
    return sorted(set(masks) - {mask for own in masks_of.values() for mask in own})


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


def marked(
    masks_of: Mapping[str, Sequence[str]], read: Callable[[str], bytes], path: str, *, advice: str = _ADVICE
) -> set[str]:
    """Return the images of which a mask marks a pixel; each one's masks are as `paired` has them.

    Raises SourceError, which calls the folder `path`, names the files and ends in `advice`, for masks that
    `read_defect_mask` refuses.
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
            f"{path}: {len(problems)} of {len(pairs)} masks cannot be used:\n{listed_problems(problems)}\n{advice}"
        )
    return found


def refuse_strays(
    images: Sequence[str],
    masks_of: Mapping[str, Sequence[str]],
    masks: Sequence[str],
    read: Callable[[str], bytes],
    path: str,
) -> None:
    """Raise SourceError where masks that belong to no image mark something, and images that have none are near.

    images: all of them. masks_of: as `paired` has them; a mask is as good as theirs where its name, up to any ending,
    is that of images with masks alone: ``1_dents_mask`` where ``1_image`` has ``1_mask``.
    """
    bare = [image for image in images if image not in masks_of]
    folders = {image.rpartition("/")[0]: image for image in reversed(bare)}
    by_part: dict[str, list[str]] = defaultdict(list)
    for image in folders.values():
        for part in place_of(image)[:-1]:
            by_part[part].append(image)

    def near(mask: str) -> str | None:
        """Return an image that is near: in a folder of a name that the mask's have, or, if any will do, the first."""
        named = chain.from_iterable(by_part.get(part, ()) for part in reversed(place_of(mask)[:-1]))
        return next((image for image in chain(named, bare[:1]) if nearness(mask, image)), None)

    begun, begun_masked = _by_beginning(bare), _by_beginning(list(masks_of))

    def is_known(mask: str) -> bool:
        stems = [base for base, _ in bases(place_of(mask)[-1])]
        longest = next((base for base in stems if base in begun or base in begun_masked), "")
        return longest not in begun and any(nearness(mask, image) for image in begun_masked.get(longest, ()))

    masks = [mask for mask in masks if near(mask) and not is_known(mask)]
    strays = sorted(marked({mask: [mask] for mask in masks}, read, path))
    if not strays:
        return
    count = f"{len(strays)} {'mask marks' if len(strays) == 1 else 'masks mark'}"
    raise SourceError(
        f"{path}: {count} something, but nothing says on which images, of which {len(bare)} have no mask, such as "
        f"{near(strays[0])}: {listed(strays)}. Call masks as their images with _mask at the end, remove those of "
        "images that are not there, and move masks of the object or a region out of the folder: these are given by "
        "--set foreground=FOLDER and --roi FOLDER"
    )


class ChosenPictures(NamedTuple):
    """The pictures of a folder that are images of one sort, and notes on what was left out."""

    images: list[str]
    notes: tuple[str, ...]


def normal_among(pictures: Sequence[str], read: Callable[[str], bytes], path: str) -> ChosenPictures:
    """Return the pictures that are neither masks nor have one beside them that marks an anomaly."""
    images, masks, notes = sorted_pictures(pictures, read, path)
    masks_of = paired(images, sorted(masks), path, shared=True)
    anomalous = marked(masks_of, read, path)
    refuse_strays(images, masks_of, without(masks_of, masks), read, path)
    notes += left_out(sorted(masks), "masks")
    notes += left_out([name for name in images if name in anomalous], "whose masks mark an anomaly")
    return ChosenPictures([name for name in images if name not in anomalous], notes)


def abnormal_among(pictures: Sequence[str], read: Callable[[str], bytes], path: str) -> ChosenPictures:
    """Return the pictures that are no masks, in no folder of normal images, and have no empty mask beside them."""
    images, masks, notes = sorted_pictures(pictures, read, path)
    good = normal_folders(images)
    apart = {name for name in images if folders_of(name) & good}
    masks_of = {
        name: own for name, own in paired(images, sorted(masks), path, shared=True).items() if name not in apart
    }
    empty = masks_of.keys() - marked(masks_of, read, path)
    normal = [name for name in images if name in apart | empty]
    notes += left_out(sorted(masks), "masks") + left_out(normal, "normal images")
    return ChosenPictures([name for name in images if name not in set(normal)], notes)
