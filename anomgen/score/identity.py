"""What decides a cell and its anomalies, hashed: the keys of rows, of drawn anomalies and of figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anomgen.files import fingerprint_of
from anomgen.registry import version_of
from anomgen.score.data import RealData
from anomgen.score.detectors.base import Detector
from anomgen.score.entries import Entry

PROTOCOL = 1
"""Part of every cell's key: raised when the same cell would come out differently."""
_DRAWN = "bank"
"""The word under which their number is hashed; another would disown the rows that are kept."""


def cell_key(data: RealData, entry: Entry, detector: Detector, seed: int, anomalies: int, **more: Any) -> str:
    """Return the key of a cell; anomalies: how many a generator with a model draws beforehand.

    more: what else a row depends on, `score` and `perturb`, where it is not the default.
    """
    content = {
        "protocol": PROTOCOL,
        "data": data.fingerprint,
        "detector": detector.keyed(),
        "seed": seed,
        _DRAWN: anomalies if uses_network(entry) else None,
        **more,
    }
    plugin = version_of("detectors", detector.kind)
    return _hash({**content, **({} if plugin is None else {"plugin": plugin}), **_identity(entry)})


def drawn_key(data: RealData, entry: Entry, anomalies: int) -> str:
    """Return the key of an entry's anomalies drawn beforehand: the same for every share of anomalous images."""
    return _hash({"data": data.fingerprint, **_identity(entry), "anomaly_ratio": 1.0, _DRAWN: anomalies})


def anomalies_key(data: RealData, entry: Entry) -> str:
    """Return what an entry's anomalies made of a data set's images are known by."""
    return _hash({"data": data.fingerprint, **_identity(entry)})


def uses_network(entry: Entry) -> bool:
    """Return whether the entry's anomalies come from a generator that runs a network."""
    return entry.definition is not None and entry.definition.generator.uses_network


def _identity(entry: Entry) -> dict[str, Any]:
    """Return what decides an entry's anomalies, whatever the recipe is called and wherever its files lie."""
    if entry.kind == "dataset":
        from anomgen.dataset.reader import Dataset

        assert entry.dataset is not None
        provenance = Dataset(entry.dataset).provenance
        return {"dataset": provenance.get("files", provenance), **entry.variation}
    if entry.definition is None:
        return {"baseline": entry.kind, **entry.variation}
    recipe = entry.definition
    canonical = recipe.canonical()
    deciding = ("generator", "foreground", "detectability_range", "anomaly_ratio", "block_size")
    parts = {name: canonical[name] for name in deciding if name in canonical}
    resources = {**recipe.generator.resources(), **recipe.foreground.resources()}
    plugins = sorted(_plugins(parts["generator"]))
    return {
        **parts,
        "resources": resources,
        "count": entry.train_count,
        **({"plugins": plugins} if plugins else {}),  # where there is none, rows that are kept stay good
    }


def _plugins(settings: Any) -> set[str]:
    """Return the plug-ins, with their versions, among the generators in settings, at any depth."""
    if not isinstance(settings, dict | list):
        return set()
    within = settings.values() if isinstance(settings, dict) else settings
    found = set[str]().union(*map(_plugins, within))
    kind = settings.get("kind") if isinstance(settings, dict) else None
    version = version_of("generators", kind) if isinstance(kind, str) else None
    return found if version is None else {*found, version}


def _hash(content: Mapping[str, Any]) -> str:
    return fingerprint_of(content, size=8, default=str)
