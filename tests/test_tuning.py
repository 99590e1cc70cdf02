"""Tuning: real defects are compared with the kinds, and the recipe follows them as far as they are many."""

import math
import shutil

import cv2
import numpy as np
import pytest
from surfaces import Surfaces, write_cracked

import anomgen
from anomgen.errors import UsageError
from anomgen.generators.defects.generator import Defects
from anomgen.rng import Stream, rng_for
from anomgen.synthesis.sample import Reject
from anomgen.tuning.likeness import FEATURES, PRIOR, described, likeness, towards_usual
from anomgen.tuning.measure import severity_range

USUAL = Defects()


def features_of(image, mask):
    rows = described(image, mask)
    return [dict(zip(FEATURES, row, strict=True)) for row in rows]


def test_a_bar_is_described_by_its_sides_its_tone_and_its_number():
    image = np.full((256, 256, 1), 120, np.uint8)
    image[:] = np.clip(120 + np.random.default_rng(0).normal(0, 6, image.shape), 0, 255)
    mask = np.zeros((256, 256), bool)
    mask[100:108, 40:104] = True
    image[mask] -= 60
    (found,) = features_of(image, mask)
    assert math.exp(found["thickness"]) * 256 == pytest.approx(8, abs=1.5)
    assert math.exp(found["extent"]) * 256 == pytest.approx(64, abs=1.5)
    assert found["filling"] == pytest.approx(0, abs=0.1)
    assert found["contrast"] < -2 and found["pieces"] == 0
    assert abs(found["grain"]) < 0.4 and abs(found["green_red"]) < 0.1
    mask[200:210, 200:210] = True
    assert [row["pieces"] for row in features_of(image, mask)] == [pytest.approx(0.5 * math.log(2))] * 2


def test_a_piece_is_described_alike_at_twice_the_size_and_in_16_bit():
    rng = np.random.default_rng(1)
    image = np.clip(rng.normal(150, 8, (256, 256, 3)), 0, 255).astype(np.uint8)
    mask = np.zeros((256, 256), bool)
    cv2.ellipse(view := mask.view(np.uint8), (128, 128), (30, 12), 20, 0, 360, 1, -1)
    assert view.any()
    image[mask] = (150, 60, 40)
    large = cv2.resize(image, (512, 512), interpolation=cv2.INTER_NEAREST)
    wide = cv2.resize(mask.view(np.uint8), (512, 512), interpolation=cv2.INTER_NEAREST).astype(bool)
    own, twice = described(image, mask), described(large, wide)
    assert np.abs(own - twice).max() < 0.05
    assert np.abs(own - described(image.astype(np.uint16) * 257, mask)).max() < 1e-3


def test_kinds_are_told_apart_by_what_they_draw():
    pool, pieces = Surfaces(channels=1), {}
    for number, kind in enumerate(["scratch", "stain", "spot", "dent"]):
        generator = Defects(kinds=[kind], severity=2.0).prepared(pool)
        found = []
        for k in range(40):
            try:
                sample = generator.sample(rng_for(3, Stream.SAMPLE, number, k), pool[k % len(pool)], pool)
            except Reject:
                continue
            found.append(described(sample.image, sample.mask))
        pieces[kind] = found
    drawn = {kind: np.concatenate(found[:20]) for kind, found in pieces.items()}
    for kind, found in pieces.items():
        shares = likeness(found[20:], drawn)
        assert sum(shares.values()) == pytest.approx(1)
        assert max(shares, key=lambda name: shares[name]) == kind and shares[kind] > 0.5


def test_weights_move_from_the_usual_ones_to_what_was_found_as_defects_grow():
    usual, found = {"crack": 3.0, "stain": 1.0}, {"crack": 0.0, "stain": 1.0}
    assert towards_usual(usual, found, 0) == {"crack": 0.75, "stain": 0.25}
    few = towards_usual(usual, found, 4)
    assert few["stain"] == pytest.approx((4 * 1 + PRIOR * 0.25) / (4 + PRIOR)) and sum(few.values()) == pytest.approx(1)


def test_severity_is_that_of_the_defects_shrunk_towards_the_usual_range():
    usual = (1.0, 4.0)
    low, high = severity_range([2.0] * 1000, usual)
    assert math.sqrt(low * high) == pytest.approx(2.0, rel=0.01) and high / low < 4
    low, high = severity_range([8.0], usual)
    assert math.log(low * high) / 2 == pytest.approx((math.log(8) + PRIOR * math.log(2)) / (1 + PRIOR), rel=0.01)


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """Grey surfaces; four of them cracked, with masks."""
    return write_cracked(tmp_path_factory.mktemp("product"), Surfaces(10, channels=1, side=96), 6)


def test_tune_writes_a_recipe_that_follows_the_defects_and_says_why(product, tmp_path):
    tuned = anomgen.tune(product / "good", defects=product / "bad", masks=product / "masks", out=tmp_path / "mine.yaml")
    recipe = anomgen.load_recipe(str(tuned.path))
    assert recipe == tuned.recipe and recipe.name == "mine"
    transplants, drawn = (part.generator for part in recipe.generator.parts)
    assert [part.weight for part in recipe.generator.parts] == [1, 1]
    assert transplants.kind == "transplant" and transplants.bank == str(tmp_path / "mine-bank") == str(tuned.bank)
    assert max(tuned.measured.likeness, key=lambda kind: tuned.measured.likeness[kind]) == "crack"
    assert drawn.kinds["crack"] / sum(drawn.kinds.values()) > 2 * USUAL.kinds["crack"] / sum(USUAL.kinds.values())
    assert drawn.dark > 0.8
    page, text = tuned.report.read_text(), tuned.path.read_text()
    assert (
        "Distance to the usual recipe: " in page
        and "4 real defects" in page
        and page.count("data:image/png") == 4 + 8 + 8
    )
    assert all(f"{k}.png" in text.split("anomgen: 1")[0] for k in range(6, 10))
    assert {recipe.sample(k).defect_type for k in range(12)} >= {"normal", *transplants.defect_types}


@pytest.mark.slow
def test_tuning_from_a_bank_uses_it_and_gives_the_same_twice(product, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    anomgen.bank(product / "bad", "bank", masks=product / "masks")
    first, again = (anomgen.tune(product / "good", defects="bank", out=f"{name}/mine.yaml") for name in "ab")
    assert first.bank == again.bank == "bank" and not (tmp_path / "a" / "mine-bank").exists()
    assert first.path.read_bytes() == again.path.read_bytes() and first.report.read_bytes() == again.report.read_bytes()


def test_without_real_defects_the_recipe_is_the_usual_one_and_the_report_says_so(product, tmp_path):
    tuned = anomgen.tune(product / "good", out=tmp_path / "mine.yaml")
    assert tuned.measured is None and tuned.recipe.generator == USUAL
    assert "Without real defects" in tuned.report.read_text()


def test_tune_overwrites_nothing_and_wants_a_yaml_file_and_approved_masks(product, tmp_path):
    (tmp_path / "there.html").write_text("mine")
    with pytest.raises(UsageError, match=r"there\.html is there already"):
        anomgen.tune(product / "good", out=tmp_path / "there.yaml")
    (tmp_path / "banked-bank").mkdir()
    with pytest.raises(UsageError, match="banked-bank is there already"):
        anomgen.tune(product / "good", defects=product / "bad", masks=product / "masks", out=tmp_path / "banked.yaml")
    with pytest.raises(UsageError, match=r"ends in \.yaml"):
        anomgen.tune(product / "good", out=tmp_path / "recipe.json")
    anomgen.bank(product / "bad", tmp_path / "bank", normal=product / "good")
    with pytest.raises(UsageError, match="nobody has approved the masks"):
        anomgen.tune(product / "good", defects=tmp_path / "bank", out=tmp_path / "mine.yaml")
    good = product / "good"
    for k in (6, 7):
        shutil.copy(product / "bad" / f"{k}.png", good / f"also-{k}.png")
    try:
        with pytest.raises(UsageError, match=r"--defects .*6\.png is also among the normal images, as also-6\.png"):
            anomgen.tune(good, defects=product / "bad", masks=product / "masks", out=tmp_path / "mine.yaml")
    finally:
        for k in (6, 7):
            (good / f"also-{k}.png").unlink()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("mine")]
