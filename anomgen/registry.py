"""Names of plug-ins: tables of the bundled ones, then entry points; a class is imported when it is first used.

And packages that are called like a function: `anomgen.score` is both.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from anomgen.config import Config, validated
from anomgen.errors import RecipeError, UsageError, near_miss

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
        "supersimplenet": "anomgen.score.detectors.supersimplenet:SuperSimpleNet",
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
        "defects": "anomgen.generators.defects.generator:Defects",
        "fpi": "anomgen.generators.fpi:FPI",
        "mix": "anomgen.generators.mix:Mix",
        "nsa": "anomgen.generators.nsa:NSA",
        "perlin": "anomgen.generators.perlin:Perlin",
        "pii": "anomgen.generators.pii:PII",
        "sdas": "anomgen.generators.sdas:SDAS",
        "transplant": "anomgen.generators.transplant.generator:Transplant",
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
    if os.environ.get("ANOMGEN_NO_PLUGINS"):  # as the tests set it, for themselves and for the processes they start
        return {}
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
    plugin = f"the plug-in {group[:-1]} {name!r} ({point.value})"
    try:
        found = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a script without a main guard exits; some raise what is no Exception
        reason = f"it exits ({error})" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
        raise UsageError(f"{plugin} fails to load: {reason}") from error
    if not (isinstance(found, type) and issubclass(found, Config)):
        raise UsageError(f"{plugin} is no class of settings; derive it from anomgen's base class of {group}")
    if (kind := getattr(found, "kind", None)) != name:
        raise UsageError(f"{plugin} says kind = {kind!r}; kind and the name of its entry point must be the same")
    return found


def version_of(group: str, name: str) -> str | None:
    """Return the distribution and its version that a plug-in comes from; None for what anomgen bundles."""
    point = None if name in BUNDLED[group] else _plugins(group).get(name)
    return None if point is None or point.dist is None else f"{point.dist.name} {point.dist.version}"


def build(group: str, values: Mapping[str, Any]) -> Any:
    """Return the plug-in of a group that ``{"kind": name, …}`` describes. Raises RecipeError, which names the key."""
    if not isinstance(values, Mapping):
        raise RecipeError(f"must be a mapping with a `kind` (it is {values!r})")
    if not isinstance(values.get("kind"), str):
        raise RecipeError([("kind", f"is missing: one of {', '.join(names(group))}")])
    try:
        model = load(group, values["kind"])
    except UsageError as error:
        raise RecipeError([("kind", str(error))]) from None
    found = validated(model, {key: value for key, value in values.items() if key != "kind"})
    if values["kind"] not in BUNDLED[group]:
        check_stored(found)
    return found


def check_stored(config: Config) -> None:
    """Raise RecipeError where settings of a plug-in are not the same after they were stored as JSON and read again."""
    plain = as_json(config)
    try:
        again = validated(type(config), plain)
    except RecipeError as error:
        told = [
            (key, f"{_unfit(config, key.partition('.')[0])}: read again, it {text}") for key, text in error.problems
        ]
        raise RecipeError(told) from None
    for key in plain:
        if getattr(again, key) != getattr(config, key):
            raise RecipeError([(key, _unfit(config, key))])


def as_json(config: Config) -> dict[str, Any]:
    """Return a plug-in's settings as plain JSON. Raises RecipeError for one that is no JSON."""
    plain: dict[str, Any] = {}
    for key in type(config).model_fields:
        try:
            values = config.model_dump(mode="json", include={key}, warnings="error")
            plain |= json.loads(json.dumps(values, allow_nan=False, ensure_ascii=False).encode())
        except (ValueError, TypeError, RecursionError):
            raise RecipeError([(key, _unfit(config, key))]) from None
    return plain


def _unfit(config: Config, key: str) -> str:
    value = repr(getattr(config, key, None))[:80]
    return f"{value} of a plug-in is no value that this setting can have in a recipe, which is JSON; tell its author"


class _Called(ModuleType):
    """A package with the call, the signature and the docstring of a function."""

    _called: Callable[[], Callable[..., Any]]

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._called()(*args, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._called())

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # a plain attribute would be there before the function is loaded
        function = self._called()
        return f"{self.__name__}{inspect.signature(function)}\n\n{inspect.getdoc(function)}"


def call_package(name: str, module: str) -> None:
    """Let a package, ``anomgen.score``, be the function of its name in a module, too, imported when it is first called.

    Importing a module of a package sets the parent's attribute to the package, whatever it was before: so the package
    itself can be called.
    """
    package = sys.modules[name]
    package.__class__ = _Called
    package.__dict__["_called"] = lambda: getattr(importlib.import_module(module), name.rpartition(".")[2])
