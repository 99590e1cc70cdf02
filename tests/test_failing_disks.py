"""A disk that fails at every single access, one after the other: each command says so, and the next one goes on."""

import errno
import gc
import io
import os
import shutil
import signal
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import cv2
import numpy as np
import pytest
from crashing import fails_at, run
from hub_fixtures import write_dataset
from learned import disc, pictures
from made_dataset import made_rows
from small import digests

from anomgen.cli.main import main
from anomgen.files import is_left_over
from anomgen.making.make import make
from anomgen.making.recipe import load_recipe

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")]
SMALL = ("--size", "32", "-n", "8", "--set", "block_size=4", "--set", "shard_size=4")

COMMANDS = {
    "make": ("make", "-r", "perlin", "-s", "in", *SMALL, "-o", "out"),
    "make with textures": (
        *("make", "-r", "perlin", "-s", "in", *SMALL, "-o", "out"),
        *("--set", "generator.texture={kind: folder, path: textures}", "--roi", "masks/000.png"),
    ),
    "export": ("export", "set", "--to", "coco", "-o", "out"),
    "preview": ("preview", "drawn", "-o", "out/picture.png"),
    "preview of a recipe": ("preview", "-r", "perlin", "-s", "in", "--size", "32", "-o", "out/picture.png"),
    "check": ("check", "drawn"),
    "replay": ("replay", "drawn", "1"),
    "bank": ("bank", "bad", "--masks", "masks", "-o", "out"),
    "score --split": ("score", "data", "-r", "real", "--split", "out"),
    "score": ("score", "data", "-r", "none", "-d", "none", "--seeds", "1", "--size", "32", "-o", "out"),
}
"""What reads and writes: words of the command line, in a folder of what `given` has."""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder with normal images, textures, defects with masks, a data set and a dataset."""
    place = tmp_path_factory.mktemp("given")
    pictures(place / "in", 3)
    pictures(place / "textures", 2, seed=20)
    pictures(place / "bad", 2, seed=50, change=disc)
    (place / "masks").mkdir()
    for file in (place / "bad").iterdir():
        values = disc(np.ones((32, 32, 1)))[..., 0] < 1
        cv2.imwrite(str(place / "masks" / file.name), values.astype(np.uint8) * 255)
    for name, source in {
        "train/good": "in",
        "test/good": "textures",
        "test/bad": "bad",
        "ground_truth/bad": "masks",
    }.items():
        shutil.copytree(place / source, place / "data" / name)
    write_dataset(place / "set", made_rows(4), shards=1)
    recipe = load_recipe("perlin", source=str(place / "in"), size=32, count=4)
    run(lambda: make(recipe, place / "drawn"))
    return place


FINE, FAILED, BORNE = 0, 7, 8
"""Exit codes of a child: nothing failed, something did, something did and the command did its work all the same."""
EVERY = "ANOMGEN_EVERY_ACCESS" in os.environ
POINTS = 6
"""Accesses that fail, evenly spaced, of each command; all with the variable ANOMGEN_EVERY_ACCESS."""


def outcome(words, arrange, told):
    """Run a command in a child; return what came of it.

    Fails where the command neither does its work nor ends in an error that says so; what it printed is in `told`.
    """
    child = os.fork()
    if child == 0:
        try:
            has_failed = arrange()
            sys.argv = ["anomgen", *words]
            with redirect_stdout(io.StringIO()) as report, redirect_stderr(io.StringIO()) as errors:
                try:
                    main()
                    code = 0
                except SystemExit as end:
                    code = end.code or 0
                gc.collect()
            said = errors.getvalue()
            assert "Traceback" not in said and "Exception ignored" not in said, said
            tells = "error: " in said or (words[0] in ("check", "replay") and report.getvalue())
            assert code == 0 or (tells and code in (1, 2) and has_failed()), f"exit code {code}: {said}"
            os._exit((FAILED if code else BORNE) if has_failed() else FINE)
        except BaseException:
            told.write_text(traceback.format_exc())
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (FINE, FAILED, BORNE), f"{' '.join(words)}: {told.read_text() if told.exists() else code}"
    return code


def again(words):
    """Return the words that go on, or begin anew, where a command failed."""
    if words[0] == "make" and OUT.exists():
        return (*words, "--resume")
    return (*words, "--overwrite") if words[0] in ("export", "bank") and OUT.exists() else words


OUT = Path("out")


def found(words):
    """Return the hashes of what a command wrote; of a score, whose figures tell of seconds, the names alone."""
    return set(digests(OUT)) if words[0] == "score" and "--split" not in words else digests(OUT)


def litter(given):
    """Return what of ours is left beside the results: the very removal may be what failed, and the next run does it."""
    beside = {path.name for path in Path().iterdir()} - {path.name for path in given.iterdir()} - {OUT.name}
    return beside | {path.name for path in OUT.rglob("*") if is_left_over(path.name)}


def try_each(words, given, place, ways):
    """Let a command fail in each way, then go on: what comes out is what no fault gives. Returns how many failed."""
    os.chdir(shutil.copytree(given, place / "here"))
    outcome(words, lambda: lambda: False, place / "told")
    whole, failed = found(words), 0
    for arrange in ways:
        shutil.rmtree(OUT, ignore_errors=True)
        ended = outcome(words, arrange, place / "told")
        failed += ended != FINE
        if ended == FAILED or (ended == BORNE and litter(given)):
            outcome(again(words), lambda: lambda: False, place / "told")
        assert found(words) == whole
        assert not litter(given)
    return failed


WAYS = {
    "unreadable": {"code": errno.EIO, "reading": True},
    "forbidden": {"code": errno.EACCES, "reading": True},
    "full": {"code": errno.ENOSPC, "lasting": True},
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("way", WAYS)
def test_an_access_that_fails_is_an_error_and_nothing_is_lost(given, tmp_path, monkeypatch, name, way):
    """Law: at each access, read or write, the command does its work or says what failed; going on ends as without."""
    monkeypatch.chdir(tmp_path)
    here = [tmp_path / "here"]

    def failing(number):
        return lambda: fails_at(number, here, **WAYS[way])

    count = accesses(COMMANDS[name], given, tmp_path, **WAYS[way])
    if not count:
        pytest.skip("it writes nothing")
    numbers = range(count) if EVERY else sorted({round(k) for k in np.linspace(0, count - 1, POINTS)})
    assert try_each(COMMANDS[name], given, tmp_path, map(failing, numbers)) == len(numbers)


def accesses(words, given, place, code, **options):
    """Return how many accesses to its folder a command makes that could fail."""
    here = place / "counted"
    os.chdir(shutil.copytree(given, here))
    told = place / "count"

    def count():
        tell = fails_at(1 << 40, [here], code, **options)
        return lambda: bool(told.write_text(str(tell.done()))) and False

    outcome(words, count, place / "told")
    return int(told.read_text())


@pytest.mark.parametrize("name", [name for name, words in COMMANDS.items() if "out" in words])
def test_a_disk_that_fills_up_while_a_file_is_written(given, tmp_path, monkeypatch, name):
    """Law: whatever size the largest file may have, the command says that there is no room, or does its work."""
    resource = pytest.importorskip("resource", reason="the size of files is limited as POSIX does")
    monkeypatch.chdir(tmp_path)

    def limited(size):
        def arrange():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            return lambda: True

        return arrange

    sizes = [0, 1, 200, 700, 1000, 2000, 4000, 8000, 16_000, 32_000]
    assert try_each(COMMANDS[name], given, tmp_path, map(limited, sizes)) == len(sizes)
