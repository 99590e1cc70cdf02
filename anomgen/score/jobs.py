"""Who trains the cells: worker processes of one thread each, one job at a time, their rows appended as they come."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path

from anomgen.errors import Progress, Unwritable, silent
from anomgen.making.runners.workers import Workers, died
from anomgen.score.anomalies import draw_anomalies
from anomgen.score.cell import Bench, checkpoint_of, failed, reason, run
from anomgen.score.request import time_text
from anomgen.score.result import Failed, Result
from anomgen.score.rows import RowFile
from anomgen.score.schedule import Job, Schedule

DIED = "the process died while it ran; it was killed, or the memory ran out"
TRUST = 10.0
"""Seconds of training by which the estimate is believed before what was measured counts as much."""
OVERTIME = 0.1
"""Share of the time that a training has run for which it is expected to run on, at the least."""
DONE = "next is the report"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def run_jobs(
    schedule: Schedule, rows: RowFile, workers: int, progress: Progress = silent, deadline: float = math.inf
) -> list[Job]:
    """Train what is to do, `workers` jobs at once, and append their rows as they come; return what was not begun.

    deadline: `time.monotonic()` at which every job should have ended; none is begun that would not. A worker that dies
    (out of memory) gives failed rows. progress: is also told now and then while no training ends; its notes say how
    long it will take by what the trainings so far took. Raises Unwritable when the disk is full or fails.
    """
    if not schedule.todo:
        return []
    count = min(workers, max(len(schedule.todo), len(schedule.undrawn())))
    with Workers(count, _start, (), content=schedule.bench, environment=ONE_THREAD) as processes:
        todo = _after_drawing(schedule, rows, processes, progress)
        total, finished, pace = sum(len(job.cells) for job in todo), 0, _Pace(todo, count)

        def ended(job: Job, future: Future[Sequence[Result]]) -> None:
            nonlocal finished
            pace.ended(job)
            found = failed(schedule.bench, job.cells, DIED) if died(future) else future.result()
            rows.append(found)
            if not died(future):  # what died goes on with its checkpoint when it is tried again
                checkpoint_of(schedule.bench.out, job.cells[0]).remove()
            finished += len(found)
            progress(finished, total, f"{pace.left() if finished < total else DONE}; {_note(found[0])}")

        def beat() -> None:
            progress(finished, total, pace.left())

        def may_begin(job: Job) -> bool:
            if time.monotonic() + job.seconds * pace.slowness() > deadline:
                return False
            pace.begun(job)
            return True

        beat()
        return processes.do(todo, _work, ended, may_begin=may_begin, beat=beat)


class _Pace:
    """How much longer than estimated the jobs take, on this machine and with what else runs on it."""

    def __init__(self, todo: Sequence[Job], workers: int):
        self._waiting = sum(job.seconds for job in todo)
        self._workers = workers
        self._running: dict[tuple[str, ...], tuple[float, float]] = {}
        self._took = self._estimated = 0.0

    def begun(self, job: Job) -> None:
        self._waiting -= job.seconds
        self._running[_key(job)] = (time.monotonic(), job.seconds)

    def ended(self, job: Job) -> None:
        started, seconds = self._running.pop(_key(job))
        self._took += time.monotonic() - started
        self._estimated += seconds

    def slowness(self) -> float:
        """Return seconds taken by seconds estimated: of what has ended, and of what takes longer than that already."""
        now = time.monotonic()
        late = [(now - started, seconds) for started, seconds in self._running.values() if now - started > seconds]
        took = self._took + sum(ran for ran, _ in late)
        return (took + TRUST) / (self._estimated + sum(seconds for _, seconds in late) + TRUST)

    def left(self) -> str:
        """Return, in words, how long the rest will take: never nothing."""
        slowness, now = self.slowness(), time.monotonic()
        ran = ((now - started, seconds) for started, seconds in self._running.values())
        running = sum(max(seconds * slowness - taken, OVERTIME * taken) for taken, seconds in ran)
        return f"about {time_text(max((self._waiting * slowness + running) / self._workers, 1.0))} left"


def _key(job: Job) -> tuple[str, ...]:
    return tuple(cell.key for cell in job.cells)


def _after_drawing(schedule: Schedule, rows: RowFile, processes: Workers, progress: Progress) -> list[Job]:
    """Draw what is to be drawn before; return the jobs to do. Where that fails, the cells get rows that say so."""
    missing, count = schedule.undrawn(), schedule.request.anomalies
    failing: dict[Path, str] = {}

    def tell(text: str) -> None:
        progress(0, len(schedule.todo), text)

    def ended(key: tuple[str, str], future: Future[str | None]) -> None:
        why = DIED if died(future) else future.result()
        if why is not None:
            failing[schedule.bench.drawn[key]] = why
        tell(f"{'drew' if why is None else 'could not draw'} {count} anomalies of {key[1]} on {key[0]}")

    if missing:
        tell(f"drawing {count} anomalies of {', '.join(dict.fromkeys(name for _, name in missing))}")
    processes.do(missing, partial(_draw, count), ended, beat=lambda: tell(""))
    kept = []
    for job in schedule.todo:
        why = [failing.get(schedule.bench.drawn.get((cell.data, cell.entry.name), Path())) for cell in job.cells]
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
    """Draw the anomalies of an entry; return why it failed. Raises Unwritable where they have no room."""
    assert _bench is not None
    try:
        draw_anomalies(_bench.plans[key], _bench.data[key[0]].validation, _bench.drawn[key], count)
    except Unwritable:
        raise
    except (Exception, SystemExit) as error:
        return reason(error)
    return None


def _note(row: Result) -> str:
    """Return what is told of a row."""
    figure = row.metrics.get("pixel_ap")
    name, value = ("pixel AP", figure) if figure is not None else ("image AP", row.metrics.get("image_ap"))
    told = "failed" if isinstance(row, Failed) else "" if value is None else f"{name} {value:.3f}"
    return f"{row.data} {row.entry} {row.detector} seed {row.seed} {told}".rstrip()
