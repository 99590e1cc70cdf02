"""`score`: the whole run, from the request over the rows to the report."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from anomgen.errors import AnomgenError
from anomgen.files import replacing
from anomgen.making.engine import Plan as RecipePlan
from anomgen.making.engine import Renderer, single_threaded
from anomgen.score.bank import bank_of, load_bank
from anomgen.score.cell import VERSIONED
from anomgen.score.data import RealData
from anomgen.score.entries import Entry
from anomgen.score.plan import (
    Plan,
    Request,
    identity_hash,
    opened,
    planned,
    refreshed,
    require_run_folder,
    within,
    write_configuration,
)
from anomgen.score.report.summary import Run
from anomgen.score.rows import SET_ASIDE, Result, RowFile
from anomgen.score.workers import run_jobs
from anomgen.versions import installed

FIGURES = "figures.json"
FIGURE_ROWS = 64
"""Anomalous images of a recipe that its figures are measured on."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Outcome:
    """What a run ended with. summary: plain JSON; lines: the board for a terminal."""

    plan: Plan
    summary: dict[str, Any]
    lines: list[str]


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Return how many trainings run at once: one a processor core, or one where a GPU does the work."""
    from anomgen.models.device import has_accelerator

    return 1 if has_accelerator() else cores()


def plan_only(
    request: Request,
    out: Path,
    *,
    part: tuple[int, int] = (1, 1),
    retry: bool = False,
    budget: float | None = None,
    workers: int | None = None,
) -> Plan:
    """Return what `score` would train; reads the rows that are there, writes nothing."""
    require_run_folder(out)
    plan = planned(request, out, RowFile(out), part=part, retry=retry)
    return plan if budget is None else within(plan, budget, workers or default_workers())


def score(
    request: Request,
    out: Path,
    *,
    workers: int | None = None,
    part: tuple[int, int] = (1, 1),
    retry: bool = False,
    budget: float | None = None,
    figures: bool = True,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> Outcome:
    """Train what is not in the rows yet, append it, and write the report of all cells of the request.

    workers: trainings at once, each with one thread; by default `default_workers`. budget: seconds, of which the
    plan takes what fits. part: (k, n), for several machines. warn: is told, in words, of rows that were set aside.
    Raises UsageError and SourceError before anything is trained.
    """
    from anomgen.score.report.write import write_report

    started, number = time.monotonic(), workers or default_workers()
    # All refusals come before the folder is made.
    before = set(RowFile(out).rows)
    plan = plan_only(request, out, part=part, retry=retry, budget=budget, workers=number)
    with opened(out) as rows:
        plan = refreshed(plan, rows, before)
        _set_aside(rows, warn)
        if warn is not None:
            for note in plan.notes:
                warn(note)
        configuration = write_configuration(plan, out, number, installed(VERSIONED))
        deadline = math.inf if budget is None else started + budget
        not_begun = run_jobs(plan, rows, number, progress, deadline)
        plan = replace(plan, left_out=[*not_begun, *plan.left_out])
        own = [rows.rows[cell.key] for cell in plan.cells if cell.key in rows.rows]
        measured = _figures(plan, out, {row["variant"] for row in own}, warn) if figures and own else None
        report = write_report(own, out, {**configuration, "missing": _missing(plan, rows)}, measured)
    files = [path.relative_to(out).as_posix() for path in report]
    return Outcome(plan, _summary(plan, own, files, time.monotonic() - started), _lines(own))


def _missing(plan: Plan, rows: RowFile) -> dict[str, Any]:
    """Return which cells have no row yet: left out by the budget, another part's, or not begun."""
    groups: dict[tuple[str, str, int], list[str]] = {}
    for cell in plan.cells:
        if cell.key not in rows.rows:
            groups.setdefault((cell.data, cell.detector, cell.seed), []).append(cell.entry.name)
    listed = [[*group, entries] for group, entries in groups.items()]
    return {"cells": sum(map(len, groups.values())), "of": len(plan.cells), "list": listed}


def _set_aside(rows: RowFile, warn: Callable[[str], None] | None) -> None:
    if warn is not None:
        for number, _, fault in rows.bad:
            warn(f"warning: {rows.path.name}, line {number} is no row ({fault}); it is moved to {SET_ASIDE}")
    rows.mend()


# --- figures of the images ------------------------------------------------------------------------------------------


def _figures(plan: Plan, out: Path, wanted: set[str], warn: Callable[[str], None] | None) -> dict[str, Any]:
    """Return data set → entry → figures of the images of those entries; what was measured before is read."""
    path = out / FIGURES
    stored = _stored(path)
    found: dict[str, Any] = {}
    for key, data in plan.bench.data.items():
        real: np.ndarray | None = None
        for entry in dict.fromkeys(cell.entry.name for cell in plan.cells if cell.data == key):
            chosen = next(cell.entry for cell in plan.cells if cell.entry.name == entry and cell.data == key)
            if chosen.kind == "none" or entry not in wanted:
                continue
            name = identity_hash(data, chosen)
            if name not in stored:
                try:
                    real = _real_features(data) if real is None else real
                    stored[name] = _measured(plan, key, data, chosen, real)
                except AnomgenError as error:  # its rows say so, too
                    if warn is not None:
                        warn(f"warning: no figures of {entry} on {key}: {error}")
                    continue
                if not stored[name]:  # no bank, which may still come
                    stored.pop(name)
                    continue
                with replacing(path) as file:
                    file.write(json.dumps(stored, indent=1).encode())
            found.setdefault(data.name, {})[entry] = stored[name]
    return found


def _stored(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        return {}  # a cache: measured anew
    return stored if isinstance(stored, dict) else {}


def _real_features(data: RealData) -> np.ndarray:
    from anomgen.score.backbone import pooled_features

    return pooled_features(list(data.test.images[data.test.labels]))


def _measured(plan: Plan, key: str, data: RealData, entry: Entry, real: np.ndarray) -> dict[str, float | None]:
    from anomgen.score.intrinsic import figures

    bank = plan.bench.banks.get((key, entry.name))
    if entry.kind == "recipe" and bank is None:
        assert entry.definition is not None
        chosen = plan.bench.plans.get((key, entry.name)) or RecipePlan.of(
            entry.definition.model_copy(update={"seed": 0}), data.train
        )
        recipe = chosen.recipe.model_copy(update={"anomaly_ratio": 1.0})
        with single_threaded():
            rows = list(Renderer(replace(chosen, recipe=recipe)).rows(range(FIGURE_ROWS)))
    elif bank is not None:
        rows = load_bank(bank).training[:FIGURE_ROWS] if bank.is_file() else []
    else:
        rows = bank_of(data, entry).training[:FIGURE_ROWS]
    return figures(rows, real) if rows else {}


# --- what is told ---------------------------------------------------------------------------------------------------


def _summary(plan: Plan, rows: Iterable[Result], files: list[str], seconds: float) -> dict[str, Any]:
    own = list(rows)
    return {
        "cells": len(plan.cells),
        "done": sum(row["status"] == "done" for row in own),
        "failed": sum(row["status"] == "failed" for row in own),
        "missing": len(plan.cells) - len(own),
        "left_out": sum(len(job.cells) for job in plan.left_out),
        "seconds": round(seconds, 1),
        "board": Run(own).lines if own else [],
        "files": files,
    }


def _lines(rows: Sequence[Result]) -> list[str]:
    """Return the board as text, best first."""
    found = Run(rows).lines if rows else []
    width = max((len(line["variant"]) for line in found), default=0)
    texts = []
    for line in found:
        rank = "" if line.get("rank") is None else str(line["rank"])
        mean, low, high = (line.get(name) for name in ("mean", "low", "high"))
        figure = "failed" if mean is None else f"{mean:.3f}"
        spread = "" if low is None or high is None else f"  [{low:.3f}, {high:.3f}]"
        texts.append(f"{rank:>3}  {line['variant']:<{width}}  {figure}{spread}")
    table = Run(rows).board["overall"] if rows else {}
    if table and table["columns"] < table["of"]:
        texts.append(
            f"The means are over {table['columns']} of {table['of']} pairs of data set and detector, those that every "
            "line has; the report has each data set alone"
        )
    return texts
