"""Pictures of defects and what is marked on them: kept in the studio's own folder, found by the next studio."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from anomgen.dataset.pictures import at_most, displayable, scale_of
from anomgen.dataset.png import decode_png, encode_png
from anomgen.errors import UsageError
from anomgen.files import file_digest, json_object, refuse_linked, remove, replacing
from anomgen.sources.cache import bounded
from anomgen.sources.images import read_image

FOLDER = ".studio/pictures"
"""In the output folder; for each picture a folder that holds it, what is marked on it, and what is told of it."""
PICTURE, MARK, ABOUT = "picture", "mark.png", "about.json"
SHOWN_SIDE = 1536
"""Longer side at which a picture is shown and marked; the mask is brought to the picture's own size."""
SHOWN_BYTES = 160 << 20
"""Pictures that stay in memory, as they came and as they are shown."""
MOST_BYTES = 4 << 30
"""Pictures that are kept on the disk; one more is refused, none is dropped."""
_KEY = re.compile(r"[0-9a-f]{16,128}")


@dataclass(frozen=True)
class Picture:
    """A picture that the page sent. shown: (h, w, 3) uint8; size: height and width of the picture itself."""

    name: str
    data: bytes
    shown: np.ndarray
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Return what it takes up."""
        return len(self.data) + self.shown.nbytes


class Pictures:
    """Keeps pictures and marks below the output folder until they are taken away."""

    def __init__(self, out: Path):
        self.out, self.root = out, out / FOLDER
        self._shown: MutableMapping[str, Picture] = bounded(SHOWN_BYTES, lambda picture: picture.nbytes)
        self._lock = threading.Lock()

    def add(self, name: str, data: bytes) -> dict[str, Any]:
        """Keep a picture; return what `told` does. Raises SourceError for what is none, UsageError for one too many."""
        name = "".join(letter for letter in PurePosixPath(name).name[-100:] if letter.isprintable()) or "picture"
        picture = _opened(name, data)
        key = file_digest(data)
        folder = self.root / key
        refuse_linked(self.out, f"{FOLDER}/{key}")
        if not (folder / PICTURE).is_file():
            if self._bytes() + len(data) > MOST_BYTES:
                raise UsageError(
                    f"the studio keeps {MOST_BYTES >> 30} GB of pictures of defects, in {self.root}; take away those "
                    "whose defects are in a bank"
                )
            _write(folder / ABOUT, json.dumps(_about(picture, banked=False)).encode())
            _write(folder / PICTURE, data)
        with self._lock:
            self._shown[key] = picture
        return self.told(key)

    def all(self) -> list[dict[str, Any]]:
        """Return what is told of each picture that is kept, the first that came first."""
        found = [folder for folder in self.root.glob("*") if _KEY.fullmatch(folder.name) and _is_whole(folder)]
        return [self.told(folder.name) for folder in sorted(found, key=lambda one: (one / PICTURE).stat().st_mtime_ns)]

    def told(self, key: str) -> dict[str, Any]:
        """Return id, name, sizes, whether something is marked, and whether that is in a bank, of a picture."""
        folder = self._folder(key)
        return {"id": key, **json_object(folder / ABOUT), "marked": (folder / MARK).is_file()}

    def picture(self, key: str) -> Picture:
        """Return a picture. Raises UsageError for one that is not kept."""
        with self._lock:
            if key not in self._shown:
                folder = self._folder(key)
                self._shown[key] = _opened(json_object(folder / ABOUT)["name"], (folder / PICTURE).read_bytes())
            picture: Picture = self._shown[key]
        return picture

    def mark(self, key: str) -> np.ndarray:
        """Return what is marked, uint8 (h, w), as the picture is shown. Raises UsageError where nothing is."""
        file = self._folder(key) / MARK
        if not file.is_file():
            raise UsageError("nothing is marked on this picture")
        found: np.ndarray = decode_png(file.read_bytes())[..., 0]
        return found

    def set_mark(self, key: str, painted: np.ndarray, *, banked: bool = False) -> dict[str, Any]:
        """Keep what is marked, uint8 (h, w), in place of what was; nothing where it is empty. Return what `told` does.

        banked: whether it is in a bank now; what has not changed since it was put there stays so.
        """
        picture, folder = self.picture(key), self._folder(key)
        if painted.shape != picture.shown.shape[:2]:
            raise UsageError("the mask is of another size than the picture; open the picture again")
        before = json_object(folder / ABOUT)["banked"] and (folder / MARK).is_file()
        banked = banked or (before and np.array_equal(self.mark(key), painted))
        if painted.any():
            _write(folder / MARK, encode_png(painted[..., None]))
        else:
            (folder / MARK).unlink(missing_ok=True)
        _write(folder / ABOUT, json.dumps(_about(picture, banked=banked)).encode())
        return self.told(key)

    def remove(self, key: str) -> None:
        """Take a picture away, and what is marked on it; what is in a bank stays there."""
        folder = self._folder(key)
        for name in (ABOUT, MARK, PICTURE):
            remove(folder / name)
        with suppress(OSError):  # somebody keeps something of his own there
            folder.rmdir()
        with self._lock:
            self._shown.pop(key, None)

    def _folder(self, key: str) -> Path:
        folder = self.root / key
        if not _KEY.fullmatch(key) or not _is_whole(folder):
            raise UsageError("the studio no longer has this picture; open it again")
        refuse_linked(self.out, f"{FOLDER}/{key}")
        return folder

    def _bytes(self) -> int:
        return sum(file.stat().st_size for file in self.root.glob(f"*/{PICTURE}"))


def _is_whole(folder: Path) -> bool:
    return (folder / PICTURE).is_file() and (folder / ABOUT).is_file()


def _opened(name: str, data: bytes) -> Picture:
    image = read_image(data, name)
    shown = np.ascontiguousarray(at_most(displayable(image, scale_of(image)), SHOWN_SIDE))
    return Picture(name, data, shown, (image.shape[0], image.shape[1]))


def _about(picture: Picture, *, banked: bool) -> dict[str, Any]:
    height, width = picture.shown.shape[:2]
    return {"name": picture.name, "height": height, "width": width, "size": list(picture.size), "banked": banked}


def _write(file: Path, data: bytes) -> None:
    with replacing(file) as opened:
        opened.write(data)
