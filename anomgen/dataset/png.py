"""PNG as datasets hold it: one way for all images, and back; what others wrote OpenCV decodes.

Lines are filtered by the one above and coded by Huffman's codes alone, or by runs, too, where there are many. On photos
of 256×256 that takes a third to two thirds of the time of OpenCV's encoder with the same filter and runs, and .98 to
1.03 times the bytes (benchmarks/png.py).
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
from zlib_ng import zlib_ng

from anomgen.sources.inflation import MAX_INFLATION, bare, compressed, swollen
from anomgen.sources.pixels import strips

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR = 0, 2
"""Colour types of PNG that datasets hold."""
_UP, _LAST_FILTER = 2, 4
"""PNG's number of the filter that takes each line as the difference to the line above, and its highest."""
_INTERLACED = 28
"""Place of the byte that says so."""


def decode_png(data: bytes) -> np.ndarray:
    """Return the image in PNG bytes as (H, W, C) uint8 or uint16, C 1 or 3 (RGB).

    Raises ValueError when the bytes are damaged, of another kind, or too few or too many for the size that they
    claim.
    """
    height, width, channels, dtype = png_kind(data)
    data = bare(data)
    if not data[_INTERLACED]:
        lines = _lines(data, height, width * channels * dtype.itemsize)
        if (lines[:, 0] == _UP).all():
            stored = np.add.accumulate(lines[:, 1:], axis=0, dtype=np.uint8)
            return stored.view(dtype.newbyteorder(">")).astype(dtype, copy=False).reshape(height, width, channels)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("its PNG cannot be decoded")
    return image[..., None] if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def png_kind(data: bytes) -> tuple[int, int, int, np.dtype]:
    """Return height, width, channels and dtype of a PNG, of which the pixels are not decoded.

    Raises ValueError for what OpenCV would decode to something else, or make room for in vain.
    """
    if not data.startswith(_SIGNATURE + b"\x00\x00\x00\x0dIHDR") or len(data) < 33:
        raise ValueError("its PNG cannot be decoded")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    if depth not in (8, 16) or colour not in (_GREY, _COLOUR):
        raise ValueError(f"its PNG is of another kind ({depth} bits, colour type {colour})")
    channels = 3 if colour == _COLOUR else 1
    if not 0 < height * width * channels * depth // 8 <= MAX_INFLATION * len(data):
        raise ValueError(f"its PNG claims {width} × {height} pixels in {len(data)} bytes")
    if swollen(data):
        raise ValueError(f"its PNG holds far more than the {width} × {height} pixels that it claims")
    return height, width, channels, np.dtype(np.uint8 if depth == 8 else np.uint16)


def _lines(data: bytes, height: int, length: int) -> np.ndarray:
    """Return the bytes of each line after its filter's number, uint8 (H, 1 + length). Raises ValueError for others."""
    stream = zlib_ng.decompressobj()
    try:
        inflated = stream.decompress(b"".join(compressed(data)), height * (1 + length) + 1)
    except zlib_ng.error as error:  # type: ignore[misc]
        raise ValueError(f"its PNG cannot be decoded ({error})") from None
    if len(inflated) != height * (1 + length) or not stream.eof or stream.unused_data:
        raise ValueError("its PNG holds more or less than its pixels")
    lines = np.frombuffer(inflated, np.uint8).reshape(height, 1 + length)
    if lines[:, 0].max() > _LAST_FILTER:
        raise ValueError("its PNG holds lines that no filter explains")
    return lines


MANY_RUNS = 0.4
"""Share of bytes equal to the one before, after filtering, from which runs are looked for: they are found in masks and
in pictures with even backgrounds, and looking for them takes as long again as all else."""
_HUFFMAN_ONLY, _RLE = 2, 3
"""Strategies of zlib. Neither searches for matches, so that the bytes are those of any other zlib, on any machine."""


def encode_png(image: np.ndarray) -> bytes:
    """Return PNG bytes of (H, W), (H, W, 1) or (H, W, 3) RGB; uint8, uint16, or bool as 0/255.

    Lossless, and the same on every machine. Raises ValueError for other shapes and dtypes.
    """
    array = image.view(np.uint8) * np.uint8(255) if image.dtype == bool else image
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a PNG holds uint8, uint16 or bool, not {image.dtype}")
    channels = 1 if array.ndim == 2 else array.shape[-1]
    if array.ndim not in (2, 3) or channels not in (1, 3):
        raise ValueError(f"a PNG holds (H, W), (H, W, 1) or (H, W, 3), not {image.shape}")
    height, width = array.shape[:2]
    colour = _COLOUR if channels == 3 else _GREY
    header = struct.pack(">IIBBBBB", width, height, 8 * array.itemsize, colour, 0, 0, 0)
    chunks = (*_chunk(b"IHDR", header), *_chunk(b"IDAT", _deflated(_filtered(array))), *_chunk(b"IEND", b""))
    return b"".join((_SIGNATURE, *chunks))


def _filtered(array: np.ndarray) -> np.ndarray:
    """Return the bytes of each line less those of the line above, uint8 (H, 1 + bytes), after the filter's number."""
    lines = np.ascontiguousarray(array.astype(">u2") if array.itemsize == 2 else array).view(np.uint8)
    lines = lines.reshape(len(array), -1)
    filtered = np.empty((lines.shape[0], lines.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[:1, 1:] = lines[:1]
    np.subtract(lines[1:], lines[:-1], out=filtered[1:, 1:])
    return filtered


def _deflated(lines: np.ndarray) -> bytes:
    flat = lines.reshape(-1)
    ahead, behind = flat[1:], flat[:-1]
    repeated = sum(np.count_nonzero(ahead[part] == behind[part]) for part in strips(ahead))
    strategy = _RLE if repeated > MANY_RUNS * flat.size else _HUFFMAN_ONLY
    stream = zlib_ng.compressobj(1, zlib_ng.DEFLATED, 15, 9, strategy)
    return bytes(stream.compress(flat) + stream.flush())


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, ...]:
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib_ng.crc32(data, zlib_ng.crc32(kind)))


def encode_soft_mask(soft_mask: np.ndarray) -> bytes:
    """Return PNG bytes, 0..255, of a soft mask, float32 (H, W) in [0, 1]."""
    return encode_png(cv2.convertScaleAbs(soft_mask, alpha=255))
