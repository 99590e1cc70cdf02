"""Throwing samples out: recorded beside the rows, left out of exports and pushes, told by the card."""

import json

import numpy as np
import pytest
from made_dataset import write_dataset

from anomgen.dataset.left_out import leave_out, without_left_out
from anomgen.dataset.reader import Dataset
from anomgen.dataset.statistics import statistics
from anomgen.errors import UsageError
from anomgen.exporters.export import export
from anomgen.hub.upload import upload_of
from anomgen.making.check import check
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe
from anomgen.making.replay import replay


@pytest.fixture
def made(photos, tmp_path):
    recipe = load_recipe("perlin", source=photos, size=48, count=24, overrides={"shard_size": 16})
    return Dataset(make(recipe, tmp_path / "made").path)


def test_thrown_out_rows_are_listed_and_no_row_is_changed(made):
    before = [shard.read_bytes() for shard in made.shards]
    card = (made.path / "README.md").read_text()
    assert leave_out(made, [3, 20, 3]).left_out == frozenset({3, 20})
    assert json.loads((made.path / "left-out.json").read_text())["rows"] == [3, 20]
    assert [shard.read_bytes() for shard in made.shards] == before and len(Dataset(made.path)) == 24
    assert "Of these rows, 2 were looked at and thrown out" in (made.path / "README.md").read_text()
    assert check(made.path).ok
    leave_out(made, [])
    assert (made.path / "README.md").read_text() == card and not (made.path / "left-out.json").exists()


def test_a_card_that_was_edited_stays_as_it_is(made):
    (made.path / "README.md").write_text("mine")
    leave_out(made, [3])
    assert (made.path / "README.md").read_text() == "mine"


def test_a_row_that_is_not_there_and_all_rows_are_refused(made):
    with pytest.raises(UsageError, match="no row 24"):
        leave_out(made, [24])
    with pytest.raises(UsageError, match="no row would be left"):
        leave_out(made, range(24))
    for text in ('{"rows": ["1"]}', '{"a": 1}'):
        (made.path / "left-out.json").write_text(text)
        with pytest.raises(UsageError, match=r"damaged \(rows is no list of numbers\)"):
            Dataset(made.path)


@pytest.mark.parametrize("form", ["folder", "coco", "mvtec"])
def test_an_export_holds_the_other_rows_and_says_how_many_are_not_there(made, tmp_path, form):
    whole = export(made, form, tmp_path / "whole")
    told = export(leave_out(made, [3, 20]), form, tmp_path / "export")
    assert (whole.rows, told.rows) == (24, 22)
    assert sum(sum(types.values()) for types in told.splits.values()) == 22
    assert "thrown out and are not in this export: 2" in (tmp_path / "export" / "README.md").read_text()


def test_what_is_published_lacks_them_and_passes_every_check(made, tmp_path):
    changed = leave_out(made, [3, 20])
    copy = without_left_out(changed, tmp_path / "copy")
    kept = [index for index in range(24) if index not in (3, 20)]
    assert [row["index"] for row in copy.rows(["index"])] == kept
    for index in (0, 4, 23):
        assert copy.cells(index) == made.cells(index)
    assert copy.provenance["left_out"] == [3, 20] and sum(statistics(copy)[key] for key in ("normal", "anomaly")) == 22
    assert check(copy).ok, check(copy)
    assert replay(copy, 4).identical
    text = (copy.path / "README.md").read_text()
    assert "22 images for training" in text and "2 were looked at and thrown out; their numbers are missing" in text
    upload = upload_of(copy.path, "me/it", None, "cc-by-4.0")
    assert upload.card.data["dataset_info"][0]["splits"][0]["num_examples"] == 22


def test_a_copy_that_says_less_than_it_lacks_is_found_out(made, tmp_path):
    copy = without_left_out(leave_out(made, [3, 20]), tmp_path / "copy")
    provenance = json.loads((copy.path / "provenance.json").read_text())
    (copy.path / "provenance.json").write_text(json.dumps({**provenance, "left_out": [3]}))
    assert {violation.rule for violation in check(copy.path).violations} == {"index", "count"}


def test_a_file_without_such_rows_is_the_same_file(tmp_path):
    dataset = Dataset(write_dataset(tmp_path / "d"))
    copy = without_left_out(leave_out(dataset, [0]), tmp_path / "copy")
    pairs = list(zip(dataset.shards, copy.shards, strict=True))
    assert pairs[0][0].read_bytes() != pairs[0][1].read_bytes()
    assert all(a.read_bytes() == b.read_bytes() for a, b in pairs[1:])
    assert np.array_equal(copy.row(1)["image"], dataset.row(1)["image"])
