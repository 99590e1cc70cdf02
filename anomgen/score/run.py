"""`score` as a function: what `anomgen score` does, with values or with the command line's texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomgen.config import Part
from anomgen.config.text import Overrides, require_whole
from anomgen.errors import Progress, UsageError, silent
from anomgen.places import local
from anomgen.score.request import Request, Texts, require_extra, seconds_of

if TYPE_CHECKING:
    from anomgen.score.harness import Outcome
    from anomgen.score.schedule import Schedule


def score(
    data: Texts,
    recipes: Texts,
    *,
    detectors: Texts = "probe",
    seeds: int = 3,
    out: str | Path = "anomgen-score",
    size: str | int | tuple[int, int] | None = None,
    preset: str = "default",
    steps: int | None = None,
    budget: str | float | None = None,
    workers: int | None = None,
    part: str | Part | None = None,
    ratios: str | Sequence[float] = (),
    counts: str | Sequence[int] = (),
    sweep: Mapping[str, Sequence[Any]] | Iterable[str] = (),
    overrides: Overrides = (),
    anomalies: int = 256,
    limit: str | Sequence[str] = (),
    score: str = "window",
    perturb: str | Sequence[str] = (),
    abnormal: str | Sequence[int] = (),
    real_share: float | None = None,
    keep: bool = False,
    figures: bool = True,
    misses: bool = False,
    retry: bool = False,
    split: str | Path | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Outcome | Schedule | dict[Path, int]:
    """Rank recipes: train detectors on their anomalies, test them on real ones; the options are those of the command.

    data: folders of data sets with real anomalies, or Hub datasets. recipes: names, files, mixtures (``nsa+perlin``),
    folders of finished datasets, and ``real``. detectors: names, or ``all``. seeds: trainings of each recipe and
    detector. out: folder for the rows and the report; what is there already is not trained again. size: of the images,
    one number, (height, width) or ``"HxW"``. preset, steps: of the detectors. budget: seconds, or a time such as
    ``20m``. workers: trainings at once, by default one a core, one with a GPU. part: for several machines, such as
    ``2/4``. ratios, counts: shares of anomalous training images, numbers of normal ones, to sweep. sweep: values of a
    recipe's key, ``generator.opacity_range=[[0.2, 0.4], [0.6, 1]]`` or a mapping. overrides: what --set takes,
    ``detector.draem.width=32``. anomalies: how many a generator with a trained model draws beforehand. limit: errors
    that a product allows, ``fn=0`` and ``fpr=0.02``: the report says what thresholds that keep them on the validation
    images reach on the test images; nothing is trained anew for it. score: how a map becomes its image's score,
    `window`, `max` or `sum`. perturb: changes of the test images to judge the detectors under, too, such as
    ``brightness=0.8..1.2`` or ``jpeg=30``. abnormal: numbers of real anomalies to train `real` on, to sweep; the same
    images are tested on whatever it is. real_share: of the real anomalies, what `real` takes from the test. keep: keep
    each trained detector in the folder, as `fit` does; what was trained before without it is trained again. figures:
    measure the recipes' images. misses: list the real anomalies that detectors trained on a recipe do not find, and
    keep them in banks in the folder ``misses``. retry: train again what failed. progress: told how many trainings have
    ended. What else is to be known is told in words, by AnomgenNote.

    Returns the outcome; with `dry_run` the schedule, and nothing is written; with `split`, a folder, how many images
    that models may be trained on were written to which folders in it, and nothing is trained.

    Raises UsageError and SourceError before anything is trained.
    """
    require_extra()
    from anomgen.score import harness
    from anomgen.score.schedule import write_split

    request = Request.of(
        data,
        recipes,
        detectors=detectors,
        seeds=seeds,
        size=size,
        preset=preset,
        steps=steps,
        ratios=ratios,
        counts=counts,
        sweeps=sweep,
        changes=overrides,
        anomalies=anomalies,
        limits=limit,
        score=score,
        perturb=perturb,
        keep=keep,
        abnormal=abnormal,
        real_share=real_share,
    )
    if split is not None:
        if dry_run:
            raise UsageError("--split writes images, and --dry-run writes nothing; leave out one of them")
        return write_split(request, local(split))
    if workers is not None:
        require_whole("--workers", workers)
    seconds = None if budget is None else seconds_of(budget)
    share = Part() if part is None else Part.parse(part, "--part") if isinstance(part, str) else part
    if dry_run:
        return harness.schedule_only(request, local(out), part=share, retry=retry, budget=seconds, workers=workers)
    return harness.run(
        request,
        local(out),
        workers=workers,
        part=share,
        retry=retry,
        budget=seconds,
        figures=figures,
        misses=misses,
        progress=progress,
    )
