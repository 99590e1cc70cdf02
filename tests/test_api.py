"""The small Python API: the same names and results as the command line."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from learned import pictures
from small import run

import anomgen
from anomgen.config.text import changed, texts_of
from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError
from anomgen.score.request import Request

OPTIONS = {"count": 24, "size": (48, 64), "seed": 3, "overrides": ["shard_size=16", "generator.shape=ellipse"]}
WORDS = ["-n", "24", "--size", "48x64", "--seed", "3", "--set", "shard_size=16", "--set", "generator.shape=ellipse"]


def shards(out):
    return {path.name: path.read_bytes() for path in (out / "data").iterdir()}


def test_make_is_the_command_of_that_name(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = anomgen.make("nsa", source="photos", **OPTIONS)
    assert str(result.path) == "anomgen-out/nsa" and result.rows == 24
    run("make", "-r", "nsa", "-s", "photos", "-o", "out", *WORDS)
    assert shards(tmp_path / "out") == shards(result.path)
    assert anomgen.make("nsa", str(tmp_path / "third"), source=photos, workers=2, **OPTIONS).made == 24
    assert shards(tmp_path / "third") == shards(result.path)


def test_a_recipe_is_complete():
    with pytest.raises(UsageError, match="give count, seed to load_recipe"):
        anomgen.make(anomgen.load_recipe("nsa"), "out", count=3, seed=1)
    with pytest.raises(UsageError, match="not dict"):
        anomgen.make({"kind": "nsa"})


def test_a_recipe_s_file_is_a_path_or_a_text(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(anomgen.load_recipe("fpi", size=32, count=2, overrides={"source.count": 2}).to_yaml())
    assert anomgen.load_recipe(file) == anomgen.load_recipe(str(file))
    assert anomgen.make(file, tmp_path / "made").rows == 2
    assert anomgen.preview(recipe=file, rows=1, out=tmp_path / "one.png").path.is_file()
    assert anomgen.validate(file) == anomgen.validate(str(file)) and anomgen.show(file)["count"] == 2


@pytest.mark.parametrize(
    ("given", "same"),
    [
        (None, ()),
        ("generator.shape=ellipse", ["generator.shape=ellipse"]),
        ({"generator.shape": "ellipse"}, ["generator.shape=ellipse"]),
        ({"source.size": (32, 48)}, ["source.size=[32, 48]"]),
    ],
)
def test_changes_are_texts_a_text_a_mapping_or_none(given, same):
    """Law: whatever their form, the recipe is the same, and score hears the same texts."""
    assert anomgen.load_recipe("nsa", overrides=given) == anomgen.load_recipe("nsa", overrides=same)
    assert changed({}, texts_of(given)) == changed({}, same)


@pytest.mark.parametrize("given", [{1: 1}, {"": 1}, [1], 5, ["a"]])
def test_other_changes_are_refused(given):
    with pytest.raises(UsageError, match=r"overrides: (give texts|a key is a text)|write it as key=value"):
        anomgen.load_recipe("nsa", overrides=given)


def test_score_and_fit_hear_a_mapping():
    asked = Request.of("photos", "nsa", changes={"recipe.nsa.generator.shape": "ellipse", "detector.probe.steps": 5})
    assert asked.changes == ("recipe.nsa.generator.shape=ellipse", "detector.probe.steps=5")


def test_score_takes_lists_of_names_as_texts_with_commas_or_as_several():
    asked = Request.of("photos", " nsa, perlin", detectors=["probe", "unet"])
    assert asked == Request.of("photos", ["nsa", Path("perlin")], detectors="probe,unet")
    for wrong in ({"recipes": ["nsa", "nsa"]}, {"recipes": []}, {"recipes": "nsa", "detectors": ["unet", " "]}):
        with pytest.raises(UsageError, match=r"--(recipes|detectors) .*: (nsa is there twice|a name is empty)"):
            Request.of("photos", **wrong)


@pytest.mark.parametrize("workers", ["2", 2.0, True, 0])
def test_workers_are_a_whole_number(workers, tmp_path):
    for call in (
        lambda: anomgen.make("nsa", tmp_path / "out", workers=workers),
        lambda: anomgen.tune("builtin:brick", out=tmp_path / "tuned.yaml", workers=workers),
        lambda: anomgen.preview(rows=workers, out=tmp_path / "sheet.png"),
    ):
        with pytest.raises(UsageError, match=r"--workers|--rows"):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"engine": "rai"}, {"address": "host:1"}, {"workers": 0}])
def test_a_dry_run_refuses_the_engine_that_the_run_refuses(options, tmp_path):
    for dry_run in (True, False):
        with pytest.raises(UsageError, match=r"engine|--workers"):
            anomgen.make("nsa", tmp_path / "out", dry_run=dry_run, **options)


def test_a_dataset_of_each_category_is_what_its_own_call_makes(tmp_path):
    for k, name in enumerate(("bolt", "nut")):
        pictures(tmp_path / "data" / name / "train" / "good", 6, seed=20 * k)
    told = []
    options = {"count": 4, "size": 32, "progress": lambda done, total, note="", /: told.append(note)}
    made = anomgen.make("fpi", tmp_path / "out", each=tmp_path / "data", overrides=["name=my-{category}"], **options)
    assert [one.path for one in made.each] == [tmp_path / "out" / name for name in ("bolt", "nut")]
    assert made.rows == 8 and made.provenance is None and set(told) == {"bolt", "nut"}
    alone = {"source": tmp_path / "data" / "nut", "overrides": {"name": "my-nut"}}
    anomgen.make("fpi", tmp_path / "alone", count=4, size=32, **alone)
    assert shards(tmp_path / "alone") == shards(tmp_path / "out" / "nut")
    with pytest.raises(UsageError, match="leave out --source"):
        anomgen.make("fpi", tmp_path / "o", each=tmp_path / "data", source="builtin")


def test_a_source_is_a_text_a_path_or_a_mapping(photos):
    by_mapping = anomgen.load_recipe("nsa", source={"kind": "folder", "path": str(photos)})
    assert anomgen.load_recipe("nsa", source=str(photos)) == anomgen.load_recipe("nsa", source=photos) == by_mapping
    assert anomgen.load_recipe("nsa", source="builtin:brick").source.kind == "builtin"
    with pytest.raises(UsageError, match="there is no such folder"):
        anomgen.load_recipe("nsa", source=str(photos / "gone"))


@pytest.mark.parametrize(
    ("size", "stored"), [(64, 64), ((32, 48), (32, 48)), ([32, 48], (32, 48)), ("32x48", (32, 48)), ("native", None)]
)
def test_a_size_is_a_number_a_pair_or_native(size, stored, photos):
    assert anomgen.load_recipe("nsa", source=photos, size=size).source.size == stored
    with pytest.raises(UsageError, match="write N, HxW"):
        anomgen.load_recipe("nsa", size="64 by 64")


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
