"""What is compared: recipes, mixtures, finished datasets and baselines, each with the values of a sweep."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from anomgen.config.text import one_line
from anomgen.errors import UsageError
from anomgen.making.engine import Recipe
from anomgen.making.recipe import load_recipe, parse_recipe, read_recipe
from anomgen.places import home

Kind = Literal["recipe", "dataset", "none", "real"]
BASELINES = ("none", "boxes")
"""Always on the board: no synthetic anomalies at all, and flat rectangles."""
RATIO, COUNT, ABNORMAL = "ratio", "count", "abnormal"
_NO_RECIPES = ("none", "real")


@dataclass(frozen=True)
class Entry:
    """A line of the board. recipe: its name without the values of the sweep, which `variation` holds."""

    name: str
    recipe: str
    kind: Kind
    definition: Recipe | None = None
    dataset: Path | None = None
    variation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def train_count(self) -> int | None:
        """Return how many normal images are for training; None for all."""
        return self.variation.get(COUNT)

    @property
    def abnormal(self) -> int | None:
        """Return how many real anomalies `real` is trained on; None for all that are set aside."""
        return self.variation.get(ABNORMAL)


def entries_of(
    names: Sequence[str],
    *,
    overrides: Iterable[str] = (),
    ratios: Sequence[float] = (),
    counts: Sequence[int] = (),
    abnormal: Sequence[int] = (),
    sweeps: Mapping[str, Sequence[Any]] | None = None,
) -> list[Entry]:
    """Return the lines of the board, baselines first.

    names: recipes (bundled or files), mixtures of them (``nsa+perlin``), folders of datasets that anomgen made, and
    ``real``. overrides: ``NAME.key=value``, a change of one recipe, which errors call ``--set recipe.NAME.key=value``,
    as it is typed. ratios: shares of anomalous images. counts: numbers of normal training images. abnormal: numbers of
    real anomalies that ``real`` is trained on. sweeps: recipe key → values; every combination is a line. Raises
    UsageError.
    """
    for key, option in {RATIO: "--ratios", COUNT: "--counts", ABNORMAL: "--abnormal"}.items():
        if key in (sweeps or {}):
            raise UsageError(f"--sweep {key}: give the values to {option}")
    wanted = list(dict.fromkeys([*BASELINES, *names]))
    changes = _changes(overrides, wanted)
    found: list[Entry] = []
    called = {"real": "real"}
    for name in wanted:
        lines = _swept(name, changes.get(name, []), ratios, counts, abnormal if name == "real" else (), sweeps or {})
        label = lines[0].recipe
        if called.setdefault(label, name) != name:
            raise UsageError(
                f"{called[label]} and {name} would both be called {label!r} on the board; change `name` in the file of "
                "a recipe, or rename the folder of a dataset"
            )
        found += lines
    return found


def _changes(overrides: Iterable[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Return recipe → its overrides. A recipe's name may hold dots, so the names are tried."""
    found: dict[str, list[str]] = {}
    for override in overrides:
        name = next((n for n in sorted(names, key=len, reverse=True) if override.startswith(f"{n}.")), None)
        if name is None:
            known = ", ".join(name for name in names if name not in _NO_RECIPES)
            raise UsageError(f"--set recipe.{override}: names no recipe that is scored here; they are {known}")
        found.setdefault(name, []).append(override[len(name) + 1 :])
    return found


def _swept(
    name: str,
    changes: list[str],
    ratios: Sequence[float],
    counts: Sequence[int],
    abnormal: Sequence[int],
    sweeps: Mapping[str, Sequence[Any]],
) -> list[Entry]:
    baseline, folder = name in BASELINES, home(name)
    is_dataset = _is_dataset(folder)
    is_recipe = not is_dataset and name not in _NO_RECIPES
    if changes and not is_recipe:
        what = "a finished dataset" if is_dataset else "no recipe"
        raise UsageError(f"--set recipe.{name}.{changes[0]}: {name} is {what}, which has nothing to change")
    axes: dict[str, Sequence[Any]] = {COUNT: counts or (None,)}
    if not baseline:
        axes[RATIO] = ratios or (None,)
        axes[ABNORMAL] = abnormal or (None,)
    if is_recipe and not baseline:
        axes.update(sweeps)
    found = []
    for values in itertools.product(*axes.values()):
        variation = {key: value for key, value in zip(axes, values, strict=True) if value is not None}
        label = name if not is_dataset else folder.resolve().name
        title = " ".join(
            [label, *(f"{key.removeprefix('generator.')}={_short(value)}" for key, value in variation.items())]
        )
        if not is_recipe:
            kind: Kind = "dataset" if is_dataset else "none" if name == "none" else "real"
            found.append(Entry(title, label, kind, None, folder if is_dataset else None, variation))
            continue
        own = [f"{key}={one_line(value)}" for key, value in variation.items() if key not in (RATIO, COUNT, ABNORMAL)]
        recipe = _recipe(name, changes, own, variation.get(RATIO))
        label = recipe.name if folder.suffix in (".yaml", ".yml") else name
        title = title.replace(name, label, 1)
        found.append(Entry(title, label, "recipe", recipe, None, variation))
    return found


def _is_dataset(folder: Path) -> bool:
    return (folder / "recipe.yaml").is_file() and (folder / "data").is_dir()


def _recipe(name: str, changes: Sequence[str], swept: Sequence[str], ratio: float | None) -> Recipe:
    if "+" not in name:
        return _changed(name, changes, swept, ratio)
    if changes or swept:
        option = f"--set recipe.{name}.{changes[0]}" if changes else f"--sweep {swept[0]}"
        raise UsageError(
            f"{option}: {name}, a mixture written with +, takes no changes; write it as a recipe with kind: mix"
        )
    parts = [_part(part, name) for part in name.split("+")]
    with_object = next((part.foreground for part in parts if part.foreground.method != "none"), parts[0].foreground)
    mixed = {
        **read_recipe("mix"),
        "name": "-".join(part.name for part in parts),
        "generator": {
            "kind": "mix",
            "parts": [{"weight": 1 / len(parts), **part.generator.config()} for part in parts],
        },
        "foreground": with_object,
    }
    if ratio is not None:
        mixed["anomaly_ratio"] = ratio
    return parse_recipe(mixed, name)


def _changed(name: str, changes: Sequence[str], swept: Sequence[str], ratio: float | None) -> Recipe:
    """Return a recipe with its changes and the values of the sweep. Errors name the options as they are typed here."""
    try:
        return load_recipe(name, overrides=[*changes, *swept], anomaly_ratio=ratio)
    except UsageError as error:
        told = str(error)
        for change in swept:
            told = told.replace(f"--set {change}", f"--sweep {change}")
        told = told.replace("--set ", f"--set recipe.{name}.")
        if told == str(error):
            raise
        raise UsageError(told) from error


def _part(name: str, mixture: str) -> Recipe:
    if name in _NO_RECIPES or _is_dataset(home(name)):
        what = "which is no recipe" if name in _NO_RECIPES else "which is a finished dataset"
        raise UsageError(
            f"{mixture}: only recipes can be mixed, but not {name}, {what}; score it on a line of its own, as in "
            f"{mixture.replace('+', ',')}"
        )
    return load_recipe(name)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
