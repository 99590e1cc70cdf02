"""Who trains the cells: worker processes of one thread each, one job at a time, their rows appended as they come."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path

from anomgen.errors import Progress, silent
from anomgen.making.runners.workers import Workers, died
from anomgen.score.bank import draw_bank
from anomgen.score.cell import Bench, failed, reason, run
from anomgen.score.result import Failed, Result
from anomgen.score.rows import RowFile
from anomgen.score.schedule import Job, Schedule

DIED = "the process died while it ran; it was killed, or the memory ran out"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def run_jobs(
    schedule: Schedule, rows: RowFile, workers: int, progress: Progress = silent, deadline: float = math.inf
) -> list[Job]:
    """Train what is to do, `workers` jobs at once, and append their rows as they come; return what was not begun.

    deadline: `time.monotonic()` at which every job should have ended; none is begun that would not. A worker that dies
    (out of memory) gives failed rows. progress: is also told now and then while no training ends.
    """
    if not schedule.todo:
        return []
    count = min(workers, max(len(schedule.todo), len(schedule.missing_banks())))
    with Workers(count, _start, (schedule.bench,), environment=ONE_THREAD) as processes:
        todo = _with_banks(schedule, rows, processes, progress)
        total, finished = sum(len(job.cells) for job in todo), 0

        def ended(job: Job, future: Future[Sequence[Result]]) -> None:
            nonlocal finished
            found = failed(schedule.bench, job.cells, DIED) if died(future) else future.result()
            rows.append(found)
            finished += len(found)
            progress(finished, total, _note(found[0]))

        def beat() -> None:
            progress(finished, total)

        def may_begin(job: Job) -> bool:
            return time.monotonic() + job.seconds <= deadline

        return processes.do(todo, _work, ended, may_begin=may_begin, beat=beat)


def _with_banks(schedule: Schedule, rows: RowFile, processes: Workers, progress: Progress) -> list[Job]:
    """Draw the banks that are missing; return the jobs to do. Where drawing fails, the cells get rows that say so."""
    missing, count = schedule.missing_banks(), schedule.request.bank
    failing: dict[Path, str] = {}

    def tell(text: str) -> None:
        progress(0, len(schedule.todo), text)

    def ended(key: tuple[str, str], future: Future[str | None]) -> None:
        why = DIED if died(future) else future.result()
        if why is not None:
            failing[schedule.bench.banks[key]] = why
        tell(f"{'drew' if why is None else 'could not draw'} {count} anomalies of {key[1]} on {key[0]}")

    if missing:
        tell(f"drawing {count} anomalies of {', '.join(dict.fromkeys(name for _, name in missing))}")
    processes.do(missing, partial(_draw, count), ended, beat=lambda: tell(""))
    kept = []
    for job in schedule.todo:
        why = [failing.get(schedule.bench.banks.get((cell.data, cell.entry.name), Path())) for cell in job.cells]
        for cell, text in zip(job.cells, why, strict=True):
            if text is not None:
                rows.append(failed(schedule.bench, [cell], text))
        cells = tuple(cell for cell, text in zip(job.cells, why, strict=True) if text is None)
        if cells:
            kept.append(replace(job, cells=cells))
    return kept


_bench: Bench | None = None


def _start(bench: Bench) -> None:
    global _bench
    import torch

    torch.set_num_threads(1)
    _bench = bench


def _work(job: Job) -> Sequence[Result]:
    assert _bench is not None
    return run(_bench, job.cells)


def _draw(count: int, key: tuple[str, str]) -> str | None:
    """Draw a bank; return why it failed."""
    assert _bench is not None
    try:
        draw_bank(_bench.plans[key], _bench.data[key[0]].validation, _bench.banks[key], count)
    except (Exception, SystemExit) as error:
        return reason(error)
    return None


def _note(row: Result) -> str:
    """Return what is told of a row."""
    figure = row.metrics.get("pixel_ap")
    name, value = ("pixel AP", figure) if figure is not None else ("image AP", row.metrics.get("image_ap"))
    told = "failed" if isinstance(row, Failed) else "" if value is None else f"{name} {value:.3f}"
    return f"{row.data} {row.entry} {row.detector} seed {row.seed} {told}".rstrip()
