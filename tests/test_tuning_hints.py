"""Hints: kinds that are like what a detector missed, or that bring normal images nearest to unlabelled ones, grow."""

import cv2
import numpy as np
import pytest
from surfaces import Surfaces

import anomgen
from anomgen.banks.make import bank
from anomgen.errors import UsageError
from anomgen.generators.defects.generator import Defects
from anomgen.rng import Stream, rng_for
from anomgen.synthesis.detectability import Detectability
from anomgen.tuning import hints, measure
from anomgen.tuning.hints import Hint, oddest, raised

KINDS = ["crack", "stain", "haze"]


def test_a_hint_counts_as_much_as_the_weights_at_most():
    usual = {"crack": 3.0, "stain": 1.0}
    few = raised(usual, Hint({"crack": 0.0, "stain": 1.0}, 1, ""))
    assert few == pytest.approx({"crack": 0.6, "stain": 0.4})
    assert raised(usual, Hint({"stain": 1.0}, 500, "")) == pytest.approx({"crack": 0.375, "stain": 0.625})
    assert raised(usual, Hint({}, 0, "")) == pytest.approx({"crack": 0.75, "stain": 0.25})


def test_the_oddest_of_an_image_is_where_it_differs_from_the_normal_ones():
    pool = Surfaces(12, channels=1, side=96)
    boundary = Detectability.fitted(list(pool), [None] * len(pool))
    normal = np.linalg.norm(oddest(pool[0], boundary))
    marked = pool[0].copy()
    marked[40:50, 40:50] = 30
    assert np.linalg.norm(oddest(marked, boundary)) > 1.5 * normal
    assert oddest(np.repeat(marked, 3, axis=2), boundary) == pytest.approx(oddest(marked, boundary), abs=1e-3)


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """Grey surfaces, and as many unlabelled ones, a third of them stained, with the masks of these."""
    root = tmp_path_factory.mktemp("product")
    for folder in ("good", "unlabelled", "bad", "masks"):
        (root / folder).mkdir()
    pool = Surfaces(30, channels=1, side=96)
    stains = Defects(kinds=["stain"], severity=3.0, dark=1.0).prepared(pool)
    for k, image in enumerate(pool):
        if k < 15:
            cv2.imwrite(str(root / "good" / f"{k}.png"), image)
            continue
        sample = stains.sample(rng_for(9, Stream.SAMPLE, k), image, pool)
        cv2.imwrite(str(root / "unlabelled" / f"{k}.png"), sample.image if k % 3 == 0 else image)
        if k % 3 == 0:
            cv2.imwrite(str(root / "bad" / f"{k}.png"), sample.image)
            cv2.imwrite(str(root / "masks" / f"{k}.png"), sample.mask.view(np.uint8) * 255)
    return root


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(measure, "DRAWS", 16)


def tuned(product, out, **options):
    return anomgen.tune(
        product / "good", out=out, size=96, overrides=[f"generator.kinds=[{', '.join(KINDS)}]"], **options
    )


def share(recipe, kind):
    return recipe.generator.kinds[kind] / sum(recipe.generator.kinds.values())


def test_unlabelled_images_raise_the_kinds_that_come_nearest_and_the_report_says_transductive(product, tmp_path):
    usual = Defects(kinds=KINDS).kinds
    done = tuned(product, tmp_path / "mine.yaml", unlabelled=product / "unlabelled")
    (hint,) = done.hints
    assert max(hint.likeness, key=lambda kind: hint.likeness[kind]) == "stain" and 3 <= hint.images <= 8
    assert share(done.recipe, "stain") > 1.2 * usual["stain"] / sum(usual.values())
    assert "transductive" in done.report.read_text() and "transductive" in done.record.read_text()
    with pytest.raises(UsageError, match="no such folder"):
        tuned(product, tmp_path / "none.yaml", unlabelled=product / "nowhere")
    with pytest.raises(UsageError, match=r"--unlabelled .*holds no image"):
        (tmp_path / "empty").mkdir()
        tuned(product, tmp_path / "none.yaml", unlabelled=tmp_path / "empty")


def test_misses_raise_the_kinds_that_are_like_them_and_are_named_as_not_to_be_tested_on(product, tmp_path):
    usual = Defects(kinds=KINDS).kinds
    for entry in ("perlin", "defects"):
        bank(product / "bad", tmp_path / "run" / "misses" / "part" / entry, masks=product / "masks")
    done = tuned(product, tmp_path / "mine.yaml", misses=tmp_path / "run")
    assert share(done.recipe, "stain") > 1.2 * usual["stain"] / sum(usual.values())
    assert "trained on defects" in done.hints[0].text and done.hints[0].text in done.report.read_text()
    assert all(f"{k}.png" in done.path.read_text() for k in range(15, 30, 3))
    one = tuned(product, tmp_path / "one.yaml", misses=tmp_path / "run" / "misses" / "part" / "perlin")
    assert "trained on perlin" in one.hints[0].text
    bank(product / "bad", tmp_path / "run" / "misses" / "other" / "defects", masks=product / "masks")
    with pytest.raises(UsageError, match=r"--misses .*was run on other, part; give the folder of this product"):
        tuned(product, tmp_path / "two.yaml", misses=tmp_path / "run")
    with pytest.raises(UsageError, match=r"--misses .*run anomgen score with --misses again"):
        tuned(product, tmp_path / "two.yaml", misses=product / "good")


def test_a_kind_that_cannot_be_drawn_is_like_nothing(monkeypatch, product, tmp_path):
    monkeypatch.setattr(hints, "samples", lambda *_: iter(()))
    done = tuned(product, tmp_path / "mine.yaml", unlabelled=product / "unlabelled")
    assert done.hints[0].images == 0 and set(done.hints[0].likeness.values()) == {0.0}
