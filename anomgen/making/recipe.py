"""Recipes: everything that decides a dataset, as strict YAML, validated and fingerprinted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from anomgen.config import Config, validated
from anomgen.config.text import Overrides, changed, decoded, read_yaml, refuse_two, size_of
from anomgen.errors import RecipeError, UsageError, near_miss
from anomgen.generators.base import build_generator
from anomgen.licenses import unlisted
from anomgen.making.engine import Recipe
from anomgen.places import bundled, place, read_within
from anomgen.sources.base import build_source
from anomgen.sources.foreground import parse_foreground

MAX_BYTES = 10_000_000
"""Size of a recipe; ours have some hundred bytes."""
BASELINE = "boxes"
"""The recipe that nobody draws for its own sake."""
PARTS: dict[str, Callable[[Any], Config]] = {
    "source": build_source,
    "generator": build_generator,
    "foreground": parse_foreground,
}
"""The keys of a recipe that hold a part with keys of its own, and what builds it."""


def parse_recipe(values: Any, name: str = "recipe") -> Recipe:
    """Return the recipe that a mapping describes. Raises RecipeError, which names every faulty key."""
    if not isinstance(values, Mapping):
        raise RecipeError(f"a recipe is a mapping of keys to values, this is {type(values).__name__}", name=name)
    ready, more = dict(values), 0
    problems: list[tuple[str, str]] = []
    for key, build in PARTS.items():
        if key in ready and not isinstance(ready[key], Config):
            try:
                ready[key] = build(ready[key])
            except RecipeError as error:
                problems += error.inside(key).problems
                more += error.more
                del ready[key]
    wrong = {key.partition(".")[0] for key, _ in problems}
    try:
        recipe: Recipe = validated(Recipe, ready)
    except RecipeError as error:
        problems += [(key, _advised(key, text)) for key, text in error.problems if key not in wrong]
        more += error.more
    if problems:
        raise RecipeError(problems, name=name, more=more)
    return recipe


def _advised(key: str, text: str) -> str:
    return f"{text}; add a line such as `name: scratches`" if (key, text) == ("name", "is missing") else text


def bundled_recipes() -> dict[str, Path]:
    """Return name → file of the recipes that come with the package, the baseline last."""
    files = sorted(bundled("recipes").glob("*.yaml"), key=lambda file: (file.stem == BASELINE, file.stem))
    return {file.stem: file for file in files}


def read_recipe(name_or_file: str | Path) -> dict[str, Any]:
    """Return the mapping in a recipe file, or in the bundled recipe of that name, not yet validated."""
    known_recipes, name_or_file = bundled_recipes(), str(name_or_file)
    path = place(name_or_file)
    if path.suffix not in (".yaml", ".yml") and not path.is_file():
        if name_or_file not in known_recipes:
            known = ", ".join(known_recipes)
            raise UsageError(
                f"no recipe {name_or_file!r}{near_miss(name_or_file, known_recipes)} "
                f"(bundled: {known}; or give a .yaml file)"
            )
        path = known_recipes[name_or_file]
    try:
        values = read_yaml(decoded(read_within(path, MAX_BYTES)))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the recipe: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"not valid YAML: {error}", name=str(path)) from None
    except ValueError as error:
        raise RecipeError(str(error), name=str(path)) from None
    if not isinstance(values, dict):
        raise RecipeError("a recipe is a mapping of keys to values", name=str(path))
    return values


def load_recipe(
    name_or_file: str | Path,
    *,
    source: str | Path | Mapping[str, Any] | None = None,
    size: int | Sequence[int] | str | None = None,
    overrides: Overrides = (),
    roi: str | Path | None = None,
    exclude: str | Path | None = None,
    **values: Any,
) -> Recipe:
    """Return a recipe, changed by what the command line says.

    name_or_file: a bundled recipe's name, or a YAML file. source: replaces the recipe's source except for its size, fit
    and what is done with bad images; a text is what --source takes, a mapping the recipe's key. size: one number,
    (height, width), ``"128x64"`` or ``"native"``. overrides: what --set takes, ``a.b=value`` texts with the value in
    YAML, or a mapping. roi, exclude: pictures, or folders of them, of where anomalies may and may not be: the keys of
    `foreground`. values: further top-level keys, such as count and seed; None means not given. Raises UsageError, also
    for a key that --set and its own option give two values, or RecipeError.
    """
    mapping = read_recipe(name_or_file)
    given = _of_options(size, {"foreground.roi": roi, "foreground.exclude": exclude, **values})
    named = {}
    if isinstance(source, str | Path):
        from anomgen.sources import detect

        text, source = f"--source {source}", detect(str(source))
        named = {f"source.{key}": (text, value) for key, value in source.items() if key != "kind"}
    if source is not None:
        previous = mapping.get("source")
        keys = ("size",) if source.get("kind") == "builtin" else ("size", "fit", "on_bad_image", "on_no_object")
        kept = {key: previous[key] for key in keys if key in previous} if isinstance(previous, dict) else {}
        mapping["source"] = {**kept, **source}
    refuse_two(overrides, {**named, **given})
    mapping = changed(changed(mapping, overrides), {key: value for key, (_, value) in given.items()})
    recipe = parse_recipe(mapping, str(name_or_file))
    if recipe.license and (fault := unlisted(recipe.license)):
        raise RecipeError([("license", fault)], name=str(name_or_file))
    return recipe


def _of_options(size: Any, values: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return key → what is written, and value, of the options that stand for a key, as far as they are given."""
    size = size_of(size)
    found = {"source.size": (f"--size {size}", None if size == "native" else size)} if size is not None else {}
    for key, value in values.items():
        if value is not None:
            plain = str(value) if isinstance(value, Path) else value
            is_keyword = "." not in key and key not in ("count", "seed")
            found[key] = (f"{key}={plain}" if is_keyword else f"--{key.rpartition('.')[2]} {plain}", plain)
    return found


def recipe_of(recipe: Recipe | str | Path, **options: Any) -> Recipe:
    """Return `recipe` itself, or the one that a name or file and the options of `load_recipe` describe.

    Raises UsageError for options beside a recipe that is complete.
    """
    given = {key: value for key, value in options.items() if value not in (None, (), [], {})}
    if isinstance(recipe, str | Path):
        return load_recipe(recipe, **given)
    if not isinstance(recipe, Recipe):
        raise UsageError(f"a recipe is a name, a file's path or a Recipe, not {type(recipe).__name__}")
    if given:
        raise UsageError(f"a Recipe is complete: give {', '.join(given)} to load_recipe, or a recipe's name here")
    return recipe
