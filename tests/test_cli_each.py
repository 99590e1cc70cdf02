"""`anomgen make --each`: one command makes the datasets of all categories, and goes on where it was stopped."""

import json

import pytest
from learned import pictures
from typer.testing import CliRunner

from anomgen.cli import app
from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError


@pytest.fixture
def data(tmp_path):
    """Two data sets in the layout of MVTec AD, of two categories and of one."""
    for k, place in enumerate(("mvtec/bolt", "mvtec/nut", "btad/01")):
        pictures(tmp_path / place / "train" / ("ok" if k == 2 else "good"), 6, seed=20 * k)
    return tmp_path


def make(data, *words, recipe="cutpaste"):
    command = ["make", "-r", recipe, "--each", str(data / "mvtec"), "--each", str(data / "btad"), "--size", "32"]
    return CliRunner().invoke(app, [*command, "-n", "4", "-o", str(data / "out"), *words])


def test_a_dataset_of_each_category_is_made_and_none_twice(data):
    done = make(data)
    assert done.exit_code == 0, done.output
    first = {name: (data / "out" / name / "provenance.json").read_bytes() for name in ("bolt", "nut", "01")}
    sources = {name: json.loads(text)["source"]["fingerprint"] for name, text in first.items()}
    assert len(set(sources.values())) == 3 and all(len(Dataset(data / "out" / name)) == 4 for name in first)
    again = make(data)
    assert "holds a finished dataset" in str(again.exception)
    for folder in ("nut/provenance.json", "nut/README.md"):
        (data / "out" / folder).unlink()
    (next((data / "out" / "nut" / "data").iterdir())).unlink()
    went_on = make(data, "--resume", "--json")
    assert went_on.exit_code == 0, went_on.output
    assert [made["made"] for made in json.loads(went_on.stdout)] == [0, 4, 0]
    assert {name: (data / "out" / name / "provenance.json").exists() for name in first} == dict.fromkeys(first, True)


def test_the_categorys_name_stands_in_changes(data):
    done = make(data, "--set", "name=my-{category}")
    assert done.exit_code == 0, done.output
    assert [Dataset(data / "out" / name).recipe["name"] for name in ("bolt", "01")] == ["my-bolt", "my-01"]


@pytest.mark.parametrize(
    ("words", "text"), [(["-s", "builtin"], "leave out --source"), (["--each", "MVTEC/bolt"], "two categories called")]
)
def test_what_does_not_go_together_is_refused(data, words, text):
    done = make(data, *(word.replace("MVTEC", str(data / "mvtec")) for word in words))
    assert isinstance(done.exception, UsageError) and text in str(done.exception)
    assert not (data / "out").exists()


def test_the_folder_for_them_must_be_named(data, monkeypatch):
    monkeypatch.chdir(data)
    done = CliRunner().invoke(app, ["make", "-r", "cutpaste", "--each", str(data / "mvtec")])
    assert isinstance(done.exception, UsageError) and "with -o" in str(done.exception)
