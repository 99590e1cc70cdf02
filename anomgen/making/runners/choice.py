"""Which runner a run gets: this process, several, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from anomgen.config.text import require_whole
from anomgen.errors import UsageError, near_miss, require
from anomgen.making.runners.base import Runner
from anomgen.making.runners.local import run

ENGINES = ("local", "ray")


def require_runner(engine: str, workers: int | None, address: str | None) -> None:
    """Raise UsageError for what no runner can be made of, before anything else is done."""
    if engine not in ENGINES:
        raise UsageError(f"no engine {engine!r}{near_miss(str(engine), ENGINES)} (there are {', '.join(ENGINES)})")
    if workers is not None:
        require_whole("--workers", workers)
    if engine == "ray":
        require("ray", "the engine ray", "ray")
    elif address is not None:
        raise UsageError("--address is that of a Ray cluster; it goes with --engine ray")


@contextmanager
def runner(engine: str, workers: int | None, address: str | None) -> Iterator[Runner]:
    """Give what makes the shards: `workers` processes of this machine, or Ray.

    Raises UsageError for an unknown engine, AnomgenError when Ray cannot be reached.
    """
    require_runner(engine, workers, address)
    if engine == "ray":
        from anomgen.making.runners.ray import cluster

        with cluster(workers, address) as run_on_ray:
            yield run_on_ray
    else:
        yield lambda plan, shards, rows_done: run(plan, shards, workers or 1, rows_done)
