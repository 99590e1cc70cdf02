"""Datasets in the making: each in a process of its own, to be watched, stopped and gone on with."""

from __future__ import annotations

import multiprocessing
import threading
import time
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from anomgen.dataset.origin import is_ours
from anomgen.errors import AnomgenError, UsageError
from anomgen.making.engine import Recipe
from anomgen.making.make import make
from anomgen.making.output import check_output
from anomgen.making.runners.workers import Workers, died

State = Literal["running", "stopping", "stopped", "finished", "failed"]
BEAT = 0.25
"""Seconds between two looks at the progress."""


@dataclass(frozen=True)
class Run:
    """One run as the page sees it. error: why it failed."""

    name: str
    state: State
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class _Task:
    recipe: Recipe
    out: Path
    resume: bool
    workers: int


class Runs:
    """Starts and stops runs below one output folder; they go on whether or not a page looks."""

    def __init__(self, out: Path):
        self.out = out
        self._runs: dict[str, Run] = {}
        self._stops: dict[str, Any] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def start(self, recipe: Recipe, name: str, *, resume: bool = False, workers: int = 1) -> Run:
        """Begin to make the dataset NAME, or go on with it. Raises UsageError where `make` would refuse the folder."""
        out = self.out / name
        with self._lock:
            if name in self._runs and self._runs[name].state in ("running", "stopping"):
                raise UsageError(f"{name} is being made already")
            check_output(recipe, out, resume=resume and is_ours(out), overwrite=False)
            self._runs[name] = Run(name, "running", 0, recipe.count)
            context = multiprocessing.get_context("spawn")
            shared = context.Value("q", 0), context.Event()
            self._stops[name] = shared[1]
            task = _Task(recipe, out, resume, workers)
            thread = threading.Thread(target=self._follow, args=(name, task, shared), name=f"make {name}")
            self._threads.append(thread)
            thread.start()
            return self._runs[name]

    def stop(self, name: str) -> None:
        """Ask a run to stop; what is finished of it stays. Raises UsageError for one that does not run."""
        with self._lock:
            if name not in self._runs or self._runs[name].state != "running":
                raise UsageError(f"{name} is not being made")
            self._runs[name] = replace(self._runs[name], state="stopping")
            self._stops[name].set()

    def all(self) -> list[dict[str, Any]]:
        """Return the runs of this session, the latest first."""
        with self._lock:
            return [asdict(run) for run in reversed(self._runs.values())]

    def close(self) -> None:
        """Stop all runs and wait until they have."""
        for stop in list(self._stops.values()):
            stop.set()
        for thread in self._threads:
            thread.join()

    def _follow(self, name: str, task: _Task, shared: tuple[Any, Any]) -> None:
        counter, stop = shared
        started = time.perf_counter()
        outcome: tuple[State, str] = "failed", "its process could not be started"

        def beat() -> None:
            with self._lock:
                seconds = round(time.perf_counter() - started, 1)
                self._runs[name] = replace(self._runs[name], done=counter.value, seconds=seconds)

        def ended(_: _Task, future: Future[bool]) -> None:
            nonlocal outcome
            beat()
            outcome = _outcome(future, asked=stop.is_set())

        try:
            with Workers(1, _start, shared, stop=stop.set) as worker:
                worker.do([task], _work, ended, beat=beat, every=BEAT)
        finally:  # only now may another run of this name begin
            with self._lock:
                self._stops.pop(name)
                self._runs[name] = replace(self._runs[name], state=outcome[0], error=outcome[1])


def _outcome(future: Future[bool], *, asked: bool) -> tuple[State, str]:
    """Return how a run ended, and why it failed."""
    if died(future):
        return "failed", "the process that made it was ended, for lack of memory perhaps; what is finished is kept"
    error = future.exception()
    if error is None:
        return ("finished" if future.result() else "stopped"), ""
    return ("stopped", "") if asked else ("failed", _words_of(error))


def _words_of(error: BaseException) -> str:
    return str(error) if isinstance(error, AnomgenError) else f"{type(error).__name__}: {error}"


# --- in the process of a run ----------------------------------------------------------------------------------------

_shared: list[Any] = []


class _Stopped(Exception):
    """The studio asked for it."""


def _start(counter: Any, stop: Any) -> None:
    _shared[:] = [counter, stop]


def _work(task: _Task) -> bool:
    """Make a dataset; return whether it is finished, False where it was stopped."""
    counter, stop = _shared

    def progress(done: int, _: int, _note: str = "", /) -> None:
        counter.value = done
        if stop.is_set():
            raise _Stopped

    try:
        make(task.recipe, task.out, workers=task.workers, resume=task.resume, progress=progress)
    except _Stopped:
        return False
    return True
