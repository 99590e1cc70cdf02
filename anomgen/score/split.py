"""Writing the images that models for a data set may be trained on: what `anomgen score` does not test on."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from anomgen.dataset.png import encode_png
from anomgen.errors import AnomgenError, UsageError
from anomgen.files import lies_in, refuse_linked, refuse_taken
from anomgen.score.data import load
from anomgen.sources.base import MIN_SIDE
from anomgen.sources.images import read_image, read_picture
from anomgen.sources.labelled import NORMAL, Listing, listing
from anomgen.sources.mask_files import united_mask
from anomgen.sources.orientation import UPRIGHT, Turn, upright_png
from anomgen.sources.tree import EXTENSIONS, JPEGS

LICENSE = "LICENSE"
_UNSAFE = re.compile(r"[^\w.-]")
_LONGEST = 80
"""Characters of an image's name that are kept."""
_FORMATS = {"MPO": "jpg"}
"""Format → ending, where they differ; a phone's JPEG with several pictures is one."""


def write_training_images(paths: Iterable[str], out: Path, *, real_share: float = 0.0) -> dict[Path, int]:
    """Write the files that models for these data sets may be trained on: `load`'s train and real, and nothing else.

    They go to ``out/NAME/good`` and, with a share of real anomalies, ``out/NAME/abnormal/DEFECT``, as they are stored,
    with their masks in ``out/NAME/masks/DEFECT``, and a file that says the licence where it is known. Return each
    folder's count. Raises UsageError when a folder holds anything already or lies in the data, and what `load` raises,
    before anything is written; AnomgenError when it cannot be.
    """
    chosen: dict[Path, tuple[Listing, tuple[str, ...]]] = {}
    for path in paths:
        data, listed = load(path, MIN_SIDE, real_share=real_share), listing(path)
        place = out / data.name
        refuse_linked(out, data.name)
        if place / "good" in chosen:
            raise UsageError(f"two data sets are called {data.name!r}; rename one folder")
        if listed.root is not None and lies_in(place, listed.root):
            raise UsageError(f"{place} is in the data {path} itself; give another folder to write the images to")
        chosen[place / "good"] = listed, tuple(data.train.id(k) for k in range(len(data.train)))
        if data.real is not None:
            chosen[place / "abnormal"] = listed, data.real.ids
    masks = [folder.with_name("masks") for folder in chosen if folder.name == "abnormal"]
    for folder in (*chosen, *masks):
        refuse_taken(folder, "give another folder")
    written: list[Path] = []
    for folder, (listed, ids) in chosen.items():
        try:
            _write(folder, listed, ids, written)
        except BaseException as error:
            for whole in written:  # the same command is to work again
                shutil.rmtree(whole, ignore_errors=True)
            if isinstance(error, OSError):
                raise AnomgenError(f"{folder}: cannot be written ({error.strerror or error})") from error
            raise
    return {folder: len(ids) for folder, (_, ids) in chosen.items()}


def _write(folder: Path, listed: Listing, ids: Iterable[str], written: list[Path]) -> None:
    """Write a folder of images, and of anomalous ones their masks; it has its name only when it is whole.

    written: gets the folders that have theirs. What is not whole lies in a folder of a name that nobody has.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".split-", ignore_cleanup_errors=True) as work:
        part, masks = Path(work, folder.name), Path(work, "masks")
        _fill(part, masks, listed, ids)
        for place in (masks, part):
            if place.is_dir():
                target = folder.with_name(place.name)
                if target.exists():
                    target.rmdir()  # an empty one, which a renamed folder replaces on some systems only
                place.rename(target)
                written.append(target)


def _fill(part: Path, masks: Path, listed: Listing, ids: Iterable[str]) -> None:
    part.mkdir()
    known = {found.id: found for found in listed.found}
    for k, name in enumerate(ids):
        found = known[name]
        ending, content = _stored(name, listed.read(found.key))
        below = "" if found.defect_type == NORMAL else _UNSAFE.sub("_", found.defect_type)
        stem = f"{k:05d}-{PurePosixPath(name).stem[:_LONGEST]}"
        (part / below).mkdir(exist_ok=True)
        (part / below / f"{stem}{ending}").write_bytes(content)
        if found.mask is not None:
            names = [(listed.read(key), str(key)) for key in found.mask]
            pixels, orientation = read_picture(content, name)
            mask = united_mask(names, Turn(orientation, pixels.shape), name).mask
            (masks / below).mkdir(parents=True, exist_ok=True)
            is_plain = orientation in (None, UPRIGHT)
            data = encode_png(mask) if is_plain else upright_png(mask.view(np.uint8) * np.uint8(255))
            (masks / below / f"{stem}.png").write_bytes(data)
    if listed.license is not None:
        (part / LICENSE).write_text(f"SPDX-License-Identifier: {listed.license}\n", encoding="utf-8")


def _stored(name: str, content: bytes) -> tuple[str, bytes]:
    """Return a file's ending and contents: as it is, where its format is one that folders of images may have."""
    ending = PurePosixPath(name).suffix.lower()
    if ending not in EXTENSIONS:
        with Image.open(BytesIO(content)) as picture:
            ending = f".{_FORMATS.get(picture.format or '', picture.format or '').lower()}"
    if ending in JPEGS - {".jpeg"}:  # few tools look for the others
        ending = ".jpg"
    return (ending, content) if ending in EXTENSIONS else (".png", encode_png(read_image(content, name)))
