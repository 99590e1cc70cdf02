"""The small Python API: the same names and results as the command line."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import anomgen
from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError

OPTIONS = {"count": 24, "size": (48, 64), "seed": 3, "overrides": ["shard_size=16", "generator.shape=ellipse"]}
WORDS = ["-n", "24", "--size", "48x64", "--seed", "3", "--set", "shard_size=16", "--set", "generator.shape=ellipse"]


def shards(out):
    return {path.name: path.read_bytes() for path in (out / "data").iterdir()}


def test_make_is_the_command_of_that_name(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = anomgen.make("nsa", source="photos", **OPTIONS)
    assert str(result.path) == "anomgen-out/nsa" and result.rows == 24
    command = [sys.executable, "-m", "anomgen", "make", "-r", "nsa", "-s", "photos", "-o", "out", *WORDS]
    subprocess.run(command, check=True, capture_output=True)
    assert shards(tmp_path / "out") == shards(result.path)
    assert anomgen.make("nsa", str(tmp_path / "third"), source=photos, workers=2, **OPTIONS).made == 24
    assert shards(tmp_path / "third") == shards(result.path)


def test_a_recipe_is_complete():
    with pytest.raises(UsageError, match="give count, seed to load_recipe"):
        anomgen.make(anomgen.load_recipe("nsa"), "out", count=3, seed=1)
    with pytest.raises(UsageError, match="not dict"):
        anomgen.make({"kind": "nsa"})


def test_a_source_is_a_text_a_path_or_a_mapping(photos):
    by_mapping = anomgen.load_recipe("nsa", source={"kind": "folder", "path": str(photos)})
    assert anomgen.load_recipe("nsa", source=str(photos)) == anomgen.load_recipe("nsa", source=photos) == by_mapping
    assert anomgen.load_recipe("nsa", source="builtin:brick").source.kind == "builtin"
    with pytest.raises(UsageError, match="there is no such folder"):
        anomgen.load_recipe("nsa", source=str(photos / "gone"))


@pytest.mark.parametrize(("size", "stored"), [(64, 64), ((32, 48), (32, 48)), ([32, 48], (32, 48)), ("native", None)])
def test_a_size_is_a_number_a_pair_or_native(size, stored, photos):
    assert anomgen.load_recipe("nsa", source=photos, size=size).source.size == stored
    with pytest.raises(UsageError, match="a size is a number of pixels"):
        anomgen.load_recipe("nsa", size="64x64")


def test_a_sample_of_a_recipe_is_the_row_of_its_dataset(photos, tmp_path):
    recipe = anomgen.load_recipe("mix", source=photos, size=64, count=20)
    first = [recipe.sample(index) for index in (0, 7, 19, 7)]
    anomgen.make(recipe, tmp_path / "out")
    dataset = Dataset(tmp_path / "out")
    for row in first:
        stored = dataset.row(row.index)
        assert np.array_equal(row.image, stored["image"]) and np.array_equal(row.mask, stored["mask"])
        assert (row.label, row.defect_type, row.params) == (stored["label"], stored["defect_type"], stored["params"])
    assert recipe.sample(20).index == 20
    with pytest.raises(UsageError, match="from 0"):
        recipe.sample(-1)


def test_sampling_leaves_a_recipe_what_it_was():
    recipe, again = (anomgen.load_recipe("fpi", overrides=["source.count=3"], size=64) for _ in range(2))
    recipe.sample(0)
    assert recipe == again and pickle.loads(pickle.dumps(recipe)) == again
    other = recipe.model_copy(update={"seed": 8})
    assert not np.array_equal(other.sample(0).image, recipe.sample(0).image)


def test_only_a_few_renderers_are_kept():
    from anomgen.making import engine

    for seed in range(6):
        anomgen.load_recipe("scar", size=32, seed=seed, overrides=["source.count=2"]).sample(0)
    assert len(engine._renderers) == engine.KEPT_RENDERERS
