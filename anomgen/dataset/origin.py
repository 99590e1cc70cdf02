"""What a dataset says that it was made of, recipe.yaml and provenance.json: anybody may have written them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import ConfigDict, Field

from anomgen.config import Config, validated
from anomgen.config.text import decoded, read_yaml
from anomgen.errors import RecipeError, UsageError
from anomgen.files import json_object
from anomgen.places import file_in, read_within
from anomgen.sources.value_range import RangeField

RECIPE, PROVENANCE, LEFT_OUT = "recipe.yaml", "provenance.json", "left-out.json"
RECORDS = (RECIPE, PROVENANCE, LEFT_OUT)
MARK = "# The recipe of the dataset in this folder, written by anomgen make.\n"
"""First line of the recipe.yaml in a dataset: what tells our folder from one that holds a recipe of the user's."""

MAX_RECIPE = 1 << 18
"""Bytes of a recipe; a long one has some thousands."""

Count = Annotated[int, Field(ge=0, le=10**12)]
Text = Annotated[str, Field(max_length=10_000)]
Word = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\s/\\]+$")]
"""A name without blanks and slashes."""


class Damaged(UsageError):
    """A dataset is there, and something in it is broken. rule: which of those of `anomgen check`."""

    def __init__(self, message: str, rule: str = "file"):
        super().__init__(message)
        self.rule = rule


class _Stored(Config):
    model_config = ConfigDict(extra="allow")  # what a later version adds, and each kind's own keys


class _Source(_Stored):
    kind: Word
    path: Text | None = None
    category: Text | None = None
    name: Text | None = None


class _Generator(_Stored):
    kind: Word


class StoredRecipe(_Stored):
    """What is read of the recipe in a dataset before, or without, building what it describes."""

    name: Text
    source: _Source
    generator: _Generator | None = None
    license: Text | None = None
    count: Count | None = None
    seed: int | None = None


class _Images(_Stored):
    kind: Word
    count: Count
    fingerprint: Annotated[Word, Field(pattern=r"^[\w:+=-]+$")]
    license: Text | None
    dataset: Text | None = None
    skipped: list[Text]
    notes: list[Text] = Field(default_factory=list)
    range: RangeField | None = None
    shape: list[int] | None = None


class _Resolved(_Stored):
    generator: _Generator
    foreground: dict[str, Any]
    resources: dict[str, Text] = Field(default_factory=dict)


class _Rows(_Stored):
    normal: Count
    anomaly: Count
    by_type: dict[str, Count]


class StoredProvenance(_Stored):
    """What a provenance must say; docs/reference/dataset.md explains it."""

    anomgen: Text
    versions: dict[str, Text | None]
    recipe_fingerprint: Word
    source: _Images
    licenses: list[Text | None] = Field(default_factory=list)
    resolved: _Resolved
    rows: _Rows
    rejects: dict[str, Count]
    shards: Count
    left_out: list[Count] = Field(default_factory=list)
    """Rows that were thrown out, in a copy that does not hold them."""


def is_ours(out: Path) -> bool:
    """Return whether a folder holds a dataset that `make` made or began; a recipe of the user's own is none.

    An editor may have saved it with a byte order mark and the ends of lines of Windows.
    """
    try:
        text = decoded(read_within(file_in(out, RECIPE), MAX_RECIPE))
    except (OSError, ValueError):
        return False
    return text.partition("\n")[0].rstrip("\r") + "\n" == MARK


def own_file(folder: Path, name: str) -> Path:
    """Return the path of a file of the dataset in a folder. Raises Damaged where a link leads out of it."""
    try:
        return file_in(folder, name)
    except OSError as error:
        raise Damaged(f"{folder / name}: {error.strerror}", "record" if name in RECORDS else "file") from error


def read_recipe(folder: Path) -> dict[str, Any]:
    """Return the recipe of the dataset in a folder. Raises Damaged where it is none."""
    file = own_file(folder, RECIPE)
    try:
        recipe = read_yaml(decoded(read_within(file, MAX_RECIPE)))
    except (yaml.YAMLError, ValueError) as error:
        raise Damaged(f"{file}: not valid YAML: {error}", "record") from error
    except OSError as error:
        raise Damaged(f"{file}: cannot be read ({error.strerror or error})", "record") from error
    if not isinstance(recipe, dict):
        raise Damaged(f"{file}: holds no recipe", "record")
    _require(StoredRecipe, recipe, file)
    return recipe


def read_provenance(folder: Path) -> dict[str, Any]:
    """Return the provenance of the dataset in a folder. Raises Damaged where it is none."""
    file, advice = own_file(folder, PROVENANCE), "run `anomgen make` with --resume"
    try:
        content = json_object(file)
    except (ValueError, OSError) as error:
        raise Damaged(f"{file}: damaged ({error}); {advice}", "record") from error
    _require(StoredProvenance, content, file)
    return content


def read_left_out(folder: Path) -> frozenset[int]:
    """Return the rows of the dataset in a folder that are thrown out. Raises Damaged where their list is none."""
    file = own_file(folder, LEFT_OUT)
    try:
        rows = json_object(file).get("rows")
    except FileNotFoundError:
        return frozenset()
    except (ValueError, OSError) as error:
        raise Damaged(f"{file}: damaged ({error}); remove it, and throw the samples out again", "record") from error
    if not isinstance(rows, list) or not all(type(row) is int and row >= 0 for row in rows):
        raise Damaged(
            f"{file}: damaged (rows is no list of numbers); remove it, and throw the samples out again", "record"
        )
    return frozenset(rows)


def _require(model: type[Config], content: dict[str, Any], file: Path) -> None:
    try:
        validated(model, content)
    except RecipeError as error:
        raise Damaged(str(error.named(f"{file}: damaged")), "record") from None


def is_fingerprint(text: str) -> bool:
    """Return whether a text may be a source's fingerprint, and so a file's name."""
    return re.fullmatch(r"[\w:+=-]{1,200}", text) is not None
