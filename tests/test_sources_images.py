"""Reading one image: depth, channels and orientation as stored, a clear refusal of everything else."""

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from anomgen.errors import SourceError
from anomgen.sources import images
from anomgen.sources.alpha import transparency
from anomgen.sources.images import fit_image, read_image


def pixels(height=40, width=50, channels=3, dtype=np.uint8, seed=0):
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width, channels), endpoint=True)
    return values.astype(dtype)


def cv_bytes(array, extension=".png"):
    order = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[array.shape[2]]
    ok, data = cv2.imencode(extension, array if order is None else cv2.cvtColor(array, order))
    assert ok
    return data.tobytes()


def pil_bytes(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png16(array, colour_type, extra=b"", size=None):
    """Write a 16-bit PNG of any colour type; no library at hand writes grey with alpha or tRNS."""
    height, width = size or array.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("extension", "dtype"),
    [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint8), (".tif", np.uint16), (".bmp", np.uint8)],
)
def test_lossless_formats_keep_every_bit(extension, dtype, channels):
    array = pixels(channels=channels, dtype=dtype)
    got = read_image(cv_bytes(array, extension))
    assert got.dtype == dtype
    assert np.array_equal(got, array)


def test_lossless_webp_and_jpeg_are_read_as_rgb():
    array = np.zeros((40, 50, 3), np.uint8)
    array[..., 0] = 250
    image = Image.fromarray(array)
    assert np.array_equal(read_image(pil_bytes(image, "WEBP", lossless=True)), array)
    assert np.abs(read_image(pil_bytes(image, "JPEG")).astype(int) - array).max() < 4
    assert read_image(pil_bytes(image.convert("L"), "JPEG")).shape == (40, 50, 1)


def test_a_path_and_its_bytes_give_the_same(tmp_path):
    (tmp_path / "a.png").write_bytes(cv_bytes(pixels()))
    assert np.array_equal(read_image(tmp_path / "a.png"), read_image((tmp_path / "a.png").read_bytes()))
    assert np.array_equal(read_image(str(tmp_path / "a.png")), pixels())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "png16 grey", "png16 colour", "tiff", "tiff16 grey", "tiff16 colour"])
def test_exif_orientation_is_applied(kind, orientation):
    """The image seen upright is what Pillow's own exif_transpose shows, whatever the depth."""
    depth = np.uint16 if "16" in kind else np.uint8
    array = np.zeros((32, 48, 1 if "grey" in kind else 3), depth)
    array[:16, :16] = np.iinfo(depth).max  # one corner tells all eight orientations apart, with the next line
    array[:16, 16:32] = np.iinfo(depth).max // 2
    turn = [
        lambda a: a,
        lambda a: a[:, ::-1],
        lambda a: a[::-1, ::-1],
        lambda a: a[::-1],
        lambda a: a.swapaxes(0, 1),
        lambda a: np.rot90(a, -1),
        lambda a: a[::-1, ::-1].swapaxes(0, 1),
        np.rot90,
    ][orientation - 1]
    if kind.startswith("tiff"):
        tifffile = pytest.importorskip("tifffile")
        file = io.BytesIO()
        tag = (274, "H", 1, orientation, True)
        tifffile.imwrite(file, array.squeeze(), photometric="minisblack" if "grey" in kind else "rgb", extratags=[tag])
        data = file.getvalue()
    else:
        exif = Image.Exif()
        exif[274] = orientation
        if kind.startswith("png16"):
            data = png16(array, 0 if "grey" in kind else 2, extra=chunk(b"eXIf", exif.tobytes()[6:]))
        else:
            data = pil_bytes(Image.fromarray(array), kind.upper(), exif=exif)
    got = read_image(data)
    assert got.shape == turn(array).shape
    assert np.abs(got.astype(int) - turn(array)).max() <= (4 if kind == "jpeg" else 0)


def test_palette_gives_its_colours_and_stays_grey_only_if_all_are():
    colours = Image.fromarray(pixels()).quantize(16)
    assert np.array_equal(read_image(pil_bytes(colours)), np.asarray(colours.convert("RGB")))
    grey = Image.fromarray(pixels(channels=1).squeeze()).convert("P")
    assert np.array_equal(read_image(pil_bytes(grey)), pixels(channels=1))
    gif = read_image(pil_bytes(colours, "GIF"))
    assert gif.shape == (40, 50, 3)


def test_opaque_alpha_is_dropped():
    array = pixels(channels=4)
    array[..., 3] = 255
    assert np.array_equal(read_image(cv_bytes(array)), array[..., :3])
    deep = pixels(channels=4, dtype=np.uint16)
    deep[..., 3] = 65535
    assert np.array_equal(read_image(cv_bytes(deep)), deep[..., :3])
    grey = np.dstack([deep[..., 0], deep[..., 3]])
    assert np.array_equal(read_image(png16(grey, 4)), grey[..., :1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_composited_on_white(dtype):
    white = np.iinfo(dtype).max
    array = pixels(channels=4, dtype=dtype)
    expected = np.rint(array[..., :3] * (array[..., 3:] / white) + white * (1 - array[..., 3:] / white))
    got = read_image(cv_bytes(array))
    assert got.dtype == dtype
    assert np.abs(got - expected).max() <= 1
    grey = array[..., [0, 3]]
    data = pil_bytes(Image.fromarray(grey)) if dtype == np.uint8 else png16(grey, 4)
    assert np.abs(read_image(data) - expected[..., :1]).max() <= 1


def test_how_alpha_is_taken_is_told():
    """White shows through it, also where a single grey or colour is transparent; zero all over it is ignored."""
    array = pixels(channels=4)
    alpha = {"part": array[..., 3].copy(), "opaque": 255, "zero": 0}
    told = {}
    for name, values in alpha.items():
        array[..., 3] = values
        told[name] = transparency(cv_bytes(array), name)
    assert told == {"part": "white", "opaque": "", "zero": "ignored"}
    grey = pixels(channels=1, dtype=np.uint16)
    key = chunk(b"tRNS", struct.pack(">H", int(grey[0, 0, 0])))
    assert transparency(png16(grey, 0, key), "key") == "white" and not transparency(png16(grey, 0), "none")
    assert not transparency(cv_bytes(array[..., :3]), "colour")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_of_zero_all_over_was_not_meant(dtype):
    """32-bit bitmaps of many programs leave it so; a picture of one colour that nobody can see is none."""
    array = pixels(channels=4, dtype=dtype)
    array[..., 3] = 0
    assert np.array_equal(read_image(cv_bytes(array)), array[..., :3])
    grey = array[..., [0, 3]]
    data = pil_bytes(Image.fromarray(grey)) if dtype == np.uint8 else png16(grey, 4)
    assert np.array_equal(read_image(data), grey[..., :1])
    if dtype == np.uint8:
        assert np.array_equal(read_image(bmp32(array)), array[..., :3])
    with pytest.raises(SourceError, match=r"part\.png: is transparent all over and shows nothing"):
        read_image(cv_bytes(np.zeros_like(array)), "part.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("value", [1, 128, 254])
def test_alpha_that_says_nothing_leaves_the_picture(dtype, value):
    """The same all over, or all but a pixel transparent."""
    array = pixels(channels=4, dtype=dtype)
    colour = array[..., :3].copy()
    array[..., 3] = value
    speck = array.copy()
    speck[..., 3] = 0
    speck[0, 0, 3] = np.iinfo(dtype).max
    for odd in (array, speck):
        assert np.array_equal(read_image(cv_bytes(odd)), colour)
        assert transparency(cv_bytes(odd), "odd") == "ignored"


@pytest.mark.parametrize(("dtype", "most"), [(np.uint8, 1), (np.uint16, 1), (np.uint16, 255), (np.uint8, 100)])
def test_alpha_on_a_scale_of_its_own_is_opaque_at_its_largest(dtype, most):
    """0 and 1, or 8 bits in 16: not a picture that is nearly white."""
    array = pixels(channels=4, dtype=dtype)
    shown = np.arange(array.shape[1]) < 20
    array[..., 3] = shown * most
    got = read_image(cv_bytes(array))
    assert np.array_equal(got[:, shown], array[:, shown, :3]) and (got[:, ~shown] == np.iinfo(dtype).max).all()
    assert transparency(cv_bytes(array), "scale") == "white"


def bmp32(array):
    """Write a bitmap whose header names the place of alpha (version 4)."""
    height, width = array.shape[:2]
    data = array[::-1, :, [2, 1, 0, 3]].tobytes()
    head = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(data), 2835, 2835, 0, 0)
    head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    return struct.pack("<2sIHHI", b"BM", 14 + len(head) + len(data), 0, 0, 14 + len(head)) + head + data


def test_transparent_colours_become_white():
    array = pixels(channels=3, dtype=np.uint16)
    key = chunk(b"tRNS", struct.pack(">HHH", *array[0, 0].tolist()))
    assert (read_image(png16(array, 2, key))[0, 0] == 65535).all()
    assert np.array_equal(read_image(png16(array, 2, key))[1:], array[1:])
    grey = array[..., :1]
    got = read_image(png16(grey, 0, chunk(b"tRNS", struct.pack(">H", int(grey[0, 0, 0])))))
    assert got[0, 0] == 65535 and np.array_equal(got[1:], grey[1:])
    palette = Image.fromarray(pixels()).quantize(16)
    seen = read_image(pil_bytes(palette, transparency=palette.getpixel((0, 0))))
    assert (seen[0, 0] == 255).all()


def test_sixteen_bit_tiff_variants():
    tifffile = pytest.importorskip("tifffile")

    def tiff(array, **options):
        file = io.BytesIO()
        tifffile.imwrite(file, array, **options)
        return file.getvalue()

    colour, grey = pixels(dtype=np.uint16), pixels(channels=1, dtype=np.uint16)
    for options in ({}, {"compression": "adobe_deflate", "predictor": True}, {"tile": (16, 16)}, {"byteorder": ">"}):
        assert np.array_equal(read_image(tiff(colour, photometric="rgb", **options)), colour)
        assert np.array_equal(read_image(tiff(grey.squeeze(), **options)), grey)
    assert np.array_equal(read_image(tiff(grey.squeeze(), photometric="miniswhite")), 65535 - grey)
    with pytest.raises(SourceError, match="16-bit colour that cannot be read; save it as 16-bit PNG"):
        read_image(tiff(colour.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"))
    for dtype in (np.int16, np.int32, np.uint32, np.float32):
        with pytest.raises(SourceError, match="save it as"):
            read_image(tiff(grey.squeeze().astype(dtype)))


def test_a_phones_jpeg_with_a_preview_is_its_first_picture():
    first, second = Image.new("RGB", (64, 48), (200, 10, 10)), Image.new("RGB", (32, 32), (0, 0, 250))
    data = pil_bytes(first, "MPO", save_all=True, append_images=[second])
    got = read_image(data)
    assert got.shape == (48, 64, 3) and got[0, 0, 0] > 190


BAD = {
    "zero bytes": (b"", r"is empty \(0 bytes\)"),
    "text": (b"this is no image" * 9, "is not a PNG, JPEG"),
    "cmyk": (pil_bytes(Image.new("CMYK", (40, 40)), "JPEG"), "is CMYK; save it as RGB"),
    "lab": (pil_bytes(Image.new("LAB", (40, 40)), "TIFF"), "is Lab"),
    "one bit": (pil_bytes(Image.new("1", (40, 40))), "1 bit per pixel; save it as 8-bit grey"),
    "float": (pil_bytes(Image.new("F", (40, 40)), "TIFF"), "floating-point"),
    "int32": (pil_bytes(Image.new("I", (40, 40)), "TIFF"), "signed numbers"),
    "tiny": (pil_bytes(Image.new("L", (15, 40))), "is 40 × 15 pixels; at least 16 × 16"),
    "animated png": (
        pil_bytes(Image.new("L", (40, 40)), save_all=True, append_images=[Image.new("L", (40, 40), 9)]),
        "2 frames",
    ),
    "animated gif": (
        pil_bytes(Image.new("L", (40, 40)), "GIF", save_all=True, append_images=[Image.new("L", (40, 40), 9)]),
        "2 frames",
    ),
    "animated webp": (
        pil_bytes(Image.new("RGB", (40, 40)), "WEBP", save_all=True, append_images=[Image.new("RGB", (40, 40), 9)]),
        "2 frames",
    ),
    "multi-page": (
        pil_bytes(Image.new("L", (40, 40)), "TIFF", save_all=True, append_images=[Image.new("L", (40, 40), 9)]),
        "multi-page",
    ),
    "bomb": (png16(np.zeros((1, 1, 1)), 0, size=(30_000, 30_000)), "more than 178,956,970 pixels"),
    "little bomb": (png16(np.zeros((1, 1, 1)), 0, size=(15_000, 15_000)), "decompression bomb"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_images_are_refused_by_name(kind, tmp_path, capfd):
    data, text = BAD[kind]
    (tmp_path / "bad.png").write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SourceError, match=text) as caught:
            read_image(tmp_path / "bad.png", "some/bad.png")
    assert str(caught.value).startswith("some/bad.png: ")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("extension", [".jpg", ".png", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.99])
def test_truncated_files_are_refused(extension, share):
    data = cv_bytes(pixels(200, 200), extension)
    with pytest.raises(SourceError):
        read_image(data[: max(9, int(share * len(data)))])


def test_truncated_sixteen_bit_and_progressive_are_refused():
    progressive = pil_bytes(Image.fromarray(pixels(200, 200)), "JPEG", progressive=True)
    for data in (cv_bytes(pixels(200, 200, 3, np.uint16)), cv_bytes(pixels(200, 200, 1, np.uint16)), progressive):
        with pytest.raises(SourceError, match="damaged or truncated"):
            read_image(data[: len(data) // 2])


def test_truncation_is_seen_even_where_another_library_told_pillow_to_ignore_it(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = cv_bytes(pixels(200, 200), ".jpg")
    with pytest.raises(SourceError, match="damaged or truncated"):
        read_image(data[: len(data) // 2])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(SourceError, match=r"gone\.png: cannot be read \(No such file"):
        read_image(tmp_path / "gone.png")

    def denied(self, *_):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").touch()
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(SourceError, match=r"a\.png: cannot be read \(Permission denied\)"):
        read_image(tmp_path / "a.png")


def test_quiet_restores_the_process_from_many_threads():
    before, level = list(warnings.filters), images._cv2_log.getLogLevel()
    data = cv_bytes(pixels())
    threads = [threading.Thread(target=lambda: [read_image(data) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
    assert images._cv2_log.getLogLevel() == level
    assert images._quiet_depth == 0


sides = st.integers(16, 90)


@settings(max_examples=120, deadline=None)
@given(
    source=st.tuples(sides, sides),
    shape=st.tuples(sides, sides),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    fit=st.sampled_from(["stretch", "crop", "center"]),
    seed=st.integers(0, 99),
)
def test_fitting_any_image_to_any_size(source, shape, channels, dtype, fit, seed):
    """The result has the asked size and the image's channels and depth, and no value outside the image's."""
    image = pixels(*source, channels, dtype, seed)
    before = image.copy()
    if fit == "center" and (source[0] < shape[0] or source[1] < shape[1]):
        with pytest.raises(SourceError, match="smaller than"):
            fit_image(image, shape, fit)
        return
    got = fit_image(image, shape, fit)
    assert got.shape == (*shape, channels) and got.dtype == dtype
    assert image.min() <= got.min() and got.max() <= image.max()
    assert np.array_equal(image, before)
    flat = np.full_like(image, 77)
    assert (fit_image(flat, shape, fit) == 77).all()


def test_center_cuts_and_crop_keeps_the_aspect():
    image = pixels(60, 40)
    assert np.array_equal(fit_image(image, (20, 30), "center"), image[20:40, 5:35])
    assert np.array_equal(fit_image(image, (40, 40), "crop"), image[10:50])
    stripes = np.zeros((64, 128, 1), np.uint8)
    stripes[:, 32:96] = 200
    assert (fit_image(stripes, (32, 32), "crop") == 200).all()  # the outer quarters are cut, not squeezed in
    assert fit_image(stripes, (32, 32), "stretch")[0, 0, 0] == 0


def test_shrinking_averages_and_the_mean_survives():
    image = pixels(128, 128, 1, np.uint16)
    expected = image.reshape(32, 4, 32, 4).mean((1, 3))
    assert np.abs(fit_image(image, (32, 32), "stretch")[..., 0] - expected).max() <= 1


def test_native_size_is_the_image_itself():
    image = pixels()
    assert fit_image(image, None, "stretch") is image
