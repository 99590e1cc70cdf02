"""A PNG before a decoder sees it: what its bytes inflate to, bounded, and whether they are whole."""

from __future__ import annotations

import struct

from zlib_ng import zlib_ng

MAX_INFLATION = 1040
"""Bytes that one byte of deflate's output format can stand for, at most; 1032 and what the last one may be short of."""
SHORT = 1 << 18
"""Bytes of compressed pixels that are not inflated to be counted: what they stand for costs half a second at most."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By the number of a PNG's colour type."""
_OF_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_ANCILLARY = 0x20
"""Bit of the first letter of a chunk's name: who does not know such a chunk shall go on without it."""


def swollen(data: bytes) -> bool:
    """Return whether a PNG's compressed pixels are, or stand for, more than its size: most of it is decoded in vain."""
    if data[12:16] != b"IHDR":
        return False  # which no decoder reads
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    bits = _CHANNELS.get(colour, 4) * depth
    most = height * (width * bits // 8 + 2) + 64  # each line begins with a byte, and may end in part of one
    most *= 2 if data[28] else 1  # interlaced, it has up to twice the lines
    pixels = compressed(data)
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


def bare(data: bytes) -> bytes:
    """Return a PNG without the chunks that say nothing of its pixels; libpng prints what it thinks of those.

    Raises ValueError where a chunk is cut off, of an unknown kind that must be known, or not what its checksum is of,
    all of which libpng prints, too.
    """
    view, at, kind = memoryview(data), 8, b""
    kept = [view[:at]]
    while kind != b"IEND":
        end = at + 12 + int.from_bytes(view[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if end > len(data):
            raise ValueError("its PNG is cut off")
        if kind in _OF_PIXELS:
            if zlib_ng.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
                raise ValueError("a checksum of its PNG is wrong")
            kept.append(view[at:end])
        elif not kind[0] & _ANCILLARY:
            raise ValueError(f"its PNG holds {ascii(kind)[2:-1]}, which is not known")
        at = end
    return b"".join(kept)


def compressed(data: bytes) -> list[memoryview]:
    """Return the contents of the chunks that hold the pixels."""
    found, view, at = [], memoryview(data), 8
    while at + 12 <= len(data):
        length = int.from_bytes(view[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            found.append(view[at + 8 : at + 8 + length])
        at += 12 + length
    return found
