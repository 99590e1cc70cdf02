"""Masks in folders beside that of normal images, and above: what they mark is no normal image."""

import os
from pathlib import Path

import cv2
import pytest
from layouts import blob, noise, plain, write

from anomgen.errors import UsageError
from anomgen.sources.annotations import level
from anomgen.sources.folder import Folder
from anomgen.sources.labelled import listing, photos

EMPTY = blob(0)
MIXED = {1: blob(), 4: blob()}


def smooth(seed):
    return cv2.GaussianBlur(noise(seed), (0, 0), 1)


def put(root, images, masks, marking=MIXED):
    """Write six images and their masks, of which these mark something; names hold the number in braces."""
    files = {images.format(k): smooth(k) for k in range(6)}
    return write(root, files | {masks.format(k): marking.get(k, EMPTY) for k in range(6)})


def listed(root):
    found = Folder(path=str(root)).listed()
    return [Path(name).stem for name, _ in found.entries], " | ".join(found.notes)


@pytest.mark.parametrize(
    ("images", "masks", "source"),
    [
        ("images/{}.jpg", "masks/{}.png", "images"),
        ("images/{}.jpg", "masks/{}_mask.png", "images"),
        ("images/{}.jpg", "labels/{}.png", "images"),
        ("images/{}.jpg", "annotations/{}.png", "images"),
        ("JPEGImages/{}.jpg", "SegmentationClass/{}.png", "JPEGImages"),
        ("x_Input/{}.jpg", "x_GroundTruth/{}_segmentation.png", "x_Input"),
        ("images/train/{}.jpg", "masks/train/{}.png", "images/train"),
        ("images/train/{}.jpg", "masks/train/{}.png", "images"),
        ("images/train/{}.jpg", "masks/{}.png", "images/train"),
        ("train_img/{}.jpg", "train_lab/{}.png", "train_img"),
        ("test/dent/{}.png", "ground_truth/dent/{}_mask.png", "test/dent"),
    ],
)
def test_an_image_that_a_mask_in_a_folder_beside_marks_is_left_out(tmp_path, images, masks, source):
    put(tmp_path, images, masks)
    found, notes = listed(tmp_path / source)
    folder = os.path.relpath(tmp_path / masks.partition("/")[0], tmp_path / source)
    assert found == ["0", "2", "3", "5"] and f"left out 2 files, whose masks in {folder} mark an anomaly" in notes
    assert str(tmp_path) not in notes and len(photos(str(tmp_path / source)).found) == 4


def test_several_folders_of_masks_are_one_after_the_other(tmp_path):
    put(tmp_path, "images/{}.jpg", "SegmentationClass/{}.png")
    put(tmp_path, "images/{}.jpg", "SegmentationObject/{}.png", {2: blob(3)})
    assert listed(tmp_path / "images")[0] == ["0", "3", "5"]


def test_masks_that_mark_all_images_may_be_of_the_object(tmp_path):
    """Those of a ground truth are not."""
    put(tmp_path, "photos/{}.jpg", "masks/{}.png", dict.fromkeys(range(6), blob()))
    found, notes = listed(tmp_path / "photos")
    assert len(found) == 6 and "masks in ../masks mark something on all of 6 images" in notes
    (tmp_path / "masks").rename(tmp_path / "GroundTruth")
    with pytest.raises(UsageError, match=r"no picture is a normal image: left out 6 files, whose masks in ../GroundT"):
        listed(tmp_path / "photos")


MOST = dict.fromkeys(range(5), blob())


@pytest.mark.parametrize(
    ("folder", "count", "note"),
    [
        ("outlines", 6, ""),
        ("cutout shapes", 6, ""),
        ("fg_masks", 6, ""),
        ("object_masks", 6, ""),
        ("foreground", 6, ""),
        ("ROI", 6, ""),
        ("zzz", 6, "masks in ../zzz mark something on 5 of 6 images, which is taken for"),
        ("labels", 6, "masks in ../labels mark something on 5 of 6 images"),
        ("masks", 1, "(rename it to foreground if they are of the object)"),
        ("gt", 1, "whose masks in ../gt mark"),
        ("object_ground_truth", 1, "whose masks in ../object_ground_truth mark"),
        ("defect_regions", 1, "whose masks in ../defect_regions mark"),
    ],
)
def test_masks_of_the_object_that_lack_one_image_cost_no_other(tmp_path, folder, count, note):
    """They are known by the name of the folder; else by that they mark more than half, unless it is called masks."""
    put(tmp_path, "images/{}.png", f"{folder}/{{}}.png", MOST)
    found, notes = listed(tmp_path / "images")
    assert len(found) == count and note in notes and ("mark" in notes) == bool(note)
    put(tmp_path, "images/{}.png", "masks/{}.png", MIXED if count == 6 else MOST)
    assert len(listed(tmp_path / "images")[0]) == (4 if count == 6 else 1)


@pytest.mark.parametrize("folder", ["bad", "masks_of_screws", "val", "thumbs"])
def test_other_folders_beside_change_nothing(tmp_path, folder):
    """Law: a data set with photographs of its own says nothing of the images beside it, whatever it is called."""
    put(tmp_path, "images/{}.png", f"{folder}/masks/{{}}.png")
    write(tmp_path / folder, {f"{k}.png": smooth(10 + k) for k in range(6)})
    found, notes = listed(tmp_path / "images")
    assert len(found) == 6 and "masks" not in notes
    put(tmp_path, f"{folder}_with_masks/{{}}.jpg", f"{folder}_with_masks/{{}}_mask.png")
    assert len(listed(tmp_path / "images")[0]) == 6


def test_masks_of_images_of_the_same_names_beside_are_theirs(tmp_path):
    plain(tmp_path)
    found, notes = listed(tmp_path / "good")
    assert len(found) == 10 and "masks in ../masks do not say whether 3 images are normal, such as 0.png" in notes
    assert "masks in" not in " ".join(listing(str(tmp_path)).notes)
    put(tmp_path / "x", "train_img/{}.jpg", "train_lab/{}.png")
    put(tmp_path / "x", "test_img/{}.jpg", "test_lab/{}.png", {0: blob()})
    assert listed(tmp_path / "x" / "train_img")[0] == ["0", "2", "3", "5"]
    assert listed(tmp_path / "x" / "test_img")[0] == ["1", "2", "3", "4", "5"]


def test_masks_that_cannot_be_used_are_told_of(tmp_path):
    put(tmp_path, "images/{}.jpg", "masks/{}.png", {1: blob(), 2: 255 - EMPTY, 3: smooth(9)})
    (tmp_path / "masks" / "4.png").write_bytes(b"\x89PNG")
    found, notes = listed(tmp_path / "images")
    assert found == ["0", "2", "3", "4", "5"]
    assert (
        "masks in ../masks do not say whether 3 images are normal, such as 2.jpg: ../masks/2.png: marks 100%" in notes
    )
    write(tmp_path, {"images/a/0.jpg": smooth(7), "images/b/0.jpg": smooth(8)})
    assert "masks in ../masks were not read" in listed(tmp_path / "images")[1]


def test_photographs_in_a_folder_of_labels_are_no_masks(tmp_path):
    write(tmp_path, {f"{folder}/{k}.jpg": smooth(k) for folder in ("images", "labels") for k in range(6)})
    found, notes = listed(tmp_path / "images")
    assert len(found) == 6 and "masks" not in notes


def test_a_folder_of_very_many_things_above_is_not_looked_at(tmp_path, monkeypatch):
    put(tmp_path, "images/{}.jpg", "masks/{}.png")
    monkeypatch.setattr(level, "_ENTRIES", 1)
    assert len(listed(tmp_path / "images")[0]) == 6


def test_beside_many_folders_names_alone_tell_of_masks(tmp_path):
    for k in range(20):
        (tmp_path / f"part {k}").mkdir()
    put(tmp_path, "images/{}.jpg", "lab/{}.png")
    assert len(listed(tmp_path / "images")[0]) == 6
    (tmp_path / "lab").rename(tmp_path / "masks")
    assert len(listed(tmp_path / "images")[0]) == 4
