"""One cell of the board, from fit to row: a detector trained on an entry's anomalies, tested on real ones."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from anomgen.errors import AnomgenError, Unwritable, redacted
from anomgen.files import fingerprint_of
from anomgen.making.engine import Plan
from anomgen.making.threads import single_threaded
from anomgen.rng import Stream, rng_for
from anomgen.score import bootstrap, metrics
from anomgen.score.anomalies import Anomalies, anomalies_of, load_anomalies
from anomgen.score.checkpoint import Checkpoint
from anomgen.score.data import RealData
from anomgen.score.detectors.base import Batch, Detector
from anomgen.score.entries import RATIO, Entry
from anomgen.score.examples import write_examples
from anomgen.score.kept.describe import VERSIONED, Fitting, described
from anomgen.score.kept.folder import DESCRIPTION, save_detector
from anomgen.score.limits import bounds_of
from anomgen.score.loader import GeneratorRows, GivenRows, Loader
from anomgen.score.perturb import Perturbation, judged
from anomgen.score.result import REPLICATES, SCHEMA, Counts, Done, Failed, Result, Scored, Seconds, Thresholds
from anomgen.score.rows import MAPS
from anomgen.sources.pool import Pool
from anomgen.versions import installed

CHECKPOINTS, KEPT = "checkpoints", "inspectors"
"""Folders of what long trainings are gone on with, and of the detectors that are kept."""
CURVE_POINTS = 65
"""Thresholds of the curve of F1 over pixels that a row holds."""
BEST = {"threshold_f1": "image_f1_max", "threshold_pixel_f1": "pixel_f1_max"}
"""F1 at a threshold → the best that any threshold gives, which is not defined where that is not."""


@dataclass(frozen=True)
class Cell:
    """What a row is the result of."""

    key: str
    data: str
    """Name of the data set, and its number of training images where that is varied: the key of the opened data."""
    entry: Entry
    detector: str
    seed: int


@dataclass(frozen=True)
class Bench:
    """Everything opened that cells need; sent to each worker once."""

    data: Mapping[str, RealData]
    detectors: Mapping[str, Detector]
    plans: Mapping[tuple[str, str], Plan]
    """(data, entry) → the recipe, calibrated on the data's normal training images, for what is to be trained."""
    drawn: Mapping[tuple[str, str], Path]
    """(data, entry) → anomalies drawn before, for generators that are too slow to draw while training."""
    out: Path
    score: metrics.Reducer = "window"
    """How a map becomes the score of its image."""
    perturb: tuple[Perturbation, ...] = ()
    """Changes of the test images that the detectors are also judged under."""
    keep: str | None = None
    """The command line, where the trained detectors are kept: it is what makes them again."""

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width of the images."""
        height, width = next(iter(self.data.values())).test.images.shape[1:3]
        return height, width


def run(bench: Bench, cells: Sequence[Cell]) -> Sequence[Result]:
    """Return the rows of cells that share one fit: one cell, or all entries of a detector that needs no anomalies.

    A training that fails, for whatever reason, gives rows that say so. Raises Unwritable where it is the disk that
    fails: no training is the reason, and the same training goes on when there is room.
    """
    try:
        with single_threaded():
            return _run(bench, cells)
    except Unwritable:
        raise
    except (Exception, SystemExit, GeneratorExit) as error:
        return failed(bench, cells, reason(error))


def checkpoint_of(out: Path, cell: Cell) -> Checkpoint:
    """Return where the fit of a cell is gone on with after an interruption."""
    return Checkpoint(out / CHECKPOINTS / f"{cell.key}.safetensors", cell.key)


def failed(bench: Bench, cells: Sequence[Cell], why: str) -> list[Failed]:
    """Return the rows of cells whose training failed."""
    return [Failed(**_head(bench, cell), status="failed", error=why, metrics={}, finished=_now()) for cell in cells]


def _run(bench: Bench, cells: Sequence[Cell]) -> list[Done]:
    started = time.perf_counter()
    data, detector = bench.data[cells[0].data], bench.detectors[cells[0].detector].unfitted()
    loaders = [_loader(bench, cell) for cell in cells]
    loaders[0].checkpoint = checkpoint_of(bench.out, cells[0])
    detector.fit(loaders[0], rng_for(cells[0].seed, Stream.TRAINING))
    fitted = time.perf_counter()
    maps = detector.anomaly_maps(data.test.images)
    predicted = time.perf_counter()
    tested = _tested(data, maps, bench.score)
    perturbed = (perturbation.applied(data.test.images) for perturbation in bench.perturb)
    changed = [metrics.reduce_maps(detector.anomaly_maps(images), bench.score) for images in perturbed]
    rows = []
    for cell, loader in zip(cells, loaders, strict=True):
        begun = time.perf_counter()
        held_maps = detector.anomaly_maps(loader.validation.images)
        chosen, validation = _thresholds(tested, loader.validation, held_maps, bench.score)
        limit = chosen.max_fpr_5.threshold
        kept_at = chosen.f1.threshold
        if kept_at is None:  # without anomalies to choose it on
            kept_at = metrics.Curve.scored(validation).max_fpr_threshold(0.0)
        by_type = metrics.by_type(data.test.defect_types, tested.scores, limit, data.test.masks, maps)
        measured = _with_chosen(tested.measured, chosen)
        examples = write_examples(bench.out / MAPS / cell.key, data, tested.scores, maps)
        share = len(cells)
        seconds = Seconds(
            fit=round((fitted - started) / share, 2),
            waiting=round(loaders[0].waiting / share, 2),
            synthesis=round(loader.synthesis, 2),
            predict=round((predicted - fitted) / share, 2),
            metrics=round(tested.seconds / share + time.perf_counter() - begun, 2),
        )
        row = Done(
            **_head(bench, cell),
            status="done",
            error=None,
            metrics=measured.metrics,
            undefined=measured.undefined,
            replicates=tested.replicates,
            scores=tested.scores.tolist(),
            anomalous=data.test.labels.tolist(),
            validation=validation,
            pixel_f1=[] if tested.pixels is None else tested.pixels.f1_points(CURVE_POINTS),
            thresholds=chosen,
            perturbed=[
                judged(perturbation, data.test.labels, scores, kept_at)
                for perturbation, scores in zip(bench.perturb, changed, strict=True)
            ],
            by_type=by_type,
            examples=examples,
            seconds=seconds,
            finished=_now(),
        )
        rows.append(row)
        if bench.keep is not None:
            _keep(bench, cell, detector, loader.validation, held_maps, maps, seconds.fit)
    return rows


def kept_in(out: Path, cell: Cell) -> Path:
    """Return the folder in which the detector of a cell is kept."""
    words = "-".join((cell.data, cell.entry.name, cell.detector, str(cell.seed)))
    return out / KEPT / f"{re.sub(r'[^A-Za-z0-9.]+', '-', words)[:80].strip('-.')}-{cell.key[:6]}"


def is_kept(out: Path, cell: Cell) -> bool:
    """Return whether the detector of a cell is kept, whole."""
    return (kept_in(out, cell) / DESCRIPTION).is_file()


def _keep(
    bench: Bench,
    cell: Cell,
    detector: Detector,
    validation: Batch,
    held_maps: np.ndarray,
    maps: np.ndarray,
    seconds: float,
) -> None:
    """Keep a fitted detector as `fit` does; its threshold has the best F1, or, without anomalies, flags no image."""
    bounds = () if validation.labels.any() else bounds_of(["fpr=0"])
    assert bench.keep is not None
    told = Fitting(cell.entry, cell.seed, bench.score, bounds, "recipe", bench.keep)
    description, _ = described(bench.data[cell.data], detector, validation, held_maps, maps, told)
    save_detector(kept_in(bench.out, cell), detector, description, seconds)


# --- what is trained on ---------------------------------------------------------------------------------------------


def _loader(bench: Bench, cell: Cell) -> Loader:
    key = (cell.data, cell.entry.name)
    return loader_of(bench.data[cell.data], cell.entry, cell.seed, bench.plans.get(key), bench.drawn.get(key))


def loader_of(data: RealData, entry: Entry, seed: int, plan: Plan | None, drawn: Path | None) -> Loader:
    """Return what a detector trains on. plan: of a recipe; drawn: where its anomalies lie, if they are drawn before."""
    if drawn is not None:
        return given_loader(load_anomalies(drawn), entry, data, seed)
    if entry.kind == "recipe":
        assert plan is not None
        return generator_loader(plan, data, seed)
    anomalies = Anomalies([], []) if entry.kind == "none" else anomalies_of(data, entry)
    return given_loader(anomalies, entry, data, seed)


def generator_loader(plan: Plan, data: RealData, seed: int) -> Loader:
    """Return what a detector trains on: the data's normal images, and anomalies that are drawn when they are wanted."""
    seeded = replace(plan, recipe=plan.recipe.model_copy(update={"seed": seed}))
    held_out = replace(seeded, source=data.validation)
    return Loader(data.train, GeneratorRows(seeded), data.validation, GeneratorRows(held_out))


def given_loader(anomalies: Anomalies, entry: Entry, data: RealData, seed: int) -> Loader:
    """Return what a detector trains on: the data's normal images, and anomalies that are there already.

    Real ones are shown mirrored and turned.
    """
    ratio = entry.variation.get(RATIO) or (entry.definition.anomaly_ratio if entry.definition else 0.5)
    train = GivenRows(anomalies.training, Pool(data.train), ratio, seed, turn=entry.kind == "real")
    held_out = GivenRows(anomalies.validation, Pool(data.validation), ratio, seed)
    return Loader(data.train, train, data.validation, held_out)


# --- what came out --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tested:
    """What does not depend on a threshold. pixels: None where the data has no masks."""

    measured: metrics.Metrics
    replicates: dict[str, list[float]]
    scores: np.ndarray
    images: metrics.Curve
    pixels: metrics.Curve | None
    seconds: float


def _tested(data: RealData, maps: np.ndarray, score: metrics.Reducer) -> _Tested:
    started = time.perf_counter()
    test = data.test
    if maps.shape != test.images.shape[:3] or maps.dtype != np.float32:
        raise AnomgenError(f"the detector returned maps {maps.dtype} {maps.shape} for images {test.images.shape}")
    scores = metrics.reduce_maps(maps, score)
    images = metrics.Curve.of(test.labels, scores)
    pixels = None if test.masks is None else metrics.Curve.of_maps(test.masks, maps)
    of_images, of_pixels = metrics.image_metrics(images), metrics.pixel_metrics(pixels)
    measured = metrics.Metrics(of_images.metrics | of_pixels.metrics, of_images.undefined | of_pixels.undefined)
    replicates = bootstrap.replicates(resampled_by(data), test.labels, scores, test.masks, maps, REPLICATES)
    return _Tested(measured, replicates, scores, images, pixels, time.perf_counter() - started)


def resampled_by(data: RealData) -> str:
    """Return what the bootstrap's resamples follow from: the test images, whatever was trained on."""
    return fingerprint_of({"test": list(zip(data.test.ids, data.test.defect_types, strict=True))})


def _thresholds(
    tested: _Tested, validation: Batch, maps: np.ndarray, score: metrics.Reducer
) -> tuple[Thresholds, Scored]:
    """Return what thresholds that were chosen on synthetic anomalies reach on the real ones, and these ones' scores.

    maps: of the validation images.
    """
    scored = Scored(scores=metrics.reduce_maps(maps, score).tolist(), anomalous=validation.labels.tolist())
    chosen = metrics.thresholds(metrics.Curve.scored(scored), tested.images)
    if tested.pixels is None:
        return chosen, scored
    pixels = metrics.chosen_f1(metrics.Curve.of_maps(validation.masks, maps), tested.pixels)
    return chosen.model_copy(update={"pixel_f1": pixels}), scored


def _with_chosen(measured: metrics.Metrics, chosen: Thresholds) -> metrics.Metrics:
    """Add F1 at the chosen thresholds; without a best F1 of any threshold it is not defined either."""
    figures = {"threshold_f1": chosen.f1.f1}
    if chosen.pixel_f1 is not None:
        figures["threshold_pixel_f1"] = chosen.pixel_f1.f1
    why = "there is no synthetic anomaly to choose it with"
    undefined = {name: measured.undefined.get(BEST[name], why) for name, f1 in figures.items() if f1 is None}
    return metrics.Metrics(measured.metrics | figures, measured.undefined | undefined)


def _head(bench: Bench, cell: Cell) -> dict[str, Any]:
    """Return what every row of a cell holds."""
    data, entry, labels = bench.data[cell.data], cell.entry, bench.data[cell.data].test.labels
    return {
        "schema_version": SCHEMA,
        "key": cell.key,
        "data": data.name,
        "data_fingerprint": data.fingerprint,
        "entry": entry.name,
        "recipe": entry.recipe,
        "variation": dict(entry.variation),
        "detector": cell.detector,
        "settings": bench.detectors[cell.detector].recorded(),
        "seed": cell.seed,
        "size": list(data.test.images.shape[1:3]),
        "counts": Counts(
            train=len(data.train),
            validation=len(data.validation),
            test_normal=int((~labels).sum()),
            test_anomalous=int(labels.sum()),
            lost_masks=data.test.lost_masks,
            anomalous_pixels=None if data.test.masks is None else float(data.test.masks.mean()),
        ),
        "versions": installed(VERSIONED),
    }


def reason(error: BaseException) -> str:
    """Return what failed and, where that was not foreseen, at which line; a plug-in's author needs it."""
    if isinstance(error, AnomgenError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {redacted(str(error))} ({Path(place.filename).name}, line {place.lineno})"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
