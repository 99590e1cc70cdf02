"""From a request to jobs: which cells there are, which are done, which fit the budget."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from anomgen.config import Part
from anomgen.config.text import changed, one_line, refuse_two, with_name
from anomgen.errors import UsageError
from anomgen.making.engine import Plan, Recipe
from anomgen.score.cell import Bench, Cell, is_kept
from anomgen.score.configuration import command_of
from anomgen.score.data import RealData, load
from anomgen.score.detectors.base import Detector, build_detector
from anomgen.score.entries import Entry, entries_of
from anomgen.score.identity import cell_key, drawn_key, uses_network
from anomgen.score.perturb import perturbations_of
from anomgen.score.refusals import refuse_more_abnormal, refuse_real_without_masks, refuse_unkept, seen_by_models
from anomgen.score.request import NONE, Request
from anomgen.score.result import Done
from anomgen.score.rows import RowFile

SIZES = {"default": 128, "paper": 256}
"""Preset → size of the images."""
DRAWN = "synthetic"
"""Folder of the anomalies that are drawn before."""
PREDICTION = 1.2e-6
"""Seconds per pixel of a test image that maps and metrics take, for the estimate."""
WORKER_START = 4.0


@dataclass(frozen=True)
class Job:
    """Cells that share one fit, and what it will take: seconds of one processor core."""

    cells: tuple[Cell, ...]
    seconds: float


@dataclass
class Schedule:
    """A request with everything opened. todo: what is not in the rows yet; left_out: what the budget does not allow.

    notes: what the user should know before the rows are believed.
    """

    request: Request
    bench: Bench
    cells: list[Cell]
    todo: list[Job]
    left_out: list[Job] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def undrawn(self) -> list[tuple[str, str]]:
        """Return (data, entry) of the anomalies that the jobs to do need drawn before and that are not yet."""
        keys = dict.fromkeys((cell.data, cell.entry.name) for job in self.todo for cell in job.cells)
        files: dict[Path, tuple[str, str]] = {}
        for key in keys:  # lines that differ in how many anomalies they show share a file
            if key in self.bench.drawn:
                files.setdefault(self.bench.drawn[key], key)
        return [key for path, key in files.items() if not path.is_file()]

    def seconds(self, workers: int) -> float:
        """Return how long the jobs to do will take, with the anomalies that are drawn before them."""
        if not self.todo:
            return 0.0
        return (
            sum(_side_by_side(part, workers) for part in ([job.seconds for job in self.todo], self.drawing_seconds()))
            + WORKER_START
        )

    def drawing_seconds(self) -> list[float]:
        """Return what drawing before takes for each entry, in seconds of one processor core."""
        return [
            self.request.anomalies * self._definition(data, name).generator.cost(self.bench.data[data].train[0].shape)
            for data, name in self.undrawn()
        ]

    def _definition(self, data: str, name: str) -> Recipe:
        found = (cell.entry.definition for cell in self.cells if (cell.data, cell.entry.name) == (data, name))
        return next(recipe for recipe in found if recipe is not None)


def _side_by_side(seconds: Sequence[float], workers: int) -> float:
    return max([*seconds, sum(seconds) / workers], default=0.0) if seconds else 0.0


# --- planning -------------------------------------------------------------------------------------------------------


def scheduled(request: Request, out: Path, done: RowFile, *, part: Part = Part(), retry: bool = False) -> Schedule:
    """Open the data, the recipes and the detectors, and return which cells are to do.

    part: only these of the cells; those that share a fit stay together. retry: also those that
    failed. Raises UsageError for a wrong request, SourceError for images that cannot be used; writes nothing.
    """
    detectors = request_detectors(request)
    if request.keep:
        refuse_unkept(detectors.values())
    data = _opened(request, request_entries(request, "data"))  # names, kinds and counts are the same for all data sets
    entries = {key: request_entries(request, opened.name) for key, opened in data.items()}
    notes = list(dict.fromkeys(f"{opened.name}: {note}" for opened in data.values() for note in opened.notes))
    for key, opened in data.items():
        refuse_real_without_masks(opened, entries[key], detectors.values())
        refuse_more_abnormal(opened, entries[key])
    notes += [note for key, opened in data.items() for note in seen_by_models(opened, entries[key])]
    bench = Bench(
        data,
        detectors,
        {},
        _drawn(data, entries, out, request.anomalies),
        out,
        request.score,
        perturbations_of(request.perturb),
        command_of(request) if request.keep else None,
    )
    cells = [cell for key, opened in data.items() for cell in _cells(key, opened, entries[key], detectors, request)]
    jobs = _jobs(bench, cells, _paces(done, bench))
    finished = {key for key, row in done.rows.items() if not (retry and row.status == "failed")}
    if request.keep:
        finished &= {cell.key for cell in cells if is_kept(out, cell)}
    todo = _without(finished, part.take(jobs))
    return Schedule(request, replace(bench, plans=_recipe_plans(data, todo)), cells, todo, notes=tuple(notes))


def write_split(request: Request, out: Path) -> dict[Path, int]:
    """Write the images that models may be trained on; see `anomgen.score.split.write_training_images`."""
    from anomgen.score.split import write_training_images

    request_entries(request, "data")  # names that are no recipes are refused
    return write_training_images(request.data, out, real_share=request.real_share if "real" in request.recipes else 0.0)


def request_entries(request: Request, data: str) -> list[Entry]:
    """Return the lines of a data set's board: in changes and values of sweeps its name stands for `NAME_WORDS`."""
    typed = _prefixed(request.changes, "recipe")
    overrides = with_name(typed, data)
    try:
        return entries_of(
            request.recipes,
            overrides=overrides,
            ratios=request.ratios,
            counts=request.counts,
            abnormal=request.abnormal,
            sweeps={key: [with_name(value, data) for value in values] for key, values in request.sweeps.items()},
        )
    except UsageError as error:
        told = str(error)
        for change, named in zip(typed, overrides, strict=True):
            told = told.replace(named, change)
        raise UsageError(told) from error


def _without(keys: Iterable[str], jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs without the cells of those keys."""
    gone = set(keys)
    kept = [(job, tuple(cell for cell in job.cells if cell.key not in gone)) for job in jobs]
    return [replace(job, cells=cells) for job, cells in kept if cells]


def refreshed(schedule: Schedule, rows: RowFile, before: Iterable[str]) -> Schedule:
    """Return the schedule without what another run finished since it was made, when the keys `before` were there."""
    return replace(schedule, todo=_without(rows.rows.keys() - set(before), schedule.todo))


def _recipe_plans(data: Mapping[str, RealData], todo: Sequence[Job]) -> dict[tuple[str, str], Plan]:
    """Return the calibrated recipes of what is to be trained. Raises UsageError, as for a model that is not there."""
    found: dict[tuple[str, str], Plan] = {}
    for cell in (cell for job in todo for cell in job.cells):
        key, recipe = (cell.data, cell.entry.name), cell.entry.definition
        if recipe is not None and key not in found:
            found[key] = plan_of(recipe, cell.entry, data[cell.data])
    return found


def plan_of(recipe: Recipe, entry: Entry, data: RealData) -> Plan:
    """Return an entry's recipe, calibrated on the normal training images. Raises UsageError, which says what to set."""
    try:
        return Plan.of(recipe.model_copy(update={"seed": 0, "test_share": 0.0}), data.train)
    except UsageError as error:
        # What a recipe calls generator.model is said to `score` with the recipe's name before it.
        told = str(error).replace("--set generator.", f"--set recipe.{entry.recipe}.generator.")
        if "+" in entry.recipe:
            told += "; a mixture written with + takes no changes: write it as a recipe with kind: mix"
        raise UsageError(f"recipe {entry.name} on {data.name}: {told}") from error


def within(schedule: Schedule, budget: float, workers: int) -> Schedule:
    """Return the schedule with what does not fit `budget` seconds left out.

    Whole groups stay or go: all entries with one detector, seed and data set, so that what is compared was treated
    alike; only if not even the first group fits, a part of it. Drawing counts with the first group that needs it.
    """
    kept: list[Job] = []
    left: list[Job] = []

    def fits(jobs: Sequence[Job]) -> bool:
        return replace(schedule, todo=[*kept, *jobs]).seconds(workers) <= budget

    for _, jobs in itertools.groupby(schedule.todo, key=_group):
        group = list(jobs)
        if not left and fits(group):
            kept += group
        else:
            left += group
    if not kept:
        while left and fits(left[:1]):
            kept.append(left.pop(0))
    return replace(schedule, todo=kept, left_out=left)


def _group(job: Job) -> tuple[str, str, int]:
    cell = job.cells[0]
    return cell.data, cell.detector, cell.seed


def _prefixed(changes: Sequence[str], prefix: str) -> list[str]:
    for change in changes:
        if not change.startswith(("recipe.", "detector.")):
            raise UsageError(
                f"--set {change}: write recipe.NAME.KEY=VALUE or detector.NAME.KEY=VALUE, for instance "
                "recipe.perlin.generator.opacity_range=[0.5,1] or detector.realnet.backbone=resnet18"
            )
    return [change.removeprefix(f"{prefix}.") for change in changes if change.startswith(f"{prefix}.")]


def request_detectors(request: Request, option: str = "--detectors") -> dict[str, Detector]:
    """Return the wanted detectors by name, after `none`, which is quick and says what the others are worth.

    option: which names them. Raises UsageError, which tells it.
    """
    wanted = list(dict.fromkeys([NONE, *request.detectors]))
    own = changed({}, _prefixed(request.changes, "detector"), "detector.draem.width=32")
    for name, settings in own.items():
        if not isinstance(settings, Mapping):
            raise UsageError(f"--set detector.{name}={one_line(settings)}: name a key, as in detector.draem.width=32")
    if request.steps is not None:
        steps = (f"--steps {request.steps}", request.steps)
        refuse_two({"detector": own}, dict.fromkeys((f"detector.{name}.steps" for name in wanted), steps))
    strange = sorted(own.keys() - set(wanted))
    if strange:
        raise UsageError(f"--set detector.{strange[0]}: this detector is not asked for with {option}")
    shared = {"preset": request.preset, **({} if request.steps is None else {"steps": request.steps})}
    return {name: _detector(name, {**shared, **own.get(name, {})}, option) for name in wanted}


def _detector(name: str, settings: Mapping[str, Any], option: str) -> Detector:
    """Return a detector. Errors name what was typed: the option that names the detector, or --set."""
    try:
        return build_detector({"kind": name, **settings})
    except UsageError as error:
        told = str(error)
        wrong = f"{option}: {told[6:]}" if told.startswith("kind: ") else f"--set detector.{name}.{told}"
        raise UsageError(wrong) from error


def _opened(request: Request, entries: Sequence[Entry]) -> dict[str, RealData]:
    """Return each data set, once per number of training images; the keys are its name and that number."""
    size = request.size or SIZES.get(request.preset, 128)
    share = request.real_share if any(entry.kind == "real" for entry in entries) else 0.0
    found: dict[str, RealData] = {}
    for path in request.data:
        for count in dict.fromkeys(entry.train_count for entry in entries):
            opened = load(path, size, real_share=share, train_count=count)
            key = _data_key(opened.name, count)
            if key in found:
                raise UsageError(f"two data sets are called {opened.name!r}; rename one folder")
            if not opened.test.labels.any():
                raise UsageError(f"{path}: has no anomalous test image; without real anomalies nothing can be tested")
            _refuse_same(path, opened, found.values())
            found[key] = opened
    return found


def _refuse_same(path: str, data: RealData, others: Iterable[RealData]) -> None:
    """Raise UsageError when another data set has the same test images: it would count twice."""
    content = data.test.content_fingerprint
    same = next((o for o in others if o.name != data.name and o.test.content_fingerprint == content), None)
    if same is not None:
        raise UsageError(f"{path}: has the same test images as {same.name}; give one of the two")


def _data_key(name: str, count: int | None) -> str:
    return name if count is None else f"{name} {count}"


def _drawn(
    data: Mapping[str, RealData], entries: Mapping[str, Sequence[Entry]], out: Path, anomalies: int
) -> dict[tuple[str, str], Path]:
    """Return where the anomalies of each entry whose generator runs a network lie or will lie."""
    return {
        (key, entry.name): out / DRAWN / f"{drawn_key(opened, entry, anomalies)}.npz"
        for key, opened in data.items()
        for entry in entries[key]
        if uses_network(entry) and _data_key(opened.name, entry.train_count) == key
    }


def _cells(
    key: str, data: RealData, entries: Sequence[Entry], detectors: Mapping[str, Detector], request: Request
) -> Iterator[Cell]:
    """Yield the cells of a data set: seed by seed and detector by detector, so that a budget cuts off whole boards."""
    more: dict[str, Any] = {} if request.score == "window" else {"score": request.score}
    if request.perturb:
        more["perturb"] = [tuple(perturbation) for perturbation in perturbations_of(request.perturb)]
    own = [entry for entry in entries if _data_key(data.name, entry.train_count) == key]
    for seed in range(request.seeds):
        for name, detector in detectors.items():
            for entry in own:
                if (entry.kind == "none") == (name == NONE):
                    identity = cell_key(data, entry, detector, seed, request.anomalies, **more)
                    yield Cell(identity, key, entry, name, seed)


def _jobs(bench: Bench, cells: Sequence[Cell], paces: Mapping[str, float]) -> list[Job]:
    """Return the cells as jobs: one each, but one for all entries of a detector that learns from normal images."""
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        shared = not bench.detectors[cell.detector].uses_anomalies
        groups.setdefault((cell.data, cell.detector, cell.seed, None if shared else cell.entry.name), []).append(cell)
    found = [Job(tuple(group), _seconds(bench, group, paces)) for group in groups.values()]
    return sorted(
        found, key=lambda job: (job.cells[0].seed,)
    )  # stable: data sets within a seed, detectors within those


def _seconds(bench: Bench, cells: Sequence[Cell], paces: Mapping[str, float]) -> float:
    data, detector = bench.data[cells[0].data], bench.detectors[cells[0].detector]
    height, width = data.test.images.shape[1:3]
    fit = detector.cost((height, width), len(data.train)) * paces.get(cells[0].detector, 1.0)
    result: float = fit + PREDICTION * height * width * len(data.test) * (len(cells) + len(bench.perturb))
    return result


def _paces(done: RowFile, bench: Bench) -> dict[str, float]:
    """Return detector → how much longer than estimated its fits took in the rows that are there."""
    found: dict[str, list[float]] = {}
    opened = {data.fingerprint: data for data in bench.data.values()}
    for row in done.rows.values():
        detector, data = bench.detectors.get(row.detector), opened.get(row.data_fingerprint)
        if not isinstance(row, Done) or detector is None or data is None or row.settings != detector.recorded():
            continue
        estimate = detector.cost((row.size[0], row.size[1]), len(data.train))
        if detector.uses_anomalies and estimate > 0:
            found.setdefault(row.detector, []).append(row.seconds.fit / estimate)
    return {name: median(values) for name, values in found.items()}
