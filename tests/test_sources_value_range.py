"""The range of a source's values: measured once, and all that is drawn is drawn in it."""

import json
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomgen.dataset.reader import Dataset
from anomgen.errors import AnomgenError, RecipeError, SourceError, UsageError
from anomgen.making.check import check_dataset
from anomgen.making.engine import Plan, Renderer
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe
from anomgen.making.replay import pool_of, replay
from anomgen.sources.folder import Folder
from anomgen.sources.pool import Pool
from anomgen.sources.value_range import ValueRange, counted_on, measured

NAMES = ("boxes", "cutpaste", "fpi", "nsa", "perlin", "pii", "scar")


def measured_on(images):
    return measured(counted_on((image, None) for image in images))


def pictures(folder, low, high, count=6, outlier=None):
    """Write smooth 16-bit pictures whose values lie in low..high; each has its least and its largest value."""
    folder.mkdir(parents=True)
    for k in range(count):
        values = cv2.GaussianBlur(np.random.default_rng(k).normal(size=(64, 72)), (0, 0), 2)
        values = (values - values.min()) / np.ptp(values)
        image = np.rint(low + values * (high - low)).astype(np.uint16)
        if outlier is not None and k == 0:
            image[0, 0] = outlier
        cv2.imwrite(str(folder / f"{k}.png"), image)
    return folder


def plan(name, folder, *changes):
    return Plan.of(load_recipe(name, source=folder, size="native", count=8, overrides=["anomaly_ratio=1.0", *changes]))


@given(st.integers(0, 65000), st.integers(1, 535), st.sampled_from([np.uint8, np.uint16]))
def test_stretching_is_undone_exactly(low, width, dtype):
    top = np.iinfo(dtype).max
    low = low % (top - 1)
    found = ValueRange(low, min(top, low + width))
    image = np.arange(found.low, found.high + 1).astype(dtype).reshape(1, -1, 1)
    shown = found.stretched(image)
    assert shown.dtype == dtype and (shown.min(), shown.max()) == (0, top)
    assert np.array_equal(found.restored(shown), image)


def test_the_range_leaves_out_a_pixel_in_ten_thousand_at_either_end():
    image = np.linspace(500, 1205, 30_000).astype(np.uint16).reshape(100, 300, 1)
    spoilt = image.copy()
    spoilt[0, :2], spoilt[0, 2:4] = 65535, 0
    for picture in (image, spoilt):
        low, high = measured_on([picture, picture])
        assert 500 <= low <= 501 and 1204 <= high <= 1205


def noisy(low=2000, high=2765, shape=(6, 96, 96, 1)):
    return np.random.default_rng(0).integers(low, high, shape, np.uint16, endpoint=True)


def spoilt(name):
    """Return X-ray pictures with what sensors and programs put into them."""
    images = noisy()
    places = {
        "marker": (slice(None), slice(5, 8), slice(5, 8)),
        "large marker": (slice(None), slice(5, 24), slice(5, 24)),
        "one hot pixel": (slice(None), 3, 3),
        "dead rows": (slice(None), slice(0, 2)),
        "a frame of zeros": (slice(None), slice(0, 4)),
    }
    if name == "hot pixels everywhere":
        hot = np.random.default_rng(1).random(images.shape) < 1e-3
        images[hot] = np.random.default_rng(2).integers(0, 65535, images.shape, np.uint16)[hot]
    else:
        images[places[name]] = 0 if name in ("dead rows", "a frame of zeros") else 65535
    return images


@pytest.mark.parametrize("name", ["marker", "large marker", "one hot pixel", "dead rows", "a frame of zeros"])
def test_markers_and_hot_pixels_are_not_in_the_range(name):
    low, high = measured_on(list(spoilt(name)))
    assert 2000 <= low < 2005 and 2760 < high <= 2765


def test_many_hot_pixels_of_any_value_widen_the_range_little():
    low, high = measured_on(list(spoilt("hot pixels everywhere")))
    assert 2000 - 765 <= low <= 2001 and 2764 <= high <= 2765 + 765


def product(low=2000, high=2765, count=4, shape=(60, 80)):
    """Return a round product of a 12-bit camera's values, and where it is."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside = (rows - shape[0] / 2) ** 2 + (columns - shape[1] / 2) ** 2 < (0.4 * min(shape)) ** 2
    return [noisy(low + k, high, (*shape, 1)) for k in range(count)], inside


def opened(folder, size):
    """Return the range that a folder's images take, low and high, and the note on it."""
    source = Folder(path=str(folder), size=size).open()
    (note,) = (note for note in source.notes if note.startswith("16 bits"))
    return *source.value_range, note


def keyed(image, key):
    """Return the PNG of a grey picture of 16 bits, of which one value is transparent."""
    data, chunk = cv2.imencode(".png", image)[1].tobytes(), b"tRNS" + struct.pack(">H", key)
    return data[:33] + struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


@pytest.mark.parametrize("size", [None, 48, 120], ids=["native", "shrunk", "enlarged"])
@pytest.mark.parametrize("how", ["alpha", "faint alpha", "a transparent value"])
def test_transparent_pixels_are_not_in_the_range(tmp_path, how, size):
    """The white beneath them is no value of the camera, nor are its mixtures with the product's at the rim."""
    folder = tmp_path / "s"
    folder.mkdir()
    images, inside = product()
    for k, image in enumerate(images):
        if how == "a transparent value":
            (folder / f"{k}.png").write_bytes(keyed(np.where(inside[..., None], image, 77).astype(np.uint16), 77))
        else:
            alpha = inside * (65535 if how == "alpha" else noisy(65300, 65535, inside.shape))
            cv2.imwrite(str(folder / f"{k}.png"), np.dstack([image] * 3 + [alpha.astype(np.uint16)]))
    low, high, note = opened(folder, size)
    assert 2000 <= low < 2765 and high <= 2765 + (0 if how != "faint alpha" else 235), (low, high)
    share = 1 - inside.mean()
    told = float(note.partition("; ")[2].partition("%")[0]) / 100
    assert "lie far outside, such as" in note and "65535, and are left as they are" in note
    assert abs(told - share) < (0.01 if size is None else 0.1)
    for row in Renderer(plan("perlin", folder, "foreground=none")).rows(range(4)):
        assert row.image[row.mask].max() <= 3000 and not row.mask[~inside].any()
        assert (row.image[~inside] == 65535).all()


def test_score_does_not_count_what_is_transparent_either(tmp_path):
    from anomgen.score.data import load

    images, inside = product(count=8)
    for k, image in enumerate(images):
        place = tmp_path / "d" / ("bad" if k > 5 else "good") / f"{k}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), np.dstack([image] * 3 + [inside * np.uint16(65535)]))
    data = load(str(tmp_path / "d"), 48)
    assert data.value_range.high <= 2765
    assert any("lie far outside" in note and "65535, and are left as they are" in note for note in data.notes)


@pytest.mark.parametrize("size", [None, 48, 120], ids=["native", "shrunk", "enlarged"])
@pytest.mark.parametrize("filled", ["a strip", "all but the product", "a strip beside zeros"])
def test_an_area_at_the_depths_largest_value_is_not_in_the_range(tmp_path, filled, size):
    """However large: no value leads up to it."""
    folder = tmp_path / "s"
    folder.mkdir()
    images, inside = product()
    where = ~inside if filled == "all but the product" else np.indices(inside.shape)[0] < 15
    for k, image in enumerate(images):
        image[where] = 65535
        if filled.endswith("zeros"):
            image[-2:] = 0
        cv2.imwrite(str(folder / f"{k}.png"), image)
    low, high, note = opened(folder, size)
    assert (size is not None or low >= 2000) and high <= 2765
    assert "% of the pixels lie far outside, such as" in note and "65535" in note.partition(";")[2]
    for row in Renderer(plan("perlin", folder, "foreground=none")).rows(range(4)):
        assert (row.image[where] == 65535).all() and not row.mask[where].any()


@pytest.mark.parametrize("fill", [65535, 4095])
def test_what_is_overexposed_is_in_the_range(fill):
    """Values lead up to it, or it is near to them, or it is not the depth's largest."""
    rows = np.linspace(0, 1.4, 200)[:, None, None]
    image = np.minimum(np.repeat(rows * fill, 100, axis=1), fill).astype(np.uint16)
    assert (image == fill).mean() > 0.2
    assert (measured_on([image]) or (0, 65535))[1] == fill
    half = np.where(image == fill, fill, image * 0.6).astype(np.uint16)
    assert (measured_on([half]) or (0, 65535))[1] == fill


@pytest.mark.parametrize("scale", [900, 5000])
def test_a_long_tail_of_bright_pixels_is_in_the_range(scale):
    """Highlights are no strays: values are found all the way up to them."""
    values = np.random.default_rng(0).exponential(scale, (4, 128, 128, 1))
    image = np.minimum(values, 65535).astype(np.uint16)
    low, high = measured_on(list(image)) or (0, 65535)
    assert low == 0 and high >= np.quantile(image, 1 - 2e-4)


def test_what_is_far_outside_the_range_stays_as_it_is_and_is_told(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    for k, image in enumerate(spoilt("large marker")):
        cv2.imwrite(str(folder / f"{k}.png"), image)
    plan_ = plan("perlin", folder, "foreground=none")
    assert any("values from 2000 to 2765" in note and "3.92% of the pixels" in note for note in plan_.notes)
    rows = list(Renderer(plan_).rows(range(8)))
    for row in rows:
        marker = row.normal[..., 0] == 65535
        assert np.array_equal(row.image[marker], row.normal[marker]) and not row.mask[marker].any()
        assert 2000 <= row.image[row.mask].min() and row.image[row.mask].max() <= 2765
    plain = plan("perlin", pictures(tmp_path / "plain", 0, 65535))
    assert any("values from 0 to 65535" in note for note in plain.notes)


def test_rows_that_fail_at_16_bits_name_the_range(tmp_path):
    with pytest.raises(AnomgenError, match=r"Values from 500 to 1205 .* give source\.range"):
        list(Renderer(plan("perlin", pictures(tmp_path / "s", 500, 1205), "min_change=255")).rows(range(1)))
    far = pictures(tmp_path / "far", 50000, 60000, 1)
    with pytest.raises(AnomgenError, match=r"no anomaly: on values far outside source\.range \(50×\)"):
        list(Renderer(plan("boxes", far, "source.range=[1000, 4000]")).rows(range(1)))


def test_what_fills_its_depth_or_is_flat_or_has_8_bits_is_left_alone():
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    for image in (deep, deep[10:-10], np.full((32, 32, 1), 900, np.uint16), (deep >> 10).astype(np.uint8)):
        assert measured_on([image]) is None


@pytest.mark.parametrize(("low", "high"), [(0, 4095), (500, 1205)])
@pytest.mark.parametrize("name", NAMES)
def test_every_generator_draws_visibly_within_the_range(tmp_path, name, low, high):
    """A 12-bit camera and an X-ray detector: nothing beyond their values, and nothing too faint for them."""
    plan_ = plan(name, pictures(tmp_path / "s", low, high))
    renderer = Renderer(plan_)
    for row in renderer.rows(range(8)):
        changed = row.image[row.mask].astype(int)
        assert low <= changed.min() and changed.max() <= high
        assert np.array_equal(row.image[~row.mask], row.normal[~row.mask])
        assert (row.image != row.normal).any(axis=2)[row.mask].mean() > 0.5 and row.severity > 1 / 255


@pytest.mark.parametrize("name", NAMES)
def test_a_narrow_range_is_drawn_on_as_a_full_one(tmp_path, name):
    """The same pictures, once over the whole depth, once over a twelfth of it: the same places, the same severity."""
    wide = Renderer(plan(name, pictures(tmp_path / "wide", 0, 65535), "source.range=[0, 65535]"))
    narrow = Renderer(plan(name, pictures(tmp_path / "narrow", 1000, 6461), "source.range=[1000, 6461]"))
    for a, b in zip(wide.rows(range(8)), narrow.rows(range(8)), strict=True):
        assert (a.mask != b.mask).mean() < 0.01
        assert a.severity == pytest.approx(b.severity, rel=0.02)


def test_a_dataset_keeps_its_range_and_stands_its_own_check(tmp_path):
    source = pictures(tmp_path / "s", 500, 1205, outlier=65535)
    recipe = load_recipe("nsa", source=source, size="native", count=12)
    result = make(recipe, tmp_path / "d")
    low, high = json.loads((tmp_path / "d/provenance.json").read_text())["source"]["range"]
    assert 500 <= low < 520 and 1190 < high <= 1205
    dataset = Dataset(tmp_path / "d")
    assert check_dataset(dataset, pool_of(dataset)[0]).ok and check_dataset(dataset).ok
    assert replay(dataset, 1).identical
    images = [row["image"] for row in dataset.rows()]
    assert sum(image[0, 0, 0] == 65535 for image in images) == 2, "what is not drawn on stays as stored"
    assert result.provenance["source"]["range"] == [low, high]
    made = json.loads((tmp_path / "d/provenance.json").read_text())
    (tmp_path / "d/provenance.json").write_text(json.dumps({**made, "source": {**made["source"], "range": None}}))
    assert not check_dataset(Dataset(tmp_path / "d")).ok, "measured in the whole depth, the severities are others"


def test_a_flat_source_of_16_bits_has_no_range_and_asks_for_one(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    for k in range(3):
        cv2.imwrite(str(folder / f"{k}.png"), np.full((64, 64), 1234, np.uint16))
    with pytest.raises(SourceError, match=r"are 1234, so no range can .* --set source\.range="):
        Folder(path=str(folder)).open()
    assert Folder(path=str(folder), range=[0, 4095]).open().value_range == (0, 4095)


@pytest.mark.parametrize("reader", ["load", "load_training"])
@pytest.mark.parametrize("bits", [8, 16])
def test_flat_normal_images_of_16_bits_are_not_scored_either(tmp_path, bits, reader):
    """No key gives `score` a range, and in the whole depth nothing would be seen."""
    from anomgen.score import data

    dtype = np.uint8 if bits == 8 else np.uint16
    image = np.full((128, 128), 123, dtype)
    for folder in ("good", "bad"):
        (tmp_path / "d" / folder).mkdir(parents=True)
    for k in range(6):
        image[0, 0] = 124 + k
        cv2.imwrite(str(tmp_path / f"d/good/{k}.png"), image)
    image[20:40, 20:40] = 200
    cv2.imwrite(str(tmp_path / "d/bad/0.png"), image)
    if bits == 8:
        assert getattr(data, reader)(str(tmp_path / "d"), 128).value_range is None
        return
    with pytest.raises(SourceError, match=r"d: \(nearly\) all pixels of the 16-bit images are 123, .* save all"):
        getattr(data, reader)(str(tmp_path / "d"), 128)


def test_a_range_can_be_given(tmp_path):
    folder = pictures(tmp_path / "s", 500, 1205)
    assert Pool(Folder(path=str(folder), size=None, range=[0, 4095]).open())[0].max() < 65535 / 3
    assert Pool(Folder(path=str(folder), size=None, range=[0, 65535]).open()).value_range is None
    auto, given = Folder(path=str(folder)).open(), Folder(path=str(folder), range=[0, 4095]).open()
    assert auto.fingerprint() != given.fingerprint()
    cv2.imwrite(str(tmp_path / "s8.png"), np.zeros((32, 32), np.uint8))
    for file in folder.iterdir():
        cv2.imwrite(str(file), np.zeros((32, 32), np.uint8))
    with pytest.raises(UsageError, match=r"source\.range: \[0, 4095\] ends above 255, and the images are uint8"):
        Folder(path=str(folder), range=[0, 4095]).open()
    for wrong in ([5, 5], [0, 70000], [1.5, 3], "all", [1]):
        with pytest.raises(RecipeError, match=r"source\.range: .*\[low, high\] with 0 ≤ low < high ≤ 65535"):
            load_recipe("nsa", source={"kind": "folder", "path": str(folder), "range": wrong})


def test_detectors_and_models_see_the_range_stretched(tmp_path):
    from anomgen.models.images import Images
    from anomgen.score.data import load

    pictures(tmp_path / "d/train/good", 500, 1205, count=8)
    pictures(tmp_path / "d/test/bad", 400, 1300, count=2)
    data = load(str(tmp_path / "d"), 48)
    assert data.train[0].dtype == np.uint16 and np.ptp(np.stack(list(data.train))) > 0.9 * 65535
    assert data.test.images.max() == 65535 and data.test.images.min() == 0
    seen = Images(Folder(path=str(tmp_path / "d/train/good"), size=48).open())
    assert seen.scaled(0).min() < -0.7 and seen.scaled(0).max() > 0.7
    other = Images(Folder(path=str(tmp_path / "d/test/bad"), size=48).open(), like=seen)
    assert other.pool.value_range == seen.pool.value_range


FLOATS = {"deep": None, "of the depth": (0, 65535), "of 12 bits": (0, 4095), "of the range": (500, 1205)}


@pytest.mark.parametrize("kind", FLOATS)
def test_images_from_outside_are_drawn_on_in_the_range(tmp_path, kind):
    """Whatever 1.0 stands for, the same is drawn as on the stored values."""
    from anomgen.adapters.base import Drawer

    folder = pictures(tmp_path / "s", 500, 1205)
    ends = FLOATS[kind]
    options = {"source": str(folder), "overrides": ["anomaly_ratio=1.0", "source.range=[500, 1205]"], "size": "native"}
    drawer = Drawer("perlin", float_range=ends, **options)
    deep = Folder(path=str(folder), size=None).open()[0].copy()
    deep[20:26, 20:26] = 65535  # a marker
    low, high = ends or (0, 1)
    image = deep if ends is None else ((deep.astype(np.float64) - low) / (high - low)).astype(np.float32)
    for number in range(4):
        (sample,) = drawer.draw([image], [number])
        (known,) = Drawer("perlin", **options).draw([deep], [number])
        assert sample.image.dtype == image.dtype and np.array_equal(sample.mask, known.mask)
        assert not sample.mask[20:26, 20:26].any() and sample.mask.any()
        assert np.array_equal(sample.image[~sample.mask], image[~sample.mask])
        values = np.rint(sample.image.astype(np.float64) * (high - low) + low)
        assert np.array_equal(values, known.image)
        assert 500 <= values[sample.mask].min() and values[sample.mask].max() <= 1205


def test_floats_that_may_mean_two_things_are_asked_about(tmp_path):
    from anomgen.adapters.base import Drawer

    drawer = Drawer("perlin", source=str(pictures(tmp_path / "s", 500, 1205)), size="native")
    image = np.full((64, 72, 1), 0.01, np.float32)
    with pytest.raises(UsageError, match=r"float_range=\(0, 65535\) .* float_range=\(500, 1205\)"):
        drawer.draw([image], [0])
    with pytest.raises(UsageError, match=r"float_range is \(low, high\)"):
        Drawer("perlin", source=str(tmp_path / "s"), float_range=(0, 70000))
    full = Drawer("perlin", source=str(pictures(tmp_path / "full", 0, 65535)), size="native")
    assert len(full.draw([image], [0])) == 1, "of the whole depth 1.0 is white"


@pytest.mark.parametrize("name", ["perlin", "boxes", "stain"])
def test_sixteen_bits_beside_a_source_of_eight_stay_in_the_range_that_is_given(name):
    """How far a camera fills its depth is not to be seen from one image."""
    from anomgen.adapters.base import Drawer

    image = np.random.default_rng(0).integers(400, 2890, (64, 72, 1)).astype(np.uint16)
    options = {"size": 64, "overrides": ["anomaly_ratio=1.0"]}
    with pytest.raises(UsageError, match=r"not known how much of the 16 they fill: give value_range=\(0, 4095\)"):
        Drawer(name, **options).draw([image], [0])
    (sample,) = Drawer(name, value_range=(0, 4095), **options).draw([image], [0])
    assert sample.mask.any() and np.array_equal(sample.image[~sample.mask], image[~sample.mask])
    assert sample.image.max() <= 4095
    with pytest.raises(UsageError, match=r"value_range is \(low, high\)"):
        Drawer(name, value_range=(0.5, 9), **options)
