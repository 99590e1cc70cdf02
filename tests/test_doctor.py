"""`anomgen doctor`, and `anomgen.doctor`: what it finds is true, and what is bad ends with 1."""

import json
import platform
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anomgen.cli import app
from anomgen.making import doctor as examination
from anomgen.making.doctor import Checked


def found():
    result = CliRunner().invoke(app, ["doctor", "--json"])
    return result.exit_code, {one["name"]: one for one in json.loads(result.stdout)}


def test_it_tells_the_version_of_python_the_free_space_and_that_drawing_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, told = found()
    assert code == 0 and platform.python_version() in told["python"]["text"]
    assert str(tmp_path) in told["here"]["text"] and told["drawing"]["good"] is True
    assert not any(tmp_path.iterdir())


def test_an_extra_says_what_of_it_is_missing(monkeypatch):
    lines = ["numpy>=2", 'numpy>=2; extra == "there"', 'no-such-thing>=1; extra == "gone"', 'pytest; extra == "test"']
    monkeypatch.setattr(examination, "requires", lambda _: lines)
    unlisted, there, gone = examination._extras()
    assert unlisted.name == "extras" and unlisted.text.startswith(f"{', '.join(examination.EXTRAS)}: not known")
    assert there == Checked("extra there", True, "numpy")
    assert gone.good is None and 'missing no-such-thing: pip install ".[gone]"' in gone.text


def test_every_extra_that_a_command_needs_is_looked_for():
    """Law: what pyproject.toml offers is what the code knows, so that an older installation is told."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    offered = set(project["project"]["optional-dependencies"]) - set(examination.OWN_EXTRAS)
    assert offered == set(examination.EXTRAS)


def test_what_is_bad_ends_with_1(monkeypatch, tmp_path):
    monkeypatch.setattr("anomgen.making.recipe.load_recipe", lambda *_, **__: 1 / 0)
    code, told = found()
    assert code == 1 and "ZeroDivisionError" in told["drawing"]["text"]
    assert examination._disk("x", tmp_path / "gone").good is False


@pytest.mark.parametrize("words", [["doctor"], ["doctor", "--help"]])
def test_it_prints_a_line_for_each(words):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0 and "drawing" in result.stdout
