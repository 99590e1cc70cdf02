"""What anomgen 0.1.0 wrote is read by this version: a dataset, a Cycle-GAN and a DDPM, their weights set to zero."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from anomgen.dataset.reader import Dataset
from anomgen.exporters.export import export
from anomgen.making.check import check

STORED = Path(__file__).parent / "fixtures" / "0.1.0.zip"


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    with zipfile.ZipFile(STORED) as stored:
        stored.extractall(folder)
    return folder


def test_a_dataset_of_0_1_0_is_read(old):
    dataset = Dataset(old / "dataset")
    rows = list(dataset.rows())
    assert [(row["index"], row["label"], row["defect_type"]) for row in rows] == [
        (0, 1, "perlin"),
        (1, 0, "normal"),
        (2, 1, "perlin"),
        (3, 0, "normal"),
    ]
    assert dataset.columns.defect_types == ("perlin",) and dataset.provenance["anomgen"] == "0.1.0"
    pixels = hashlib.sha256(b"".join(row[name].tobytes() for row in rows for name in ("image", "mask", "normal")))
    assert pixels.hexdigest() == "f31ec217a139f3862ed5c01f8a6a13ae1125aa966f00227207a398dcc0b658a6"


def test_a_dataset_of_0_1_0_is_sound_and_can_be_exported(old, tmp_path):
    report = check(old / "dataset")
    assert report.ok and report.compared == 2, report.render()
    assert export(old / "dataset", "folder", tmp_path / "out").rows == 4


def test_a_cyclegan_of_0_1_0_is_read(old):
    pytest.importorskip("torch")
    from anomgen.models.cyclegan.model import load_translators
    from anomgen.models.use import trained_on

    model = load_translators(old / "cyclegan")
    assert model.description.shape == (32, 32, 3) and model.description.width == 4
    assert len(trained_on(old / "cyclegan")) == 20
    image = np.full((32, 32, 3), 51, np.uint8)
    assert np.allclose(model.to_abnormal.change(image), 0.5 - 51 / 255, atol=1e-6)  # of zeros it makes mid-grey


def test_a_ddpm_of_0_1_0_is_read(old):
    pytest.importorskip("diffusers")
    from anomgen.models.sdas.model import load_sdas

    model = load_sdas(str(old / "sdas"))
    assert model.shape == (32, 32, 1) and model.categories == ("brick",)
    drawn = model.draw([np.random.default_rng(0)], [0.0], steps=2)
    assert drawn[0].shape == (32, 32, 1) and np.isfinite(drawn[0]).all()
