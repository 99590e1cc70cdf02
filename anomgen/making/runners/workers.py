"""Worker processes that end with their parent: one that dies loses only its task."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self, TypeVar

from anomgen.errors import AnomgenError
from anomgen.places import temporary_folder

Task = TypeVar("Task")
Result = TypeVar("Result")


def died(future: Future[Any]) -> bool:
    """Return whether the process of a task that ended was killed, or could not start."""
    return isinstance(future.exception(), BrokenProcessPool)


PIPE = 1 << 14
"""Bytes that are sent to a process directly; more go through a file."""
NOTHING_IMPORTED = (
    ": for lack of memory (use fewer --workers), or because it could not import what the parent has (a script needs "
    "`if __name__ == '__main__':` around what it does, a plug-in a module to be imported from)"
)
"""What may be wrong where no worker has started and none was killed."""
KILL = 9
"""Number of the signal that a system sends for lack of memory."""


class Workers:
    """Processes of this machine, each an executor of its own: if one dies, another takes its place.

    start: called in each before its first task, with `content`, where that is not None, and `arguments`, all pickled.
    content: what may be large; then it goes through a file, which all read, since Python waits for ever where a process
    dies that is being sent more than its pipe holds. environment: variables that each starts with. stop: called when
    the block is left while tasks run, which are then waited for; without it their processes are ended at once. Ctrl-C
    reaches the parent alone.
    """

    def __init__(
        self,
        count: int,
        start: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        content: Any = None,
        environment: Mapping[str, str] | None = None,
        stop: Callable[[], None] | None = None,
    ):
        self._start, self._arguments, self._stop = start, arguments, stop
        self._environment = environment or {}
        self._files = ExitStack()
        self._content = self._sent(content)
        self._running: dict[Future[Any], tuple[int, Any]] = {}
        self._ready: dict[int, Future[None]] = {}
        self._processes: dict[int, BaseProcess] = {}
        self._has_started = False
        self._pools = [self._pool(place) for place in range(count)]

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
        self._files.close()

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
        Raises AnomgenError where a process dies before it could begin.
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
                    self._replace(place)
                ended(task, future)
                free.append(place)
        return waiting

    def _begun(self, place: int, work: Callable[[Task], Result], task: Task) -> Future[Result]:
        """Begin a task with a worker, or with a new one where that one died while it had nothing to do."""
        try:
            return self._pools[place].submit(work, task)
        except BrokenProcessPool:
            self._replace(place)
            return self._pools[place].submit(work, task)

    def _replace(self, place: int) -> None:
        """Start a process in the place of one that died. Raises AnomgenError where that one had not started."""
        if died(self._ready[place]):
            raise AnomgenError(self._never_started(place)) from None
        self._has_started = True
        self._pools[place] = self._pool(place)

    def _never_started(self, place: int) -> str:
        """Return what was seen of a process that died as it started, and what may be the reason."""
        self._pools[place].shutdown()  # waits until its exit code is known
        code = self._processes[place].exitcode or 0
        others = any(ready.done() and not died(ready) for ready in self._ready.values())
        if code < 0:
            seen = f"signal {-code}, {signal.strsignal(-code)}"
            guess = ", for lack of memory perhaps: use fewer --workers" * (-code == KILL)
        else:
            seen, guess = f"exit code {code}", "" if self._has_started or others else NOTHING_IMPORTED
        return f"a worker process died as it started ({seen}){guess}; what is finished is kept: run again"

    def _sent(self, content: Any) -> bytes | Path | None:
        """Return what a process is sent of the content: its pickle, or the file that holds it."""
        pickled = None if content is None else pickle.dumps(content)
        if pickled is None or len(pickled) <= PIPE:
            return pickled
        file = self._files.enter_context(temporary_folder()) / "content"
        file.write_bytes(pickled)
        return file

    def _pool(self, place: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        given = (self._start, self._content, self._arguments)
        pool = ProcessPoolExecutor(1, context, initializer=_start, initargs=given)
        with _environment(self._environment), _later():
            # The process starts now, with the environment as it is now.
            self._ready[place] = pool.submit(_ready)
        (self._processes[place],) = pool._processes.values()
        return pool


def _start(start: Callable[..., None], content: bytes | Path | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if content is not None:
        pickled = content if isinstance(content, bytes) else content.read_bytes()
        arguments = (pickle.loads(pickled), *arguments)
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
