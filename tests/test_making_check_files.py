"""The card and the preview of a dataset: `check` reports what `push` refuses to publish, and neither reads it."""

import os
from pathlib import Path

import pytest
from made_dataset import write_dataset
from tampered import at_most

from anomgen.dataset.reader import PREVIEW, Dataset
from anomgen.errors import UsageError
from anomgen.hub import push
from anomgen.making.check import check_dataset

CARD = "README.md"
INSTEAD = {
    "a link out": lambda path: path.symlink_to(Path(__file__).absolute()),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a link to a file beside it": lambda path: path.symlink_to("recipe.yaml"),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
}


@pytest.fixture
def folder(tmp_path):
    out = write_dataset(tmp_path / "d")
    (out / CARD).write_text("---\nlicense: cc-by-4.0\n---\n\n# A dataset\n")
    (out / PREVIEW).write_bytes(b"a picture")
    return out


@pytest.mark.parametrize("instead", INSTEAD)
@pytest.mark.parametrize(("name", "rule"), [(CARD, "card"), (PREVIEW, "preview")])
def test_what_is_no_file_of_the_folder_is_reported_as_it_is_refused(hub, folder, name, rule, instead):
    (folder / name).unlink()
    INSTEAD[instead](folder / name)
    with at_most(30):
        (violation,) = check_dataset(Dataset(folder)).violations
        assert (violation.rule, violation.count) == (rule, 1)
        if (folder / name).exists():
            with pytest.raises(UsageError) as refused:
                push(folder, "me/bottle", check=False)
            assert violation.examples == [str(refused.value)]


def test_a_folder_without_them_is_sound_and_so_is_a_download_of_the_hub(hub, folder, tmp_path):
    assert check_dataset(Dataset(folder)).ok
    inside = tmp_path / "datasets--me--bottle" / "snapshots" / ("f" * 40) / "nsa"
    inside.parent.mkdir(parents=True)
    folder.rename(inside)
    blobs = tmp_path / "datasets--me--bottle" / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(path for path in inside.rglob("*") if path.is_file())):
        file.rename(blobs / str(number))
        file.symlink_to(blobs / str(number))
    assert check_dataset(Dataset(inside)).ok
    assert push(inside, "you/bottle", dry_run=True).files
    (inside / CARD).unlink()
    (inside / PREVIEW).unlink()
    assert check_dataset(Dataset(inside)).ok
