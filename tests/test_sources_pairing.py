"""Which mask belongs to which image, and which pictures of a folder are normal or abnormal by their masks."""

import cv2
import numpy as np
import pytest
from growth import grows_like_its_square
from test_sources_sorting import write
from test_sources_tree import MASK, PICTURE

from anomgen.errors import SourceError
from anomgen.sources.folder import FileReader
from anomgen.sources.labelled import NORMAL, defects_in, listing, photos
from anomgen.sources.pairing import abnormal_among, normal_among, paired
from anomgen.sources.tree import tree_of


@pytest.mark.parametrize(
    ("image", "masks"),
    [
        ("test/crack/001.jpg", ["ground_truth/crack/001_mask.png"]),
        ("test/crack/001.jpg", ["ground_truth/crack/001.png"]),
        ("bad/001.jpg", ["masks/001.png"]),
        ("Data/Images/Anomaly/001.JPG", ["Data/Masks/Anomaly/001.png"]),
        ("NG/AK/S0001/a.jpg", ["NG/AK/S0001/a.png"]),
        ("Train/0576.PNG", ["Train/Label/0576_label.PNG"]),
        ("test/logical/001.png", ["ground_truth/logical/001/000.png", "ground_truth/logical/001/001.png"]),
        ("test_public/bad/001_regular.png", ["test_public/ground_truth/bad/001_regular_mask.png"]),
    ],
)
def test_each_layout_has_its_masks(image, masks):
    others = ["ground_truth/hole/001.png", "ground_truth/hole/002_mask.png"]
    assert paired([image, "test/crack/777.jpg"], [*masks, *others], "d") == {image: masks}


def test_masks_that_fit_twice_are_refused():
    with pytest.raises(SourceError, match=r"d: gt/0\.png could be the mask of a/0\.png and of b/0\.png"):
        paired(["a/0.png", "b/0.png"], ["gt/0.png"], "d")
    with pytest.raises(SourceError, match=r"d: gt/0_mask\.png and gt/0_gt\.png are masks of the same image"):
        paired(["a/0.png"], ["gt/0_mask.png", "gt/0_gt.png"], "d")


def test_masks_of_an_image_in_two_folders_are_refused_whatever_they_are_called():
    """ISIC 2018 has masks of lesions and of their attributes, none of which is that `of no anomalous image`."""
    masks = ["Task1_GroundTruth/0_segmentation.png", "Task2_GroundTruth/0_attribute_globules.png"]
    told = (
        r"Task1_GroundTruth/0_segmentation\.png and Task2_GroundTruth/0_attribute_globules\.png are masks of the same"
    )
    with pytest.raises(SourceError, match=f"{told} image; the folders .* both hold masks: move one of them away"):
        paired(["Task1-2_Input/0.jpg"], masks, "d")
    assert paired(["Task1-2_Input/0.jpg"], masks[1:], "d") == {"Task1-2_Input/0.jpg": masks[1:]}


GOING_ON = [
    ({"{k}_im.jpg": "{k}_GT.png"}, False),
    ({"s{k}_cam0.png": "s{k}_mask.png"}, False),
    ({"{k}_image_0.png": "{k}_mask.png"}, False),
    ({"a{k}_L.png": "masks/a{k}.png"}, False),
    ({"00{k}.png": "masks_{k}.png"}, False),
    ({"00{k}_im.png": "{k}_GT.png"}, False),
    ({"s{k}_cam0.png": "s{k}_mask.png", "s{k}_cam1.png": "s{k}_mask.png"}, True),
]


@pytest.mark.parametrize(("layout", "shared"), GOING_ON)
def test_a_mask_goes_to_images_whose_names_go_on_from_its_own(tmp_path, layout, shared):
    """Where it may be that of several, none of them is a normal one, and whose it is, is not guessed."""
    for k in range(6):
        for image, mask in layout.items():
            write(tmp_path / "all" / image.format(k=k), PICTURE)
            write(tmp_path / "all" / mask.format(k=k), MASK if k > 3 else MASK * 0)
    read = FileReader(tmp_path / "all")
    images, marked = ([image.format(k=k) for image in layout for k in which] for which in (range(4), (4, 5)))
    found = normal_among(tree_of(tmp_path / "all").pictures, read, "d")
    assert sorted(found.images) == sorted(images)
    assert found.notes[1].startswith(f"left out {len(marked)} files, whose masks mark an anomaly: ")
    write(tmp_path / "good/g.png", PICTURE)
    if shared:
        with pytest.raises(
            SourceError, match=r"s0_mask\.png could be the mask of .*s0_cam0\.png and of .*s0_cam1\.png"
        ):
            listing(str(tmp_path))
    else:
        expected = {
            f"all/{image.format(k=k)}": [f"all/{layout[image].format(k=k)}"] for image in layout for k in range(6)
        }
        assert {own.id: own.mask for own in listing(str(tmp_path)).found} == expected | {"good/g.png": None}
        assert {own.id: own.mask for own in defects_in(str(tmp_path)).found} == expected


def test_a_mask_goes_to_no_image_that_only_begins_like_others():
    images = ["a_0.png", "a_1.png", "b_1.png", "b_01.png", "c_2_im.png", "ca.png"]
    assert paired(images, ["a_9_mask.png", "1_mask.png", "b_001_GT.png", "c_GT.png"], "d") == {
        "c_2_im.png": ["c_GT.png"]
    }


@pytest.mark.parametrize(
    ("image", "mask"),
    [("IMG{k}.png", "mask_of_{k}.png"), ("cam/p{k}.png", "gt/g{k}.png"), ("s{k}/images/a.png", "s{k}/masks/b.png")],
)
def test_masks_that_mark_something_on_no_known_image_are_refused(tmp_path, image, mask):
    for k in range(5):
        write(tmp_path / "in" / image.format(k=k), PICTURE)
        write(tmp_path / "in" / mask.format(k=k), MASK * 0)
    names = tree_of(tmp_path / "in").pictures
    assert len(normal_among(names, FileReader(tmp_path / "in"), "d").images) == 5
    write(tmp_path / "in" / mask.format(k=3), MASK)
    told = rf"1 mask marks something, .* of which 5 have no mask, such as .*: {mask.format(k=3)}\. Call masks as"
    with pytest.raises(SourceError, match=told):
        normal_among(names, FileReader(tmp_path / "in"), "d")
    with pytest.raises(SourceError, match=told):
        defects_in(str(tmp_path / "in"))
    (tmp_path / "in").rename(tmp_path / "good")
    write(tmp_path / "bad/0.png", PICTURE)
    with pytest.raises(SourceError, match=r"1 mask marks something"):
        listing(str(tmp_path))


def test_all_that_goes_on_from_a_mask_that_marks_something_is_left_out(tmp_path):
    """As Eyecandies has it: lights, depth and normals of a piece, a mask of it, and masks of each kind of defect."""
    for k in range(4):
        for what in ("image_0", "image_1", "depth", "normals"):
            write(tmp_path / f"{k}_{what}.png", PICTURE)
        for what in ("mask", "bumps_mask", "colors_mask"):
            write(tmp_path / f"{k}_{what}.png", MASK if k == 2 and what != "bumps_mask" else MASK * 0)
    found = normal_among(tree_of(tmp_path).pictures, FileReader(tmp_path), "d")
    assert {name[0] for name in found.images} == {"0", "1", "3"} and len(found.images) == 12
    (tmp_path / "2_mask.png").unlink()
    with pytest.raises(SourceError, match=r"1 mask marks something, .* of which 4 have no mask.*: 2_colors_mask\.png"):
        normal_among(tree_of(tmp_path).pictures, FileReader(tmp_path), "d")


def test_a_number_of_a_mask_alone_says_not_of_which_image_it_is():
    images = [f"a_{k}.png" for k in range(4)]
    assert paired(images, ["a_mask2.png"], "d", shared=True) == {}
    assert paired(images, ["a_mask.png"], "d", shared=True) == {image: ["a_mask.png"] for image in images}
    masks = ["left_front_mask.png", "left_rear_mask.png"]
    assert paired(["left_rear.png"], masks, "d") == {"left_rear.png": masks[1:]}
    assert paired(["b1.png"], ["b1_2_mask.png", "b1_mask.png"], "d", ["b1_2.png"]) == {"b1.png": ["b1_mask.png"]}
    assert paired([f"a_{k}.png" for k in range(65)], ["a_mask.png"], "d", shared=True) == {}


SEVERAL = [
    ("{k}.png", "{k}_mask.png", "{k}_mask_1.png"),
    ("{k}.png", "{k}_mask.png", "{k}_mask2.png"),
    ("{k}.png", "{k}_GT.png", "{k}_GT_2.png"),
    ("{k}.png", "{k}_mask.png", "{k}_crack.png"),
    ("{k}.png", "{k}_mask_0.png", "{k}_mask_1.png"),
    ("benign ({k}).png", "benign ({k})_mask.png", "benign ({k})_mask_1.png"),
    ("images/{k}.png", "masks/{k}.png", "masks/{k}_1.png"),
    ("images/{k}.png", "masks/{k}_mask.png", "masks/{k}_mask_1.png"),
    ("{k}_im.png", "{k}_im_mask.png", "{k}_GT.png"),
    ("{k}_image_0.png", "{k}_mask.png", "{k}_dents_mask.png"),
]


@pytest.mark.parametrize("marking", [1, 2])
@pytest.mark.parametrize("names", SEVERAL)
def test_all_masks_of_an_image_count_whichever_marks_something(tmp_path, names, marking):
    for k in range(6):
        for place, name in enumerate(names):
            pixels = PICTURE if place == 0 else MASK if place == marking and k < 2 else MASK * 0
            write(tmp_path / name.format(k=k), pixels)
    image, *masks = names
    found = normal_among(tree_of(tmp_path).pictures, FileReader(tmp_path), "d")
    assert found.images == [image.format(k=k) for k in range(2, 6)]
    expected = {image.format(k=k): sorted(mask.format(k=k) for mask in masks) for k in range(2)}
    assert {own.id: sorted(own.mask) for own in defects_in(str(tmp_path)).found} == expected
    listed = [own for own in listing(str(tmp_path)).found if own.defect_type != NORMAL]
    assert {own.id: sorted(own.mask) for own in listed} == expected


def test_what_is_called_a_mask_of_the_object_is_none_beside_others():
    masks = ["0_mask.png", "0_mask_1.png", "0_mask_roi.png", "0_object_mask.png"]
    assert paired(["0.png"], masks, "d") == {"0.png": masks[:2]}
    assert paired(["0.png"], ["0_roi.png"], "d") == {"0.png": ["0_roi.png"]}
    assert paired(["object_0.png"], ["object_0_mask.png", "object_0_mask_1.png"], "d") == {
        "object_0.png": ["object_0_mask.png", "object_0_mask_1.png"]
    }


@pytest.fixture
def contents():
    """Return the pictures of a folder as KolektorSDD2 has it: 0 and 1 normal, 2 with a defect, 3 without a mask."""
    encode = lambda image: cv2.imencode(".png", image)[1].tobytes()  # noqa: E731
    files = {f"{k}.png": encode(PICTURE) for k in range(4)}
    return files | {f"{k}_GT.png": encode(MASK if k == 2 else np.zeros_like(MASK)) for k in range(3)}


def test_images_whose_mask_marks_something_are_not_normal(contents):
    found = normal_among(list(contents), contents.__getitem__, "d")
    assert found.images == ["0.png", "1.png", "3.png"]
    assert found.notes == (
        "left out 3 files, masks: 0_GT.png, 1_GT.png, 2_GT.png",
        "left out 1 file, whose masks mark an anomaly: 2.png",
    )


def test_a_mask_drawn_in_alpha_is_empty_where_it_is_transparent(contents):
    for k in range(3):
        alpha = MASK if k == 2 else np.zeros_like(MASK)
        white = np.full_like(MASK, 255)
        contents[f"{k}_GT.png"] = cv2.imencode(".png", np.dstack([white, white, white, alpha]))[1].tobytes()
    assert normal_among(list(contents), contents.__getitem__, "d").images == ["0.png", "1.png", "3.png"]


GREY = cv2.cvtColor(PICTURE, cv2.COLOR_BGR2GRAY)
NO_MASKS = {
    "inverted": (
        [255 - MASK],
        r"marks 70% of the image and all of its rim, as if inverted \(2 grey levels\); a mask is ",
    ),
    "of everything": ([MASK * 0 + 255], r"marks 100% .* as if inverted \(1 grey level\); a mask is black but for"),
    "a photograph": ([PICTURE], r"is a picture, perhaps .* \(\d,\d+ colours\); a mask is black but for the defect"),
    "in grey": ([GREY], r"(is a picture, .*|marks 100% .* as a photograph does) \(\d+ grey levels\)"),
    "all inverted": ([255 - MASK] * 8, r"marks 70%(.|\n)*\n  … and 3 more\nInvert masks that are inverted"),
}
READERS = {
    "make, train, preview": lambda root: normal_among(tree_of(root).pictures, FileReader(root), "d").images,
    "train cyclegan": lambda root: abnormal_among(tree_of(root).pictures, FileReader(root), "d").images,
    "score": lambda root: [image.id for image in listing(str(root)).found],
    "fit": lambda root: [image.id for image in photos(str(root)).found],
    "bank": lambda root: [image.id for image in defects_in(str(root)).found],
}


@pytest.mark.parametrize("place", [0, 7])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("what", NO_MASKS)
def test_what_is_no_mask_of_a_defect_is_refused_by_name_whoever_reads_it(tmp_path, what, reader, place):
    """Nothing is an anomaly because of such a file, whether it was opened to tell masks from images or not."""
    odd, said = NO_MASKS[what]
    for k in range(8):
        write(tmp_path / f"{k}.png", PICTURE)
        write(tmp_path / f"{k}_GT.png", MASK if k == 3 else MASK * 0)
    assert READERS[reader](tmp_path)
    for k, pixels in enumerate(odd):
        write(tmp_path / f"{(place + k) % 8}_GT.png", pixels)
    with pytest.raises(SourceError, match=rf": {len(odd)} of 8 masks cannot be used:\n  \d_GT\.png: {said}"):
        READERS[reader](tmp_path)


def test_images_whose_mask_is_empty_are_not_abnormal(contents):
    contents |= {"good/9.png": contents["3.png"], "ground_truth/3.png": contents["2_GT.png"]}
    found = abnormal_among(list(contents), contents.__getitem__, "d")
    assert found.images == ["2.png", "3.png"]
    assert found.notes[1] == "left out 3 files, normal images: 0.png, 1.png, good/9.png"


def test_the_time_that_pairing_takes_does_not_grow_with_the_square_of_equal_names():
    def pair(count):
        masks_of = paired([f"s{k}/rgb.png" for k in range(count)], [f"s{k}/gt.png" for k in range(1, count, 2)], "d")
        assert masks_of["s1/rgb.png"] == ["s1/gt.png"] and len(masks_of) == count // 2

    assert not grows_like_its_square(pair, small=400)
