"""What `anomgen check` says of a recipe that is not that of the rows, and of files that are none of the dataset's."""

import shutil

import pytest
import yaml
from made_dataset import write_dataset

from anomgen.dataset.reader import Dataset
from anomgen.dataset.writer import shard_name
from anomgen.making.check import check, check_dataset
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("drawn") / "d"
    make(load_recipe("perlin", count=2, size=32, overrides=["source.count=2"]), out)
    assert check(out).ok
    return out


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("anomaly_ratio", 0.9),
        ("test_share", [1, 0]),
        ("generator.kind", "nosuch"),
        ("generator.exponent_range", [0, 4]),
        ("source.size", "%s%n"),
        ("source.fit", "~root"),
        ("foreground", "http://host/x"),
    ],
)
def test_a_recipe_that_was_changed_is_told(drawn, tmp_path, key, value):
    """The rows are sound, but the recipe beside them is none, or makes others."""
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    recipe = yaml.safe_load((drawn / "recipe.yaml").read_text(encoding="utf-8"))
    *above, last = key.split(".")
    part = recipe[above[0]] if above else recipe
    part[last] = value
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert "record" in {violation.rule for violation in check(tmp_path).violations}


@pytest.mark.parametrize(
    ("file", "old", "new", "rule"),
    [
        ("README.md", "license: cc0-1.0", "license: mit", "card"),
        ("README.md", "num_examples: 2", "num_examples: 7", "card"),
        ("README.md", "license: cc0-1.0", "license: [", "card"),
        ("provenance.json", '"license": "cc0-1.0"', '"license": "mit"', "card"),
        ("provenance.json", '"kind": "builtin",\n    "count"', '"kind": "folder",\n    "count"', "record"),
        ("provenance.json", '"count": 2', '"count": 3', "record"),
        ("README.md", "# ", "# Mine: mit, 7 rows. ", None),
        ("README.md", "license: cc0-1.0", "license: unknown", None),
        ("README.md", "dataset_info:", "dataset_info: 5\nmine:", None),
    ],
)
def test_a_card_and_a_provenance_that_disagree_are_told(drawn, tmp_path, file, old, new, rule):
    """Of a card the metadata count, the text may be edited."""
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    text = (drawn / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert {violation.rule for violation in check(tmp_path).violations} == ({rule} if rule else set())


def test_a_file_that_loaders_would_read_as_rows_is_named(tmp_path):
    folder = write_dataset(tmp_path / "d")
    shutil.copy(folder / "data" / shard_name(0, 2), folder / "data" / "train-extra.parquet")
    (found,) = check_dataset(Dataset(folder)).violations
    assert found.rule == "shards" and "data/train-extra.parquet is no file of anomgen" in found.examples[0]


def test_a_card_and_a_provenance_that_name_other_data_sets_are_told(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    for file, old, new in (
        ("README.md", "license: cc0-1.0", "license: cc0-1.0\nsource_datasets: [somebody/screws]"),
        ("provenance.json", '"dataset": null', '"dataset": "somebody/else"'),
    ):
        text = (drawn / file).read_text(encoding="utf-8")
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert [violation.rule for violation in check(tmp_path).violations] == ["card"]
