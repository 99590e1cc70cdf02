"""`fit`: train one detector as `score` does, choose its threshold, and keep both."""

from __future__ import annotations

import shlex
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anomgen.config import portable_path
from anomgen.config.text import Overrides, require_whole
from anomgen.errors import AnomgenNote, Progress, UsageError, silent
from anomgen.files import locked, refuse_inside
from anomgen.places import local, temporary_folder
from anomgen.score.kept.record import Description, On
from anomgen.score.limits import MISSES, Bound, Unreachable, bounds_of
from anomgen.score.metrics import Reducer
from anomgen.score.request import Request, one_of, require_extra

if TYPE_CHECKING:
    from anomgen.score.checkpoint import Checkpoint
    from anomgen.score.data import RealData
    from anomgen.score.detectors.base import Detector
    from anomgen.score.entries import Entry
    from anomgen.score.loader import Loader


@dataclass(frozen=True)
class Fitted:
    """A detector that was trained and kept."""

    path: Path
    description: Description


@dataclass(frozen=True)
class _Task:
    """All that a fit needs, opened and checked."""

    data: RealData
    entry: Entry
    detector: Detector
    seed: int
    bounds: tuple[Bound, ...]
    on: On
    score: Reducer


def fit(
    data: str | Path,
    recipe: str | Path,
    out: str | Path,
    *,
    detector: str = "probe",
    size: str | int | tuple[int, int] | None = None,
    preset: str = "default",
    steps: int | None = None,
    seed: int = 0,
    limit: str | Sequence[str] = (),
    threshold_on: str = "recipe",
    score: str = "window",
    overrides: Overrides = (),
    anomalies: int = 256,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Fitted:
    """Train one detector as `anomgen score` does and keep it in a folder, with its threshold and where it comes from.

    data: what `score` takes, or a folder of normal images alone. recipe: as there; `none` for a detector that learns
    from normal images only. detector, size, preset, steps, overrides, anomalies: as there. seed: of the training; the
    same seed gives the detector of that row of `score`. limit: ``fn=0``, ``fpr=0.02`` or both, which the threshold
    keeps on the validation images; by default it has the best F1 there. threshold_on: `recipe`, held-out normal images
    and the recipe's anomalies on them; `real`, the data's own test images. score: how a map becomes a score, `window`,
    `max` or `sum`. overwrite: replace the detector in the folder. progress: told how many steps are done.

    Raises UsageError and SourceError before anything is trained; Unreachable when no threshold keeps the limits: the
    detector is kept all the same, with the threshold of the best F1.
    """
    require_extra()
    from anomgen.score.checkpoint import Checkpoint
    from anomgen.score.identity import cell_key
    from anomgen.score.kept.describe import Fitting, described
    from anomgen.score.kept.folder import TRAINING, check_folder, save_detector

    place, started = local(out), time.perf_counter()
    bounds = bounds_of([limit] if isinstance(limit, str) else limit)
    for option, name in (("--recipe", recipe), ("--detector", detector)):
        if not str(name).strip() or (name == "all" and option == "--detector"):
            raise UsageError(f"{option} {name!r}: name one; `anomgen ls {option[2:]}s` lists them")
    request = Request.of(
        data,
        [recipe],
        detectors=[detector],
        size=size,
        preset=preset,
        steps=steps,
        changes=overrides,
        anomalies=anomalies,
    )
    check_folder(place, overwrite=overwrite)
    refuse_inside(place, str(data))
    task = _opened(request, seed, bounds, one_of(threshold_on, On, "--threshold-on"), one_of(score, Reducer, "--score"))
    for note in _notes(task):
        warnings.warn(note, AnomgenNote, stacklevel=2)
    with locked(place):
        checkpoint = Checkpoint(
            place / TRAINING, cell_key(task.data, task.entry, task.detector, seed, request.anomalies)
        )
        learnt, loader, licenses = _trained(task, request, progress, checkpoint)
        test = task.data.test
        tested = learnt.anomaly_maps(test.images) if len(test) else None
        held = test if task.on == "real" else loader.validation
        told = Fitting(task.entry, seed, task.score, task.bounds, task.on, _command(task, request), licenses)
        description, unreachable = described(task.data, learnt, held, learnt.anomaly_maps(held.images), tested, told)
        description = save_detector(place, learnt, description, time.perf_counter() - started)
        checkpoint.remove()
    if unreachable is not None:
        raise Unreachable(
            f"{unreachable}. The detector is kept in {place} with the threshold of the best F1: "
            f"`anomgen inspect {shlex.quote(str(place))} PHOTOS --limit …` chooses another"
        )
    return Fitted(place, description)


# --- before ---------------------------------------------------------------------------------------------------------


def _opened(request: Request, seed: int, bounds: tuple[Bound, ...], on: On, score: Reducer) -> _Task:
    """Open the data and check everything that can be known before the training."""
    from anomgen.score.data import load_training
    from anomgen.score.entries import BASELINES
    from anomgen.score.refusals import refuse_real_without_masks
    from anomgen.score.schedule import SIZES, request_detectors, request_entries

    (recipe,), (name,) = request.recipes, request.detectors
    detector = request_detectors(request, "--detector")[name]
    if recipe == "none" and detector.uses_anomalies:
        raise UsageError(f"--recipe none: detector {name} learns from anomalies; give a recipe, such as nsa")
    if recipe == "none" and on == "recipe" and (not bounds or any(bound.kind in MISSES for bound in bounds)):
        raise UsageError("--recipe none: no anomalies to choose the threshold on; give --limit fpr=SHARE, or a recipe")
    require_whole("--seed", seed, 0)
    size = request.size or SIZES.get(request.preset, 128)
    data = load_training(request.data[0], size, real_share=request.real_share if recipe == "real" else 0.0)
    entries = request_entries(request, data.name)
    entry = entries[BASELINES.index(recipe) if recipe in BASELINES else -1]
    refuse_real_without_masks(data, [entry], [detector])
    if on == "real" and not (data.test.labels.any() and not data.test.labels.all()):
        raise UsageError(
            f"--threshold-on real: {request.data[0]} has {int(data.test.labels.sum())} anomalous and "
            f"{int((~data.test.labels).sum())} normal images besides those for training; both are needed"
        )
    return _Task(data, entry, detector, seed, bounds, on, score)


def _notes(task: _Task) -> list[str]:
    from anomgen.score.refusals import seen_by_models

    return [*(f"{task.data.name}: {note}" for note in task.data.notes), *seen_by_models(task.data, [task.entry])]


# --- training -------------------------------------------------------------------------------------------------------


def _trained(
    task: _Task, request: Request, progress: Progress, checkpoint: Checkpoint
) -> tuple[Detector, Loader, tuple[str | None, ...]]:
    """Return the fitted detector, and what it was trained on. It is the one of `score`'s cell of the same settings.

    Third come the licences of what went into the anomalies that it learnt from; see `terms_of`.
    """
    from anomgen.generators.base import notes_on_terms, terms_of
    from anomgen.making.threads import single_threaded
    from anomgen.models.use import threads_for
    from anomgen.rng import Stream, rng_for
    from anomgen.score.anomalies import draw_anomalies
    from anomgen.score.cell import loader_of
    from anomgen.score.detectors.networks import device
    from anomgen.score.identity import uses_network
    from anomgen.score.schedule import plan_of

    recipe, detector = task.entry.definition, task.detector.unfitted()
    plan = None if recipe is None else plan_of(recipe, task.entry, task.data)
    learns_from = plan.generator if plan is not None and detector.uses_anomalies else None
    for note in () if learns_from is None else notes_on_terms(learns_from):
        warnings.warn(note, AnomgenNote, stacklevel=2)
    with temporary_folder() as folder, single_threaded(), threads_for(device()):
        drawn = None
        if plan is not None and uses_network(task.entry):
            drawn = Path(folder) / "anomalies.npz"
            progress(0, task.detector.steps, f"drawing {request.anomalies} anomalies")
            draw_anomalies(plan, task.data.validation, drawn, request.anomalies)
        loader = loader_of(task.data, task.entry, task.seed, plan, drawn)
        loader.told, loader.checkpoint = progress, checkpoint
        detector.fit(loader, rng_for(task.seed, Stream.TRAINING))
        loader.validation  # noqa: B018 - drawn while the generator's models are at hand
    return detector, loader, () if learns_from is None else terms_of(learns_from)


# --- what is said of it ----------------------------------------------------------------------------------------------


def _command(task: _Task, request: Request) -> str:
    """Return the command line that makes it again, without paths of the machine."""
    from anomgen.score.configuration import recipe_words, training_words

    words = ["anomgen", "fit", portable_path(request.data[0]), "--recipe", portable_path(request.recipes[0])]
    words += ["--detector", request.detectors[0]]
    words += training_words(request)
    words += ["--seed", str(task.seed)] if task.seed else []
    words += [word for bound in task.bounds for word in ("--limit", str(bound))]
    words += [] if task.on == "recipe" else ["--threshold-on", task.on]
    words += [] if task.score == "window" else ["--score", task.score]
    return shlex.join([*words, *recipe_words(request), "-o", "inspector"])
