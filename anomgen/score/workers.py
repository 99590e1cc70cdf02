"""Who trains the cells: worker processes of one thread each, one job at a time, their rows appended as they come."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from anomgen.errors import AnomgenError
from anomgen.score.cell import Bench, Cell, failed, run
from anomgen.score.harness import Job, Plan
from anomgen.score.made import make_bank
from anomgen.score.rows import Result, RowFile

HEARTBEAT = 30.0
"""Seconds after which progress is told although no training has ended."""

Told = Callable[[int, int, str], None]


def run_jobs(
    plan: Plan, rows: RowFile, workers: int, told: Told | None = None, deadline: float = math.inf
) -> list[Job]:
    """Train what is to do, `workers` jobs at once, and append their rows as they come; return what was not begun.

    deadline: `time.monotonic()` at which every job should have ended; none is begun that would not. A worker that dies
    (out of memory) gives failed rows.
    """
    waiting = _with_banks(plan, rows, told)
    if not waiting:
        return []
    total, finished = sum(len(job.cells) for job in waiting), 0
    pools = [_pool(plan.bench) for _ in range(min(workers, len(waiting)))]
    free = list(range(len(pools)))
    running: dict[Future[list[Result]], tuple[int, Job]] = {}
    try:
        while waiting or running:
            while waiting and free and time.monotonic() + waiting[0].seconds <= deadline:
                place, job = free.pop(), waiting.pop(0)
                running[pools[place].submit(_work, job.cells)] = (place, job)
            if not running:
                break
            ended = wait(running, timeout=HEARTBEAT, return_when=FIRST_COMPLETED).done
            if not ended and told is not None:
                told(finished, total, "")
            for future in ended:
                place, job = running.pop(future)
                found, broken = _result(future, plan.bench, job)
                if broken:
                    pools[place] = _pool(plan.bench)
                rows.append(found)
                free.append(place)
                finished += len(found)
                if told is not None:
                    told(finished, total, _summary(found[0]))
    finally:
        for pool in pools:
            if running:
                _end(pool)
            else:
                pool.shutdown()
    return waiting


def _result(future: Future[list[Result]], bench: Bench, job: Job) -> tuple[list[Result], bool]:
    try:
        return future.result(), False
    except BrokenProcessPool:
        why = "the process died while it ran; it was killed, or the memory ran out"
        return failed(bench, job.cells, why), True


def _with_banks(plan: Plan, rows: RowFile, told: Told | None) -> list[Job]:
    """Draw the banks that are missing; return the jobs to do. Where drawing fails, the cells get rows that say so."""
    failing: dict[tuple[str, str], str] = {}
    for key in sorted({(cell.data, cell.variant.name) for job in plan.todo for cell in job.cells}):
        path = plan.bench.banks.get(key)
        if path is None or path.is_file():
            continue
        if told is not None:
            told(0, len(plan.todo), f"drawing {plan.request.bank} anomalies of {key[1]}")
        try:
            make_bank(plan.bench.plans[key], plan.bench.data[key[0]].validation, path, plan.request.bank)
        except AnomgenError as error:
            failing[key] = str(error)
    kept = []
    for job in plan.todo:
        for cell in job.cells:
            if (cell.data, cell.variant.name) in failing:
                rows.append(failed(plan.bench, [cell], failing[cell.data, cell.variant.name]))
        cells = tuple(cell for cell in job.cells if (cell.data, cell.variant.name) not in failing)
        if cells:
            kept.append(replace(job, cells=cells))
    return kept


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


def _work(cells: Sequence[Cell]) -> list[Result]:
    assert _bench is not None
    return run(_bench, cells)


def _end(pool: ProcessPoolExecutor) -> None:
    """Stop a worker at once: what it had finished is written, the rest is lost anyway."""
    processes = list((pool._processes or {}).values())
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    pool.shutdown(wait=False, cancel_futures=True)


def _summary(row: Result) -> str:
    figure = row["metrics"].get("pixel_ap")
    name, value = ("pixel AP", figure) if figure is not None else ("image AP", row["metrics"].get("image_ap"))
    told = "failed" if row["status"] == "failed" else "" if value is None else f"{name} {value:.3f}"
    return f"{row['data']} {row['variant']} {row['detector']} seed {row['seed']} {told}".rstrip()
