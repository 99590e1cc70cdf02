"""One thread for a row: the work is small, and the workers are the parallelism."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import cv2
from threadpoolctl import ThreadpoolController

_one_thread_lock = threading.Lock()
_one_thread_depth = 0
_one_thread_before = ExitStack()


@contextmanager
def single_threaded(controller: ThreadpoolController | None = None) -> Iterator[None]:
    """Let OpenCV and BLAS use one thread each: the work is small, and the workers are the parallelism.

    It also makes the result independent of how many threads a library would have taken. The settings belong to the
    process, so threads share one change of them: the first in makes it, the last out undoes it. controller: one made
    before saves looking for the loaded libraries, 0.7 ms.
    """
    global _one_thread_depth
    with _one_thread_lock:
        _one_thread_depth += 1
        if _one_thread_depth == 1:
            _one_thread_before.enter_context((controller or ThreadpoolController()).limit(limits=1, user_api="blas"))
            if (before := cv2.getNumThreads()) > 1:
                _one_thread_before.callback(cv2.setNumThreads, before)
                cv2.setNumThreads(0)  # 1 would wait for OpenCV's threads to end: for ever where a fork left them behind
    try:
        yield
    finally:
        with _one_thread_lock:
            _one_thread_depth -= 1
            if _one_thread_depth == 0:
                _one_thread_before.close()
