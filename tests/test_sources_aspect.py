"""Sizes: one number keeps the images' aspect, and whatever happens to them is said."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomgen.dataset.reader import Dataset
from anomgen.errors import SourceError
from anomgen.making.check import check_dataset
from anomgen.making.make import make, plan_of
from anomgen.making.recipe import load_recipe
from anomgen.making.replay import pool_of
from anomgen.sources.base import notes_of
from anomgen.sources.folder import Folder
from anomgen.sources.images import fit_image


def pictures(folder, *sizes):
    for k, (height, width) in enumerate(sizes):
        noise = np.random.default_rng(k).integers(0, 255, (height, width, 3)).astype(np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{k}.png"), cv2.GaussianBlur(noise, (0, 0), 3))
    return folder


@given(st.integers(16, 600), st.integers(16, 600), st.integers(16, 300))
def test_one_number_is_the_longer_side_and_the_aspect_stays(height, width, size):
    image = np.zeros((height, width, 1), np.uint8)
    shorter = min(height, width) * size / max(height, width)
    if round(shorter) < 16:
        with pytest.raises(
            SourceError, match=rf"x: is {height} × {width} pixels and would be .* larger size, or fit: crop"
        ):
            fit_image(image, size, "keep", "x")
        return
    fitted = fit_image(image, size, "keep").shape[:2]
    assert max(fitted) == size and abs(min(fitted) - shorter) <= 0.5
    assert (fitted[0] >= fitted[1]) == (height >= width) or fitted[0] == fitted[1]
    assert fit_image(image, size, "stretch").shape[:2] == fit_image(image, size, "crop").shape[:2] == (size, size)
    assert fit_image(image, (size, 40), "keep").shape[:2] == (size, 40), "two numbers are taken as they are"


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({"size": 64}, "3 of 3 images scaled, from 64×128 to 32×64 pixels (height × width)"),
        (
            {"size": 64, "fit": "stretch"},
            "3 of 3 images stretched, which changes their aspect, from 64×128 to 64×64 pixels (height × width)",
        ),
        (
            {"size": 64, "fit": "crop"},
            "3 of 3 images scaled and cut to the middle, from 64×128 to 64×64 pixels (height × width)",
        ),
        (
            {"size": 32, "fit": "center"},
            "3 of 3 images cut to the middle, from 64×128 to 32×32 pixels (height × width)",
        ),
        ({"size": (32, 64)}, "3 of 3 images scaled, from 64×128 to 32×64 pixels (height × width)"),
        ({"size": 128}, None),
        ({"size": None}, None),
    ],
)
def test_what_happened_to_the_images_is_said(tmp_path, settings, note):
    folder = pictures(tmp_path / "s", *[(64, 128)] * 3)
    assert notes_of(Folder(path=str(folder), **settings).open()) == (() if note is None else (note,))


def test_images_that_are_transparent_in_parts_are_told(tmp_path):
    """What was behind the object is white in the dataset: all say so, and where alpha is ignored."""
    for k in range(4):
        picture = np.random.default_rng(k).integers(0, 255, (48, 48, 4)).astype(np.uint8)
        picture[..., 3] = {0: picture[..., 3], 3: 1}.get(k, 255)
        (tmp_path / "s").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"s/{k}.png"), picture)
    note = "1 of 4 images are transparent in parts, which are shown white, such as 0.png"
    other = "1 of 4 images have the same alpha all over, or show but a speck, and are shown as if opaque, such as 3.png"
    recipe = load_recipe("cutpaste", source=tmp_path / "s", size=48, count=4)
    assert plan_of(recipe, tmp_path / "d")["notes"] == [note, other]
    make(recipe, tmp_path / "d")
    assert note in (tmp_path / "d/README.md").read_text()


@pytest.mark.parametrize("name", ["cutpaste", "fpi", "nsa", "perlin", "pii"])
def test_images_of_several_aspects_make_a_sound_dataset(tmp_path, name):
    folder = pictures(tmp_path / "s", (64, 128), (128, 64), (100, 100), (90, 120))
    recipe = load_recipe(name, source=folder, size=64, count=16)
    note = "4 of 4 images scaled, from 64×128 … 128×64 to 32×64 … 64×64 pixels (height × width)"
    assert plan_of(recipe, tmp_path / "d")["notes"] == [note]
    make(recipe, tmp_path / "d")
    dataset = Dataset(tmp_path / "d")
    assert {row["image"].shape[:2] for row in dataset.rows()} == {(32, 64), (64, 32), (64, 64), (48, 64)}
    assert check_dataset(dataset, pool_of(dataset)[0]).ok
    card = (tmp_path / "d/README.md").read_text()
    assert "of several sizes, the longer side 64 pixels" in card and note in card


def test_the_card_says_the_size_that_all_images_have(tmp_path):
    folder = pictures(tmp_path / "s", *[(64, 128)] * 3)
    make(load_recipe("cutpaste", source=folder, size=64, count=4), tmp_path / "d")
    assert "64 pixels wide and 32 high" in (tmp_path / "d/README.md").read_text()
    assert json.loads((tmp_path / "d/provenance.json").read_text())["source"]["shape"] == [32, 64]


def test_a_score_says_that_it_stretches(tmp_path):
    from anomgen.score.data import load

    pictures(tmp_path / "train/good", *[(48, 96)] * 6)
    for k in range(2):
        (tmp_path / "test/bad").mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(90 + k).integers(0, 255, (48, 96, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"test/bad/{k}.png"), noise)
    (note,) = load(str(tmp_path), 48).notes
    assert note == "8 of 8 images stretched, which changes their aspect, from 48×96 to 48×48 pixels (height × width)"


@pytest.mark.parametrize(("fit", "shapes"), [("keep", {(32, 64)}), ("crop", {(64, 64)})])
def test_a_foreground_mask_is_fitted_as_its_image_is(tmp_path, fit, shapes):
    from anomgen.making.engine import Plan, Renderer

    pictures(tmp_path / "s", *[(64, 128)] * 3)
    for k in range(3):
        (tmp_path / "m").mkdir(exist_ok=True)
        mask = np.zeros((64, 128), np.uint8)
        mask[:, 32:96] = 255
        cv2.imwrite(str(tmp_path / f"m/{k}.png"), mask)
    changes = [f"source.fit={fit}", f"foreground={tmp_path / 'm'}"]
    pool = Renderer(Plan.of(load_recipe("cutpaste", source=tmp_path / "s", size=64, overrides=changes))).pool
    masks = [pool.foreground(pool[k]) for k in range(3)]
    assert {mask.shape for mask in masks} == shapes
    assert masks[0].mean() == pytest.approx(0.5 if fit == "keep" else 1.0, abs=0.02)
