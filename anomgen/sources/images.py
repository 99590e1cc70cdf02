"""Reading one image file as it was stored (depth, channels) and upright, or saying why it cannot be used."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

# The plug-ins register themselves; importing these seven saves Pillow from importing all of its forty.
from PIL import (
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    JpegImagePlugin,  # noqa: F401
    MpoImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from anomgen.errors import SourceError, lacks_memory
from anomgen.places import read_within
from anomgen.sources.base import MIN_SIDE
from anomgen.sources.inflation import bare, swollen
from anomgen.sources.orientation import Picture, picture, upright
from anomgen.sources.pixels import value_max

MAX_BYTES = 1 << 32
"""Bytes of a file of images or weights; the largest that is decoded has fewer."""
MAX_PIXELS = 178_956_970
"""Larger images are refused before they are decoded (Pillow's own limit: a quarter of a gibibyte of RGB)."""

Fit = Literal["keep", "stretch", "crop", "center"]
"""keep: one number is the longer side, and the aspect stays; of [height, width], as stretch. stretch: to the size,
whatever the aspect, as the papers do. crop: scaled to cover the size, centre kept.
center: the centre, not scaled."""

SPECK = 0.01
"""Share of a picture that is too little to be all that alpha was meant to show of it."""
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
_WHAT_TO_DO = {
    "1": "has 1 bit per pixel; save it as 8-bit grey",
    "CMYK": "is CMYK; save it as RGB",
    "LAB": "is Lab; save it as RGB",
    "F": "holds floating-point numbers; save it as 8-bit or 16-bit integers",
    "I": "holds 32-bit or signed numbers; save it as 8-bit or 16-bit unsigned integers",
}
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT, _PLANAR = 258, 262, 339, 284
_OTHERS = (
    (4, b"ftyp", "a HEIC or AVIF image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (4, b"JXL ", "a JPEG XL image"),
    (4, b"jP  ", "a JPEG 2000 image"),
    (0, b"II*\0", "a variant of TIFF"),
    (0, b"MM\0*", "a variant of TIFF"),
)
"""Place and bytes by which a file is known that is not read, and what it is."""
_PNG_DEPTH, _PNG_COLOUR_TYPE = 24, 25  # bytes of the header, which is always a PNG's first chunk


def read_image(file: str | Path | bytes, name: str | None = None) -> np.ndarray:
    """Return an image as (H, W, C), uint8 or uint16, C = 1 (grey) or 3 (RGB).

    file: a path, or the file's contents. name: what error messages call it (default: the path).

    The EXIF orientation is applied. Palettes become their colours, or grey when all of these are grey. Alpha is
    dropped where it is the same all over or shows but a speck, as programs leave it that do not use it, and otherwise
    composited on white, like a document. 16 bits stay 16 bits. Values are as stored: colour profiles and gamma change
    nothing.

    Raises SourceError, which says what to do, for a file that cannot be read, is not a PNG, JPEG, BMP, TIFF, WebP
    or GIF, is damaged or truncated, has several frames, is CMYK, Lab, 1-bit, signed or floating-point, has more
    than `MAX_PIXELS` pixels or a side shorter than `MIN_SIDE`.
    """
    return read_picture(file, name).pixels


def read_picture(file: str | Path | bytes, name: str | None = None) -> Picture:
    """Return what `read_image` does, and the EXIF orientation that was applied."""
    name = name or ("image" if isinstance(file, bytes) else str(file))
    data = file if isinstance(file, bytes) else read_bytes(Path(file), name)
    with quiet():
        pixels, orientation = _decode(data, name)
        return Picture(np.ascontiguousarray(pixels), orientation)


def read_bytes(path: Path, name: str) -> bytes:
    """Return a regular file's contents; SourceError when it cannot be read."""
    try:
        return read_within(path, MAX_BYTES)
    except OSError as error:
        raise SourceError(f"{name}: cannot be read ({error.strerror or error})") from error


def fit_image(image: np.ndarray, size: int | tuple[int, int] | None, fit: Fit, name: str = "image") -> np.ndarray:
    """Return an image (H, W, C) at `size`: one number or (height, width); None leaves it as it is.

    Shrinking averages areas, enlarging is bilinear; neither leaves the range of the image's values. Raises
    SourceError when `fit` is "center" and the image is smaller than the size, and when the shorter side of a long
    image would be shorter than `MIN_SIDE`.
    """
    if size is None:
        return image
    if isinstance(size, int):
        size = _kept(image.shape, size, name) if fit == "keep" else (size, size)
    if image.shape[:2] == size:
        return image
    height, width = size
    if fit in ("keep", "stretch"):
        return _resize(image, height, width)
    if fit == "crop":
        scale = max(height / image.shape[0], width / image.shape[1])
        image = _resize(image, max(height, round(image.shape[0] * scale)), max(width, round(image.shape[1] * scale)))
    elif image.shape[0] < height or image.shape[1] < width:
        raise SourceError(
            f"{name}: is {image.shape[0]} × {image.shape[1]} pixels, smaller than the {height} × {width} that "
            "fit: center cuts out; use fit: crop or a smaller size"
        )
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def _kept(shape: tuple[int, ...], longer: int, name: str) -> tuple[int, int]:
    """Return the height and width of an image of `shape` when its longer side is `longer`."""
    scale = longer / max(shape[:2])
    height, width = round(shape[0] * scale), round(shape[1] * scale)
    if min(height, width) < MIN_SIDE:
        raise SourceError(
            f"{name}: is {shape[0]} × {shape[1]} pixels and would be {height} × {width} at the size {longer}; at least "
            f"{MIN_SIDE} × {MIN_SIDE} are needed: use a larger size, or fit: crop"
        )
    return height, width


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize each axis with what suits it: area averages where it shrinks, bilinear where it grows."""
    shrunk = min(height, image.shape[0]), min(width, image.shape[1])
    channels = image.shape[2]
    for (rows, columns), method in ((shrunk, cv2.INTER_AREA), ((height, width), cv2.INTER_LINEAR)):
        if image.shape[:2] != (rows, columns):
            image = cv2.resize(image, (columns, rows), interpolation=method).reshape(rows, columns, channels)
    return image


_cv2_log: Any = getattr(cv2.utils, "logging", cv2)  # moved between OpenCV 4 and 5
_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_before: tuple[ExitStack, bool, int] | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the decoders from printing, and from accepting truncated files; restores every setting.

    The settings belong to the process, so threads share one change of them: the first in makes it, the last out
    undoes it.
    """
    global _quiet_depth, _quiet_before
    with _quiet_lock:
        _quiet_depth += 1
        if _quiet_depth == 1:
            caught = ExitStack()
            caught.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")
            level = _cv2_log.setLogLevel(0)
            _quiet_before = (caught, ImageFile.LOAD_TRUNCATED_IMAGES, level)
            ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0 and _quiet_before is not None:
                caught, truncated, level = _quiet_before
                ImageFile.LOAD_TRUNCATED_IMAGES = truncated
                _cv2_log.setLogLevel(level)
                caught.close()


def _decode(data: bytes, name: str) -> Picture:
    image = open_header(data, name)
    try:
        _check_header(image, data, name)
        if image.format == "PNG":
            bare(data)  # Pillow asks for no checksum of the pixels
        return picture(image, lambda: _grey_or_colour(image, data, name))
    except SourceError:
        raise
    except Exception as error:  # whatever a decoder raises on damaged data: each has its own
        if lacks_memory(error):
            raise
        raise SourceError(f"{name}: is damaged or truncated ({error})") from error


def open_header(data: bytes, name: str) -> Image.Image:
    """Return an image of which only the header was read. Raises SourceError when it is none."""
    if not data:
        raise SourceError(f"{name}: is empty (0 bytes)")
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise SourceError(_too_large(name)) from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow lets some parsers' own errors through
        raise SourceError(f"{name}: {_not_read(data)}") from error


def _not_read(data: bytes) -> str:
    """Return what a file is that could not be opened, and what to do."""
    for place, mark, kind in _OTHERS:
        if data[place : place + len(mark)] == mark:
            return f"is {kind} that is not read; save it as PNG"
    return "is not a PNG, JPEG, BMP, TIFF, WebP or GIF image, or is damaged at its start; save it as PNG"


def _too_large(name: str) -> str:
    return f"{name}: has more than {MAX_PIXELS:,} pixels, which looks like a decompression bomb; cut or shrink it"


def _check_header(image: Image.Image, data: bytes, name: str) -> None:
    require_one(image, data, name)
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise SourceError(f"{name}: is {height} × {width} pixels; at least {MIN_SIDE} × {MIN_SIDE} are needed")
    if any(format != 1 for format in _tag(image, _SAMPLE_FORMAT)):
        raise SourceError(f"{name}: holds floating-point or signed numbers; save it as unsigned integers")
    if image.mode in _WHAT_TO_DO and not is_deep(image, data):
        raise SourceError(f"{name}: {_WHAT_TO_DO[image.mode]}")


def require_one(image: Image.Image, data: bytes, name: str) -> None:
    """Raise SourceError for more than `MAX_PIXELS` pixels, more bytes than these take, and several frames."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise SourceError(_too_large(name))
    if image.format == "PNG" and swollen(data):
        raise SourceError(f"{name}: holds far more than its {height} × {width} pixels; save it anew")
    # The further frames of an MPO (many phones' JPEG) are previews and depth maps of the first.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise SourceError(f"{name}: has {frames} frames (animated or multi-page); save the wanted one alone")


def _tag(image: Image.Image, number: int) -> tuple[int, ...]:
    """Return a TIFF tag's values; nothing for other formats and absent tags."""
    value = getattr(image, "tag_v2", {}).get(number, ())
    return value if isinstance(value, tuple) else (value,)


def is_deep(image: Image.Image, data: bytes) -> bool:
    """Return whether the file stores more than 8 bits per channel; Pillow's mode hides it for colour."""
    if image.mode.startswith("I;16"):
        return True
    return data[_PNG_DEPTH] == 16 if image.format == "PNG" else 16 in _tag(image, _BITS)


def _grey_or_colour(image: Image.Image, data: bytes, name: str) -> np.ndarray:
    """Decode everything, and return it upright with 1 or 3 channels."""
    if not is_deep(image, data):
        shown = _over_white(shallow(image, name), name)
        is_grey = image.mode in ("P", "PA") and (shown == shown[..., :1]).all()
        return upright(shown[..., :1] if is_grey else shown, image)
    grey = image.format == "PNG" and data[_PNG_COLOUR_TYPE] in (0, 4)
    if image.mode.startswith("I"):
        return upright(deep_grey(image), image)
    pixels = _over_white(deep_colour(image, data, name), name)
    return pixels[..., :1] if grey else pixels


def shallow(image: Image.Image, name: str) -> np.ndarray:
    """Return an image of 8 bits, (H, W, 1 or 3), or 2 or 4 with alpha."""
    image.load()
    mode = image.mode
    if mode == "L" and not image.has_transparency_data:
        return np.asarray(image)[..., None]
    if mode in ("L", "LA", "La"):
        return np.asarray(image.convert("LA"))
    if mode in ("P", "PA") or (mode in ("RGB", "RGBA", "RGBa") and image.has_transparency_data):
        return np.asarray(image.convert("RGBA"))
    if mode in ("RGB", "RGBX", "YCbCr"):
        return np.asarray(image.convert("RGB"))
    raise SourceError(f"{name}: has the colour mode {mode}, which is not supported; save it as RGB or 8-bit grey")


def deep_grey(image: Image.Image) -> np.ndarray:
    """Return a grey image of 16 bits as stored, (H, W, 1) uint16; what is transparent is white."""
    image.load()
    pixels = np.asarray(image).astype(np.uint16)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        pixels[pixels == transparent] = 65535
    if _tag(image, _PHOTOMETRIC) == (0,):  # stored as white is zero, which Pillow undoes for 8 bits only
        pixels = 65535 - pixels
    return pixels[..., None]


def deep_colour(image: Image.Image, data: bytes, name: str) -> np.ndarray:
    """Return a colour image of 16 bits, upright, (H, W, 3 or 4 with alpha) uint16. Raises SourceError.

    OpenCV decodes it, as Pillow keeps 8 bits of it; Pillow's 8 bits prove the result right, where they are not all 0.

    OpenCV misreads some TIFFs without an error and its versions differ in whether they turn the image upright.
    """
    high = upright(np.asarray(image.convert("RGB")), image)
    is_planar = _tag(image, _PLANAR) == (2,)
    whole = bare(data) if image.format == "PNG" else data
    deep: np.ndarray | None = (
        np.empty(0) if is_planar else cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_UNCHANGED)
    )
    if deep is None:
        raise SourceError(f"{name}: is damaged or truncated")
    if deep.ndim == 3 and deep.shape[2] in (3, 4) and deep.dtype == np.uint16:
        deep = cv2.cvtColor(deep, cv2.COLOR_BGR2RGB if deep.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
        for candidate in (deep, upright(deep, image)):
            if _high_bytes_agree(candidate, high):
                return candidate if image.has_transparency_data else candidate[..., :3]
    raise SourceError(f"{name}: is a variant of 16-bit colour that cannot be read; save it as 16-bit PNG")


def _high_bytes_agree(deep: np.ndarray, high: np.ndarray) -> bool:
    if deep.shape[:2] != high.shape[:2]:
        return False
    return int(cv2.absdiff((deep[..., :3] >> 8).astype(np.uint8), high).max()) <= 1


def _over_white(pixels: np.ndarray, name: str) -> np.ndarray:
    """Return (H, W, C) from (H, W, C + 1) with alpha, composited on white; without alpha, the pixels themselves."""
    if pixels.shape[2] in (1, 3):
        return pixels
    colour, opacity = pixels[..., :-1], opacity_of(pixels)
    white = value_max(pixels.dtype)
    if opacity is None:
        if not pixels[..., -1].any() and (colour == colour[0, 0]).all():
            raise SourceError(f"{name}: is transparent all over and shows nothing; save the picture itself")
        return colour
    # white² and half of white more still fit into 32 bits
    shown: np.ndarray = ((colour * opacity + white * (white - opacity) + white // 2) // white).astype(pixels.dtype)
    return shown


def opacity_of(pixels: np.ndarray) -> np.ndarray | None:
    """Return how opaque pixels (H, W, C + 1) are, (H, W, 1) uint32 up to the largest value; None where that is unsaid.

    Alpha that is the same all over, as programs leave it that do not use it, was not meant: no picture is invisible.
    Nor was one that hides all but a speck of a picture. Where none is half opaque, the largest alpha is: 1 of 0 and 1.
    """
    alpha = pixels[..., -1:].astype(np.uint32)
    white, most = value_max(pixels.dtype), int(alpha.max())
    if (alpha == most).all():
        return None
    hidden = 2 * alpha[..., 0] < most
    if hidden.mean() > 1 - SPECK and np.ptp(pixels[hidden][:, :-1], axis=0).any():
        return None
    return alpha if 2 * most > white else alpha * white // most
