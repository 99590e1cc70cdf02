"""The bytes of a PNG: standard deflate without a search for matches, so the same from any zlib on any machine."""

import struct
import zlib

import numpy as np
import pytest

from anomgen.dataset.png import decode_png, encode_png
from anomgen.errors import SourceError
from anomgen.sources.images import read_image
from anomgen.sources.mask_files import read_mask


def chunks_of(data):
    """Return the chunks of a PNG, name and content, and compare their checksums."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 4 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length]) == (zlib.crc32(body),)
        found.append((body[:4], body[4:]))
        at += 12 + length
    return found


def pictures():
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (64, 80, 3), np.uint8)
    even = np.zeros((64, 80, 3), np.uint8)
    even[20:30, 40:70] = noise[20:30, 40:70]
    return {"noise": noise, "even": even, "mask": even[..., 0] > 0, "deep": noise.astype(np.uint16)[..., :1] * 251}


@pytest.mark.parametrize("name", pictures())
def test_the_stream_is_that_of_the_standard_library(name):
    image = pictures()[name]
    strategy = {"noise": zlib.Z_HUFFMAN_ONLY, "deep": zlib.Z_HUFFMAN_ONLY}.get(name, zlib.Z_RLE)
    names, bodies = zip(*chunks_of(encode_png(image)), strict=True)
    assert names == (b"IHDR", b"IDAT", b"IEND")
    lines = zlib.decompress(bodies[1])
    usual = zlib.compressobj(1, zlib.DEFLATED, 15, 9, strategy)
    assert bodies[1] == usual.compress(lines) + usual.flush()


def test_each_line_is_filtered_by_the_one_above():
    image = np.array([[[7], [9]], [[10], [3]], [[10], [3]]], np.uint8)
    lines = zlib.decompress(dict(chunks_of(encode_png(image)))[b"IDAT"])
    assert list(lines) == [2, 7, 9, 2, 3, 250, 2, 0, 0]


def test_a_view_of_an_image_is_encoded_as_its_copy():
    image = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), np.uint16)
    assert encode_png(image[::-2, 3:20]) == encode_png(image[::-2, 3:20].copy())


@pytest.mark.parametrize(("side", "zeros"), [(64, 10_000_000), (1024, 70_000_000)])
def test_what_stands_for_more_than_its_size_is_refused_before_it_is_inflated(side, zeros, capfd):
    """Law: a PNG takes no more work than its pixels, whoever reads it; the larger one is no longer than it may be."""
    packed = zlib.compress(bytes(zeros), 1)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    data = b"\x89PNG\r\n\x1a\n" + body
    with pytest.raises(ValueError, match=f"far more than the {side} × {side} pixels that it claims"):
        decode_png(data)
    for read in (read_image, read_mask):
        with pytest.raises(SourceError, match=f"^x: holds far more than its {side} × {side} pixels"):
            read(data, "x")
    assert capfd.readouterr() == ("", "")


def test_what_does_not_shrink_is_no_more_than_its_size():
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    assert len(encode_png(noise)) > 400_000 and np.array_equal(decode_png(encode_png(noise)), noise)
