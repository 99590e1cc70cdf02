"""What every reader of annotations returns, and how annotated pictures are found by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import cv2
import numpy as np

from anomgen.config.text import decoded
from anomgen.config.text import read_json as text_of_json
from anomgen.errors import SourceError
from anomgen.places import read_within, regular
from anomgen.sources.mask_files import PairedMask
from anomgen.sources.orientation import Drawn, Turn, drawn_at, turned
from anomgen.sources.verdicts import says_normal

MAX_BYTES = 1 << 28
"""Larger files are not read as annotations."""
_LEAST = 1 << 12
"""Bytes at a file's beginning by which it is told whether it may hold annotations."""
UPLOADED = re.compile(r"[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""


class OutsideError(Exception):
    """A form lies outside of its picture."""


class Shape(NamedTuple):
    """One form that marks a defect."""

    size: tuple[int, int] | None
    """Height and width of the picture that it was drawn on, None where nothing says them."""
    mask: Callable[[tuple[int, int]], np.ndarray]
    """Returns the mask, bool (H, W), for the picture's height and width, which are those above where they are said.

    Raises OutsideError.
    """


class Annotation(NamedTuple):
    """What marks defects of one type on one picture, in one or more shapes."""

    image: str
    """The picture's path, as in the list of pictures that the reader was given."""
    defect_type: str
    shapes: Sequence[Shape]

    def mask(self, turn: Turn) -> PairedMask:
        """Return what all shapes mark on a picture; where they were drawn on it as it is stored, it is turned, too.

        Raises SourceError for a picture of another size, and for what lies outside of it.
        """
        said = next((own.size for own in self.shapes if own.size is not None), None)
        drawn = drawn_at(said, turn)
        size = turn.stored if drawn is Drawn.STORED else (turn.shape[0], turn.shape[1])
        mask = np.zeros(size, bool)
        for own in self.shapes:
            if own.size is not None and own.size != size:
                there, here = (f"{height} × {width}" for height, width in (own.size, size))
                raise SourceError(
                    f"{self.image}: was annotated at {there} pixels, but is {here}; export its annotations anew"
                )
            try:
                mask |= own.mask(size)
            except OutsideError as error:
                raise SourceError(
                    f"{self.image}: is annotated with {self.defect_type} outside of the picture: {error}; remove it, "
                    "or export its annotations anew"
                ) from error
        return PairedMask(turned(mask, turn.orientation) if drawn is Drawn.STORED else mask, drawn)


class Mark(NamedTuple):
    """That something of a class is on a picture.

    called: the picture's path as the file that says so has it, None for the picture that the file is called like.
    """

    called: str | None
    defect_type: str
    doubt: str = ""
    """Why nothing says whether this is a defect, "" where it is one."""
    column: str = ""
    """The column of a table that says so."""


def image_marks(labels: Sequence[tuple[str, str]]) -> list[Mark]:
    """Return what labels of whole images mark: a picture, as a file calls it, and one of its labels each.

    An image that one label calls normal is marked by those alone that words call anomalous.
    """
    normal = {called for called, label in labels if says_normal(label)}
    return [Mark(called, label) for called, label in labels if says_normal(label) is False or called not in normal]


def read_json(path: Path, most: int = MAX_BYTES) -> Any:
    """Return the contents of a JSON file of at most so many bytes. Raises SourceError when it cannot be read."""
    try:
        return text_of_json(read_file(path, path.name, most))
    except ValueError as error:
        raise SourceError(f"{path.name}: {error}") from error


def read_file(path: Path, name: str, most: int = MAX_BYTES) -> str:
    """Return the text of a file of annotations. Raises SourceError, which calls it `name`, when it cannot be read."""
    try:
        return decoded(read_within(path, most))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{name}: cannot be read ({reason})") from error


def beginning(path: Path) -> bytes:
    """Return the first bytes of a file, none of what is no file or cannot be read."""
    try:
        with regular(path).open("rb") as file:
            return file.read(_LEAST)
    except OSError:
        return b""


class Pictures:
    """The pictures below a folder, found by what an annotation calls them."""

    def __init__(self, names: Sequence[str]):
        self.names = tuple(names)
        self._by_file: dict[str, list[str]] = {}
        for name in names:
            self._by_file.setdefault(PurePosixPath(name).name, []).append(name)

    def find(self, called: str, where: str, hint: str = "") -> str:
        """Return the picture that a file `where` calls so: the longest common end of both paths decides.

        hint: a text, such as the name of that file; among equally good ones that in a folder named in it. Raises
        SourceError when there is none, or several.
        """
        parts = PurePosixPath(called.replace("\\", "/")).parts
        file = parts[-1] if parts else ""
        found = self._by_file.get(file) or self._by_file.get(UPLOADED.sub("", file, count=1)) or []
        if not found:
            raise SourceError(f"{where}: names the picture {called!r}, which is not there")
        fits = {name: _common_end(parts[:-1], PurePosixPath(name).parts[:-1]) for name in found}
        best = [name for name in found if fits[name] == max(fits.values())]
        if len(best) > 1:
            best = [name for name in best if PurePosixPath(name).parent.name in re.split(r"\W|_", hint)] or best
        if len(best) > 1:
            raise SourceError(f"{where}: names the picture {called!r}, which may be {best[0]} or {best[1]}")
        return best[0]


def _common_end(a: Sequence[str], b: Sequence[str]) -> int:
    count = 0
    for one, other in zip(reversed(a), reversed(b), strict=False):
        if one != other:
            break
        count += 1
    return count


def filled(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return what closed polygons, (N, 2) of x and y in pixels from the image's corner, cover: bool (H, W).

    Raises OutsideError for one of which nothing is in the image.
    """
    mask = np.zeros(shape, np.uint8)
    for points in polygons:
        if not len(points):
            continue
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        if left >= shape[1] or top >= shape[0] or right < 0 or bottom < 0:
            raise OutsideError(
                f"x from {left:g} to {right:g} and y from {top:g} to {bottom:g}, of {shape[0]} × {shape[1]} pixels "
                "(height × width)"
            )
        inside = np.clip(np.floor(points), 0, np.array((shape[1] - 1, shape[0] - 1)))
        cv2.fillPoly(mask, [inside.astype(np.int32)], 1)
    return mask.view(bool)
