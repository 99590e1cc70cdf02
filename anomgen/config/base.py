"""Settings as plain data: frozen, strictly validated models, the ranges they hold, and errors that name the key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from anomgen.errors import RecipeError, UsageError, near_miss

Item = TypeVar("Item")


def validated(model: type[Config], values: Mapping[str, Any]) -> Any:
    """Return ``model(**values)``; every fault becomes a line of one RecipeError that names its key."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        faults = error.errors()
        plain = [fault for fault in faults if fault["type"] != "literal_error"]
        named = {_explain(model, fault)[0] for fault in plain}
        # Of a key that takes a word or a value, the fault of the value says more than that it is not the word.
        told = [f for f in faults if f["type"] != "literal_error" or _explain(model, f)[0] not in named]
        raise RecipeError([_explain(model, fault) for fault in told]) from None


def first_fault(error: ValidationError) -> str:
    """Return what is wrong first, ``a.b: …``, for records that a machine has written."""
    fault = error.errors()[0]
    where, told = ".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")
    return f"{where}: {told}" if where else told


def _explain(model: type[Config], fault: Any) -> tuple[str, str]:
    location = [part for part in fault["loc"] if not _is_union_label(part)]
    key = ".".join(str(part) for part in location)
    if fault["type"] == "extra_forbidden":
        return key, f"unknown key{near_miss(str(location[-1]), model.model_fields)}"
    if fault["type"] == "missing":
        return key, "is missing"
    text = fault["msg"].removeprefix("Value error, ")
    value = repr(fault["input"])
    told = f"{text} (it is {value[:80]})"
    return key, f"{told}. {_meaning(model, location[0])}" if fault["type"] in _BOUNDS and location else told


_BOUNDS = ("less_than", "less_than_equal", "greater_than", "greater_than_equal")
"""Faults of which the key's meaning, with its unit, is told, too."""


def _meaning(model: type[Config], key: Any) -> str:
    """Return the first sentence of what explains a key."""
    field = model.model_fields.get(key)
    text = " ".join((field.description or "").split()) if field is not None else ""
    return text.partition(". ")[0].rstrip(".")


def _is_union_label(part: Any) -> bool:
    """Pydantic puts the name of the tried union member into the location; users know nothing of it."""
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
        """Return `config` without what is declared as `PathText`: equal wherever the same files lie."""
        located = located_fields(type(self))
        parts = {key: (getattr(self, key, None), plain) for key, plain in self.config().items()}
        kept = {key: pair for key, pair in parts.items() if key not in located or isinstance(pair[0], Config)}
        return {key: _canonical(value, plain) for key, (value, plain) in kept.items()}

    def portable(self) -> Self:
        """Return these settings without paths of the machine, for what leaves it: see `PathText`."""
        located = located_fields(type(self))
        values = {key: getattr(self, key) for key in type(self).model_fields}
        found = {key: _portable(value, key in located) for key, value in values.items()}
        return self.model_copy(update={key: value for key, value in found.items() if value != values[key]})


@cache
def located_fields(model: type[Config]) -> frozenset[str]:
    """Return the names of the fields that are declared to say where files lie."""
    fields = model.model_fields.items()
    return frozenset(name for name, field in fields if _is_located(field.annotation, field.metadata))


def _is_located(annotation: Any, marks: Any = ()) -> bool:
    """Return whether a type, or one inside it (a union's, a list's), is marked."""
    marks = (*marks, *getattr(annotation, "__metadata__", ()))
    return any(isinstance(mark, Located) for mark in marks) or any(_is_located(part) for part in get_args(annotation))


def located_texts(config: Config, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield key, ``a.b.0.c``, and text of everything in settings, at any depth, that says where files lie."""
    paths = located_fields(type(config))
    for key in type(config).model_fields:
        yield from _texts(getattr(config, key), f"{before}{key}", key in paths)


def _texts(value: Any, key: str, located: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, Config):
        yield from located_texts(value, f"{key}.")
    elif isinstance(value, str) and located:
        yield key, value
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _texts(inner, f"{key}.{number}", located)


def _canonical(value: Any, plain: Any) -> Any:
    """Return `plain`, the JSON of a value, with each configuration in it in its canonical form."""
    if isinstance(value, Config):
        return value.canonical()
    if isinstance(value, list | tuple) and isinstance(plain, list):
        return [_canonical(*pair) for pair in zip(value, plain, strict=True)]
    if isinstance(value, Mapping) and isinstance(plain, dict):
        pairs = zip(plain, value.values(), plain.values(), strict=True)
        return {key: _canonical(inner, plain_inner) for key, inner, plain_inner in pairs}
    return plain


def _portable(value: Any, located: bool) -> Any:
    if isinstance(value, Config):
        return value.portable()
    if isinstance(value, str) and located:
        return portable_path(value)
    if type(value) in (list, tuple):
        return type(value)(_portable(inner, located) for inner in value)
    if type(value) is dict:
        return {key: _portable(inner, located) for key, inner in value.items()}
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
        if name not in cls.presets:
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
        match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"{option} {text}: write it as K/N with K from 1 to N, for instance 3/16")
        return cls(int(match[1]), int(match[2]))

    def take(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return what of the items belongs to this part, in their order."""
        return items[self.number - 1 :: self.of]
