"""`replay`: a row is made again from its record, and what changed since is named."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from small import recipe

from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe
from anomgen.making.replay import replay


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "nsa"
    make(recipe(count=32), out)
    return out


def test_replay_is_bit_identical_and_notices_other_images(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = load_recipe("nsa", source={"kind": "folder", "path": str(photos)}, count=32)
    make(chosen, tmp_path / "out")
    dataset = Dataset(tmp_path / "out")
    for index in (0, 1, 17, 31):
        assert replay(dataset, index).identical
    shutil.move(photos, tmp_path / "moved")
    with pytest.raises(UsageError, match="--source"):
        replay(dataset, 0)
    assert replay(dataset, 0, str(tmp_path / "moved")).identical
    (tmp_path / "moved" / "a" / "001.png").unlink()
    with pytest.raises(UsageError, match="not the 12"):
        replay(dataset, 0, str(tmp_path / "moved"))


def test_replay_notices_a_changed_record(made, tmp_path):

    shutil.copytree(made, tmp_path / "copy")
    shard = tmp_path / "copy" / "data" / "train-00000-of-00001.parquet"
    table = pq.read_table(shard)
    swapped = table.set_column(
        table.column_names.index("severity"), table.schema.field("severity"), [np.full(len(table), 0.5, np.float32)]
    )
    pq.write_table(swapped, shard)
    result = replay(Dataset(tmp_path / "copy"), 0)
    assert result.different == ("severity",)


def test_replay_measures_by_the_recorded_boundary(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    file = tmp_path / "copy" / "provenance.json"
    provenance = json.loads(file.read_text())
    provenance["detectability"]["boundary"] *= 2
    file.write_text(json.dumps(provenance))
    anomalous = next(row["index"] for row in Dataset(made).rows(["index", "label"]) if row["label"])
    assert replay(Dataset(tmp_path / "copy"), anomalous).different == ("detectability",)
    provenance["detectability"]["whiten"] = 3
    file.write_text(json.dumps(provenance))
    with pytest.raises(UsageError, match=r"provenance\.json: damaged \(detectability\)"):
        replay(Dataset(tmp_path / "copy"), anomalous)


@pytest.mark.parametrize(
    "changed, key",
    [
        ("texture", "generator.texture.path"),
        ("foreground", "foreground.path"),
        ("model", "generator.model"),
        ("parts.1.model", "generator.parts.1.model"),
        ("parts.0.texture", "generator.parts.0.texture.path"),
    ],
)
def test_replay_names_the_key_of_what_changed(made, tmp_path, changed, key):
    shutil.copytree(made, tmp_path / "copy")
    file = tmp_path / "copy" / "provenance.json"
    provenance = json.loads(file.read_text())
    provenance["resolved"]["resources"] = {changed: "other"}
    file.write_text(json.dumps(provenance))
    with pytest.raises(UsageError, match=f"under {changed} are not those.*--set {key}=FOLDER"):
        replay(Dataset(tmp_path / "copy"), 0)
