"""What a detector is trained on: normal images and anomalies, drawn while it computes or there before."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from anomgen.dataset.row import ANOMALY, LABELS, NORMAL, Row
from anomgen.errors import Progress, silent
from anomgen.making.engine import Plan, Renderer
from anomgen.making.splits import is_anomalous
from anomgen.models.images import turned
from anomgen.rng import Stream, rng_for
from anomgen.score.checkpoint import Checkpoint
from anomgen.score.detectors.base import Batch
from anomgen.sources.base import Images, Source
from anomgen.sources.pool import Pool

AHEAD = 4
"""Batches that are drawn before the detector asks for them."""
VALIDATION = 64
"""Most normal images of the validation batch; as many anomalous ones come to them."""
UNTRAINED = 1 << 20
"""Validation anomalies are those of this epoch, which no training reaches."""


class TrainingRows(Protocol):
    """Where training rows come from; row k is the same whenever it is asked for."""

    defect_types: tuple[str, ...]
    graded: bool
    label: str
    anomaly_ratio: float

    def rows(self, indices: Sequence[int], anomaly_ratio: float) -> list[Row]:
        """Return the rows of these numbers when that share of all rows is anomalous."""


class GeneratorRows:
    """Rows that a generator draws when they are asked for."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._renderers: dict[float, Renderer] = {}
        self.defect_types, self.graded = plan.generator.defect_types, plan.generator.has_soft_mask
        self.label = getattr(plan.generator, "label", "continuous" if self.graded else "binary")
        self.anomaly_ratio = plan.recipe.anomaly_ratio

    def rows(self, indices: Sequence[int], anomaly_ratio: float) -> list[Row]:
        """Draw these rows."""
        if anomaly_ratio not in self._renderers:
            recipe = self._plan.recipe.model_copy(update={"anomaly_ratio": anomaly_ratio})
            self._renderers[anomaly_ratio] = Renderer(replace(self._plan, recipe=recipe))
        return self._renderers[anomaly_ratio].block(indices)


class GivenRows:
    """Rows whose anomalous ones are there already: they are shown again and again, in a new order each time."""

    def __init__(
        self, anomalous: Sequence[Row], normals: Images, anomaly_ratio: float, seed: int, *, turn: bool = False
    ):
        self._anomalous, self._normals, self._seed, self._turn = anomalous, normals, seed, turn
        self.defect_types = tuple(sorted({row.defect_type for row in anomalous}))
        self.graded = any(row.soft_mask is not None for row in anomalous)
        self.label = "continuous" if self.graded else "binary"
        self.anomaly_ratio = anomaly_ratio

    def rows(self, indices: Sequence[int], anomaly_ratio: float) -> list[Row]:
        """Return the anomalous row or the normal image whose turn it is."""
        return [self._row(index, is_anomalous(index, anomaly_ratio)) for index in indices]

    def _row(self, index: int, anomalous: bool) -> Row:
        if not anomalous:
            image = self._normals[self._position(index, len(self._normals), NORMAL)]
            return Row.of_normal(index, self._seed, "", image, soft=self.graded)
        row = self._anomalous[self._position(index, len(self._anomalous), ANOMALY)]
        if not self._turn:
            return row
        ways = 8 if row.image.shape[0] == row.image.shape[1] else 4
        way = int(rng_for(self._seed, Stream.TRAINING, index).integers(ways))
        image, normal, mask = (turned(array, way) for array in (row.image, row.normal, row.mask))
        return replace(row, image=image, normal=normal, mask=mask)

    def _position(self, index: int, count: int, label: int) -> int:
        epoch, place = divmod(index, count)
        return int(rng_for(self._seed, Stream.ORDER, epoch, label).permutation(count)[place])


def batch_of(rows: Sequence[Row]) -> Batch:
    """Return rows as one read-only batch."""
    masks = np.stack([row.mask for row in rows])
    soft = np.stack([row.mask if row.soft_mask is None else row.soft_mask for row in rows]).astype(np.float32)
    images, normals = (np.stack([getattr(row, name) for row in rows]) for name in ("image", "normal"))
    for array in (images, normals, masks, soft):
        array.flags.writeable = False
    types = tuple(row.defect_type if row.label == ANOMALY else LABELS[NORMAL] for row in rows)
    return Batch(images, normals, masks, soft, types)


@dataclass
class Loader:
    """What a detector is given to train on; see `anomgen.score.detectors.base.Training`.

    waiting: seconds that the detector stood still for the next batch. synthesis: seconds of processor time that
    drawing took, beside the detector's arithmetic.
    """

    source: Source
    rows: TrainingRows
    held_source: Source
    """Normal images that are kept for validation."""
    held_rows: TrainingRows
    """Rows made of these."""
    told: Progress = silent
    """Is told how far the fit is."""
    checkpoint: Checkpoint | None = None
    """What a fit that takes minutes is gone on with."""
    waiting: float = field(default=0.0, init=False)
    synthesis: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.normals: Images = Pool(self.source)
        self.defect_types, self.graded = self.rows.defect_types, self.rows.graded
        self.label = self.rows.label

    @cached_property
    def validation(self) -> Batch:
        """Return normal images that are in no training batch, each once as it is and, if possible, once anomalous.

        Their anomalies are draws that are in no training batch either.
        """
        started, count = time.thread_time(), min(len(self.held_source), VALIDATION)
        images = [self.held_source[k] for k in range(count)]
        rows = [Row.of_normal(k, 0, self.held_source.id(k), images[k], soft=self.graded) for k in range(count)]
        first = len(self.held_source) * UNTRAINED
        for start in range(first, first + count, 16) if self.held_rows.defect_types else ():
            rows += self.held_rows.rows(range(start, min(start + 16, first + count)), 1.0)
        self.synthesis += time.thread_time() - started
        return batch_of(rows)

    def progress(self, done: int, total: int) -> None:
        """Be told how far the fit is."""
        self.told(done, total)

    def batches(
        self, count: int, batch_size: int, anomaly_ratio: float | None = None, *, first: int = 0
    ) -> Iterator[Batch]:
        """Yield `count` batches but the `first` ones; a thread draws a few of them ahead."""
        ratio = self.rows.anomaly_ratio if anomaly_ratio is None else anomaly_ratio
        ready: queue.Queue[Any] = queue.Queue(maxsize=AHEAD)
        stop = threading.Event()
        thread = threading.Thread(
            target=self._draw, args=(range(first, count), batch_size, ratio, ready, stop), daemon=True
        )
        thread.start()
        try:
            for _ in range(first, count):
                started = time.perf_counter()
                item = ready.get()
                self.waiting += time.perf_counter() - started
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            while thread.is_alive():  # it may wait for room in the queue
                _emptied(ready)
                thread.join(0.01)

    def _draw(self, numbers: range, size: int, ratio: float, ready: queue.Queue[Any], stop: threading.Event) -> None:
        before = time.thread_time()
        try:
            for number in numbers:
                if stop.is_set():
                    return
                item = batch_of(self.rows.rows(range(number * size, (number + 1) * size), ratio))
                now = time.thread_time()
                self.synthesis += now - before
                before = now
                ready.put(item)
        except BaseException as error:
            ready.put(error)


def _emptied(ready: queue.Queue[Any]) -> None:
    try:
        while True:
            ready.get_nowait()
    except queue.Empty:
        return
