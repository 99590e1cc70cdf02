"""Settings as plain data: frozen, strictly validated models, the ranges they hold, and errors that name the key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from anomgen.errors import RecipeError, UsageError, near_miss

Item = TypeVar("Item")


def validated(model: type[Config], values: Mapping[str, Any]) -> Any:
    """Return ``model(**values)``; every fault becomes a line of one RecipeError that names its key."""
    from pydantic import ValidationError

    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        faults = error.errors()
        plain = [fault for fault in faults if fault["type"] != "literal_error"]
        named = {_explain(model, fault)[0] for fault in plain}
        # Of a key that takes a word or a value, the fault of the value says more than that it is not the word.
        told = [f for f in faults if f["type"] != "literal_error" or _explain(model, f)[0] not in named]
        raise RecipeError([_explain(model, fault) for fault in told]) from None


def _explain(model: type[Config], fault: Any) -> tuple[str, str]:
    location = [part for part in fault["loc"] if not _is_union_label(part)]
    key = ".".join(str(part) for part in location)
    if fault["type"] == "extra_forbidden":
        return key, f"unknown key{near_miss(str(location[-1]), model.model_fields)}"
    if fault["type"] == "missing":
        return key, "is missing"
    text = fault["msg"].removeprefix("Value error, ")
    value = repr(fault["input"])
    return key, f"{text} (it is {value[:80]})"


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


PositiveRange = Annotated[Range, AfterValidator(_positive)]
"""A range above 0."""


def _shares(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] < 0 or pair[1] > 1:
        raise ValueError("both ends must lie between 0 and 1")
    return pair


ShareRange = Annotated[Range, AfterValidator(_shares)]
"""A range inside [0, 1]."""


class Config(BaseModel):
    """Frozen, strictly validated settings: the fields are the recipe's keys, an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)


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
