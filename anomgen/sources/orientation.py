"""How EXIF turns a picture, and whether a mask without its tag was drawn on what is shown or on what is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from anomgen.sources.pixels import is_alike
from anomgen.sources.tree import listed

ORIENTATION = 274
"""The number of EXIF's and TIFF's tag: 1 for upright, 2, 3 and 4 mirrored or turned by half, 5 to 8 on their side."""
UPRIGHT = 1


class Picture(NamedTuple):
    """What a file shows: pixels upright, (H, W, C), and the orientation that it carried, 1 to 8, None for none."""

    pixels: np.ndarray
    orientation: int | None


class Turn(NamedTuple):
    """The orientation that a picture carries, None for none, and its (height, width, …) as shown."""

    orientation: int | None
    shape: tuple[int, ...]

    @property
    def stored(self) -> tuple[int, int]:
        """Return the (height, width) of the picture as it is stored."""
        height, width = self.shape[:2]
        return (width, height) if self.orientation in (5, 6, 7, 8) else (height, width)


class Drawn(Enum):
    """What a mask was drawn on: a picture as EXIF turns it, the same as it is stored, or nobody can tell."""

    SHOWN = 0
    STORED = 1
    UNKNOWN = 2


def picture(image: Image.Image, decode: Callable[[], np.ndarray]) -> Picture:
    """Return what `decode` makes of an opened image, and the orientation that the file carries."""
    is_png = image.format == "PNG"  # which may say it behind the pixels; a TIFF forgets it with them
    before = None if is_png else orientation_of(image)
    pixels = decode()
    return Picture(pixels, orientation_of(image) if is_png else before)


def orientation_of(image: Image.Image) -> int | None:
    """Return the orientation that is left to apply, 1 to 8 (Pillow applies a TIFF's as it loads it); None for none."""
    try:
        found = image.getexif().get(ORIENTATION)
    except Exception:  # broken metadata says nothing about the pixels
        return None
    return found if found in range(1, 9) else None


def upright(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """Apply the orientation that is left to apply to pixels (H, W, …)."""
    return turned(pixels, orientation_of(image))


def turned(pixels: np.ndarray, orientation: int | None) -> np.ndarray:
    """Return pixels (H, W, …) as stored the way that an orientation shows them."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def upright_png(mask: np.ndarray) -> bytes:
    """Return a PNG of a mask, uint8 (H, W), that says that it was drawn on what is shown."""
    file, exif = BytesIO(), Image.Exif()
    exif[ORIENTATION] = UPRIGHT
    Image.fromarray(mask).save(file, "PNG", exif=exif)
    return file.getvalue()


def drawn_on(mask: Picture, turn: Turn) -> Drawn:
    """Return what a mask was drawn on, as far as its own orientation and the sizes of both tell."""
    return Drawn.SHOWN if mask.orientation is not None else drawn_at(mask.pixels.shape[:2], turn)


def drawn_at(size: tuple[int, ...] | None, turn: Turn) -> Drawn:
    """Return what a mask of a (height, width) that has no orientation was drawn on; size: None where nothing says it.

    Sizes of the same aspect as the picture's fit it.
    """
    if turn.orientation in (None, UPRIGHT):
        return Drawn.SHOWN
    if size is None or min(size) < 1:
        return Drawn.UNKNOWN
    fits_shown, fits_stored = (is_alike(size, shape) for shape in (turn.shape[:2], turn.stored))
    if fits_shown == fits_stored:
        return Drawn.UNKNOWN
    return Drawn.SHOWN if fits_shown else Drawn.STORED


def drawn_notes(drawn: Sequence[tuple[str, Drawn]]) -> tuple[str, ...]:
    """Return notes on masks that were turned as their pictures are, and on those of which nobody can tell.

    drawn: the picture's name and what its mask was drawn on, of each picture.
    """
    stored, unknown = ([name for name, own in drawn if own is kind] for kind in (Drawn.STORED, Drawn.UNKNOWN))
    notes = []
    if stored:
        notes.append(
            f"EXIF turns {_pictures(stored)} whose masks were, by their size, drawn on what is stored; these are "
            f"turned, too: {listed(stored)}"
        )
    if unknown:
        notes.append(
            f"EXIF turns {_pictures(unknown)} whose masks have no orientation, and no size tells on what they were "
            f"drawn: {listed(unknown)}. They are taken as drawn on what is shown; if they do not fit, save pictures "
            "and masks turned, or strip the tag from the pictures"
        )
    return tuple(notes)


def _pictures(names: Sequence[str]) -> str:
    return f"{len(names)} picture{'s' if len(names) > 1 else ''}"
