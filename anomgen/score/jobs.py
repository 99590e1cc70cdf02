"""Who trains the cells: worker processes of one thread each, one job at a time, their rows appended as they come."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

from anomgen.score.bank import draw_bank
from anomgen.score.cell import Bench, Cell, failed, reason, run
from anomgen.score.result import Failed, Result
from anomgen.score.rows import RowFile
from anomgen.score.schedule import Job, Schedule

HEARTBEAT = 30.0
"""Seconds after which progress is told although no training has ended."""

Progress = Callable[[int, int, str], None]
"""Is told how many cells of how many have ended, and a note, empty where nothing is new."""
Task = TypeVar("Task")


def run_jobs(
    schedule: Schedule, rows: RowFile, workers: int, progress: Progress | None = None, deadline: float = math.inf
) -> list[Job]:
    """Train what is to do, `workers` jobs at once, and append their rows as they come; return what was not begun.

    deadline: `time.monotonic()` at which every job should have ended; none is begun that would not. A worker that dies
    (out of memory) gives failed rows.
    """
    if not schedule.todo:
        return []
    with _Crew(schedule.bench, min(workers, max(len(schedule.todo), len(schedule.missing_banks())))) as crew:
        todo = _with_banks(schedule, rows, crew, progress)
        total, finished = sum(len(job.cells) for job in todo), 0

        def ended(job: Job, future: Future[Sequence[Result]]) -> None:
            nonlocal finished
            found = failed(schedule.bench, job.cells, _DIED) if _died(future) else future.result()
            rows.append(found)
            finished += len(found)
            if progress is not None:
                progress(finished, total, _note(found[0]))

        def beat() -> None:
            if progress is not None:
                progress(finished, total, "")

        return crew.do(
            todo,
            lambda pool, job: pool.submit(_work, job.cells),
            ended,
            may_begin=lambda job: time.monotonic() + job.seconds <= deadline,
            beat=beat,
        )


def _with_banks(schedule: Schedule, rows: RowFile, crew: _Crew, progress: Progress | None) -> list[Job]:
    """Draw the banks that are missing; return the jobs to do. Where drawing fails, the cells get rows that say so."""
    missing = schedule.missing_banks()
    failing: dict[Path, str] = {}

    def tell(text: str) -> None:
        if progress is not None:
            progress(0, len(schedule.todo), text)

    def ended(key: tuple[str, str], future: Future[str | None]) -> None:
        why = _DIED if _died(future) else future.result()
        if why is not None:
            failing[schedule.bench.banks[key]] = why
        tell(f"{'drew' if why is None else 'could not draw'} {schedule.request.bank} anomalies of {key[1]} on {key[0]}")

    if missing:
        tell(f"drawing {schedule.request.bank} anomalies of {', '.join(dict.fromkeys(name for _, name in missing))}")
    crew.do(missing, lambda pool, key: pool.submit(_draw, key, schedule.request.bank), ended, beat=lambda: tell(""))
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


class _Crew:
    """Workers, each an executor of its own with one process: if it dies, only its task is lost and another comes."""

    def __init__(self, bench: Bench, count: int):
        self._bench = bench
        self._pools = [_pool(bench) for _ in range(count)]
        self._running: dict[Future[Any], tuple[int, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools:
            if self._running:
                _end(pool)
            else:
                pool.shutdown()

    def do(
        self,
        tasks: Iterable[Task],
        begin: Callable[[ProcessPoolExecutor, Task], Future[Any]],
        ended: Callable[[Task, Future[Any]], None],
        *,
        may_begin: Callable[[Task], bool] = lambda _: True,
        beat: Callable[[], None] = lambda: None,
    ) -> list[Task]:
        """Do tasks in their order, one a worker; return those that were not begun.

        ended: is told each that ended. may_begin: is asked before each; the first that may not is the end. beat: is
        called now and then while none ends.
        """
        waiting, free, running = list(tasks), list(range(len(self._pools))), self._running
        while waiting or running:
            while waiting and free and may_begin(waiting[0]):
                place, task = free.pop(), waiting.pop(0)
                running[self._begun(begin, place, task)] = (place, task)
            if not running:
                break
            done = wait(running, timeout=HEARTBEAT, return_when=FIRST_COMPLETED).done
            if not done:
                beat()
            for future in done:
                place, task = running.pop(future)
                if _died(future):
                    self._pools[place] = _pool(self._bench)
                ended(task, future)
                free.append(place)
        return waiting

    def _begun(self, begin: Callable[[ProcessPoolExecutor, Task], Future[Any]], place: int, task: Task) -> Future[Any]:
        """Begin a task with a worker, or with a new one where that one died while it had nothing to do."""
        try:
            return begin(self._pools[place], task)
        except BrokenProcessPool:
            self._pools[place] = _pool(self._bench)
            return begin(self._pools[place], task)


_DIED = "the process died while it ran; it was killed, or the memory ran out"


def _died(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_bench: Bench | None = None


def _pool(bench: Bench) -> ProcessPoolExecutor:
    """Return one worker with one thread, in an executor of its own: if it dies, only its job is lost."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(1, mp_context=context, initializer=_start, initargs=(bench,))
        pool.submit(_ready)  # the process starts now, with the environment as it is now
        return pool
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def _start(bench: Bench) -> None:
    global _bench
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _bench = bench


def _end_with_parent() -> None:
    """End this worker when the run that it works for was killed: nobody would write its row."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _ready() -> None:
    return None


def _work(cells: Sequence[Cell]) -> Sequence[Result]:
    assert _bench is not None
    return run(_bench, cells)


def _draw(key: tuple[str, str], count: int) -> str | None:
    """Draw a bank; return why it failed."""
    assert _bench is not None
    try:
        draw_bank(_bench.plans[key], _bench.data[key[0]].validation, _bench.banks[key], count)
    except (Exception, SystemExit) as error:
        return reason(error)
    return None


def _end(pool: ProcessPoolExecutor) -> None:
    """Stop a worker at once: what it had finished is written, the rest is lost anyway."""
    processes = list((pool._processes or {}).values())
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    pool.shutdown(wait=False, cancel_futures=True)


def _note(row: Result) -> str:
    """Return what is told of a row."""
    figure = row.metrics.get("pixel_ap")
    name, value = ("pixel AP", figure) if figure is not None else ("image AP", row.metrics.get("image_ap"))
    told = "failed" if isinstance(row, Failed) else "" if value is None else f"{name} {value:.3f}"
    return f"{row.data} {row.entry} {row.detector} seed {row.seed} {told}".rstrip()
