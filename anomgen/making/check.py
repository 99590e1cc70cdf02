"""Verify a finished dataset against its own records and against the normal images it was made of.

Nothing that the generators computed is trusted: masks are compared with the pixels that differ, and severity,
area and boxes are measured again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from anomgen.config.text import Overrides
from anomgen.dataset.columns import IMAGE_COLUMNS
from anomgen.dataset.normals import NormalImages
from anomgen.dataset.origin import Damaged
from anomgen.dataset.reader import Dataset, shard_rows
from anomgen.dataset.record import missing_in
from anomgen.dataset.row import LABELS, NORMAL
from anomgen.dataset.statistics import statistics
from anomgen.errors import Progress, RecipeError, UsageError, silent
from anomgen.generators.base import build_generator
from anomgen.making.replay import pool_of, recorded_fit
from anomgen.making.report import MAX_INVISIBLE, RULES, Faults, Report, Violation
from anomgen.making.rules import (
    DecodedRow,
    card_faults,
    count_faults,
    difference,
    expected_indices,
    kind_of,
    mask_faults,
    measure_faults,
    preview_faults,
    recipe_faults,
    record_faults,
    shape_faults,
    shard_faults,
    unreadable_shards,
)
from anomgen.sources.pool import Pool
from anomgen.sources.value_range import stretched
from anomgen.synthesis.sample import TOLERANCE, change_between


def check(
    dataset: Dataset | str | Path,
    *,
    source: str | Path | None = None,
    overrides: Overrides = (),
    progress: Progress = silent,
) -> Report:
    """Verify a finished dataset; the options are those of `anomgen check`.

    source: where its normal images are now, by default where the recipe says or where they were when it was made here.
    What is broken is in the report, not raised, and so is, without `source`, that the images are not to be found.
    Raises UsageError for a folder that holds no finished dataset of anomgen, and for a `source` that is not its own.
    """
    try:
        opened = Dataset.of(dataset)
    except Damaged as error:
        return Report.of_damage(str(dataset), error.rule, str(error))
    try:
        pool, note = pool_of(opened, source, overrides)
    except RecipeError as error:
        if not any(recipe_faults(opened)):  # then it is of the overrides
            raise
        pool, note = None, str(error)
    return replace(check_dataset(opened, pool, progress=progress), note=note)


def check_dataset(dataset: Dataset, pool: Pool | None = None, *, progress: Progress = silent) -> Report:
    """Verify every row of a dataset; what is broken is in the report, not raised.

    pool: the normal images, needed where the dataset holds neither the normal image of each row nor normal rows
    of the same sources; with it, normal rows are compared with it too. progress: is told the rows done. Holds one row
    group and a bounded number of normal images in memory.
    """
    unreadable = unreadable_shards(dataset)
    if unreadable.count:
        return Report(str(dataset.path), len(dataset), violations=(unreadable,))
    checker = _Checker(dataset, pool)
    for done, cells in enumerate(checker.stored_rows(), start=1):
        checker.take(cells)
        progress(done, len(dataset))
    return checker.report()


class _Mean:
    """A running mean."""

    def __init__(self) -> None:
        self.sum, self.count = 0.0, 0

    def add(self, value: float) -> None:
        self.sum, self.count = self.sum + value, self.count + 1

    @property
    def value(self) -> float | None:
        return self.sum / self.count if self.count else None


def _promised(dataset: Dataset) -> float:
    """Return the least share of a mask on the foreground that the dataset's generator promises."""
    try:
        return build_generator(dataset.provenance["resolved"]["generator"]).min_on_foreground
    except (KeyError, UsageError):  # no record, or a plug-in that is not here
        return 0.5


class _Checker:
    """Runs the rules over the rows and counts what breaks them."""

    def __init__(self, dataset: Dataset, pool: Pool | None):
        self.dataset = dataset
        self.pool = pool
        self.normals = NormalImages(dataset, pool)
        self.value_range = dataset.value_range
        self.small = [name for name in dataset.columns.names if name not in IMAGE_COLUMNS]
        self.boundary = recorded_fit(dataset)
        self.usual: tuple[int, np.dtype] | None = None
        self.violations: dict[str, Violation] = {}
        self.by_type: dict[str, int] = {}
        self.expected = expected_indices(dataset)
        self.position = self.compared = self.place = 0
        self.normal_without_soft = self.with_soft = 0
        self.invisible = _Mean()
        self.on_foreground = _Mean()
        self.min_on_foreground = _promised(dataset)

    def stored_rows(self) -> Iterator[dict[str, Any]]:
        for shard in self.dataset.shards:
            try:
                yield from shard_rows(shard, self.dataset.columns.names)
            except UsageError as error:
                self._add("file", str(error))

    def take(self, cells: dict[str, Any]) -> None:
        self.position += 1
        self.place = next(self.expected)
        if missing := missing_in({name: cells[name] for name in self.small}):
            self._add("row", f"row {self.position - 1}: {missing}")
            return
        record = DecodedRow(cells)
        for rule, what in self._faults(record):
            self._add(rule, f"row {cells['index']}: {what}")
        if cells["soft_mask"] is not None:
            self.with_soft += 1
        elif not record.anomalous:
            self.normal_without_soft += 1
        names = self.dataset.columns.defect_names
        name = names[cells["defect_type"]] if 0 <= cells["defect_type"] < len(names) else "?"
        self.by_type[name] = self.by_type.get(name, 0) + 1

    def report(self) -> Report:
        for rule, what in self._faults_of_the_whole():
            self._add(rule, what)
        normal = self.by_type.get(LABELS[NORMAL], 0)
        broken = tuple(self.violations[rule] for rule in RULES if rule in self.violations)
        return Report(
            path=str(self.dataset.path),
            rows=self.position,
            normal=normal,
            anomaly=self.position - normal,
            compared=self.compared,
            invisible=self.invisible.value,
            on_foreground=self.on_foreground.value,
            violations=broken,
            statistics=None if "row" in self.violations else statistics(self.dataset),
        )

    def _add(self, rule: str, example: str) -> None:
        self.violations.setdefault(rule, Violation(rule)).add(example)

    def _faults(self, record: DecodedRow) -> Faults:
        yield from record_faults(record.cells, self.place, self.dataset)
        for name in record.broken:
            yield "image", f"{name} cannot be decoded"
        if record.broken:
            return
        self.usual = self.usual or record.kind
        shapes = list(shape_faults(record, self.usual))
        yield from shapes
        if shapes:
            return
        yield from mask_faults(record)
        yield from self._source_faults(record)
        if record.anomalous:
            yield from self._anomaly_faults(record)
        else:
            yield from measure_faults(record, record.image, self.value_range, self.boundary)

    def _source_faults(self, record: DecodedRow) -> Faults:
        """A normal image is compared with the pool's; without a pool, with the first normal row of its source."""
        source_id = record.cells["source_id"]
        if self.pool is not None and self.normals.in_pool(source_id) is None:
            yield "source", f"the source that was given has no image {source_id!r}"
            return
        untouched = record.images.get("normal") if record.anomalous else record.image
        if untouched is None:
            return
        reference = self.normals.in_pool(source_id) if self.pool is not None else self._normal_row(source_id)
        if reference is not None and not np.array_equal(untouched, reference):
            yield "source", f"its normal image is not {source_id!r} ({difference(untouched, reference)})"
        kept = record.images.get("normal")
        if not record.anomalous and kept is not None and not np.array_equal(kept, record.image):
            yield "source", "image and normal differ, though the row is normal"

    def _anomaly_faults(self, record: DecodedRow) -> Faults:
        normal = record.images.get("normal")
        source_id = record.cells["source_id"]
        if normal is None:
            normal = self._normal_row(source_id)
        if normal is None:
            normal = self.normals.in_pool(source_id)
        if normal is None:
            yield from measure_faults(record, None, self.value_range, self.boundary)
            return
        if normal.shape != record.image.shape or normal.dtype != record.image.dtype:
            yield "shape", f"its normal image is {kind_of(normal)}, the image {kind_of(record.image)}"
            return
        yield from measure_faults(record, normal, self.value_range, self.boundary)
        yield from self._change_faults(record, normal)
        yield from self._foreground_faults(record, source_id)

    def _change_faults(self, record: DecodedRow, normal: np.ndarray) -> Faults:
        mask = record.mask
        leak = np.count_nonzero((record.image != normal).any(axis=2) & ~mask)
        if leak:
            yield "leak", f"{leak} pixels changed outside the mask"
        pixels = np.count_nonzero(mask)
        self.compared += 1
        if not pixels:
            return
        shown = [stretched(image, self.value_range) for image in (record.image, normal)]
        share = np.count_nonzero(change_between(*shown)[mask] <= TOLERANCE) / pixels
        self.invisible.add(share)
        if share > MAX_INVISIBLE:
            yield "invisible", f"{share:.0%} of the mask's {pixels} pixels did not visibly change"

    def _foreground_faults(self, record: DecodedRow, source_id: str) -> Faults:
        foreground = self.normals.foreground(source_id)
        pixels = np.count_nonzero(record.mask)
        if foreground is None or not pixels:
            return
        share = np.count_nonzero(record.mask & foreground) / pixels
        self.on_foreground.add(share)
        if share < self.min_on_foreground:
            yield "foreground", f"{share:.0%} of the mask lies on the foreground"

    def _normal_row(self, source_id: str) -> np.ndarray | None:
        try:
            return self.normals.in_rows(source_id)
        except UsageError:
            return None  # the row that cannot be read is reported where it stands

    def _faults_of_the_whole(self) -> Faults:
        yield from recipe_faults(self.dataset)
        yield from card_faults(self.dataset)
        yield from preview_faults(self.dataset)
        recorded = self.dataset.provenance["source"]["count"]
        if self.pool is not None and len(self.pool.source) != recorded:
            yield "record", f"the provenance says {recorded} normal images, {len(self.pool.source)} are there"
        yield from shard_faults(self.dataset)
        yield from count_faults(self.dataset, self.position, self.by_type)
        if self.normal_without_soft and self.with_soft:
            yield "soft mask", f"{self.normal_without_soft} normal rows have none, though other rows have one"
        if self.position - self.by_type.get(LABELS[NORMAL], 0) and not self.compared:
            yield "normal image", "none could be compared: no normal rows of the same images; give --source"
