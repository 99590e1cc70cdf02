"""The bytes of a PNG: standard deflate without a search for matches, so the same from any zlib on any machine."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from anomgen.dataset.png import decode_png, encode_png
from anomgen.errors import SourceError
from anomgen.sources.images import read_image
from anomgen.sources.mask_files import read_object_mask


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


def chunk(kind, data, checksum=None):
    """Return a chunk of a PNG."""
    check = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def of_chunks(*chunks):
    """Return a PNG of chunks, name and content, and a checksum where it is wrong."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def lined(pixels, number):
    """Return the pixels of a PNG of 64 lines with another filter for all of them."""
    lines = zlib.decompress(pixels)
    length = len(lines) // 64
    return zlib.compress(b"".join(bytes([number]) + lines[at + 1 : at + length] for at in range(0, len(lines), length)))


def wrong_sum(pixels):
    """Return compressed pixels with a bit changed in the sum at their end."""
    return pixels[:-1] + bytes([pixels[-1] ^ 1])


END = (b"IEND", b"")
DAMAGES = {
    "cut within the pixels": lambda data, header, pixels: data[:-20],
    "cut behind the pixels": lambda data, header, pixels: data[:-12],
    "wrong checksum": lambda data, header, pixels: of_chunks(header, (*pixels, 1), END),
    "wrong sum of the pixels": lambda data, header, pixels: of_chunks(header, (b"IDAT", wrong_sum(pixels[1])), END),
    "half the pixels": lambda data, header, pixels: of_chunks(header, (b"IDAT", pixels[1][: len(pixels[1]) // 2]), END),
    "unknown filter": lambda data, header, pixels: of_chunks(header, (b"IDAT", lined(pixels[1], 9)), END),
    "unknown chunk": lambda data, header, pixels: of_chunks(header, (b"ABCD", b"1"), pixels, END),
}


def test_what_others_have_filtered_is_decoded_too():
    for image in pictures().values():
        given = np.atleast_3d(image.astype(np.uint8) * 255 if image.dtype == bool else image)
        stored = cv2.imencode(".png", np.ascontiguousarray(given[..., ::-1]))[1].tobytes()
        lines = zlib.decompress(b"".join(part for kind, part in chunks_of(stored) if kind == b"IDAT"))
        assert lines[0] != 2  # which is what ours begin with
        for found in (decode_png(stored), decode_png(encode_png(image))):
            assert np.array_equal(found, given) and found.flags.writeable and found.dtype == given.dtype


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_png_is_refused_and_no_library_prints_anything(damage, capfd):
    """Law: whoever reads it, of 8 bits or 16, and be its pixels whole."""
    images = pictures()
    for image in (
        images["noise"],
        images["mask"],
        *(images[name].astype(np.uint16) * 257 for name in ("noise", "mask")),
    ):
        data = encode_png(image)
        broken = DAMAGES[damage](data, *chunks_of(data)[:2])
        with pytest.raises(ValueError, match=r"its PNG (is cut off|cannot be|holds)|checksum of its PNG is wrong"):
            decode_png(broken)
        with pytest.raises(SourceError, match=r"^x: cannot be read as an image: it is damaged or truncated"):
            read_object_mask(broken, "x")
        with pytest.raises(SourceError, match=r"^x: is damaged or truncated"):
            read_image(broken, "x")
    assert capfd.readouterr() == ("", "")


def test_a_colour_profile_is_left_out_without_a_word(capfd):
    deep, mask = pictures()["noise"].astype(np.uint16) * 257, pictures()["mask"]
    profile = (b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))
    for image, read in ((deep, read_image), (mask, read_object_mask)):
        header, pixels, end = chunks_of(encode_png(image))
        odd = of_chunks(header, profile, pixels, end) + b"more"
        assert np.array_equal(read(odd, "x"), image)
        assert np.array_equal(decode_png(odd), decode_png(encode_png(image)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("side", "zeros"), [(64, 10_000_000), (1024, 70_000_000)])
def test_what_stands_for_more_than_its_size_is_refused_before_it_is_inflated(side, zeros, capfd):
    """Law: a PNG takes no more work than its pixels, whoever reads it; the larger one is no longer than it may be."""
    packed = zlib.compress(bytes(zeros), 1)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = of_chunks((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    with pytest.raises(ValueError, match=f"far more than the {side} × {side} pixels that it claims"):
        decode_png(data)
    for read in (read_image, read_object_mask):
        with pytest.raises(SourceError, match=f"^x: holds far more than its {side} × {side} pixels"):
            read(data, "x")
    assert capfd.readouterr() == ("", "")


def test_what_does_not_shrink_is_no_more_than_its_size():
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    assert len(encode_png(noise)) > 400_000 and np.array_equal(decode_png(encode_png(noise)), noise)
