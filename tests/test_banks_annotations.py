"""Banks of defects that files of annotations mark: Labelme, tables of run lengths."""

import json

import cv2
import numpy as np
import pytest
from real_data import texture

from anomgen.banks.collect import collected
from anomgen.banks.folder import open_bank
from anomgen.banks.make import bank
from anomgen.errors import AnomgenError

HEIGHT, WIDTH = 40, 48


@pytest.fixture
def folder(tmp_path):
    for k in range(3):
        (tmp_path / "set" / "images").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "set" / "images" / f"{k}.png"), texture(k, WIDTH)[:HEIGHT])
    return tmp_path / "set"


def labelme(folder, number, *shapes, **more):
    entries = [{"label": label, "shape_type": kind, "points": points} for label, kind, points in shapes]
    content = {"imagePath": f"{number}.png", "imageHeight": HEIGHT, "imageWidth": WIDTH, "shapes": entries, **more}
    (folder / "images" / f"{number}.json").write_text(json.dumps(content))


def masks_of(folder, **options):
    bank(folder, folder.parent / "bank", **options)
    return {own.item: own.mask for own in open_bank(folder.parent / "bank").defects()}


def test_shapes_of_labelme_are_masks(folder):
    labelme(
        folder,
        0,
        ("dent", "polygon", [[5, 5], [20, 5], [20, 15], [5, 15]]),
        ("dent", None, [[30, 9], [40, 9], [35, 20]]),
    )
    labelme(folder, 1, ("dent", "rectangle", [[20, 15], [5, 5]]), ("spot", "circle", [[30, 20], [36, 20]]))
    labelme(folder, 2, ("good", "rectangle", [[20, 15], [5, 5]]))
    found = masks_of(folder)
    assert sorted(found) == ["images/0.png", "images/1.png#dent", "images/1.png#spot"]
    box = np.zeros((HEIGHT, WIDTH), bool)
    box[5:16, 5:21] = True
    assert np.array_equal(found["images/1.png#dent"], box)
    assert np.array_equal(found["images/0.png"][:, :25], box[:, :25]) and found["images/0.png"][12, 35]
    assert np.pi * 36 < found["images/1.png#spot"].sum() < np.pi * 49 and found["images/1.png#spot"][20, 30]


@pytest.mark.parametrize("header", ["ImageId,ClassId,EncodedPixels", "ImageId_ClassId,EncodedPixels"])
@pytest.mark.parametrize("is_given", [True, False])
def test_run_lengths_are_masks(folder, header, is_given):
    """Law: as Severstal has them: pixels from 1, down the first column, then down the next."""
    masks = np.random.default_rng(3).random((3, HEIGHT, WIDTH)) < 0.1
    lines = [header]
    for k, mask in enumerate(masks):
        steps = np.flatnonzero(np.diff(np.pad(mask.T.ravel(), 1).astype(int)))
        pairs = " ".join(f"{a + 1} {b - a}" for a, b in zip(steps[::2], steps[1::2], strict=True))
        lines.append(f"{k}.png{',_'['_' in header]}{k % 2 + 1},{pairs}")
    (folder / "train.csv").write_text("\n".join(lines))
    (folder / "sample_submission.csv").write_text(
        f"{header}\n" + "".join(f"{k}.png{',_'['_' in header]}1,1 1920\n" for k in range(3))
    )
    found = masks_of(folder, **({"masks": folder / "train.csv"} if is_given else {}))
    assert [np.array_equal(found[f"images/{k}.png"], masks[k]) for k in range(3)] == [True] * 3
    assert open_bank(folder.parent / "bank").defect_types == ("class 1", "class 2")


@pytest.mark.parametrize(
    ("shapes", "more", "told"),
    [
        ([("dent", "linestrip", [[1, 1], [5, 5]])], {}, "0.json: has a linestrip, which is no mask"),
        ([("dent", "polygon", [[1, 1], [5, 5]])], {}, "0.json: is no file of Labelme .*polygon of 2 points"),
        ([("dent", "polygon", [[1, 1], [5]])], {}, "0.json: is no file of Labelme"),
        (
            [("dent", "circle", [[9, 9], [12, 9]])],
            {"imagePath": "7.png"},
            "names the picture '7.png', which is not there",
        ),
        ([("dent", "circle", [[9, 9], [12, 9]])], {"imageHeight": 9}, "was annotated at 9 × 48 pixels, but is 40 × 48"),
        ([("good", "circle", [[9, 9], [12, 9]])], {}, "annotations mark nothing but what is normal"),
    ],
)
def test_files_of_labelme_that_hold_no_masks_are_refused(folder, shapes, more, told):
    labelme(folder, 0, *shapes, **more)
    with pytest.raises(AnomgenError, match=told):
        bank(folder, folder.parent / "bank")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0.png,1,1900 30", "train.csv: 0.png: the run lengths leave the picture of 40 × 48 pixels"),
        ("0.png,1,0 30", "the run lengths leave the picture"),
        ("0.png,1,5 6 7", "train.csv: is no table of run lengths .*line 2"),
        ("9.png,1,5 6", "train.csv: names the picture '9.png', which is not there"),
    ],
)
def test_run_lengths_that_fit_no_picture_are_refused(folder, line, told):
    (folder / "train.csv").write_text(f"ImageId,ClassId,EncodedPixels\n{line}\n")
    with pytest.raises(AnomgenError, match=told):
        bank(folder, folder.parent / "bank")
    (folder / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(AnomgenError, match=r"other.csv: is neither COCO, Labelme, tasks .* nor a table of run lengths"):
        bank(folder, folder.parent / "bank", masks=folder / "other.csv")


def coco(folder, *polygons, category=1, categories=({"id": 1, "name": "dent"}, {"id": 2, "name": "crack"})):
    entries = [{"image_id": 0, "category_id": category, "segmentation": [list(polygon)]} for polygon in polygons]
    images = [{"id": 0, "file_name": "0.png", "height": HEIGHT, "width": WIDTH}]
    content = {"images": images, "categories": list(categories), "annotations": entries}
    (folder / "a.json").write_text(json.dumps(content))


def labelstudio(folder, *polygons):
    shares = np.array([100 / WIDTH, 100 / HEIGHT])
    regions = [
        {
            **{"type": "polygonlabels", "original_height": HEIGHT, "original_width": WIDTH},
            "value": {"polygonlabels": ["dent"], "points": (np.reshape(own, (-1, 2)) * shares).tolist()},
        }
        for own in polygons
    ]
    (folder / "a.json").write_text(json.dumps([{"data": {"image": "0.png"}, "annotations": [{"result": regions}]}]))


WRITERS = {
    "coco": coco,
    "labelstudio": labelstudio,
    "labelme": lambda folder, *polygons: labelme(
        folder, 0, *(("dent", "polygon", np.reshape(own, (-1, 2)).tolist()) for own in polygons)
    ),
}
INSIDE = (10, 10, 20, 10, 20, 20, 10, 20)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("move", [(WIDTH, 0), (0, HEIGHT), (-30, 0), (0, -30), (200, 200)])
def test_polygons_outside_of_their_picture_are_refused_by_its_name(folder, kind, move):
    """They became a defect of one pixel in the corner; those that reach over the border are cut there."""
    outside = tuple(np.add(INSIDE, move * 4).tolist())
    WRITERS[kind](folder, INSIDE, (-9, 30, 99, 30, 99, 35, -9, 35))
    (mask,) = masks_of(folder).values()
    assert mask[30:36].all() and mask[10:21, 10:21].all() and mask.sum() == 11 * 11 + 6 * WIDTH
    WRITERS[kind](folder, INSIDE, outside)
    told = r"0\.png: is annotated with dent outside of the picture: x from .* of 40 × 48 pixels"
    with pytest.raises(AnomgenError, match=told):
        bank(folder, folder.parent / "other")


def test_a_category_that_a_coco_file_does_not_name_is_told(folder):
    coco(folder, INSIDE, INSIDE, category=7)
    told = r"a\.json: 2 of 2 annotations have a category .* category_id 7; it names 1 \(dent\), 2 \(crack\)\. Mend"
    with pytest.raises(AnomgenError, match=told):
        bank(folder, folder.parent / "bank")
    for given in ({"category": None}, {"categories": ()}):
        coco(folder, INSIDE, **given)
        bank(folder, folder.parent / "bank", overwrite=True)
        assert open_bank(folder.parent / "bank").defect_types == ("defect",)


VOC = "<annotation><object><name>dent</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"


@pytest.mark.parametrize(
    "files",
    [
        {"Annotations/1.xml": VOC},
        {"images/1.xml": VOC},
        {"images/labels.csv": "filename,label\n0.png,good\n1.png,dent\n2.png,good\n"},
        {"annotations.xml": '<annotations><image name="1.png"><tag label="defect"/></image></annotations>'},
    ],
)
def test_what_annotations_without_masks_mark_are_the_only_defects(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    found = collected(str(folder))
    assert [own.name for own in found.candidates] == ["images/1.png"]
    assert found.notes == (
        "left out 2 files, on which annotations, which mark others, mark nothing: images/0.png, images/2.png",
    )


def test_a_folder_that_a_word_calls_normal_holds_no_defects(folder):
    """Law: of annotations of all defects alone, or of none, nothing is left out."""
    (folder / "Apple___healthy").mkdir()
    (folder / "images" / "1.png").rename(folder / "Apple___healthy" / "1.png")
    for marked in ((), (0, 2)):
        for k in marked:
            (folder / "images" / f"{k}.xml").write_text(VOC)
        found = collected(str(folder))
        assert [own.name for own in found.candidates] == ["images/0.png", "images/2.png"]
        assert found.notes == ("left out 1 file, normal images: Apple___healthy/1.png",)
