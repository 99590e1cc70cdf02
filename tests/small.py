"""A small recipe, the command that makes it, how commands are run, and what tells two datasets apart."""

import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from anomgen.making.recipe import load_recipe


def uncounted():
    """Return the environment without coverage's hooks: for children that may write next to nothing."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


MANY = 20
"""Images that the fixture `few_are_many` lets be many, or more."""
SMALL = ["source.size=64", "source.count=9", "shard_size=32"]


def recipe(name="nsa", count=96, overrides=(), **values):
    return load_recipe(name, count=count, overrides=[*SMALL, *overrides], **values)


def digests(out):
    """Return name → hash of every file in a dataset."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(out).rglob("*"))
        if path.is_file()
    }


def run(*words, program=None, cwd=None, environment=None, code=0):
    """Run anomgen, or Python with a program's text; return (standard output, standard error)."""
    module = ["-m", "anomgen"] if program is None else ["-c", textwrap.dedent(program)]
    done = subprocess.run(
        [sys.executable, *module, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"} if environment is None else environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout, done.stderr


def count_shards(out):
    return len(list((out / "data").glob("train-*.parquet")))


def command(out, count, name="nsa", *words):
    """Return the words of the program that make `count` rows of the recipe."""
    changes = [word for change in SMALL for word in ("--set", change)]
    return [sys.executable, "-m", "anomgen", "make", "-r", name, "-n", str(count), "-o", str(out), *changes, *words]
