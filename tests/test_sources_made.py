"""Pictures called as another image and as what is made from one: overlays, depth maps, drawn defects."""

import numpy as np
import pytest
from growth import grows_like_its_square
from test_sources_sorting import MASK, encoded, sort
from test_sources_tree import put

from anomgen.sources.labelled import defects_in
from anomgen.sources.sorting import sorted_pictures


@pytest.mark.parametrize(
    "name",
    [
        *(f"a1{ending}" for ending in ("_overlay", "-vis", "_depth", "_heatmap_0", "_pred", "_annotated", "_defect")),
        *(f"{folder}/a1" for folder in ("xyz", "Depth", "overlays")),
    ],
)
def test_what_is_called_as_made_from_an_image_is_left_out_and_named(tmp_path, name):
    images, name = ["a1.png", "a1_back.png", "b_visible.png", "c_depth.png"], f"{name}.png"
    folder = "" if "/" not in name else "rgb/"
    put(tmp_path, *(folder + image for image in images), name)
    found = sort(tmp_path)
    assert found.masks == set() and found.images == [folder + image for image in images]
    (note,) = found.notes
    assert note.startswith("left out 1 file, called as an image and as what is made from one") and note.endswith(name)


@pytest.mark.parametrize(
    "ending", ["_depth_gauge", "_depth_5mm", "_depth5mm", "_vis_a_vis", "_marked", "_diff", "_boxes", "_highlight"]
)
def test_other_words_behind_the_name_of_an_image_are_of_photographs(tmp_path, ending):
    put(tmp_path, "a1.png", f"a1{ending}.png")
    found = sort(tmp_path)
    assert (len(found.images), found.masks, found.notes) == (2, set(), ())


@pytest.mark.parametrize("ending", ["_label", "_seg", "_bw", "_label_back", "_seg07"])
def test_photographs_called_perhaps_like_masks_are_images_and_this_is_said(tmp_path, ending):
    put(tmp_path, "a1.png", f"a1{ending}.png")
    found = sort(tmp_path)
    assert len(found.images) == 2 and found.masks == set()
    assert found.notes == (
        f"1 file is called like a mask but holds a picture, and was taken for an image: a1{ending}.png",
    )


def test_what_is_called_as_made_from_an_image_but_has_a_mask_is_one(tmp_path):
    put(tmp_path, "a1.png", "a1_defect.png", "a1_defect_mask.png!")
    found = sort(tmp_path)
    assert (found.images, found.notes) == (["a1.png", "a1_defect.png"], ())


def test_masks_of_classes_count_beside_those_of_single_objects(tmp_path):
    """Pascal VOC and CVAT have both, of the same marks."""
    folders = ("SegmentationClass", "SegmentationObject")
    put(tmp_path, "JPEGImages/1.jpg", *(f"{folder}/1.png!" for folder in folders))
    put(tmp_path, "JPEGImages/9.jpg", "SegmentationObject/9.png!")
    found = sort(tmp_path)
    assert found.masks == {"SegmentationClass/1.png", "SegmentationObject/9.png"}
    assert found.notes == (
        "left out 1 file, masks of single objects beside those of classes: SegmentationObject/1.png",
    )
    marked = {own.id: own.mask for own in defects_in(str(tmp_path)).found}
    assert marked == {f"JPEGImages/{k}.jpg": [f"{folder}/{k}.png"] for k, folder in zip((1, 9), folders, strict=True)}


@pytest.mark.parametrize("folders", [("normals", "defects"), ("boxes", "bottles"), ("depth", "depths"), ("a/xyz", "b")])
def test_folders_of_equal_names_that_may_hold_photographs_do(tmp_path, folders):
    put(tmp_path, *(f"{folder}/0.png" for folder in folders))
    assert sorted(sort(tmp_path).images) == sorted(f"{folder}/0.png" for folder in folders)


def test_the_time_that_sorting_takes_does_not_grow_with_the_square_of_the_pictures():
    def sort_all(count):
        names = [f"{folder}/{k:05d}.png" for folder in ("images", "masks") for k in range(count)]
        assert len(sorted_pictures(names, lambda name: contents[name.startswith("masks")], "d").images) == count

    contents = [encoded(noisy) for noisy in (np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8), MASK)]
    assert not grows_like_its_square(sort_all, small=500)
