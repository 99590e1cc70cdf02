"""The field's layouts: only normal training images, one category, and what a bare path is detected as."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from anomgen.errors import SourceError, UsageError
from anomgen.sources import detect
from anomgen.sources.builtin import Builtin
from anomgen.sources.conformance import check_source
from anomgen.sources.folder import Folder
from anomgen.sources.layouts import BTAD, MPDD, MVTecAD, VisA


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        value = sum(name.encode()) % 256
        Image.fromarray(np.full((32, 40), value, np.uint8)).save(root / name)
    return root


def ids(source):
    return [source.id(index) for index in range(len(source))]


@pytest.fixture
def mvtec(tmp_path):
    """Return a root with the categories bottle and screw."""
    for name in ("bottle", "screw"):
        write(
            tmp_path / "mvtec" / name,
            "train/good/000.png",
            "train/good/001.png",
            "test/good/000.png",
            "test/crack/000.png",
            "ground_truth/crack/000_mask.png",
        )
    (tmp_path / "mvtec" / "license.txt").write_text("CC BY-NC-SA 4.0")
    return tmp_path / "mvtec"


@pytest.fixture
def visa(tmp_path):
    """Return VisA as published: a root with candle and pcb1 and the table of the split."""
    rows = ["object,split,label,image,mask"]
    for name in ("candle", "pcb1"):
        folder = write(tmp_path / "visa" / name, *(f"Data/Images/Normal/{i:04d}.JPG" for i in range(4)))
        write(folder, "Data/Images/Anomaly/000.JPG", "Data/Masks/Anomaly/000.png")
        rows += [f"{name},train,normal,{name}/Data/Images/Normal/{i:04d}.JPG," for i in (0, 2, 3)]
        rows += [f"{name},test,normal,{name}/Data/Images/Normal/0001.JPG,"]
        rows += [f"{name},test,anomaly,{name}/Data/Images/Anomaly/000.JPG,{name}/Data/Masks/Anomaly/000.png"]
    (tmp_path / "visa" / "split_csv").mkdir()
    (tmp_path / "visa" / "split_csv" / "1cls.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "visa"


@pytest.mark.parametrize("config", [MVTecAD, MPDD])
def test_mvtec_and_mpdd_take_train_good_alone(mvtec, config):
    source = config(path=str(mvtec / "bottle")).open()
    assert ids(source) == ["train/good/000.png", "train/good/001.png"]
    check_source(config(path=str(mvtec / "bottle"), size=32))


def test_btad_takes_train_ok(tmp_path):
    write(tmp_path / "01", "train/ok/0000.bmp", "test/ok/1.bmp", "test/ko/0000.bmp", "ground_truth/ko/0000.png")
    assert ids(BTAD(path=str(tmp_path / "01")).open()) == ["train/ok/0000.bmp"]
    assert detect(str(tmp_path / "01")) == {"kind": "btad", "path": str(tmp_path / "01")}


def test_a_root_needs_a_category_and_gives_the_same_source(mvtec):
    with pytest.raises(UsageError, match=r"holds 2 categories \(bottle, screw\).*--set source.category=bottle"):
        MVTecAD(path=str(mvtec)).open()
    with pytest.raises(UsageError, match=r"no category 'screws' .*; did you mean 'screw'"):
        MVTecAD(path=str(mvtec), category="screws").open()
    by_root, by_folder = MVTecAD(path=str(mvtec), category="screw").open(), MVTecAD(path=str(mvtec / "screw")).open()
    assert ids(by_root) == ids(by_folder) and by_root.fingerprint() == by_folder.fingerprint()


def test_a_root_with_one_category_needs_none(tmp_path):
    write(tmp_path / "only", "train/good/0.png")
    assert len(MVTecAD(path=str(tmp_path)).open()) == 1


def test_a_folder_that_is_laid_out_otherwise(mvtec):
    with pytest.raises(UsageError, match=r"not laid out like mvtec \(no train/good.*kind: folder"):
        MVTecAD(path=str(mvtec / "bottle" / "train" / "good")).open()
    with pytest.raises(UsageError, match="no such folder"):
        MVTecAD(path=str(mvtec / "botle")).open()
    for image in (mvtec / "bottle" / "train" / "good").iterdir():
        image.unlink()
    with pytest.raises(UsageError, match="no normal training image in train/good"):
        MVTecAD(path=str(mvtec / "bottle")).open()


def test_bad_images_in_a_layout_are_named(mvtec):
    (mvtec / "bottle/train/good/000.png").write_bytes(b"")
    with pytest.raises(SourceError, match=r"train/good/000\.png: is empty"):
        MVTecAD(path=str(mvtec / "bottle")).open()
    source = MVTecAD(path=str(mvtec / "bottle"), on_bad_image="skip").open()
    assert source.skipped == ("train/good/000.png",)


def test_visa_as_published_takes_the_training_rows(visa):
    source = VisA(path=str(visa), category="pcb1").open()
    assert ids(source) == [f"Data/Images/Normal/{i:04d}.JPG" for i in (0, 2, 3)]
    check_source(VisA(path=str(visa / "candle")))
    with pytest.raises(UsageError, match=r"2 categories \(candle, pcb1\)"):
        VisA(path=str(visa)).open()


def test_visa_without_its_table_takes_all_normal_images(visa):
    (visa / "split_csv" / "1cls.csv").unlink()
    assert len(VisA(path=str(visa / "candle")).open()) == 4


def test_visa_with_a_wrong_table_is_an_error(visa):
    (visa / "candle/Data/Images/Normal/0002.JPG").unlink()
    with pytest.raises(SourceError, match=r"1 training images of 1cls.csv are not there.*0002\.JPG"):
        VisA(path=str(visa / "candle")).open()
    for text in ("a,b\n1,2\n", "object,split,label,image,mask\ncandle,train,normal\n"):
        (visa / "split_csv" / "1cls.csv").write_text(text)
        with pytest.raises(SourceError, match="is not VisA's table"):
            VisA(path=str(visa / "candle")).open()
    (visa / "split_csv" / "1cls.csv").write_bytes(b"object,split,label,image\n\xff\xfe,,,\n")
    with pytest.raises(SourceError, match="is not VisA's table"):
        VisA(path=str(visa / "candle")).open()


def test_visa_converted(tmp_path):
    write(tmp_path / "visa_pytorch/pcb4", "train/good/0.JPG", "test/bad/0.JPG", "ground_truth/bad/0.png")
    path = str(tmp_path / "visa_pytorch/pcb4")
    assert detect(path)["kind"] == "mvtec"
    assert ids(VisA(path=path).open()) == ["train/good/0.JPG"]


def test_detects_layouts_by_structure_alone(mvtec, visa, tmp_path):
    assert detect(str(mvtec)) == {"kind": "mvtec", "path": str(mvtec)}
    assert detect(str(mvtec / "bottle")) == {"kind": "mvtec", "path": str(mvtec / "bottle")}
    assert detect(str(mvtec / "bottle/train/good"))["kind"] == "folder"
    assert detect(str(visa))["kind"] == "visa" and detect(str(visa / "candle"))["kind"] == "visa"
    write(tmp_path / "mine" / "tubes", "train/good/0.png")
    assert detect(str(tmp_path / "mine"))["kind"] == detect(str(tmp_path / "mine/tubes"))["kind"] == "mvtec"


def test_what_is_detected_as_a_plain_folder_still_refuses_test_images(mvtec):
    kind = detect(str(mvtec / "bottle/test"))
    assert kind["kind"] == "folder"
    with pytest.raises(UsageError, match="crack/ beside good/"):
        Folder(path=kind["path"]).open()


def test_detects_datasets_and_ids(tmp_path, monkeypatch):
    (tmp_path / "out/data").mkdir(parents=True)
    (tmp_path / "out/data/train-00000-of-00001.parquet").write_bytes(b"PAR1")
    write(tmp_path / "out", "preview.png")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/state.json").write_text(json.dumps({}))
    monkeypatch.chdir(tmp_path)
    for path in ("out", "saved", "out:train", "saved:test[:10]", "owner/name", "owner/name:test", "Voxel51/mvtec-ad"):
        assert detect(path) == {"kind": "hub", "path": path}


def test_detects_the_builtin_textures():
    assert detect("builtin") == {"kind": "builtin"}
    assert detect("builtin:gravel") == {"kind": "builtin", "name": "gravel"}


def test_a_path_that_is_nothing(mvtec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"kind: hub.*no 'botle' in .*; did you mean 'bottle'"):
        detect("mvtec/botle")  # looks like an id, but the folder mvtec is there
    with pytest.raises(UsageError, match=r"no such folder, nor is it an id .*did you mean 'mvtec'"):
        detect("mvtecc")
    for url in ("zip://nope.zip", "https://example.org/photos.zip", "s3://bucket/photos"):
        with pytest.raises(UsageError, match=r"not read from a URL: download them, and give the folder$"):
            detect(url)
    with pytest.raises(UsageError, match=r"not read from a URL: give its id, OWNER/NAME$"):
        detect("hf://datasets/me/photos")
    with pytest.raises(UsageError, match="is a file"):
        detect("mvtec/license.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no image"):
        detect("empty")


@pytest.mark.parametrize("name", ["brick", "grass", "gravel", "immunohistochemistry"])
@pytest.mark.parametrize("size", [256, 64, (96, 200), None])
def test_builtin_textures_conform(name, size):
    config = Builtin(name=name, size=size, count=9)
    check_source(config)
    source = config.open()
    assert len(source) == 9
    assert source[0].shape == (*(config.shape or (256, 256)), 3 if name == "immunohistochemistry" else 1)
    assert source.license == (None if name == "immunohistochemistry" else "cc0-1.0")


def test_builtin_crops_are_the_texture_and_more_keep_the_first():
    few, many = Builtin(count=5).open(), Builtin(count=200).open()
    assert ids(many)[:5] == ids(few) and len(set(ids(many))) == 200
    assert all(np.array_equal(few[i], many[i]) for i in range(5))
    assert few.fingerprint() != many.fingerprint() != Builtin(count=200, seed=1).open().fingerprint()
    top, left = map(int, re.fullmatch(r"brick-(\d+)-(\d+)", few.id(0)).groups())
    whole = Builtin(count=1, size=None).open()
    from anomgen.sources.builtin import _read_texture

    assert np.array_equal(few[0], _read_texture("brick")[top : top + 256, left : left + 256])
    assert np.array_equal(whole[0], few[0])


def test_builtin_positions_are_uniform():
    """Each corner's coordinates are uniform: mean within 4 standard errors, extremes reached."""
    corners = Builtin(count=4000).open()._corners
    spread = 256 / np.sqrt(12 * 4000)
    assert np.abs(corners.mean(0) - 128).max() < 4 * spread
    assert corners.min() == 0 and corners.max() == 256


def test_a_scikit_image_without_the_texture_is_an_error(monkeypatch, tmp_path):
    from anomgen.sources import builtin

    class Spec:
        origin = str(tmp_path / "__init__.py")

    builtin._read_texture.cache_clear()
    monkeypatch.setattr(builtin.importlib.util, "find_spec", lambda name: Spec)
    with pytest.raises(UsageError, match="does not ship 'grass'; pip install"):
        Builtin(name="grass").open()


@pytest.mark.parametrize(
    ("kind", "path", "files", "license"),
    [
        ("mvtec", "screw", {}, None),
        ("visa", "candle", {}, None),
        ("mvtec", "our_part", {}, None),
        ("mvtec", "our_part", {"our_part/license.txt": "CC BY 4.0"}, "cc-by-4.0"),
        ("mvtec", "our_part", {"readme.txt": "Attribution-NonCommercial-ShareAlike 4.0"}, "cc-by-nc-sa-4.0"),
        ("folder", "our_part/train/good", {"our_part/readme.txt": "CC BY-NC 4.0"}, "cc-by-nc-4.0"),
        ("folder", "our_part/train/good", {"our_part/train/good/LICENSE": "CC BY-SA 4.0"}, "cc-by-sa-4.0"),
        ("folder", "our_part/train", {"LICENSE": "CC BY-SA 4.0"}, None),
        ("mvtec", "our_part", {"our_part/train/good/LICENSE": "Ours.", "LICENSE": "CC BY 4.0"}, None),
        ("folder", "our_part/train/good", {"our_part/train/TERMS": "Ours.", "LICENSE": "CC BY 4.0"}, None),
        ("folder", "our_part", {"our_part/train/good/LICENSE": "CC BY-SA 4.0"}, "cc-by-sa-4.0"),
    ],
)
def test_the_licence_is_that_of_a_file_beside_the_images(tmp_path, kind, path, files, license):
    import cv2

    from anomgen.sources.base import build_source

    folder = tmp_path / path.partition("/")[0] / "train" / "good"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "0.png"), np.full((32, 32, 3), 90, np.uint8))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert build_source({"kind": kind, "path": str(tmp_path / path), "size": 32}).open().license == license


def test_a_link_to_itself_among_the_photos_is_no_category(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "a.png").touch()
    assert [layout.categories(tmp_path) for layout in (MVTecAD, BTAD, VisA)] == [[], [], []]


def test_a_table_that_is_no_text_is_refused_in_a_line(visa):
    (visa / "split_csv" / "1cls.csv").write_bytes(b"object,split\n" + b"x" * 300_000 + b"\xff")
    with pytest.raises(SourceError, match="not VisA's table") as told:
        VisA(path=str(visa), category="pcb1").open()
    assert len(str(told.value)) < 500 + len(str(visa))
