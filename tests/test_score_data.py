"""Loading real data to score recipes on: the layouts, the masks, the splits, and what is refused."""

import pickle
import re
import shutil

import cv2
import numpy as np
import pytest

from anomgen.errors import SourceError, UsageError
from anomgen.score.data import load
from anomgen.sources.conformance import check_source


def noise(seed, channels=3, shape=(40, 48), dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (*shape, channels)).astype(dtype)


def blob(value=255, shape=(40, 48), part=(slice(10, 30), slice(12, 36))):
    mask = np.zeros(shape, np.uint8)
    mask[part] = value
    return mask


def write(root, files):
    """Write images by name; a number stands for the noise of this seed."""
    for name, image in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), noise(image) if isinstance(image, int) else image)
    return root


def mvtec(
    root, *, train="train/good", good="test/good", bad="test/{}", masks="ground_truth/{}", ending="_mask", value=255
):
    """Write ten normal images for training, three for the test, and four anomalous ones of each of two types."""
    files = {f"{train}/{i:03d}.png": i for i in range(10)}
    files |= {f"{good}/{i:03d}.png": 20 + i for i in range(3)}
    for k, kind in enumerate(("crack", "hole")):
        for i in range(4):
            files[f"{bad.format(kind)}/{i:03d}.png"] = 40 + 10 * k + i
            files[f"{masks.format(kind)}/{i:03d}{ending}.png"] = blob(value)
    return write(root, files)


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


def visa(root, with_table=True):
    folder = root / "candle" / "Data"
    files = {f"Images/Normal/{i:04d}.JPG": i for i in range(10)}
    files |= {f"Images/Anomaly/{i:03d}.JPG": 20 + i for i in range(3)}
    write(folder, files | {f"Masks/Anomaly/{i:03d}.png": blob(i + 1) for i in range(3)})
    if with_table:
        rows = [
            f"candle,{'train' if i < 7 else 'test'},normal,candle/Data/Images/Normal/{i:04d}.JPG," for i in range(10)
        ]
        (root / "split_csv").mkdir()
        (root / "split_csv" / "1cls.csv").write_text("\n".join(["object,split,label,image,mask", *rows]))
    return root / "candle"


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


def test_visa_without_its_table_is_split_by_content(tmp_path):
    data = load(str(visa(tmp_path, with_table=False)), 32)
    assert (len(data.train), len(data.validation), data.test.defect_types.count("normal")) == (6, 1, 3)


def plain(root, masks="masks", bad="bad"):
    files = {f"good/{i}.png": i for i in range(10)} | {f"{bad}/{i}.png": 20 + i for i in range(3)}
    return write(root, files | ({f"{masks}/{i}.png": blob() for i in range(3)} if masks else {}))


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
    for kind in ("_mask", "_GT"):
        write(root, {f"test/good/002{kind}.png": blob(0)})
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


def remove(root, pattern):
    for file in root.glob(pattern):
        file.unlink()


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
        (lambda root: (root / "ground_truth/hole/001_mask.png").write_bytes(b"x"), "001_mask.png: cannot be read as"),
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


# ----------------------------------------------------------------------------------------- Hugging Face datasets


@pytest.fixture
def datasets(tmp_path_factory, monkeypatch):
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    return library


def png(array):
    return {"bytes": cv2.imencode(".png", array)[1].tobytes(), "path": None}


def table(datasets, labels, column="label", first=0, masks=True):
    features = {"mask": datasets.Image(), "image": datasets.Image(), column: datasets.Value("string")}
    return datasets.Dataset.from_dict(
        {
            "mask": [png(blob()) if masks and label != "good" else None for label in labels],
            "image": [png(noise(first + i)) for i in range(len(labels))],
            column: labels,
        },
        features=datasets.Features(features),
    )


def parquet(root, **splits):
    (root / "data").mkdir(parents=True)
    for name, dataset in splits.items():
        dataset.to_parquet(root / "data" / f"{name}-00000-of-00001.parquet")
    return str(root)


def test_a_dataset_with_a_test_split(tmp_path, datasets):
    train, test = table(datasets, ["good"] * 5), table(datasets, ["good", "crack", "hole"], first=10)
    data = load(parquet(tmp_path / "parts", train=train, test=test), 32)
    assert (data.name, len(data.train), len(data.validation)) == ("parts", 4, 1)
    assert data.test.ids == ("test/000000", "test/000001", "test/000002")
    assert data.test.defect_types == ("normal", "crack", "hole")
    assert data.test.masks.any(axis=(1, 2)).tolist() == [False, True, True]
    check_source(data.train)


def test_a_dataset_of_one_split_or_a_named_one(tmp_path, datasets):
    rows = table(datasets, ["good"] * 10 + ["crack"] * 2, column="defect_type")
    path = parquet(tmp_path, train=rows, extra=rows)
    with pytest.raises(UsageError, match=r"has the splits .*; name the one to use"):
        load(path, 32)
    data = load(f"{path}:extra", 32)
    assert (len(data.train), len(data.validation), data.test.defect_types.count("normal")) == (6, 1, 3)


def test_a_saved_dataset_with_numbers_for_labels(tmp_path, datasets):
    rows = table(datasets, ["good"] * 4 + ["x"], masks=False).remove_columns("label")
    rows.add_column("label", [0, 0, 0, 0, 1]).save_to_disk(tmp_path / "saved")
    data = load(str(tmp_path / "saved"), 32)
    assert data.test.masks is None and data.test.defect_types.count("anomaly") == 1


def test_datasets_that_say_too_little(tmp_path, datasets):
    rows = table(datasets, ["a", "b", "c"])
    with pytest.raises(UsageError, match=r"no column says which rows are normal.*label: a, b, c"):
        load(parquet(tmp_path / "a", train=rows), 32)
    with pytest.raises(UsageError, match="its columns are mask, image"):
        load(parquet(tmp_path / "b", train=rows.remove_columns("label")), 32)
    with pytest.raises(UsageError, match="no column of images"):
        load(parquet(tmp_path / "c", train=rows.remove_columns("image")), 32)
    some = table(datasets, ["good"] * 4 + ["a", "b"]).to_list()
    some[-1]["mask"] = None
    features = rows.features
    with pytest.raises(SourceError, match="none for 1 of 2 anomalous images: train/000005"):
        load(parquet(tmp_path / "d", train=datasets.Dataset.from_list(some, features=features)), 32)


def test_a_dataset_that_anomgen_made(tmp_path, datasets):
    from anomgen import make

    make("perlin", tmp_path / "d", source="builtin", count=12, size=64, overrides=["source.count=8"])
    data = load(str(tmp_path / "d"), 32)
    assert data.test.masks is not None and data.test.labels.any() and len(data.train) > 1
