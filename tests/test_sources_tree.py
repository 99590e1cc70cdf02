"""What lies below a folder: which files are pictures, which masks, and what is said of the others."""

import cv2
import numpy as np
import pytest

from anomgen.banks.make import bank
from anomgen.errors import UsageError
from anomgen.sources.detection import detect
from anomgen.sources.folder import FileReader, Folder
from anomgen.sources.labelled import listing
from anomgen.sources.layouts import MVTecAD
from anomgen.sources.pairing import normal_among
from anomgen.sources.sorting import sorted_pictures
from anomgen.sources.tree import Tree, left_out, mask_places, not_read, perhaps_annotated, tree_of

PICTURE = np.random.default_rng(0).integers(0, 255, (32, 40, 3)).astype(np.uint8)
MASK = np.zeros((32, 40), np.uint8)
MASK[4:20, 6:30] = 255


def put(root, *names):
    """Write pictures, and masks under names that end in an exclamation mark."""
    for name in names:
        path = root / name.rstrip("!")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), MASK if name.endswith("!") else PICTURE)
    return root


def masks(root, *names):
    put(root, *names)
    return sorted_pictures(tree_of(root).pictures, FileReader(root), str(root)).masks


MASK_NAMES = [
    *("a_GT.png!", "a_mask.png!", "a-masks.bmp!", "a_ground_truth.png!", "a_label.bmp!", "a_seg.png!"),
    *("mask_a.png!", "GT_a.png!", "mask-a.png!", "masks_a.png!", "gt-a.png!", "ground_truth_a.png!"),
    *("segmentation_a.png!", "seg_a.png!", "label_a.png!"),
    *("a_labelIds.png!", "a_anomaly.png!", "a (mask).png!", "a_binary.png!", "maska.png!"),
    *("SegmentationClass/a.png!", "masks_png/a.png!", "binary masks/a.png!", "ground-truth/a.png!"),
    *("a.png!", "a.bmp!", "a.webp!", "Label/a_label.png!", "labels/a.png!", "masks/a.png!", "masks/mask_a.png!"),
]


@pytest.mark.parametrize("name", [*MASK_NAMES, "GT/other.png!"])
def test_masks_are_told_from_the_image_that_they_belong_to(tmp_path, name):
    """a.jpg is the image; KolektorSDD2, labelme, Kolektor, Real-IAD and DAGM lay their masks out in these ways."""
    assert masks(tmp_path, "a.jpg", "b.jpg", name) == {name.rstrip("!")}


@pytest.mark.parametrize("name", MASK_NAMES)
def test_every_mask_is_given_to_its_image_for_making_scoring_and_banks(tmp_path, name):
    root = put(tmp_path / "in", "good/c.jpg", "bad/a.jpg", f"bad/{name}")
    found = normal_among(["a.jpg", name.rstrip("!")], FileReader(root / "bad"), "d")
    assert found.images == [] and found.notes[1] == "left out 1 file, whose masks mark an anomaly: a.jpg"
    masks_of = {image.id: image.mask for image in listing(str(root)).found}
    assert masks_of == {"bad/a.jpg": [f"bad/{name.rstrip('!')}"], "good/c.jpg": None}
    assert bank(root / "bad", tmp_path / "bank").defects == 1


def test_what_says_that_a_file_is_a_mask_is_taken_off_whole_and_once():
    for word in ("mask", "masks", "gt", "label", "seg", "segmentation", "ground_truth"):
        assert list(mask_places(f"{word}_a0.png")) == [(f"{word}_a0",), ("a0",)]


@pytest.mark.parametrize(
    "names",
    [
        ("a_GT.png", "b.png"),  # no image of that name
        ("a.jpg", "a_label.png"),  # perhaps called like a mask, but a picture
        ("a.jpg", "a.png"),  # one picture in two formats
        ("a.jpg", "labels/b.png", "labels/c.png"),  # pictures of labels
        ("label/good/a.png", "label/good/b.png"),
        ("face_masks/good/a.png", "face_masks/good/b.png"),  # pictures of masks
        ("a.jpg", "a_defect.png", "maska.png"),
        ("a.bmp!", "a.png!"),  # neither is the picture
        ("1.png", "10.png", "1_0.png"),
    ],
)
def test_pictures_are_not_taken_for_masks(tmp_path, names):
    assert masks(tmp_path, *names) == set()


@pytest.mark.parametrize("folder", ["ground-truth", "Ground Truth", "GT"])
def test_a_folder_of_masks_beside_the_images_is_refused_however_it_is_spelt(tmp_path, folder):
    put(tmp_path, "images/a.png", f"{folder}/a.png!")
    with pytest.raises(UsageError, match=f"holds masks \\({folder}/\\)"):
        Folder(path=str(tmp_path), size=32).open()


def test_a_mask_in_a_lossy_file_is_seen(tmp_path):
    put(tmp_path, "a.png")
    cv2.imwrite(str(tmp_path / "a.jpg"), MASK)
    assert sorted_pictures(["a.jpg", "a.png"], FileReader(tmp_path), "d").masks == {"a.jpg"}


def test_files_of_other_kinds_are_counted_by_extension_and_named(tmp_path):
    put(tmp_path, "a.png", "b/c.JPG")
    for name in ("x.heic", "b/y.HEIC", "z.txt", "README", ".hidden.heic"):
        (tmp_path / name).write_text("")
    files = tree_of(tmp_path)
    assert files.pictures == ["a.png", "b/c.JPG"] and files.others == ["README", "b/y.HEIC", "x.heic", "z.txt"]
    assert not_read(files) == (
        "left out 4 files, of kinds that are not read (.heic 2, .txt 1, no extension 1): "
        "README, b/y.HEIC, x.heic, z.txt",
    )
    assert files.below("k").pictures == ["k/a.png", "k/b/c.JPG"]
    assert not_read(Tree([], [], [])) == left_out([], "nothing") == ()


def test_hidden_pictures_are_counted_and_no_other_hidden_file(tmp_path):
    put(tmp_path, "a.png", "._a.png", "b/.c.jpg", "b/.thumbs/d.png", ".git/objects/e.png")
    (tmp_path / ".DS_Store").write_text("")
    files = tree_of(tmp_path)
    assert files[:2] == (["a.png"], []) and files.below("k").hidden[0] == "k/._a.png"
    note = "left out 3 files, hidden by a dot in front of a name: ._a.png, b/.c.jpg, b/.thumbs/d.png"
    assert not_read(files) == (note,) and note in Folder(path=str(tmp_path)).open().notes


def test_what_is_not_read_is_said_where_no_image_is_found(tmp_path):
    for name in ("0.heic", "0.json"):
        (tmp_path / name).write_text("")
    said = r"of kinds that are not read \(\.heic 1, \.json 1\): 0\.heic, 0\.json"
    with pytest.raises(UsageError, match=f"holds no image .*; left out 2 files, {said}"):
        Folder(path=str(tmp_path), size=32).open()
    with pytest.raises(UsageError, match=f"holds no image .*; left out 2 files, {said}"):
        detect(str(tmp_path))
    put(tmp_path, "0.png", "0_mask.png!")
    with pytest.raises(UsageError, match=f"no picture is a normal image: .*; left out 2 files, {said}"):
        Folder(path=str(tmp_path), size=32).open()


@pytest.mark.parametrize("ending", ["jpeg", "jpe", "jif", "jfif", "JPE"])
def test_a_jpeg_is_read_whatever_its_ending(tmp_path, ending):
    put(tmp_path, "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / f"a.{ending}")
    source = Folder(path=str(tmp_path), size=32).open()
    assert [source.id(k) for k in range(len(source))] == [f"a.{ending}"] and source[0].any()


def test_what_a_mac_packs_beside_pictures_is_counted(tmp_path):
    put(tmp_path, "a.png", "k/b.png")
    for name in ("__MACOSX/._a.png", "__MACOSX/k/._b.png", "__MACOSX/k/._notes.txt", "k/__MACOSX/._b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"Mac OS X")
    files = tree_of(tmp_path)
    assert (files.pictures, files.others) == (["a.png", "k/b.png"], [])
    said = (
        "left out 3 files, hidden by a dot in front of a name: __MACOSX/._a.png, __MACOSX/k/._b.png, k/__MACOSX/._b.png"
    )
    assert not_read(files) == (said,)


def test_thumbnails_of_a_nas_are_no_images(tmp_path):
    put(tmp_path, "a.png", "k/b.png", "@eaDir/a.png/SYNOPHOTO_THUMB_XL.jpg", "k/@eaDir/b.png/.thumb.png")
    (tmp_path / "@eaDir" / "a.png@SynoEAStream").write_bytes(b"")
    (tmp_path / "my@eaDir.png").write_bytes((tmp_path / "a.png").read_bytes())
    files = tree_of(tmp_path)
    assert (files.pictures, files.others) == (["a.png", "k/b.png", "my@eaDir.png"], [])
    names = "@eaDir/a.png/SYNOPHOTO_THUMB_XL.jpg, k/@eaDir/b.png/.thumb.png"
    assert not_read(files) == (f"left out 2 files, thumbnails of a NAS in a folder @eaDir: {names}",)


def test_a_file_that_gave_the_licence_was_read(tmp_path):
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "LICENSE.txt").write_text("The images are licensed under CC BY 4.0.")
    (tmp_path / "notes.txt").write_text("")
    listed = Folder(path=str(tmp_path), size=32).listed()
    assert listed.license == "cc-by-4.0"
    assert [note for note in listed.notes if "not read" in note] == [
        "left out 1 file, of kinds that are not read (.txt 1): notes.txt"
    ]


def test_masks_beside_the_normal_images_of_a_layout_are_named(tmp_path):
    put(tmp_path, "train/good/a.png", "train/good/b.png", "train/good_masks/a.png!", "train/other/c.png")
    listed = MVTecAD(path=str(tmp_path), size=32).listed()
    assert [name for name, _ in listed.entries] == ["train/good/a.png", "train/good/b.png"]
    assert listed.notes == ("left out 1 file, masks: train/good_masks/a.png",)


def test_a_note_names_a_few_and_has_no_control_characters():
    assert left_out(["a\x1b[31m.png"], "w") == ("left out 1 file, w: a\\x1b[31m.png",)
    assert left_out([f"{k}.png" for k in range(9)], "w")[0].endswith("4.png and 4 more")


@pytest.mark.parametrize(
    ("name", "is_told"),
    [
        ("1.json", True),
        ("labels/1.txt", True),
        ("xml/1.XML", True),
        ("_annotations.coco.json", True),
        ("labels.txt", True),
        ("gt.csv", True),
        ("notes.txt", False),
        ("budget.csv", False),
        ("1.md", False),
    ],
)
def test_files_that_may_annotate_the_images_are_told(name, is_told):
    notes = perhaps_annotated(Tree(["0.png", "train/1.png"], [name], []), {})
    assert bool(notes) == is_told
    assert not is_told or (name in notes[0] and "may say which images are anomalous" in notes[0])
