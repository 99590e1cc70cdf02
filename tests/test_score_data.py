"""Real data: the layouts and the splits."""

import os
import pickle
import subprocess
import sys

import cv2
import pytest
from layouts import blob, mvtec, noise, plain, visa, write

from anomgen.errors import SourceError, UsageError
from anomgen.score.data import load
from anomgen.sources.conformance import check_source
from anomgen.sources.labelled import _noted_types


def test_mvtec_with_its_types_masks_and_parts(tmp_path):
    data = load(str(mvtec(tmp_path / "bottle")), 32)
    assert (data.name, len(data.train), len(data.validation), data.real) == ("bottle", 8, 2, None)
    assert data.test.defect_types == ("crack",) * 4 + ("normal",) * 3 + ("hole",) * 4
    assert data.test.ids[0] == "test/crack/000.png"
    assert data.test.labels.tolist() == [True] * 4 + [False] * 3 + [True] * 4
    assert data.test.images.shape == (11, 32, 32, 3) and data.test.masks.shape == (11, 32, 32)
    assert data.test.masks[0].sum() == pytest.approx(32 * 32 / 4, rel=0.1) and not data.test.masks[4:7].any()
    assert not data.test.images.flags.writeable and not data.test.masks.flags.writeable
    assert data.test.lost_masks == 0


@pytest.mark.parametrize(
    "layout",
    [
        {"masks": "ground_truth/{}", "ending": ""},
        {"masks": "Masks/{}", "ending": "", "value": 3},
        {"train": "train/ok", "good": "test/ok", "bad": "test/{}", "ending": ""},
        {"bad": "test/bad/{}", "masks": "test/ground_truth/bad/{}"},
        {"bad": "test/{}", "masks": "test/{}/masks"},
        {"bad": "test/{}", "masks": "test/{}"},
        {"bad": "test/{}", "masks": "test/{}", "ending": "_GT"},
        {"masks": "Ground_Truth/bad/{}", "bad": "test/Bad/{}"},
        {"train": "train/images/good", "good": "test/images/good", "bad": "test/images/{}", "masks": "test/masks/{}"},
    ],
)
def test_relatives_of_mvtec_are_the_same_data(tmp_path, layout):
    expected = load(str(mvtec(tmp_path / "a" / "bottle")), 32)
    data = load(str(mvtec(tmp_path / "b" / "bottle", **layout)), 32)
    assert sorted(data.test.defect_types) == sorted(expected.test.defect_types)
    assert data.test.masks.sum() == expected.test.masks.sum()
    assert data.train.fingerprint() != "" and len(data.train) == 8


def test_btad(tmp_path):
    files = {f"train/ok/{i}.bmp": i for i in range(4)} | {"test/ok/1.bmp": 10, "test/ko/0.bmp": 11}
    data = load(str(write(tmp_path / "01", {**files, "ground_truth/ko/0.png": blob()})), 32)
    assert data.test.defect_types == ("ko", "normal") and data.test.masks[0].any()


def test_visa_as_published_has_its_own_split_and_numbers_in_masks(tmp_path):
    data = load(str(visa(tmp_path)), 32)
    ids = [source.id(i) for source in (data.train, data.validation) for i in range(len(source))]
    assert sorted(ids) == [f"Data/Images/Normal/{i:04d}.JPG" for i in range(7)]
    assert data.test.defect_types == ("Anomaly",) * 3 + ("normal",) * 3
    assert data.test.masks[:3].any(axis=(1, 2)).all()
    rows = [f'candle/Data/Images/Anomaly/{i:03d}.JPG,"{label}",' for i, label in enumerate(["melted", "a,b", "melted"])]
    rows.append("candle/Data/Images/Normal/0008.JPG,normal,")
    (tmp_path / "candle/image_anno.csv").write_text("\n".join(["image,label,mask", *rows]))
    assert load(str(tmp_path / "candle"), 32).test.defect_types == ("melted", "a,b", "melted", *("normal",) * 3)
    (tmp_path / "candle/Data/Images/Normal/0000.JPG").unlink()
    with pytest.raises(SourceError, match=r"1 training images of 1cls.csv are not there.*0000"):
        load(str(tmp_path / "candle"), 32)


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["bare", "with a mark of its encoding"])
def test_visas_table_is_read_as_utf8_on_every_system(tmp_path, mark):
    """Law: types and names that are not ASCII come out as they are written, whatever the system's own encoding is."""
    candle = visa(tmp_path)
    (candle / "Data/Images/Anomaly/000.JPG").rename(candle / "Data/Images/Anomaly/größe.JPG")
    (candle / "Data/Masks/Anomaly/000.png").rename(candle / "Data/Masks/Anomaly/größe.png")
    text = f"{mark}image,label,mask\r\ncandle/Data/Images/Anomaly/größe.JPG,缺口 ü,\r\n"
    table = candle / "image_anno.csv"
    table.write_bytes(text.encode())
    code = "import pathlib, anomgen.sources.labelled as own; print(ascii(own._noted_types(pathlib.Path('candle'))))"
    # of a system that reads ASCII where nothing is said
    ascii_alone = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, check=False, cwd=tmp_path, env=ascii_alone, capture_output=True, text=True)
    assert done.stdout.strip() == ascii({"Data/Images/Anomaly/größe.JPG": "缺口 ü"}), done.stderr
    assert sorted(set(load(str(candle), 32).test.defect_types)) == ["Anomaly", "normal", "缺口 ü"]
    for wrong in (text.encode("cp1252", "replace"), b"a,b\n1,2\n", b"image,label\ncandle/a.png\n"):
        table.write_bytes(wrong)
        with pytest.raises(SourceError, match=r"image_anno\.csv: is not VisA's table of image, label, mask"):
            _noted_types(candle)
    table.unlink()
    assert _noted_types(candle) == {}


def test_visa_without_its_table_is_split_by_content(tmp_path):
    data = load(str(visa(tmp_path, with_table=False)), 32)
    assert (len(data.train), len(data.validation), data.test.defect_types.count("normal")) == (6, 1, 3)


def test_a_plain_folder_is_split_by_content_whatever_the_names(tmp_path):
    data = load(str(plain(tmp_path / "a")), 32)
    assert data.test.defect_types == ("bad",) * 3 + ("normal",) * 3 and (len(data.train), len(data.validation)) == (
        6,
        1,
    )
    for i in range(10):
        (tmp_path / f"a/good/{i}.png").rename(tmp_path / f"a/good/renamed{9 - i}.png")
    renamed = load(str(tmp_path / "a"), 32)
    assert [image.tobytes() for image in renamed.train] == [image.tobytes() for image in data.train]
    assert {image.tobytes() for image in renamed.test.images} == {image.tobytes() for image in data.test.images}


def test_a_plain_folder_of_defect_types(tmp_path):
    files = {f"OK/{i}.png": i for i in range(4)} | {"dent/0.png": 10, "rust/0.png": 11}
    masks = {"gt/dent/0.png": blob(), "gt/rust/0_gt.png": blob(7)}
    assert load(str(write(tmp_path, files | masks)), 32).test.defect_types[1:] == ("dent", "rust")
    (tmp_path / "gt/dent/0.png").rename(tmp_path / "gt/0.png")
    (tmp_path / "gt/rust/0_gt.png").unlink()
    with pytest.raises(SourceError, match=r"gt/0.png could be the mask of dent/0.png and of rust/0.png"):
        load(str(tmp_path), 32)


def test_data_without_masks_has_none(tmp_path):
    assert load(str(plain(tmp_path, masks=None)), 32).test.masks is None


def test_one_class_in_the_test_set_is_no_error(tmp_path):
    files = {f"train/good/{i}.png": i for i in range(4)} | {"test/bad/0.png": 10}
    assert load(str(write(tmp_path, files)), 32).test.labels.tolist() == [True]


def test_the_splits_keep_equal_images_together(tmp_path):
    root = mvtec(tmp_path)
    for i in range(10):
        cv2.imwrite(str(root / f"train/good/copy{i}.png"), noise(i))
    data = load(str(root), 32)
    train, validation = ({image.tobytes() for image in source} for source in (data.train, data.validation))
    assert (len(data.train), len(train), len(data.validation), len(validation)) == (16, 8, 4, 2)
    assert not train & validation


def test_fewer_training_images_are_a_part_of_more(tmp_path):
    root = str(mvtec(tmp_path))
    few, more = load(root, 32, train_count=3), load(root, 32, train_count=6)
    assert [few.train.id(i) for i in range(3)] == [more.train.id(i) for i in range(3)] and len(more.train) == 6
    assert few.validation.fingerprint() == more.validation.fingerprint()
    assert few.fingerprint != more.fingerprint == load(root, 32, train_count=6).fingerprint
    with pytest.raises(UsageError, match="9 normal images to train on are wanted; there are 8"):
        load(root, 32, train_count=9)


def test_real_anomalies_are_held_out_of_the_test(tmp_path):
    root = str(mvtec(tmp_path))
    everything, data = load(root, 32), load(root, 32, real_share=0.5)
    assert data.real.defect_types == ("crack",) * 2 + ("hole",) * 2 and data.real.masks.any(axis=(1, 2)).all()
    assert sorted(data.real.ids + data.test.ids) == sorted(everything.test.ids)
    assert load(root, 32, real_share=0.25).real.ids[0] in data.real.ids
    assert data.fingerprint != everything.fingerprint
    with pytest.raises(UsageError, match="less than one image"):
        load(root, 32, real_share=0.1)
    with pytest.raises(UsageError, match="from 0 to below 1"):
        load(root, 32, real_share=1.0)


def test_the_sources_hold_the_contract_and_know_nothing_of_the_machine(tmp_path):
    data = load(str(mvtec(tmp_path)), (32, 48))
    for source in (data.train, data.validation):
        check_source(source)
    assert str(tmp_path) not in pickle.dumps(data).decode("latin1")


def test_the_fingerprint_changes_with_size_and_content(tmp_path):
    root = mvtec(tmp_path)
    before = load(str(root), 32).fingerprint
    assert before == load(str(root), 32).fingerprint != load(str(root), 40).fingerprint
    cv2.imwrite(str(root / "ground_truth/crack/000_mask.png"), blob(part=(slice(0, 5), slice(0, 5))))
    assert load(str(root), 32).fingerprint != before
