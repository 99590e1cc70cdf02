"""Shards made on this machine: one after another in this process, or several processes side by side."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from anomgen.dataset.writer import Encoder
from anomgen.errors import AnomgenError
from anomgen.making.engine import Plan, Renderer
from anomgen.making.runners.base import RowsDone, Shard, make_shard
from anomgen.making.runners.workers import Workers, died
from anomgen.making.threads import single_threaded
from anomgen.sources.pool import DEFAULT_CACHE_BYTES


class _Stopped(Exception):
    """The parent asked the workers to stop."""


def run(plan: Plan, shards: Sequence[Shard], workers: int, rows_done: RowsDone) -> None:
    """Make the shards on this machine; what comes out does not depend on `workers`."""
    if workers <= 1 or len(shards) <= 1:
        _run_serially(plan, shards, rows_done)
    else:
        _run_in_processes(plan, shards, min(workers, len(shards)), rows_done)


def _run_serially(plan: Plan, shards: Sequence[Shard], rows_done: RowsDone) -> None:
    renderer, encoder = Renderer(plan), Encoder(plan.columns)
    with single_threaded():
        for shard in shards:
            make_shard(renderer, encoder, shard, rows_done)


def _run_in_processes(plan: Plan, shards: Sequence[Shard], workers: int, rows_done: RowsDone) -> None:
    context = multiprocessing.get_context("spawn")
    counter, stop = context.Value("q", 0), context.Event()
    reported = 0

    def report() -> None:
        nonlocal reported
        done = counter.value
        rows_done(done - reported)
        reported = done

    def ended(_: Shard, future: Future[None]) -> None:
        report()
        if died(future):
            raise AnomgenError(
                "a worker process died, perhaps for lack of memory: use fewer --workers; finished shards are kept: "
                "run again with --resume"
            )
        future.result()

    started = (DEFAULT_CACHE_BYTES // workers, counter, stop)
    with Workers(workers, _start_worker, started, content=plan, stop=stop.set) as processes:
        processes.do(shards, _work, ended, beat=report, every=0.2)


_worker: dict[str, Any] = {}
"""What a worker process keeps between shards."""


def _start_worker(plan: Plan, cache_bytes: int, counter: Any, stop: Any) -> None:
    limits = single_threaded()
    limits.__enter__()
    _worker.update(renderer=Renderer(plan, cache_bytes), encoder=Encoder(plan.columns), limits=limits)
    _worker.update(counter=counter, stop=stop, plan=plan)


def _work(shard: Shard) -> None:
    def rows_done(rows: int) -> None:
        with _worker["counter"].get_lock():
            _worker["counter"].value += rows
        if _worker["stop"].is_set():
            raise _Stopped

    if (plan := _worker.pop("plan", None)) is not None:
        plan.require_unchanged()  # not in `_start_worker`, whose errors reach nobody
    make_shard(_worker["renderer"], _worker["encoder"], shard, rows_done)
