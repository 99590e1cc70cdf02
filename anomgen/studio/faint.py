"""Anomalies that the material cannot carry as visible as they are asked for: what is said, and what can be set."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from anomgen.making.engine import Recipe
from anomgen.making.rejected import NoAnomaly, Patience

PATIENCE = Patience(draws=20, seconds=0.5)
"""Of who looks at rows: `make` draws on for much longer."""
QUANTILE = 0.8
"""Of the rejected draws so many are less visible than what is advised."""


class Faint:
    """Remembers, for each recipe, the rows without an anomaly and how visible the rejected draws were."""

    def __init__(self) -> None:
        self._rows: dict[str, set[int]] = defaultdict(set)
        self._drawn: dict[str, list[float]] = defaultdict(list)

    def add(self, key: str, index: int, error: NoAnomaly) -> bool:
        """Remember a row of a recipe; return whether it is without an anomaly as its draws were too faint."""
        if not error.faint or index in self._rows[key]:
            return bool(error.faint)
        self._rows[key].add(index)
        self._drawn[key] += error.faint
        return True

    def told(self, key: str, recipe: Recipe) -> dict[str, Any] | None:
        """Return what the material carries: text, and the key and the value that are advised; None where all is well.

        rows: those that none was found for.
        """
        found = _asked(recipe)
        if not self._drawn[key] or not found:
            return None
        reached = _rounded(float(np.quantile(self._drawn[key], QUANTILE)))
        name, asked = max(found, key=lambda one: one[1][0])
        if not 0 < reached < asked[0]:
            return None
        value = [reached, max(asked[1], reached) if asked[1] > asked[0] else reached]
        return {
            "key": name,
            "value": value,
            "rows": sorted(self._rows[key]),
            "text": f"On these images most defects cannot be more visible than about {reached:g}; "
            f"{asked[0]:g} is asked for.",
        }


def _asked(recipe: Recipe) -> list[tuple[str, Sequence[float]]]:
    """Return the keys that say how visible anomalies are to be, with their ranges."""
    asked = list(_severities("generator", recipe.generator.config()))
    return asked + ([("detectability_range", recipe.detectability_range)] if recipe.detectability_range else [])


def _severities(key: str, values: dict[str, Any]) -> Iterator[tuple[str, Sequence[float]]]:
    if isinstance(values.get("severity"), list | tuple):
        yield f"{key}.severity", values["severity"]
    for number, part in enumerate(values.get("parts", ())):
        yield from _severities(f"{key}.parts.{number}", part)


def _rounded(value: float) -> float:
    """Return a number rounded down to two digits."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.floor(value / unit) * unit, 6)
