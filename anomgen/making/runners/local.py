"""Shards made on this machine: one after another in this process, or several processes side by side."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from typing import Any

from anomgen.dataset.writer import Encoder
from anomgen.errors import AnomgenError
from anomgen.making.engine import Plan, Renderer, single_threaded
from anomgen.making.runners.base import Shard, Tick, make_shard
from anomgen.sources.pool import DEFAULT_CACHE_BYTES


class _Stopped(Exception):
    """The parent asked the workers to stop."""


def run(plan: Plan, shards: Sequence[Shard], workers: int, tick: Tick) -> None:
    """Make the shards on this machine; what comes out does not depend on `workers`."""
    if workers <= 1 or len(shards) <= 1:
        _run_serially(plan, shards, tick)
    else:
        _run_in_processes(plan, shards, min(workers, len(shards)), tick)


def _run_serially(plan: Plan, shards: Sequence[Shard], tick: Tick) -> None:
    renderer, encoder = Renderer(plan), Encoder(plan.columns)
    with single_threaded():
        for shard in shards:
            make_shard(renderer, encoder, shard, tick)


def _run_in_processes(plan: Plan, shards: Sequence[Shard], workers: int, tick: Tick) -> None:
    context = multiprocessing.get_context("spawn")
    counter, stop = context.Value("q", 0), context.Event()
    executor = ProcessPoolExecutor(
        workers, context, initializer=_start_worker, initargs=(plan, DEFAULT_CACHE_BYTES // workers, counter, stop)
    )
    reported = 0
    try:
        pending = {executor.submit(_work, shard) for shard in shards}
        while pending:
            finished, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            done = counter.value
            tick(done - reported)
            reported = done
            for future in finished:
                future.result()
    except BrokenProcessPool:
        raise AnomgenError(
            "a worker process died: for lack of memory (use fewer --workers), or because it could not import what the "
            "parent has (a script that calls `make` needs `if __name__ == '__main__':`, a generator a module to be "
            "imported from); finished shards are kept: run again with --resume"
        ) from None
    finally:
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)


_worker: dict[str, Any] = {}
"""What a worker process keeps between shards."""


def _start_worker(plan: Plan, cache_bytes: int, counter: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it sets `stop`
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limits = single_threaded()
    limits.__enter__()
    _worker.update(renderer=Renderer(plan, cache_bytes), encoder=Encoder(plan.columns), limits=limits)
    _worker.update(counter=counter, stop=stop)


def _end_with_parent() -> None:
    """End this process when the parent is gone, even killed: nobody would collect the work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _work(shard: Shard) -> None:
    def tick(rows: int) -> None:
        with _worker["counter"].get_lock():
            _worker["counter"].value += rows
        if _worker["stop"].is_set():
            raise _Stopped

    make_shard(_worker["renderer"], _worker["encoder"], shard, tick)
