"""`-q` and `-v` mean the same in every command: one table of them all."""

import contextlib
import json
import re
import shutil

import pytest
from hub_fixtures import hub as hub  # a fixture
from learned import disc, pictures
from real_data import tiny_data
from test_cli_examples import ALL
from typer.testing import CliRunner

from anomgen.cli import talk
from anomgen.cli.main import app
from anomgen.making.make import make

TINY_SDAS = ("--set", "channels=[32,32]", "--set", "attention=[false,true]", "--set", "batch_size=4")
TINY_CYCLEGAN = ("--set", "width=4", "--set", "blocks=1", "--set", "discriminator_width=4", "--set", "residual=false")
TINY_GUIDING = ("--steps", "1", "--set", "channels=[32,32]", "--set", "attention=[false,true]", "--set", "batch_size=4")
TRAINED = ("-o", "trained", "--steps", "1", "--size", "32")
FITTED = ("--size", "32", "--steps", "2", "--set", "detector.probe.batch_size=2")
COMMANDS = {
    ("make",): ("-r", "nsa", "-s", "photos", "-n", "4", "--size", "32", "-o", "new"),
    ("preview",): ("-r", "nsa", "-s", "photos", "--size", "32", "--rows", "2"),
    ("check",): ("made",),
    ("replay",): ("made", "1"),
    ("ls",): ("recipes",),
    ("show",): ("nsa",),
    ("validate",): ("nsa",),
    ("bank",): ("data/test/spot", "-m", "data/ground_truth/spot", "-o", "bank"),
    ("doctor",): (),
    ("export",): ("made", "--to", "mvtec", "-o", "exported"),
    ("fit",): ("photos", "-r", "nsa", "-o", "detector", *FITTED),
    ("inspect",): ("detector", "photos", "-o", "findings"),
    ("push",): ("made", "me/made", "--license", "cc0-1.0", "--dry-run"),
    ("score",): ("data", "-r", "nsa", "--size", "32", "--seeds", "1", "--dry-run"),
    ("studio",): ("photos", "--space", "space"),
    ("train", "sdas"): ("-s", "photos", *TRAINED, *TINY_SDAS),
    ("train", "classifier"): ("-s", "photos", "-s", "defects", "--guides", "trained", "-o", "guide", *TINY_GUIDING),
    ("train", "cyclegan"): ("-s", "photos", "-a", "defects", *TRAINED, *TINY_CYCLEGAN),
    ("tune",): ("photos", "-o", "tuned.yaml", "--size", "32"),
}
"""Command → arguments with which it is small, in the folder of `place`."""
BEFORE = {
    ("inspect",): ("fit", *COMMANDS["fit",]),
    ("train", "classifier"): ("train", "sdas", "-s", "defects", *COMMANDS["train", "sdas"]),
}
"""Command → that which makes what it takes."""
EXTRAS = {"fit": "timm", "inspect": "timm", "score": "timm", "push": "huggingface_hub", "train": "diffusers"}
HINT = re.compile(r"(next|look|check|load): |[Ss]tart it|nothing was |A first look|Look at it|next: ")
NOTED = ("make", "preview", "bank", "export", "push", "replay", "score")
"""Commands whose result has notes, in words and in JSON."""
NOTE = re.compile(r"  (drawn again|skipped source files)")
TIMES = re.compile(r"\d+(\.\d+)?(e[-+]\d+)?( ?s\b|/s| images a second| MB| GB)?")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    pictures(folder / "photos", 12, shape=(64, 64))
    pictures(folder / "defects", 12, shape=(64, 64), seed=50, change=disc)
    tiny_data(folder / "data", train=16, good=7)
    make("nsa", folder / "made", source=str(folder / "photos"), count=4, size=32)
    return folder


@pytest.fixture
def ready(prepared, tmp_path):
    """A copy of the prepared folder, for what a command takes."""
    return shutil.copytree(prepared, tmp_path / "ready")


@pytest.fixture
def fresh(ready, tmp_path, monkeypatch):
    """Return the function that runs a command in a copy of that folder."""

    def run(*words):
        monkeypatch.chdir(tmp_path)
        shutil.rmtree("place", ignore_errors=True)
        monkeypatch.chdir(shutil.copytree(ready, tmp_path / "place"))
        return call(*words)

    return run


def call(*words):
    """Run a command; return exit code, the lines of standard output without figures that time decides, and the rest.

    JSON stays as it is.
    """
    done = CliRunner().invoke(app, list(words))
    assert done.exception is None or isinstance(done.exception, SystemExit), (words, done.exception)
    lines = done.stdout.splitlines()
    return done.exit_code, lines if "--json" in words else [TIMES.sub("#", line) for line in lines], done.stderr


def notes_of(fresh, path, words):
    """Return the notes that a command's JSON has, as lines of its text."""
    if path[0] not in NOTED:
        return set()
    notes = json.loads("\n".join(fresh(*words, "--json")[1]))["notes"]
    return {TIMES.sub("#", f"{lead}{note}") for note in notes for lead in ("", "  ", "note: ", "  note: ")}


def test_the_table_holds_every_command():
    assert set(COMMANDS) == {path for path, command in ALL.items() if not hasattr(command, "commands")}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_quiet_leaves_the_result_and_verbose_adds_steps_and_times(path, ready, fresh, hub):
    """Laws: `-q` prints what is printed without it, less notes and hints, and nothing on standard error; `-v` prints
    the same result, the versions, and how long it took."""
    if path[0] in EXTRAS:
        pytest.importorskip(EXTRAS[path[0]], reason="an extra")
    if path in BEFORE:
        with contextlib.chdir(ready):
            call(*BEFORE[path])
    words = (*path, *COMMANDS[path])
    code, plain, _ = fresh(*words)
    assert code == 0 and plain
    code, quiet, errors = fresh(*words, "-q")
    assert code == 0 and not errors
    notes = notes_of(fresh, path, words)
    assert notes or path[0] not in ("make", "preview")
    rest = [line for line in plain if not HINT.match(line) and not NOTE.match(line)]
    assert quiet == [line for line in rest if line not in notes] and quiet
    code, verbose, errors = fresh(*words, "-v")
    assert code == 0 and verbose == plain
    first, *_, last = errors.splitlines()
    assert first.startswith("anomgen ") and ", Python 3." in first and re.fullmatch(r"took \d+\.\d\d s", last)


def test_json_is_the_same_with_either():
    found = [CliRunner().invoke(app, ["ls", "recipes", "--json", *more]).stdout for more in ((), ("-q",), ("-v",))]
    assert json.loads(found[0]) and len(set(found)) == 1


def test_verbose_says_each_step_as_it_begins(fresh):
    errors = fresh("make", *COMMANDS["make",], "-v")[2]
    assert re.search(r"^\d+\.\d\d s: measuring how much anomalies change, 0 of \d+$", errors, re.M)
    assert errors.count("measuring how much") == 1 and re.search(r"s: making, 0 of 4$", errors, re.M)


def test_an_error_is_said_by_the_quiet_and_traced_by_the_verbose(monkeypatch, capsys):
    from anomgen.cli.main import main

    told = {}
    for option in ("-q", "-v"):
        monkeypatch.setattr("sys.argv", ["anomgen", "show", "nsaa", option])
        with pytest.raises(SystemExit) as end:
            main()
        told[option] = capsys.readouterr().err
        assert end.value.code == 2 and "error: no recipe 'nsaa'; did you mean 'nsa'?" in told[option]
    assert told["-q"].count("\n") == 1
    assert "read_recipe\n" in told["-v"] and "Traceback" in told["-v"]


def test_a_trace_shows_no_token(monkeypatch, capsys):
    with pytest.raises(ValueError), talk._saying(quiet=False, verbose=True):
        raise ValueError("https://me:secret@host.org/a?signature=abc")
    errors = capsys.readouterr().err
    assert "ValueError: https://…@host.org/a?…" in errors and "secret" not in errors.split("ValueError: ")[1]


def test_warnings_are_said_unless_quiet(capsys):
    import warnings

    from anomgen.errors import AnomgenWarning

    with warnings.catch_warnings():
        talk.show_warnings()
        for quiet in (False, True):
            with talk._saying(quiet=quiet, verbose=False):
                warnings.warn("it is odd", AnomgenWarning, stacklevel=1)
                talk.print_note("so it is")
            assert capsys.readouterr().err == ("" if quiet else "warning: it is odd\nso it is\n")


def test_both_at_once_are_refused():
    done = CliRunner().invoke(app, ["ls", "-q", "-v"])
    assert done.exit_code == 1 and "--quiet and --verbose contradict each other" in str(done.exception)


def test_help_breaks_lines_where_the_terminal_does():
    """A paragraph of a command's words is a line; what is indented stays as it is written."""

    def run() -> None:
        """Say a first thing.

        A second one that goes
        on.

        Code:
            a = 1
        """

    assert talk._talking(run).__doc__ == "Say a first thing.\n\nA second one that goes on.\n\nCode:\n    a = 1"
