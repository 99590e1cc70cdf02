"""A small recipe, the command that makes it, and what tells two datasets apart."""

import hashlib
import os
import sys
from pathlib import Path

from anomgen.making.recipe import load_recipe


def uncounted():
    """Return the environment without coverage's hooks: for children that may write next to nothing."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


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


def count_shards(out):
    return len(list((out / "data").glob("train-*.parquet")))


def command(out, count, name="nsa", *words):
    """Return the words of the program that make `count` rows of the recipe."""
    changes = [word for change in SMALL for word in ("--set", change)]
    return [sys.executable, "-m", "anomgen", "make", "-r", name, "-n", str(count), "-o", str(out), *changes, *words]
