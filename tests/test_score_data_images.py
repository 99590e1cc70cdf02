"""Real data: what becomes of images and masks, and what is refused."""

import re
import shutil

import cv2
import numpy as np
import pytest
from layouts import blob, mvtec, noise, plain, remove, write

from anomgen.errors import SourceError, UsageError
from anomgen.score.data import load


def test_masks_are_cut_at_half_of_the_area(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[:1, :2] = 1  # half of a block of 2 × 2
    mask[10, 10] = 1  # a quarter
    files = {f"train/good/{i}.png": noise(i, shape=(64, 64)) for i in range(3)} | {
        "test/a/0.png": noise(9, shape=(64, 64))
    }
    root = write(tmp_path, {**files, "ground_truth/a/0_mask.png": mask})
    assert np.argwhere(load(str(root), 32).test.masks[0]).tolist() == [[0, 0]]
    assert load(str(root), 16).test.lost_masks == 1


def test_masks_in_colour_with_alpha_and_lossy(tmp_path):
    root = mvtec(tmp_path)
    clear = np.dstack([np.zeros((40, 48, 3), np.uint8), np.full((40, 48), 255, np.uint8)])
    clear[10:30, 12:36, 2] = 200
    expected = load(str(root), 32).test.masks[0]
    cv2.imwrite(str(root / "ground_truth/crack/000_mask.png"), clear)
    assert (load(str(root), 32).test.masks[0] == expected).all()
    (root / "ground_truth/crack/000_mask.png").unlink()
    cv2.imwrite(str(root / "ground_truth/crack/000_mask.jpg"), blob())
    assert np.count_nonzero(load(str(root), 32).test.masks[0] != expected) < 20


def test_grey_and_colour_follow_the_training_images(tmp_path):
    files = {f"train/good/{i}.png": noise(i, 1) for i in range(3)} | {
        "test/a/0.png": 10,
        "test/good/0.png": noise(11, 1),
    }
    root = write(tmp_path, files)
    assert load(str(root), 32).test.images.shape[3] == 1
    write(root, {"train/good/3.png": 12})
    assert load(str(root), 32).test.images.shape[3] == 3 == load(str(root), 32).train[0].shape[2]
    write(root, {"test/good/1.png": noise(13, 1, dtype=np.uint16)})
    with pytest.raises(SourceError, match=r"mixes 8-bit and 16-bit images.*test/good/1.png is uint16"):
        load(str(root), 32)


@pytest.mark.parametrize(
    ("copy", "of", "message"),
    [
        (
            "test/good/9.png",
            "train/good/001.png",
            r"test/good/9.png \(test\) has the same pixels as train/good/001.png \(training\): what is tested on must "
            "not be trained on; remove",
        ),
        (
            "test/crack/9.png",
            "train/good/001.png",
            r"test/crack/9.png \(test\).*train/good/001.png \(training\): .*trained on, and an image is either normal",
        ),
        (
            "test/crack/9.png",
            "test/good/001.png",
            r"test/crack/9.png \(test\).*test/good/001.png \(test\): an image is either normal or anomalous; remove",
        ),
    ],
)
def test_an_image_in_two_parts_is_refused(tmp_path, copy, of, message):
    root = mvtec(tmp_path)
    image = cv2.imread(str(root / of))
    write(root, {copy: image, "ground_truth/crack/9_mask.png": blob()})
    if "crack" not in copy:
        (root / "ground_truth/crack/9_mask.png").unlink()
    with pytest.raises(SourceError, match=f"{re.escape(str(root))}: {message}"):
        load(str(root), 32)


def test_the_content_is_the_same_under_other_names(tmp_path):
    root = mvtec(tmp_path / "a")
    before, by_half = load(str(root), 32).test, load(str(root), 40).test
    (root / "test/crack").rename(root / "test/zz")
    (root / "ground_truth/crack").rename(root / "ground_truth/zz")
    root.rename(tmp_path / "b")
    after = load(str(tmp_path / "b"), 32)
    assert after.test.ids != before.ids and after.test.content_fingerprint == before.content_fingerprint
    assert by_half.content_fingerprint != before.content_fingerprint
    write(tmp_path / "b", {"test/good/000.png": 98})
    assert load(str(tmp_path / "b"), 32).test.content_fingerprint != before.content_fingerprint


def test_an_image_called_like_a_mask_is_an_image(tmp_path):
    root = mvtec(tmp_path)
    for name in ("train/good/000", "test/good/000"):
        (root / f"{name}.png").rename(root / f"{name}_gt.png")
    for number, kind in (("001", "_mask"), ("002", "_GT")):
        write(root, {f"test/good/{number}{kind}.png": np.zeros_like(blob(0))})
    data = load(str(root), 32)
    ids = [source.id(i) for source in (data.train, data.validation) for i in range(len(source))]
    assert "train/good/000_gt.png" in ids and len(ids) == 10
    assert [name for name in data.test.ids if "good" in name] == [
        f"test/good/{i}.png" for i in ("000_gt", "001", "002")
    ]
    (root / "test/crack/000.png").rename(root / "test/crack/000_mask.png")
    assert load(str(root), 32).test.ids[0] == "test/crack/000_mask.png"


def test_grey_stored_as_colour_is_the_same_image(tmp_path):
    root = mvtec(tmp_path)
    grey = noise(99, 1)
    write(root, {"train/good/g.png": grey, "test/good/g.png": np.repeat(grey, 3, axis=2)})
    with pytest.raises(SourceError, match=r"test/good/g.png \(test\) has the same pixels as train/good/g.png"):
        load(str(root), 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: remove(root, "train/good/*"), "no normal training images"),
        (lambda root: remove(root, "test/[ch]*/*"), "no anomalous images"),
        (lambda root: remove(root, "train/good/00[1-9].png"), "there is one normal image for training; at least 2"),
        (
            lambda root: [write(root, {f"train/good/{i:03d}.png": 0}) for i in range(10)],
            "10 normal .* same pixels; at le",
        ),
        (
            lambda root: write(root, {"ground_truth/hole/001_mask.png": blob(0)}),
            "hole/001_mask.png: marks no pixel, but",
        ),
        (lambda root: remove(root, "ground_truth/*/00[23]_mask.png"), "none for 4 of 8 .*test/crack/002.png"),
        (lambda root: write(root, {"ground_truth/crack/000_mask.png": blob(shape=(20, 24))}), r"20 × 24.*40 × 48"),
        (lambda root: write(root, {"ground_truth/crack/000_mask.bmp": blob()}), "masks of the same image"),
        (lambda root: (root / "test/hole/001.png").write_bytes(b""), r"test/hole/001.png: is empty"),
        (lambda root: (root / "ground_truth/hole/001_mask.png").write_bytes(b"x"), "001_mask.png: is not a PNG, JPEG"),
        (lambda root: write(root, {"stray.png": 77}), "no folder says whether stray.png is normal"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, message):
    root = mvtec(tmp_path)
    change(root)
    with pytest.raises((UsageError, SourceError), match=message):
        load(str(root), 32)


def test_a_plain_folder_says_how_many_are_for_the_test(tmp_path):
    root = plain(tmp_path)
    remove(root, "good/[2-9].png")
    with pytest.raises(UsageError, match=r"one normal image for training \(of 2 normal images, 30% are for the test\)"):
        load(str(root), 32)


def test_a_path_that_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"data/bottle/a.png": 1})
    with pytest.raises(UsageError, match=r"^data/bottle/a.png: is a file; give the folder of a data set"):
        load("data/bottle/a.png", 32)
    for path in ("data/bottle/a.png/x", "data/bottle/a.png:train"):
        with pytest.raises(UsageError, match=f"^{path}: data/bottle/a.png is a file; give the folder"):
            load(path, 32)
    for path in ("data/bottel", "data/bottel:train"):
        with pytest.raises(UsageError, match=r"no such folder .*did you mean 'bottle'.*no folder data") as error:
            load(path, 32)
        assert "kind:" not in str(error.value)


def test_a_root_needs_a_category(tmp_path):
    for name in ("bottle", "screw"):
        mvtec(tmp_path / name)
    with pytest.raises(UsageError, match=r"holds 2 categories \(bottle, screw\); give one of them, as .*/bottle"):
        load(str(tmp_path), 32)
    with pytest.raises(UsageError, match="did you mean 'screw'"):
        load(str(tmp_path / "screws"), 32)
    mvtec(tmp_path / "deep" / "1cls" / "pcb")
    with pytest.raises(UsageError, match=r"holds 3 categories \(bottle, deep/1cls/pcb, screw\)"):
        load(str(tmp_path), 32)
    assert load(str(tmp_path / "deep"), 32).name == "pcb"
    shutil.rmtree(tmp_path / "deep")
    shutil.rmtree(tmp_path / "screw")
    assert load(str(tmp_path), 32).name == "bottle"
    with pytest.raises(UsageError, match="no real anomalies"):
        load("builtin:brick", 32)
