"""A trained detector looks at images in a process of its own, which ends after a while: what it needs is large."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from anomgen.dataset.pictures import at_most, coloured, displayable, outline_of, scale_of
from anomgen.errors import AnomgenError
from anomgen.making.runners.workers import Workers, died
from anomgen.sources.images import read_image

SHOWN_SIDE = 1024
IDLE = 60.0
"""Seconds after the last image until the process ends and gives its memory back."""


@dataclass(frozen=True)
class Asked:
    """One image to look at. folder: the detector's; stamp: changes when another one is kept there."""

    folder: Path
    stamp: int
    name: str
    data: bytes


@dataclass(frozen=True)
class Looked:
    """One image that was looked at. told: what is said of it, plain JSON. Both pictures are (h, w, 3) uint8."""

    told: dict[str, Any]
    image: np.ndarray
    map: np.ndarray

    @property
    def nbytes(self) -> int:
        """Return what it takes up."""
        return self.image.nbytes + self.map.nbytes


class Looking:
    """Looks at images, one after another, in a process that is there only while somebody asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._workers: Workers | None = None
        self._timer: threading.Timer | None = None

    def look(self, asked: Asked) -> Looked:
        """Return what a detector says of an image. Raises what `Inspector.load` and `Inspector.inspect` raise."""
        found: list[Future[Looked]] = []
        with self._lock:
            self._stop_timer()
            self._workers = self._workers or self._stack.enter_context(Workers(1, _start, ()))
            self._workers.do([asked], _look, lambda _, future: found.append(future))
            self._timer = threading.Timer(IDLE, self.close)
            self._timer.daemon = True
            self._timer.start()
        if died(found[0]):
            raise AnomgenError("the detector's process was ended, for lack of memory perhaps; try again")
        return found[0].result()

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._stop_timer()
            self._stack.close()
            self._workers = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


# --- in that process ------------------------------------------------------------------------------------------------

_opened: dict[tuple[Path, int], Any] = {}


def _start() -> None:
    cv2.setNumThreads(1)


def _look(asked: Asked) -> Looked:
    inspector = _inspector(asked)
    image = read_image(asked.data, asked.name)
    found = inspector.inspect_all([image])[0]
    shown = np.ascontiguousarray(at_most(displayable(image, scale_of(image)), SHOWN_SIDE))
    height, width = shown.shape[:2]
    limit = inspector.description.pixel_threshold
    heat = cv2.resize(found.map, (width, height), interpolation=cv2.INTER_LINEAR)
    mask = None if limit is None else np.ascontiguousarray(heat >= limit)
    told = {
        "name": asked.name,
        "score": found.score,
        "threshold": inspector.threshold,
        "anomalous": found.is_anomalous,
        "area": found.area,
        "height": height,
        "width": width,
        "outline": None if mask is None else outline_of(mask),
    }
    return Looked(told, shown, _over(shown, heat, limit))


def _inspector(asked: Asked) -> Any:
    from anomgen.score.inspector.inspector import Inspector

    key = asked.folder, asked.stamp
    if key not in _opened:
        _opened.clear()
        _opened[key] = Inspector.load(asked.folder)
    return _opened[key]


def _over(shown: np.ndarray, heat: np.ndarray, limit: float | None) -> np.ndarray:
    """Return a map over a picture: the colours begin at half of the threshold for pixels, and end at twice."""
    top = 2 * limit if limit is not None and limit > 0 else max(float(heat.max()), 1e-9)
    share = np.clip(heat / top, 0, 1)
    weight = np.clip(2 * share, 0, 1)[..., None] * np.float32(0.75)
    mixed = shown * (1 - weight) + coloured(share * np.float32(255)) * weight
    return np.rint(mixed).astype(np.uint8)
