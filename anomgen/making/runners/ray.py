"""Shards as Ray tasks, on this machine or on a cluster; generators that run a network get an actor for each GPU."""

from __future__ import annotations

import logging
import os
import socket
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from anomgen.dataset.writer import Encoder
from anomgen.errors import AnomgenError, UsageError
from anomgen.making.engine import Plan, Renderer
from anomgen.making.runners.base import RowsDone, Runner, Shard, make_shard
from anomgen.making.threads import single_threaded
from anomgen.places import Remote
from anomgen.sources.pool import DEFAULT_CACHE_BYTES

TRIES_AGAIN = 3
"""How often Ray makes a shard again whose worker died or could not read or write."""
SECONDS_TO_ANSWER = 3.0
"""How long a cluster may take to accept a connection."""


@contextmanager
def cluster(workers: int | None, address: str | None) -> Iterator[Runner]:
    """Give what makes shards on Ray: on the cluster at `address`, else on this machine alone.

    workers: shards at once, by default as many as there are processors. A session of Ray that the caller has begun is
    used and left running. Raises UsageError without Ray, AnomgenError for a cluster that does not answer.
    """
    import ray

    if ray.is_initialized():
        yield _runner(workers)
        return
    _connect(ray, workers, address)
    try:
        yield _runner(workers)
    finally:
        ray.shutdown()


def _connect(ray: Any, workers: int | None, address: str | None) -> None:
    address, where = _resolved(address)
    if address not in ("auto", "local"):
        _refuse_unreachable(address, where)
    local = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **local)
    except (Exception, SystemExit) as error:  # Ray exits where it gives up
        name = "Ray on this machine" if address == "local" else f"the Ray cluster at {where}"
        raise AnomgenError(f"{name} cannot be used: {error}") from None


def _resolved(address: str | None) -> tuple[str, str]:
    """Return which cluster is meant, as HOST:PORT wherever it is known, and how to call it in an error.

    As with Ray itself, RAY_ADDRESS stands in for no address and for `auto`, which else is what `ray start` noted last.
    """
    variable = os.environ.get("RAY_ADDRESS")
    if address in (None, "auto") and variable:
        if variable != "auto":
            return variable, f"{variable} (RAY_ADDRESS)"
        address = "auto"
    if address == "auto":
        note = _note()
        noted = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
        return (noted, f"{noted} (auto: noted in {note})") if noted else ("auto", "auto")
    return address or "local", address or "local"


def _note() -> Path:
    """Return the file in which `ray start` notes its cluster's address, and which `ray stop` removes."""
    names = ("RAY_TMPDIR", "TMPDIR") if sys.platform.startswith("linux") else ("RAY_TMPDIR",)
    folder = next((os.environ[name] for name in names if name in os.environ), "/tmp")
    return Path(folder) / "ray" / "ray_current_cluster"


def _refuse_unreachable(address: str, where: str) -> None:
    """Raise AnomgenError when nobody listens at HOST:PORT, on which Ray itself would spend minutes."""
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise UsageError(f"the Ray address {where}: write it as HOST:PORT, ray://HOST:PORT or auto")
    try:
        socket.create_connection((host, port), SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise AnomgenError(f"no Ray cluster answers at {where} ({error}); {_advice(where)}") from None


def _advice(where: str) -> str:
    if where.endswith("(RAY_ADDRESS)"):
        return "start it, or unset RAY_ADDRESS"
    if "(auto: " in where:
        return "if it died, `ray stop` forgets it; then begin anew with `ray start --head`, or leave out --address"
    return "start one with `ray start --head`, or leave out --address to use this machine"


# --- in the driver --------------------------------------------------------------------------------------------------


def _runner(workers: int | None) -> Runner:
    def run(plan: Plan, shards: Sequence[Shard], rows_done: RowsDone) -> None:
        if shards:
            _run(plan, shards, workers, rows_done)

    return run


def _run(plan: Plan, shards: Sequence[Shard], workers: int | None, rows_done: RowsDone) -> None:
    import ray

    idle, waiting = _lanes(ray, plan, workers), list(reversed(shards))
    running: dict[Any, tuple[Shard, Lane]] = {}
    try:
        while waiting or running:
            while waiting and idle:
                shard, lane = waiting.pop(), idle.pop()
                running[lane(shard)] = shard, lane
            for done in ray.wait(list(running), timeout=0.5)[0]:
                shard, lane = running.pop(done)
                idle.append(lane)
                rows_done(_rows(ray, done, shard))
    finally:
        for left in running:
            ray.cancel(left)


Lane = Callable[[Shard], Any]
"""Starts a shard on a processor or a GPU and returns Ray's reference to the result."""


def _lanes(ray: Any, plan: Plan, workers: int | None) -> list[Lane]:
    resources, nodes = ray.cluster_resources(), len(ray.nodes())
    gpus = int(resources.get("GPU", 0)) if plan.generator.uses_network else 0
    count = min(workers or gpus, gpus) if gpus else workers or int(resources.get("CPU", 1))
    cache_bytes = DEFAULT_CACHE_BYTES * nodes // max(count, nodes)
    shared = ray.put(plan)
    if gpus:
        actor = ray.remote(num_gpus=1, max_restarts=TRIES_AGAIN, max_task_retries=TRIES_AGAIN)(Maker)
        return [actor.remote(shared, cache_bytes).make.remote for _ in range(count)]
    task = ray.remote(num_cpus=1, max_retries=TRIES_AGAIN, retry_exceptions=[OSError])(_make)
    name = uuid.uuid4().hex
    return [lambda shard: task.remote(name, [shared], cache_bytes, shard)] * count


def _rows(ray: Any, done: Any, shard: Shard) -> int:
    """Return how many rows a finished shard has, or raise what stopped it, as the local runner would."""
    try:
        rows = int(ray.get(done))
    except ray.exceptions.RayTaskError as error:
        raise getattr(error, "cause", None) or error from None
    except ray.exceptions.RayError as error:
        raise AnomgenError(
            f"{shard.path.name}: Ray gave it up after {TRIES_AGAIN} more tries ({str(error).splitlines()[0]}); "
            "finished shards are kept: run again with --resume"
        ) from None
    if not isinstance(shard.path, Remote) and not shard.path.is_file():
        raise AnomgenError(
            f"{shard.path} was written on another machine and is not here: give -o a folder that all machines of the "
            "cluster share, or a URL such as s3://"
        )
    return rows


# --- in the workers -------------------------------------------------------------------------------------------------


class Maker:
    """What a worker keeps between shards: the renderer with its cache, and the encoder."""

    def __init__(self, plan: Plan, cache_bytes: int):
        plan.require_unchanged()
        self._renderer, self._encoder = Renderer(plan, cache_bytes), Encoder(plan.columns)

    def make(self, shard: Shard) -> int:
        """Make a shard and return its rows. Raises AnomgenError where the result would not be the driver's."""
        from anomgen.versions import versions, versions_text

        if versions() != shard.log["versions"]:
            raise AnomgenError(
                f"a machine of the cluster has {versions_text(versions())}, this one "
                f"{versions_text(shard.log['versions'])}: the result would depend on who made it; install the same"
            )
        with single_threaded():
            make_shard(self._renderer, self._encoder, shard, lambda _: None)
        return len(shard.indices)


_makers: dict[str, Maker] = {}
"""The maker of the run that this worker process last worked for."""


def _make(run: str, plan: list[Any], cache_bytes: int, shard: Shard) -> int:
    import ray

    if run not in _makers:
        _makers.clear()
        _makers[run] = Maker(ray.get(plan[0]), cache_bytes)
    return _makers[run].make(shard)
