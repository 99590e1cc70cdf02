"""What `anomgen score --split` writes for models to be trained on, and what it refuses."""

import shutil

import numpy as np
import pytest
from PIL import Image
from real_data import texture, tiny_data

from anomgen.errors import AnomgenError, UsageError
from anomgen.files import file_digest
from anomgen.score import split
from anomgen.score.data import load
from anomgen.score.split import write_training_images
from anomgen.sources.folder import Folder


def test_it_is_the_files_of_train_and_real_and_no_others(tmp_path):
    root = tiny_data(tmp_path / "part")
    data = load(str(root), 32, real_share=0.5)
    (tmp_path / "models/part/good").mkdir(parents=True)  # an empty folder is filled
    written = write_training_images([str(root)], tmp_path / "models", real_share=0.5)
    assert written == {tmp_path / "models/part" / kind: count for kind, count in (("good", 10), ("abnormal", 4))}
    for kind, ids in (("good", [data.train.id(k) for k in range(10)]), ("abnormal", data.real.ids)):
        files = sorted((tmp_path / "models/part" / kind).rglob("*.png"), key=lambda file: file.name)
        assert [file.read_bytes() for file in files] == [(root / name).read_bytes() for name in ids]
    for name, file in zip(data.real.ids, files, strict=True):
        kind = name.split("/")[1]
        assert file.parent.name == kind
        mask = tmp_path / "models/part/masks" / kind / file.name
        true = Image.open(root / "ground_truth" / kind / f"{file.stem.partition('-')[2]}_mask.png")
        assert np.array_equal(np.asarray(Image.open(mask)) > 0, np.asarray(true) > 0)
    tested = {file_digest((root / name).read_bytes()) for name in data.test.ids}
    assert tested == set(data.test.files) and tested.isdisjoint(data.real.files)
    assert set(data.train.files).isdisjoint(data.validation.files)


def test_nothing_is_written_when_one_data_set_cannot_be(tmp_path):
    root, other = tiny_data(tmp_path / "part"), tiny_data(tmp_path / "other")
    (tmp_path / "models/part/good").mkdir(parents=True)
    (tmp_path / "models/part/good/own.png").touch()
    with pytest.raises(UsageError, match="good is there already; give another folder"):
        write_training_images([str(other), str(root)], tmp_path / "models")
    assert not (tmp_path / "models/other").exists()
    with pytest.raises(UsageError, match="two data sets are called 'part'"):
        write_training_images([str(root), str(root)], tmp_path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(AnomgenError, match="cannot be written"):
        write_training_images([str(root)], tmp_path / "file")
    assert not (tmp_path / "new").exists()


def test_folders_beside_it_are_not_touched(tmp_path):
    """Law: of what was there before, nothing changes, whatever it is called, also when the writing fails."""
    root, place = tiny_data(tmp_path / "part"), tmp_path / "models/part"
    own = [place / name / "mine.png" for name in (".good.part", ".abnormal.part", ".masks.part", "other")]
    for file in own:
        file.parent.mkdir(parents=True)
        file.write_bytes(b"mine")
    write_training_images([str(root)], tmp_path / "models", real_share=0.5)
    assert all(file.read_bytes() == b"mine" for file in own)
    new = {"good", "abnormal", "masks"}
    assert {entry.name for entry in place.iterdir()} == new | {file.parent.name for file in own}


def test_a_failure_takes_away_what_it_wrote_and_no_more(tmp_path, monkeypatch):
    roots = [tiny_data(tmp_path / name) for name in ("one", "two")]
    fill = split._fill

    def full(part, masks, listed, ids):
        fill(part, masks, listed, ids)
        if "two" in str(part):
            (tmp_path / "models/two/masks").mkdir()  # somebody else's, just now
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(split, "_fill", full)
    with pytest.raises(AnomgenError, match="two/good: cannot be written"):
        write_training_images(map(str, roots), tmp_path / "models")
    left = {path.relative_to(tmp_path / "models").as_posix() for path in (tmp_path / "models").rglob("*")}
    assert left == {"one", "two", "two/masks"}


@pytest.mark.parametrize("place", ["..", ".", "train"])
def test_the_data_itself_is_no_place_for_them(tmp_path, place):
    root = tiny_data(tmp_path / "part")
    before = sorted(root.rglob("*"))
    with pytest.raises(UsageError, match=r"is in the data .* itself; give another folder"):
        write_training_images([str(root)], root / place)
    assert sorted(root.rglob("*")) == before


def test_the_licence_goes_with_them(tmp_path):
    root = tiny_data(tmp_path / "part")
    (root / "license.txt").write_text("Attribution-NonCommercial-ShareAlike 4.0 International")
    write_training_images([str(root)], tmp_path / "models", real_share=0.5)
    opened = Folder(path=str(tmp_path / "models/part/good"), size=32).open()
    assert opened.license == load(str(root), 32).train.license == "cc-by-nc-sa-4.0"


def test_names_and_formats_that_folders_do_not_have_are_changed(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {"image": [], "label": []}
    for k in range(16):
        ending = ("gif", "png", "jpg", "bmp")[k % 4]
        file = tmp_path / f"{k}.{ending}"
        Image.fromarray(texture(k)).save(file)
        rows["image"].append({"bytes": file.read_bytes(), "path": None})
        rows["label"].append("good" if k < 12 else "bad")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "set")
    written = write_training_images([str(tmp_path / "set")], tmp_path / "models")
    ((folder, count),) = written.items()
    assert folder == tmp_path / "models/set/good" and len(Folder(path=str(folder), size=32).open()) == count
    assert {file.suffix for file in folder.iterdir()} <= {".png", ".jpeg", ".bmp", ".gif"}


def test_long_names_are_cut(tmp_path):
    root = tiny_data(tmp_path / "part")
    for file in (root / "train/good").iterdir():
        shutil.move(file, file.with_name(f"{'x' * 245}{file.name}"))
    (folder,) = write_training_images([str(root)], tmp_path / "models")
    assert len(list(folder.iterdir())) == 10
    assert len(Folder(path=str(folder), size=32).open()) == 10


@pytest.mark.parametrize("ending", [".jfif", ".jpe", ".JIF"])
def test_a_jpeg_of_a_rare_ending_gets_the_usual_one(tmp_path, ending):
    data = tiny_data(tmp_path / "set")
    for file in sorted((data / "train/good").iterdir()):
        Image.open(file).save(file.with_suffix(ending), format="JPEG")
        file.unlink()
    ((folder, _),) = write_training_images([str(data)], tmp_path / "models").items()
    assert {file.suffix for file in folder.iterdir()} == {".jpg"}
