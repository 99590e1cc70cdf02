"""Which real anomalies detectors trained on a recipe do not find: listed, and kept as banks to look at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from anomgen.banks.folder import Defect, is_bank, write_bank
from anomgen.banks.make import clear, finished
from anomgen.files import replacing
from anomgen.score.cell import Cell
from anomgen.score.data import RealData
from anomgen.score.entries import BASELINES
from anomgen.score.result import Done, JsonRecord, Result
from anomgen.score.rows import MISSES
from anomgen.score.schedule import Schedule

LIST = "misses.json"
FOUND = 0.5
"""Share of the trainings that must find an image."""


class Missed(JsonRecord):
    """The anomalies that most detectors and seeds of a recipe do not find on a data set."""

    data: str
    entry: str
    of: int
    """Real anomalies."""
    images: list[str]
    """Those that are missed, the least found first."""
    defect_types: list[str]
    found: list[float]
    """Share of the trainings that find each."""
    bank: str | None
    """Folder of their pictures and masks, relative to the run; None where none is missed or there are no masks."""


def write_misses(schedule: Schedule, rows: Sequence[Result], out: Path) -> list[Missed]:
    """List the misses of each data set and recipe in ``misses.json``, and keep them in banks in ``misses``.

    Missed: its score is below the threshold that flags 5 % of the normal validation images.
    """
    done = {row.key: row for row in rows if isinstance(row, Done)}
    for record in sorted((out / MISSES).glob("*/*/bank.json")):
        if is_bank(record.parent):
            clear(record.parent)
            with suppress(OSError):  # somebody keeps something of his own there
                record.parent.rmdir()
    found = []
    for (data, entry), cells in _cells(schedule.cells).items():
        own = [done[cell.key] for cell in cells if cell.key in done]
        if own:
            found.append(_missed(schedule.bench.data[data], entry, own, out))
    with replacing(out / LIST) as file:
        text = json.dumps([missed.plain() for missed in found], indent=1, ensure_ascii=False)
        file.write(text.encode() + b"\n")
    return found


def _cells(cells: Sequence[Cell]) -> dict[tuple[str, str], list[Cell]]:
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.entry.name not in BASELINES and cell.entry.kind in ("recipe", "dataset"):
            found.setdefault((cell.data, cell.entry.name), []).append(cell)
    return found


def _missed(data: RealData, entry: str, rows: Sequence[Done], out: Path) -> Missed:
    limits = [row.thresholds.max_fpr_5.threshold for row in rows]
    hits = [np.array(row.scores) >= limit for row, limit in zip(rows, limits, strict=True) if limit is not None]
    share = np.mean(hits, axis=0) if hits else np.ones(len(data.test))
    places = [int(k) for k in np.argsort(share, kind="stable") if data.test.labels[k] and share[k] < FOUND]
    bank = None
    if data.test.masks is not None and any(data.test.masks[k].any() for k in places):
        bank = f"{MISSES}/{_safe(data.name)}/{_safe(entry)}"
        _write_bank(out / bank, data, places)
    return Missed(
        data=data.name,
        entry=entry,
        of=int(data.test.labels.sum()),
        images=[data.test.ids[k] for k in places],
        defect_types=[data.test.defect_types[k] for k in places],
        found=[round(float(share[k]), 3) for k in places],
        bank=bank,
    )


def _write_bank(folder: Path, data: RealData, places: Sequence[int]) -> None:
    license = getattr(data.train, "license", None)
    about = {"name": f"{data.name}-{folder.name}", "license": license, "masks": "drawn"}
    kept = list(_defects(data, places))
    finished(write_bank(folder, kept, about, sorted({own.defect_type for own in kept}), ()))


def _defects(data: RealData, places: Sequence[int]) -> Iterator[Defect]:
    test = data.test
    assert test.masks is not None
    for k in places:
        if test.masks[k].any():
            yield Defect(test.ids[k], test.defect_types[k], test.images[k], test.masks[k], test.files[k])


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+-]", "_", name)
