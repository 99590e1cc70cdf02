"""A split for testing: no image, nor what was made with it, is in both parts, and without one nothing changes."""

from pathlib import Path

import numpy as np
import pytest

from anomgen.dataset.card import front_matter
from anomgen.dataset.reader import Dataset
from anomgen.dataset.statistics import statistics
from anomgen.errors import AnomgenError, UsageError
from anomgen.exporters import base
from anomgen.making.check import check
from anomgen.making.engine import Plan, Renderer
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe
from anomgen.making.replay import replay
from anomgen.making.splits import train_count
from anomgen.sources.subset import Subset


@pytest.fixture(scope="module")
def recipe(photos_of_all):
    return load_recipe("nsa", source=photos_of_all, size=48, count=60, overrides={"test_share": 0.25, "shard_size": 16})


@pytest.fixture(scope="module")
def photos_of_all(tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    for k in range(12):
        values = np.random.default_rng(k).integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(values).resize((48, 48), Image.Resampling.BICUBIC).save(folder / f"{k:02d}.png")
    return str(folder)


@pytest.fixture(scope="module")
def made(recipe, tmp_path_factory):
    return Dataset(make(recipe, tmp_path_factory.mktemp("split") / "out").path)


def sources(dataset, split):
    rows = dataset.table(["source_id", "index"]).to_pydict()
    bound = 48
    return {name for name, k in zip(rows["source_id"], rows["index"], strict=True) if (k >= bound) == (split == "test")}


def test_a_dataset_has_a_test_split_that_datasets_loads_and_no_image_is_in_both(made):
    assert [file.name for file in made.shards] == [
        *(f"train-{k:05d}-of-00004.parquet" for k in range(3)),
        "test-00003-of-00004.parquet",
    ]
    assert len(sources(made, "test")) == 3 and len(sources(made, "train")) == 9
    assert not sources(made, "test") & sources(made, "train")
    report = check(made.path)
    assert report.ok, report
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(made.path), cache_dir=str(made.path.parent / "cache"))
    assert {name: part.num_rows for name, part in loaded.items()} == {"train": 48, "test": 12}
    assert loaded["test"][0]["index"] == 48


def test_donors_of_the_test_rows_are_test_images_and_those_of_training_are_not(recipe, monkeypatch):
    seen = []
    monkeypatch.setattr(type(recipe.generator), "sample", lambda self, rng, image, pool: seen.append(pool) or 1 / 0)
    renderer = Renderer(Plan.of(recipe))
    for index in (0, 46, 48, 58):
        with pytest.raises(ZeroDivisionError):
            renderer.row(index)
    ids = [{pool.source.id(k) for k in range(len(pool))} for pool in seen]
    assert ids[0] == ids[1] and ids[2] == ids[3] and not ids[0] & ids[2] and len(ids[0] | ids[2]) == 12
    assert renderer.position(0, 0) not in seen[2].source.positions


def test_the_card_says_the_splits_and_exports_keep_to_them(made):
    front = front_matter(made, made.provenance, made.recipe, statistics(made))
    assert front["configs"][0]["data_files"] == [
        {"split": "train", "path": "data/train-*"},
        {"split": "test", "path": "data/test-*"},
    ]
    assert [(one["name"], one["num_examples"]) for one in front["dataset_info"]["splits"]] == [
        ("train", 48),
        ("test", 12),
    ]
    assert "`test` (12;" in (made.path / "README.md").read_text()
    assert base.SplitExporter().training_sources(made) == sources(made, "train")


def test_rows_of_both_splits_are_replayed_bit_for_bit(made, photos_of_all):
    for index in (3, 50):
        assert replay(made.path, index, source=photos_of_all).identical


def test_without_a_test_share_fingerprint_and_rows_are_those_of_before(photos_of_all, recipe):
    plain = load_recipe("nsa", source=photos_of_all, size=48, count=60, overrides={"shard_size": 16})
    assert "test_share" not in plain.canonical() and plain.train_count == 60
    assert recipe.canonical()["test_share"] == 0.25 and recipe.fingerprint() != plain.fingerprint()


@pytest.mark.parametrize(
    ("count", "share", "rows"),
    [
        (100, 0.2, 80),
        (1000, 0.2, 800),
        (1000, 0.99, 16),
        (17, 0.5, 16),
        (32, 0.01, 16),
        (9, 0, 9),
        (16, 0.25, 12),
        (2, 0.9, 1),
    ],
)
def test_the_rows_for_training_are_whole_blocks(count, share, rows):
    assert train_count(count, 16, share) == rows


def test_too_few_rows_or_images_for_two_parts_are_refused(photos_of_all, recipe):
    with pytest.raises(AnomgenError, match="test_share: one row cannot be"):
        load_recipe("nsa", source=photos_of_all, count=1, overrides={"test_share": 0.25})
    plan = Plan.of(recipe)
    object.__setattr__(plan, "source", Subset(plan.source, range(3)))
    with pytest.raises(
        UsageError, match="test_share: either part needs 2 different normal images or more, and there are 3"
    ):
        Renderer(plan)


def test_equal_images_are_in_one_part_and_count_once(photos_of_all, tmp_path, recipe):
    from PIL import Image

    for file in sorted(Path(photos_of_all).iterdir()):
        (tmp_path / file.name).write_bytes(file.read_bytes())
        Image.open(file).save(tmp_path / f"y{file.stem}.bmp")  # other bytes, the same pixels
    source = load_recipe("nsa", source=str(tmp_path), size=48).source
    renderer = Renderer(Plan.of(recipe.model_copy(update={"source": source})))
    train, test = ([name.removeprefix("y")[:2] for name in ids(part)] for part in renderer._parts)
    assert len(train) == 18 and len(test) == 6 and not set(train) & set(test)
    renderer.plan.source._contents = renderer.plan.source._contents[:3] * 8
    with pytest.raises(UsageError, match=r"there are 3 among 24: some are equal, such as 00\.png and 03\.png"):
        Renderer(renderer.plan)


def ids(part):
    return [part.pool.source.id(k) for k in range(len(part.pool))]
