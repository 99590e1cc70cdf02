"""Which mask belongs to which image, and which pictures of a folder are normal or abnormal by their masks."""

import cv2
import numpy as np
import pytest
from test_sources_tree import MASK, PICTURE

from anomgen.errors import SourceError
from anomgen.sources.pairing import abnormal_among, normal_among, paired


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


def test_masks_that_are_perhaps_inverted_are_told(contents):
    for k in range(3):
        mask = 255 - (MASK if k == 2 else np.zeros_like(MASK))
        contents[f"{k}_GT.png"] = cv2.imencode(".png", mask)[1].tobytes()
    found = normal_among(list(contents), contents.__getitem__, "d")
    assert found.images == ["3.png"] and "3 of 3 images' masks mark more than half, as if inverted" in found.notes[1]


def test_images_whose_mask_is_empty_are_not_abnormal(contents):
    contents |= {"good/9.png": contents["3.png"], "ground_truth/3.png": contents["2_GT.png"]}
    found = abnormal_among(list(contents), contents.__getitem__, "d")
    assert found.images == ["2.png", "3.png"]
    assert found.notes[1] == "left out 3 files, normal images: 0.png, 1.png, good/9.png"
