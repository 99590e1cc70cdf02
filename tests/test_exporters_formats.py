"""Each format read back by the tool it is for, or by a reader written here from the format's rules, pixel by pixel."""

import csv
import importlib.util
import json
import shutil
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from test_exporters_regions import decoded

from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError
from anomgen.exporters.conformance import made_dataset
from anomgen.exporters.export import MANIFEST, export


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return made_dataset(tmp_path_factory.mktemp("made") / "dataset")


@pytest.fixture(scope="module")
def rows(dataset):
    """Index → row, decoded."""
    return {row["index"]: row for row in Dataset(dataset).rows()}


def pixels(path):
    """Return an image as it is stored, (H, W) or (H, W, 3) RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def same(image, row):
    return np.array_equal(np.atleast_3d(image), row["image"])


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


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"nas": "chip"}, "no defect type 'nas'; did you mean 'nsa'"),
        ({"nsa": "scar"}, "'scar' would stand for two classes"),
        ({"nsa": "normal"}, "'normal' would stand for two classes"),
    ],
)
def test_a_name_that_cannot_be_is_refused(dataset, tmp_path, names, message):
    with pytest.raises(UsageError, match=message):
        export(dataset, "coco", tmp_path / "out", overrides={"names": names})
    assert not (tmp_path / "out").exists()


def test_the_load_line_of_visa_is_for_categories_that_anomalib_takes(dataset, tmp_path):
    known = export(dataset, "visa", tmp_path / "a", overrides={"category": "pcb1"})
    other = export(dataset, "visa", tmp_path / "b", overrides={"category": "part"})
    assert "anomalib.data.Visa" in str(known.load) and "anomalib" not in str(other.load)
    assert any("'part' is none; export it with --set category=candle" in note for note in other.notes)


# --- COCO -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coco(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("coco") / "out"
    export(dataset, "coco", out)
    return out


@pytest.mark.parametrize("split", ["train", "val"])
def test_pycocotools_reads_the_same_masks(coco, rows, split):
    reader = pytest.importorskip("pycocotools.coco", reason="the extra `test` has pycocotools")
    from pycocotools import mask as masks

    data = reader.COCO(str(coco / "annotations" / f"instances_{split}.json"))
    assert data.getImgIds() and [entry["name"] for entry in data.loadCats(data.getCatIds())] == ["nsa", "scar"]
    for image in data.loadImgs(data.getImgIds()):
        row = rows[image["id"]]
        assert same(pixels(coco / split / image["file_name"]), row)
        assert (image["height"], image["width"]) == row["mask"].shape
        assert (image["source_id"], image["severity"]) == (row["source_id"], pytest.approx(row["severity"]))
        assert image["detectability"] == row["detectability"]
        annotations = data.loadAnns(data.getAnnIds(image["id"]))
        held = sum(
            (data.annToMask(annotation).astype(int) for annotation in annotations), np.zeros_like(row["mask"], int)
        )
        assert np.array_equal(held, row["mask"])
        assert sorted(a["bbox"] for a in annotations) == sorted(row["boxes"])
        for annotation in annotations:
            rle = data.annToRLE(annotation)
            assert annotation["area"] == masks.area(rle) and annotation["iscrowd"] == 0
            assert annotation["bbox"] == masks.toBbox(rle).tolist()
            assert data.cats[annotation["category_id"]]["name"] == row["defect_type"]


def test_every_row_is_in_one_coco_file(coco, rows):
    files = [json.loads(path.read_text()) for path in sorted((coco / "annotations").iterdir())]
    ids = [image["id"] for file in files for image in file["images"]]
    assert sorted(ids) == sorted(rows)
    assert all(file["licenses"][0]["name"] == "cc-by-4.0" for file in files)


def test_coco_evaluation_finds_the_annotations_perfect(coco, capsys):
    """An annotation with the number 0 would count as missed, one without area as nothing."""
    reader = pytest.importorskip("pycocotools.coco", reason="the extra `test` has pycocotools")
    from pycocotools.cocoeval import COCOeval

    truth = reader.COCO(str(coco / "annotations" / "instances_train.json"))
    results = [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "score": 1.0,
            "segmentation": {**truth.annToRLE(a), "counts": truth.annToRLE(a)["counts"].decode()},
        }
        for a in truth.dataset["annotations"]
    ]
    evaluation = COCOeval(truth, truth.loadRes(results), "segm")
    evaluation.params.maxDets = [1, 10, 1000]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, -1]  # of any size, as many as there are
    assert precision.size and precision.min() == pytest.approx(1)


# --- YOLO -----------------------------------------------------------------------------------------------------------


def yolo_masks(root, split):
    """Read a part by Ultralytics' rules: stem → (image path, class → mask).

    A label file lies where `images` of the image's path is `labels`; a line is a class and at least three corners as
    shares within [0, 1]; of lines alike in class and box one is kept; corners are cut to whole pixels of float32.
    """
    data = yaml.safe_load((root / "data.yaml").read_text())
    assert "path" not in data, "without it the paths are relative to the file"
    for path in sorted((root / data[split]).iterdir()):
        label = root / data[split].replace("images", "labels") / f"{path.stem}.txt"
        h, w = pixels(path).shape[:2]
        lines = [line.split() for line in label.read_text().strip().splitlines()]
        classes, corners = [], []
        for words in lines:
            assert len(words) > 6 and len(words) % 2 == 1
            values = np.array(words, np.float32)
            assert values[0] in data["names"] and (values[1:] >= 0).all() and (values[1:] <= 1).all()
            classes.append(int(values[0]))
            corners.append(values[1:].reshape(-1, 2))
        boxes = [np.concatenate(([c], p.min(0), p.max(0))) for c, p in zip(classes, corners, strict=True)]
        kept = sorted(np.unique(boxes, axis=0, return_index=True)[1]) if boxes else []
        masks = {}
        for k in kept:
            polygon = (corners[k] * np.array((w, h), np.float32)).astype(np.int32)
            mask = masks.setdefault(data["names"][classes[k]], np.zeros((h, w), np.uint8))
            cv2.fillPoly(mask, [polygon], 1)
        yield path, masks


def test_yolo_labels_give_the_masks_back(dataset, rows, tmp_path):
    result = export(dataset, "yolo", tmp_path / "out")
    found = {}
    for split in ("train", "val"):
        for path, masks in yolo_masks(tmp_path / "out", split):
            row = found[int(path.stem)] = rows[int(path.stem)]
            assert same(pixels(path), row)
            assert set(masks) == ({row["defect_type"]} if row["label"] else set())
            if masks:
                assert np.array_equal(masks[row["defect_type"]] > 0, row["mask"])
    assert found.keys() == rows.keys()
    assert result.lost == {"pixels": 0, "of": sum(int(row["mask"].sum()) for row in rows.values()), "files": {}}


def filled_up(corners, count):
    """Return a polygon as Ultralytics trains on it: closed, `count` points, those between the corners spread evenly."""
    if len(corners) == count:
        return corners
    closed = np.array([*corners, corners[0]])
    places = sorted([*range(len(closed)), *np.linspace(0, len(closed) - 1, count - len(closed))])
    return np.array([np.interp(places, range(len(closed)), closed[:, axis]) for axis in (0, 1)], np.float32).T


def test_what_ultralytics_adds_to_polygons_in_training_is_counted(dataset, rows, tmp_path):
    """Points halfway along a diagonal fall into pixels beside it; none is lost."""
    result = export(dataset, "yolo", tmp_path / "out")
    changed = 0
    for label in (tmp_path / "out").rglob("labels/*/*.txt"):
        mask = rows[int(label.stem)]["mask"]
        polygons = [np.array(line.split()[1:], np.float32).reshape(-1, 2) for line in label.read_text().splitlines()]
        seen = np.zeros(mask.shape, np.uint8)
        count = max([1000, *(len(corners) + 1 for corners in polygons if len(corners) > 1000)])
        for corners in polygons:
            cv2.fillPoly(seen, [(filled_up(corners, count) * np.float32(mask.shape[::-1])).astype(np.int32)], 1)
        assert (seen[mask] == 1).all()
        changed += int((seen != mask).sum())
    assert changed and f"changes {changed} of {result.lost['of']} mask pixels" in result.notes[-1]


def test_what_a_polygon_loses_is_reported_by_file_and_in_all(dataset, rows, tmp_path, monkeypatch):
    """Measured on what was written: here polygons that fill holes."""
    from anomgen.exporters import yolo

    def without_holes(component):
        contours = cv2.findContours(component.pixels.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
        return contours[0][:, 0] + (component.x, component.y)

    monkeypatch.setattr(yolo, "polygon", without_holes)
    result = export(dataset, "yolo", tmp_path / "out")
    expected = {}
    for split in ("train", "val"):
        for path, masks in yolo_masks(tmp_path / "out", split):
            row = rows[int(path.stem)]
            held = masks.get(row["defect_type"], np.zeros_like(row["mask"])) > 0
            if (held != row["mask"]).any():
                expected[f"labels/{split}/{path.stem}.txt"] = int((held != row["mask"]).sum())
    assert expected and result.lost["files"] == expected and result.lost["pixels"] == sum(expected.values())
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["lost"] == result.lost
    assert f"{sum(expected.values())} of " in (tmp_path / "out" / "README.md").read_text()


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


# --- Label Studio ---------------------------------------------------------------------------------------------------


def test_label_studio_tasks_hold_the_masks(dataset, rows, tmp_path):
    export(dataset, "labelstudio", tmp_path / "out", overrides={"image_root": "https://example.org/"})
    interface = ElementTree.parse(tmp_path / "out" / "config.xml").getroot()
    image, brush = interface.find("Image"), interface.find("BrushLabels")
    assert image.get("value") == "$image"
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert [task["data"]["index"] for task in tasks] == sorted(rows)
    for task in tasks:
        row = rows[task["data"]["index"]]
        assert task["data"]["image"] == f"https://example.org/images/{row['index']:06d}.png"
        assert same(pixels(tmp_path / "out" / "images" / f"{row['index']:06d}.png"), row)
        assert task["data"]["severity"] == pytest.approx(row["severity"])
        assert task["data"]["detectability"] == row["detectability"]
        (annotation,) = task["annotations"]
        assert len(annotation["result"]) == row["label"]
        for stroke in annotation["result"]:
            assert (stroke["from_name"], stroke["to_name"]) == (brush.get("name"), image.get("name"))
            assert brush.get("toName") == image.get("name") and stroke["type"] == "brushlabels"
            assert stroke["value"]["brushlabels"] == [row["defect_type"]]
            assert row["defect_type"] in [label.get("value") for label in brush.iter("Label")]
            shape = stroke["original_height"], stroke["original_width"]
            values = decoded(bytes(stroke["value"]["rle"])).reshape(*shape, 4)
            assert np.array_equal(values[..., 3] > 0, row["mask"])


@pytest.mark.skipif(not importlib.util.find_spec("label_studio_converter"), reason="label-studio-converter is missing")
def test_label_studios_own_converter_reads_the_same_masks(dataset, rows, tmp_path):
    from label_studio_converter.brush import decode_rle

    export(dataset, "labelstudio", tmp_path / "out")
    for task in json.loads((tmp_path / "out" / "tasks.json").read_text()):
        for stroke in task["annotations"][0]["result"]:
            mask = rows[task["data"]["index"]]["mask"]
            assert np.array_equal(decode_rle(stroke["value"]["rle"]).reshape(*mask.shape, 4)[..., 3] > 0, mask)
