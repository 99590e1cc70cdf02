"""Recipes: everything that decides a dataset, as strict YAML, validated and fingerprinted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import Field, SerializeAsAny, field_serializer

from anomgen.errors import RecipeError, UsageError, near_miss
from anomgen.foreground import Foreground, parse_foreground
from anomgen.generators.base import Config, Generator, Share
from anomgen.places import place
from anomgen.registry import build_generator, build_source, load, names, validated
from anomgen.sources.base import SourceConfig

if TYPE_CHECKING:
    from anomgen.dataset import Row


class Recipe(Config):
    """A dataset in words: which normal images, which generator, how many, from which seed."""

    anomgen: Literal[1] = 1
    """Version of this schema."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)]
    source: SerializeAsAny[SourceConfig]
    generator: SerializeAsAny[Generator]
    foreground: Foreground = Field(default_factory=lambda: parse_foreground("none"))
    count: Annotated[int, Field(ge=1, le=10**9)] = 1000
    """Rows of the dataset, normal ones included."""
    anomaly_ratio: Share = 0.5
    """Share of anomalous rows; the rest are untouched normal images with an empty mask."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    block_size: Annotated[int, Field(ge=1, le=4096)] = 16
    """Rows that a batched generator sees at once; part of the result's identity."""
    shard_size: Annotated[int, Field(ge=1, le=10**6)] = 512
    """Rows of a Parquet file, about: rounded up to whole blocks, so a file may hold up to ``block_size - 1`` more."""
    keep_normal: bool = False
    """Whether each row also holds its untouched image, in the column `normal`."""
    license: Annotated[str, Field(min_length=1)] | None = None
    """Licence of what comes out; by default that of the source, where it is known."""

    @field_serializer("source", "generator")
    def _with_kind(self, part: SourceConfig | Generator) -> dict[str, Any]:
        return part.config()

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON; `parse_recipe` reads it back."""
        return self.model_dump(mode="json")

    def portable(self) -> Recipe:
        """Return the recipe without paths of this machine: what is written into a dataset."""
        return self.model_copy(update={"source": self.source.portable(), "foreground": self.foreground.portable(),
                                       "generator": self.generator.portable()})  # fmt: skip

    def identity(self) -> dict[str, Any]:
        """Return what of the recipe decides the result: all but where its files lie, whose contents count."""
        without: dict[str, Any] = _without_paths(self.as_dict())
        return without

    def fingerprint(self) -> str:
        """Return the hash of the canonical recipe; equal recipes on two machines have equal ones."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def sample(self, index: int) -> Row:
        """Return row `index` of the dataset that this recipe makes: image, mask, soft mask, label and all else.

        index: 0 and above; beyond `count` the dataset goes on as a longer one would. The source is opened when this
        is first called. Raises SourceError, UsageError or AnomgenError as `make` does.
        """
        from anomgen.engine import renderer_of, single_threaded

        if index < 0:
            raise UsageError(f"rows are numbered from 0, not {index}")
        with single_threaded():
            return renderer_of(self).row(index)

    def to_yaml(self) -> str:
        """Return the recipe as YAML, every key written out."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True, width=100)


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(inner) for key, inner in value.items() if key not in ("path", "model")}
    return [_without_paths(inner) for inner in value] if isinstance(value, list) else value


MAX_ALIASES = 20
"""YAML aliases in one recipe; a few lines of nested ones can stand for gigabytes."""


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error, not a silent choice, and aliases cannot multiply."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise yaml.constructor.ConstructorError(None, None, f"more than {MAX_ALIASES} aliases (*name)")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


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
    ready, problems = dict(values), []
    for key, build in PARTS.items():
        if key in ready and not isinstance(ready[key], Config):
            try:
                ready[key] = build(ready[key])
            except RecipeError as error:
                problems += error.inside(key).problems
                del ready[key]
    wrong = {key.partition(".")[0] for key, _ in problems}
    try:
        recipe: Recipe = validated(Recipe, ready)
    except RecipeError as error:
        problems += [(key, _advised(key, text)) for key, text in error.problems if key not in wrong]
    if problems:
        raise RecipeError(problems, name=name)
    return recipe


def _advised(key: str, text: str) -> str:
    return f"{text}; add a line such as `name: scratches`" if (key, text) == ("name", "is missing") else text


def bundled_recipes() -> dict[str, Path]:
    """Return name → file of the recipes that come with the package."""
    package = Path(__file__).parent
    folder = next(place for place in (package / "recipes", package.parent / "recipes") if place.is_dir())
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def read_recipe(name_or_file: str) -> dict[str, Any]:
    """Return the mapping in a recipe file, or in the bundled recipe of that name, not yet validated."""
    bundled = bundled_recipes()
    path = place(name_or_file)
    if path.suffix not in (".yaml", ".yml") and not path.is_file():
        if name_or_file not in bundled:
            known = ", ".join(bundled)
            raise UsageError(
                f"no recipe {name_or_file!r}{near_miss(name_or_file, bundled)} (bundled: {known}; or give a .yaml file)"
            )
        path = bundled[name_or_file]
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise UsageError(f"{path}: cannot read the recipe: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError("not a text file", name=str(path)) from None
    except yaml.YAMLError as error:
        raise RecipeError(f"not valid YAML: {error}", name=str(path)) from None
    except RecursionError:
        raise RecipeError("not valid YAML: nested too deeply", name=str(path)) from None
    if not isinstance(values, dict):
        raise RecipeError("a recipe is a mapping of keys to values", name=str(path))
    return values


def load_recipe(
    name_or_file: str,
    *,
    source: str | Path | Mapping[str, Any] | None = None,
    size: int | Sequence[int] | Literal["native"] | None = None,
    overrides: Iterable[str] = (),
    **values: Any,
) -> Recipe:
    """Return a recipe by bundled name or file, changed by what the command line says.

    source: replaces the recipe's source except for its size, fit and what is done with bad images; a text is what
    --source takes, a mapping the recipe's key. size: one number, (height, width) or "native". overrides: what --set
    takes, ``a.b=value`` texts, the value in YAML. values: further top-level keys, such as count and seed; None means
    not given. Raises UsageError or RecipeError.
    """
    mapping = read_recipe(name_or_file)
    if isinstance(source, str | Path):
        from anomgen.sources import detect

        source = detect(str(source))
    if source is not None:
        previous = mapping.get("source")
        keys = ("size",) if source.get("kind") == "builtin" else ("size", "fit", "on_bad_image")
        kept = {key: previous[key] for key in keys if key in previous} if isinstance(previous, dict) else {}
        mapping["source"] = {**kept, **source}
    for override in overrides:
        _override(mapping, override)
    if size is not None:
        _override(mapping, f"source.size={'null' if size == 'native' else json.dumps(size)}")
    mapping.update({key: value for key, value in values.items() if value is not None})
    return parse_recipe(mapping, name_or_file)


def recipe_of(recipe: Recipe | str, **options: Any) -> Recipe:
    """Return `recipe` itself, or the one that a name or file and the options of `load_recipe` describe.

    Raises UsageError for options beside a recipe that is complete.
    """
    given = {key: value for key, value in options.items() if value is not None and value != ()}
    if isinstance(recipe, str):
        return load_recipe(recipe, **given)
    if not isinstance(recipe, Recipe):
        raise UsageError(f"a recipe is a name, a file's path or a Recipe, not {type(recipe).__name__}")
    if given:
        raise UsageError(f"a Recipe is complete: give {', '.join(given)} to load_recipe, or a recipe's name here")
    return recipe


def settings_of(overrides: Iterable[str]) -> dict[str, Any]:
    """Return what ``a.b=value`` texts say, the value in YAML, as a mapping. Raises UsageError for another text."""
    settings: dict[str, Any] = {}
    for override in overrides:
        if override.endswith("="):
            raise UsageError(f"--set {override}: the value is empty; give one, or leave the setting at its default")
        _override(settings, override)
    return settings


def _override(mapping: dict[str, Any], override: str) -> None:
    """Set one value, ``a.b.0.c=value``; missing mappings on the way are made."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip("."):
        raise UsageError(f"--set {override}: write it as key=value, for instance --set generator.blend=mixed")
    try:
        value = yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, RecursionError):
        raise UsageError(f"--set {override}: the value is not valid YAML") from None
    *path, last = key.split(".")
    place: Any = mapping
    if path == ["foreground"] and isinstance(mapping.get("foreground"), str):
        mapping["foreground"] = {"method": mapping["foreground"]}
    for part in path:
        place = _step(place, part, override)
    if isinstance(place, list):
        place[_position(place, last, override)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise UsageError(f"--set {override}: {'.'.join(path)} holds {place!r}, which has no keys")


def _step(place: Any, part: str, override: str) -> Any:
    if isinstance(place, list):
        return place[_position(place, part, override)]
    if isinstance(place, dict):
        return place.setdefault(part, {})
    raise UsageError(f"--set {override}: {part!r} is inside {place!r}, which has no keys")


def _position(place: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        raise UsageError(f"--set {override}: {part!r} is no position in a list of {len(place)}")
    return int(part)


def recipe_schema() -> dict[str, Any]:
    """Return the JSON schema of recipes, for editors; it knows the keys of every registered kind."""
    schema = Recipe.model_json_schema(mode="validation")
    definitions = schema.setdefault("$defs", {})
    for group, key in (("sources", "source"), ("generators", "generator")):
        options = []
        for name in names(group):
            part = load(group, name).model_json_schema(ref_template="#/$defs/{model}")
            definitions.update(part.pop("$defs", {}))
            part["properties"] = {"kind": {"const": name}, **part.get("properties", {})}
            part["required"] = ["kind", *part.get("required", [])]
            options.append(part)
        schema["properties"][key] = {"oneOf": options}
    schema["properties"]["foreground"] = {"anyOf": [{"type": "string"}, {"type": "object"}]}
    return schema
