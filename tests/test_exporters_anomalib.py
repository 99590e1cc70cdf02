"""The exports in anomalib's own data modules (anomalib 2.7), pixel by pixel; skipped where anomalib is missing."""

import re
from pathlib import Path

import numpy as np
import pytest

from anomgen.dataset.reader import Dataset
from anomgen.exporters.conformance import made_dataset
from anomgen.exporters.export import export

data = pytest.importorskip("anomalib.data", reason="anomalib, a large package, is not installed")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return made_dataset(tmp_path_factory.mktemp("made") / "dataset")


@pytest.fixture(scope="module")
def rows(dataset):
    return {row["index"]: row for row in Dataset(dataset).rows()}


SETTINGS = {"train_batch_size": 4, "eval_batch_size": 4, "num_workers": 0, "val_split_mode": "none"}


def read(module, rows):
    """Compare every item with its row; return the names of the images in each part."""
    module.prepare_data()
    module.setup()
    found = {}
    for part, items in (("train", module.train_data), ("test", module.test_data)):
        found[part] = [Path(path).name for path in items.samples["image_path"]]
        for item in items:
            row = rows[int(Path(item.image_path).stem)]
            image = np.rint(item.image.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
            assert np.array_equal(image, row["image"])
            assert int(item.gt_label) == row["label"]
            if row["label"] or item.gt_mask is not None:
                assert np.array_equal(item.gt_mask.numpy().astype(bool), row["mask"])
    return found


def split_of(result, found, rows):
    normal = [name for name in found["train"] if not rows[int(name[:6])]["label"]]
    assert len(normal) == len(found["train"]) == result.splits["train"]["normal"]
    return sorted([*found["train"], *found["test"]])


@pytest.mark.parametrize("name", ["mvtec", "ader"])
def test_the_data_module_of_mvtec_ad(dataset, rows, tmp_path, name):
    result = export(dataset, name, tmp_path / "out", overrides={"category": "part"})
    found = read(data.MVTecAD(root=tmp_path / "out", category="part", **SETTINGS), rows)
    assert split_of(result, found, rows) == [f"{index:06d}.png" for index in sorted(rows)]


def test_the_data_module_of_visa(dataset, rows, tmp_path):
    result = export(dataset, "visa", tmp_path / "out", overrides={"category": "candle"})
    found = read(data.Visa(root=tmp_path / "out", category="candle", **SETTINGS), rows)
    assert split_of(result, found, rows) == [f"{index:06d}.png" for index in sorted(rows)]


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_the_data_module_of_folders_as_the_export_says_it(dataset, rows, tmp_path, share):
    result = export(dataset, "folder", tmp_path / "out", overrides={"train_share": share})
    call = re.search(r"anomalib\.data\.Folder\((.*)\)", result.load)[1]
    found = read(data.Folder(**eval(f"dict({call})"), **SETTINGS), rows)
    assert len(found["test"]) == sum(result.splits["test"].values())
    assert len(found["train"]) == result.splits["train"]["normal"]


def test_a_thousand_and_more_images_pair_rightly(tmp_path):
    """Images and masks are paired by their order; names of fewer digits would be mixed up."""
    many = made_dataset(tmp_path / "dataset", shape=(32, 32, 1), count=2400)
    result = export(many, "mvtec", tmp_path / "out", overrides={"category": "part"})
    module = data.MVTecAD(root=tmp_path / "out", category="part", **SETTINGS)
    module.setup()
    samples = module.test_data.samples
    anomalous = samples[samples["label_index"] == 1]
    assert len(anomalous) == 1200 and result.splits["test"]["nsa"] == 600
    for image, mask in zip(anomalous["image_path"], anomalous["mask_path"], strict=True):
        assert Path(mask).name == f"{Path(image).stem}_mask.png" and Path(mask).parent.name == Path(image).parent.name


def test_batches_of_the_data_module(dataset, tmp_path):
    export(dataset, "mvtec", tmp_path / "out", overrides={"category": "part"})
    module = data.MVTecAD(root=tmp_path / "out", category="part", **SETTINGS)
    module.setup()
    batch = next(iter(module.test_dataloader()))
    assert batch.image.shape == (4, 3, 48, 64) and batch.gt_mask.shape == (4, 48, 64)
    assert set(np.unique(batch.gt_mask.numpy())) <= {0, 1}
