"""What a labelled data set holds, as its authors laid it out: normal images, defect types, masks, what is left out."""

import pytest
from test_sources_tree import put

from anomgen.errors import AnomgenError
from anomgen.sources.labelled import listing


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
