"""The train/normal part of the field's datasets, as their authors lay them out.

A layout says where the normal images are, not whose they are: anybody's images may be laid out like MVTec AD's.

MVTec AD (Bergmann et al., CVPR 2019), MPDD (Jezek et al., ICUMT 2021), BTAD (Mishra et al., ISIE 2021,
arXiv 2104.10036), VisA (Zou et al., ECCV 2022, arXiv 2207.14315).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from anomgen.errors import SourceError, UsageError, brief, near_miss
from anomgen.sources.base import PathText
from anomgen.sources.folder import existing_folder, listed_in
from anomgen.sources.scan import Listed, ScannedConfig
from anomgen.sources.tree import extensions_text, folders_in, left_out, not_read, says_mask, tree_of

_LISTED = 20


class Layout(ScannedConfig):
    """A category's folder, or the folder of all categories and the name of one."""

    normal_folders: ClassVar[tuple[str, ...]]
    """Where, below the category's folder, the normal training images are; the first that exists counts."""

    path: PathText
    """The category's folder, or the folder of all categories."""
    category: str | None = None
    """Name of the category, where `path` is the folder of all."""

    def listed(self) -> Listed:
        """Find the normal training images; ids are paths relative to the category's folder.

        Raises UsageError for the folder or category.
        """
        folder = self._category_folder(existing_folder(self.path))
        normal = self.normal_folder(folder)
        assert normal is not None
        files = tree_of(folder / normal).below(normal)
        files = files._replace(pictures=self._training(folder, files.pictures))
        if not files.pictures:
            why = (f"{folder}: no normal training image in {normal} ({extensions_text()})", *not_read(files))
            raise UsageError("; ".join(why))
        listed = listed_in(folder, files, folder.resolve().parent)
        return listed._replace(notes=(*_masks_beside(folder, normal), *listed.notes))

    @classmethod
    def normal_folder(cls, folder: Path) -> str | None:
        """Return where a category's normal images are; None when `folder` is not laid out like one."""
        return next((normal for normal in cls.normal_folders if (folder / normal).is_dir()), None)

    @classmethod
    def categories(cls, root: Path) -> list[str]:
        """Return the names of the subfolders that are laid out like categories."""
        return [name for name in folders_in(root) if cls.normal_folder(root / name)]

    def _category_folder(self, root: Path) -> Path:
        if self.category is None and self.normal_folder(root):
            return root
        names = self.categories(root)
        listed = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
        if self.category is not None:
            if self.category in names:
                return root / self.category
            known = f" (there is {listed or 'none'})"
            raise UsageError(f"{self.path}: no category {self.category!r}{known}{near_miss(self.category, names)}")
        if len(names) == 1:
            return root / names[0]
        if names:
            raise UsageError(
                f"{self.path}: holds {len(names)} categories ({listed}); give one's folder, or choose it with "
                f"--set source.category={names[0]}"
            )
        raise UsageError(
            f"{self.path}: is not laid out like {self.kind} (no {' or '.join(self.normal_folders)} in it or one level "
            "below); for a plain folder of normal images use kind: folder"
        )

    def _training(self, folder: Path, ids: list[str]) -> list[str]:  # noqa: ARG002
        """Return those of the normal images that are for training."""
        return ids


def _masks_beside(folder: Path, normal: str) -> tuple[str, ...]:
    """Return a note on folders of masks beside that of a category's normal images: no key of the layout reads them."""
    above = PurePosixPath(normal).parent
    beside = [f"{above}/{name}" for name in folders_in(folder / above) if f"{above}/{name}" != normal]
    silent = [place for place in beside if says_mask(f"{place}/x")]
    return left_out([name for place in silent for name in tree_of(folder / place).below(place).pictures], "masks")


class MVTecAD(Layout):
    """MVTec AD: ``CATEGORY/train/good``."""

    kind: ClassVar[str] = "mvtec"
    normal_folders: ClassVar[tuple[str, ...]] = ("train/good",)


class MPDD(Layout):
    """MPDD, laid out as MVTec AD: ``CATEGORY/train/good``."""

    kind: ClassVar[str] = "mpdd"
    normal_folders: ClassVar[tuple[str, ...]] = ("train/good",)


class BTAD(Layout):
    """BTAD: ``CATEGORY/train/ok``."""

    kind: ClassVar[str] = "btad"
    normal_folders: ClassVar[tuple[str, ...]] = ("train/ok",)


class VisA(Layout):
    """VisA, converted (``CATEGORY/train/good``) or as published (``CATEGORY/Data/Images/Normal``).

    As published, ``split_csv/1cls.csv`` beside the category says which normal images are for training; without
    that file there is no test split to keep apart, and all of them are taken.
    """

    kind: ClassVar[str] = "visa"
    normal_folders: ClassVar[tuple[str, ...]] = ("train/good", "Data/Images/Normal")

    def _training(self, folder: Path, ids: list[str]) -> list[str]:
        chosen = None if self.normal_folder(folder) == "train/good" else visa_training(folder, ids)
        return ids if chosen is None else chosen


def visa_training(folder: Path, ids: Sequence[str]) -> list[str] | None:
    """Return those of a category's images, relative to its folder, that VisA's table of the split trains on.

    None where there is no table beside the category. Raises SourceError when the table is another or images of it
    are not there.
    """
    table = folder.resolve().parent / "split_csv" / "1cls.csv"
    if not table.is_file():
        return None
    chosen = _training_rows(table, folder.resolve().name)
    missing = sorted(chosen - set(ids))
    if missing:
        raise SourceError(
            f"{folder}: {len(missing)} training images of {table.name} are not there, the first is {missing[0]}; "
            f"unpack the dataset again, or remove {table}"
        )
    return [name for name in ids if name in chosen]


def _training_rows(table: Path, category: str) -> set[str]:
    """Return the training images that a VisA split names for a category, relative to the category's folder."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        return {
            row["image"].partition("/")[2]
            for row in rows
            if (row["object"], row["split"], row["label"]) == (category, "train", "normal")
        }
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        raise SourceError(
            f"{table}: is not VisA's table of object, split, label, image ({brief(error)}); unpack the dataset again, "
            "or remove the file"
        ) from error
