"""What a labelled data set holds, as its authors laid it out: normal images, defect types, masks, what is left out."""

import pytest
from layouts import mvtec, plain, visa
from test_sources_tree import put

from anomgen.errors import AnomgenError
from anomgen.sources.labelled import defects_in, listing


def said(root):
    """Return {type: number of images}, how many masks there are, and the notes."""
    found = listing(str(root))
    types = [image.defect_type for image in found.found]
    return (
        {name: types.count(name) for name in types},
        sum(image.mask is not None for image in found.found),
        found.notes,
    )


def test_mvtec_ad_2_as_published(tmp_path):
    root = tmp_path / "can"
    for k in range(4):
        put(root, *(f"{part}/good/{k:03d}_regular.png" for part in ("train", "validation", "test_public")))
        put(root, f"test_private/{k:03d}_regular.png", f"test_private_mixed/{k:03d}_mixed.png")
    put(root, "test_public/bad/000_shift_1.png", "test_public/ground_truth/bad/000_shift_1_mask.png!")
    types, masks, notes = said(root)
    assert (types, masks) == ({"normal": 12, "bad": 1}, 1)
    assert len(notes) == 1 and notes[0].startswith("left out 8 files, whose labels are not public: test_private/000")
    assert sum(image.for_training for image in listing(str(root)).found) == 8


def test_mvtec_loco_as_published_has_several_masks_an_image(tmp_path):
    root = tmp_path / "breakfast_box"
    put(root, *(f"{part}/good/{k:03d}.png" for part in ("train", "validation", "test") for k in range(3)))
    for kind in ("logical_anomalies", "structural_anomalies"):
        put(root, *(f"test/{kind}/{k:03d}.png" for k in range(2)))
        put(root, *(f"ground_truth/{kind}/{k:03d}/{part:03d}.png!" for k in range(2) for part in range(k + 1)))
    (root / "defects_config.json").write_text("[]")
    types, masks, notes = said(root)
    assert types == {"normal": 9, "logical_anomalies": 2, "structural_anomalies": 2} and masks == 4
    assert [len(image.mask) for image in listing(str(root)).found if image.mask] == [1, 2, 1, 2]
    assert notes == ("left out 1 file, of kinds that are not read (.json 1): defects_config.json",)


def test_real_iad_as_published_has_a_folder_an_object(tmp_path):
    root = tmp_path / "audiojack"
    for k in range(4):
        put(root, f"OK/S{k:04d}/audiojack_{k:04d}_OK_C1_1.jpg")
        for kind in ("AK", "BX"):
            put(root, f"NG/{kind}/S{k:04d}/a_{k:04d}_NG_C1.jpg", f"NG/{kind}/S{k:04d}/a_{k:04d}_NG_C1.png!")
    assert said(root) == ({"normal": 4, "AK": 4, "BX": 4}, 8, ())


@pytest.mark.parametrize(
    "layout", ["{part}/{k}.png {part}/{k}_GT.png", "kos{k:02d}/Part0.jpg kos{k:02d}/Part0_label.bmp"]
)
def test_kolektor_as_published_says_by_its_masks_what_is_normal(tmp_path, layout):
    import cv2
    import numpy as np

    for k in range(8):
        part = "train" if k < 5 else "test"
        image, mask = layout.format(part=part, k=k).split()
        put(tmp_path, image, f"{mask}!")
        if k % 4:
            cv2.imwrite(str(tmp_path / mask), np.zeros((32, 40), np.uint8))
    types, masks, notes = said(tmp_path)
    assert (types, masks) == ({"anomaly": 2, "normal": 6}, 2) and "masks of no anomalous image" in notes[0]


def test_where_neither_folders_nor_masks_say_what_is_normal_nothing_is_guessed(tmp_path):
    put(tmp_path, "0.png", "0_GT.png!", "1.png")
    with pytest.raises(AnomgenError, match=r"no folder says whether 0\.png is normal"):
        listing(str(tmp_path))


@pytest.mark.parametrize(
    ("normal", "anomalous", "type"),
    [
        ("train/ok_front", "train/def_front", "def_front"),
        ("0_normal", "1_defect", "1_defect"),
        ("NODefect_images/231", "Defect_images", "Defect_images"),
        ("Class1", "Class1_def", "Class1_def"),
        ("test/good/img", "test/Ungood/img", "Ungood"),
    ],
)
def test_words_of_folders_say_what_is_normal(tmp_path, normal, anomalous, type):
    put(tmp_path, *(f"{folder}/{k}.png" for folder in (normal, anomalous) for k in range(3)))
    put(tmp_path, *(f"train/{normal}/{k}.png" for k in range(2) if normal.startswith("test")))
    found = listing(str(tmp_path)).found
    assert {image.defect_type for image in found if not image.id.startswith(anomalous)} == {"normal"}
    assert {image.defect_type for image in found if image.id.startswith(anomalous)} == {type}


def test_where_a_folder_is_called_good_words_of_others_are_types(tmp_path):
    put(tmp_path, *(f"{folder}/0.png" for folder in ("good", "ok_scratch", "1_defect")))
    assert said(tmp_path)[0] == {"normal": 1, "ok_scratch": 1, "1_defect": 1}


def test_pairs_of_several_products_are_not_taken_as_one(tmp_path):
    put(tmp_path, *(f"Class{k}{end}/{n}.png" for k in (1, 2) for end in ("", "_def") for n in range(3)))
    with pytest.raises(AnomgenError, match=r"no normal training images|no folder says"):
        listing(str(tmp_path))


def test_dagm_as_published_has_masks_of_defects_alone(tmp_path):
    put(tmp_path, *(f"{part}/{k:04d}.PNG" for part in ("Train", "Test") for k in range(4)))
    put(tmp_path, "Train/Label/0001_label.PNG!", "Test/Label/0002_label.PNG!")
    (tmp_path / "Train/Label/Labels.txt").write_text("1\n")
    types, masks, notes = said(tmp_path)
    assert (types, masks) == ({"normal": 6, "anomaly": 2}, 2)
    assert notes[0].startswith("no folder says what is normal, and 6 images without masks were taken for it: Test/0000")
    assert [image.id for image in defects_in(str(tmp_path)).found] == ["Test/0002.PNG", "Train/0001.PNG"]


def test_mvtec_3d_as_published_leaves_out_what_was_measured_beside_the_colours(tmp_path):
    for place in ("train/good", "validation/good", "test/good", "test/crack"):
        put(tmp_path, *(f"{place}/rgb/{k:03d}.png" for k in range(2)))
        for k in range(2):
            (tmp_path / place / "xyz").mkdir(exist_ok=True)
            (tmp_path / place / "xyz" / f"{k:03d}.tiff").write_bytes(b"II*\0, floating point")
    put(tmp_path, *(f"test/{kind}/gt/{k:03d}.png!" for kind in ("crack",) for k in range(2)))
    types, masks, notes = said(tmp_path)
    assert (types, masks) == ({"normal": 6, "crack": 2}, 2)
    assert (
        notes[0].startswith("left out 8 files, called as an image and as what is made from one") and "xyz" in notes[0]
    )


def test_a_normal_image_whose_mask_marks_an_anomaly_is_left_out_and_named(tmp_path):
    put(tmp_path, *(f"{folder}/{k}.png" for folder in ("good", "bad") for k in range(3)))
    put(tmp_path, "good/1_mask.png!", *(f"bad/{k}_mask.png!" for k in range(3)))
    types, masks, notes = said(tmp_path)
    assert (types, masks) == ({"normal": 2, "bad": 3}, 3)
    assert "in a folder of normal images, but whose masks mark an anomaly: good/1.png" in notes[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("good/coco.json", '{"images": ['),
        ("annotations.xml", "<annotations><image"),
        ("good/1.txt", "0.5 17 300\n"),
        ("labels.csv", "filename,label\n1.png,7\n2.png,3\n"),
    ],
)
def test_files_that_may_mark_normal_images_and_are_not_read_are_told_of(tmp_path, name, text):
    plain(tmp_path)
    (tmp_path / name).write_text(text)
    found = listing(str(tmp_path))
    assert len(found.found) == 13 and f"1 file, not read, may say which images are anomalous: {name}" in str(
        found.notes
    )


def test_what_a_layout_brings_itself_is_not_told_of(tmp_path):
    folder = visa(tmp_path)
    rows = [f"candle/Data/Images/Anomaly/{i:03d}.JPG,chunk of wax missing,x" for i in range(3)]
    (folder / "image_anno.csv").write_text("\n".join(["image,label,mask", *rows]))
    mvtec(tmp_path / "loco")
    (tmp_path / "loco" / "defects_config.json").write_text('[{"defect_name": "crack", "pixel_value": 255}]')
    (tmp_path / "loco" / "ground_truth" / "crack" / "000.xml").write_text("<annotation>")
    assert "may say" not in str([listing(str(place)).notes for place in (folder, tmp_path / "loco")])
