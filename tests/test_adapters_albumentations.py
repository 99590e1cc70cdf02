"""The transform for albumentations."""

import numpy as np
import pytest
from online import ALWAYS, loaded, outside, recipe, same

torch = pytest.importorskip("torch", reason="the adapters are for torch")

from anomgen.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def compose():
    A = pytest.importorskip("albumentations", reason="albumentations 2.0.8 is in the extra `test`")
    from anomgen.adapters.albumentations import Anomaly

    return A.Compose([Anomaly(recipe(overrides=ALWAYS))], seed=1)


@pytest.mark.parametrize("shape", [(80, 72), (80, 72, 1), (80, 72, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_albumentations_keeps_shape_dtype_and_the_pixels_outside_the_mask(compose, shape, dtype):
    image = outside(0, shape) if dtype == np.uint8 else outside(0, shape) / np.float32(255)
    item = compose(image=image, mask=np.zeros(shape[:2], np.uint8), other="kept")
    inside = item["mask"] > 0
    assert item["image"].shape == shape and item["image"].dtype == dtype and item["other"] == "kept"
    assert np.array_equal(item["image"][~inside], image[~inside]) and inside.any()


def test_albumentations_follows_its_own_seed(compose):
    image, mask = outside(), np.zeros((80, 72), np.uint8)
    drawn = []
    for seed in (4, 5, 4):
        compose.set_random_seed(seed)
        drawn.append(compose(image=image, mask=mask)["mask"])
    assert np.array_equal(drawn[0], drawn[2]) and not np.array_equal(drawn[0], drawn[1])


class Pasted(torch.utils.data.Dataset):
    def __init__(self, compose):
        self.compose = compose

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.compose.set_random_seed(index)
        item = self.compose(image=outside(index), mask=np.zeros((80, 72), np.uint8))
        return {"index": index, "image": item["image"], "mask": item["mask"]}

    def set_epoch(self, epoch): ...


def test_albumentations_seeded_by_index_is_the_same_for_any_number_of_workers(compose):
    assert same(loaded(Pasted(compose), num_workers=2), loaded(Pasted(compose)))


def test_albumentations_leaves_boxes_and_says_what_is_missing(compose):
    import albumentations as A

    boxes = A.BboxParams(format="pascal_voc", label_fields=["names"])
    with_boxes = A.Compose([compose.transforms[0]], bbox_params=boxes)
    item = with_boxes(image=outside(), mask=np.zeros((80, 72), bool), bboxes=[[1, 2, 30, 40]], names=["a"])
    assert np.allclose(item["bboxes"], [[1, 2, 30, 40]]) and item["mask"].dtype == bool and item["mask"].any()
    for nothing in ({}, {"mask": None}, {"masks": [np.zeros((80, 72), np.uint8)]}):
        with pytest.raises(UsageError, match="a mask of zeros"):
            compose(image=outside(), **nothing)


PARTS = np.arange(80 * 72, dtype=np.uint8).reshape(80, 72) % 7
"""A segmentation: numbers of classes."""


def test_albumentations_marks_one_mask_and_leaves_others(compose):
    import albumentations as A

    zeros, others = np.zeros((80, 72), np.uint8), {"parts": "mask", "defect": "mask"}
    item = A.Compose(compose.transforms, additional_targets=others)(
        image=outside(), mask=zeros, parts=PARTS, masks=[PARTS, zeros]
    )
    assert item["mask"].any() and np.array_equal(item["parts"], PARTS)
    assert np.array_equal(item["masks"], [PARTS, zeros])
    named = A.Compose(
        [type(compose.transforms[0])(recipe(overrides=ALWAYS), marks="defect")], additional_targets=others
    )
    item = named(image=outside(), mask=PARTS, defect=zeros)
    assert item["defect"].any() and np.array_equal(item["mask"], PARTS)
    with pytest.raises(UsageError, match=r"a mask of zeros, 'defect'.*given: image, mask"):
        named(image=outside(), mask=PARTS)
    each = A.Compose([type(compose.transforms[0])(recipe(overrides=ALWAYS), marks="masks")])
    assert all(mask.any() for mask in each(image=outside(), masks=[zeros, zeros])["masks"])


@pytest.mark.parametrize("mask", [PARTS, 255 * (PARTS > 3), -1.0 * PARTS, np.full((80, 72), np.nan)], ids=range(4))
def test_albumentations_refuses_a_mask_of_other_meaning(compose, mask):
    with pytest.raises(UsageError, match=r"the mask for anomalies holds .*marked with 1"):
        compose(image=outside(), mask=mask)


def test_albumentations_refuses_a_second_image_and_alpha(compose):
    """The first image's anomaly is not the second's, and alpha is no colour."""
    import albumentations as A

    mask = np.zeros((80, 72), np.uint8)
    pair = A.Compose([compose.transforms[0]], additional_targets={"right": "image"})
    with pytest.raises(UsageError, match=r"one image and a mask.*given: image, right, mask"):
        pair(image=outside(0), right=outside(1), mask=mask)
    with pytest.raises(UsageError, match="given: image, images, mask"):
        compose(image=outside(0), images=np.stack([outside(1)] * 2), mask=mask)
    unchecked = A.Compose([compose.transforms[0]], is_check_shapes=False)
    with pytest.raises(UsageError, match="the mask has 60×72 pixels"):
        unchecked(image=outside(0), mask=mask[:60])
    with pytest.raises(UsageError, match=r"1 channel or 3, not \(80, 72, 4\); take transparency"):
        compose(image=np.dstack([outside(), mask]), mask=mask)
