"""A bank and the photos as a data set to compare recipes on, laid out in the studio's own folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

from anomgen.banks.folder import Bank
from anomgen.dataset.png import encode_png
from anomgen.errors import UsageError
from anomgen.files import fingerprint_of, refuse_linked
from anomgen.sources import detect
from anomgen.sources.base import build_source
from anomgen.sources.folder import FileReader
from anomgen.sources.scan import Listed, ScannedConfig

FOLDER = ".studio/real"
MOST_PHOTOS = 1000


def laid_out(bank: Path, photos: str, out: Path) -> Path:
    """Return a folder with the photos as normal images and the defects of a bank with their masks.

    The photos are linked, not copied, where that can be done. Raises UsageError for photos that are no image files.
    """
    source = build_source(detect(photos))
    if not isinstance(source, ScannedConfig):
        raise UsageError(f"{photos}: recipes are compared on image files")
    listed, opened = source.listed(), Bank(bank)
    names = [name for name, _ in listed.entries]
    root = out / FOLDER / f"{bank.name}-{fingerprint_of([opened.fingerprint, photos, names], size=8)}"
    refuse_linked(out, f"{FOLDER}/{root.name}")
    if root.is_dir():
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".part-", ignore_cleanup_errors=True) as work:
        draft = Path(work, root.name)
        _write_photos(listed, draft / "good")
        for number, own in enumerate(opened.defects()):
            for folder, end, picture in (("", "", own.image), ("ground_truth", "_mask", own.mask[..., None] * 255)):
                place = draft / folder / own.defect_type
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{number:04d}{end}.png").write_bytes(encode_png(picture.astype(own.image.dtype)))
        draft.rename(root)
    return root


def _write_photos(listed: Listed, folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, (name, key) in enumerate(listed.entries[:MOST_PHOTOS]):
        place = folder / f"{number:05d}{Path(name).suffix.lower()}"
        try:
            if not isinstance(listed.read, FileReader):
                raise OSError
            place.symlink_to(listed.read.root / key)
        except OSError:  # not a folder's files, or a system without links
            place.write_bytes(listed.read(key))
