"""Odd input and odd surroundings: every one ends in an error that says what is wrong, never in a traceback."""

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_dataset import made_rows, write_dataset

from anomgen.cli.main import main
from anomgen.cli.streams import prepare
from anomgen.cli.terminal import print_json

MAKE = ("make", "-r", "cutpaste", "-n", "4", "--set", "source.size=64", "--set", "source.count=9")
LONG = "x" * 300
BYTES = "b\udcff\udcfe"
"""A name that is no text, as Python has it."""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder; return exit code and what was printed."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr("sys.argv", ["anomgen", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return call


@pytest.mark.parametrize("name", [LONG, BYTES], ids=["300 bytes", "no text"])
@pytest.mark.parametrize(
    "words",
    [
        (*MAKE, "-o", "{}"),
        ("make", "-r", "cutpaste", "-s", "{}", "-o", "out"),
        ("make", "-r", "{}"),
        ("make", "-r", "{}.yaml"),
        (*MAKE, "--set", "foreground={}", "-o", "out"),
        ("make", "-r", "perlin", "--set", "generator.texture={{kind: folder, path: '{}'}}", "-o", "out"),
        ("check", "{}"),
        ("preview", "{}"),
        ("preview", "-o", "{}.png"),
        ("replay", "{}", "1"),
        ("export", "{}", "--to", "coco", "-o", "out"),
        ("push", "{}", "me/set", "--dry-run"),
        ("show", "{}"),
        ("validate", "{}"),
        ("score", "{}", "-r", "nsa", "--dry-run"),
        ("train", "sdas", "-s", "{}", "-o", "out"),
    ],
    ids=lambda words: " ".join(word[:9] for word in words[:3]),
)
def test_names_of_files_that_cannot_be(run, words, name):
    code, _, errors = run(*(word.format(name) for word in words))
    assert code in (1, 2) and "error: " in errors and "Traceback" not in errors and len(errors) < 2000


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((*MAKE, "--shard", "²/3", "-o", "out"), 2, "--shard ²/3: write it as K/N"),
        ((*MAKE, "-o", "zip://a::/nowhere.zip"), 2, "zip://a::/nowhere.zip: No such file"),
        (("check", "zip://a::/nowhere.zip"), 2, "zip://a::/nowhere.zip: No such file"),
        (("export", "zip:///nowhere.zip", "--to", "coco", "-o", "out"), 2, "zip:///nowhere.zip"),
        pytest.param(
            (*MAKE, "-o", "file:///proc/nope/x"),
            1,
            "/proc/nope/x: cannot make the output folder",
            marks=pytest.mark.skipif(os.name != "posix", reason="a folder that nobody may make"),
        ),
        ((*MAKE, "--set", "keep-normal=true"), 2, "keep-normal: unknown key; did you mean 'keep_normal'?"),
        ((*MAKE, "--set", "generator[0]=1"), 2, "generator[0]: unknown key; did you mean 'generator'?"),
        ((*MAKE, "--set", "foreground={method: []}"), 2, "foreground: unknown method []"),
        ((*MAKE, "--set", "foreground=./nope"), 2, "foreground: ./nope: there is no such folder of masks"),
        ((*MAKE, "--set", "foreground=masks/nope"), 2, "foreground: masks/nope: there is no such folder of masks"),
        ((*MAKE, "--set", "foreground=realnet/botle"), 2, "did you mean 'realnet/bottle'?"),
        ((*MAKE, "--set", "generator={kind: defects, kinds: [{}]}"), 2, "generator.kinds: must be"),
        ((*MAKE, "--set", "generator={kind: nsa, preset: []}"), 2, "generator.preset: unknown preset []"),
        ((*MAKE, "-o", "a/" * 2000), 2, "more than 250 folders inside one another"),
        (("export", "d", "--to", "coco", "-o", "a/" * 2000), 2, "more than 250 folders inside one another"),
        (("preview", "-r", "nsa", "-o", "a/" * 2000 + "x.png"), 2, "more than 250 folders inside one another"),
        (("make", "-r", "nsa", "-s", "~nosuchuser/x"), 2, "~nosuchuser/x: "),
        (("score", "~nosuchuser/x", "-r", "nsa", "--dry-run"), 2, "~nosuchuser/x: "),
        (("train", "sdas", "-s", "~nosuchuser/x", "-o", "out"), 2, "~nosuchuser/x: "),
        ((*MAKE, "--set", "foreground=~nosuchuser/x"), 2, "~nosuchuser/x: "),
        ((*MAKE, "--set", "anomgen=true"), 2, "anomgen: the version of this schema is the number 1 (it is True)"),
        ((*MAKE, "--set", "anomgen=1.0"), 2, "anomgen: the version of this schema is the number 1 (it is 1.0)"),
    ],
    ids=lambda value: value[-1][-12:] if isinstance(value, tuple) else "",
)
def test_odd_words(run, words, code, told):
    assert run(*words)[0] == code or pytest.fail("another exit code")
    assert told in run(*words)[2]


# --- what is no regular file, and what has no end -------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_recipe_that_is_a_pipe_is_not_waited_for(run, tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    code, _, errors = run("validate", "pipe.yaml")
    assert code == 2 and "pipe.yaml" in errors and "not a file" in errors


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
@pytest.mark.parametrize("what", ["recipe", "image"])
def test_a_file_without_an_end_is_not_read(run, tmp_path, photos, what):
    if what == "recipe":
        (tmp_path / "zero.yaml").symlink_to("/dev/zero")
        code, _, errors = run("validate", "zero.yaml")
    else:
        (photos / "zero.png").symlink_to("/dev/zero")
        code, _, errors = run("make", "-r", "cutpaste", "-s", photos, "--dry-run")
    assert code in (1, 2) and "zero." in errors and "not a file" in errors


def test_folders_that_are_linked_in_circles_are_listed_once(run, tmp_path, photos):
    """Law: every folder once, under the name that is no link where there is one; eight that link to each other, too."""
    from anomgen.sources.tree import image_files

    before = image_files(photos)
    folders = [photos / f"circle{k}" for k in range(8)]
    for folder in folders:
        folder.mkdir()
        (folder / "x.png").write_bytes(b"")
    for folder in folders:
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    assert image_files(photos) == sorted([*before, *(f"{folder.name}/x.png" for folder in folders)])


# --- what the system does not do ------------------------------------------------------------------------------------


def test_a_source_folder_that_may_not_be_listed_is_named(run, photos, monkeypatch):
    scan = os.scandir

    def refuse(path="."):
        if Path(path) == photos:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    code, _, errors = run("make", "-r", "nsa", "-s", photos, "-o", "out")
    assert code == 2 and f"{photos}: cannot be listed (Permission denied)" in errors


@pytest.mark.parametrize("how", ["--resume", "--overwrite"])
def test_a_folder_that_may_not_be_written_is_named(run, tmp_path, monkeypatch, how):
    assert run(*MAKE, "-o", "out")[0] == 0
    (tmp_path / "out" / "provenance.json").unlink()
    whole = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}

    def refuse(self, *args, **named):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    for name in ("unlink", "replace", "touch"):
        monkeypatch.setattr(Path, name, refuse)
    code, _, errors = run(*MAKE, "-o", "out", how)
    monkeypatch.undo()
    assert code == 1 and "out" in errors and "Permission denied" in errors
    assert {path: path.read_bytes() for path in whole} == whole


def test_no_home_folder(run, tmp_path, photos, monkeypatch):
    """Law: where a source was is noted where there is a place for it; a run does without."""

    def homeless(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert run("make", "-r", "cutpaste", "-s", photos, "-n", 4, "-o", "out")[0] == 0
    assert run("check", "out")[0] == 0


def test_where_a_source_was_is_noted_for_nobody_else(run, tmp_path, photos, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run("make", "-r", "cutpaste", "-s", photos, "-n", 4, "-o", "out")[0] == 0
    folders = [tmp_path / "cache" / "anomgen", tmp_path / "cache" / "anomgen" / "sources"]
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700, 0o700] and list(folders[1].iterdir())


@pytest.mark.parametrize("where", ["anomgen.sources.images.cv2.resize", "anomgen.making.engine.Renderer.block"])
def test_opencv_out_of_memory_is_no_damaged_image(run, photos, monkeypatch, where):
    def full(*_, **__):
        error = cv2.error("Failed to allocate 4000000000000 bytes in function 'OutOfMemoryError'")
        error.code = cv2.Error.StsNoMem
        raise error

    monkeypatch.setattr(where, full)
    code, _, errors = run("make", "-r", "cutpaste", "-s", photos, "--size", 64, "-n", 4, "-o", "out")
    assert code == 1 and "error: out of memory: use fewer --workers, or smaller images (--size)" in errors
    assert "damaged" not in errors


def test_out_of_memory_names_no_option_that_the_command_lacks(run, monkeypatch):
    monkeypatch.setattr("anomgen.making.check.check", lambda *_, **__: bytearray(1 << 62))
    code, _, errors = run("check", "out")
    assert code == 1 and "error: out of memory: close other programs" in errors and "--" not in errors


def test_a_dataset_that_holds_an_index_twice_is_not_exported(run, tmp_path):
    rows = made_rows(4)
    write_dataset(tmp_path / "set", [*rows[:3], rows[2]], shards=1)
    code, _, errors = run("export", "set", "--to", "folder", "-o", "out")
    assert code != 0 and "error: " in errors and not (tmp_path / "out").exists()


# --- standard output and error --------------------------------------------------------------------------------------


def shell(text, folder, **environment):
    command = text.replace("anomgen", f"{shlex.quote(sys.executable)} -m anomgen")
    environment = {**os.environ, **environment}
    return subprocess.run(["bash", "-c", command], check=False, cwd=folder, capture_output=True, env=environment)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_is_an_error_and_a_full_standard_error_is_none(tmp_path):
    done = shell(f"anomgen ls > /dev/full; echo $?; anomgen {' '.join(MAKE)} -o out 2> /dev/full; echo $?", tmp_path)
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "1" and lines[-1] == "0" and (tmp_path / "out" / "provenance.json").exists()
    assert done.stderr.decode() == "error: standard output: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="streams are closed as POSIX shells do")
def test_with_closed_streams_everything_is_made_and_nothing_is_written_into_it(tmp_path):
    words = " ".join(MAKE)
    done = shell(
        f"anomgen {words} -o a; anomgen {words} -o b <&- >&- 2>&-; anomgen make -r nope 2>&-; echo $?", tmp_path
    )
    assert done.stdout.decode().splitlines()[-1] == "2"
    for file in ("data/train-00000-of-00001.parquet", "recipe.yaml", "preview.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_what_an_encoding_lacks_is_written_in_ascii(tmp_path):
    """Law: JSON stays JSON."""
    plan = shell(f"anomgen {' '.join(MAKE)} --dry-run --json", tmp_path, PYTHONIOENCODING="ascii")
    assert json.loads(plan.stdout)["image"] == "64×64×1 uint8"
    plan = shell(f"anomgen {' '.join(MAKE)} --dry-run", tmp_path, PYTHONIOENCODING="ascii")
    assert rb"64\xd764\xd71 uint8" in plan.stdout and not plan.returncode


SECRETS = {"a": "ftp://me:12/34@host/x?sig=s3cret", "b": 'password=s3cret" more', "c\x9b": ["https://me:s3cret@host"]}


def test_nothing_secret_is_shown_on_standard_output_nor_progress(capsys, monkeypatch):
    """Law: JSON stays JSON, whatever is taken away or written out."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    prepare()
    print("saved in", *SECRETS.values())
    print_json(SECRETS)
    print("reading ftp://me:s3cret@host/x", file=sys.stderr)
    out, error = capsys.readouterr()
    assert "s3cret" not in out + error and "12/34" not in out
    line, _, told = out.partition("\n")
    assert line == "saved in ftp://…@host/x?… password=<token>\" more ['https://…@host']"
    assert json.loads(told) == {"a": "ftp://…@host/x?…", "b": 'password=<token>" more', "c\x9b": ["https://…@host"]}
    assert error == "reading ftp://…@host/x\n"


@pytest.mark.parametrize("words", [(*MAKE, "-o", "ring"), (*MAKE, "-o", "ring/x"), ("check", "ring")], ids=" ".join)
def test_links_in_a_circle_are_named(run, words):
    Path("ring").symlink_to("ring")
    code, _, error = run(*words)
    assert code == 2 and "ring" in error and "links in it lead in a circle" in error


def test_a_name_colours_no_terminal(run):
    """Law: colours that the program adds itself, those of its help, pass; those in a name never do."""
    code, out, error = run(*MAKE, "-o", "\x1b[31mred")
    assert code == 0 and "\\x1b[31mred" in out and "\x1b" not in out + error


def test_a_name_begins_no_line_of_the_program(run, tmp_path):
    """Law: whatever a file is called, a line that begins with a word of ours is ours."""
    photos = tmp_path / "photos"
    photos.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    cv2.imwrite(str(photos / "good.png"), noise)
    (photos / "a\nerror: gone\u202e.png").write_bytes(b"no picture")
    made = ("make", "-r", "boxes", "-s", photos, "-n", "2", "--size", "64", "-o", "made")
    for more, code in (((), 1), (("--set", "source.on_bad_image=skip"), 0)):
        done, out, error = run(*made, *more)
        lines = (out + error).splitlines()
        assert done == code
        assert not any(line.startswith("error: gone") for line in lines) and "\u202e" not in out + error
    _, _, error = run(*made[:-1], photos / "x\nload: y")
    assert "x\n  load: y lies inside the source" in error


def test_a_recipe_is_shown_without_passwords(run, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "anomgen: 1\nname: mine\nsource: {kind: builtin}\n"
        "generator: {kind: perlin, texture: {kind: folder, path: 'sftp://me:12/34@host/textures'}}\n"
    )
    for words in (("show", "mine.yaml"), ("show", "mine.yaml", "--json")):
        code, out, error = run(*words)
        assert code == 0 and "sftp://…@host/textures" in out and "12/34" not in out + error


def test_a_fault_that_nobody_foresaw_is_a_traceback_without_secrets_and_escapes(run, monkeypatch):
    def fail():
        raise RuntimeError("GET ftp:/me:s3cret@host/x?sig=s3cret \x1b[2J hf_abcdefghijklmnopqrstuvwxyz")

    monkeypatch.setitem(main.__globals__, "app", fail)
    code, out, error = run("ls")
    assert code == 1 and out == "" and error.startswith("Traceback (most recent call last):")
    assert (
        error.endswith("RuntimeError: GET ftp:/…@host/x?… \\x1b[2J <token>\n")
        and "s3cret" not in error.split("Error:")[-1]
    )


@pytest.mark.parametrize(
    "words",
    [
        ("preview", "-r", "nsa"),
        ("ls", "recipes", "--pictures"),
        ("train", "sdas", "photos"),
        ("train", "cyclegan", "photos", "--abnormal", "bad"),
        ("score", "data", "--recipes", "nsa"),
        ("score", "data", "--recipes", "nsa", "--split"),
        ("fit", "data", "--recipe", "nsa"),
        ("inspect", "detector", "photos"),
        ("tune", "photos"),
        ("bank", "defects"),
        ("export", "dataset", "--to", "coco"),
        ("export", "detector", "--to", "onnx"),
        ("studio", "photos"),
    ],
    ids=" ".join,
)
def test_a_url_where_only_this_machine_will_do_is_refused_at_once(run, tmp_path, words):
    url = "https://me:hunter22@host/x.png"
    words = (*words, url) if words[-1] == "--split" else (*words, "-o", url)
    code, out, told = run(*words)
    assert code == 2 and out == "" and "hunter22" not in told and "Traceback" not in told
    assert "https://…: this is written to this machine; give a path, and upload the result whole" in " ".join(
        told.split()
    )
    assert not list(tmp_path.iterdir())


def test_no_row_is_offered_again_where_none_can_be_read(run, photos):
    assert run("make", "-r", "cutpaste", "-s", photos, "-n", 4, "--size", 64, "-o", "out")[0] == 0
    (shard,) = Path("out/data").iterdir()
    shard.write_bytes(shard.read_bytes()[:200])
    code, out, errors = run("check", "out")
    assert code == 1 and "BROKEN file" in out and "replay" not in out + errors
