"""Every exporter: the contract, splits, what a format cannot hold, plug-ins."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError
from anomgen.exporters.base import Exporter, SplitExporter, build_exporter
from anomgen.exporters.conformance import contents, made_dataset
from anomgen.exporters.export import export
from anomgen.registry import load, names
from anomgen.testing import check_exporter


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return made_dataset(tmp_path_factory.mktemp("made") / "dataset")


@pytest.mark.parametrize("name", names("exporters"))
def test_every_exporter_keeps_the_contract(name):
    check_exporter(build_exporter(name))


@pytest.mark.parametrize("name", names("exporters"))
def test_images_are_copied_byte_by_byte_under_six_digits(dataset, tmp_path, name):
    export(dataset, name, tmp_path / "out")
    pngs = {}
    for path in (tmp_path / "out").rglob("*.png"):
        assert len(path.stem.removesuffix("_mask")) == 6 and path.stem[:6].isdigit()
        pngs.setdefault(int(path.stem[:6]), set()).add(path.read_bytes())
    for cells in Dataset(dataset).stored_rows(["image", "index"]):
        assert cells["image"]["bytes"] in pngs[cells["index"]]


@pytest.mark.parametrize("name", names("exporters"))
def test_no_reader_of_a_layout_meets_a_soft_mask(dataset, tmp_path, name):
    """Soft masks are in the plain folders alone, apart from the masks: other readers take all above 0 for anomaly."""
    export(dataset, name, tmp_path / "out")
    soft = {
        cells["soft_mask"]["bytes"] for cells in Dataset(dataset).stored_rows(["soft_mask", "label"]) if cells["label"]
    }
    holding = {
        path.relative_to(tmp_path / "out").parts[1]
        for path in (tmp_path / "out").rglob("*.png")
        if path.read_bytes() in soft
    }
    assert holding == ({"soft_masks"} if name == "folder" else set())


# --- splits ---------------------------------------------------------------------------------------------------------


class Sources(SplitExporter):
    kind: ClassVar[str] = "sources"


@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.01, 1), (0.5, 3), (0.8, 5), (0.99, 5), (1, 6)])
def test_the_split_goes_by_normal_image_and_leaves_no_part_empty(dataset, share, count):
    opened = Dataset(dataset)
    chosen = Sources(train_share=share).training_sources(opened)
    assert len(chosen) == count
    assert chosen == Sources(train_share=share).training_sources(opened)
    larger = Sources(train_share=1).training_sources(opened)
    assert chosen <= larger


def test_a_split_needs_two_normal_images(tmp_path):
    one = made_dataset(tmp_path / "one", sources=1)
    with pytest.raises(UsageError, match=r"all normal rows come from one normal image.*train_share=1 or 0"):
        export(one, "mvtec", tmp_path / "out")
    assert export(one, "mvtec", tmp_path / "out", overrides={"train_share": 1}).splits["train"] == {"normal": 12}
    with pytest.raises(UsageError, match="all rows come from one normal image"):
        export(one, "yolo", tmp_path / "yolo")
    assert not (tmp_path / "yolo").exists()


def test_no_image_is_in_both_parts(dataset, tmp_path):
    for name, normal in (("mvtec", "good"), ("folder", "normal")):
        export(dataset, name, tmp_path / name)
        parts = {"train": set(), "test": set()}
        for file, digest in contents(tmp_path / name).items():
            part = next((part for part in parts if f"{part}/" in file), None)
            if f"/{normal}/" in file and "masks" not in file:
                parts[part].add(digest)
        assert len(parts["train"]) == 5 and len(parts["test"]) == 1 and not parts["train"] & parts["test"]


def test_seen_backgrounds_are_told(dataset, tmp_path):
    (note,) = export(dataset, "mvtec", tmp_path / "out").notes
    assert "10 anomalous test images were made from normal images that are in train" in note
    assert note in (tmp_path / "out" / "README.md").read_text()


# --- what a format cannot hold --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mvtec", "visa", "ader", "yolo"])
def test_sixteen_bits_are_refused_where_readers_lose_them(tmp_path, name):
    deep = made_dataset(tmp_path / "deep", shape=(40, 48, 1), dtype=np.uint16)
    with pytest.raises(UsageError, match=f"16 bits a channel, of which readers of {name} keep 8.*--to folder"):
        export(deep, name, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep"]


@pytest.mark.parametrize("name", ["folder", "coco", "labelstudio"])
def test_sixteen_bits_and_grey_stay(tmp_path, name):
    import cv2

    deep = made_dataset(tmp_path / "deep", shape=(40, 48, 1), dtype=np.uint16)
    export(deep, name, tmp_path / "out")
    path = next(path for path in (tmp_path / "out").rglob("000001.png") if "mask" not in str(path))
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image.dtype == np.uint16 and image.shape == (40, 48)


@pytest.mark.parametrize(("name", "word"), [("mvtec", "a;b"), ("folder", "a/b")])
def test_defect_types_that_are_no_folder_are_refused(dataset, tmp_path, name, word):
    opened = Dataset(dataset)
    object.__setattr__(opened.columns, "defect_types", (word, "scar"))
    with pytest.raises(UsageError, match=f"the defect type '{word}' cannot be the name of a folder"):
        export(opened, name, tmp_path / "out")


@pytest.mark.parametrize("word", ["a;b", "a/../../b"])
def test_a_name_that_is_refused_is_advised_by_the_type_that_it_stands_for(dataset, tmp_path, word):
    kind = Dataset(dataset).columns.defect_types[0]
    with pytest.raises(UsageError, match=f"the defect type '{word}' cannot.*--set names='{{{kind}: NAME}}'"):
        export(dataset, "mvtec", tmp_path / "out", overrides={"names": {kind: word}})


def test_a_category_is_a_plain_name(dataset, tmp_path):
    with pytest.raises(UsageError, match=r"category '\.\./x': it becomes a folder's name"):
        export(dataset, "mvtec", tmp_path / "out", overrides={"category": "../x"})


# --- plug-ins -------------------------------------------------------------------------------------------------------


def test_a_third_party_exporter_is_found_by_its_entry_point(monkeypatch):
    from importlib.metadata import EntryPoint

    from anomgen import registry

    points = {
        "talkative": EntryPoint("talkative", f"{__name__}:Talkative", "anomgen.exporters"),
        "broken": EntryPoint("broken", "nowhere_at_all:It", "anomgen.exporters"),
    }
    monkeypatch.setattr(registry, "_plugins", lambda group: points)
    assert load("exporters", "talkative").kind == "talkative" and "talkative" in names("exporters")
    with pytest.raises(UsageError, match=r"plug-in exporter 'broken'.*fails to load"):
        build_exporter("broken")


class Talkative(Exporter):
    kind: ClassVar[str] = "talkative"

    def write(self, dataset, records, files):
        for record in records:
            files.count("all", record)
        files.write("list.txt", str(Path(dataset.path).resolve()))


def test_the_check_finds_a_path_of_the_machine():
    with pytest.raises(AssertionError, match="a path of this machine is in"):
        check_exporter(Talkative())


def test_names_of_files_are_checked(tmp_path):
    from anomgen.exporters.base import Files

    files = Files(tmp_path)
    for name in ("/etc/x", "../x", "a/../b", "./a", "a//b"):
        with pytest.raises(ValueError, match="plain relative name"):
            files.write(name, b"")
    files.write("a/b", "ä")
    with pytest.raises(ValueError, match="twice"):
        files.write("a/b", b"")
    assert (tmp_path / "a" / "b").read_bytes() == "ä".encode()
