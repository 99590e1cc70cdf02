"""Reading masks: the same pixels are marked whatever tool and format they were drawn with."""

import io

import numpy as np
import pytest
from PIL import Image

from anomgen.errors import SourceError
from anomgen.sources.mask_files import read_defect_mask, read_mask

BLOB = np.zeros((48, 64), bool)
BLOB[10:30, 12:40] = True
"""What is marked in every mask of these tests: 20 × 28 of 48 × 64 pixels."""


def stored(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def grey(value=255):
    return Image.fromarray(BLOB.astype(np.uint8) * np.uint8(value))


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("value", [1, 38, 255])
def test_whatever_is_not_zero_is_marked(format, value):
    assert np.array_equal(read_defect_mask(stored(grey(value), format), "m"), BLOB)


def test_palettes_colours_and_one_bit_are_read_by_their_colours():
    colour = Image.fromarray(np.where(BLOB[..., None], np.uint8([0, 0, 7]), np.uint8(0)))
    for image in (colour, colour.quantize(4), grey().convert("1")):
        assert np.array_equal(read_mask(stored(image), "m"), BLOB)


@pytest.mark.parametrize("options", [{"quality": 30}, {"quality": 60}, {"quality": 95}, {"lossless": True}])
def test_webp_masks_do_not_grow(options):
    """The zeros of a lossy file are not exact: taken literally they mark more than was drawn."""
    mask = read_mask(stored(grey().convert("RGB"), "WEBP", **options), "m")
    assert (mask != BLOB).sum() <= 0.05 * BLOB.sum()
    with_alpha = stored(grey().convert("RGBA"), "WEBP", **options)  # another kind of file, of several chunks
    assert (read_mask(with_alpha, "m") != BLOB).sum() <= 0.05 * BLOB.sum()


def test_jpeg_masks_do_not_grow():
    assert (read_mask(stored(grey(), "JPEG", quality=50), "m") != BLOB).sum() <= 0.05 * BLOB.sum()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_masks_are_turned_as_images_are(format, orientation):
    from anomgen.sources.images import read_image

    image = grey().convert("RGB")
    exif = image.getexif()
    exif[274] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    data = stored(image, format, exif=exif, **options)
    upright = read_image(data)[..., 0] > 127
    mask = read_mask(data, "m")
    assert mask.shape == upright.shape == (BLOB.shape if orientation < 5 else BLOB.shape[::-1])
    assert np.array_equal(mask, upright)


def test_alpha_says_nothing_unless_it_alone_says_something():
    opaque = np.dstack([BLOB * np.uint8(200)] * 3 + [np.full(BLOB.shape, 255, np.uint8)])
    assert np.array_equal(read_mask(stored(Image.fromarray(opaque)), "m"), BLOB)
    for colour in (0, 255):
        drawn = np.dstack([np.full(BLOB.shape, colour, np.uint8)] * 3 + [BLOB * np.uint8(255)])
        assert np.array_equal(read_defect_mask(stored(Image.fromarray(drawn)), "m"), BLOB)
        assert np.array_equal(read_mask(stored(Image.fromarray(drawn[..., [0, 3]])), "m"), BLOB)


def test_a_mask_of_the_surroundings_or_of_everything_is_refused():
    inverted = Image.fromarray(~BLOB * np.uint8(255))
    everything = Image.new("L", (64, 48), 9)
    for image in (inverted, everything):
        with pytest.raises(SourceError, match=r"x_mask.png: marks (82|100)% of the image and all of its rim"):
            read_defect_mask(stored(image), "x_mask.png")
        assert read_mask(stored(image), "an object may fill its image").mean() > 0.5
    large = np.zeros((48, 64), np.uint8)
    large[:, 6:] = 255
    assert read_defect_mask(stored(Image.fromarray(large)), "a large defect").mean() > 0.9


def test_a_picture_in_the_place_of_a_mask_is_refused():
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    picture[:3] = picture[-3:] = 0  # not all of its rim is marked
    with pytest.raises(SourceError, match=r"x\.png: is a picture, perhaps with the defect drawn over it"):
        read_defect_mask(stored(Image.fromarray(picture)), "x.png")


def test_what_is_no_image_is_refused():
    for data in (b"", b"GIF89a", b"nothing"):
        with pytest.raises(SourceError, match=r"m\.png: (is empty|is not a PNG|cannot be read as an image)"):
            read_mask(data, "m.png")
