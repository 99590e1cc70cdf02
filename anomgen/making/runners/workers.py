"""Worker processes that end with their parent: one that dies loses only its task."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait as wait_for
from typing import Any, Self, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def died(future: Future[Any]) -> bool:
    """Return whether the process of a task that ended was killed, or could not start."""
    return isinstance(future.exception(), BrokenProcessPool)


class Workers:
    """Processes of this machine, each an executor of its own: if one dies, another takes its place.

    start: called in each with `arguments` before its first task, which are pickled. environment: variables that each
    starts with. stop: called when the block is left while tasks run, which are then waited for; without it their
    processes are ended at once. Ctrl-C reaches the parent alone.
    """

    def __init__(
        self,
        count: int,
        start: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        environment: Mapping[str, str] | None = None,
        stop: Callable[[], None] | None = None,
    ):
        self._start, self._arguments, self._stop = start, arguments, stop
        self._environment = environment or {}
        self._running: dict[Future[Any], tuple[int, Any]] = {}
        self._pools = [self._pool() for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._running and self._stop is not None:
            self._stop()
        for pool in self._pools:
            if self._running and self._stop is None:
                _end(pool)
            else:
                pool.shutdown(cancel_futures=True)

    def do(
        self,
        tasks: Iterable[Task],
        work: Callable[[Task], Result],
        ended: Callable[[Task, Future[Result]], None],
        *,
        may_begin: Callable[[Task], bool] = lambda _: True,
        beat: Callable[[], None] = lambda: None,
        every: float = 30.0,
    ) -> list[Task]:
        """Do tasks in their order, one a worker; return those that were not begun.

        work: a function that the processes can import. ended: is told each that ended, well or not. may_begin: is
        asked before each; the first that may not is the end. beat: is called every so many seconds while none ends.
        """
        waiting, free, running = list(tasks), list(range(len(self._pools))), self._running
        while waiting or running:
            while waiting and free and may_begin(waiting[0]):
                place, task = free.pop(), waiting.pop(0)
                running[self._begun(place, work, task)] = (place, task)
            if not running:
                break
            done = wait(running, timeout=every, return_when=FIRST_COMPLETED).done
            if not done:
                beat()
            for future in done:
                place, task = running.pop(future)
                if died(future):
                    self._pools[place] = self._pool()
                ended(task, future)
                free.append(place)
        return waiting

    def _begun(self, place: int, work: Callable[[Task], Result], task: Task) -> Future[Result]:
        """Begin a task with a worker, or with a new one where that one died while it had nothing to do."""
        try:
            return self._pools[place].submit(work, task)
        except BrokenProcessPool:
            self._pools[place] = self._pool()
            return self._pools[place].submit(work, task)

    def _pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(1, context, initializer=_start, initargs=(self._start, self._arguments))
        with _environment(self._environment), _later():
            pool.submit(_ready)  # the process starts now, with the environment as it is now
        return pool


def _start(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start(*arguments)


def _end_with_parent() -> None:
    """End this process when the parent is gone, even killed: nobody would collect the work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _ready() -> None:
    return None


def _end(pool: ProcessPoolExecutor) -> None:
    """Stop a worker at once."""
    for process in list((pool._processes or {}).values()):
        with suppress(ProcessLookupError):
            process.terminate()
    pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _later() -> Iterator[None]:
    """Let Ctrl-C wait here for the end of a block, and for ever in the processes that start in it.

    It goes to all of them, and those that are just starting would end in tracebacks.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it starts a process, too, and would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment for the length of a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
