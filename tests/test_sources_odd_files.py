"""Odd kinds of image files: each is read as it is meant, or refused by name with what to do; none is misread."""

import errno
import io
import os
import re
import struct
import zlib

import numpy as np
import pytest
from learned import pictures
from PIL import Image, ImageCms
from real_data import tiny_data

from anomgen.banks.make import bank
from anomgen.errors import AnomgenError, SourceError, UsageError
from anomgen.models.start import train
from anomgen.score.data import load
from anomgen.sources import detect
from anomgen.sources.folder import Folder
from anomgen.sources.images import read_image
from anomgen.sources.mask_files import read_defect_mask

tifffile = pytest.importorskip("tifffile")

GREY = (np.add.outer(np.arange(40), np.arange(56)) * 2 + 20).astype(np.uint8)
COLOUR = np.dstack([GREY, 255 - GREY, GREY // 2 + 30])
ALPHA = np.where(np.arange(40)[:, None] < 10, 100, np.full((40, 56), 255)).astype(np.uint8)
OVER_WHITE = np.rint(COLOUR * (ALPHA[..., None] / 255) + 255.0 - ALPHA[..., None])
PREMULTIPLIED = np.dstack([COLOUR.astype(int) * ALPHA[..., None] // 255, ALPHA]).astype(np.uint8)
MASK = np.zeros((40, 56), bool)
MASK[10:30, 12:40] = True


def deep(values):
    return values.astype(np.uint16) * 257


def pil(values, format, mode=None, **options):
    file = io.BytesIO()
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    (image.convert(mode) if mode else image).save(file, format, **options)
    return file.getvalue()


def tiff(values, photometric="rgb", **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric=photometric, **options)
    return file.getvalue()


def with_alpha(values, kind):
    return tiff(np.dstack([values, ALPHA if values.dtype == np.uint8 else deep(ALPHA)]), extrasamples=[kind])


def png(rows, depth, colour=0, extra=b"", size=(56, 40)):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(row) for row in rows)))
    said = chunk(extra[:4], extra[4:]) if extra else b""
    return b"\x89PNG\r\n\x1a\n" + header + said + body + chunk(b"IEND", b"")


def packed(depth):
    """Return grey values of few bits, as a PNG packs them into bytes, and spread over 0 to 255."""
    values = np.random.default_rng(depth).integers(0, 2**depth, (40, 56))
    bits = (values[..., None] >> np.arange(depth)[::-1]) & 1
    return png(np.packbits(bits.reshape(40, -1), axis=1), depth), values * (255 // (2**depth - 1))


LAB = ImageCms.profileToProfile(
    Image.fromarray(COLOUR), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
SHORT = {"depth": 16, "extra": b"sBIT\x0c"}
PALETTE = Image.fromarray(COLOUR).quantize(8)
HUGE = tiff(GREY, "minisblack").replace(struct.pack("<HHII", 257, 4, 1, 40), struct.pack("<HHII", 257, 4, 1, 2**31 - 1))

READ = {
    "planar": (tiff(COLOUR.transpose(2, 0, 1), planarconfig="separate"), COLOUR),
    "big-endian": (tiff(COLOUR, byteorder=">"), COLOUR),
    "luma and chroma": (pil(COLOUR, "TIFF", compression="jpeg", quality=95), COLOUR),
    "2 bits": packed(2),
    "4 bits": packed(4),
    "12 of 16 bits": (png(deep(GREY).astype(">u2").view(np.uint8), **SHORT), deep(GREY)),
    "gamma": (png(COLOUR.reshape(40, -1), 8, 2, b"gAMA" + struct.pack(">I", 100_000)), COLOUR),
    "a colour profile": (pil(COLOUR, "PNG", icc_profile=PROFILE), COLOUR),
    "alpha of its own": (with_alpha(COLOUR, "unassalpha"), OVER_WHITE),
    "alpha of its own, 16 bits": (with_alpha(deep(COLOUR), "unassalpha"), OVER_WHITE * 257),
    "multiplied by alpha": (tiff(PREMULTIPLIED, extrasamples=["assocalpha"]), OVER_WHITE),
    "a channel that is no alpha": (with_alpha(COLOUR, "unspecified"), COLOUR),
    "a channel that is no alpha, 16 bits": (with_alpha(deep(COLOUR), "unspecified"), deep(COLOUR)),
    "one frame": (pil(PALETTE, "GIF"), np.asarray(PALETTE.convert("RGB"))),
    "progressive": (pil(GREY, "JPEG", progressive=True, quality=98), GREY),
    "no chroma in a JPEG": (pil(COLOUR, "JPEG", keep_rgb=True, quality=98), COLOUR),
}

REFUSED = {
    "inks in a JPEG": (pil(COLOUR, "JPEG", "CMYK"), "is CMYK; save it as RGB"),
    "inks in a TIFF": (pil(COLOUR, "TIFF", "CMYK"), "is CMYK; save it as RGB"),
    "Lab": (pil(LAB, "TIFF"), "is Lab; save it as RGB"),
    "a fax": (pil(GREY, "TIFF", "1", compression="group4"), "has 1 bit per pixel; save it as 8-bit grey"),
    "1 bit": (pil(GREY, "BMP", "1"), "has 1 bit per pixel; save it as 8-bit grey"),
    "no number": (tiff(np.where(GREY == 30, np.nan, GREY).astype(np.float32), "minisblack"), "save it as"),
    "colours of floats": (tiff(COLOUR.astype(np.float32)), "a variant of TIFF that is not read; save it as PNG"),
    "short floats": (tiff(GREY.astype(np.float16), "minisblack"), "a variant of TIFF that is not read; save it as"),
    "signed": (tiff(GREY.astype(np.int8), "minisblack"), "signed numbers; save it as unsigned integers"),
    "five bands": (tiff(np.dstack([GREY] * 5), "minisblack", planarconfig="contig"), "a variant of TIFF"),
    "planar, 16 bits": (
        tiff(deep(COLOUR).transpose(2, 0, 1), planarconfig="separate"),
        "a variant of 16-bit colour that cannot be read; save it as 16-bit PNG",
    ),
    "multiplied by alpha, 16 bits": (tiff(deep(PREMULTIPLIED), extrasamples=["assocalpha"]), "save it as 16-bit PNG"),
    "a phone's": (b"\0\0\0\x18ftypheic" + bytes(300), "is a HEIC or AVIF image that is not read; save it as PNG"),
    "JPEG XL": (b"\xff\x0a" + bytes(300), "is a JPEG XL image that is not read; save it as PNG"),
    "JPEG XL in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(300), "is a JPEG XL image"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(300), "is a JPEG 2000 image"),
    "drawn": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a PNG, .* save it as PNG"),
    "another program's": (pil(COLOUR, "PPM"), "is not a PNG, .* save it as PNG"),
    "huge header": (HUGE, "more than 178,956,970 pixels.* cut or shrink it"),
    "hidden frames": (
        pil(COLOUR, "PNG", save_all=True, default_image=True, append_images=[Image.fromarray(255 - COLOUR)]),
        "has 2 frames .* save the wanted one alone",
    ),
    "zero bytes": (b"", r"is empty \(0 bytes\)"),
}


@pytest.mark.parametrize("kind", READ)
def test_an_odd_image_is_read_as_it_is_meant(kind):
    """Law: lossless files give their values, JPEG's quantisation aside; no profile, gamma or spare channel counts."""
    data, wanted = READ[kind]
    wanted = np.atleast_3d(wanted)
    image = read_image(data, "x")
    assert image.shape == wanted.shape and image.dtype == (np.uint16 if wanted.max() > 255 else np.uint8)
    lost = 6 if data.startswith(b"\xff\xd8") or b"luma" in kind.encode() else 1
    assert np.abs(image.astype(float) - wanted).max() <= lost * (257 if image.dtype == np.uint16 else 1)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_be_misread_is_refused_with_a_remedy(kind):
    data, told = REFUSED[kind]
    with pytest.raises(SourceError, match=f"^some/x: .*{told}"):
        read_image(data, "some/x")


MASKS = {
    "floats": tiff(MASK.astype(np.float32) * 0.3, "minisblack"),
    "no number around it": tiff(np.where(MASK, 1, np.nan).astype(np.float32), "minisblack"),
    "negative": tiff(-MASK.astype(np.float32), "minisblack"),
    "32 bits": tiff(MASK.astype(np.uint32) * (2**31 + 5), "minisblack"),
    "16 bits, low": tiff(MASK.astype(np.uint16) * 3, "minisblack"),
    "16 bits, colour, low": tiff(np.dstack([MASK] * 3).astype(np.uint16) * 3),
    "16 bits, white is zero": tiff(65535 - MASK.astype(np.uint16), "miniswhite"),
    "1 bit": pil(MASK, "TIFF", compression="group4"),
    "a palette": pil(Image.fromarray(MASK.astype(np.uint8) * 255).convert("RGB").quantize(2), "PNG"),
    "inks": pil(MASK.astype(np.uint8) * 255, "JPEG", "CMYK", quality=95),
}
NO_MASKS = {
    "pages": pil(MASK, "TIFF", save_all=True, append_images=[Image.fromarray(~MASK)]),
    "frames": pil(MASK.astype(np.uint8), "GIF", save_all=True, append_images=[Image.fromarray(~MASK)]),
    "planar, 16 bits": tiff(np.stack([MASK] * 3).astype(np.uint16), planarconfig="separate"),
    "huge header": png([], 8, size=(60_000, 60_000)),
    "cut": pil(MASK, "PNG")[:-20],
    "zero bytes": b"",
}


@pytest.mark.parametrize("kind", MASKS)
def test_an_odd_mask_marks_what_is_not_zero(kind):
    assert (read_defect_mask(MASKS[kind], "x") != MASK).mean() < (0.02 if kind == "inks" else 1e-9)


@pytest.mark.parametrize("kind", NO_MASKS)
def test_a_mask_that_would_be_misread_is_refused(kind, capfd):
    with pytest.raises(SourceError, match=r"^some/x: "):
        read_defect_mask(NO_MASKS[kind], "some/x")
    assert capfd.readouterr() == ("", "")


# --- whatever reads images ------------------------------------------------------------------------------------------


def _in_a_source(place, data):
    pictures(place / "good", 3)
    (place / "good" / "odd.PNG").write_bytes(data)
    Folder(path=str(place / "good"), size=32).open()


def _in_a_score(place, data):
    tiny_data(place / "data")
    (place / "data" / "test" / "spot" / "odd.PNG").write_bytes(data)
    (place / "data" / "ground_truth" / "spot" / "odd_mask.PNG").write_bytes(pil(MASK, "PNG"))
    load(str(place / "data"), 32)


def _in_a_bank(place, data):
    pictures(place / "bad", 2)
    (place / "bad" / "odd.PNG").write_bytes(data)
    for name in ("000.png", "001.png", "odd.PNG"):
        (place / "masks").mkdir(exist_ok=True)
        (place / "masks" / name).write_bytes(pil(np.pad(np.ones((8, 8), bool), 12), "PNG"))
    bank(place / "bad", place / "bank", masks=place / "masks")


def _in_a_training(place, data):
    pictures(place / "good", 3)
    (place / "good" / "odd.PNG").write_bytes(data)
    train("sdas", str(place / "good"), place / "model", size=32, steps=1)


@pytest.mark.parametrize("read", [_in_a_source, _in_a_score, _in_a_bank, _in_a_training])
@pytest.mark.parametrize("kind", ["a phone's", "pages", "huge header", "zero bytes"])
def test_whoever_reads_a_folder_names_the_odd_file(tmp_path, read, kind):
    """Law: a file that is no image of ours stops whatever reads its folder, also under a suffix in capitals."""
    data = REFUSED[kind][0] if kind in REFUSED else NO_MASKS[kind]
    with pytest.raises(AnomgenError, match=re.escape("odd.PNG")):
        read(tmp_path, data)


def test_the_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder / "inner"))

    monkeypatch.setattr("anomgen.sources.detection.tree_of", refuse)
    with pytest.raises(UsageError, match=r"inner: cannot be listed \(Permission denied\)"):
        detect(str(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
def test_a_link_to_what_never_ends_is_named(tmp_path):
    pictures(tmp_path / "good", 2)
    (tmp_path / "good" / "002.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "good" / "003.png").symlink_to(tmp_path / "pipe")
    os.mkfifo(tmp_path / "good" / "004.png")
    with pytest.raises(SourceError, match="a device or a pipe") as error:
        Folder(path=str(tmp_path / "good"), size=32).open()
    names = ("002.png", "003.png", "004.png")
    assert all(name in str(error.value) for name in names)
    source = Folder(path=str(tmp_path / "good"), size=32, on_bad_image="skip").open()
    assert (len(source), source.skipped) == (2, names)
