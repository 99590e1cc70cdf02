"""Files of annotations beside normal images: what they mark is no normal image, and nothing else is left out."""

import json
import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import plain, write

from anomgen.errors import UsageError
from anomgen.sources.annotations import level, marked
from anomgen.sources.folder import Folder
from anomgen.sources.labelled import listing, photos
from anomgen.sources.layouts import MVTecAD

BOX = "0 .5 .5 .2 .2\n"


def labelme(*labels):
    shapes = [{"label": label, "points": [[1, 1], [9, 1], [5, 9]], "shape_type": "polygon"} for label in labels]
    return json.dumps({"version": "5.0", "flags": {}, "shapes": shapes, "imagePath": "1.png", "imageData": None})


def voc(*names):
    objects = "".join(f"<object><name>{name}</name><bndbox><xmin>1</xmin></bndbox></object>" for name in names)
    return f"<annotation><filename>1.png</filename>{objects}</annotation>"


def coco(*marks, folder="", **entry):
    """COCO of five images, `0.png` to `4.png`; marks: the number of an image and a class."""
    kinds = sorted({kind for _, kind in marks})
    given = entry or {"bbox": [1, 1, 5, 5], "segmentation": []}
    return json.dumps(
        {
            "images": [{"id": k, "file_name": f"{folder}{k}.png", "height": 40, "width": 48} for k in range(5)],
            "categories": [{"id": k, "name": kind} for k, kind in enumerate(kinds)],
            "annotations": [{"image_id": k, "category_id": kinds.index(kind), **given} for k, kind in marks],
        }
    )


def runs(*rows, header="ImageId,ClassId,EncodedPixels"):
    return "\n".join([header, *rows]) + "\n"


CVAT = '<annotations><image id="0" name="1.png"><polygon label="dent" points="1,1;2,2;1,2"/></image></annotations>'
TASKS = json.dumps(
    [
        {
            "data": {"image": "/data/upload/1/0123abcd-1.png"},
            "annotations": [{"result": [{"type": "rectanglelabels", "value": {"rectanglelabels": ["dent"]}}]}],
        }
    ]
)


def tagged(*tags):
    """CVAT; tags: an image and what is said of it."""
    images = "".join(f'<image name="{name}"><tag label="{tag}" source="manual"/></image>' for name, tag in tags)
    return f"<annotations>{images}</annotations>"


def chosen(*choices):
    """Label Studio; choices: an image and what is said of it."""
    results = [(name, {"type": "choices", "value": {"choices": list(kinds)}}) for name, *kinds in choices]
    return json.dumps([{"data": {"image": name}, "annotations": [{"result": [own]}]} for name, own in results])


def least(*tasks):
    """JSON-MIN of Label Studio."""
    return json.dumps([{"id": 1, "annotator": 1, "created_at": "2024-01-01", **task} for task in tasks])


def supervisely(*kinds, tags=()):
    return json.dumps({"size": {}, "tags": list(tags), "objects": [{"classTitle": kind} for kind in kinds]})


def put(root, files, images=5):
    """Write images `0.png`, `1.png`, … into `root` and texts where they belong; return the folder's `Listed`."""
    write(root, {f"{k}.png": k for k in range(images)})
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return listed(root)


def listed(root):
    found = Folder(path=str(root)).listed()
    return [name for name, _ in found.entries], " | ".join(found.notes)


def require_one_left_out(tmp_path, files):
    """Require that of five images the one called 1.png is left out, and named with the first of the files."""
    images, notes = put(tmp_path / "images" / "photos", files)
    assert images == ["0.png", "2.png", "3.png", "4.png"], notes
    assert "left out 1 file, which annotations mark (" in notes and "): 1.png |" in notes
    assert f"annotations were read from {next(iter(files))}" in notes and "may say" not in notes


MARKING = {
    "a box of YOLO": {"1.txt": BOX},
    "a polygon of YOLO": {"labels/1.txt": "3 .1 .1 .3 .1 .2 .4\n"},
    "labels beside": {"../labels/1.txt": BOX},
    "labels two folders above": {"../../labels/photos/1.txt": BOX},
    "labels of all splits": {"../../labels/1.txt": BOX},
    "Labelme": {"1.json": labelme("dent", "dent")},
    "Pascal VOC": {"1.xml": voc("dent")},
    "Pascal VOC in its folder": {"../Annotations/1.xml": voc("dent")},
    "Pascal VOC in a folder called so": {"../xml/1.xml": voc("dent")},
    "YOLO in a folder called so": {"../annots/1.txt": BOX, "../bbox/1.txt": BOX},
    "COCO of Roboflow": {"_annotations.coco.json": coco((1, "dent"))},
    "COCO with masks": {"../annotations/instances_photos.json": coco((1, "dent"), segmentation=[[1, 1, 9, 1, 5, 9]])},
    "COCO above": {"../marks.json": coco((1, "dent"), folder="images/photos/")},
    "CVAT": {"annotations.xml": CVAT},
    "Label Studio": {"tasks.json": TASKS},
    "regions of JSON-MIN": {"min.json": least({"image": "1.png", "label": [{"x": 1, "rectanglelabels": ["dent"]}]})},
    "choices of JSON-MIN": {
        "min.json": least(
            {"image": "0.png", "verdict": "Good", "by": "matte"}, {"image": "1.png", "verdict": {"choices": ["Defect"]}}
        )
    },
    "Supervisely": {"../ann/1.png.json": supervisely("dent")},
    "Supervisely beside": {"1.png.json": supervisely("dent")},
    "a tag of Supervisely": {"1.png.json": supervisely(tags=[{"name": "defect"}, {"name": "matte"}])},
    "tags of CVAT": {"annotations.xml": tagged(("1.png", "defect"), ("0.png", "good"), ("0.png", "matte"))},
    "choices of Label Studio": {"tasks.json": chosen(("0.png", "Good", "matte"), ("1.png", "Defect", "matte"))},
    "a flag of Labelme": {"1.json": json.dumps({"flags": {"defect": True}, "shapes": [], "imagePath": "1.png"})},
    "lable of GC10": {"../lable/1.xml": voc("dent")},
    "Severstal": {"../train.csv": runs("1.png,3,10 5 90 5", "1.png,4,200 3", "2.png,,")},
    "Severstal of 2019": {
        "train.csv": runs("1.png_3,10 5", "1.png_4,", "2.png_1,", header="ImageId_ClassId,EncodedPixels")
    },
    "stems in a table": {"train.csv": runs("1,10 5 90 5", "2,-1", header="ImageId, EncodedPixels")},
}


@pytest.mark.parametrize("files", MARKING.values(), ids=MARKING)
def test_an_image_that_a_file_marks_is_left_out_and_named(tmp_path, files):
    require_one_left_out(tmp_path, files)


SILENT = {
    "an empty label": {"1.txt": ""},
    "prose": {"1.txt": "taken at 5 in the morning"},
    "figures": {"1.txt": "1 250 13 80 90\n"},
    "a box of nothing": {"1.txt": "0 0 0 0 0\n"},
    "one line of several": {"1.txt": f"{BOX}exposure 3\n"},
    "names of classes": {"classes.txt": "dent\n", "1.txt": "\n"},
    "settings of a camera": {"1.json": '{"exposure": 3, "shapes": [1]}', "camera.json": '{"images": 3}'},
    "no JSON": {"1.json": "{", "annotations.json": '{"images": [}'},
    "Labelme without shapes": {"1.json": labelme()},
    "other XML": {"1.xml": "<settings><object><name>x</name></object></settings>"},
    "VOC without objects": {"1.xml": voc()},
    "classes called normal": {"0.json": labelme("good"), "1.xml": voc("OK"), "c.json": coco((2, "no_defect"))},
    "YOLO's class good": {"1.txt": BOX, "data.yaml": "names: [good, dent]\n"},
    "COCO of no image here": {"../c.json": coco((1, "dent"), folder="bad/"), "d.json": coco()},
    "images called normal": {"a.xml": tagged(("0.png", "ok")), "c.json": chosen(("1.png", "no defect", "matte"))},
    "other flags of Labelme": {
        "1.json": json.dumps({"flags": {"seen": True, "ng": False}, "shapes": [], "imagePath": ""})
    },
    "captions": {"captions.json": coco((1, "x"), caption="a part")},
    "other tables": {"train.csv": "ImageId,label\n1.png,1\n", "parts.csv": "name,price\n1.png,3\n"},
    "an example of a submission": {"sample_submission.csv": runs("1.png,1,1 1920")},
    "a table that says the same of all": {"train.csv": runs(*(f"{k}.png,1,1 1920" for k in range(5)))},
    "another split": {"../instances_val.json": coco((1, "dent"))},
    "labels of another folder": {"../labels/bad/1.txt": BOX},
}


@pytest.mark.parametrize("files", SILENT.values(), ids=SILENT)
def test_what_marks_no_image_leaves_none_out(tmp_path, files):
    images, notes = put(tmp_path / "images" / "train", files)
    assert len(images) == 5 and "annotations mark" not in notes


@pytest.mark.parametrize("kind", ["prose", "settings of a camera", "other XML"])
def test_what_lies_beside_images_and_is_no_annotation_is_not_told_of(tmp_path, kind):
    assert "may say" not in put(tmp_path, SILENT[kind])[1]


def test_a_file_of_figures_beside_an_image_is_told_of(tmp_path):
    for k, kind in enumerate(["figures", "a box of nothing", "one line of several"]):
        told = "may say which images are anomalous: 1.txt (1.txt: holds figures that are neither boxes nor polygons)"
        assert told in put(tmp_path / str(k), SILENT[kind])[1]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"1.json": '{"imagePath": "1.png", "shapes": [3]}'}, "1.json: is no file of Labelme"),
        ({"1.xml": "<annotation>"}, "1.xml: is no XML"),
        ({"1.xml": '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'}, "1.xml: defines entities"),
        ({"c.json": '{"images": [], "annotations": [{"image_id": 3}]}'}, "c.json: is no COCO file"),
        ({"c.json": '{"images": [{}], "annotations": {}}'}, "c.json: is no COCO file"),
        ({"t.json": '[{"data": {}, "annotations": [{"result": [{"type": "labels"}]}]}]'}, "t.json: holds no tasks"),
        ({"1.png.json": '{"size": {}, "tags": [], "objects": [3]}'}, "1.png.json: is no file of Supervisely"),
        ({"t.json": least({"image": "1.png", "label": [3]})}, "t.json: holds no tasks"),
        ({"t.json": chosen(("1.png", "x")).replace('"choices":', '"x":')}, "t.json: holds no tasks"),
        ({"1.json": '{"imagePath": "1.png", "shapes": [], "flags": [3]}'}, "1.json: is no file of Labelme"),
        ({"train.csv": runs("1.png,1,2 3 4")}, "train.csv: is no table of run lengths .*line 2"),
        ({"train.csv": runs("1.png")}, "train.csv: is no table of run lengths .*line 2"),
    ],
)
def test_damaged_annotations_are_told_of(tmp_path, files, told):
    images, notes = put(tmp_path / "photos", files)
    assert len(images) == 5
    assert re.search(f"may say which images are anomalous: {next(iter(files))} \\({told}", notes)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(["1.txt", "1.json", "1.xml", "train.csv", "c.json"]))
def test_a_tampered_file_never_ends_in_a_traceback(tmp_path, data, name):
    whole = {
        "1.txt": BOX,
        "1.json": labelme("dent"),
        "1.xml": voc("dent"),
        "train.csv": runs("1.png,3,1 5"),
        "c.json": coco((1, "dent")),
    }[name].encode()
    start = data.draw(st.integers(0, len(whole)))
    cut = whole[:start] + data.draw(st.binary(max_size=9)) + whole[start + data.draw(st.integers(0, 9)) :]
    write(tmp_path, {} if (tmp_path / "0.png").exists() else {f"{k}.png": k for k in range(3)})
    (tmp_path / name).write_bytes(cut)
    images, _ = listed(tmp_path)
    assert {"0.png", "2.png"} <= set(images)
    (tmp_path / name).unlink()


def test_a_file_that_never_ends_is_not_read(tmp_path):
    write(tmp_path / "photos", {"0.png": 0, "1.png": 1})
    (tmp_path / "photos" / "1.txt").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "photos" / "c.csv")
    assert len(listed(tmp_path / "photos")[0]) == 2


@pytest.mark.parametrize(("bound", "value"), [("_LISTS", 1), ("_BYTES", {".json": 20})])
def test_what_is_read_is_bounded_and_told(tmp_path, monkeypatch, bound, value):
    monkeypatch.setattr(marked, bound, value)
    images, notes = put(tmp_path / "photos", {"a.json": coco((1, "dent")), "coco.json": coco((2, "dent"))})
    why = {"_LISTS": "one of 2", "_BYTES": "a.json: cannot be read (holds more than 2e-05 MB"}[bound]
    assert (
        len(images) == 5 and f"2 files, not read, may say which images are anomalous: a.json, coco.json ({why}" in notes
    )


def test_a_folder_of_very_many_things_above_is_no_data_set(tmp_path, monkeypatch):
    files = {"../train.csv": runs("1.png,1,3 4")}
    assert len(put(tmp_path / "photos", files)[0]) == 4
    monkeypatch.setattr(level, "_ENTRIES", 1)
    assert len(listed(tmp_path / "photos")[0]) == 5


# --- which image is meant -------------------------------------------------------------------------------------------


def two(root, files, folders=("a", "b")):
    write(root, {f"{folder}/{k}.png": 10 * i + k for i, folder in enumerate(folders) for k in range(3)})
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "gone"),
    [
        ({"a/1.txt": BOX}, ["a/1.png"]),
        ({"labels/b/1.txt": BOX}, ["b/1.png"]),
        ({"labels/1.txt": BOX}, []),
        ({"a/_annotations.coco.json": coco((1, "dent"), (2, "dent"))}, ["a/1.png", "a/2.png"]),
        ({"marks.json": coco((1, "dent"), folder="x/b/")}, ["b/1.png"]),
        ({"marks.json": coco((1, "dent"))}, []),
        ({"instances_b.json": coco((1, "dent"))}, ["b/1.png"]),
        ({"a/7.txt": BOX, "a/train.csv": runs("4.png,1,2 3")}, []),
    ],
)
def test_annotations_belong_to_the_images_of_their_folder_or_name(tmp_path, files, gone):
    images, notes = listed(two(tmp_path, files))
    assert [name for name in (f"{folder}/{k}.png" for folder in "ab" for k in range(3)) if name not in images] == gone
    assert gone or "may say which images are anomalous" in notes or "train.csv" in str(files)


def test_annotations_of_images_that_were_taken_out_mark_no_others(tmp_path):
    """Law: those of bad/1.png say nothing of good/1.png, wherever they lie."""
    files = {"labels/1.txt": BOX, "marks.json": coco((1, "dent"), folder="bad/"), "train.csv": runs("2.png,1,3 4")}
    two(tmp_path, files, ("good", "bad"))
    images, notes = listed(tmp_path / "good")
    assert len(images) == 3 and "../train.csv (2.png in ../train.csv may be several pictures)" in notes
    (tmp_path / "train.csv").unlink()
    for file in (tmp_path / "bad").iterdir():
        file.unlink()
    assert len(listed(tmp_path)[0]) == 3


# --- when all are annotated -----------------------------------------------------------------------------------------


def test_a_source_of_which_all_images_are_marked_is_refused(tmp_path):
    for k, kinds in enumerate((("dent", "scratch"), ("defect", "defect"))):
        marks = [(number, kinds[number % 2]) for number in range(5)]
        with pytest.raises(
            UsageError, match=r"no picture is a normal image: left out 5 files.*`anomgen bank`"
        ) as error:
            put(tmp_path / str(k), {"_annotations.coco.json": coco(*marks)})
        assert "if they mark no defects, move them elsewhere" in str(error.value)


@pytest.mark.parametrize("kind", ["bottle", ""])
def test_one_class_on_all_images_is_what_they_show(tmp_path, kind):
    """A class without a name is one, too."""
    images, notes = put(tmp_path / "photos", {"_annotations.coco.json": coco(*((k, kind) for k in range(5)))})
    assert len(images) == 5
    assert f"all of 5 images are annotated with {kind or 'object'} (_annotations.coco.json)" in notes


def test_a_layout_and_photos_of_a_detector_leave_out_what_is_marked(tmp_path):
    good = write(tmp_path / "part", {f"train/good/{k}.png": k for k in range(5)}) / "train" / "good"
    (good / "1.json").write_text(labelme("dent"))
    found = MVTecAD(path=str(tmp_path / "part")).listed()
    assert [name for name, _ in found.entries] == [f"train/good/{k}.png" for k in (0, 2, 3, 4)]
    assert [own.id for own in photos(str(good)).found] == [f"{k}.png" for k in (0, 2, 3, 4)]


def test_a_data_set_of_score_has_no_normal_images_that_are_marked(tmp_path):
    """Law: neither for training nor as normal ones of the test; what lies among anomalous images changes nothing."""
    plain(tmp_path)
    (tmp_path / "good" / "1.json").write_text(labelme("dent"))
    (tmp_path / "bad" / "2.json").write_text(labelme("good"))
    found = listing(str(tmp_path))
    assert [own.id for own in found.found if own.defect_type == "normal"] == [
        f"good/{k}.png" for k in (0, *range(2, 10))
    ]
    assert len(found.found) == 12 and "left out 1 file, which annotations mark (dent on 1): good/1.png" in found.notes
    (tmp_path / "good" / "c.json").write_text(coco(*((k, "dent") for k in range(5))))
    for k in range(5, 10):
        (tmp_path / "good" / f"{k}.txt").write_text(BOX)
    with pytest.raises(
        UsageError, match=r"no image is normal: left out 10 files, which annotations mark \(dent on 5, "
    ):
        listing(str(tmp_path))
