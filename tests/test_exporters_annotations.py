"""COCO, YOLO and Label Studio read back by their tools, or by a reader written here from the rules, pixel by pixel."""

import importlib.util
import json
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest
import yaml
from exported import pixels, same
from test_exporters_regions import decoded

from anomgen.dataset.reader import Dataset
from anomgen.exporters.conformance import made_dataset
from anomgen.exporters.export import MANIFEST, export


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return made_dataset(tmp_path_factory.mktemp("made") / "dataset")


@pytest.fixture(scope="module")
def rows(dataset):
    """Index → row, decoded."""
    return {row["index"]: row for row in Dataset(dataset).rows()}


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
