"""Trees of files, read back by their tools or by a reader written here from the rules, and the names of classes."""

import csv
import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from exported import pixels, same

from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError
from anomgen.exporters.conformance import made_dataset
from anomgen.exporters.export import export


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return made_dataset(tmp_path_factory.mktemp("made") / "dataset")


@pytest.fixture(scope="module")
def rows(dataset):
    """Index → row, decoded."""
    return {row["index"]: row for row in Dataset(dataset).rows()}


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ader", "coco", "folder", "labelstudio", "mvtec", "visa", "yolo"])
def test_classes_are_called_what_the_user_calls_them(dataset, tmp_path, name):
    out = tmp_path / "out"
    export(dataset, name, out, overrides={"names": {"nsa": "chip"}})
    texts = [path.relative_to(out).as_posix() for path in out.rglob("*")]
    texts += [path.read_text() for path in out.rglob("*.*") if path.suffix in (".csv", ".json", ".yaml", ".xml")]
    assert any("chip" in text for text in texts) and any("scar" in text for text in texts)
    assert Dataset(dataset).columns.defect_types == ("nsa", "scar")


def test_a_class_may_get_the_name_of_another_generators_class(dataset, tmp_path):
    """The numbers stay those of the dataset's own classes."""
    out = tmp_path / "out"
    export(dataset, "yolo", out, overrides={"names": {"scar": "scratch"}})
    assert yaml.safe_load((out / "data.yaml").read_text())["names"] == {0: "nsa", 1: "scratch"}
    lines = "".join(path.read_text() for path in out.rglob("labels/*/*.txt")).splitlines()
    assert {line.split()[0] for line in lines} == {"0", "1"}
    export(dataset, "folder", tmp_path / "folder", overrides={"names": {"scar": "scratch"}})
    schema = pq.read_schema(next((tmp_path / "folder").rglob("metadata.parquet")))
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["defect_type"]["names"] == ["normal", "nsa", "scratch"]


@pytest.mark.parametrize("names", [{"nsa": "defect", "scar": "defect"}, {"scar": "nsa"}, "defect"], ids=str)
@pytest.mark.parametrize("name", ["ader", "coco", "folder", "labelstudio", "mvtec", "visa", "yolo"])
def test_types_of_one_name_are_one_class(dataset, rows, tmp_path, name, names):
    out, called = tmp_path / "out", names if isinstance(names, str) else names["scar"]
    exported = export(dataset, name, out, overrides={"names": names})
    assert {kind for part in exported.splits.values() for kind in part} == {"normal", called}
    assert sum(part.get(called, 0) for part in exported.splits.values()) == sum(row["label"] for row in rows.values())
    note = f"The class {called!r} holds the defect types nsa, scar."
    assert note in exported.notes and note in (out / "README.md").read_text()
    assert not any("scar" in path.name for path in out.rglob("*"))


def test_one_class_has_one_number(dataset, tmp_path):
    yolo, coco, visa = (export(dataset, name, tmp_path / name, overrides={"names": "defect"}).path for name in NUMBERED)
    assert yaml.safe_load((yolo / "data.yaml").read_text())["names"] == {0: "defect"}
    lines = "".join(path.read_text() for path in yolo.rglob("labels/*/*.txt")).splitlines()
    assert len(lines) > 12 and {line.split()[0] for line in lines} == {"0"}
    for file in coco.glob("annotations/*.json"):
        found = json.loads(file.read_text())
        assert [(each["id"], each["name"]) for each in found["categories"]] == [(1, "defect")]
        assert {each["category_id"] for each in found["annotations"]} == {1}
    assert {int(pixels(path).max()) for path in visa.rglob("Masks/Anomaly/*.png")} == {1}


NUMBERED = ("yolo", "coco", "visa")


def test_two_types_may_change_their_names(dataset, tmp_path):
    export(dataset, "yolo", tmp_path / "out", overrides={"names": {"nsa": "scar", "scar": "nsa"}})
    assert yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())["names"] == {0: "scar", 1: "nsa"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"nas": "chip"}, "no defect type 'nas'; did you mean 'nsa'"),
        ({"nsa": ""}, "the defect type '' has no name; give it another name with --set names='{nsa: NAME}'"),
        ("", r"names: must have at least 1 character"),
        (["defect"], r"names: must be a mapping, such as {nsa: scratch}"),
    ],
)
def test_a_name_that_cannot_be_is_refused(dataset, tmp_path, names, message):
    with pytest.raises(UsageError, match=message):
        export(dataset, "coco", tmp_path / "out", overrides={"names": names})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["mvtec", "visa", "yolo", "coco", "ader", "folder", "labelstudio"])
@pytest.mark.parametrize(("names", "other"), [({"nsa": "OK"}, "'{nsa: NAME}'"), ("good", "NAME"), ("normal", "NAME")])
def test_no_format_calls_a_defect_like_normal_images(dataset, tmp_path, name, names, other):
    said = f"is called like normal images; give it another name with --set names={other}"
    with pytest.raises(UsageError, match=re.escape(said)):
        export(dataset, name, tmp_path / "out", overrides={"names": names})
    assert not (tmp_path / "out").exists()


def test_the_load_line_of_visa_is_for_categories_that_anomalib_takes(dataset, tmp_path):
    known = export(dataset, "visa", tmp_path / "a", overrides={"category": "pcb1"})
    other = export(dataset, "visa", tmp_path / "b", overrides={"category": "part"})
    assert "anomalib.data.Visa" in str(known.load) and "anomalib" not in str(other.load)
    assert any("'part' is none; export it with --set category=candle" in note for note in other.notes)


# --- the layouts of the field ---------------------------------------------------------------------------------------


def test_ader_rows_name_images_and_masks(dataset, rows, tmp_path):
    """Read as ADer does: paths below the root, an empty mask path for a normal image, a mask of 0 and 255."""
    export(dataset, "ader", tmp_path / "out", overrides={"category": "part"})
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    found = {}
    for split in ("train", "test"):
        assert list(meta[split]) == ["part"]
        for entry in meta[split]["part"]:
            row = found[int(entry["img_path"][-10:-4])] = rows[int(entry["img_path"][-10:-4])]
            assert same(pixels(tmp_path / "out" / entry["img_path"]), row)
            assert entry["cls_name"] == "part" and entry["anomaly"] == row["label"]
            assert (entry["source_id"], entry["severity"]) == (row["source_id"], pytest.approx(row["severity"]))
            assert entry["detectability"] == row["detectability"]
            if entry["anomaly"]:
                assert split == "test" and entry["specie_name"] == row["defect_type"]
                assert np.array_equal(pixels(tmp_path / "out" / entry["mask_path"]), row["mask"] * np.uint8(255))
            else:
                assert entry["mask_path"] == "" and entry["specie_name"] == "good"
    assert found.keys() == rows.keys()


def rows_of(table):
    with table.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_visa_tables_name_images_and_masks(dataset, rows, tmp_path):
    out = tmp_path / "out"
    export(dataset, "visa", out, overrides={"category": "candle"})
    table = rows_of(out / "split_csv" / "1cls.csv")
    annotations = {entry["image"]: entry for entry in rows_of(out / "candle" / "image_anno.csv")}
    assert list(table[0]) == ["object", "split", "label", "image", "mask"] and len(table) == len(rows)
    for entry in table:
        row = rows[int(entry["image"][-10:-4])]
        assert entry["object"] == "candle" and entry["label"] == ("anomaly" if row["label"] else "normal")
        assert same(pixels(out / entry["image"]), row)
        assert annotations[entry["image"]]["label"] == row["defect_type"]
        assert annotations[entry["image"]]["mask"] == entry["mask"]
        if row["label"]:
            number = ["nsa", "scar"].index(row["defect_type"]) + 1
            assert entry["split"] == "test"
            assert np.array_equal(pixels(out / entry["mask"]), row["mask"] * np.uint8(number))
        else:
            assert entry["mask"] == ""


@pytest.mark.parametrize("name", ["mvtec", "visa", "ader"])
def test_the_layouts_are_sources_again(dataset, rows, tmp_path, name):
    """Their normal training part, as the sources of that layout read it."""
    from anomgen.sources import detect
    from anomgen.sources.base import build_source

    result = export(dataset, name, tmp_path / "out", overrides={"category": "part"})
    found = detect(str(tmp_path / "out" / "part"))
    assert found["kind"] == ("visa" if name == "visa" else "mvtec")
    source = build_source({**found, "size": None}).open()
    assert len(source) == result.splits["train"]["normal"]
    for k in range(len(source)):
        assert same(source[k], rows[int(source.id(k)[-10:-4])])


@pytest.mark.parametrize("name", ["mvtec", "mvtec/part", "ader", "folder"])
def test_datasets_loads_the_tree_with_masks_and_all_columns(dataset, rows, tmp_path, name):
    datasets = pytest.importorskip("datasets", reason="the extra `hub` has datasets")
    export(
        dataset,
        name.split("/")[0],
        tmp_path / name.split("/")[0],
        overrides={} if name == "folder" else {"category": "part"},
    )
    loaded = datasets.load_dataset(str(tmp_path / name), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "test"}
    original = datasets.load_dataset(
        "parquet", data_files=str(dataset / "data" / "*"), split="train", cache_dir=str(tmp_path / "cache")
    )
    found = set()
    for split in loaded.values():
        for column, feature in split.features.items():
            assert feature == original.features[column], column
        for entry in split:
            row = rows[entry["index"]]
            found.add(entry["index"])
            assert same(np.asarray(entry["image"]), row)
            if entry["mask"] is None:
                assert name != "folder" and not row["label"]
            else:
                assert np.array_equal(np.asarray(entry["mask"]), row["mask"] * np.uint8(255))
            small = [column for column in split.features if column not in ("image", "mask", "soft_mask", "normal")]
            stored = original[entry["index"]]
            assert {column: entry[column] for column in small} == {column: stored[column] for column in small}
            if name == "folder":
                for column in ("soft_mask", "normal"):
                    assert np.array_equal(np.asarray(entry[column]), np.asarray(stored[column]))
    assert found == set(rows)


@pytest.mark.parametrize("name", ["mvtec", "mvtec/part", "ader", "ader/part", "folder"])
def test_exports_whose_folders_have_the_same_name_do_not_share_a_cache(dataset, tmp_path, name):
    """Neither with other data nor with other pixels that take as many bytes: `datasets` sees the cards alone."""
    datasets = pytest.importorskip("datasets", reason="the extra `hub` has datasets")
    to, *below = name.split("/")
    settings = {} if to == "folder" else {"category": "part"}
    again = made_dataset(tmp_path / "again")
    smaller = made_dataset(tmp_path / "smaller", shape=(40, 48, 3), count=12)
    places = [tmp_path / part / "out" for part in "abc"]
    for made, out in zip((dataset, again, smaller), places, strict=True):
        export(made, to, out, overrides=settings)
    seen = [_loaded(datasets, out.joinpath(*below), tmp_path) for out in places]
    assert [len(found) for found in seen] == [24, 24, 12] and seen[0] == seen[1]
    assert {shape for shape, _ in seen[0].values()} == {(48, 64, 3)}
    assert {shape for shape, _ in seen[2].values()} == {(40, 48, 3)}
    _swap_two_images(dataset, tmp_path / "swapped")
    out = tmp_path / "d" / "out"
    export(tmp_path / "swapped", to, out, overrides=settings)
    swapped = _loaded(datasets, out.joinpath(*below), tmp_path)
    assert swapped != seen[0] and (swapped[0], swapped[2]) == (seen[0][2], seen[0][0])


def _loaded(datasets, folder, tmp_path):
    """Return index → shape and pixels of an image, read with one cache."""
    parts = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    images = {entry["index"]: np.asarray(entry["image"]) for part in parts.values() for entry in part}
    return {index: (image.shape, image.tobytes()) for index, image in images.items()}


def _swap_two_images(dataset, folder):
    """Write the dataset with the pictures of two normal rows exchanged: as many rows, as many bytes."""
    shutil.copytree(dataset, folder)
    (shard,) = (folder / "data").iterdir()
    table = pq.read_table(shard)
    images = table["image"].to_pylist()
    images[0], images[2] = images[2], images[0]
    field = table.schema.field("image")
    table = table.set_column(table.schema.names.index("image"), field, pa.array(images, field.type))
    pq.write_table(table, shard)


def test_a_part_of_normal_images_alone_still_loads(tmp_path):
    """The training part has no mask to tell the column's type from."""
    datasets = pytest.importorskip("datasets", reason="the extra `hub` has datasets")
    export(made_dataset(tmp_path / "dataset"), "mvtec", tmp_path / "out", overrides={"train_share": 0})
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["test"] and loaded["test"].num_rows == 24
