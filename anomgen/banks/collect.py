"""Finding real defects and their masks, however they were drawn and laid out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from anomgen.errors import SourceError, UsageError
from anomgen.files import file_digest, lies_in
from anomgen.licenses import license_beside
from anomgen.places import home
from anomgen.sources.annotations.base import Annotation, Pictures, beginning, read_file, read_json
from anomgen.sources.annotations.coco import is_coco, read_coco
from anomgen.sources.annotations.labelme import is_labelme, read_labelme
from anomgen.sources.annotations.labelstudio import is_labelstudio, read_labelstudio
from anomgen.sources.annotations.runs import is_runs, read_runs
from anomgen.sources.annotations.yolo import label_files, read_yolo
from anomgen.sources.folder import FileReader, existing_folder
from anomgen.sources.labelled import SOME, Listing, defects_in, named_type
from anomgen.sources.mask_files import PairedMask, united_mask
from anomgen.sources.orientation import Turn
from anomgen.sources.pairing import paired
from anomgen.sources.sorting import sorted_pictures
from anomgen.sources.tree import Tree, folders_of, left_out, not_read, tree_of
from anomgen.sources.verdicts import normal_folders, says_normal

TYPE = "defect"
"""The defect type where nothing says more."""

Mask = Callable[[Turn], PairedMask]
"""Reads a mask for an image of that shape and orientation; SourceError when it is of another size."""


class Candidate(NamedTuple):
    """A picture of a defect that may go into a bank. mask: None where it has none."""

    name: str
    defect_type: str
    read: Callable[[], bytes]
    mask: Mask | None


class Collected(NamedTuple):
    """What was found. root: the folder that was looked through, None for a dataset of the Hub."""

    candidates: tuple[Candidate, ...]
    license: str | None
    notes: tuple[str, ...]
    root: Path | None


def collected(path: str, masks: str | None = None) -> Collected:
    """Return the pictures of defects at a path: a folder, a known layout, annotations beside them, a Hub dataset.

    masks: a folder of masks or of YOLO's labels, or a file of annotations, where these lie elsewhere. Raises
    UsageError when there are no pictures of defects, SourceError when masks cannot be paired with them.
    """
    if masks is not None:
        return _with_masks(existing_folder(path, "pictures of defects"), home(masks))
    root = home(path)
    if root.is_file() and root.suffix.lower() in (".json", ".csv"):
        return _with_masks(root.parent, root)
    found = _annotated(root, tree_of(root)) if root.is_dir() else None
    if found is not None:
        return found
    listed = defects_in(path)
    if not listed.found:
        raise UsageError(f"{path}: holds no picture of a defect; give the folder of these, or a data set that has some")
    return _of_listing(listed)


def _of_listing(listed: Listing) -> Collected:
    candidates = []
    for found in listed.found:
        mask = None if found.mask is None else _of_files(found.mask, listed.read, found.id)
        kind = TYPE if found.defect_type == SOME else found.defect_type
        candidates.append(Candidate(found.id, kind, _reading(listed.read, found.key), mask))
    return Collected(tuple(candidates), listed.license, listed.notes, listed.root)


def _reading(read: Callable[[Any], bytes], key: Any) -> Callable[[], bytes]:
    return lambda: read(key)


def _of_files(keys: Sequence[Any], read: Callable[[Any], bytes], image: str) -> Mask:
    def mask(turn: Turn) -> PairedMask:
        names = [key if isinstance(key, str) else f"the mask of {image}" for key in keys]
        return united_mask([(read(key), name) for key, name in zip(keys, names, strict=True)], turn, image)

    return mask


# --- annotations ----------------------------------------------------------------------------------------------------


def _annotated(root: Path, files: Tree) -> Collected | None:
    """Return what annotations among the files of a folder mark; None where there are no annotations."""
    pictures = Pictures(files.pictures)
    found: list[Annotation] = []
    for name in files.others:
        if len(PurePosixPath(name).parts) <= 3:
            found += _of_file(root / name, pictures) or []
    labels = label_files(files.others)
    if not found and labels:
        found = read_yolo(root, labels, pictures)
    return _of_annotations(root, files, found) if found else None


def _of_file(path: Path, pictures: Pictures) -> list[Annotation] | None:
    """Return what a JSON file or a table of run lengths annotates, None when it is of no known kind."""
    kind = path.suffix.lower()
    if kind == ".csv" and is_runs(beginning(path)):
        return read_runs(read_file(path, path.name), path, pictures)
    if kind != ".json":
        return None
    content = read_json(path)
    if is_coco(content):
        return read_coco(content, path, pictures)
    if is_labelme(content):
        return read_labelme(content, path, pictures)
    return read_labelstudio(content, path, pictures) if is_labelstudio(content) else None


def _of_annotations(root: Path, files: Tree, found: Sequence[Annotation]) -> Collected:
    found = [own for own in found if says_normal(own.defect_type) is not True]
    if not found:
        raise UsageError(f"{root}: annotations mark nothing but what is normal")
    read = FileReader(root.resolve())
    several = {name for name, count in Counter(own.image for own in found).items() if count > 1}
    candidates = []
    for own in sorted(found, key=lambda own: (os.fsencode(own.image), own.defect_type)):
        name = f"{own.image}#{own.defect_type}" if own.image in several else own.image
        candidates.append(Candidate(name, own.defect_type, _reading(read, own.image), own.mask))
    known = {own.image for own in found}
    notes = left_out([name for name in files.pictures if name not in known], "without annotations")
    return _under_licence(tuple(candidates), notes, root, known, files._replace(others=[]))


def _under_licence(
    candidates: tuple[Candidate, ...],
    notes: tuple[str, ...],
    root: Path,
    images: Iterable[str],
    files: Tree,
) -> Collected:
    place = root.resolve()
    found = license_beside(place, place.parent, pictures=images)
    return Collected(candidates, found.license, (*notes, *not_read(files, found.read), *found.notes), root)


# --- masks given beside ---------------------------------------------------------------------------------------------


def _with_masks(root: Path, place: Path) -> Collected:
    files = tree_of(root)
    if place.is_file():
        found = _of_file(place, Pictures(files.pictures))
        if found is None:
            kinds = "COCO, Labelme, tasks of Label Studio nor a table of run lengths"
            raise UsageError(f"--masks {place}: is neither {kinds}; give these, or a folder")
        if not found:
            raise SourceError(f"--masks {place}: annotates nothing")
        return _of_annotations(root, files, found)
    if not place.is_dir():
        raise UsageError(f"--masks {place}: there is no such folder or file")
    there = tree_of(place)
    if not there.pictures and (texts := [name for name in there.others if name.endswith(".txt")]):
        return _of_annotations(root, files, _yolo_elsewhere(place, texts, Pictures(files.pictures)))
    return _paired(root, files, place, there)


def _yolo_elsewhere(place: Path, texts: Sequence[str], pictures: Pictures) -> list[Annotation]:
    return read_yolo(place, [name for name in texts if name != "classes.txt"], pictures)


def _paired(root: Path, files: Tree, place: Path, there: Tree) -> Collected:
    """Return the pictures of a folder with the masks of another, which are paired by their folders and names.

    Other masks among the pictures are left out; where the other folder is theirs, or above it, they are the masks.
    """
    is_theirs = lies_in(root, place)
    inside = place.resolve().relative_to(root.resolve()).as_posix() if lies_in(place, root) else None
    pictures = [name for name in files.pictures if is_theirs or inside is None or not name.startswith(f"{inside}/")]
    read, read_mask = FileReader(root.resolve()), FileReader(place.resolve())
    images, beside, notes = sorted_pictures(pictures, read, str(root))
    good = normal_folders(images)
    images = [name for name in images if not folders_of(name) & good]
    masks = sorted(sorted_pictures(there.pictures, read_mask, str(place)).masks) if is_theirs else there.pictures
    virtual = {f"masks/{name}": name for name in masks}
    masks_of = paired(images, sorted(virtual), str(place))
    missing = [name for name in images if name not in masks_of]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise SourceError(
            f"{root}: {missing[0]}{more} of {len(images)} pictures have no mask in {place}; call masks as their "
            "pictures (STEM.png or STEM_mask.png), in folders of the same names"
        )
    candidates = tuple(
        Candidate(
            name,
            named_type(name, good) or TYPE,
            _reading(read, name),
            _of_files([virtual[mask] for mask in masks_of[name]], read_mask, name),
        )
        for name in images
    )
    used = {mask for masks in masks_of.values() for mask in masks}
    notes += left_out([virtual[mask] for mask in sorted(virtual) if mask not in used], "masks of no picture")
    notes += () if is_theirs else left_out(sorted(beside), "other masks")
    if not candidates:
        raise UsageError(f"{root}: holds no picture of a defect; give the folder of these")
    return _under_licence(candidates, notes, root, images, files)


# --- choosing -------------------------------------------------------------------------------------------------------


def chosen(candidates: Sequence[Candidate], count: int | None) -> list[Candidate]:
    """Return `count` candidates, all where it is None: as many of each type as can be, chosen by their contents.

    A smaller count is a part of a larger one. Raises UsageError when there are fewer.
    """
    if count is None:
        return list(candidates)
    if not 1 <= count <= len(candidates):
        raise UsageError(f"--count {count}: there are {len(candidates)} defects")
    digests = {candidate.name: file_digest(candidate.read()) for candidate in candidates}
    by_type: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda candidate: (digests[candidate.name], candidate.name)):
        by_type.setdefault(candidate.defect_type, []).append(candidate)
    places = {candidate.name: (number, kind) for kind, own in by_type.items() for number, candidate in enumerate(own)}
    taken = {candidate.name for candidate in sorted(candidates, key=lambda own: places[own.name])[:count]}
    return [candidate for candidate in candidates if candidate.name in taken]
