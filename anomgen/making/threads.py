"""One thread for a row: the work is small, and the workers are the parallelism."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import cv2
from threadpoolctl import ThreadpoolController


class _OneThread:
    """The one change of the process's settings that all threads in `single_threaded` share."""

    def __init__(self) -> None:
        self.lock, self.depth, self.before = threading.Lock(), 0, ExitStack()


_one = _OneThread()


def _begin() -> None:
    """Forget the threads of a parent: a forked child has none of them, and nobody would release their lock."""
    global _one
    _one = _OneThread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin)


@contextmanager
def single_threaded(controller: ThreadpoolController | None = None) -> Iterator[None]:
    """Let OpenCV and BLAS use one thread each: the work is small, and the workers are the parallelism.

    It also makes the result independent of how many threads a library would have taken. The settings belong to the
    process, so threads share one change of them: the first in makes it, the last out undoes it. controller: one made
    before saves looking for the loaded libraries, 0.7 ms.
    """
    one = _one
    with one.lock:
        one.depth += 1
        if one.depth == 1:
            one.before.enter_context((controller or ThreadpoolController()).limit(limits=1, user_api="blas"))
            if (before := cv2.getNumThreads()) > 1:
                one.before.callback(cv2.setNumThreads, before)
                cv2.setNumThreads(0)  # 1 would wait for OpenCV's threads to end: for ever where a fork left them behind
    try:
        yield
    finally:
        with one.lock:
            one.depth -= 1
            if one.depth == 0:
                one.before.close()
