"""Which runner a run gets: this process, several, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from anomgen.errors import UsageError, near_miss
from anomgen.making.runners.base import Runner
from anomgen.making.runners.local import run

ENGINES = ("local", "ray")


@contextmanager
def runner(engine: str, workers: int | None, address: str | None) -> Iterator[Runner]:
    """Give what makes the shards: `workers` processes of this machine, or Ray.

    Raises UsageError for an unknown engine, AnomgenError when Ray cannot be reached.
    """
    if engine not in ENGINES:
        raise UsageError(f"no engine {engine!r}{near_miss(engine, ENGINES)} (there are {', '.join(ENGINES)})")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least one is needed")
    if engine == "ray":
        from anomgen.making.runners.ray import cluster

        with cluster(workers, address) as run_on_ray:
            yield run_on_ray
    elif address is not None:
        raise UsageError("--address is that of a Ray cluster; it goes with --engine ray")
    else:
        yield lambda plan, shards, rows_done: run(plan, shards, workers or 1, rows_done)
