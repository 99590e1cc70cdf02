"""`preview`: a sheet of a dataset, of a recipe, of the foreground, and what it refuses."""

import shutil

import cv2
import numpy as np
import pytest

from anomgen.errors import UsageError
from anomgen.making.engine import Plan
from anomgen.making.make import make
from anomgen.making.preview import preview
from anomgen.making.recipe import load_recipe

SMALL = ("source.size=48", "source.count=5")


@pytest.fixture
def made(photos, tmp_path):
    """A dataset of photos whose rows are all anomalous."""
    chosen = load_recipe("nsa", source=photos, size=48, count=6, overrides=["anomaly_ratio=1.0", "foreground=otsu"])
    return make(chosen, tmp_path / "made").path


TITLE = 32
"""Rows of pixels on top of a sheet, which name the dataset or the recipe."""


def pixels(result):
    return cv2.imread(str(result.path))[TITLE:]


def test_the_sheet_of_a_recipe_shows_the_first_anomalous_rows_that_make_writes(made, photos, tmp_path):
    """Law: before and after making, the same rows give the same sheet."""
    overrides = ("anomaly_ratio=1.0", "foreground=otsu")
    before = preview(recipe="nsa", source=photos, size=48, overrides=overrides, rows=6, out=tmp_path / "before.png")
    after = preview(made, rows=6, out=tmp_path / "after.png")
    assert np.array_equal(pixels(before), pixels(after))
    plan = Plan.of(load_recipe("nsa", source=photos, size=48, overrides=overrides))
    notes = ["12 of 12 images scaled, from 96×96 to 48×48 pixels (height × width)"]
    assert before.resolved == {**plan.resolved, "notes": notes}
    assert after.resolved == {}


def test_the_foreground_of_a_dataset_is_that_of_its_recipe(made, photos, tmp_path):
    given = {"foreground": True, "rows": 3}
    of_dataset = preview(made, **given, out=tmp_path / "a.png")
    of_recipe = preview(
        recipe="nsa", source=photos, size=48, overrides=["foreground=otsu"], **given, out=tmp_path / "b.png"
    )
    assert np.array_equal(pixels(of_dataset), pixels(of_recipe))
    assert of_dataset.resolved["foreground"]["method"] == "otsu"
    other = preview(made, overrides=["foreground=none"], **given, out=tmp_path / "c.png")
    assert other.resolved["foreground"]["method"] == "none"


def test_a_dataset_s_images_that_have_moved_are_found_where_the_source_says(made, photos, tmp_path):
    whole = pixels(preview(made, rows=6, out=tmp_path / "whole.png"))
    shutil.move(photos, tmp_path / "moved")
    without = pixels(preview(made, rows=6, out=tmp_path / "without.png"))
    again = pixels(preview(made, source=tmp_path / "moved", rows=6, out=tmp_path / "again.png"))
    assert np.array_equal(again, whole) and not np.array_equal(without, whole)
    with pytest.raises(UsageError, match="not the"):
        (tmp_path / "moved" / "a" / "001.png").unlink()
        preview(made, source=tmp_path / "moved", out=tmp_path / "x.png")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"out": "sheet.jpg"}, "the sheet is a PNG file"),
        ({"rows": 0}, "holds 1 to 64 samples"),
        ({"rows": 65}, "holds 1 to 64 samples"),
        ({"recipe": "nsa"}, "a DATASET, or --recipe"),
        ({"size": 64}, "a DATASET, or --recipe"),
        ({"seed": 0}, "a DATASET, or --recipe"),
        ({"overrides": ["seed=1"]}, "a DATASET, or --recipe"),
        ({"source": {"kind": "builtin"}}, "not a mapping"),
    ],
)
def test_what_is_refused_writes_nothing(tmp_path, monkeypatch, options, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=text):
        preview(tmp_path / "made", **options)
    assert not any(tmp_path.iterdir())
