"""The output folder before a run: what may be in it, and the removal of what an earlier run made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from anomgen.config.base import located_texts
from anomgen.dataset import origin
from anomgen.dataset.origin import LEFT_OUT, MARK, PROVENANCE, RECIPE, is_ours
from anomgen.dataset.reader import SHARD_PATTERN
from anomgen.errors import UsageError
from anomgen.files import Earlier, holds, holds_earlier, note_kept, refuse_inside, refuse_linked, remove, replacing
from anomgen.making.engine import Recipe
from anomgen.making.recipe import parse_recipe, read_recipe
from anomgen.making.splits import split_files

OWN_FILES = ("preview.png", "README.md", "recipe.yaml")
"""What is written beside the shards."""
DATA = "data"


def check_output(recipe: Recipe, out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output folder in which `make` could lose or mix something. Raises UsageError."""
    refuse_in_source(recipe, out)
    data = out / DATA
    hidden = data.is_dir() and all(entry.name.startswith(".") for entry in data.iterdir())
    leftovers = {DATA} if hidden else ()  # of a run that was killed before its first shard
    begun = holds_earlier(out, "anomgen dataset", _earlier, leftovers=leftovers, resume=resume, overwrite=overwrite)
    if begun:
        _refuse_foreign_shards(data)
    if begun and resume:
        _refuse_other_recipe(recipe, out)


def refuse_in_source(recipe: Recipe, out: Path) -> None:
    """Raise UsageError when what is to be written would lie among a recipe's normal images."""
    refuse_inside(out, *(place for _, place in located_texts(recipe.source)))


def foreign_files(data: Path) -> list[str]:
    """Return the names of files that are none of anomgen's, and that loaders would take for rows."""
    return sorted(file.name for file in split_files(data) if not SHARD_PATTERN.fullmatch(file.name))


def _refuse_foreign_shards(data: Path) -> None:
    """Refuse Parquet files of the user's own: whoever loads the dataset would load them with it."""
    foreign = foreign_files(data)
    if foreign:
        where = data / foreign[0]
        raise UsageError(f"{where} is no file of this dataset, but would be loaded with it; move it elsewhere")


def _earlier(out: Path) -> Earlier | None:
    if not is_ours(out):
        if any(SHARD_PATTERN.fullmatch(file.name) for file in split_files(out / DATA)):
            raise UsageError(
                f"{out} holds rows of a dataset, but its {RECIPE} is not as `anomgen make` wrote it, beginning with "
                f"{MARK.strip()!r}. Put that file back, or choose another folder with -o"
            )
        return None
    if (out / PROVENANCE).is_file():
        return Earlier("a finished dataset", can_go_on=False)
    return Earlier("an unfinished dataset")


def _refuse_other_recipe(recipe: Recipe, out: Path) -> None:
    began = parse_recipe(read_recipe(str(out / "recipe.yaml")), str(out / "recipe.yaml"))
    before, now = began.canonical(), recipe.canonical()
    different = sorted(_differences(before, now))
    if different:
        raise UsageError(
            f"{out} was begun with another recipe (different: {', '.join(different)}); "
            "resume with the same one, or choose another folder with -o"
        )


def complete_recipe(recipe: Recipe, out: Path) -> None:
    """Write ``recipe.yaml``, unless somebody has edited the one that is there: it stays, as a note says.

    It says the same then, or `check_output` has refused it. One that differs as paths do is written anew.
    """
    file = out / RECIPE
    if not is_ours(out) or holds(file, _text_of(parse_recipe(read_recipe(str(file)), str(file)))):
        with replacing(file) as written:
            written.write(_text_of(recipe))
    else:
        note_kept(file, ", for it says the same")


def _text_of(recipe: Recipe) -> bytes:
    return (MARK + recipe.portable().to_yaml()).encode()


def _differences(before: Any, now: Any, key: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in {*before, *now}:
            yield from _differences(before.get(name), now.get(name), f"{key}.{name}" if key else name)
    elif before != now:
        yield key


def records_of(out: Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the provenance and the recipe of a dataset, each where it is there and can be read."""
    found: list[dict[str, Any] | None] = [None, None]
    for number, read in enumerate((origin.read_provenance, origin.read_recipe)):
        with suppress(UsageError, OSError):
            found[number] = read(out)
    return found[0], found[1]


def clear(out: Path) -> None:
    """Remove an earlier dataset: the files that anomgen writes, nothing else.

    provenance.json goes first, so that what is left is not taken for a finished dataset if this is interrupted, and
    recipe.yaml last, since it is what tells a folder of ours from any other. Raises UsageError for a linked folder.
    """
    refuse_linked(out)
    remove(out / PROVENANCE)
    for shard in split_files(out / DATA):
        if SHARD_PATTERN.fullmatch(shard.name):
            remove(shard)
    for name in (LEFT_OUT, *OWN_FILES):
        remove(out / name)
