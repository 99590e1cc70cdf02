"""Hugging Face datasets as real data."""

import cv2
import pytest
from layouts import blob, noise

from anomgen.errors import SourceError, UsageError
from anomgen.score.data import load
from anomgen.sources.conformance import check_source


@pytest.fixture
def datasets(tmp_path_factory, monkeypatch):
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    return library


def png(array):
    return {"bytes": cv2.imencode(".png", array)[1].tobytes(), "path": None}


def table(datasets, labels, column="label", first=0, masks=True):
    features = {"mask": datasets.Image(), "image": datasets.Image(), column: datasets.Value("string")}
    return datasets.Dataset.from_dict(
        {
            "mask": [png(blob()) if masks and label != "good" else None for label in labels],
            "image": [png(noise(first + i)) for i in range(len(labels))],
            column: labels,
        },
        features=datasets.Features(features),
    )


def parquet(root, **splits):
    (root / "data").mkdir(parents=True)
    for name, dataset in splits.items():
        dataset.to_parquet(root / "data" / f"{name}-00000-of-00001.parquet")
    return str(root)


def test_a_dataset_with_a_test_split(tmp_path, datasets):
    train, test = table(datasets, ["good"] * 5), table(datasets, ["good", "crack", "hole"], first=10)
    data = load(parquet(tmp_path / "parts", train=train, test=test), 32)
    assert (data.name, len(data.train), len(data.validation)) == ("parts", 4, 1)
    assert data.test.ids == ("test/000000", "test/000001", "test/000002")
    assert data.test.defect_types == ("normal", "crack", "hole")
    assert data.test.masks.any(axis=(1, 2)).tolist() == [False, True, True]
    check_source(data.train)


def test_a_dataset_of_one_split_or_a_named_one(tmp_path, datasets):
    rows = table(datasets, ["good"] * 10 + ["crack"] * 2, column="defect_type")
    path = parquet(tmp_path, train=rows, extra=rows)
    with pytest.raises(UsageError, match=r"has the splits .*; name the one to use"):
        load(path, 32)
    data = load(f"{path}:extra", 32)
    assert (len(data.train), len(data.validation), data.test.defect_types.count("normal")) == (6, 1, 3)


def test_a_saved_dataset_with_numbers_for_labels(tmp_path, datasets):
    rows = table(datasets, ["good"] * 4 + ["x"], masks=False).remove_columns("label")
    rows.add_column("label", [0, 0, 0, 0, 1]).save_to_disk(tmp_path / "saved")
    data = load(str(tmp_path / "saved"), 32)
    assert data.test.masks is None and data.test.defect_types.count("anomaly") == 1


def test_datasets_that_say_too_little(tmp_path, datasets):
    rows = table(datasets, ["a", "b", "c"])
    with pytest.raises(UsageError, match=r"no column says which rows are normal.*label: a, b, c"):
        load(parquet(tmp_path / "a", train=rows), 32)
    with pytest.raises(UsageError, match="its columns are mask, image"):
        load(parquet(tmp_path / "b", train=rows.remove_columns("label")), 32)
    with pytest.raises(UsageError, match="no column of images"):
        load(parquet(tmp_path / "c", train=rows.remove_columns("image")), 32)
    some = table(datasets, ["good"] * 4 + ["a", "b"]).to_list()
    some[-1]["mask"] = None
    features = rows.features
    with pytest.raises(SourceError, match="none for 1 of 2 anomalous images: train/000005"):
        load(parquet(tmp_path / "d", train=datasets.Dataset.from_list(some, features=features)), 32)


def test_a_dataset_that_anomgen_made(tmp_path, datasets):
    from anomgen import make

    make("perlin", tmp_path / "d", source="builtin", count=12, size=64, overrides=["source.count=8"])
    data = load(str(tmp_path / "d"), 32)
    assert data.test.masks is not None and data.test.labels.any() and len(data.train) > 1
