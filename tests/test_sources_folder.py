"""A folder as the source: which files, in which order, what is refused, what a worker gets."""

import os
import pickle
import shutil
import sys

import cv2
import numpy as np
import pytest
from learned import pictures
from pydantic import ValidationError

from anomgen.config import portable_path
from anomgen.errors import SourceError, UsageError
from anomgen.making.engine import Plan, Renderer
from anomgen.making.recipe import load_recipe
from anomgen.sources import scan
from anomgen.sources.conformance import check_source
from anomgen.sources.folder import Folder
from anomgen.sources.pool import Pool


def write(path, height=40, width=50, channels=3, dtype=np.uint8, seed=0):
    """Write a random image and return it as the source must give it."""
    top = np.iinfo(dtype).max
    array = np.random.default_rng(seed).integers(0, top, (height, width, channels), endpoint=True).astype(dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    order = cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if channels == 3 else array
    path.write_bytes(cv2.imencode(path.suffix.lower(), order)[1].tobytes())
    return array


def ids(source):
    return [source.id(index) for index in range(len(source))]


@pytest.fixture
def good(tmp_path):
    """Return a folder of five 8-bit colour images in two subfolders."""
    for index, name in enumerate(["b.png", "a/z.PNG", "a/y.Tif", "c c/ü.bmp", "a.png"]):
        write(tmp_path / "good" / name, seed=index)
    return tmp_path / "good"


@pytest.mark.parametrize("size", [32, (24, 40), None])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_conforms(tmp_path, size, channels, dtype):
    for index in range(3):
        write(tmp_path / f"{index}.png", 40 + index, 50, channels, dtype, index)
    config = Folder(path=str(tmp_path), size=size)
    check_source(config)
    image = config.open()[1]
    assert image.dtype == dtype and image.shape[2] == channels
    assert image.shape[:2] == {32: (26, 32), (24, 40): (24, 40), None: (41, 50)}[size]


def test_finds_every_extension_in_any_case_and_no_hidden_file(good):
    for name in (".DS_Store", ".hidden.png", "__MACOSX/b.png", ".git/a.png", "notes.txt", "Thumbs.db", "x.heic"):
        (good / name).parent.mkdir(exist_ok=True)
        shutil.copy(good / "b.png", good / name)
    for extension in ("jpg", "JPEG", "webp", "tiff"):
        write(good / f"more.{extension}")
    assert ids(Folder(path=str(good)).open()) == [
        "a.png",
        "a/y.Tif",
        "a/z.PNG",
        "b.png",
        "c c/ü.bmp",
        "more.JPEG",
        "more.jpg",
        "more.tiff",
        "more.webp",
    ]


def test_images_are_the_files_and_read_only(tmp_path):
    array = write(tmp_path / "a.png")
    source = Folder(path=str(tmp_path), size=None).open()
    for copy in (source, pickle.loads(pickle.dumps(source))):
        assert np.array_equal(copy[0], array) and not copy[0].flags.writeable
    assert np.array_equal(source[-1], array)
    with pytest.raises(IndexError):
        source[1]


def test_order_and_fingerprint_depend_on_names_and_contents_only(good, tmp_path):
    first = Folder(path=str(good)).open()
    other = tmp_path / "elsewhere"
    other.mkdir()
    for name in reversed(ids(first)):  # other place, other order of writing
        (other / name).parent.mkdir(exist_ok=True)
        shutil.copy(good / name, other / name)
    second = Folder(path=os.path.relpath(other)).open()
    assert ids(second) == ids(first) and second.fingerprint() == first.fingerprint()
    assert Folder(path=str(good), size=64).open().fingerprint() != first.fingerprint()
    assert Folder(path=str(good), fit="crop").open().fingerprint() != first.fingerprint()
    write(other / "b.png", seed=99)
    assert Folder(path=str(other)).open().fingerprint() != first.fingerprint()
    (good / "b.png").rename(good / "B.png")
    assert Folder(path=str(good)).open().fingerprint() != first.fingerprint()


def test_the_number_of_threads_changes_nothing(good, monkeypatch):
    first = Folder(path=str(good)).open()
    monkeypatch.setattr(scan.os, "cpu_count", lambda: 1)
    second = Folder(path=str(good)).open()
    assert first.fingerprint() == second.fingerprint()
    assert all(np.array_equal(first[i], second[i]) for i in range(5))


def test_a_worker_gets_the_source_without_scanning_again(good, monkeypatch):
    source = Folder(path=str(good), size=None).open()
    data = pickle.dumps(source)
    assert len(data) < 2000
    monkeypatch.setattr(scan.ScannedSource, "_check_all", None)
    copy = pickle.loads(data)
    assert copy.fingerprint() == source.fingerprint() and ids(copy) == ids(source)
    assert all(np.array_equal(copy[i], source[i]) for i in range(5))


def test_a_small_source_is_decoded_once(good, monkeypatch):
    source = Folder(path=str(good)).open()
    monkeypatch.setattr(source, "_read", None)
    for pool in (Pool(source), Pool(source)):  # one for calibration, one for the run
        assert all(pool[index] is pool[index] for index in range(5))


def test_what_the_check_keeps_is_bounded(good, monkeypatch):
    monkeypatch.setattr(scan, "KEPT_BYTES", 2 * 40 * 50 * 3)
    source = Folder(path=str(good), size=None).open()
    assert len(source._kept) == 2
    monkeypatch.setattr(scan, "_KEPT_IMAGE_BYTES", 100)
    assert Folder(path=str(good), size=None).open()._kept == {}


def test_grey_among_colour_becomes_colour(tmp_path):
    grey = write(tmp_path / "grey.png", channels=1)
    write(tmp_path / "rgb.png")
    source = Folder(path=str(tmp_path), size=None).open()
    check_source(source)
    for copy in (source, pickle.loads(pickle.dumps(source))):  # as kept from the check, and as read again
        assert np.array_equal(copy[0], np.repeat(grey, 3, axis=2))


def test_mixed_depths_are_an_error_or_the_minority_is_skipped(good):
    write(good / "deep.png", dtype=np.uint16)
    with pytest.raises(SourceError, match=r"deep\.png is uint16, 5 of 6 images are uint8.*on_bad_image=skip"):
        Folder(path=str(good)).open()
    source = Folder(path=str(good), on_bad_image="skip").open()
    assert source.skipped == ("deep.png",) and len(source) == 5
    check_source(source)


def test_a_bad_file_is_an_error_unless_it_is_to_be_skipped(good):
    clean = Folder(path=str(good)).open()
    (good / "a" / "0.png").write_bytes(b"")
    whole = (good / "b.png").read_bytes()
    (good / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError) as caught:
        Folder(path=str(good)).open()
    text = str(caught.value)
    assert "2 of 7 images cannot be used" in text and "--set source.on_bad_image=skip" in text
    assert "a/0.png: is empty" in text and "cut.png: is damaged or truncated" in text
    source = Folder(path=str(good), on_bad_image="skip").open()
    assert source.skipped == ("a/0.png", "cut.png")
    assert source.fingerprint() == clean.fingerprint()
    assert all(np.array_equal(source[i], clean[i]) for i in range(5))


def test_many_bad_files_are_counted_and_five_named(good):
    for index in range(9):
        (good / f"x{index}.jpg").write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"(?s)9 of 14 images.*x0\.jpg.*x4\.jpg.*and 4 more") as caught:
        Folder(path=str(good)).open()
    assert "x5.jpg" not in str(caught.value)


def test_no_usable_image_is_an_error_even_when_skipping(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(SourceError, match=r"(?s)none of the 1 images can be used.*a\.png: is empty"):
        Folder(path=str(tmp_path), on_bad_image="skip").open()


def test_images_too_small_to_cut_from_are_named(good):
    with pytest.raises(SourceError, match=r"a\.png: is 40 × 50 pixels, smaller than the 256 × 256"):
        Folder(path=str(good), fit="center").open()


def test_missing_folders_say_what_was_probably_meant(good):
    with pytest.raises(UsageError, match=r"no such folder \(no 'goof' in .*\); did you mean 'good'"):
        Folder(path=str(good.parent / "goof")).open()
    with pytest.raises(UsageError, match=r"no 'god' in .*; did you mean 'good'"):
        Folder(path=str(good.parent / "god" / "a")).open()
    with pytest.raises(UsageError, match="is a file; give the folder"):
        Folder(path=str(good / "b.png")).open()
    (good / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no image"):
        Folder(path=str(good / "empty")).open()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_are_followed_but_not_in_circles(good, tmp_path):
    write(tmp_path / "other" / "n.png")
    (good / "linked").symlink_to(tmp_path / "other")
    (good / "circle").symlink_to(good)
    (good / "self").symlink_to(good / "self")
    assert ids(Folder(path=str(good)).open()) == ["a.png", "a/y.Tif", "a/z.PNG", "b.png", "c c/ü.bmp", "linked/n.png"]
    (good / "dead.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(SourceError, match=r"dead\.png: cannot be read"):
        Folder(path=str(good)).open()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a name be any bytes")
def test_names_that_are_not_unicode_are_bad_images(good):
    path = os.path.join(os.fsencode(good), b"\xff.png")  # noqa: PTH118 - pathlib has no bytes
    shutil.copy(good / "b.png", path)
    with pytest.raises(SourceError, match="not valid Unicode; rename it") as caught:
        Folder(path=str(good)).open()
    str(caught.value).encode()
    source = Folder(path=str(good), on_bad_image="skip").open()
    assert len(source) == 5 and len(source.skipped) == 1
    source.skipped[0].encode()


def test_an_unreadable_folder_is_named(good, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("anomgen.sources.tree.os.scandir", denied)
    with pytest.raises(UsageError, match=r"good: cannot be listed \(Permission denied\)"):
        Folder(path=str(good)).open()


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("data/good", "data/good"),
        ("/home/me/data/good", "good"),
        ("/home/me/data/good/", "good"),
        ("../good", "good"),
        ("a/../../b", "b"),
        ("..", "."),
        ("/", "."),
        ("~/good", "good"),
        ("C:\\Users\\me\\good", "good"),
        ("owner/name:test", "owner/name:test"),
        ("/data/set:test", "set:test"),
    ],
)
def test_paths_are_written_without_the_machine(path, written):
    assert portable_path(path) == written
    config = Folder(path=path, size=(32, 64))
    assert config.portable() == Folder(path=written, size=(32, 64))


@pytest.mark.parametrize("size", [256, [64, 96], None])
def test_configuration_survives_json(size):
    config = Folder.model_validate({"path": "x", "size": size})
    assert Folder.model_validate(config.model_dump(mode="json")) == config
    assert config.config()["kind"] == "folder" and config.config()["size"] == size


@pytest.mark.parametrize("wrong", [{"fit": "pad"}, {"sise": 3}, {"path": ""}, {"path": 3}, {"on_bad_image": "ignore"}])
def test_wrong_configurations_are_refused(wrong):
    with pytest.raises(ValidationError):
        Folder.model_validate({"path": "x"} | wrong)


@pytest.mark.parametrize("size", [8, 20_000, "256", [64], [64, 64, 3], [64, 8], True, 64.0])
def test_a_wrong_size_is_refused_in_one_sentence(size):
    with pytest.raises(ValidationError, match=r"1 validation error(?s:.)*\[height, width\], or null"):
        Folder.model_validate({"path": "x", "size": size})


def test_a_fit_without_a_size_is_refused():
    with pytest.raises(ValidationError, match="fit: crop needs a size"):
        Folder(path="x", size=None, fit="crop")


class Broken:
    """A source that keeps the contract until a test breaks one thing of it."""

    license = None
    skipped = ()

    def __len__(self):
        return 2

    def __getitem__(self, index):
        image = np.full((32, 32, 1), index, np.uint8)
        image.flags.writeable = False
        return image

    def id(self, index):
        return f"image-{index}"

    def fingerprint(self):
        return "abc"


def writable(self, index):
    return np.zeros((32, 32, 1), np.uint8)


def mixed(self, index):
    image = np.zeros((32, 32, 1 + 2 * index), np.uint8)
    image.flags.writeable = False
    return image


counter = iter(range(1000))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("__len__", lambda self: 0, "without images"),
        ("__getitem__", writable, "read-only"),
        ("__getitem__", mixed, "differ in dtype or channels"),
        ("__getitem__", lambda self, index: np.zeros((32, 32)), "must be an array"),
        ("__getitem__", lambda self, index: np.zeros((32, 32, 4), np.uint8), "4 channels"),
        ("__getitem__", lambda self, index: np.zeros((32, 32, 3)), "float64"),
        ("id", lambda self, index: "same", "same id"),
        ("id", lambda self, index: f"/home/me/{index}.png", "path of the machine"),
        ("fingerprint", lambda self: str(next(counter)), "changes between two calls"),
        ("skipped", ["a"], "tuple"),
    ],
)
def test_the_conformance_check_sees_what_is_broken(monkeypatch, name, value, text):
    check_source(Broken())
    monkeypatch.setattr(Broken, name, value)
    with pytest.raises(AssertionError, match=text):
        check_source(Broken())


@pytest.mark.parametrize("copied", [False, True])
def test_an_image_that_changes_while_it_is_in_use_is_an_error(tmp_path, monkeypatch, copied):
    monkeypatch.setattr("anomgen.sources.scan._KEPT_IMAGE_BYTES", 0)  # each image is read again when it is wanted
    pictures(tmp_path / "good", 2)
    source = Folder(path=str(tmp_path / "good"), size=32).open()
    source = pickle.loads(pickle.dumps(source)) if copied else source
    before = (tmp_path / "good" / "001.png").read_bytes()
    (tmp_path / "good" / "001.png").write_bytes((tmp_path / "good" / "000.png").read_bytes())
    assert source[0].shape == (32, 32, 3)
    with pytest.raises(SourceError, match=r"001\.png: changed while it was in use"):
        source[1]
    (tmp_path / "good" / "001.png").write_bytes(before)
    assert source[1].shape == (32, 32, 3)


def test_a_run_whose_source_changes_ends_with_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("anomgen.sources.scan._KEPT_IMAGE_BYTES", 0)
    pictures(tmp_path / "good", 4)
    recipe = load_recipe("perlin", source=str(tmp_path / "good"), size=32, count=8)
    plan = Plan.of(recipe)
    pictures(tmp_path / "good", 4, seed=90)
    with pytest.raises(SourceError, match="changed while it was in use"):
        list(Renderer(plan).rows(range(8)))
