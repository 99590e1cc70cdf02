"""How the time of a step grows with what it is given."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def grows_like_its_square(step: Callable[[int], object], small: int, times: int = 16) -> bool:
    """Whether `step` takes far more than `times` the time of `small` for `small * times` of what it is given: more
    than four times as much. CPU time without collections of garbage, the least of three, as other processes disturb."""

    def took(count: int) -> float:
        start = time.process_time()
        step(count)
        return time.process_time() - start

    step(small)
    gc.collect()
    gc.disable()
    try:
        return min(took(small * times) for _ in range(3)) > 4 * times * min(took(small) for _ in range(3))
    finally:
        gc.enable()
