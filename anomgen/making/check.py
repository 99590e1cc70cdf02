"""Verify a finished dataset against its own records and against the normal images it was made of.

Nothing that the generators computed is trusted: masks are compared with the pixels that differ, and severity,
area and boxes are measured again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from anomgen.dataset.columns import IMAGE_COLUMNS
from anomgen.dataset.normals import NormalImages
from anomgen.dataset.png import decode_png
from anomgen.dataset.reader import SHARD_PATTERN, Dataset, shard_rows
from anomgen.dataset.row import ANOMALY, LABELS, NORMAL, area_of, boxes_of, image_name, severity_of
from anomgen.dataset.statistics import statistics
from anomgen.errors import UsageError
from anomgen.generators.base import build_generator
from anomgen.synthesis.sample import TOLERANCE, change_between, smallest_mask

if TYPE_CHECKING:
    from anomgen.sources.pool import Pool

EXAMPLES = 5
"""How many rows a violation names."""

MAX_INVISIBLE = 0.5
"""Share of a mask that may be unchanged: holes that a method's majority filter closed, never most of it."""

RULES = {
    "file": "every shard can be read",
    "shards": "the shards are all there, as many as the provenance says",
    "count": "the numbers of rows are those of the recipe and the provenance",
    "index": "row k has index k",
    "label": "label, defect type, seed and parameters are consistent",
    "name": "the images of row k are called 00000k.png",
    "image": "every image can be decoded",
    "shape": "image, masks and normal image agree in size, channels and depth",
    "mask values": "a mask holds 0 and 255 only",
    "mask": "an anomalous row has a mask large enough to see (16 pixels at 256×256), a normal row an empty one",
    "soft mask": "a soft mask is zero outside the mask, and present in all normal rows or in none",
    "leak": "outside the mask the image is its normal image, bit for bit",
    "invisible": f"more than {1 - MAX_INVISIBLE:.0%} of a mask changed by more than {TOLERANCE:g} of 255",
    "severity": "the recorded severity is the measured one",
    "area": "the recorded area is the measured one",
    "boxes": "the recorded boxes are those of the mask's components",
    "source": "a normal image is the source's image",
    "foreground": "a mask lies on the foreground, as far as its generator promises",
    "twin": "anomalous rows can be compared with their normal images",
}
"""What is verified, in the order in which it is reported."""

Findings = Iterator[tuple[str, str]]
"""Pairs of a rule and what was found to break it."""


@dataclass
class Violation:
    """A rule that does not hold: how often, and where it was seen first."""

    rule: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Count one more; the first few are kept."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


@dataclass(frozen=True)
class Report:
    """What `check_dataset` found. `ok` when no rule is broken."""

    path: str
    rows: int
    normal: int
    anomaly: int
    compared: int
    invisible: float | None
    on_foreground: float | None
    violations: tuple[Violation, ...]
    statistics: dict[str, Any] | None

    @property
    def ok(self) -> bool:
        """Return whether every rule holds."""
        return not self.violations

    @property
    def not_compared(self) -> int:
        """Return the number of anomalous rows whose normal image was nowhere to be found."""
        return self.anomaly - self.compared

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return {
            "path": self.path,
            "ok": self.ok,
            "rows": {"all": self.rows, "normal": self.normal, "anomaly": self.anomaly},
            "compared": self.compared,
            "not_compared": self.not_compared,
            "invisible_share": self.invisible,
            "on_foreground_share": self.on_foreground,
            "violations": [
                {"rule": v.rule, "must_hold": RULES[v.rule], "count": v.count, "examples": v.examples}
                for v in self.violations
            ],
            "statistics": self.statistics,
        }

    def render(self) -> str:
        """Return the report as text."""
        verdict = "ok" if self.ok else f"{len(self.violations)} of {len(RULES)} rules are broken"
        lines = [
            f"{self.path}: {verdict}",
            f"  {self.rows} rows: {self.normal} normal, {self.anomaly} anomalous",
            f"  {self.compared} anomalous rows compared with their normal image, {self.not_compared} not",
        ]
        if self.compared and self.not_compared:
            lines.append("  (their normal images are not in the dataset; give --source to compare them too)")
        if self.invisible is not None:
            lines.append(f"  {self.invisible:.1%} of a mask's pixels did not visibly change, on average")
        if self.on_foreground is not None:
            lines.append(f"  {self.on_foreground:.1%} of a mask lies on the foreground, on average")
        lines += _quantile_lines(self.statistics)
        for violation in self.violations:
            lines.append(f"  BROKEN {violation.rule}: {RULES[violation.rule]}; {violation.count} times")
            lines += [f"    {example}" for example in violation.examples]
            if violation.count > len(violation.examples):
                lines.append(f"    and {violation.count - len(violation.examples)} more")
        return "\n".join(lines)


def check_dataset(
    dataset: Dataset, pool: Pool | None = None, *, progress: Callable[[int], None] | None = None
) -> Report:
    """Verify every row of a dataset; what is broken is in the report, not raised.

    pool: the normal images, needed where the dataset holds neither the normal image of each row nor normal rows
    of the same sources; with it, normal rows are compared with it too. progress: called with the number of rows
    done. Holds one row group and a bounded number of normal images in memory.
    """
    unreadable = _unreadable_shards(dataset)
    if unreadable.count:
        return Report(str(dataset.path), len(dataset), 0, 0, 0, None, None, (unreadable,), None)
    checker = _Checker(dataset, pool)
    for done, cells in enumerate(checker.stored_rows(), start=1):
        checker.take(cells)
        if progress is not None:
            progress(done)
    return checker.report()


class _Record:
    """A row with its images decoded; `broken` names the columns that could not be."""

    def __init__(self, cells: dict[str, Any]):
        self.cells = cells
        self.anomalous = cells["label"] == ANOMALY
        self.broken: list[str] = []
        self.images: dict[str, np.ndarray] = {}
        for name in IMAGE_COLUMNS:
            self._decode(name)

    def _decode(self, name: str) -> None:
        cell = self.cells.get(name)
        if cell is None:
            if name in ("image", "mask"):
                self.broken.append(name)
            return
        try:
            self.images[name] = decode_png(cell["bytes"])
        except ValueError:
            self.broken.append(name)

    @property
    def image(self) -> np.ndarray:
        return self.images["image"]

    @property
    def mask(self) -> np.ndarray:
        return self.images["mask"][..., 0] > 127


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
        self.violations: dict[str, Violation] = {}
        self.by_type: dict[str, int] = {}
        self.position = self.compared = 0
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
        record = _Record(cells)
        for rule, what in self._findings(record):
            self._add(rule, f"row {cells['index']}: {what}")
        self.position += 1
        if cells["soft_mask"] is not None:
            self.with_soft += 1
        elif not record.anomalous:
            self.normal_without_soft += 1
        names = self.dataset.columns.defect_names
        name = names[cells["defect_type"]] if 0 <= cells["defect_type"] < len(names) else "?"
        self.by_type[name] = self.by_type.get(name, 0) + 1

    def report(self) -> Report:
        for rule, what in self._findings_of_the_whole():
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
            statistics=statistics(self.dataset),
        )

    def _add(self, rule: str, example: str) -> None:
        self.violations.setdefault(rule, Violation(rule)).add(example)

    def _findings(self, record: _Record) -> Findings:
        yield from _record_findings(record.cells, self.position, self.dataset)
        for name in record.broken:
            yield "image", f"{name} cannot be decoded"
        if record.broken:
            return
        shapes = list(_shape_findings(record.images))
        yield from shapes
        if shapes:
            return
        yield from _mask_findings(record)
        yield from self._source_findings(record)
        if record.anomalous:
            yield from self._anomaly_findings(record)
        else:
            yield from _measure_findings(record, record.image)

    def _source_findings(self, record: _Record) -> Findings:
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
            yield "source", f"its normal image is not {source_id!r} ({_difference(untouched, reference)})"
        kept = record.images.get("normal")
        if not record.anomalous and kept is not None and not np.array_equal(kept, record.image):
            yield "source", "image and normal differ, though the row is normal"

    def _anomaly_findings(self, record: _Record) -> Findings:
        normal = record.images.get("normal")
        source_id = record.cells["source_id"]
        if normal is None:
            normal = self._normal_row(source_id)
        if normal is None:
            normal = self.normals.in_pool(source_id)
        if normal is None:
            yield from _measure_findings(record, None)
            return
        if normal.shape != record.image.shape or normal.dtype != record.image.dtype:
            yield "shape", f"its normal image is {_kind(normal)}, the image {_kind(record.image)}"
            return
        yield from _measure_findings(record, normal)
        yield from self._change_findings(record, normal)
        yield from self._foreground_findings(record, source_id)

    def _change_findings(self, record: _Record, normal: np.ndarray) -> Findings:
        mask = record.mask
        leak = np.count_nonzero((record.image != normal).any(axis=2) & ~mask)
        if leak:
            yield "leak", f"{leak} pixels changed outside the mask"
        pixels = np.count_nonzero(mask)
        self.compared += 1
        if not pixels:
            return
        share = np.count_nonzero(change_between(record.image, normal)[mask] <= TOLERANCE) / pixels
        self.invisible.add(share)
        if share > MAX_INVISIBLE:
            yield "invisible", f"{share:.0%} of the mask's {pixels} pixels did not visibly change"

    def _foreground_findings(self, record: _Record, source_id: str) -> Findings:
        image = self.normals.in_pool(source_id)
        if image is None or self.pool is None:
            return
        foreground = self.pool.foreground(image)
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

    def _findings_of_the_whole(self) -> Findings:
        yield from _shard_findings(self.dataset)
        yield from _count_findings(self.dataset, self.position, self.by_type)
        if self.normal_without_soft and self.with_soft:
            yield "soft mask", f"{self.normal_without_soft} normal rows have none, though other rows have one"
        if self.position - self.by_type.get(LABELS[NORMAL], 0) and not self.compared:
            yield "twin", "none could be compared: no normal rows of the same images; give --source"


# ------------------------------------------------------------------------------------------------ rules, by row


def _record_findings(cells: dict[str, Any], position: int, dataset: Dataset) -> Findings:
    index, label, defect = cells["index"], cells["label"], cells["defect_type"]
    if index != position:
        yield "index", f"stands at position {position}"
    if label not in (NORMAL, ANOMALY) or not 0 <= defect < len(dataset.columns.defect_names):
        yield "label", f"label {label} and defect type {defect} are not among the names"
    elif (label == NORMAL) != (defect == 0):
        yield "label", f"label {LABELS[label]}, defect type {dataset.columns.defect_names[defect]}"
    if cells["seed"] != dataset.recipe.get("seed", cells["seed"]) or cells["attempt"] < 0:
        yield "label", f"seed {cells['seed']}, attempt {cells['attempt']}; the recipe's seed differs"
    if not _is_json_object(cells["params"]):
        yield "label", "its parameters are not a JSON object"
    for name in IMAGE_COLUMNS:
        cell = cells.get(name)
        if cell is not None and cell["path"] != image_name(index):
            yield "name", f"{name} is called {cell['path']!r}"


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError):
        return False


def _shape_findings(images: dict[str, np.ndarray]) -> Findings:
    image = images["image"]
    for name, other in images.items():
        if name == "normal":
            fits = other.shape == image.shape and other.dtype == image.dtype
        else:
            fits = name == "image" or (other.shape == (*image.shape[:2], 1) and other.dtype == np.uint8)
        if not fits:
            yield "shape", f"{name} is {_kind(other)}, the image {_kind(image)}"


def _mask_findings(record: _Record) -> Findings:
    stored = record.images["mask"]
    if not np.isin(stored, (0, 255)).all():
        yield "mask values", f"holds values such as {int(stored[~np.isin(stored, (0, 255))][0])}"
    pixels = np.count_nonzero(record.mask)
    if record.anomalous and pixels < smallest_mask(record.mask.shape):
        yield "mask", f"anomalous, but its mask has {pixels} pixels"
    if not record.anomalous and stored.any():
        yield "mask", f"normal, but its mask has {np.count_nonzero(stored)} pixels"
    soft = record.images.get("soft_mask")
    if soft is not None:
        outside = np.count_nonzero(soft[..., 0][~record.mask])
        if outside:
            yield "soft mask", f"{outside} pixels outside the mask are not zero"


def _measure_findings(record: _Record, normal: np.ndarray | None) -> Findings:
    cells, mask = record.cells, record.mask
    if cells["boxes"] != boxes_of(mask):
        yield "boxes", f"recorded {cells['boxes']}, measured {boxes_of(mask)}"
    measured = {"area": area_of(mask)}
    if normal is not None:
        measured["severity"] = severity_of(record.image, normal, mask)
    for name, value in measured.items():
        if not np.isclose(cells[name], value, rtol=3e-7, atol=0):
            yield name, f"recorded {cells[name]:.9g}, measured {value:.9g}"


def _difference(image: np.ndarray, other: np.ndarray) -> str:
    if image.shape != other.shape or image.dtype != other.dtype:
        return f"it is {_kind(image)}, that is {_kind(other)}"
    return f"{np.count_nonzero((image != other).any(axis=2))} pixels differ"


def _kind(image: np.ndarray) -> str:
    height, width, channels = image.shape
    return f"{height}×{width}×{channels} {image.dtype}"


# ----------------------------------------------------------------------------------------- rules, of the whole


def _unreadable_shards(dataset: Dataset) -> Violation:
    """Return the shards whose small columns are damaged; without those nothing else can be said."""
    violation = Violation("file")
    small = [name for name in dataset.columns.names if name not in IMAGE_COLUMNS]
    for shard in dataset.shards:
        try:
            for _ in shard_rows(shard, small):
                pass
        except UsageError as error:
            violation.add(str(error))
    return violation


def _shard_findings(dataset: Dataset) -> Findings:
    matches = [SHARD_PATTERN.fullmatch(shard.name) for shard in dataset.shards]
    numbers = [(int(match[1]), int(match[2])) for match in matches if match]
    count = numbers[0][1]
    if numbers != [(number, count) for number in range(count)]:
        there = ", ".join(shard.name for shard in dataset.shards[:EXAMPLES])
        yield "shards", f"{len(numbers)} files are there ({there}, …), {count} should be"
    recorded = dataset.provenance.get("shards", count)
    if recorded != count:
        yield "shards", f"the provenance says {recorded} shards, the names say {count}"


def _count_findings(dataset: Dataset, rows: int, by_type: dict[str, int]) -> Findings:
    wanted = dataset.recipe.get("count", rows)
    if wanted != rows:
        yield "count", f"the recipe asks for {wanted} rows, {rows} are there"
    recorded = dataset.provenance.get("rows", {})
    normal = by_type.get(LABELS[NORMAL], 0)
    counted = {"normal": normal, "anomaly": rows - normal}
    types = {name: count for name, count in by_type.items() if name != LABELS[NORMAL]}
    for name, count in counted.items():
        if recorded.get(name, count) != count:
            yield "count", f"the provenance says {recorded[name]} {name} rows, {count} are there"
    stated = {name: count for name, count in recorded.get("by_type", types).items() if count}
    if stated != types:
        yield "count", f"the provenance says {stated}, {types} are there"


def _quantile_lines(stats: dict[str, Any] | None) -> list[str]:
    if stats is None or not stats["anomaly"]:
        return []
    lines = [f"  {'quantiles':24}{'min':>9}{'5 %':>9}{'25 %':>9}{'50 %':>9}{'75 %':>9}{'95 %':>9}{'max':>9}"]
    parts = {"all": stats["all"], **(stats["by_type"] if len(stats["by_type"]) > 1 else {})}
    for name, part in parts.items():
        for measure in ("area", "severity"):
            if part[measure] is not None:
                values = "".join(f"{100 * value:8.2f}%" for value in part[measure].values())
                lines.append(f"  {f'{measure}, {name}':24}{values}")
    return lines
