"""Running an exporter: the request, the folder before and after, the command."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest
from small import run

from anomgen.errors import AnomgenError, RecipeError, UsageError
from anomgen.exporters.base import Exporter
from anomgen.exporters.conformance import contents, made_dataset
from anomgen.exporters.export import MANIFEST, MARK, WORK, export


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return made_dataset(tmp_path_factory.mktemp("made") / "dataset")


# --- the request ----------------------------------------------------------------------------------------------------


def test_how_to_read_it_is_quoted_where_it_is_a_command(dataset, tmp_path):
    out = tmp_path / "my out"
    assert shlex.split(export(dataset, "yolo", out).load)[-1] == f"data={out}/data.yaml"
    serve = export(dataset, "labelstudio", out, overwrite=True).load.splitlines()[0]
    assert shlex.split(serve)[1:] == [f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={out}", "label-studio", "start"]
    assert f'COCO("{out}/annotations' in export(dataset, "coco", out, overwrite=True).load


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder in which nobody may write")
def test_an_output_that_cannot_be_made_is_named_as_it_was_given(dataset):
    with pytest.raises(AnomgenError, match=r"^/proc/x: cannot make the output folder"):
        export(dataset, "coco", "/proc/x")


def test_unknown_formats_and_settings(dataset, tmp_path):
    with pytest.raises(UsageError, match=r"unknown exporter 'mvtc'; did you mean 'mvtec'.*known: ader, coco"):
        export(dataset, "mvtc", tmp_path / "out")
    with pytest.raises(RecipeError, match="train_shre: unknown key; did you mean 'train_share'"):
        export(dataset, "mvtec", tmp_path / "out", overrides={"train_shre": 0.5})
    with pytest.raises(RecipeError, match=r"train_share: .*less than or equal to 1"):
        export(dataset, "mvtec", tmp_path / "out", overrides={"train_share": 2})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_finished_dataset(dataset, tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        export(tmp_path / "nowhere", "coco", tmp_path / "out")
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match="not an anomgen dataset"):
        export(tmp_path / "other", "coco", tmp_path / "out")
    shutil.copytree(dataset, tmp_path / "began")
    (tmp_path / "began" / "provenance.json").unlink()
    with pytest.raises(UsageError, match="unfinished"):
        export(tmp_path / "began", "coco", tmp_path / "out")
    shutil.copytree(dataset, tmp_path / "short")
    provenance = json.loads((dataset / "provenance.json").read_text())
    provenance["rows"]["normal"] += 12
    (tmp_path / "short" / "provenance.json").write_text(json.dumps(provenance))
    with pytest.raises(UsageError, match="holds 24 rows, not as many as"):
        export(tmp_path / "short", "coco", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_output_and_the_dataset_lie_apart(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "up" / "dataset")
    for out in ("up/dataset", "up/dataset/out", "up"):
        with pytest.raises(UsageError, match="lie in each other"):
            export(tmp_path / "up" / "dataset", "coco", tmp_path / out)
    with pytest.raises(UsageError, match="written to this machine; give a path"):
        export(dataset, "coco", "s3://bucket/out")


# --- the output folder ----------------------------------------------------------------------------------------------


def test_an_output_that_holds_anything_is_refused(dataset, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds other files and no export of anomgen"):
            export(dataset, "coco", out, overwrite=overwrite)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        export(dataset, "coco", tmp_path / "file")
    assert (out / "mine.txt").read_text() == "mine" and len(list(out.iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pipe", "also holds what the export did not write: pipe;"),
        ("README.md", r"did not write: README\.md \(changed since\);"),
        (MANIFEST, "holds other files and no export of anomgen"),
    ],
)
def test_a_pipe_is_not_waited_for(dataset, tmp_path, name, told):
    out = tmp_path / "out"
    export(dataset, "coco", out)
    (out / name).unlink(missing_ok=True)
    os.mkfifo(out / name)
    before = set(out.rglob("*"))
    with pytest.raises(UsageError, match=told):
        export(dataset, "coco", out, overwrite=True)
    assert set(out.rglob("*")) == before


def test_overwrite_replaces_an_export_and_nothing_else(dataset, tmp_path):
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is as good as none
    export(dataset, "coco", out)
    with pytest.raises(UsageError, match=r"holds an export \(coco\); replace it with --overwrite"):
        export(dataset, "yolo", out)
    export(dataset, "yolo", out, overwrite=True)
    assert not (out / "annotations").exists() and (out / "data.yaml").exists()
    before = contents(out)
    (out / "labels" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"also holds what the export did not write: labels/notes\.txt; move it"):
        export(dataset, "coco", out, overwrite=True)
    (out / "labels" / "notes.txt").unlink()
    (out / "runs").mkdir()
    with pytest.raises(UsageError, match="did not write: runs/"):
        export(dataset, "coco", out, overwrite=True)
    (out / "runs").rmdir()
    assert contents(out) == before
    label = out / "labels" / "train" / "000000.txt"
    label = label if label.exists() else out / "labels" / "val" / "000000.txt"
    label.write_text("0 0 0 1 0 1 1\n")
    with pytest.raises(UsageError, match=r"000000\.txt \(changed since\)"):
        export(dataset, "coco", out, overwrite=True)
    assert label.read_text() == "0 0 0 1 0 1 1\n"
    label.unlink()  # what is missing is no loss
    export(dataset, "coco", out, overwrite=True)
    assert (out / "annotations").exists() and not (out / "labels").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_linked_output_stays_a_link(dataset, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    export(dataset, "coco", tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / MANIFEST).exists()


class Failing(Exporter):
    kind: ClassVar[str] = "failing"
    how: str = "raises"

    def write(self, dataset, records, files):
        for number, record in enumerate(records):
            files.write(record.name, record.image)
            files.count("all", record)
            if number == 3:
                if self.how == "raises":
                    raise KeyboardInterrupt
                if self.how == "leaves":
                    sys.exit(0)
                if self.how == "wrong":
                    raise ValueError("boom")
                if self.how == "full":
                    raise OSError(28, "No space left on device")
                return


def test_what_fails_leaves_nothing_and_the_earlier_export(dataset, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        export(dataset, Failing(), out)
    assert not list(tmp_path.iterdir())
    export(dataset, "coco", out)
    before = contents(out)
    with pytest.raises(KeyboardInterrupt):
        export(dataset, Failing(), out, overwrite=True)
    with pytest.raises(AnomgenError, match="took 3 of 24 rows and counted 4; tell its author"):
        export(dataset, Failing(how="stops"), out, overwrite=True)
    for how, told in (("leaves", "SystemExit: 0"), ("wrong", "ValueError: boom")):
        with pytest.raises(AnomgenError, match=f"'failing' raised {told} after 3 of 24 rows; tell its author"):
            export(dataset, Failing(how=how), out, overwrite=True)
    with pytest.raises(OSError, match="No space left"):
        export(dataset, Failing(how="full"), out, overwrite=True)
    assert contents(out) == before and sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_the_earlier_export_comes_back_when_the_new_one_cannot_take_its_place(dataset, tmp_path, monkeypatch):
    out = tmp_path / "out"
    export(dataset, "coco", out)
    before = contents(out)
    rename = Path.rename

    def failing(self, target):
        if self.name == "new":
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(AnomgenError, match="Permission denied"):
        export(dataset, "yolo", out, overwrite=True)
    assert contents(out) == before


def working(folder, number="0123abcd"):
    """Return the folder in which a killed export worked."""
    work = folder / WORK.format("out", number)
    work.mkdir()
    (work / MARK.format(number)).touch()
    return work


def test_a_run_that_was_killed_between_the_two_renames_is_settled(dataset, tmp_path):
    out = tmp_path / "out"
    export(dataset, "coco", out)
    before, work = contents(out), working(tmp_path)
    out.rename(work / "old")
    (work / "new").mkdir()
    working(tmp_path, "89abcdef").joinpath(MARK.format("89abcdef")).unlink()  # killed before it was marked
    with pytest.raises(UsageError, match="holds an export"):
        export(dataset, "yolo", out)
    assert contents(out) == before and sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_what_no_export_put_where_one_works_is_left_alone(dataset, tmp_path):
    """CWE-59: a link, or a folder of a name that can be foreseen, led the clearing up to files of somebody else."""
    victim = tmp_path / "victim"
    for name in ("new", "old", "letters"):
        (victim / name).mkdir(parents=True)
        (victim / name / "file.txt").write_text("mine")
    (victim / MARK.format("0123abcd")).touch()
    (tmp_path / WORK.format("out", "0123abcd")).symlink_to(victim)
    (working(tmp_path, "1123abcd") / "new").symlink_to(victim)
    (working(tmp_path, "2123abcd") / "old").symlink_to(victim)
    foreign = tmp_path / WORK.format("out", "3123abcd"), tmp_path / ".out.anomgen-export"
    for folder in foreign:
        shutil.copytree(victim, folder)
    before = contents(tmp_path)
    export(dataset, "coco", tmp_path / "out")
    assert {name: data for name, data in contents(tmp_path).items() if not name.startswith("out")} == before


SLOW = """
import signal, sys, time
from pathlib import Path
from anomgen.exporters.export import export
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have told its children to ignore it
export(sys.argv[1], "mvtec", Path(sys.argv[2]), progress=lambda done, total: time.sleep(0.05))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_a_killed_export_leaves_no_folder_that_looks_finished(dataset, tmp_path, name):
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(dataset), str(out)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not any(tmp_path.glob(f"{WORK.format('out', '*')}/new/**/*.png")) and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(UsageError, match="another run is writing"):
        export(dataset, "coco", out)
    process.send_signal(signal.Signals[name])
    process.wait()
    assert not out.exists()
    export(dataset, "mvtec", out)  # the next run clears up
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_the_command(dataset, tmp_path):
    out, errors = run("export", dataset, "--to", "yolo", "-o", tmp_path / "out", "--set", "train_share=0.5")
    assert "24 images as yolo" in out and "mask pixels lost: 0 of " in out and "data.yaml" in out
    assert errors in ("", "exporting: getting ready\n")  # what a slow machine says
    out, _ = run("export", dataset, "--to", "mvtec", "-o", tmp_path / "out", "--overwrite", "--json")
    assert json.loads(out)["splits"]["train"] == {"normal": 10}
    out, _ = run("ls", "exporters", "--json")
    assert set(json.loads(out)["exporters"]) >= {"mvtec", "visa", "ader", "coco", "yolo", "labelstudio", "folder"}
    _, errors = run("export", dataset, "--to", "coko", "-o", tmp_path / "x", code=2)
    assert errors == (
        "error: unknown exporter 'coko'; did you mean 'coco'? (known: ader, coco, folder, labelstudio, mvtec, visa, "
        "yolo, onnx)\n"
    )
    _, errors = run("export", dataset, "--to", "coco", "-o", tmp_path / "out", code=2)
    assert "holds an export (mvtec)" in errors


def test_exporting_imports_nothing_heavy(dataset, tmp_path):
    code = (
        "import sys\nfrom anomgen.cli import main\nsys.argv = sys.argv[1:]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'datasets', 'pycocotools', 'huggingface_hub'} & set(sys.modules)"
    )
    words = ["anomgen", "export", str(dataset), "--to", "coco", "-o", str(tmp_path / "out")]
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
    assert (tmp_path / "out" / MANIFEST).exists()
