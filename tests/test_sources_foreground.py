"""Foregrounds by a named method, from a folder of masks, by a preset, and what is refused."""

import cv2
import numpy as np
import pytest
from scenes import overlap, scene, shadowed
from scipy import ndimage

from anomgen.errors import RecipeError, SourceError, UsageError
from anomgen.rng import Stream, rng_for
from anomgen.sources.folder import Folder
from anomgen.sources.foreground import PRESETS, Foreground, parse_foreground
from anomgen.sources.pool import Pool
from anomgen.sources.segmentation import border_distance, flattened, is_compact, tidy
from anomgen.synthesis.perlin import perlin_noise


@pytest.mark.parametrize("method", ["otsu", "triangle"])
@pytest.mark.parametrize("side", ["bright", "dark"])
def test_thresholds(method, side):
    colours = ((210, 210, 210), (25, 25, 25))
    image, expected = scene(0, *(colours if side == "bright" else colours[::-1]))
    found = parse_foreground({"method": method, "side": side}).mask(image)
    assert overlap(found, expected) > 0.95


def test_a_threshold_looks_at_one_channel():
    image, expected = scene(0, (100, 100, 200), (100, 100, 30))
    image[:, :30, 0] = 255
    assert overlap(parse_foreground({"method": "otsu", "channel": "b"}).mask(image), expected) > 0.95
    assert overlap(parse_foreground({"method": "otsu", "channel": "r"}).mask(image), expected) < 0.1


def test_background_levels_are_those_of_the_paper():
    """NSA: |mean over channels − level| > tolerance, then a median; several levels must all be left behind."""
    image = np.full((256, 256, 1), 200, np.uint8)
    image[60:200, 60:200] = 130
    image[100:140, 100:140] = 30
    two = parse_foreground({"method": "background", "levels": [[200, 60], [30, 20]]}).mask(image)
    assert two[150, 150] and not two[120, 120] and not two[10, 10]
    assert parse_foreground("nsa/bottle").mask(image)[120, 120]
    exact = np.full((64, 64, 1), 140, np.uint8)
    assert not parse_foreground("nsa/bottle").mask(exact).any()
    assert parse_foreground("nsa/bottle").mask(exact - 1).all()
    deep = parse_foreground({"method": "background", "levels": [[200, 60], [30, 20]]})
    np.testing.assert_array_equal(deep.mask(image.astype(np.uint16) * 257), two)


def test_closing_and_opening_do_not_move_the_object():
    image = np.zeros((256, 256, 1), np.uint8)
    image[100:150, 80:170] = 255
    for close, open in ((6, 0), (0, 6), (6, 6), (5, 3)):
        found = parse_foreground({"method": "otsu", "close": close, "open": open}).mask(image)
        np.testing.assert_array_equal(found, image[..., 0] > 0)


def test_kernels_scale_with_the_image():
    for size, gap, closed in ((256, 4, True), (256, 8, False), (1024, 16, True), (64, 4, False)):
        image = np.zeros((size, size, 1), np.uint8)
        image[size // 4 : size // 2, size // 4 : -size // 4] = 255
        image[:, size // 2 : size // 2 + gap] = 0
        found = parse_foreground({"method": "otsu", "close": 6, "open": 0}).mask(image)
        assert found[size // 3, size // 2 + gap // 2] == closed


def test_clean_fills_holes_and_removes_islands():
    image = np.zeros((128, 128, 1), np.uint8)
    image[20:100, 20:100] = 200
    image[40:50, 40:50] = 0
    image[110:118, 110:118] = 200
    dirty = parse_foreground({"method": "otsu", "close": 0, "open": 0}).mask(image)
    clean = parse_foreground({"method": "otsu", "close": 0, "open": 0, "clean": 0.05}).mask(image)
    assert not dirty[45, 45] and dirty[112, 112]
    assert clean[45, 45] and not clean[112, 112] and clean.sum() == 80 * 80


@pytest.mark.parametrize("number", range(12))
def test_clean_is_what_its_words_say(number):
    """Islands below the share go, those at the border below five times the share, and inner holes below it."""
    rng = rng_for(number, Stream.SOURCE)
    mask = (perlin_noise(rng, (61, 83), 9, 11) > 0.1).view(np.uint8)
    least = 0.02 * mask.sum()
    kept = np.zeros_like(mask)
    for piece in pieces(mask, np.ones((3, 3))):
        kept |= piece if piece.sum() >= (5 * least if touches(piece) else least) else 0
    for hole in pieces(1 - kept, None):
        kept |= hole if hole.sum() < least and not touches(hole) else 0
    np.testing.assert_array_equal(tidy(mask, 0, 0, 0.02), kept)


def pieces(mask, structure):
    labels, count = ndimage.label(mask, structure)
    return [(labels == k).astype(np.uint8) for k in range(1, count + 1)]


def touches(piece):
    return np.concatenate([piece[0], piece[-1], piece[:, 0], piece[:, -1]]).any()


def test_what_encloses_its_background_is_no_object():
    square = np.zeros((64, 64), np.uint8)
    square[20:44, 20:44] = 1
    ring = square.copy()
    ring[8:56, 8:56] = 1
    ring[9:55, 9:55] = 0
    assert is_compact(square) and not is_compact(ring)


def test_border_distance():
    image = np.full((64, 64, 3), (200, 30, 30), np.uint8)
    image[20:40, 20:40] = (30, 200, 30)
    image[45:50, 45:50] = (140, 21, 21)
    plain, hue = border_distance(image), border_distance(image, 0.0)
    assert plain[0, 0] == hue[0, 0] == 0
    assert plain[30, 30] > 100
    assert hue[47, 47] < plain[47, 47]
    assert not parse_foreground("background_color").mask(np.full((32, 32, 1), 7, np.uint8)).any()


def test_twelve_bits_in_sixteen():
    image, expected = scene(0, (200, 200, 200), (30, 30, 30), dtype=np.uint16, channels=1)
    assert overlap(parse_foreground("otsu").mask(image // 16), expected) > 0.95


# A folder of masks.


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / "masks"
    (folder / "a").mkdir(parents=True)
    half = np.zeros((40, 40), np.uint8)
    half[:, :20] = 1
    cv2.imwrite(str(folder / "a" / "one.png"), half)
    cv2.imwrite(str(folder / "a" / "two.v2_mask.png"), np.dstack([half, half * 0, half * 0]) * 255)
    alpha = np.dstack([half * 255, half * 255, half * 255, np.full_like(half, 255)])
    cv2.imwrite(str(folder / "three.png"), alpha)
    cv2.imwrite(str(folder / "deep.png"), half.astype(np.uint16))
    return folder


@pytest.mark.parametrize("source_id", ["a/one.jpg", "a/two.v2.png", "three.bmp", "deep"])
def test_masks_from_a_folder(masks, source_id):
    foreground = parse_foreground({"method": "folder", "path": str(masks)})
    found = foreground.mask(np.zeros((60, 80, 3), np.uint8), source_id)
    assert found.dtype == bool and found.shape == (60, 80)
    assert found[:, :40].all() and not found[:, 40:].any()


class FakePool(list):
    def __init__(self, ids):
        super().__init__([np.zeros((40, 40, 1), np.uint8)] * len(ids))
        self.source, self.ids = self, ids

    def id(self, index):
        return self.ids[index]


def test_a_missing_mask_is_named_before_the_run(masks):
    foreground = parse_foreground({"method": "folder", "path": str(masks)})
    assert foreground.resolved(FakePool(["a/one.jpg", "three.png"])) is foreground
    with pytest.raises(SourceError, match=r"a/four\.jpg.*a/four\.png"):
        foreground.resolved(FakePool(["a/one.jpg", "a/four.jpg"]))


def test_faults_of_a_mask_folder(masks):
    image = np.zeros((40, 40, 1), np.uint8)
    with pytest.raises(UsageError, match="no such folder"):
        parse_foreground({"method": "folder", "path": str(masks / "gone")}).resolved([image])
    foreground = parse_foreground({"method": "folder", "path": str(masks)})
    with pytest.raises(UsageError, match="id"):
        foreground.mask(image)
    (masks / "broken.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"broken\.png.*is not a PNG"):
        foreground.mask(image, "broken.jpg")
    (masks / "empty.png").write_bytes(b"")
    with pytest.raises(SourceError, match=r"empty\.png.*is empty"):
        foreground.mask(image, "empty.jpg")


def test_no_path_of_the_machine_is_written(masks):
    foreground = parse_foreground({"method": "folder", "path": str(masks)})
    assert foreground.portable().model_dump() == {"method": "folder", "path": "masks"}
    assert parse_foreground("otsu").portable() == parse_foreground("otsu")


# Configuration.


def test_every_preset_is_usable_and_round_trips():
    image = scene(0, (200, 200, 200), (30, 30, 30))[0]
    assert len([name for name in PRESETS if name.startswith("nsa/")]) == 16
    assert len([name for name in PRESETS if name.startswith("realnet/")]) == 15 + 12 + 6 + 3
    for name, preset in PRESETS.items():
        parsed = parse_foreground(name)
        assert parsed == preset
        assert parse_foreground(parsed.model_dump(mode="json")) == parsed
        assert parse_foreground({"method": parsed.method, **parsed.model_dump(exclude_defaults=True)}) == parsed
        mask = parsed.mask(image)
        assert mask is None or mask.shape == (128, 160)


def test_values_of_some_presets():
    assert parse_foreground("realnet/screw") == parse_foreground({"method": "otsu", "side": "dark"})
    pcb = {"method": "triangle", "channel": "b", "close": 8, "open": 3}
    assert parse_foreground("realnet/visa/pcb1") == parse_foreground(pcb)
    assert parse_foreground("realnet/btad/02").method == "none"
    assert parse_foreground("nsa/rcxr").levels == ((0.0, 20.0),)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("otzu", "did you mean 'otsu'"),
        ("realnet/botle", "did you mean 'realnet/bottle'"),
        ({"method": "otsu", "sied": "dark"}, "sied.*did you mean 'side'"),
        ({"method": "otsu", "path": "masks"}, "path means nothing to the method otsu"),
        ({"method": "none", "close": 3}, "close means nothing"),
        ({"method": "folder"}, "needs path"),
        ({"method": "background"}, "needs levels"),
        ({"method": "background", "levels": [[1]]}, "levels"),
        ({"method": "background_color", "tolerance": 0}, "tolerance"),
        ({"method": "otsu", "close": -1}, "close"),
        ({"close": 3}, "method"),
        (7, "name or a mapping"),
    ],
)
def test_faults_are_named(value, message):
    with pytest.raises(RecipeError, match=message):
        parse_foreground(value)


def test_a_file_as_foreground_is_told_from_a_method_that_is_misspelt(tmp_path):
    (tmp_path / "mask.png").write_bytes(b"")
    with pytest.raises(RecipeError, match=r"mask\.png is a file; give the folder of the masks"):
        parse_foreground(str(tmp_path / "mask.png"))


def test_an_outline_is_snapped_to_an_edge_nearby_alike_at_any_size_and_only_where_asked():
    image, expected = shadowed(1)
    large = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    settings = {"method": "background_color", "tolerance": 50, "close": 6, "open": 3, "clean": 0.03}
    found = Foreground.model_validate({**settings, "snap": True}).mask(large)
    assert overlap(found, expected.repeat(3, axis=0).repeat(3, axis=1)) > 0.95
    assert "snap" not in Foreground.model_validate(settings).config()
    empty = np.full((64, 64, 3), 200, np.uint8)
    assert not Foreground.model_validate({**settings, "snap": True}).mask(empty).any()
    with pytest.raises(RecipeError, match="snap"):
        parse_foreground({"method": "none", "snap": True})


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("tones", [(60, 200), (200, 60)])
def test_a_snapped_outline_lies_where_the_edge_is_half_way(tones, channels):
    """Of a disc whose smooth edge is known, to a tenth of a pixel; two sides of a mixed pixel would be half a pixel."""
    radius, (inside, outside) = 70.3, tones
    y, x = np.mgrid[:256, :256] - 127.5
    share = np.clip(radius - np.hypot(y, x) + 0.5, 0, 1)
    image = np.rint(outside + (inside - outside) * share)[..., None].astype(np.uint8).repeat(channels, axis=2)
    settings = {"method": "background_color", "tolerance": 20, "close": 0, "open": 0, "snap": True}
    found = Foreground.model_validate(settings).mask(image)
    assert np.sqrt(found.sum() / np.pi) == pytest.approx(radius, abs=0.1)


def test_flatten_evens_the_light_along_the_border_and_keeps_what_touches_it():
    y, x = np.mgrid[-1:1:160j, -1:1:200j]
    light = 0.8 + 0.15 * x - 0.1 * y - 0.1 * (x * x + y * y) + 0.05 * x * y
    plain = np.full((160, 200, 3), (230.0, 180.0, 120.0))
    assert flattened(np.rint(plain * light[..., None]).astype(np.uint8)).std(axis=(0, 1)).max() < 1
    plain[:, 80:120] *= 0.3  # a bar that touches two sides
    found = flattened(np.rint(plain * light[..., None]).astype(np.uint8))
    for part in (found[:, :75], found[:, 85:115], found[:, 125:]):
        assert part.std(axis=(0, 1)).max() < 3
    assert found[:, 85:115].mean() == pytest.approx(0.3 * found[:, 125:].mean(), rel=0.05)


def test_recipes_say_flatten_only_where_it_is_on():
    assert "flatten" not in Foreground(method="otsu").config()
    assert Foreground(method="otsu", flatten=True).config()["flatten"] is True
    with pytest.raises(RecipeError, match="flatten"):
        parse_foreground({"method": "background", "levels": [[20, 20]], "flatten": True})


@pytest.mark.parametrize("how", ["auto", "alpha"])
def test_cut_outs_say_themselves_what_the_object_is(tmp_path, how):
    """Colours may be anything, also below what is transparent; white parts of the object belong to it."""
    opaque = np.zeros((48, 64), np.uint8)
    opaque[10:40, 20:50] = 255
    for k in range(3):
        picture = np.random.default_rng(k).integers(0, 255, (48, 64, 3)).astype(np.uint8)
        picture[20:25, 25:35] = 255
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.dstack([picture, opaque]))
    plain = Pool(Folder(path=str(tmp_path), size=None).open())
    chosen = Foreground(method=how).resolved(plain)
    pool = plain.with_foreground(chosen)
    assert chosen.method == "alpha" and np.array_equal(pool.foreground(pool[1]), opaque > 0)
    assert np.array_equal(pool.small_foreground(2), opaque > 0)
    known = chosen.mask(np.array(pool[0]))  # from outside: what is transparent is white
    assert not known[opaque == 0].any() and known.mean() > 0.8 * (opaque > 0).mean()
    half = Pool(Folder(path=str(tmp_path), size=32).open(), chosen)
    assert half.foreground(half[0])[8:17, 12:23].all() and half.foreground(half[0]).mean() < 0.35
