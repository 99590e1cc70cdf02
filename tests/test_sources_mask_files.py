"""Reading masks: the same pixels are marked whatever tool and format they were drawn with."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from anomgen.errors import SourceError
from anomgen.sources.folder import FileReader
from anomgen.sources.mask_files import Look, is_painted, look_of, read_defect_mask, read_object_mask
from anomgen.sources.sorting import sorted_pictures
from anomgen.sources.tree import tree_of

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
        assert np.array_equal(read_object_mask(stored(image), "m"), BLOB)


@pytest.mark.parametrize("options", [{"quality": 30}, {"quality": 60}, {"quality": 95}, {"lossless": True}])
def test_webp_masks_do_not_grow(options):
    """The zeros of a lossy file are not exact: taken literally they mark more than was drawn."""
    mask = read_object_mask(stored(grey().convert("RGB"), "WEBP", **options), "m")
    assert (mask != BLOB).sum() <= 0.05 * BLOB.sum()
    with_alpha = stored(grey().convert("RGBA"), "WEBP", **options)  # another kind of file, of several chunks
    assert (read_object_mask(with_alpha, "m") != BLOB).sum() <= 0.05 * BLOB.sum()


def test_jpeg_masks_do_not_grow():
    assert (read_object_mask(stored(grey(), "JPEG", quality=50), "m") != BLOB).sum() <= 0.05 * BLOB.sum()


def drawn(shape):
    mask = np.zeros((160, 192), np.uint8)
    if shape == "line":
        cv2.line(mask, (20, 30), (150, 110), 255, 3)
    else:
        cv2.ellipse(mask, (100, 80), (36, 18), 30, 0, 360, 255, -1)
    return mask


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("shape", ["ellipse", "line"])
@pytest.mark.parametrize("options", [("JPEG", 30), ("JPEG", 75), ("JPEG", 95), ("WEBP", 50)])
def test_masks_that_were_stored_with_losses_before_do_not_grow_as_png(options, shape, mode):
    """Their zeros are no more exact than those of the file that they were read from."""
    lossy = stored(Image.fromarray(drawn(shape)).convert(mode), options[0], quality=options[1])
    again = Image.open(io.BytesIO(lossy))
    exif = Image.Exif()
    exif[274] = 6
    mask = read_object_mask(stored(again), "m")
    assert np.array_equal(mask, read_defect_mask(stored(again, "BMP"), "m"))
    assert np.array_equal(np.rot90(mask, -1), read_object_mask(stored(again, exif=exif), "m"))
    assert abs(mask.sum() / (drawn(shape) > 0).sum() - 1) <= 0.02


def soft(mask):
    """Yield masks with soft edges, as filters, feathering and networks leave them."""
    signed = cv2.distanceTransform(mask, 2, 5) - cv2.distanceTransform(255 - mask, 2, 5)
    for width in (0.7, 1.5, 3, 6):
        yield cv2.GaussianBlur(mask, (0, 0), width)
        yield cv2.blur(mask, (int(2 * width) + 1, int(2 * width) + 1))
        yield np.uint8(255 * np.clip(0.5 + signed / (2 * width), 0, 1))
        yield np.uint8(255 / (1 + np.exp(-np.clip(signed / width, -50, 50))))


@pytest.mark.parametrize("shape", ["ellipse", "line"])
def test_soft_masks_and_numbered_instances_are_marked_where_they_are_not_zero(shape):
    numbers = cv2.resize(np.uint8(np.arange(256)).reshape(16, 16), (160, 160), interpolation=cv2.INTER_NEAREST)
    two = np.where(drawn(shape) > 0, np.uint8(numbers[:, :1] % 4 * 80), np.uint8(0))
    few = drawn(shape) - np.uint8(2) * (drawn(shape) > 0) * (np.arange(192) % 9 < 3).astype(np.uint8)
    for mask in (*soft(drawn(shape)), numbers, two, few):
        assert np.array_equal(read_object_mask(stored(Image.fromarray(mask)), "m"), mask > 0)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_small_labels_stored_with_losses_are_refused_and_black_is_not(format):
    """Cut at half they would mark nothing, without a word."""
    with pytest.raises(SourceError, match=r"m: is stored with losses and holds nothing brighter than \d+ of 255"):
        read_defect_mask(stored(grey(40), format, quality=95), "m")
    assert not read_defect_mask(stored(Image.new("RGB", (40, 30)), format, quality=60), "m").any()


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
    mask = read_object_mask(data, "m")
    assert mask.shape == upright.shape == (BLOB.shape if orientation < 5 else BLOB.shape[::-1])
    assert np.array_equal(mask, upright)


def test_alpha_says_nothing_unless_it_alone_says_something():
    opaque = np.dstack([BLOB * np.uint8(200)] * 3 + [np.full(BLOB.shape, 255, np.uint8)])
    assert np.array_equal(read_object_mask(stored(Image.fromarray(opaque)), "m"), BLOB)
    for colour in (0, 255):
        drawn = np.dstack([np.full(BLOB.shape, colour, np.uint8)] * 3 + [BLOB * np.uint8(255)])
        assert np.array_equal(read_defect_mask(stored(Image.fromarray(drawn)), "m"), BLOB)
        assert np.array_equal(read_object_mask(stored(Image.fromarray(drawn[..., [0, 3]])), "m"), BLOB)


def test_a_mask_of_the_surroundings_or_of_everything_is_refused():
    inverted = Image.fromarray(~BLOB * np.uint8(255))
    everything = Image.new("L", (64, 48), 9)
    for image in (inverted, everything):
        with pytest.raises(SourceError, match=r"x_mask.png: marks (82|100)% of the image and all of its rim"):
            read_defect_mask(stored(image), "x_mask.png")
        assert read_object_mask(stored(image), "an object may fill its image").mean() > 0.5
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
            read_object_mask(data, "m.png")


def photograph(shape=(96, 128)):
    """Return a picture as cameras take it: an object on a dark ground, grain, soft edges."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.clip(1.5 - np.hypot((y - 48) / 36, (x - 64) / 50), 0, 0.5)[..., None] * 2
    return np.clip(10 + inside * (np.array([150, 130, 110]) + rng.normal(0, 14, (*shape, 3))), 0, 255).astype(np.uint8)


OVERLAY = photograph()
OVERLAY[30:50, 40:60] = 255, 0, 0
FILES = {"PNG": {}, "JPEG": {"quality": 90}, "JPEG, coarse": {"quality": 40}, "WEBP": {"quality": 80}, "GIF": {}}


@pytest.mark.parametrize("format", FILES)
def test_an_overlay_is_refused_in_every_format(format):
    data = stored(Image.fromarray(OVERLAY), format.split(",")[0], **FILES[format])
    for read in (read_defect_mask, read_object_mask):
        with pytest.raises(SourceError, match="is a picture"):
            read(data, "o")


@pytest.mark.parametrize("colour", [(255, 255, 255), (255, 0, 0), (0, 200, 90)])
@pytest.mark.parametrize("format", FILES)
def test_a_mask_in_any_colour_and_format_is_none(format, colour):
    mask = np.where(np.kron(BLOB, np.ones((2, 2), bool))[..., None], np.uint8(colour), np.uint8(0))
    data = stored(Image.fromarray(mask), format.split(",")[0], **FILES[format])
    marked = mask.any(axis=2)
    for read in (read_defect_mask, read_object_mask):
        assert (read(data, "m") != marked).mean() < 0.05


def test_a_soft_grey_mask_and_classes_of_16_bits_are_no_pictures():
    import cv2

    soft = cv2.GaussianBlur(BLOB.astype(np.uint8) * np.uint8(255), (0, 0), 5)
    assert read_defect_mask(stored(Image.fromarray(soft)), "m")[BLOB].all()
    instances = np.zeros((48, 64), np.uint16)
    instances[10:30, 12:40] = np.arange(560).reshape(20, 28) // 40 + 300
    assert np.array_equal(read_object_mask(cv2.imencode(".png", instances)[1].tobytes(), "m"), BLOB)


@pytest.mark.parametrize("rim", [1, 2, 4])
def test_an_inverted_mask_within_a_frame_is_refused_and_a_large_defect_is_not(rim):
    frame = np.zeros(BLOB.shape, bool)
    frame[rim:-rim, rim:-rim] = True
    with pytest.raises(SourceError, match="as if inverted"):
        read_defect_mask(stored(Image.fromarray((~BLOB & frame) * np.uint8(255))), "m")
    assert np.array_equal(read_defect_mask(stored(Image.fromarray(frame * np.uint8(255))), "large"), frame)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_smooth_dark_photograph_that_was_stored_with_losses_is_a_picture(format, mode):
    """Cut at half of its range it would mark its brightest part."""
    y, x = np.mgrid[:96, :128]
    grain = np.random.default_rng(0).normal(0, 2, (96, 128))
    smooth = 45 + 110 * np.exp(-((y - 48) ** 2 + (x - 64) ** 2) / 900) + grain
    shown = Image.fromarray(np.dstack([smooth, smooth * 0.9, smooth * 0.8]).astype(np.uint8)).convert(mode)
    with pytest.raises(SourceError, match=r"m: is a picture, perhaps .* \([\d,]+ (colours|grey levels)\)"):
        read_defect_mask(stored(shown, format, quality=70), "m")


@pytest.mark.parametrize("grey", [False, True])
def test_photographs_are_no_masks_of_objects_but_cut_outs_are(grey):
    photo = photograph() // 2 + 60
    shown = Image.fromarray(photo).convert("L") if grey else Image.fromarray(photo)
    with pytest.raises(SourceError, match=r"is a picture .*; a mask is black but for what it marks"):
        read_object_mask(stored(shown), "p")
    opaque = np.zeros(photo.shape[:2], np.uint8)
    opaque[20:70, 30:90] = 255
    opaque[19] = 3  # what background removal leaves
    shown.putalpha(Image.fromarray(opaque))
    assert np.array_equal(read_object_mask(stored(shown), "cut out"), opaque > 127)
    with pytest.raises(SourceError, match="is a picture"):
        read_defect_mask(stored(shown), "cut out")


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (1, 1)])
def test_a_mask_of_one_row_is_read_without_a_warning(shape):
    """Warnings are errors here."""
    mask = np.arange(shape[0] * shape[1]).reshape(shape) < 100
    data = stored(Image.fromarray(mask.astype(np.uint8) * np.uint8(255)))
    assert np.array_equal(read_object_mask(data, "m"), mask)
    assert look_of(data) in (Look.MASK, Look.EMPTY) and is_painted(data) in (True, False)


def rough(low, high, sigma=2.0):
    """Return a texture of little contrast."""
    grain = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(96, 128)), (0, 0), sigma)
    return np.uint8(low + np.round((grain - grain.min()) * ((high - low) / np.ptp(grain))))


def dark_field():
    """Return a bright object with grain on a background that is clipped to black."""
    lit = 28 * np.exp(-(((np.mgrid[:96, :128] - np.array([48, 64])[:, None, None]) / 16) ** 2).sum(axis=0))
    return np.clip(lit - 4 + np.random.default_rng(0).normal(0, 0.5, lit.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("low", "high"), [(110, 130), (4, 28), (228, 252), (120, 128)])
@pytest.mark.parametrize(
    ("format", "options"),
    [("PNG", {}), ("JPEG", {"quality": 40}), ("JPEG", {"quality": 75}), ("JPEG", {"quality": 92})],
)
def test_photographs_of_few_greys_are_no_masks(low, high, format, options):
    assert look_of(stored(Image.fromarray(rough(low, high)), format, **options)) is Look.PICTURE
    coloured = np.dstack([rough(low, high), rough(low, high) // 2, rough(low, high) // 3])
    assert look_of(stored(Image.fromarray(coloured), "PNG")) is Look.PICTURE


def test_a_photograph_of_five_greys_is_no_mask_though_it_is_flat():
    """Grain sets single pixels of it off."""
    grain = np.random.default_rng(1).random((96, 128)) < 0.02
    shown = np.minimum(rough(120, 124, sigma=12) + grain, 124).astype(np.uint8)
    assert look_of(stored(Image.fromarray(shown))) is Look.PICTURE
    assert look_of(stored(Image.fromarray(np.uint8(BLOB) + np.uint8(1)))) is Look.MASK


def test_a_dark_field_photograph_is_no_mask_for_its_black_background():
    assert (dark_field() == 0).mean() > 0.7 and len(np.unique(dark_field())) < 32
    assert look_of(stored(Image.fromarray(dark_field()))) is Look.PICTURE


@pytest.mark.parametrize("shape", [(40, 32), (160, 192)])
@pytest.mark.parametrize("what", ["labels", "dense", "classes", "scratch", "scattered", "soft", "bright"])
def test_masks_of_few_greys_stay_masks(what, shape):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, np.uint8)
    if what == "labels":
        for k in range(12):
            cv2.circle(mask, (4 + k % 3 * 11, 4 + k // 3 * 10), 3, k + 1, -1)
    elif what == "dense":
        side = max(8, shape[1] // 5)
        mask[:] = np.where(
            (rows % side < side - 1) & (columns % side < side - 1), rows // side * 5 + columns // side, 0
        )
    elif what == "classes":
        mask[:] = 1 + rows // (shape[0] // 3) * 3 + columns // (shape[1] // 3)
    elif what == "scratch":
        cv2.line(mask, (3, 2), (28, 37), 1)
    elif what == "scattered":
        mask[:] = np.random.default_rng(0).random(shape) < 0.01
    else:
        cv2.ellipse(mask, (16, 20), (8, 11), 30, 0, 360, 255, -1)
        mask = cv2.GaussianBlur(mask, (0, 0), 0.7) // 10 * 10 if what == "soft" else mask
    assert look_of(stored(Image.fromarray(mask))) is Look.MASK


@pytest.mark.parametrize("quality", [30, 60, 75, 95])
@pytest.mark.parametrize("shape", ["line", "ellipse"])
def test_black_and_white_masks_stay_masks_as_jpeg(shape, quality):
    assert look_of(stored(Image.fromarray(drawn(shape)), "JPEG", quality=quality)) is Look.MASK


@pytest.mark.parametrize(
    ("name", "pixels"), [("top/{}.png", rough(110, 130)), ("top/{}.jpg", rough(228, 252)), ("{}_uv.png", dark_field())]
)
def test_photographs_of_few_greys_are_images_beside_others_of_their_names(tmp_path, name, pixels):
    base = "bottom/{}.jpg" if "/" in name else "{}.png"
    for k in range(6):
        for path, shown in ((base, rough(20, 230)), (name, pixels)):
            file = tmp_path / path.format(k)
            file.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(file), shown)
    found = sorted_pictures(tree_of(tmp_path).pictures, FileReader(tmp_path), "d")
    assert (len(found.images), found.masks, found.notes) == (12, set(), ())
