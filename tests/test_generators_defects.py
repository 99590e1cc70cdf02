"""Defects: every kind by its name, as visible as asked for, where it is asked for, with the material's grain."""

import cv2
import numpy as np
import pytest
from surfaces import SIDE, Surfaces

from anomgen.errors import RecipeError, UsageError
from anomgen.generators.base import build_generator
from anomgen.generators.conformance import check_generator
from anomgen.generators.defects.generator import Defects
from anomgen.generators.defects.kinds import KINDS
from anomgen.generators.defects.material import TOP_LEFT, blur_of, measured
from anomgen.generators.defects.scene import toned
from anomgen.making.recipe import bundled_recipes, load_recipe
from anomgen.rng import Stream, rng_for
from anomgen.synthesis.sample import Reject


def drawn(settings, pool, count):
    generator = Defects.model_validate(settings).prepared(pool)
    samples = []
    for k in range(count):
        try:
            samples.append(generator.sample(rng_for(1, Stream.SAMPLE, k), pool[k % len(pool)], pool))
        except Reject:
            continue
    return samples


def printed(pool):
    """Return surfaces with a pattern of dark bars on them."""
    for k, image in enumerate(pool):
        marked = image.copy()
        for x in range(30, 100, 10):
            cv2.rectangle(marked, (x, 40), (x + 4, 60 + x % 40), (40, 30, 30), -1)
        pool[k] = marked
    return pool


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_a_recipe_a_defect_type_and_keeps_the_contract(name):
    recipe = load_recipe(name.replace("_", "-"))
    assert recipe.generator.defect_types == (name,)
    pool = printed(Surfaces(disc=True)) if name == "misprint" else Surfaces(disc=True)
    samples = drawn({"kinds": [name]}, pool, 24)
    assert len(samples) >= 12 and {sample.defect_type for sample in samples} == {name}
    for sample in samples:
        assert sample.mask.any() and sample.image.dtype == np.uint8


@pytest.mark.parametrize("channels, dtype", [(1, np.uint8), (3, np.uint16), (1, np.uint16)])
def test_grey_and_16_bit_images_stay_so_and_are_unchanged_outside_the_mask(channels, dtype):
    pool = Surfaces(channels=channels, dtype=dtype, disc=True)
    generator = Defects().prepared(pool)
    done = 0
    for k in range(40):
        image = pool[k % len(pool)]
        try:
            sample = generator.sample(rng_for(2, Stream.SAMPLE, k), image, pool)
        except Reject:
            continue
        done += 1
        assert sample.image.dtype == dtype and sample.image.shape == image.shape
        assert np.array_equal(sample.image[~sample.mask], image[~sample.mask])
    assert done >= 30


def test_the_severity_asked_for_is_reached_by_kinds_that_can_be_scaled():
    pool = Surfaces()
    for wanted in (1.5, 3.0):
        reached = [s.params["reached"] for s in drawn({"kinds": ["stain", "dent"], "severity": wanted}, pool, 40)]
        assert abs(np.median(reached) / wanted - 1) < 0.2


def test_a_stain_keeps_the_grain_of_the_material():
    pool = Surfaces(channels=1)
    for k, sample in enumerate(drawn({"kinds": ["stain"], "number": 1, "severity": 1.5, "size": 0.3}, pool, 12)):
        inside = cv2.erode(sample.mask.view(np.uint8), np.ones((9, 9))).view(bool)
        if np.count_nonzero(inside) < 200:
            continue
        before = pool[k % len(pool)].astype(float)[..., 0]
        fine = [p - cv2.GaussianBlur(p, (0, 0), 2) for p in (before, sample.image.astype(float)[..., 0])]
        assert 0.5 < fine[1][inside].std() / fine[0][inside].std() < 1.3
        assert np.corrcoef(fine[0][inside], fine[1][inside])[0, 1] > 0.8


def test_a_tone_takes_small_changes_as_they_are_and_none_to_black_or_white():
    values = np.full((4, 4, 3), (200.0, 100.0, 30.0), np.float32)
    assert np.allclose(toned(values, np.full_like(values, -0.5)), -0.5, atol=0.01)
    darker, lighter = values + toned(values, np.full_like(values, -100)), values + toned(values, values * 0 + 100)
    assert np.allclose(darker[0, 0], [200 / (1 + 100 / 200), 100 / (1 + 100 / 100), 30 / (1 + 100 / 30)], rtol=1e-3)
    assert np.allclose(
        255 - lighter[0, 0], [55 / (1 + 100 / 55), 155 / (1 + 100 / 155), 225 / (1 + 100 / 225)], rtol=1e-3
    )


@pytest.mark.parametrize("level, way", [(120, -1), (24, 1)])
def test_a_crack_is_never_black_and_gleams_in_a_black_body(level, way):
    grain = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 12, (SIDE, SIDE)), (0, 0), 1.2)
    pool = [np.clip(np.rint(level + grain), 0, 255).astype(np.uint8)[..., None]] * 4
    samples = drawn({"kinds": ["crack"], "severity": 8, "number": 1}, pool, 12)
    assert len(samples) >= 8
    for sample in samples:
        after, before = sample.image[sample.mask].astype(int), pool[0][sample.mask].astype(int)
        assert np.sign((after - before).mean()) == way and (after > 0.2 * before - 2).all()


@pytest.mark.parametrize("kind", ["fold", "dent"])
def test_a_mask_has_no_gap_where_light_turns_to_dark(kind):
    pieces = []
    for sample in drawn({"kinds": [kind], "number": 1, "severity": 3, "light": 90}, Surfaces(channels=1), 24):
        pieces.append(cv2.connectedComponents(sample.mask.view(np.uint8))[0] - 1)
    assert np.median(pieces) == 1 and np.mean(pieces) < 1.3


def test_what_cannot_be_seen_on_an_even_surface_is_not_drawn_there_and_says_so():
    even = [np.full((SIDE, SIDE, 1), 128, np.uint8) + (np.arange(SIDE, dtype=np.uint8) % 2)[:, None, None]] * 6
    generator = Defects(kinds=["misprint"]).prepared(even)
    for k in range(6):
        with pytest.raises(Reject, match=r"too faint on this material|no place where it would show"):
            generator.sample(rng_for(1, Stream.SAMPLE, k), even[k], even)
    assert drawn({"kinds": ["misprint"]}, printed(Surfaces(channels=3)), 12)


def test_a_crack_is_thin_at_any_resolution():
    for side in (128, 512):
        widths = []
        for sample in drawn({"kinds": ["crack"], "number": 1, "size": 0.5}, Surfaces(4, 1, side), 8):
            distance = cv2.distanceTransform(sample.mask.view(np.uint8), cv2.DIST_L2, 5)
            widths.append(2 * distance.max() / side)
        assert np.median(widths) < 0.05


def test_where_puts_defects_at_the_edge_in_the_centre_or_by_a_picture(tmp_path):
    pool = Surfaces(disc=True)

    def distances(where):
        found = []
        for sample in drawn({"kinds": ["spot"], "number": 1, "where": where}, pool, 60):
            rows, columns = np.nonzero(sample.mask)
            found.append(np.hypot(rows.mean() - SIDE / 2, columns.mean() - SIDE / 2) / SIDE)
        return np.median(found)

    assert distances("centre") < 0.19 < distances("uniform") < 0.31 < distances("edge")
    weights = np.zeros((64, 64), np.uint8)
    weights[:, :32] = 255
    cv2.imwrite(str(tmp_path / "weights.png"), weights)
    left = drawn({"kinds": ["spot"], "number": 1, "weights": str(tmp_path / "weights.png")}, pool, 30)
    assert all(np.nonzero(sample.mask)[1].mean() < SIDE / 2 + 6 for sample in left)
    generator = Defects(weights=str(tmp_path / "weights.png"))
    assert generator.portable().weights == "weights.png" and set(generator.resources()) == {"weights"}


def test_kinds_on_an_outline_need_one():
    with pytest.raises(UsageError, match="chipped_edge lies on an object's outline"):
        Defects(kinds=["chipped_edge"]).prepared(Surfaces())
    types = {sample.defect_type for sample in drawn({}, Surfaces(), 60)}
    assert types and not types & {"chipped_edge", "broken_outline"}
    cut = drawn({"kinds": ["chipped_edge"]}, Surfaces(disc=True), 20)
    assert cut and all(sample.mask.any() for sample in cut)


def test_achromatic_images_stay_achromatic():
    pool = Surfaces()
    grey = [np.repeat(image[..., 1:2], 3, axis=2) for image in pool]
    for sample in drawn({"kinds": ["stain", "discoloration", "burn", "contamination"]}, grey, 40):
        assert np.ptp(sample.image.astype(int), axis=2).max() <= 1


def test_the_light_is_estimated_where_the_images_agree_and_taken_when_given():
    x = np.linspace(60, 190, 64)
    lit = [np.repeat(np.tile(x, (64, 1))[..., None], 3, axis=2).astype(np.uint8)] * 4
    assert measured((image, None) for image in lit).light == pytest.approx(0, abs=1)  # brighter to the right
    assert measured((image[:, ::-1], None) for image in lit).light == pytest.approx(180, abs=1)
    turned = [np.ascontiguousarray(np.rot90(image, k)) for k, image in enumerate(lit)]
    assert measured((image, None) for image in turned).light == TOP_LEFT
    assert Defects(light=30.0).prepared(Surfaces()).light == 30


@pytest.mark.parametrize(
    "settings, key, text",
    [
        ({"severity": 0}, "severity", "0.1 to 20"),
        ({"severity": [2, 40]}, "severity", "1 is just detectable"),
        ({"size": 1.5}, "size", "share of the image's side"),
        ({"number": 0}, "number", "1 to 100"),
        ({"kinds": ["scrach"]}, "kinds", "scratch"),
        ({"kinds": {"scratch": 0}}, "kinds", "greater than 0"),
        ({"light": 400}, "light", "360"),
    ],
)
def test_a_dial_out_of_range_names_its_unit(settings, key, text):
    with pytest.raises(RecipeError) as caught:
        build_generator({"kind": "defects", **settings})
    assert key in str(caught.value) and text in str(caught.value)


def test_a_number_is_a_range_of_one_and_weights_choose_kinds():
    assert Defects(severity=2).severity == (2, 2) and Defects(number=3).number == (3, 3)
    types = [s.defect_type for s in drawn({"kinds": {"stain": 9.0, "hole": 1.0}}, Surfaces(), 60)]
    assert types.count("stain") > 2 * types.count("hole") > 0


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"generator\.weights: nowhere\.png: there is no such"):
        Defects(weights="nowhere.png").prepared(Surfaces())
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((32, 32), np.uint8))
    with pytest.raises(UsageError, match="is black all over"):
        Defects(weights=str(tmp_path / "black.png")).prepared(Surfaces())


def test_the_bundled_mixture_passes_the_checks_of_plug_ins():
    assert "defects" in bundled_recipes()
    check_generator(Defects())


def test_marks_are_as_often_darker_as_asked_for():
    pool = Surfaces(channels=1)

    def darker(share):
        samples = drawn({"kinds": ["stain", "corrosion", "discoloration"], "number": 1, "dark": share}, pool, 40)
        whole = [pool[k % len(pool)] for k in range(40)]
        assert len(samples) == 40
        return np.mean(
            [s.image[s.mask].mean() < before[s.mask].mean() for s, before in zip(samples, whole, strict=True)]
        )

    assert darker(0.0) < 0.1 and darker(1.0) > 0.9 and 0.25 < darker(0.5) < 0.75


def test_corrosion_is_fragments_of_many_sizes():
    pieces = []
    for sample in drawn({"kinds": ["corrosion"], "number": 1, "size": 0.7, "severity": 3}, Surfaces(channels=1), 24):
        count, _, found, _ = cv2.connectedComponentsWithStats(sample.mask.view(np.uint8))
        pieces.append((count - 1, found[1:, cv2.CC_STAT_AREA].max() / max(found[1:, cv2.CC_STAT_AREA].min(), 1)))
    assert np.median([count for count, _ in pieces]) >= 4
    assert np.median([largest for _, largest in pieces]) > 4


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5, 2.5])
def test_how_blurred_images_are_is_measured(sigma):
    step = np.zeros((200, 200), np.float32)
    cv2.circle(step, (100, 100), 60, 200.0, -1, cv2.LINE_AA)
    found = blur_of(cv2.GaussianBlur(step, (0, 0), sigma), np.ones(step.shape, bool))
    assert found == pytest.approx(sigma, abs=0.25)
    assert blur_of(np.zeros((9, 9), np.float32), np.ones((9, 9), bool)) < 0.1


@pytest.mark.parametrize("kind", ["scratch", "crack", "hole", "corrosion", "contamination"])
def test_no_edge_is_sharper_than_the_images(kind):
    """In images blurred by 2 pixels, 4 of an image of 256, a change rises over several pixels."""

    pool = Surfaces()

    def steepest(softness):
        generator, shares = Defects(kinds=[kind], softness=softness, severity=3).prepared(pool), []
        for k in range(12):
            sample = generator.sample(rng_for(1, Stream.SAMPLE, k), pool[k], pool)
            change = np.abs(sample.image.astype(float) - pool[k]).max(axis=2)
            shares.append(np.abs(np.diff(change, axis=1)).max() / change.max())
        return np.median(shares)

    assert steepest(4.0) < 0.75 * steepest(0.0)


def test_the_kinds_on_an_outline_find_the_object_of_any_source():
    for name in ("chipped-edge", "broken-outline", "missing-part"):
        recipe = load_recipe(name)
        assert recipe.foreground.method == "auto"
    for name in ("chipped-edge", "broken-outline"):
        recipe, (row,) = load_recipe(name, overrides={"anomaly_ratio": 1.0, "source.size": 96}), (0,)
        mask = recipe.sample(row).mask > 0
        y, x = np.nonzero(mask)
        away = np.hypot(y - 47.5, x - 47.5)
        assert (away > 28).any() and (away < 46).all(), "on the rim of the disc, whose radius is 38"
