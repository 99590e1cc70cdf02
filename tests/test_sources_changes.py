"""Files beside the images that change while they are read: textures, masks, regions. No dataset is made of both."""

import pickle

import cv2
import numpy as np
import pytest
from learned import pictures

from anomgen.errors import SourceError
from anomgen.making.engine import Plan, Renderer
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe
from anomgen.sources import region
from anomgen.synthesis import textures

READ = {
    "textures": lambda folder: {"generator.texture": {"kind": "folder", "path": str(folder)}},
    "masks": lambda folder: {"foreground": str(folder)},
    "regions": lambda folder: {"foreground": {"method": "none", "roi": str(folder)}},
    "region": lambda folder: {"foreground": {"method": "none", "exclude": str(folder / "001.png")}},
}


def draw(folder, dark):
    """Write a picture for each of four images, white but for a corner of so many pixels a side."""
    folder.mkdir(exist_ok=True)
    for k in range(4):
        values = np.full((32, 32), 255, np.uint8)
        values[:dark, :dark] = 0
        cv2.imwrite(str(folder / f"{k:03d}.png"), values)


@pytest.fixture(params=READ)
def recipe(tmp_path, request):
    pictures(tmp_path / "good", 4)
    draw(tmp_path / "drawn", 20)
    overrides = {"min_change": 0, "shard_size": 16, **READ[request.param](tmp_path / "drawn")}
    return load_recipe("perlin", source=str(tmp_path / "good"), size=32, count=32, overrides=overrides)


def test_a_file_that_changes_while_a_process_draws_is_an_error(tmp_path, recipe):
    plan = Plan.of(recipe)
    assert plan.resolved["resources"]
    draw(tmp_path / "drawn", 21)
    region._region.cache_clear()  # what is kept in memory is as it was; what is read again is not
    textures._bank.cache_clear()
    with pytest.raises(SourceError, match=r"00\d\.png.*changed while it was in use"):
        list(Renderer(plan).rows(range(32)))
    draw(tmp_path / "drawn", 20)
    assert len(list(Renderer(plan).rows(range(32)))) == 32


def test_a_file_that_changed_before_a_worker_looked_is_an_error(tmp_path, recipe):
    plan = Plan.of(recipe)
    assert plan.resolved["resources"]
    plan = pickle.loads(pickle.dumps(plan))
    draw(tmp_path / "drawn", 21)
    region.forget()
    textures._forget()
    with pytest.raises(SourceError, match="its files changed while they were in use"):
        plan.require_unchanged()


def test_a_worker_compares_before_it_draws(tmp_path, recipe, monkeypatch):
    """Law: the error reaches the run, which leaves no dataset that looks finished."""
    plan_of = Plan.of

    def changing(recipe):
        plan = plan_of(recipe)
        assert plan.resolved
        draw(tmp_path / "drawn", 21)
        return plan

    monkeypatch.setattr(Plan, "of", changing)
    with pytest.raises(SourceError, match="its files changed while they were in use"):
        make(recipe, tmp_path / "out", workers=2)
    assert not (tmp_path / "out" / "provenance.json").exists()


def test_a_new_plan_looks_anew(tmp_path, recipe):
    """Law: what one run has read is no measure for the next one in the same process."""
    first = Plan.of(recipe).resolved["resources"]
    draw(tmp_path / "drawn", 21)
    plan = Plan.of(recipe)
    assert plan.resolved["resources"] != first
    assert len(list(Renderer(plan).rows(range(8)))) == 8
