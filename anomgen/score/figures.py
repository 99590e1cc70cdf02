"""Figures and pictures of what the entries draw: once for each data set and entry, and kept beside the rows."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from anomgen.dataset.grid import framed
from anomgen.dataset.panel import Panel
from anomgen.dataset.pictures import encoded
from anomgen.dataset.row import Row
from anomgen.errors import AnomgenError, AnomgenWarning, Progress, silent
from anomgen.files import replacing
from anomgen.making.engine import Plan, Renderer
from anomgen.making.threads import single_threaded
from anomgen.score.anomalies import anomalies_of, load_anomalies
from anomgen.score.cell import Bench
from anomgen.score.data import RealData
from anomgen.score.entries import Entry
from anomgen.score.identity import anomalies_key
from anomgen.score.intrinsic import Figures, figures
from anomgen.score.schedule import Schedule

FIGURES = "figures.json"
FIGURE_ROWS = 64
"""Anomalous images of an entry that its figures are measured on."""
DRAWN = "drawn"
"""Folder of the pictures …"""
DRAWN_ROWS, SIDE = 6, 160
"""… their number for each entry, and their longest side."""
_STORED = TypeAdapter(dict[str, Figures])


def figures_of(
    schedule: Schedule,
    out: Path,
    wanted: Collection[str],
    progress: Progress = silent,
) -> tuple[dict[str, dict[str, Figures]], dict[str, dict[str, list[Path]]]]:
    """Return data set → entry → figures of the images of the entries `wanted`, and the same with pictures of some.

    What was measured and drawn before is read. Paths are relative to `out`. progress: told of each entry.
    """
    path, bench = out / FIGURES, schedule.bench
    stored = _stored(path)
    found: dict[str, dict[str, Figures]] = {}
    strips: dict[str, dict[str, list[Path]]] = {}
    entries = {(cell.data, cell.entry.name) for cell in schedule.cells if cell.entry.name in wanted}
    done = 0
    for key, data in bench.data.items():
        real: np.ndarray | None = None
        for entry in {cell.entry.name: cell.entry for cell in schedule.cells if cell.data == key}.values():
            if entry.kind == "none" or entry.name not in wanted:
                continue
            progress(done, len(entries), f"measuring the images of {entry.name} on {data.name}")
            done += 1
            known = anomalies_key(data, entry)
            strip = [Path(DRAWN, f"{known}-{k}.webp") for k in range(DRAWN_ROWS)]
            if known not in stored or not (out / strip[0]).is_file():
                try:
                    rows = _rows(bench, key, entry)
                    if not rows:  # not drawn, which may still come
                        continue
                    _draw(rows, [out / place for place in strip])
                    if known not in stored:
                        real = _real_features(data) if real is None else real
                        stored[known] = figures(rows, real)
                except AnomgenError as error:  # its rows say so, too
                    warnings.warn(f"no figures of {entry.name} on {key}: {error}", AnomgenWarning, stacklevel=4)
                    continue
                with replacing(path) as file:
                    file.write(json.dumps(stored, indent=1).encode())
            found.setdefault(data.name, {})[entry.name] = stored[known]
            strips.setdefault(data.name, {})[entry.name] = [place for place in strip if (out / place).is_file()]
    return found, strips


def _draw(rows: Sequence[Row], places: Sequence[Path]) -> None:
    """Write pictures of rows, each with its anomaly outlined."""
    for row, place in zip(rows, places, strict=False):
        panel = Panel.of_row(row)
        picture = panel.picture("image")
        assert picture is not None
        shown = framed(picture, panel.mask, SIDE / max(picture.shape[:2]))
        with replacing(place) as file:
            file.write(encoded(shown, ".webp"))


def _stored(path: Path) -> dict[str, Figures]:
    try:
        return _STORED.validate_json(path.read_bytes(), strict=True) if path.is_file() else {}
    except ValidationError:
        return {}  # a cache: measured anew


def _real_features(data: RealData) -> np.ndarray:
    from anomgen.score.backbone import pooled_features

    return pooled_features(list(data.test.images[data.test.labels]))


def _rows(bench: Bench, key: str, entry: Entry) -> list[Row]:
    """Return the anomalous rows that an entry is measured on; none while they are not drawn."""
    data, drawn = bench.data[key], bench.drawn.get((key, entry.name))
    if drawn is not None:
        return load_anomalies(drawn).training[:FIGURE_ROWS] if drawn.is_file() else []
    if entry.definition is None:
        return anomalies_of(data, entry).training[:FIGURE_ROWS]
    plan = bench.plans.get((key, entry.name))
    if plan is None:
        plan = Plan.of(entry.definition.model_copy(update={"seed": 0, "test_share": 0.0}), data.train)
    recipe = plan.recipe.model_copy(update={"anomaly_ratio": 1.0})
    with single_threaded():
        return list(Renderer(replace(plan, recipe=recipe)).rows(range(FIGURE_ROWS)))
