"""What `anomgen score` is asked for: plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anomgen.registry import names

NONE = "none"
"""The detector without anomalies."""
DATA = "{data}"
"""What a change of a recipe says for the name of the data set, as in ``recipe.sdas.generator.model={data}/model``."""


@dataclass(frozen=True)
class Request:
    """What `anomgen score` is asked for; plain values, recorded in run.json."""

    data: tuple[str, ...]
    recipes: tuple[str, ...]
    detectors: tuple[str, ...] = ("probe",)
    seeds: int = 3
    size: int | tuple[int, int] | None = None
    steps: int | None = None
    preset: str = "default"
    ratios: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    sweeps: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    """``recipe.NAME.key=value``, where `DATA` stands for the data set's name, and ``detector.NAME.key=value``."""
    bank: int = 256
    """Anomalies that a generator with a trained model draws beforehand."""


def chosen_detectors(text: Sequence[str]) -> tuple[str, ...]:
    """Return names of detectors, each once; ``all`` stands for every one that is installed."""
    wanted = [name for name in names("detectors") if name != NONE] if list(text) == ["all"] else list(text)
    return tuple(dict.fromkeys(wanted))
