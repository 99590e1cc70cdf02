"""Normal images from a folder, nested in any way; refuses a folder that also holds test images or masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from anomgen.errors import UsageError, near_miss
from anomgen.licenses import license_beside
from anomgen.places import home, is_url
from anomgen.sources.annotations.marked import unmarked
from anomgen.sources.base import PathText
from anomgen.sources.images import read_bytes
from anomgen.sources.pairing import normal_among
from anomgen.sources.scan import Listed, ScannedConfig
from anomgen.sources.tree import (
    MASK_NAMES,
    Tree,
    folder_name,
    no_image,
    not_read,
    perhaps_annotated,
    tree_of,
)
from anomgen.sources.verdicts import (
    NORMAL_NAMES,
    folders_beside,
    opposed,
    opposed_images,
    says_anomalous,
    says_normal,
    untold,
)


class NotAllNormal(UsageError):
    """The names of folders say that not all images in them are normal ones."""


class Folder(ScannedConfig):
    """A folder of normal images: png, jpg, bmp, tif, webp, gif at any depth, in the order of their paths' bytes."""

    kind: ClassVar[str] = "folder"

    path: PathText
    """The folder."""

    def listed(self) -> Listed:
        """Find the images. Raises UsageError for the folder, SourceError for masks in it that cannot be read."""
        root = existing_folder(self.path)
        files = tree_of(root)
        if not files.pictures:
            raise no_image(self.path, files)
        refuse_anomalous(files.pictures, self.path)
        found = listed_in(root, files, *folders_above(root.resolve()))
        return found._replace(notes=found.notes + tuple(_untold(files.pictures)))


@dataclass(frozen=True)
class FileReader:
    """Reads files below a folder; pickles as the folder's path."""

    root: Path

    def __call__(self, relative: str) -> bytes:
        """Return a file's contents; SourceError when it cannot be read."""
        return read_bytes(self.root / relative, relative)


def listed_in(root: Path, files: Tree, *above: Path) -> Listed:
    """Return the normal images among files below `root`; what is left out is in the notes.

    above: folders above `root` whose licence is that of the images, too. Raises UsageError when none is left.
    """
    read = FileReader(root.resolve())
    normal = normal_among(files.pictures, read, str(root))
    told = unmarked(root, normal.images, files.others)
    license = license_beside(root.resolve(), *above, pictures=told.images)
    left = (*normal.notes, *told.notes, *not_read(files, {*license.read, *told.read}))
    if not told.images:
        advice = "; give pictures of defects to `anomgen bank`" if normal.images else ""
        raise UsageError(f"{root}: no picture is a normal image: {'; '.join(left)}{advice}")
    unread = files._replace(others=[name for name in files.others if name not in told.read | told.plain])
    notes = (*left, *perhaps_annotated(unread, told.damaged), *license.notes)
    return Listed(str(root), [(name, name) for name in told.images], read, license.license, notes=notes)


def folders_above(root: Path) -> tuple[Path, ...]:
    """Return the folders above whose licence counts, too: of ``bottle/train/good`` up to that of ``bottle``."""
    is_of_layout = root.name.lower() in NORMAL_NAMES and root.parent.name.lower() == "train"
    return tuple(root.parents)[:3] if is_of_layout else ()


def existing_folder(path: str, what: str = "normal images") -> Path:
    """Return the folder. Raises UsageError, with the near miss among its siblings, when there is none."""
    folder = home(path)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UsageError(f"{path}: is a file; give the folder that holds the {what}")
    raise UsageError(f"{path}: there is no such folder{missing_hint(folder)}")


def missing_hint(folder: Path) -> str:
    """Return, for a message, which part of a path does not exist and what was probably meant.

    Of a URL it says what to do: images are read from folders and from the Hub alone.
    """
    if is_url(folder):
        give = "give its id, OWNER/NAME" if str(folder).startswith("hf:") else "download them, and give the folder"
        return f"; images are not read from a URL: {give}"
    folder = folder.absolute()
    parent = folder.parent
    while not parent.is_dir() and parent != parent.parent:
        folder, parent = parent, parent.parent
    try:
        siblings = sorted(entry.name for entry in parent.iterdir() if entry.is_dir())
    except OSError:
        siblings = []
    return f" (no {folder.name!r} in {parent}){near_miss(folder.name, siblings)}"


def refuse_anomalous(ids: list[str], path: str) -> None:
    """Raise NotAllNormal when the names of folders, or of images, say that not all of the images are normal ones."""
    holding = {name.rpartition("/")[0] for name in ids}
    for parent, children in sorted(folders_beside(ids).items()):
        names = {folder_name(child): child for child in sorted(children)}
        where = f"{path}/{parent}".rstrip("/")
        masks = sorted(MASK_NAMES & names.keys())
        tests = [name for name in names if name.startswith("test")]
        if masks:
            problem = f"{where} holds masks ({names[masks[0]]}/)"
        elif "train" in names and tests:
            problem = f"{where} holds test images ({names[tests[0]]}/)"
        elif told := opposed(sorted(children)):
            problem = f"{where} holds {told[1]}/ beside {told[0]}/"
        elif parent in holding and (told_so := sorted(filter(says_anomalous, children))):
            problem = f"{where} holds {told_so[0]}/ beside pictures"
        else:
            continue
        raise _not_all_normal(problem)
    anomalous = {PurePosixPath(name).parent for name in ids if says_normal(PurePosixPath(name).stem) is False}
    for folder in sorted(anomalous):
        files = {file.stem: file.name for name in ids if (file := PurePosixPath(name)).parent == folder}
        if told := opposed_images(sorted(files)):
            raise _not_all_normal(f"{path}/{folder} holds {files[told[1]]} beside {files[told[0]]}".replace("/. ", " "))


def _untold(ids: list[str]) -> Iterator[str]:
    """Yield notes on folders side by side whose names may mean normal and anomalous."""
    for parent, children in sorted(folders_beside(ids).items()):
        if told := untold(children):
            names = " and ".join(f"{name}/" for name in sorted(told))
            yield (
                f"the images in {names}{f' of {parent}/' if parent else ''} were all taken for normal ones, as "
                "these names say nothing of defects; if one holds defects, give the folder of the other"
            )


def _not_all_normal(problem: str) -> NotAllNormal:
    return NotAllNormal(
        f"{problem}, but every image of a source must be a normal one; give the folder of the normal images, "
        "such as train/good, or for a known layout its kind (mvtec, visa, btad, mpdd); if all of them are "
        "normal, rename what says otherwise"
    )
