"""How data sets and entries are called in a report that people read: without underscores, sweeps in words."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from anomgen.score.configuration import Missing
from anomgen.score.entries import ABNORMAL, COUNT, RATIO
from anomgen.score.result import Done, Result

Value = TypeVar("Value")


class Names:
    """The readable names of the data sets and entries of some rows; where two would be the same, both stay."""

    def __init__(self, rows: Iterable[Result]):
        rows = list(rows)
        self._data = _apart({row.data: spaced(row.data) for row in rows})
        self._entries = _apart({row.entry: entry_name(row.recipe, row.variation) for row in rows})

    def data(self, name: str) -> str:
        """Return what a data set is called."""
        return self._data.get(name, name)

    def entry(self, name: str) -> str:
        """Return what an entry is called."""
        return self._entries.get(name, name)

    def rows(self, rows: Iterable[Result]) -> list[Result]:
        """Return the rows with readable names, of types of defects, too."""
        return [row.model_copy(update=self._update(row)) for row in rows]

    def missing(self, missing: Missing | None) -> Missing | None:
        """Return what has no row yet, with readable names."""
        if missing is None:
            return None
        groups = [
            (self.data(data), detector, seed, [self.entry(entry) for entry in entries])
            for data, detector, seed, entries in missing.groups
        ]
        return missing.model_copy(update={"groups": groups})

    def by_entry(self, tree: Mapping[str, Mapping[str, Value]] | None) -> dict[str, dict[str, Value]]:
        """Return what is known by data set and entry, under the readable names."""
        return {
            self.data(data): {self.entry(entry): value for entry, value in found.items()}
            for data, found in (tree or {}).items()
        }

    def _update(self, row: Result) -> dict[str, Any]:
        update = {"data": self.data(row.data), "entry": self.entry(row.entry)}
        if not isinstance(row, Done):
            return update
        types = _apart({name: spaced(name) for name in row.by_type})
        shown = [
            one.model_copy(update={"defect_type": types.get(one.defect_type, one.defect_type)})
            for one in row.examples.shown
        ]
        by_type = {types[name]: part for name, part in row.by_type.items()}
        return {**update, "by_type": by_type, "examples": row.examples.model_copy(update={"shown": shown})}


def spaced(name: str) -> str:
    """Return a name with spaces for underscores; nothing is claimed of it that it does not say itself."""
    return " ".join(name.replace("_", " ").split()) or name


def number_of(*names: str) -> int:
    """Return a number for names, the same for a name and its readable form."""
    return zlib.crc32("\n".join(map(spaced, names)).encode(errors="backslashreplace"))


def entry_name(recipe: str, variation: Mapping[str, Any]) -> str:
    """Return what an entry is called: the recipe, and in brackets what is varied, in words."""
    varied = ", ".join(phrase(key, value) for key, value in variation.items())
    return spaced(recipe) + (f" ({varied})" if varied else "")


def phrase(key: str, value: Any) -> str:
    """Return a key of a sweep with its value, in words."""
    counted: dict[str, Callable[[Any], str]] = {
        RATIO: lambda share: f"{100 * share:.3g} % anomalous",
        COUNT: lambda number: f"{number} normal images",
        ABNORMAL: lambda number: f"{number} real anomalies",
    }
    return counted[key](value) if key in counted else f"{key_name(key)} {value_name(value)}"


def key_name(key: str) -> str:
    """Return a recipe's key in words: ``opacity`` of ``generator.opacity_range``."""
    words = {RATIO: "share of anomalous images", COUNT: "normal images", ABNORMAL: "real anomalies"}
    return words.get(key) or spaced(key.removeprefix("generator.").removesuffix("_range").replace(".", " "))


def value_name(value: Any) -> str:
    """Return a value as one says it: a pair of numbers as a range, words without quotes."""
    if isinstance(value, str):
        return spaced(value)
    if isinstance(value, bool) or value is None:
        return {True: "on", False: "off", None: "usual"}[value]
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, Sequence) and len(value) == 2 and all(isinstance(end, int | float) for end in value):
        return " to ".join(map(value_name, value))
    if isinstance(value, Sequence) and all(isinstance(part, str) for part in value):
        return " and ".join(map(spaced, value))
    return json.dumps(value)


def _apart(names: Mapping[str, str]) -> dict[str, str]:
    """Return name → readable name; where several would be called alike, they keep their own."""
    used = Counter(names.values())
    return {name: told if used[told] == 1 else name for name, told in names.items()}
