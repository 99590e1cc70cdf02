"""What a run is made by, as run.json and the report tell it: no path of the machine."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from anomgen.config import first_fault, portable_path
from anomgen.config.text import NAME_WORDS
from anomgen.errors import UsageError
from anomgen.files import MAX_RECORD, replacing
from anomgen.places import read_within
from anomgen.score.detectors.base import Detector
from anomgen.score.entries import BASELINES
from anomgen.score.identity import PROTOCOL
from anomgen.score.request import Request
from anomgen.score.result import JsonRecord
from anomgen.score.rows import RUN_FILE


class Configuration(JsonRecord):
    """What was asked for, and how the cells are trained."""

    command: str
    """The command line that makes the run again."""
    data: list[str]
    recipes: list[str]
    baselines: list[str]
    detectors: dict[str, dict[str, Any]]
    """Name → its whole configuration."""
    seeds: int
    size: list[int]
    """Height and width of the images."""
    preset: str
    ratios: list[float]
    counts: list[int]
    sweeps: dict[str, list[Any]]
    changes: list[str] = Field(alias="set")
    anomalies: int
    limits: tuple[str, ...] = ()
    score: str = "window"
    perturb: tuple[str, ...] = ()
    workers: int
    protocol: int
    versions: dict[str, str | None]

    @classmethod
    def of(
        cls,
        request: Request,
        detectors: Mapping[str, Detector],
        size: Sequence[int],
        workers: int,
        versions: Mapping[str, str | None],
    ) -> Configuration:
        """Return the configuration of a request whose data is opened. size: height and width of its images."""
        return cls(
            command=command_of(request),
            data=[portable_path(path) for path in request.data],
            recipes=[portable_path(name) for name in request.recipes],
            baselines=list(BASELINES),
            detectors={name: detector.recorded() for name, detector in detectors.items()},
            seeds=request.seeds,
            size=list(size),
            preset=request.preset,
            ratios=list(request.ratios),
            counts=list(request.counts),
            sweeps={key: list(values) for key, values in request.sweeps.items()},
            changes=[portable_change(change) for change in request.changes],
            anomalies=request.anomalies,
            limits=request.limits,
            score=request.score,
            perturb=request.perturb,
            workers=workers,
            protocol=PROTOCOL,
            versions=dict(versions),
        )

    @classmethod
    def read(cls, folder: Path) -> Configuration:
        """Return the configuration of a run's folder. Raises UsageError where there is none."""
        path = folder / RUN_FILE
        try:
            return cls.model_validate_json(read_within(path, MAX_RECORD))
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror or error}); give the folder of a run") from None
        except ValidationError as error:
            raise UsageError(f"{path}: is damaged, {first_fault(error)}; run the same command again") from None

    def write(self, folder: Path) -> None:
        """Write it into the folder of the run."""
        with replacing(folder / RUN_FILE) as file:
            file.write(json.dumps(self.plain(), indent=2, ensure_ascii=False).encode() + b"\n")


class Missing(JsonRecord):
    """What of a request has no row yet: left out by the budget, another part's, or not begun."""

    cells: int
    of: int
    groups: list[tuple[str, str, int, list[str]]] = Field(alias="list")
    """Data, detector, seed, entries."""


def command_of(request: Request) -> str:
    """Return the command line that makes the run again, without paths of the machine."""
    words = ["anomgen", "score", *(portable_path(path) for path in request.data)]
    words += ["--recipes", ",".join(portable_path(name) for name in request.recipes)]
    words += ["--detectors", ",".join(request.detectors), "--seeds", str(request.seeds)]
    words += training_words(request)
    axes: tuple[tuple[str, Sequence[float]], ...] = (("--ratios", request.ratios), ("--counts", request.counts))
    for option, numbers in axes:
        words += [option, ",".join(map(str, numbers))] if numbers else []
    for key, values in request.sweeps.items():
        words += ["--sweep", f"{key}={json.dumps(list(values))}"]
    words += recipe_words(request)
    words += [word for limit in request.limits for word in ("--limit", limit)]
    words += [] if request.score == "window" else ["--score", request.score]
    words += [word for change in request.perturb for word in ("--perturb", change)]
    words += ["--abnormal", ",".join(map(str, request.abnormal))] if request.abnormal else []
    words += [] if request.real_share == Request.real_share else ["--real-share", f"{request.real_share:g}"]
    words += ["--keep"] if request.keep else []
    return shlex.join(words)


def training_words(request: Request) -> list[str]:
    """Return the options that say how a detector is trained."""
    words = []
    if request.size is not None:
        words += ["--size", str(request.size) if isinstance(request.size, int) else "x".join(map(str, request.size))]
    words += [] if request.preset == "default" else ["--preset", request.preset]
    return words + ([] if request.steps is None else ["--steps", str(request.steps)])


def recipe_words(request: Request) -> list[str]:
    """Return the options that change what is drawn, without paths of the machine."""
    words = [word for change in request.changes for word in ("--set", portable_change(change))]
    return words + ([] if request.anomalies == Request.anomalies else ["--anomalies", str(request.anomalies)])


def portable_change(change: str) -> str:
    """Return a --set text in which absolute paths are cut down to their last part."""
    return re.sub(
        r"(?<![\w.~}-])(~?/(?:\{(?:category|data)\}|[^\s,'\"\]}])+)", lambda found: _portable_path(found[1]), change
    )


def _portable_path(path: str) -> str:
    """Return a path's last component; where one of `NAME_WORDS` stands above it, all from there on."""
    found = [at for word in NAME_WORDS if (at := path.find(word)) >= 0]
    return path[path.rfind("/", 0, min(found)) + 1 :] if found else portable_path(path)
