"""What a PNG's bytes inflate to, bounded before a decoder inflates all of them."""

from __future__ import annotations

import struct

from zlib_ng import zlib_ng

MAX_INFLATION = 1040
"""Bytes that one byte of deflate's output format can stand for, at most; 1032 and what the last one may be short of."""
SHORT = 1 << 18
"""Bytes of compressed pixels that are not inflated to be counted: what they stand for costs half a second at most."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By the number of a PNG's colour type."""


def swollen(data: bytes) -> bool:
    """Return whether a PNG's compressed pixels are, or stand for, more than its size: most of it is decoded in vain."""
    if data[12:16] != b"IHDR":
        return False  # which no decoder reads
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    bits = _CHANNELS.get(colour, 4) * depth
    most = height * (width * bits // 8 + 2) + 64  # each line begins with a byte, and may end in part of one
    most *= 2 if data[28] else 1  # interlaced, it has up to twice the lines
    pixels = _compressed(data)
    size = sum(map(len, pixels))
    if size > most + most // 4 + 1024:  # no way of deflate's takes more than 9 bits for 8
        return True
    if size <= SHORT or size * MAX_INFLATION <= 16 * most:
        return False
    stream = zlib_ng.decompressobj()
    try:
        return bool(len(stream.decompress(b"".join(pixels), most + 1)) > most)
    except zlib_ng.error:  # type: ignore[misc]
        return False  # damaged, which the decoder says


def _compressed(data: bytes) -> list[memoryview]:
    """Return the contents of the chunks that hold the pixels."""
    found, view, at = [], memoryview(data), 8
    while at + 12 <= len(data):
        length = int.from_bytes(view[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            found.append(view[at + 8 : at + 8 + length])
        at += 12 + length
    return found
