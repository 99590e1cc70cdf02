"""A small recipe, the command that makes it, how commands are run, and what tells two datasets apart."""

import contextlib
import hashlib
import io
import logging
import multiprocessing
import os
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from anomgen.cli.main import main
from anomgen.making.recipe import load_recipe


def uncounted():
    """Return the environment without coverage's hooks: for children that may write next to nothing, or are killed."""
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


PLAIN = {"COLUMNS": "100", "NO_COLOR": "1"}


def run(*words, program=None, cwd=".", code=0):
    """Run anomgen, or a program's text, in this process; return (standard output, standard error)."""
    out, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    records = logging.getLogRecordFactory()
    with contextlib.ExitStack() as stack:
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setattr(sys, "argv", ["anomgen", *map(str, words)])
        for name, value in PLAIN.items():
            patched.setenv(name, value)
        for block in (warnings.catch_warnings(), contextlib.chdir(cwd)):
            stack.enter_context(block)
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(errors))
        try:
            main() if program is None else exec(textwrap.dedent(program), {"__name__": "__main__"})
            ended = 0
        except SystemExit as end:
            ended = end.code or 0
        finally:
            logging.setLogRecordFactory(records)
    printed, told = (stream.buffer.getvalue().decode() for stream in (out, errors))
    assert ended == code, (ended, printed, told)
    assert "Traceback" not in told, told
    return printed, told


def launch(*words, program=None, cwd=None, environment=None, code=0):
    """Do what `run` does in a process of its own."""
    module = ["-m", "anomgen"] if program is None else ["-c", textwrap.dedent(program)]
    done = subprocess.run(
        [sys.executable, *module, *map(str, words)],
        cwd=cwd,
        env={**os.environ, **PLAIN} if environment is None else environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout, done.stderr


@contextlib.contextmanager
def elsewhere(environment):
    """Give a function that calls others in one process, which has had these variables since it began."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patched:
            for name in os.environ.keys() - environment.keys():
                patched.delenv(name)
            for name, value in environment.items():
                patched.setenv(name, value)
            pool.submit(os.getpid).result()
        yield lambda function, *words, **options: pool.submit(function, *words, **options).result()


def count_shards(out):
    return len(list((out / "data").glob("train-*.parquet")))


def command(out, count, name="nsa", *words):
    """Return the words of the program that make `count` rows of the recipe."""
    changes = [word for change in SMALL for word in ("--set", change)]
    return [sys.executable, "-m", "anomgen", "make", "-r", name, "-n", str(count), "-o", str(out), *changes, *words]
