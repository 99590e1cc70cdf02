"""Finding a data set's normal images, real anomalies and masks, by the names of its folders or of its columns.

The layouts of MVTec AD (Bergmann et al., CVPR 2019), MPDD (Jezek et al., ICUMT 2021), BTAD (Mishra et al., ISIE 2021,
arXiv 2104.10036), VisA (Zou et al., ECCV 2022, arXiv 2207.14315), plain folders, and Hugging Face datasets.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from anomgen.errors import SourceError, UsageError, brief
from anomgen.licenses import license_beside
from anomgen.places import home
from anomgen.sources import detect
from anomgen.sources.annotations.marked import unmarked
from anomgen.sources.folder import FileReader, existing_folder, folders_above, listed_in, missing_hint, refuse_anomalous
from anomgen.sources.hub import HUB_ID, Hub, datasets_library, load_split, split_names
from anomgen.sources.hub_license import license_of
from anomgen.sources.hub_rows import RowReader, Rows, roots_of
from anomgen.sources.layouts import visa_training
from anomgen.sources.pairing import marked, paired, refuse_strays, without
from anomgen.sources.sorting import sorted_pictures
from anomgen.sources.tree import (
    MASK_NAMES,
    PLAIN_NAMES,
    Tree,
    folders_of,
    image_files,
    left_out,
    listed,
    no_image,
    not_read,
    perhaps_annotated,
    tree_of,
)
from anomgen.sources.verdicts import NORMAL_NAMES, normal_folders, says_normal

NORMAL = "normal"
"""The defect type of a normal image."""
SOME = "anomaly"
"""The defect type of an anomalous one of which nothing says more."""

_TRAIN = frozenset({"train", "validation", "val", "valid"})
_TEST = frozenset({"test", "test_public"})
_UNLABELLED = frozenset({"test_private", "test_private_mixed"})  # of MVTec AD 2, whose labels its authors keep
_SAMPLE = re.compile(r"S\d{4}")  # the folder of one object in Real-IAD
_BAD = frozenset({"bad", "ko", "ng", "anomaly", "anomalous", "abnormal", "defect", "defective"})
_NAMED = 5


@dataclass(frozen=True)
class LabelledImage:
    """One image: its portable id, its defect type, whether it is for training, what reads it and its mask.

    mask: one or several files, which together say what is anomalous; None where there are none.
    """

    id: str
    defect_type: str
    for_training: bool
    key: Any
    mask: Sequence[Any] | None = None


@dataclass(frozen=True)
class Listing:
    """What a data set holds. is_split: whether it says which of the normal images are for training.

    root: its folder, None for one of the Hub. notes: sentences on what was left out.
    """

    name: str
    found: tuple[LabelledImage, ...]
    read: Callable[[Any], bytes]
    is_split: bool
    license: str | None = None
    root: Path | None = None
    notes: tuple[str, ...] = ()


def listing(path: str) -> Listing:
    """Return what a data set holds: a folder in one of the layouts, or a Hugging Face dataset.

    Raises UsageError when it is none of these or has no normal or no anomalous images, SourceError when masks are
    missing or fit several images.
    """
    kind = _kind(path)
    if kind == "builtin":
        raise UsageError(f"{path}: built-in textures have no real anomalies to test a detector on; give a data set")
    data = _rows(path) if kind == "hub" else _files(path)
    normals = [found for found in data.found if found.defect_type == NORMAL]
    if not normals or (data.is_split and not any(found.for_training for found in normals)):
        raise UsageError(
            f"{path}: no normal training images; they are looked for in train/good, in a folder good beside those of "
            "the defects, or in rows labelled good, of a split for training"
        )
    if len(normals) == len(data.found):
        raise UsageError(
            f"{path}: no anomalous images, and without real anomalies nothing can be scored; they are looked for in "
            "test/DEFECT, in a folder bad or DEFECT beside good, or in rows with another label than good"
        )
    return data


def defects_in(path: str) -> Listing:
    """Return the anomalous images of a folder in one of the layouts, or of a Hugging Face dataset.

    Unlike `listing` it needs no normal image: where no folder or column tells normal ones, all are anomalous. Raises
    UsageError and SourceError as `listing` does.
    """
    data = _rows(path, alone=True) if _kind(path) == "hub" else _files(path, alone=True)
    return replace(data, found=tuple(found for found in data.found if found.defect_type != NORMAL))


def photos(path: str) -> Listing:
    """Return all images of a folder, as normal images for training; masks among them are left out.

    Raises NotAllNormal when the names of its folders say that some are not normal, UsageError when it holds none.
    """
    root = existing_folder(path)
    place, files = root.resolve(), tree_of(root)
    if not files.pictures:
        raise no_image(path, files)
    refuse_anomalous(files.pictures, path)
    listed = listed_in(root, files, *folders_above(place))
    found = tuple(LabelledImage(name, NORMAL, True, key) for name, key in listed.entries)
    return Listing(place.name, found, listed.read, True, listed.license, place, listed.notes)


def _kind(path: str) -> str:
    """Return which kind of source a path is. Raises UsageError, worded for paths, as no key of a recipe helps here."""
    folder = home(path)
    base = folder if folder.exists() else home(path.partition(":")[0])
    file = next((part for part in (base, *base.parents) if part.is_file()), None)
    if file is not None:
        which = "is a file" if file == folder else f"{file} is a file"
        raise UsageError(f"{path}: {which}; give the folder of a data set, such as one of train/good and test/DEFECT")
    if not base.is_dir() and HUB_ID.fullmatch(str(base)) and base.parent.is_dir():
        raise UsageError(
            f"{path}: there is no such folder{missing_hint(base)} (the Hub is only asked for a dataset of this name "
            f"where there is no folder {base.parent})"
        )
    return detect(path)["kind"]


# ------------------------------------------------------------------------------------------------------ folders


def _files(path: str, *, alone: bool = False) -> Listing:
    """Return the images below a folder. alone: it may hold anomalous images alone, in no folder that names a defect."""
    root = _category(home(path), path)
    place, files = root.resolve(), tree_of(root)
    read = FileReader(place)
    unlabelled = [name for name in files.pictures if folders_of(name) & _UNLABELLED]
    pictures = [name for name in files.pictures if not folders_of(name) & _UNLABELLED]
    images, masks, taken = sorted_pictures(pictures, read, path)
    table = visa_training(root, images) if (root / "Data" / "Images").is_dir() else None
    training = {name for name in images if folders_of(name) & _TRAIN} if table is None else set(table)
    is_split = table is not None or any(folders_of(name) & (_TRAIN | _TEST) for name in images)
    good = normal_folders(images) or (_said_normal(images) if alone else frozenset())
    types, told = ({}, ()) if good else _types_by_masks(images, masks, read, path, need_all=not is_split)
    by_masks = bool(types)
    types = types or {
        name: named_type(name, good) or (SOME if alone else _refuse_unnamed(name, path)) for name in images
    }
    if alone:
        types |= {name: named_type(name, good) or kind for name, kind in types.items() if kind != NORMAL}
    anomalous = [name for name in images if types[name] != NORMAL]
    noted = _noted_types(root)
    types |= {name: noted[name] for name in anomalous if noted.get(name)}
    normal = [name for name in images if types[name] == NORMAL]
    by_files = unmarked(place, images if alone else normal, files.others)
    if normal and not by_files.images and not alone:
        raise UsageError(f"{path}: no image is normal: {'; '.join(by_files.notes)}")
    masks_of = paired(anomalous, sorted(mask for mask in masks if not folders_of(mask) & good), path, normal)
    if masks_of:
        _refuse_missing([name for name in anomalous if name not in masks_of], len(anomalous), path)
    else:
        refuse_strays(anomalous, {}, sorted(masks), read, path)
    left = without(masks_of, masks)
    others = {} if by_masks else paired(normal, left, path, anomalous, shared=True)
    doubtful = marked(others, read, path)
    if not by_masks and not alone:
        beside = [mask for mask in without(others, left) if folders_of(mask) & good]
        refuse_strays(normal, others, beside, read, path)
    bare = sorted(set(by_files.images).intersection(anomalous)) if alone and not masks_of else []
    silent = bare if len(bare) < len(anomalous) else []
    gone = doubtful | (set(normal) - set(by_files.images)) | set(silent)
    found = tuple(
        LabelledImage(name, types[name], name in training and types[name] == NORMAL, name, masks_of.get(name))
        for name in images
        if name not in gone
    )
    evidence = license_beside(place, place.parent, pictures=images)
    near, known = {PurePosixPath(name).parent for name in normal}, by_files.read | by_files.plain
    beside = [name for name in files.others if name not in known and PurePosixPath(name).parent in near]
    unread = perhaps_annotated(Tree(normal, beside, []), by_files.damaged)
    notes = (
        *taken,
        *told,
        *left_out(unlabelled, "whose labels are not public"),
        *left_out(sorted(doubtful), "in a folder of normal images, but whose masks mark an anomaly"),
        *left_out(left, "masks of no anomalous image"),
        *(left_out(normal, "normal images") if alone else by_files.notes),
        *left_out(silent, "on which annotations, which mark others, mark nothing"),
        *not_read(files, {*evidence.read, *by_files.read}),
        *(() if alone else unread),
        *evidence.notes,
    )
    return Listing(place.name, found, read, is_split, evidence.license, place, notes)


def _said_normal(images: Sequence[str]) -> frozenset[str]:
    """Return the names, in small letters, of folders that words call normal, whatever lies beside them."""
    return frozenset(part.lower() for name in images for part in PurePosixPath(name).parts[:-1] if says_normal(part))


def _types_by_masks(
    images: Sequence[str], masks: set[str], read: Callable[[str], bytes], path: str, *, need_all: bool
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what masks say of images in folders of which none is told to be of normal ones, and a note; else nothing.

    An image without a mask is normal where its folders name no defect, as in DAGM's Train and Test, unless `need_all`.
    """
    masks_of = paired(images, sorted(masks), path)
    bare = [name for name in images if name not in masks_of]
    if not masks_of or (bare and need_all) or any(named_type(name) for name in bare):
        return {}, ()
    anomalous = marked(masks_of, read, path)
    refuse_strays(images, masks_of, without(masks_of, masks), read, path)
    count = "1 image without a mask was" if len(bare) == 1 else f"{len(bare)} images without masks were"
    told = (f"no folder says what is normal, and {count} taken for it: {listed(bare)}",) if bare else ()
    return {name: SOME if name in anomalous else NORMAL for name in images}, told


def _category(root: Path, path: str) -> Path:
    """Return the folder of one category: the path itself, or the only one below it that has normal images."""
    pictures = image_files(root)
    good = normal_folders(pictures)
    names = sorted({_leading(name, good) for name in pictures if folders_of(name) & good})
    if "" in names or not names:
        return root
    if len(names) > 1:
        example = f"{path.rstrip('/')}/{names[0]}"
        raise UsageError(f"{path}: holds {len(names)} categories ({', '.join(names)}); give one of them, as {example}")
    return root / names[0]


def _leading(name: str, good: frozenset[str]) -> str:
    """Return the folders of an image above the first whose name says what is in it."""
    folders = PurePosixPath(name).parts[:-1]
    telling = _TRAIN | _TEST | PLAIN_NAMES | good | MASK_NAMES
    return "/".join(takewhile(lambda folder: folder.lower() not in telling, folders))


def named_type(name: str, good: frozenset[str] = NORMAL_NAMES) -> str | None:
    """Return the defect type that an image's folders name, None where they name none; "bad/scratch" is scratch.

    good: the names, in small letters, of folders of normal images.
    """
    parts = [part for part in PurePosixPath(name).parts[:-1] if part.lower() not in _TRAIN | _TEST | PLAIN_NAMES]
    if any(part.lower() in good for part in parts):
        return NORMAL
    parts = [part for part in parts if not _SAMPLE.fullmatch(part)]
    if len(parts) > 1 and parts[0].lower() in _BAD:
        parts = parts[1:]
    return "/".join(parts) or None


def _refuse_unnamed(name: str, path: str) -> str:
    raise UsageError(f"{path}: no folder says whether {name} is normal; put it into one named good, or by its defect")


def _noted_types(root: Path) -> dict[str, str]:
    """Return the defect types that VisA's image_anno.csv names, by image; nothing where there is no such table."""
    table = root / "image_anno.csv"
    if not table.is_file():
        return {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return {row["image"].partition("/")[2]: row["label"].strip() for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        raise SourceError(
            f"{table}: is not VisA's table of image, label, mask ({brief(error)}); unpack the dataset again, or remove "
            "it"
        ) from error


def _refuse_missing(missing: Sequence[str], count: int, path: str) -> None:
    if missing:
        named = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
        raise SourceError(
            f"{path}: there are masks, but none for {len(missing)} of {count} anomalous images: {named}. Add them "
            "(STEM_mask.png or STEM.png in ground_truth/DEFECT), or remove all masks to score whole images alone"
        )


# ----------------------------------------------------------------------------------------- Hugging Face datasets


def _rows(path: str, *, alone: bool = False) -> Listing:
    """Return the rows of a dataset: of the splits train and test, or of the only one or the one that is named.

    alone: it may hold anomalous rows alone.
    """
    config = Hub(path=path)
    base, named = config.path_and_split()
    with datasets_library() as datasets:
        splits = [named] if base != path else _splits(split_names(datasets, config, base), path)
        readers: dict[tuple[str, str], RowReader] = {}
        found: list[LabelledImage] = []
        notes: tuple[str, ...] = ()
        for split in splits:
            dataset = load_split(datasets, config, base, split)
            rows = Rows(datasets, dataset, path, split, roots_of(datasets, base))
            images, mask = rows.image_columns()
            if not images:
                raise UsageError(f"{path}: has no column of images; its columns are {', '.join(rows.features)}")
            readers |= {(split, column): rows.reader(column) for column in (images[0], mask) if column}
            own, told = _split_rows(rows, images[0], mask, alone)
            found, notes = found + own, notes + told
        license = license_of(base, config.revision, dataset)
    anomalous = [row for row in found if row.defect_type != NORMAL]
    if any(row.mask for row in anomalous):
        _refuse_missing([row.id for row in anomalous if row.mask is None], len(anomalous), path)

    def read(key: tuple[str, str, int]) -> bytes:
        return readers[key[0], key[1]](key[2])

    root = home(base).resolve() if home(base).is_dir() else None
    name = base.rpartition("/")[2] if root is None else root.name
    return Listing(name, tuple(found), read, len(splits) > 1, license.license, root, (*notes, *license.notes))


def _splits(names: list[str], path: str) -> list[str]:
    if "train" in names and "test" in names:
        return ["train", "test"]
    if len(names) == 1:
        return names
    raise UsageError(f"{path}: has the splits {', '.join(names)}; name the one to use, as in {path}:{names[0]}")


def _split_rows(rows: Rows, image: str, mask: str | None, alone: bool) -> tuple[list[LabelledImage], tuple[str, ...]]:
    """Return the rows of a split but for those that are called normal although something is marked on them."""
    types, notes = _types_by_labels(rows), tuple[str, ...]()
    if types is None and alone:
        columns = rows.label_columns()
        types = rows.labels(columns[0]) if columns else [SOME] * len(rows)
    if types is None:
        clean = set(rows.unmarked(range(len(rows)), mask)[0]) if mask or rows.box_columns else set[int]()
        if not clean:
            raise _untold(rows)
        types = [NORMAL if row in clean else SOME for row in range(len(rows))]
    elif not alone:
        kept, notes = rows.unmarked([row for row, kind in enumerate(types) if kind == NORMAL], mask)
        clean = set(kept)
        silent = [rows.id(row) for row, kind in enumerate(types) if not kind]
        notes += left_out(silent, "without a label", "row")
    given = rows.given(mask)
    found = [
        LabelledImage(
            rows.id(row),
            kind,
            rows.split == "train" and kind == NORMAL,
            (rows.split, image, row),
            [(rows.split, mask, row)] if kind != NORMAL and given[row] else None,
        )
        for row, kind in enumerate(types)
        if kind and (kind != NORMAL or alone or row in clean)
    ]
    return found, notes


def _types_by_labels(rows: Rows) -> list[str] | None:
    """Return the rows' defect types, "" for none, by the first column that tells normal ones; None where none does."""
    for labels in rows.told():
        if labels.are_flags or labels.normal:
            others = {label: SOME if labels.are_flags and label else label for label in set(labels.of)}
            return [NORMAL if label in labels.normal else others[label] for label in labels.of]
    return None


def _untold(rows: Rows) -> UsageError:
    seen = {column: ", ".join(sorted(set(rows.labels(column)))[:_NAMED]) for column in rows.label_columns()}
    labels = "; ".join(f"{column}: {some}" for column, some in seen.items())
    return UsageError(
        f"{rows.path}: no column says which rows are normal (good, ok, normal, 0 among 0 and 1, or masks that mark "
        "nothing); " + (f"labels are {labels}" if seen else f"its columns are {', '.join(rows.features)}")
    )
