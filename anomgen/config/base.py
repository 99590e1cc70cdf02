"""Settings as plain data: frozen, strictly validated models, the ranges they hold, and errors that name the key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from anomgen.config.wanted import wanted
from anomgen.errors import RecipeError, UsageError, near_miss
from anomgen.licenses import unfit

Item = TypeVar("Item")


def validated(model: type[Config], values: Mapping[str, Any]) -> Any:
    """Return ``model(**values)``; the faults become one RecipeError that names their keys."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        faults, count = error.errors()[:_MOST_FAULTS], error.error_count()
        plain = [fault for fault in faults if fault["type"] != "literal_error"]
        named = {_explain(model, fault, values)[0] for fault in plain}
        # Of a key that takes a word or a value, the fault of the value says more than that it is not the word.
        told = [f for f in faults if f["type"] != "literal_error" or _explain(model, f, values)[0] not in named]
        told = [f for f in told if f["type"] != "too_short" or not _holds_another(f, told)]
        raise RecipeError([_explain(model, fault, values) for fault in told], more=count - len(faults)) from None


_MOST_FAULTS = 100
"""Faults that are explained, which takes a while for each."""


def _holds_another(fault: Any, faults: Sequence[Any]) -> bool:
    """Return whether a list is too short only because what it holds has faults of its own."""
    where = fault["loc"]
    return any(len(other["loc"]) > len(where) and other["loc"][: len(where)] == where for other in faults)


def first_fault(error: ValidationError) -> str:
    """Return what is wrong first, ``a.b: …``, and the value, shortened, for records that a machine has written."""
    fault = error.errors()[0]
    where = ".".join(str(part)[:_LONGEST_KEY] for part in fault["loc"])
    told = fault["msg"].removeprefix("Value error, ")
    if where and fault["type"] != "missing":
        told = f"{told} (it is {repr(fault['input'])[:80]})"
    return f"{where}: {told}" if where else told


def _explain(model: type[Config], fault: Any, values: Any) -> tuple[str, str]:
    location = _location(fault["loc"], values)
    key = ".".join(str(part)[:_LONGEST_KEY] for part in location)
    if fault["type"] == "extra_forbidden":
        return key, f"unknown key{near_miss(str(location[-1]), model.model_fields)}"
    if fault["type"] == "invalid_key":
        named = json.dumps(fault["input"], default=str)
        key = ".".join([*(str(part) for part in location[:-1]), named[:_LONGEST_KEY]])
        return key, "is no key: keys are texts, and YAML reads this one as something else; put it in quotes"
    if fault["type"] == "missing" and not isinstance(location[-1], int):
        return key, "is missing"
    value = repr(list(fault["input"]) if isinstance(fault["input"], tuple) else fault["input"])
    told = f"{wanted(model, fault)} (it is {value[:80]})"
    if fault["type"] == "missing":  # of a pair one end
        key = ".".join(str(part) for part in location[:-1])
    return key, f"{told}. {_meaning(model, location[0])}" if fault["type"] in _BOUNDS and location else told


_BOUNDS = ("less_than", "less_than_equal", "greater_than", "greater_than_equal")
"""Faults of which the key's meaning, with its unit, is told, too."""


def _meaning(model: type[Config], key: Any) -> str:
    """Return the first sentence of what explains a key."""
    field = model.model_fields.get(key)
    text = " ".join((field.description or "").split()) if field is not None else ""
    return text.partition(". ")[0].rstrip(".")


_LONGEST_KEY = 80
"""Characters of one that an error shows."""


def _location(where: Sequence[Any], values: Any) -> list[Any]:
    """Return the keys that lead to a fault.

    Pydantic puts the name of the tried union member among them; users know nothing of it. What `values` hold under such
    a name is a key all the same, and the first is always one.
    """
    found: list[Any] = []
    for part in where:
        held = isinstance(values, Mapping) and part in values
        if held or not found or not _is_union_label(part):
            found.append(part)
            reached = held or (isinstance(values, list | tuple) and isinstance(part, int) and part < len(values))
            values = values[part] if reached else None
    return found


def _is_union_label(part: Any) -> bool:
    return (isinstance(part, str) and any(sign in part for sign in "[](),-")) or part in {"float", "int", "str", "dict"}


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the range is empty: its low end {pair[0]:g} is above its high end {pair[1]:g}")
    return pair


Range = Annotated[tuple[float, float], Field(strict=False), AfterValidator(_ordered)]
"""A pair [low, high], low ≤ high; in a recipe a list of two numbers."""


Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, 0 to 1."""


def _positive(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] <= 0:
        raise ValueError("both ends must be above 0")
    return pair


def _ends(**bounds: float) -> Any:
    """Return what tells an editor, by the JSON schema, the bounds of both ends of a range."""

    def told(schema: dict[str, Any]) -> None:
        schema["prefixItems"] = [{**end, **bounds} for end in schema["prefixItems"]]

    return Field(json_schema_extra=told)


PositiveRange = Annotated[Range, AfterValidator(_positive), _ends(exclusiveMinimum=0)]
"""A range above 0."""


def _shares(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] < 0 or pair[1] > 1:
        raise ValueError("both ends must lie between 0 and 1")
    return pair


ShareRange = Annotated[Range, AfterValidator(_shares), _ends(minimum=0, maximum=1)]
"""A range inside [0, 1]."""


def _of_one_line(license: str) -> str:
    if fault := unfit(license):
        raise ValueError(fault)
    return license


License = Annotated[str, Field(min_length=1), AfterValidator(_of_one_line)]
"""The name of a licence, as the Hub writes it."""


@dataclass(frozen=True)
class Located:
    """Marks a type, in `Annotated`, as a text that says where files lie: their contents count, the text does not."""


def _path_text(value: Any) -> Any:
    text = str(value) if isinstance(value, Path) else value
    if isinstance(text, str) and not text.isprintable():
        raise ValueError("the path holds bytes that are no text and could not be recorded; rename the folder")
    return text


PathText = Annotated[str, BeforeValidator(_path_text), Field(min_length=1), Located()]
"""Where a file, a folder or a data set of the Hub lies, as recipes write it; code may pass a `Path`.

Left out of the canonical form, and shortened in what leaves the machine.
"""


class Config(BaseModel):
    """Frozen, strictly validated settings: the fields are the recipe's keys, an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,  # the schema explains every key
    )

    def config(self) -> dict[str, Any]:
        """Return the settings as plain JSON, with the `kind` that the class is registered under."""
        kind = getattr(type(self), "kind", None)
        return {**({} if kind is None else {"kind": kind}), **self.model_dump(mode="json")}

    def canonical(self) -> dict[str, Any]:
        """Return `config` without the texts that say where files lie: equal wherever the same files lie."""
        located, result = _located(type(self)), {}
        for key, plain in self.config().items():
            value, words = getattr(self, key, None), located.get(key)
            kept = _canonical(value, plain, words)
            if words is None or isinstance(value, Config) or _says(kept):
                result[key] = kept
        return result

    def portable(self) -> Self:
        """Return these settings without paths of the machine, for what leaves it: see `PathText`."""
        return self.relocated(lambda _, text: portable_path(text))

    def relocated(self, change: Callable[[str, str], str], before: str = "") -> Self:
        """Return these settings with ``change(key, text)`` for each text, at any depth, that says where files lie.

        key: ``a.b.0.c``, with `before` put before it. A word that a field takes beside a path, by `Literal`, is none.
        """
        located = _located(type(self))
        values = {key: getattr(self, key) for key in type(self).model_fields}
        found = {key: _relocated(value, f"{before}{key}", located.get(key), change) for key, value in values.items()}
        return self.model_copy(update={key: value for key, value in found.items() if value != values[key]})


@cache
def _located(model: type[Config]) -> Mapping[str, frozenset[str]]:
    """Return the fields that are declared to say where files lie, each with the words that it takes beside a path."""
    pieces = {name: [*field.metadata, *_pieces(field.annotation)] for name, field in model.model_fields.items()}
    return {
        name: frozenset(word for piece in own if get_origin(piece) is Literal for word in get_args(piece))
        for name, own in pieces.items()
        if any(isinstance(piece, Located) for piece in own)
    }


def _pieces(annotation: Any, aliases: tuple[Any, ...] = ()) -> Iterator[Any]:
    """Yield a type, its marks, and those inside it: a union's, a list's, what ``type P = …`` stands for."""
    yield annotation
    meant = getattr(annotation, "__value__", None)
    if meant is not None and annotation not in aliases:  # one may stand for something that holds itself
        yield from _pieces(meant, (*aliases, annotation))
    if get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _pieces(part, aliases)


def _is_place(value: Any, words: frozenset[str] | None) -> bool:
    """Return whether a value of a field that takes these words, None for one without paths, says where files lie."""
    return words is not None and isinstance(value, str) and not isinstance(value, Enum) and value not in words


def located_texts(config: Config) -> list[tuple[str, str]]:
    """Return key, ``a.b.0.c``, and text of everything in settings, at any depth, that says where files lie."""
    found = []

    def note(key: str, text: str) -> str:
        found.append((key, text))
        return text

    config.relocated(note)
    return found


def _canonical(value: Any, plain: Any, words: frozenset[str] | None) -> Any:
    """Return `plain`, the JSON of a value, with each configuration in its canonical form, and None for each path."""
    if isinstance(value, Config):
        return value.canonical()
    if _is_place(value, words):
        return None
    if isinstance(value, list | tuple) and isinstance(plain, list):
        return [_canonical(*pair, words) for pair in zip(value, plain, strict=True)]
    if isinstance(value, Mapping) and isinstance(plain, dict):
        pairs = zip(plain, value.values(), plain.values(), strict=True)
        return {key: _canonical(inner, plain_inner, words) for key, inner, plain_inner in pairs}
    return plain


def _says(plain: Any) -> bool:
    """Return whether there is anything but None in plain JSON."""
    if isinstance(plain, dict | list):
        return any(map(_says, plain.values() if isinstance(plain, dict) else plain))
    return plain is not None


def _relocated(value: Any, key: str, words: frozenset[str] | None, change: Callable[[str, str], str]) -> Any:
    if isinstance(value, Config):
        return value.relocated(change, f"{key}.")
    if _is_place(value, words):
        return change(key, value)
    if type(value) in (list, tuple):
        return type(value)(_relocated(inner, f"{key}.{k}", words, change) for k, inner in enumerate(value))
    if isinstance(value, Mapping):
        return {name: _relocated(inner, f"{key}.{name}", words, change) for name, inner in value.items()}
    return value


def portable_path(path: str) -> str:
    """Return `path` if it says nothing about the machine, otherwise its last component.

    Absolute paths, paths through the home folder and paths with ``..`` say something.
    """
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    if windows.is_absolute() or windows.drive:
        return windows.name or "."
    if posix.is_absolute() or ".." in posix.parts or path.startswith("~"):
        return posix.name if posix.name not in ("", "..") else "."
    return path


class Preset(Config):
    """Settings with named presets; a class that has some declares the field ``preset: str | None = None``."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, values: Any) -> Any:
        """Fill in the preset's values; keys given beside it win."""
        name = values.get("preset") if isinstance(values, dict) and cls.presets else None
        if name is None:
            return values
        if not isinstance(name, str) or name not in cls.presets:
            known = ", ".join(cls.presets)
            raise RecipeError(
                [("preset", f"unknown preset {name!r}{near_miss(str(name), cls.presets)} (known: {known})")]
            )
        return {**cls.presets[name], **values}


class Part(NamedTuple):
    """One of the parts of a job that is spread over machines: every `of`-th item, counted from `number`, 1 to `of`."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str, option: str) -> Part:
        """Return the part that ``3/16`` means. Raises UsageError, which names the option, for anything else."""
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"{option} {text[:40]}: write it as K/N with K from 1 to N, for instance 3/16")
        return cls(int(match[1]), int(match[2]))

    def take(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return what of the items belongs to this part, in their order."""
        return items[self.number - 1 :: self.of]
