"""Figures of the entries' images: measured once for each data set and entry, and kept beside the rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from anomgen.dataset.row import Row
from anomgen.errors import AnomgenError
from anomgen.files import replacing
from anomgen.making.engine import Plan, Renderer
from anomgen.making.threads import single_threaded
from anomgen.score.anomalies import anomalies_of, load_anomalies
from anomgen.score.cell import Bench
from anomgen.score.data import RealData
from anomgen.score.entries import Entry
from anomgen.score.identity import anomalies_key
from anomgen.score.intrinsic import Figures
from anomgen.score.schedule import Schedule

FIGURES = "figures.json"
FIGURE_ROWS = 64
"""Anomalous images of an entry that its figures are measured on."""
_STORED = TypeAdapter(dict[str, Figures])


def figures_of(
    schedule: Schedule, out: Path, wanted: Collection[str], warn: Callable[[str], None] | None
) -> dict[str, dict[str, Figures]]:
    """Return data set → entry → figures of the images of the entries `wanted`; what was measured before is read."""
    path, bench = out / FIGURES, schedule.bench
    stored = _stored(path)
    found: dict[str, dict[str, Figures]] = {}
    for key, data in bench.data.items():
        real: np.ndarray | None = None
        for entry in {cell.entry.name: cell.entry for cell in schedule.cells if cell.data == key}.values():
            if entry.kind == "none" or entry.name not in wanted:
                continue
            known = anomalies_key(data, entry)
            if known not in stored:
                try:
                    real = _real_features(data) if real is None else real
                    measured = _measured(bench, key, entry, real)
                except AnomgenError as error:  # its rows say so, too
                    if warn is not None:
                        warn(f"warning: no figures of {entry.name} on {key}: {error}")
                    continue
                if measured is None:  # not drawn, which may still come
                    continue
                stored[known] = measured
                with replacing(path) as file:
                    file.write(json.dumps(stored, indent=1).encode())
            found.setdefault(data.name, {})[entry.name] = stored[known]
    return found


def _stored(path: Path) -> dict[str, Figures]:
    try:
        return _STORED.validate_json(path.read_bytes(), strict=True) if path.is_file() else {}
    except ValidationError:
        return {}  # a cache: measured anew


def _real_features(data: RealData) -> np.ndarray:
    from anomgen.score.backbone import pooled_features

    return pooled_features(list(data.test.images[data.test.labels]))


def _measured(bench: Bench, key: str, entry: Entry, real: np.ndarray) -> Figures | None:
    """Return the figures of an entry on a data set; None while its anomalies are not drawn."""
    from anomgen.score.intrinsic import figures

    rows = _rows(bench, key, entry)
    return figures(rows, real) if rows else None


def _rows(bench: Bench, key: str, entry: Entry) -> list[Row]:
    """Return the anomalous rows that an entry is measured on."""
    data, drawn = bench.data[key], bench.drawn.get((key, entry.name))
    if drawn is not None:
        return load_anomalies(drawn).training[:FIGURE_ROWS] if drawn.is_file() else []
    if entry.definition is None:
        return anomalies_of(data, entry).training[:FIGURE_ROWS]
    plan = bench.plans.get((key, entry.name)) or Plan.of(entry.definition.model_copy(update={"seed": 0}), data.train)
    recipe = plan.recipe.model_copy(update={"anomaly_ratio": 1.0})
    with single_threaded():
        return list(Renderer(replace(plan, recipe=recipe)).rows(range(FIGURE_ROWS)))
