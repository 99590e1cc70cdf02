"""Reading mask files: which pixels are marked, whatever tool and format they were drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from anomgen.errors import SourceError, lacks_memory
from anomgen.sources.images import deep_colour, deep_grey, is_deep, open_header, quiet, require_one
from anomgen.sources.inflation import bare
from anomgen.sources.orientation import Drawn, Picture, Turn, drawn_on, picture, turned, upright

_JPEG = b"\xff\xd8\xff"
_HALF_LOSSY = 127  # of 8 bits, which is all that the lossy formats have
_NEAR = 24
"""How far from black and from white the losses of JPEG and WebP leave most pixels of a mask."""
_NOISE = 3
"""Values up to which a lossy WebP of a black picture strays from black; a JPEG's does not."""
_RINGING, _PEAKS = 32, 0.005
"""How far values ring around black and white, and the least share of the dark ones that are above all around them."""
_MOST_VALUES = 32
"""Different values in a channel of a mask; what a camera takes has more, or values side by side."""
_MOST_DRAWN = 5
"""Values in a channel of a mask that nobody takes for a photograph, whatever it is called."""
_MOST_COLOURS = 256
"""Different colours in a mask of classes or of instances; a photograph has more."""
_FLAT, _ROUGH = 0.9, 0.6
"""Share of pixels that are as the next one, at least in masks, and at most in photographs that nothing is cut from."""
_PAINTED, _SPECKS, _DARK = 0.95, 0.02, 64
"""The first share in what is painted, the share of specks among pixels unlike one beside them, and how many values a
dark photograph spans."""
_LINES = 128
"""About how many rows and columns are looked at."""
_EVEN, _EVEN_LOSSY = 5, 12
"""Difference among neighbours, of 255, up to which pixels are even, as painted areas are; losses add to it."""
_UNEVEN, _UNEVEN_GREY = 0.1, 0.5
"""Share of pixels, neither even nor black nor white, that makes a picture; more in grey, where masks may be soft."""
_INSET = 0.8
"""Share of either side that what is marked spans, within an unmarked rim, where it looks inverted."""


def read_object_mask(data: bytes, name: str) -> np.ndarray:
    """Return a mask of an object or a region, which may fill its image, as bool (H, W), upright.

    True is where any colour is not zero, whatever it means. Alpha says nothing, unless it alone differs from pixel to
    pixel, or hides all of a single colour: then the mask was drawn in it. What is stored with losses, JPEG or WebP, or
    was before it was saved anew, has no exact zeros and is cut at half of its range. A picture with alpha that differs
    from pixel to pixel, as a cut-out has it, marks what is opaque by half.

    Raises SourceError, which calls the file `name`, when it is no image, damaged, too large, has several frames, or is
    another picture.
    """
    pixels = _pixels(data, name).pixels
    if not _is_picture(pixels, data):
        return _marked(pixels, data)
    alpha = pixels[..., -1] if pixels.shape[2] in (2, 4) else np.zeros((1, 1), np.uint8)
    if (alpha == alpha[0, 0]).all():
        raise SourceError(f"{name}: is a picture ({_values_of(pixels)}); a mask is black but for what it marks")
    return np.asarray(alpha > alpha.max() / 2)


def drawn_picture(data: bytes, name: str, turn: Turn) -> Drawn:
    """Return on what the mask in a file was drawn, of an image that EXIF turns; SourceError for what is no image."""
    return drawn_on(_pixels(data, name), turn)


def stored_size(data: bytes, name: str) -> tuple[int, int]:
    """Return the (height, width) that a file's header says, before EXIF turns it; SourceError for what is no image."""
    width, height = open_header(data, name).size
    return height, width


def read_defect_mask(data: bytes, name: str) -> np.ndarray:
    """Return what `read_object_mask` does for a mask of a defect, of which there is less than of its surroundings.

    Raises SourceError for any picture in the place of a mask, for a mask of everything or of the surroundings, and for
    small labels stored with losses.
    """
    return _defect_mask(data, name).pixels


def _defect_mask(data: bytes, name: str) -> Picture:
    """Return what `read_defect_mask` does, bool (H, W), and the orientation that the file carries."""
    pixels, orientation = _read(data, name)
    mask = _marked(pixels, data)
    if _is_picture(pixels, data):
        fault = "is a picture, perhaps with the defect drawn over it"
    elif _is_inverted(mask):
        how = "as a photograph does" if look_of(data) is Look.PICTURE else "as if inverted"
        fault = f"marks {mask.mean():.0%} of the image and all of its rim, {how}"
    else:
        return Picture(mask, orientation)
    raise SourceError(f"{name}: {fault} ({_values_of(pixels)}); a mask is black but for the defect")


def _read(data: bytes, name: str) -> Picture:
    """Return what is stored. Raises SourceError for what is no image, and for small labels stored with losses."""
    found = _pixels(data, name)
    pixels, noise = found.pixels, 0 if data.startswith(_JPEG) else _NOISE
    if _is_lossy(data) and not _marked(pixels, data).any() and _meant(pixels).max() > noise:
        raise SourceError(
            f"{name}: is stored with losses and holds nothing brighter than {_meant(pixels).max()} of 255, so it "
            "cannot be told what it marks; store it as PNG, or in black and white"
        )
    return found


def _is_inverted(mask: np.ndarray) -> bool:
    """Return whether most is marked up to the rim, or up to a frame that is left out, as borders of pictures are."""
    if mask.mean() <= 0.5:
        return False
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    rim = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
    fills = inner.shape == mask.shape
    spans = min(inner.shape[0] / mask.shape[0], inner.shape[1] / mask.shape[1]) >= _INSET
    return bool(rim.mean() > 0.9 and (fills or (spans and not inner.all())))


class PairedMask(NamedTuple):
    """A mask of an image as it is shown, bool (H, W), and what it was drawn on."""

    mask: np.ndarray
    drawn: Drawn


def united_mask(files: Sequence[tuple[bytes, str]], turn: Turn, image: str) -> PairedMask:
    """Return what several mask files, contents and names, mark together on an image called `image`.

    turn: of the image. A mask without an orientation that was, by its size, drawn on what is stored is turned, too.
    Raises SourceError as `read_defect_mask`, and for masks of another size.
    """
    found = [_defect_mask(data, name) for data, name in files]
    drawn = [drawn_on(own, turn) for own in found]
    masks = [
        turned(own.pixels, turn.orientation) if how is Drawn.STORED else own.pixels
        for own, how in zip(found, drawn, strict=True)
    ]
    name, mask, shape = files[0][1], masks[0], turn.shape
    for other in masks[1:]:
        mask = mask | other if other.shape == mask.shape else other
    if mask.shape != shape[:2]:
        sides = " × ".join(map(str, mask.shape)), " × ".join(map(str, shape[:2]))
        raise SourceError(f"{name}: is {sides[0]} pixels, but its image {image} is {sides[1]}; draw it on the image")
    return PairedMask(mask, max(drawn, key=lambda how: how.value))


class Look(Enum):
    """What a file looks like, whatever it is called: a picture, a mask, one colour all over, or not clear."""

    PICTURE = 0
    UNCLEAR = 1
    MASK = 2
    EMPTY = 3

    def is_less_a_mask(self, other: Look) -> bool:
        """Return whether a file of this look may be the image of which one of the other look is the mask."""
        return self.value < min(other.value, Look.MASK.value)


def look_of(data: bytes) -> Look:
    """Return what a file looks like; one that cannot be read is a picture.

    Masks are flat: a pixel is as the next one nearly everywhere, and there are few values or colours, or, stored with
    losses, hardly any but the two extremes. Values that lie close together are a mask's only in even areas: those of a
    photograph in little light or of little contrast are few, too.
    """
    try:
        whole = _meant(_pixels(data, "").pixels)
    except SourceError:
        return Look.PICTURE
    if (whole == whole[:1, :1]).all():
        return Look.EMPTY
    flatness, pixels = _flatness(whole), _thinned(whole)
    if _is_lossy(data):
        extreme, is_both = _extreme(pixels).mean(), _is_black_and_white(pixels)
        if extreme > 0.98 and is_both:
            return Look.MASK
        if not is_both and np.bincount(pixels.ravel()).argmax() > _NOISE:
            return Look.PICTURE  # of something white or dark
        flatness = min(flatness, extreme)  # losses make photographs flat, too
    elif _spans_little(pixels) and not _has_even_areas(whole, flatness):
        return Look.PICTURE
    elif flatness >= _ROUGH and _values(pixels) <= _MOST_VALUES:
        return Look.MASK
    if _has_many_colours(pixels):
        return Look.UNCLEAR if flatness >= _FLAT else Look.PICTURE
    if flatness >= _FLAT:
        return Look.MASK
    return Look.PICTURE if flatness < _ROUGH else Look.UNCLEAR


def is_drawn(data: bytes) -> bool:
    """Return whether a file that looks like a mask is flat, of 2 to 5 greys, some colours or both, as no camera's is.

    What is stored with losses is black and white: dark photographs are black alone.
    """
    pixels = _meant(_pixels(data, "").pixels)
    if _is_lossy(data):
        return _is_black_and_white(pixels)
    few, coloured = 2 <= _values(pixels) <= _MOST_DRAWN, (pixels != pixels[..., :1]).any(axis=2)
    is_clear = not coloured.any() or (coloured.mean() < 0.5 and np.ptp(pixels[coloured], axis=1).max() > _DARK)
    return bool(few and is_clear and _flatness(pixels) >= _FLAT)


def is_painted(data: bytes) -> bool:
    """Return whether a file that looks like a mask is drawn, with any number of colours and however dark.

    A dark photograph has few greys, too, but its areas are smaller and have specks in them.
    """
    pixels = _meant(_pixels(data, "").pixels)
    if _is_lossy(data) or (is_drawn(data) and int(pixels.max()) - int(pixels.min()) > _DARK):
        return is_drawn(data)
    return _flatness(pixels) >= _PAINTED and _specks(pixels) <= _SPECKS


def _is_black_and_white(pixels: np.ndarray) -> bool:
    """Return whether pixels, uint8, hold both, as near as losses leave them."""
    return bool(pixels.min() <= _NEAR and pixels.max() >= 255 - _NEAR)


def _spans_little(pixels: np.ndarray) -> bool:
    """Return whether all values of each channel lie close together, as those of a dark photograph do."""
    if pixels.dtype.kind != "u":
        return False
    return bool((pixels.max(axis=(0, 1)) - pixels.min(axis=(0, 1))).max() <= _DARK)


def _has_even_areas(pixels: np.ndarray, flatness: float) -> bool:
    """Return whether labels are painted: few in lines on black, or any in areas without specks, small ones on black."""
    if flatness >= _FLAT and not pixels.all() and _values(pixels) <= _MOST_DRAWN:
        return True
    return flatness >= (_FLAT if pixels.all() else _ROUGH) and _specks(pixels) <= _SPECKS


def _values(pixels: np.ndarray) -> int:
    """Return how many different values there are in the channel that has most."""
    channels = [channel.ravel() for channel in np.moveaxis(pixels, 2, 0)]
    if pixels.dtype.kind == "u":
        return max(int(np.count_nonzero(np.bincount(channel))) for channel in channels)
    return max(len(np.unique(channel)) for channel in channels)


def _thinned(pixels: np.ndarray) -> np.ndarray:
    """Return some rows, which tell what all do."""
    return pixels[:: max(1, pixels.shape[0] // _LINES)]


def _flatness(pixels: np.ndarray) -> float:
    """Return the share of pixels that are as the next one, in some rows and columns."""
    rows, columns = _thinned(pixels), _thinned(pixels.swapaxes(0, 1))
    across, down = rows[:, 1:] == rows[:, :-1], columns[:, 1:] == columns[:, :-1]
    return float(np.mean([same.all(axis=2).mean() if same.size else 1.0 for same in (across, down)]))


def _specks(pixels: np.ndarray) -> float:
    """Return the share, of the pixels that differ from one of the eight around them, of those like at most one."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    alike = np.zeros((height, width), np.uint8)  # each pixel is like itself
    for top, left in product(range(3), repeat=2):
        alike += (padded[top : top + height, left : left + width] == pixels).all(axis=2)
    return float((alike <= 2).sum() / max((alike < 9).sum(), 1))


def _pixels(data: bytes, name: str) -> Picture:
    """Return what is stored, upright, of any dtype. Raises SourceError for what is no single image."""
    with quiet():
        image = open_header(data, name)
        require_one(image, data, name)
        try:
            return picture(image, lambda: np.atleast_3d(_decoded(image, data, name)))
        except SourceError:
            raise
        except Exception as error:  # whatever a decoder raises on damaged data
            if lacks_memory(error):
                raise
            raise SourceError(f"{name}: cannot be read as an image: it is damaged or truncated") from error


def _decoded(image: Image.Image, data: bytes, name: str) -> np.ndarray:
    """Decode with OpenCV, which reads no GIF and turns no TIFF upright; these with Pillow, which keeps 8 of 16 bits."""
    if image.format == "TIFF" and is_deep(image, data):
        return upright(deep_grey(image), image) if image.mode.startswith("I;16") else deep_colour(image, data, name)
    if image.format in ("GIF", "TIFF"):
        return upright(np.asarray(image.convert("RGBA") if image.mode == "P" else image), image)
    if image.format == "PNG":
        image.load()  # where Pillow raises, libpng would print
        data = bare(data)
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise SourceError(f"{name}: cannot be read as an image: it is damaged or truncated")
    return upright(found, image)


def _meant(pixels: np.ndarray) -> np.ndarray:
    """Return the colours of what may be a mask, or its alpha where that alone differs, or hides a single colour."""
    if pixels.shape[2] not in (2, 4):
        return pixels
    colours, alpha = pixels[..., :-1], pixels[..., -1:]
    is_silent = alpha[0, 0, 0] > 0 and (alpha == alpha[0, 0]).all()
    return alpha if not is_silent and (colours == colours[0, 0]).all() else colours


def _marked(pixels: np.ndarray, data: bytes) -> np.ndarray:
    """Return where a colour is not zero, or, stored with losses, above half; what is no number is not marked."""
    pixels = _meant(pixels)
    found = pixels > _HALF_LOSSY if _is_lossy(data) or _rings(pixels) else np.nan_to_num(pixels) != 0
    return np.asarray(found.any(axis=2))


def _rings(pixels: np.ndarray) -> bool:
    """Return whether a black and white mask was once stored with losses: both ring, and black in single pixels.

    Soft edges are as often between as near black and white, and their values rise to the mask from pixel to pixel.
    """
    if pixels.dtype != np.uint8:
        return False
    counts = np.bincount(pixels.ravel(), minlength=256)
    dark, bright = counts[1:_RINGING], counts[256 - _RINGING : 255]
    ringing, between = dark.sum() + bright.sum(), counts[_RINGING : 256 - _RINGING].sum()
    if min(np.count_nonzero(dark), np.count_nonzero(bright)) < 2 or between >= ringing:
        return False
    around = np.ones((3, 3), np.uint8)
    around[1, 1] = 0
    highest = cv2.dilate(np.ascontiguousarray(pixels), around).reshape(pixels.shape)
    peaks = (pixels < _RINGING) & (pixels > highest)
    return bool(2 * (counts[0] + counts[255]) > pixels.size and peaks.sum() > _PEAKS * dark.sum())


def _is_lossy(data: bytes) -> bool:
    """Return whether a file is a JPEG, or a WebP with a chunk of its lossy kind."""
    if data.startswith(_JPEG):
        return True
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return False
    start = 12
    while start + 8 <= len(data):
        if data[start : start + 4] == b"VP8 ":
            return True
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        start += 8 + size + size % 2
    return False


def _is_picture(pixels: np.ndarray, data: bytes) -> bool:
    """Return whether an image has more colours than a mask could mean, or is uneven where it is no black or white.

    What is stored with losses is one, too, where much of it is neither black nor white, and not flat.
    """
    if not _is_lossy(data) and _has_many_colours(pixels):
        return True
    shown = _eight_bits(pixels[..., : 3 if pixels.shape[2] >= 3 else 1])
    is_grey = shown.shape[2] == 1 or int(np.ptp(shown.astype(np.int16), axis=2).max()) <= _NEAR
    square = np.ones((3, 3), np.uint8)
    differs = cv2.dilate(shown, square).reshape(shown.shape) - cv2.erode(shown, square).reshape(shown.shape)
    if _is_lossy(data) and _extreme(shown).mean() < _ROUGH and _flatness(shown) < _FLAT:
        return True
    is_uneven = differs > (_EVEN_LOSSY if _is_lossy(data) else _EVEN)
    between = is_uneven & (shown > _NEAR) & (shown < 255 - _NEAR)
    return bool(between.any(axis=2).mean() > (_UNEVEN_GREY if is_grey else _UNEVEN))


def _extreme(pixels: np.ndarray) -> np.ndarray:
    """Return where pixels, uint8, are nearly black or white, as losses leave those of a mask."""
    return np.asarray(np.abs(pixels.astype(np.int16) - 127) > 127 - _NEAR)


def _values_of(pixels: np.ndarray) -> str:
    """Return how many grey levels or colours an image (H, W, C) holds, in words; alpha is none."""
    colours = pixels[..., : 3 if pixels.shape[2] >= 3 else 1]
    if (colours == colours[..., :1]).all():
        count, what = len(np.unique(colours[..., 0])), "grey level"
    else:
        count, what = len(np.unique(colours.reshape(-1, 3), axis=0)), "colour"
    return f"{count:,} {what}{'s' if count > 1 else ''}"


def _has_many_colours(pixels: np.ndarray) -> bool:
    """Return whether an image has colours, and more of them than a mask could mean."""
    if pixels.shape[2] < 3 or pixels.dtype != np.uint8:
        return False
    colours = pixels[..., :3].astype(np.uint32)
    if (colours == colours[..., :1]).all():
        return False
    return len(np.unique(colours @ np.array([1 << 16, 1 << 8, 1], np.uint32))) > _MOST_COLOURS


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Return values of any dtype as uint8, (H, W, C): of more than 8 bits as shares of what they span."""
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    values = np.nan_to_num(pixels.astype(np.float64))
    return np.ascontiguousarray((values - values.min()) * (255 / max(float(np.ptp(values)), 1e-12))).astype(np.uint8)
