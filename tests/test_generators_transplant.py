"""Transplants: real defects on other images, whole, without a rim, at their place where that is wanted."""

import pickle
import shutil

import cv2
import numpy as np
import pytest
from small import digests
from test_golden import rounded

from anomgen.banks.make import bank
from anomgen.dataset.reader import Dataset
from anomgen.errors import AnomgenNote, UsageError
from anomgen.exporters.base import build_exporter
from anomgen.exporters.conformance import check_exporter
from anomgen.generators.base import build_generator
from anomgen.generators.conformance import TestPool, check_generator
from anomgen.making.check import check
from anomgen.making.make import make
from anomgen.making.replay import replay
from anomgen.registry import names
from anomgen.rng import Stream, rng_for
from anomgen.sources.folder import Folder
from anomgen.sources.pool import Pool
from anomgen.synthesis.sample import Reject

SIDE = 96
QUIET = pytest.mark.filterwarnings("ignore::anomgen.errors.AnomgenNote")


def surface(seed, channels=3):
    """Return a grey-brown surface with grain, uint8 (SIDE, SIDE, channels)."""
    grain = cv2.GaussianBlur(np.random.default_rng([7, seed]).normal(0, 20, (SIDE, SIDE)), (0, 0), 1.0)
    levels = np.stack([150 + grain, 130 + grain, 110 + grain][:channels], axis=-1)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def blemished(seed, channels=3, level=40.0):
    """Return a surface with a soft dark disc (even seeds) or line (odd), and the mask that encloses its ramp."""
    inside = np.zeros((SIDE, SIDE), np.float32)
    if seed % 2:
        cv2.line(inside, (30, 60), (62, 40), 1.0, 3)
    else:
        cv2.circle(inside, (40 + seed, 48), 9, 1.0, -1)
    soft = cv2.GaussianBlur(inside, (0, 0), 1.2)[..., None]
    picture = surface(seed, channels) * (1 - soft) + level * soft
    return np.rint(picture).astype(np.uint8), (soft[..., 0] > 0.03).astype(np.uint8) * 255


def put(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 and picture.shape[2] == 3 else picture)


def banked(folder, count=4, channels=3):
    """Make a bank of discs and lines in ``folder/bank``, and normal surfaces in ``folder/good``."""
    for k in range(count):
        picture, mask = blemished(k, channels)
        kind = "line" if k % 2 else "disc"
        put(folder / "defects" / kind / f"{k}.png", picture)
        put(folder / "masks" / kind / f"{k}.png", mask)
    for k in range(8):
        put(folder / "good" / f"{k}.png", surface(100 + k, channels))
    return bank(folder / "defects", folder / "bank", masks=folder / "masks", license="cc-by-4.0").path


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("discs")
    banked(folder)
    return folder


def transplant(folder, **values):
    return build_generator({"kind": "transplant", "bank": str(folder / "bank"), "with_defects": 0.0, **values})


def good(place, size=SIDE):
    return Pool(Folder(path=str(place / "good"), size=size).open())


def samples(generator, pool, count=24):
    ready, found = generator.prepared(pool), []
    for k in range(count):
        try:
            found.append((k, ready.sample(rng_for(3, Stream.SAMPLE, k), pool[k % len(pool)], pool)))
        except Reject:
            continue
    return found


@QUIET
@pytest.mark.parametrize("values", [{}, {"with_defects": "auto"}, {"number": 1, "flip": False, "turn": 0.0}])
def test_it_keeps_the_contract_in_any_depth_and_channels(discs, values):
    check_generator(transplant(discs, **values))


def test_what_it_draws_from_a_seed_does_not_change_by_accident(discs, golden):
    drawn = [{"type": one.defect_type, **rounded(one.params)} for _, one in samples(transplant(discs), good(discs), 8)]
    golden("transplant", drawn)


def test_a_defect_at_its_own_place_and_strength_is_the_real_one(tmp_path):
    """On pictures that lie alike, each the same scene with a little noise."""
    y, x = np.mgrid[:SIDE, :SIDE]
    scene = 120 + 60 * np.sin(x / 9.0) * np.cos(y / 13.0) + 40 * (np.hypot(x - 48, y - 48) < 30)

    def shot(seed):
        noisy = scene[..., None] + np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE, 1))
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

    for k in range(6):
        put(tmp_path / "good" / f"{k}.png", shot(k))
    real, mask = shot(50).astype(np.float32), np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(mask, (50, 40), 8, 255, -1)
    shape = cv2.GaussianBlur((mask > 0).astype(np.float32), (0, 0), 1.5)[..., None]
    real = np.rint(real * (1 - 0.6 * shape)).astype(np.uint8)
    put(tmp_path / "defects" / "0.png", real)
    put(tmp_path / "masks" / "0.png", cv2.dilate(mask, np.ones((5, 5), np.uint8)))
    bank(tmp_path / "defects", tmp_path / "bank", masks=tmp_path / "masks")
    pool = good(tmp_path)
    kept = {"gain_range": [1.0, 1.0], "number": 1}
    for _, sample in samples(transplant(tmp_path, place="same", **kept), pool, 6):
        off = np.abs(sample.image.astype(np.float32) - real)[mask > 0]
        assert off.mean() < 4 and np.quantile(off, 0.95) < 12
        assert sample.mask[mask > 0].mean() > 0.95
    near = transplant(tmp_path, place="auto", **kept).prepared(pool)
    assert near.place == "near"
    centres = np.array([sample.params["pieces"][0]["centre"] for _, sample in samples(near, pool)])
    assert np.abs(centres - (40, 50)).max() <= 0.1 * SIDE + 1.5 and len(np.unique(centres, axis=0)) > 5


def test_no_rim_shows_and_the_grain_goes_on(discs):
    pool = good(discs)
    rims, insides = [], []
    for k, sample in samples(transplant(discs, number=1, gain_range=[1.0, 1.0]), pool, 40):
        change = np.abs(sample.image.astype(np.float32) - pool[k % len(pool)]).mean(axis=2)
        core = cv2.erode(sample.mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).view(bool)
        rims.append(change[sample.mask & ~core].mean())
        insides.append(np.quantile(change[sample.mask], 0.9))
    assert np.mean(rims) < 0.2 * np.mean(insides)
    grain = [float(np.abs(cv2.Laplacian(image.astype(np.float32), -1)).mean()) for image in pool]
    after = [
        float(np.abs(cv2.Laplacian(one.image.astype(np.float32), -1)).mean())
        for _, one in samples(transplant(discs), pool, 16)
    ]
    assert np.mean(after) == pytest.approx(np.mean(grain), rel=0.05)


def test_a_dark_defect_keeps_its_colour_on_another_ground(discs):
    """What is nearly black hides what it is put on: it does not become darker, nor tinted, on a bright ground."""
    bright = [np.clip(surface(k) + np.array([60, 80, 100]), 0, 255).astype(np.uint8) for k in range(4)]
    for k, sample in samples(transplant(discs, number=1, gain_range=[1.0, 1.0]), bright):
        change = bright[k % 4].astype(np.float32).mean(axis=2) - sample.image.mean(axis=2)
        darkest = sample.image[np.unravel_index(int(change.argmax()), change.shape)].astype(int)
        assert 10 <= darkest.mean() <= 110 and np.ptp(darkest) < 60


def test_all_pieces_are_of_one_type_which_is_the_defect_type(discs):
    found = samples(transplant(discs, number=3), good(discs))
    assert {sample.defect_type for _, sample in found} == {"disc", "line"}
    for _, sample in found:
        assert all(piece["item"].startswith(sample.defect_type) for piece in sample.params["pieces"])


def test_pieces_lie_on_the_object(discs):
    pool = TestPool((SIDE, SIDE, 3), with_foreground=True)
    found = samples(transplant(discs), pool)
    assert len(found) >= 12
    assert all(pool.foreground(None)[sample.mask].all() for _, sample in found)


@QUIET
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_banks_and_images_of_other_depth_and_channels_are_converted_and_that_is_told(tmp_path, channels, dtype):
    banked(tmp_path, channels=4 - channels)
    pool = TestPool((64, 64, channels), dtype)
    had, gets = ("grey", "colour") if channels == 3 else ("colour", "grey")
    with pytest.warns(AnomgenNote, match=f"the bank are in {had}, the images in {gets}"):
        transplant(tmp_path).prepared(pool)
    for k, sample in samples(transplant(tmp_path, gain_range=[1.0, 1.0]), pool, 8):
        change = (sample.image.astype(float) - pool[k % 5])[sample.mask].mean() * 255 / np.iinfo(dtype).max
        assert -150 < change < -10


def test_a_mixture_with_drawn_defects_by_the_number_of_real_ones(discs, tmp_path):
    banked(tmp_path, count=8)
    for folder, share in ((discs, 0.5), (tmp_path, 0.25)):
        ready = transplant(folder, with_defects="auto").prepared(good(folder))
        assert ready.with_defects == share and {"disc", "line", "scratch", "stain"} <= set(ready.defect_types)
    kinds = [sample.defect_type for _, sample in samples(transplant(discs, with_defects=0.5), good(discs), 60)]
    assert 0.3 < np.mean([kind in ("disc", "line") for kind in kinds]) < 0.7
    assert transplant(discs).defect_types == ("disc", "line")


def test_the_licence_and_the_files_of_the_bank_are_the_generators(discs):
    generator = transplant(discs)
    assert generator.licenses() == ("cc-by-4.0",) and len(generator.trained_on()) == 4
    assert list(generator.resources()) == ["bank"] and generator.canonical().get("bank") is None


def test_what_cannot_be_used_is_refused(discs, tmp_path):
    with pytest.raises(UsageError, match=r"generator.bank is missing: .*anomgen bank"):
        build_generator({"kind": "transplant"}).prepared(good(discs))
    with pytest.raises(UsageError, match=r"generator.bank: .*there is no such bank"):
        build_generator({"kind": "transplant", "bank": str(tmp_path / "none")}).prepared(good(discs))
    for place in ("near", "same"):
        with pytest.raises(UsageError, match=r"generator.place: .* lie alike .* differ by \d+% .* anywhere"):
            transplant(discs, place=place).prepared(good(discs))
    with pytest.raises(UsageError, match="there is only one"):
        transplant(discs, place="near").prepared([surface(0)])
    put(tmp_path / "good" / "again.png", blemished(0)[0])
    put(tmp_path / "good" / "normal.png", surface(0))
    with pytest.raises(UsageError, match=r"disc/0.png is also among the normal images, as again.png"):
        transplant(discs).prepared(good(tmp_path))
    bare = bank(discs / "defects", tmp_path / "bare", normal=discs / "good").path
    with pytest.raises(UsageError, match=rf"4 of the masks in .* are proposals.*anomgen bank {bare} --yes"):
        build_generator({"kind": "transplant", "bank": str(bare)}).prepared(good(discs))


def test_one_normal_image_will_do(discs):
    found = samples(transplant(discs), [surface(0)], 6)
    assert len(found) >= 4


def test_a_dataset_of_it_is_made_checked_and_replayed(discs, tmp_path):
    options = {
        "source": str(discs / "good"),
        "count": 24,
        "size": 64,
        "overrides": [f"generator.bank={discs / 'bank'}", "shard_size=8", "block_size=4"],
    }
    for name, workers in (("one", 1), ("two", 2)):
        make("transplant", tmp_path / name, workers=workers, **options)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert check(tmp_path / "one").ok
    assert replay(tmp_path / "one", 5, overrides=[f"generator.bank={discs / 'bank'}"]).identical
    assert str(discs) not in (tmp_path / "one" / "provenance.json").read_text()


def test_a_dataset_of_it_is_gone_on_with_and_exported_to_every_format(discs, tmp_path):
    options = {"source": str(discs / "good"), "count": 24, "size": 64, "workers": 1}
    options["overrides"] = [f"generator.bank={discs / 'bank'}", "shard_size=8", "block_size=4"]
    make("transplant", tmp_path / "out", **options)
    whole = digests(tmp_path / "out")
    (tmp_path / "out" / "data" / "train-00001-of-00003.parquet").unlink()
    assert make("transplant", tmp_path / "out", resume=True, **options).made == 8
    assert digests(tmp_path / "out") == whole
    rows = [row for row in Dataset(tmp_path / "out").records() if row.is_anomalous]
    assert {"disc", "line"} & {row.defect_type for row in rows}
    for name in names("exporters"):
        check_exporter(build_exporter(name), tmp_path / "out")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.filterwarnings("ignore::anomgen.errors.AnomgenNote")
def test_it_draws_online_on_images_from_outside(discs, channels):
    pytest.importorskip("torch", reason="the adapters are for torch")
    from anomgen.adapters.base import Drawer

    words = [f"generator.bank={discs / 'bank'}", "anomaly_ratio=1.0"]
    drawer = Drawer("transplant", source=str(discs / "good"), overrides=words)
    images = [surface(200 + k, channels)[:80, :72] for k in range(4)]
    for k, (image, sample) in enumerate(zip(images, drawer.draw(images, range(4)), strict=True)):
        assert np.array_equal(sample.image[~sample.mask], image[~sample.mask]) and sample.mask.any()
        (alone,) = drawer.draw([image], [k])
        assert np.array_equal(alone.image, sample.image) and np.array_equal(alone.mask, sample.mask)


def test_once_prepared_it_draws_without_its_bank(discs, tmp_path):
    """As on the other machines of a cluster."""
    shutil.copytree(discs / "bank", tmp_path / "bank")
    pool = good(discs)
    ready = pickle.loads(pickle.dumps(transplant(tmp_path, with_defects="auto").prepared(pool)))
    shutil.rmtree(tmp_path / "bank")
    assert set(ready.defect_types) > {"disc", "line"} and ready.min_on_foreground == 0.0
    assert ready.sample(rng_for(3, Stream.SAMPLE, 0), pool[0], pool).mask.any()
