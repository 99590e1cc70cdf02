"""Names of plug-ins: tables of the bundled ones, then entry points; a class is imported when it is first used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from anomgen.errors import RecipeError, UsageError, near_miss

if TYPE_CHECKING:
    from anomgen.exporters.base import Exporter
    from anomgen.generators.base import Config, Generator
    from anomgen.score.detectors.base import Detector
    from anomgen.sources.base import SourceConfig

BUNDLED: dict[str, dict[str, str]] = {
    "detectors": {
        "autoencoder": "anomgen.score.detectors.autoencoder:Autoencoder",
        "cutpaste": "anomgen.score.detectors.cutpaste:CutPasteGDE",
        "cyclegan": "anomgen.score.detectors.cyclegan:CycleGANDetector",
        "draem": "anomgen.score.detectors.draem:DRAEM",
        "none": "anomgen.score.detectors.none:Memory",
        "nsa": "anomgen.score.detectors.nsa:NSAEncoderDecoder",
        "probe": "anomgen.score.detectors.probe:Probe",
        "realnet": "anomgen.score.detectors.realnet:RealNet",
        "unet": "anomgen.score.detectors.unet:UNet",
    },
    "exporters": {
        "ader": "anomgen.exporters.ader:ADer",
        "coco": "anomgen.exporters.coco:COCO",
        "folder": "anomgen.exporters.folder:Folder",
        "labelstudio": "anomgen.exporters.labelstudio:LabelStudio",
        "mvtec": "anomgen.exporters.mvtec:MVTec",
        "visa": "anomgen.exporters.visa:VisA",
        "yolo": "anomgen.exporters.yolo:YOLO",
    },
    "generators": {
        "boxes": "anomgen.generators.boxes:Boxes",
        "cutpaste": "anomgen.generators.cutpaste:CutPaste",
        "cyclegan": "anomgen.generators.cyclegan:CycleGAN",
        "fpi": "anomgen.generators.fpi:FPI",
        "mix": "anomgen.generators.mix:Mix",
        "nsa": "anomgen.generators.nsa:NSA",
        "perlin": "anomgen.generators.perlin:Perlin",
        "pii": "anomgen.generators.pii:PII",
        "sdas": "anomgen.generators.sdas:SDAS",
    },
    "sources": {
        "btad": "anomgen.sources.layouts:BTAD",
        "builtin": "anomgen.sources.builtin:Builtin",
        "folder": "anomgen.sources.folder:Folder",
        "hub": "anomgen.sources.hub:Hub",
        "mpdd": "anomgen.sources.layouts:MPDD",
        "mvtec": "anomgen.sources.layouts:MVTecAD",
        "visa": "anomgen.sources.layouts:VisA",
    },
}
"""Group → name → "module:Class". A third party adds to a group by an entry point in ``anomgen.<group>``."""


@cache
def _plugins(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"anomgen.{group}")}


def names(group: str) -> list[str]:
    """Return all names of a group, sorted."""
    return sorted({*BUNDLED[group], *_plugins(group)})


def load(group: str, name: str) -> Any:
    """Return the class registered under `name`. Raises UsageError for an unknown name or a broken plug-in."""
    if name in BUNDLED[group]:
        module, _, attribute = BUNDLED[group][name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    point = _plugins(group).get(name)
    if point is None:
        known = names(group)
        raise UsageError(f"unknown {group[:-1]} {name!r}{near_miss(name, known)} (known: {', '.join(known)})")
    try:
        return point.load()
    except Exception as error:
        raise UsageError(f"the plug-in {group[:-1]} {name!r} ({point.value}) fails to load: {error}") from error


def version_of(group: str, name: str) -> str | None:
    """Return the distribution and its version that a plug-in comes from; None for what anomgen bundles."""
    point = None if name in BUNDLED[group] else _plugins(group).get(name)
    return None if point is None or point.dist is None else f"{point.dist.name} {point.dist.version}"


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


def _build(group: str, values: Mapping[str, Any]) -> Any:
    if not isinstance(values, Mapping):
        raise RecipeError(f"must be a mapping with a `kind` (it is {values!r})")
    if not isinstance(values.get("kind"), str):
        raise RecipeError([("kind", f"is missing: one of {', '.join(names(group))}")])
    try:
        model = load(group, values["kind"])
    except UsageError as error:
        raise RecipeError([("kind", str(error))]) from None
    return validated(model, {key: value for key, value in values.items() if key != "kind"})


def build_generator(values: Mapping[str, Any]) -> Generator:
    """Return the generator that ``{"kind": name, …}`` describes; the inverse of ``Generator.config``."""
    return _build("generators", values)


def build_detector(values: Mapping[str, Any]) -> Detector:
    """Return the detector that ``{"kind": name, …}`` describes; the inverse of ``Detector.config``."""
    detector: Detector = _build("detectors", values)
    return detector


def build_source(values: Mapping[str, Any]) -> SourceConfig:
    """Return the source configuration that ``{"kind": name, …}`` describes; the inverse of its ``config``."""
    return _build("sources", values)


def build_exporter(kind: str, settings: Mapping[str, Any] | None = None) -> Exporter:
    """Return the exporter of a format. Raises UsageError for an unknown one, RecipeError for a wrong setting."""
    exporter: Exporter = validated(load("exporters", kind), settings or {})
    return exporter
