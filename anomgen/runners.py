"""Which worker makes which shard: one after another in this process, several processes side by side, or Ray."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

from anomgen.dataset import Row
from anomgen.engine import Plan, Renderer, single_threaded
from anomgen.errors import AnomgenError, UsageError, near_miss
from anomgen.sources.base import DEFAULT_CACHE_BYTES
from anomgen.writer import Encoder, write_shard

Tick = Callable[[int], None]
"""Is told how many more rows are done."""


@dataclass(frozen=True)
class Shard:
    """One Parquet file to make: where, which rows, and the start of its log."""

    path: Path
    indices: range
    log: dict[str, Any]


Run = Callable[[Plan, Sequence[Shard], Tick], None]
"""Makes shards; what comes out does not depend on which one does."""
ENGINES = ("local", "ray")


@contextmanager
def runner(engine: str, workers: int | None, address: str | None) -> Iterator[Run]:
    """Give what makes the shards: `workers` processes of this machine, or Ray.

    Raises UsageError for an unknown engine, AnomgenError when Ray cannot be reached.
    """
    if engine not in ENGINES:
        raise UsageError(f"no engine {engine!r}{near_miss(engine, ENGINES)} (there are {', '.join(ENGINES)})")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least one is needed")
    if engine == "ray":
        from anomgen.runner_ray import cluster

        with cluster(workers, address) as run_on_ray:
            yield run_on_ray
    elif address is not None:
        raise UsageError("--address is that of a Ray cluster; it goes with --engine ray")
    else:
        yield lambda plan, shards, tick: run(plan, shards, workers or 1, tick)


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


def make_shard(renderer: Renderer, encoder: Encoder, shard: Shard, tick: Tick) -> None:
    """Draw and write one shard; its log ends with the rejected draws by reason."""
    renderer.rejects.clear()
    log = dict(shard.log)

    def rows() -> Iterator[Row]:
        block = renderer.plan.recipe.block_size
        for done, row in enumerate(renderer.rows(shard.indices), 1):
            yield row
            if done % block == 0 or done == len(shard.indices):
                tick((done - 1) % block + 1)
        log["rejects"] = dict(sorted(renderer.rejects.items()))

    write_shard(shard.path, rows(), renderer.plan.columns, log, encoder=encoder)


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
