"""Normal images from a folder, nested in any way; refuses a folder that also holds test images or masks."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from anomgen.errors import UsageError, near_miss
from anomgen.licenses import license_beside
from anomgen.sources.base import PathText
from anomgen.sources.images import read_bytes
from anomgen.sources.scan import ScannedConfig, ScannedSource

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
NORMAL_NAMES = frozenset({"good", "ok", "normal"})
MASK_NAMES = frozenset({"ground_truth", "groundtruth", "gt", "mask", "masks"})


class Folder(ScannedConfig):
    """A folder of normal images: png, jpg, bmp, tif, webp, gif at any depth, in the order of their paths' bytes."""

    kind: ClassVar[str] = "folder"

    path: PathText
    """The folder."""

    def open(self) -> ScannedSource:
        """Find and decode every image. Raises UsageError for the folder, SourceError for images in it."""
        root = existing_folder(self.path)
        ids = image_files(root)
        if not ids:
            raise UsageError(f"{self.path}: holds no image ({extensions_text()})")
        _refuse_anomalous(ids, self.path)
        return folder_source(self, root, ids, _license_of(root.resolve()))


@dataclass(frozen=True)
class FileReader:
    """Reads files below a folder; pickles as the folder's path."""

    root: Path

    def __call__(self, relative: str) -> bytes:
        """Return a file's contents; SourceError when it cannot be read."""
        return read_bytes(self.root / relative, relative)


def folder_source(config: ScannedConfig, root: Path, ids: list[str], license: str | None = None) -> ScannedSource:
    """Return the checked source of the files `ids` (POSIX paths relative to `root`)."""
    return ScannedSource(config, str(root), [(name, name) for name in ids], FileReader(root.resolve()), license)


def _license_of(root: Path) -> str | None:
    """Return the licence that a file beside the images names; for ``bottle/train/good`` also in or above ``bottle``."""
    if root.name.lower() not in NORMAL_NAMES or root.parent.name.lower() != "train":
        return license_beside(root)
    return license_beside(root, root.parent.parent, root.parent.parent.parent)


def extensions_text() -> str:
    """Return the known extensions for a message."""
    return ", ".join(sorted(extension[1:] for extension in EXTENSIONS))


def existing_folder(path: str, what: str = "normal images") -> Path:
    """Return the folder. Raises UsageError, with the near miss among its siblings, when there is none."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UsageError(f"{path}: is a file; give the folder that holds the {what}")
    raise UsageError(f"{path}: there is no such folder{missing_hint(folder)}")


def missing_hint(folder: Path) -> str:
    """Return, for a message, which part of a path does not exist and what was probably meant."""
    folder = folder.absolute()
    parent = folder.parent
    while not parent.is_dir() and parent != parent.parent:
        folder, parent = parent, parent.parent
    try:
        siblings = sorted(entry.name for entry in parent.iterdir() if entry.is_dir())
    except OSError:
        siblings = []
    return f" (no {folder.name!r} in {parent}){near_miss(folder.name, siblings)}"


def image_files(root: Path) -> list[str]:
    """Return the images below a folder as POSIX paths relative to it, sorted by their bytes.

    Hidden files and folders and ``__MACOSX`` are left out. Links are followed, but never back into a folder that
    is being listed. Raises UsageError when a folder cannot be listed.
    """
    return sorted(_walk(root, "", ()), key=os.fsencode)


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    try:
        status = folder.stat()
        entries = list(os.scandir(folder))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be listed ({error.strerror or error})") from error
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        path = folder / entry.name  # unlike the entry, it does not raise at a link to itself
        if path.is_dir():
            yield from _walk(path, f"{prefix}{entry.name}/", (*above, here))
        elif path.suffix.lower() in EXTENSIONS and (path.is_file() or path.is_symlink()):
            yield prefix + entry.name


def _refuse_anomalous(ids: list[str], path: str) -> None:
    """Raise UsageError when the subfolders' names say that not all of the images are normal ones."""
    for parent, children in sorted(_subfolders(ids).items()):
        names = {child.lower(): child for child in sorted(children)}
        where = f"{path}/{parent}".rstrip("/")
        normal = sorted(NORMAL_NAMES & names.keys())
        masks = sorted(MASK_NAMES & names.keys())
        tests = [name for name in names if name.startswith("test")]
        others = sorted(names.keys() - NORMAL_NAMES)
        if masks:
            problem = f"{where} holds masks ({names[masks[0]]}/)"
        elif "train" in names and tests:
            problem = f"{where} holds test images ({names[tests[0]]}/)"
        elif normal and others:
            problem = f"{where} holds {names[others[0]]}/ beside {names[normal[0]]}/"
        else:
            continue
        raise UsageError(
            f"{problem}, but every image of a source must be a normal one; give the folder of the normal images, "
            "such as train/good, or for a known layout its kind (mvtec, visa, btad, mpdd)"
        )


def _subfolders(ids: list[str]) -> dict[str, set[str]]:
    """Return, for every folder above an image, its subfolders that hold images."""
    children: dict[str, set[str]] = defaultdict(set)
    for name in ids:
        parts = name.split("/")[:-1]
        for depth, part in enumerate(parts):
            children["/".join(parts[:depth])].add(part)
    return children
