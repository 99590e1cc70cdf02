"""Which pictures of a folder are masks: what they are called like, and what is in them."""

from __future__ import annotations

import random
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from anomgen.errors import SourceError
from anomgen.sources.mask_files import Look, is_drawn, is_painted, look_of
from anomgen.sources.tree import (
    MASK_NAMES,
    PERHAPS_MASK_NAMES,
    are_beside,
    bases,
    folder_name,
    folders_of,
    left_out,
    listed,
    nearness,
    says_made,
    says_mask,
)

_OPENED = 6
"""Files of a group that are opened to see what the group is."""
_NEAREST = 8
"""Pictures of the same stem that are considered on either side of one, in the order of their paths."""
_PARTNERS = 8
"""Pictures that one is compared with."""

_SAMPLED = 16
"""Images of a folder that are opened to see whether masks are among them that no name gives away."""
_MADE = "called as an image and as what is made from one (overlays, depth maps); give photographs other names"
_ABOVE = 3
"""Folders, the source's own and those above it, whose names may say that masks lie in it."""
_DRAWN_SHARE = 0.2
"""Share of drawn ones among a folder's images, and at least two, that no folder of photographs has."""


class Sorted(NamedTuple):
    """The pictures of a folder, apart. notes: what was taken for an image although its name says else, and left out."""

    images: list[str]
    masks: set[str]
    notes: tuple[str, ...]


def sorted_pictures(pictures: Sequence[str], read: Callable[[str], bytes], path: str) -> Sorted:
    """Return which pictures are masks and which are images; `read` returns a file's contents.

    A mask lies in a folder of masks, or is called like an image, beside it or in another folder, perhaps with an
    ending (``_mask``, ``_GT``, ``_0``) or a beginning, and looks like one. Only what is called so is opened, and of
    many that are called alike a few, which show whether the others must be. What is called as made from another image
    (``_overlay``, ``_depth``, ``xyz`` beside ``rgb``) is neither, unless it has its own mask, nor is a mask of single
    objects beside that of their classes. Of what is left, a sample of each folder is opened. Raises SourceError, which
    calls the folder `path`, where neither names nor contents tell, and where drawn files are among photographs, or in a
    folder beside one of these.
    """
    sorting = _Sorting(pictures, read, path)
    masks = sorting.masks()
    called_masks = sorting.called_masks - masks
    masked = sorting.masked(masks)
    made = set(sorting.made(masks | masked))
    apart = masks | made
    images = [name for name in pictures if name not in apart]
    sorting.refuse_drawn(images)
    objects = _objects(masks)
    notes = _taken(sorted(called_masks - made - masked)) + left_out(sorted(made), _MADE)
    notes += left_out(sorted(objects), "masks of single objects beside those of classes")
    return Sorted(images, masks - objects, notes + sorting.all_drawn(images))


def _objects(masks: set[str]) -> set[str]:
    """Return those masks of Pascal VOC's ``SegmentationObject`` that mark what others in ``SegmentationClass`` do."""
    known = {name.casefold() for name in masks}
    classes = {name: re.sub(r"(?<=segmentation)object(?=/)", "class", name.casefold()) for name in masks}
    return {name for name, other in classes.items() if other != name.casefold() and other in known}


def _told(names: Sequence[str], one: str, several: str, advice: str = "") -> tuple[str, ...]:
    """Return a note on files; one: what is said of a single one, several: of more, behind their number."""
    said = one if len(names) == 1 else f"{len(names)} {several}"
    return (f"{said}: {listed(names)}{advice}",) if names else ()


def _taken(photos: Sequence[str]) -> tuple[str, ...]:
    return _told(
        photos,
        "1 file is called like a mask but holds a picture, and was taken for an image",
        "files are called like masks but hold pictures, and were taken for images",
    )


class _Claim(NamedTuple):
    """What a name says. ending: what it has beyond the images' that it may belong to; says: see `says_mask`."""

    ending: str
    images: tuple[str, ...]
    says: str


class _Sorting:
    """One decision over all pictures of a folder; few files are opened, most of them once."""

    def __init__(self, pictures: Sequence[str], read: Callable[[str], bytes], path: str):
        self._pictures, self._read, self._path = pictures, read, path
        self._looks: dict[str, Look] = {}
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in sorted(pictures):
            self._by_stem[_stem(name)].append(name)
        self._claims = {name: claim for name in pictures if (claim := self._claim(name)) is not None}
        self.called_masks: set[str] = set()

    def masks(self) -> set[str]:
        groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
        found: set[str] = set()
        for name, claim in self._claims.items():
            if folders_of(name) & MASK_NAMES and claim.images:
                found.add(name)  # what is in it, is seen when it is read as a mask
            else:
                folder, suffix = name.rpartition("/")[0], name.rpartition(".")[2].lower()
                groups[_shape(folder), _shape(claim.ending), suffix, claim.says, str(bool(claim.images))].append(name)
        for names in groups.values():
            found.update(self._of_group(names))
        return found | self._strays(found)

    def _claim(self, name: str) -> _Claim | None:
        """Return what a picture's name says, None where it says that it is an image."""
        images: list[str] = []
        beyond = ""
        for base, ending in bases(_stem(name)):
            near = sorted(self._near(base, name), key=lambda other: -nearness(name, other))
            near = [other for other in near if nearness(name, other)]
            beyond = ending if near else beyond
            images += near
        says = says_mask(name, beyond)
        apart = [image for image in images if not folders_of(image) & MASK_NAMES]
        return _Claim(beyond, tuple(apart[:_PARTNERS]), says) if apart or says == "sure" else None

    def _near(self, stem: str, name: str) -> Iterator[str]:
        """Yield the other pictures of a stem, those of near paths where there are very many."""
        others = self._by_stem.get(stem, ())
        place = bisect_left(others, name)
        return (other for other in others[max(0, place - _NEAREST) : place + _NEAREST + 1] if other != name)

    def _look(self, name: str) -> Look:
        if name not in self._looks:
            try:
                self._looks[name] = look_of(self._read(name))
            except SourceError:  # whoever wants the image says why it cannot be read, or skips it
                self._looks[name] = Look.PICTURE
        return self._looks[name]

    def _has_image(self, name: str) -> bool:
        """Return whether one of the images that a file may belong to looks less like a mask than the file."""
        return any(self._look(image).is_less_a_mask(self._look(name)) for image in self._claims[name].images)

    def _of_group(self, names: Sequence[str]) -> Iterator[str]:
        """Yield the masks among pictures that are called alike: some are opened, and all where these differ."""
        says = self._claims[names[0]].says
        some = names[:: max(1, len(names) // _OPENED)][:_OPENED]
        looks = [self._look(name) for name in some]
        if says and all(map(_is_flat, looks)) and (says == "sure" or all(map(self._has_image, some))):
            yield from names
        elif all(look is Look.PICTURE for look in looks):
            self._take(names)
        elif says:
            yield from self._of_mixed(names)
        elif 2 * sum(map(self._has_image, some)) > len(some):
            self._refuse_empty(some, looks)
            yield from filter(self._is_silent_mask, names)

    def _of_mixed(self, names: Sequence[str]) -> Iterator[str]:
        """Yield the masks among files that are called masks, or perhaps are; some of those opened look so, not all.

        Pictures of the name of an image at hand are masks, too, where others are: what reads them says what they hold.
        """
        masks = set(filter(self._is_called_mask, names))
        pictures = [name for name in names if self._look(name) is Look.PICTURE]
        are_masks = any(map(self._has_image, masks))
        masks |= {name for name in pictures if are_masks and self._is_at_hand(name)}
        self._take([name for name in pictures if name not in masks])
        yield from masks

    def _is_at_hand(self, name: str) -> bool:
        """Return whether an image that a file may belong to lies beside it, or beside its folder of masks."""
        return any(nearness(name, image) > 2 for image in self._claims[name].images)

    def _take(self, pictures: Sequence[str]) -> None:
        """Remember which pictures are called masks, or lie in a folder that is called so, but are images."""
        claims = ((name, self._claims[name]) for name in pictures)
        self.called_masks.update(name for name, own in claims if own.says)

    def _is_called_mask(self, name: str) -> bool:
        """Return whether a file is a mask whose name says so, or perhaps does."""
        look, is_sure = self._look(name), self._claims[name].says == "sure"
        if look is Look.PICTURE:
            return False
        if look is Look.UNCLEAR and is_sure and not self._has_image(name):
            raise self._unclear(name)
        return is_sure or self._has_image(name)

    def _is_silent_mask(self, name: str) -> bool:
        """Return whether a file is a mask although its name says only to which image it may belong."""
        if self._look(name) is Look.UNCLEAR and self._has_image(name):
            raise self._unclear(name)
        return _is_flat(self._look(name))

    def _refuse_empty(self, some: Sequence[str], looks: Sequence[Look]) -> None:
        """Refuse pictures in a folder of their own that show nothing at all: empty masks, or a broken camera's."""
        aside = [name for name in some if not any(are_beside(name, image) for image in self._claims[name].images)]
        if aside and all(look is Look.EMPTY for look in looks):
            raise self._unclear(aside[0])

    def _unclear(self, name: str) -> SourceError:
        images = self._claims[name].images
        return SourceError(
            f"{self._path}: {name} may be a mask{f' of {images[0]}' if images else ''} or an image of its own: names "
            "and contents leave that open. Put masks into a folder named masks, or remove them; give images names "
            "that say nothing of masks and do not begin like those of others"
        )

    def refuse_drawn(self, images: Sequence[str]) -> None:
        """Raise SourceError where a notable part of a folder's images, or a whole one, looks drawn, others do not."""
        folders: dict[str, list[str]] = defaultdict(list)
        for name in images:
            folders[_shape(name.rpartition("/")[0])].append(name)
        sampled = {key: random.Random(0).sample(names, min(len(names), _SAMPLED)) for key, names in folders.items()}
        blank = [key for key, some in sampled.items() if all(self._look(name) is Look.EMPTY for name in some)]
        if 0 < len(blank) < len(folders):
            raise self._drawn(folders[blank[0]], len(images))
        if any(map(self._are_photographs, sampled.values())):
            painted = [key for key, some in sampled.items() if self._are_painted(some)]
            drawn = [name for key in painted for name in folders[key]]
            if len(drawn) > 1:
                raise self._drawn(drawn, len(images))
        for key, names in folders.items():
            if len({_is_flat(self._look(name)) for name in sampled[key]}) < 2:
                continue
            drawn = [name for name in names if self._is_drawn(name)]
            photos = sum(self._look(name) is Look.PICTURE for name in names)
            if len(drawn) >= max(2, _DRAWN_SHARE * len(names)) and 2 * photos >= len(names) - len(drawn) > 0:
                raise self._drawn(drawn, len(names))

    def all_drawn(self, images: Sequence[str]) -> tuple[str, ...]:
        """Return a note where all images that were opened look drawn; refuse masks in a folder that is named so."""
        some = [name for name in images if name in self._looks]
        looks = [self._look(name) for name in some]
        if Look.MASK not in looks or not all(map(_is_flat, looks)):
            return ()
        seen = f"all of {len(some)} images that were opened hold a few flat greys or colours as masks do"
        folders = Path(self._path).absolute().parts[-_ABOVE:]
        above = [part for part in folders if folder_name(part) in MASK_NAMES | PERHAPS_MASK_NAMES]
        if above:
            raise SourceError(
                f"{self._path}: {seen}, and lie in a folder {above[-1]!r}: {listed(some)}. Give the folder of the "
                "photographs, or call this one otherwise if they are meant"
            )
        if not all(map(self._is_drawn, some)):
            return ()
        return (f"{seen}: {listed(some)}. If they are masks, give the folder of the photographs",)

    def _is_drawn(self, name: str) -> bool:
        look = self._look(name)
        return look is Look.EMPTY or (look is Look.MASK and is_drawn(self._read(name)))

    def _are_painted(self, names: Sequence[str]) -> bool:
        """Return whether all look like masks and most of those that are not of one colour are painted."""
        shown = [name for name in names if self._look(name) is not Look.EMPTY]
        if not all(self._look(name) is Look.MASK for name in shown):
            return False
        return not shown or 2 * sum(is_painted(self._read(name)) for name in shown) > len(shown)

    def _are_photographs(self, names: Sequence[str]) -> bool:
        return 2 * sum(self._look(name) is Look.PICTURE for name in names) > len(names)

    def _drawn(self, drawn: Sequence[str], count: int) -> SourceError:
        return SourceError(
            f"{self._path}: {len(drawn)} of {count} images hold one colour or a few flat greys or colours as masks do, "
            f"while others are photographs: {listed(drawn)}. Remove masks, or call them as their images with _mask at "
            "the end; give what are images alone, in a folder of their own"
        )

    def masked(self, masks: set[str]) -> set[str]:
        """Return the image that each mask most likely belongs to."""
        claims = (self._claims.get(mask) for mask in masks)
        return {claim.images[0] for claim in claims if claim and claim.images}

    def made(self, known: set[str]) -> list[str]:
        """Return the pictures, none of the `known` ones, whose names, or folders', say that others became them."""
        return [
            name
            for name, claim in self._claims.items()
            if name not in known and any(says_made(name, claim.ending, image) for image in claim.images)
        ]

    def _strays(self, masks: set[str]) -> set[str]:
        """Return masks of images that are not there: in a folder of masks alone, what looks like one."""
        images = {image for name in masks for image in self._claims[name].images if image not in masks}
        aside = {name.rpartition("/")[0] for name in masks} - {image.rpartition("/")[0] for image in images}
        left = [name for name in self._pictures if name not in masks and name.rpartition("/")[0] in aside]
        return {name for name in left if _is_flat(self._look(name))}


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0].casefold()


def _shape(text: str) -> str:
    """Return a text without its numbers, which are all that differs between names of a kind."""
    return re.sub(r"\w*\d\w*", "#", text.casefold())


def _is_flat(look: Look) -> bool:
    return look in (Look.MASK, Look.EMPTY)
