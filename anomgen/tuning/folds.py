"""Folds over real defects: data sets of normal images and left-out defects, in a layout that `anomgen score` reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from anomgen.banks.folder import DATA, RECORD, Defect, write_bank
from anomgen.dataset.png import encode_png
from anomgen.errors import UsageError
from anomgen.files import appending, file_digest, replacing
from anomgen.making.engine import Plan
from anomgen.places import file_in, read_within
from anomgen.score.decoded import covered_mask, resized_mask
from anomgen.score.rows import remove_rows
from anomgen.sources.images import fit_image
from anomgen.sources.pixels import to_channels, to_depth
from anomgen.sources.pool import Pool

FOLDS = 4
SIDE = 128
"""Pixels along each side of the images, as `anomgen score` takes them by default."""
USED = 400
"""Normal images, evenly spaced, that are used at most."""
HELD_SHARE, MOST_HELD = 0.2, 40
"""Share of them, and how many at most, that is held out to test on."""
LEAST_NORMALS = 5
TYPE = "defect"
SCORES = "scores"
"""The rows of the trainings, beside the folds, and …"""
MARK = "anomgen-tuning"
"""… the file that says whose the folder is, and what was written there; without it nothing there is touched."""
MAX_MARK, MAX_FILE = 1 << 26, 1 << 30


class Fold(NamedTuple):
    """Defects that are left out, and those that may be learnt from."""

    folder: Path
    """Holds the data set `data` to train and test on, the bank `bank` of the defects to learn from."""
    used: tuple[Defect, ...]
    left: tuple[Defect, ...]

    @property
    def data(self) -> Path:
        """Return the data set, named as the fold is."""
        return self.folder / "data" / self.folder.name

    @property
    def bank(self) -> Path:
        """Return the bank of the defects to learn from."""
        return self.folder / "bank"

    @property
    def foreground(self) -> Path:
        """Return the folder of the objects' masks, which is there unless the whole image is the object."""
        return self.folder / "foreground"


def parted(defects: Sequence[Defect], item: str | None = None) -> list[list[Defect]]:
    """Return the defects in up to `FOLDS` parts, as many of each type in each as can be.

    item: pattern whose first group names the physical item in a defect's name; pictures of one item, and defects of one
    picture, stay together. Raises UsageError for a pattern that cannot be used.
    """
    groups: dict[str, list[Defect]] = {}
    for defect in sorted(defects, key=lambda own: (own.digest, own.item)):
        groups.setdefault(defect.digest if item is None else _item_of(defect.item, item), []).append(defect)
    ordered = sorted(groups.values(), key=lambda own: (own[0].defect_type, own[0].digest))
    count = min(FOLDS, len(ordered))
    return [[defect for group in ordered[k::count] for defect in group] for k in range(count)]


def _item_of(name: str, pattern: str) -> str:
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--item {pattern}: is no regular expression ({error})") from None
    if not found.groups:
        raise UsageError(f"--item {pattern}: has no group; put what names the item in parentheses, as in '(part\\d+)_'")
    match = found.search(name)
    if match is None:
        raise UsageError(f"--item {pattern}: does not fit {name}; every defect's name must tell its item")
    return match[1]


def note_written(folder: Path, files: Iterable[Path]) -> None:
    """Record, in the mark of the folder of the trainings, which files were written there, and their contents."""
    lines = [f"{file_digest(file.read_bytes())} {file.relative_to(folder).as_posix()}\n" for file in files]
    with appending(folder / MARK) as add:
        for line in lines:
            add(line.encode())


def remove_folds(folder: Path) -> None:
    """Remove the folds, the rows of their trainings and the mark, and the folders that are empty then.

    Removed is what was written, by record: somebody's own files, and those that were changed, stay.
    """
    gone = []
    with suppress(OSError, UnicodeDecodeError):
        for line in read_within(folder / MARK, MAX_MARK).decode().splitlines():
            known, _, name = line.partition(" ")
            with suppress(OSError):
                file = file_in(folder, name)
                if not file.is_symlink() and file_digest(read_within(file, MAX_FILE)) == known:
                    file.unlink()
                    gone.append(PurePosixPath(name))
    gone += [PurePosixPath(SCORES, name) for name in remove_rows(folder / SCORES)]
    above = {parent for name in gone for parent in name.parents if parent.parts}
    for parent in sorted(above, key=lambda own: -len(own.parts)):
        with suppress(OSError):  # somebody keeps something of his own there
            (folder / parent).rmdir()
    with suppress(OSError):
        (folder / MARK).unlink(missing_ok=True)
        folder.rmdir()


def write_folds(folder: Path, plan: Plan, parts: Sequence[Sequence[Defect]]) -> list[Fold]:
    """Write a data set for each part, which is left out of it; the same contents, the same files.

    plan: of the product, whose normal images are shrunk to `SIDE`. Raises UsageError for too few of these.
    """
    images, masks = _normals(plan)
    if len(images) < LEAST_NORMALS:
        raise UsageError(f"there are {len(images)} different normal images, and {LEAST_NORMALS} are needed")
    folder.mkdir(parents=True, exist_ok=True)
    note_written(folder, ())
    order = sorted(range(len(images)), key=lambda k: file_digest(encode_png(images[k])))
    count = min(max(round(HELD_SHARE * len(order)), 1), MOST_HELD)
    found = []
    for number, left in enumerate(parts):
        used = tuple(own for part in parts if part is not left for own in part)
        fold = Fold(folder / f"fold-{number + 1}", used, tuple(left))
        written = []
        for place, k in enumerate(order):
            name = f"{'test' if place < count else 'train'}/good/{place:04d}.png"
            written.append(_write(fold.data / name, images[k]))
            if (mask := masks[k]) is not None:
                written.append(_write(fold.foreground / name, mask))
        for place, own in enumerate(left):
            image = to_depth(to_channels(own.image, images[0].shape[2]), images[0].dtype)
            small = fit_image(image, (SIDE, SIDE), "stretch")
            written.append(_write(fold.data / f"test/{TYPE}/{place:04d}.png", small))
            written.append(_write(fold.data / f"ground_truth/{TYPE}/{place:04d}_mask.png", _shrunk(own.mask)))
        about = {"name": fold.folder.name, "license": None, "masks": "drawn"}
        write_bank(fold.bank, used, about, sorted({own.defect_type for own in used}), ())
        note_written(folder, [*written, fold.bank / DATA, fold.bank / RECORD])
        found.append(fold)
    return found


def _normals(plan: Plan) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """Return different normal images, small, and their objects' masks."""
    pool = Pool(plan.source, plan.foreground)
    images: dict[str, np.ndarray] = {}
    masks: dict[str, np.ndarray | None] = {}
    for k in sorted({round(k) for k in np.linspace(0, len(pool) - 1, min(USED, len(pool)))}):
        mask = pool.foreground(pool[k])
        image = fit_image(pool.stored(k), (SIDE, SIDE), "stretch")
        key = file_digest(encode_png(image))
        images[key] = image
        masks[key] = None if mask is None else resized_mask(mask, (SIDE, SIDE))
    return list(images.values()), list(masks.values())


def _shrunk(mask: np.ndarray) -> np.ndarray:
    """Return a mask at `SIDE`; of one that would lose all its pixels those that it covers most."""
    covered = covered_mask(mask, (SIDE, SIDE))
    return resized_mask(mask, (SIDE, SIDE)) | (covered >= min(0.5, float(covered.max())))


def _write(path: Path, pixels: np.ndarray) -> Path:
    with replacing(path, sync=False) as file:
        file.write(encode_png(pixels))
    return path
