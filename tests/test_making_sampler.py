"""The sampler: many recipes on the same images, opened once, and each row what `make` makes."""

import numpy as np
import pytest

from anomgen.dataset.reader import Dataset
from anomgen.errors import SourceError, UsageError
from anomgen.generators.defects import generator
from anomgen.generators.defects.material import measured
from anomgen.generators.nsa import NSA
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe
from anomgen.making.sampler import Sampler


def test_row_k_of_a_recipe_is_row_k_of_what_is_made_whatever_was_drawn_before(photos, tmp_path):
    sampler = Sampler()
    recipes = [
        load_recipe(name, source=photos, size=64, count=8, overrides=overrides)
        for name, overrides in (
            ("nsa", {}),
            ("defects", {"foreground": "otsu"}),
            ("nsa", {"generator.shape": "ellipse"}),
        )
    ]
    drawn = [[sampler.row(recipe, index) for recipe in recipes] for index in (7, 0, 3)]
    for number, recipe in enumerate(recipes):
        dataset = Dataset(make(recipe, tmp_path / str(number)).path)
        for rows in drawn:
            stored = dataset.row(rows[number].index)
            assert np.array_equal(stored["image"], rows[number].image)
            assert np.array_equal(stored["mask"], rows[number].mask)
            assert stored["params"] == rows[number].params


def test_a_change_of_the_generator_opens_and_segments_nothing_again(photos, monkeypatch):
    sampler, opened = Sampler(), []
    first, second, third = (
        load_recipe("perlin", source=photos, size=48, overrides={"foreground": "otsu", **change})
        for change in ({}, {"generator.opacity_range": [0.1, 0.2]}, {"source.fit": "crop"})
    )
    kind = type(first.source)
    open_ = kind.open
    monkeypatch.setattr(kind, "open", lambda config: opened.append(config) or open_(config))
    sampler.row(first, 1)
    sampler.row(second, 1)
    assert len(opened) == 1 and sampler.pool(first) is sampler.pool(second)
    sampler.row(third, 1)
    assert len(opened) == 2


def test_what_nsa_measures_is_measured_again_only_where_it_depends_on_a_change(photos, monkeypatch):
    sampler, measured = Sampler(), []
    calibrate = NSA._calibrated_logistic
    monkeypatch.setattr(NSA, "_calibrated_logistic", lambda *given: measured.append(given) or calibrate(*given))
    changes = (
        {},
        {"seed": 3},
        {"generator.midpoint": 5.0},
        {"generator.size_scale": 0.12},
        {"generator.midpoint": 6.0},
    )
    counts = []
    for change in changes:
        sampler.row(load_recipe("nsa", source=photos, size=48, overrides=change), 1)
        counts.append(len(measured))
    assert counts == [1, 1, 1, 2, 2]


def test_what_defects_measures_of_the_images_is_measured_once(photos, monkeypatch):
    sampler, looked = Sampler(), []
    monkeypatch.setattr(generator, "measured", lambda *given: looked.append(given) or measured(*given))
    for change in ({}, {"seed": 3}, {"generator.severity": [2, 4]}, {"generator.light": 40.0}):
        recipe = load_recipe("defects", source=photos, size=48, overrides=change)
        assert sampler.renderer(recipe, draft=True) is sampler.renderer(recipe)  # its draft is the whole of it
    assert [light for _, light in looked] == [None, 40.0]


@pytest.mark.parametrize("name", ["nsa", "mix", "perlin"])
def test_a_draft_is_the_row_but_for_its_soft_mask_and_calibrates_nothing(name, photos, monkeypatch):
    recipe = load_recipe(name, source=photos, size=64, anomaly_ratio=1.0)
    rows = [Sampler().row(recipe, index) for index in range(4)]
    monkeypatch.setattr(NSA, "_calibrated_logistic", None)
    sampler = Sampler()
    for row in rows:
        draft = sampler.row(recipe, row.index, draft=True)
        assert np.array_equal(draft.image, row.image) and np.array_equal(draft.mask, row.mask)
        assert (draft.params, draft.detectability, draft.attempt) == (row.params, row.detectability, row.attempt)


def test_after_a_file_has_gone_the_folder_is_looked_at_anew(photos, monkeypatch):
    monkeypatch.setattr("anomgen.sources.scan.KEPT_BYTES", 0)
    sampler = Sampler()
    recipe = load_recipe("cutpaste", source=photos, size=48, overrides=["foreground=none"])
    sampler.renderer(recipe).pool._kept.clear()  # as with more images than are kept
    for file in sorted(photos.rglob("*.png"))[:6]:
        file.unlink()
    with pytest.raises(SourceError):
        for index in range(24):
            sampler.row(recipe, index)
    assert sampler.row(recipe, 1).image.shape == (48, 48, 3) and len(sampler.pool(recipe)) == 6
    with pytest.raises(UsageError, match="from 0"):
        sampler.row(recipe, -1)
