"""Which mask belongs to which image, and which pictures of a folder are normal or abnormal by their masks."""

import cv2
import numpy as np
import pytest
from test_sources_sorting import write
from test_sources_tree import MASK, PICTURE

from anomgen.errors import SourceError
from anomgen.sources.folder import FileReader
from anomgen.sources.labelled import defects_in, listing, photos
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
