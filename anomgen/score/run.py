"""`score` as a function: what `anomgen score` does, with values or with the command line's texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from anomgen.config import Part
from anomgen.errors import Progress, silent
from anomgen.places import home
from anomgen.score.request import Options, Request, Texts, require_extra, seconds_of

if TYPE_CHECKING:
    from anomgen.score.harness import Outcome


def score(
    data: Texts,
    recipes: Texts,
    *,
    out: str | Path = "anomgen-score",
    budget: str | float | None = None,
    workers: int | None = None,
    part: str | Part = Part(),
    figures: bool = True,
    retry: bool = False,
    progress: Progress = silent,
    warn: Callable[[str], None] | None = None,
    **options: Unpack[Options],
) -> Outcome:
    """Rank recipes: train detectors on their anomalies, test them on real ones; the options are those of the command.

    data: folders of data sets with real anomalies, or Hub datasets. recipes: names, files, mixtures (``nsa+perlin``),
    folders of finished datasets, and ``real``. out: folder for the rows and the report; what is there already is not
    trained again. budget: seconds, or a time such as ``20m``. workers: trainings at once, by default one a core, one
    with a GPU. part: for several machines, such as ``2/4``. figures: measure the recipes' images. retry: train again
    what failed. progress: told how many trainings have ended. warn: told, in words, what else is to be known. options:
    detectors, seeds, size, preset, steps, ratios, counts, sweeps, changes and bank, as `Request.of` takes them.

    Raises UsageError and SourceError before anything is trained.
    """
    require_extra()
    from anomgen.score.harness import run

    return run(
        Request.of(data, recipes, **options),
        home(out),
        workers=workers,
        part=Part.parse(part, "--part") if isinstance(part, str) else part,
        retry=retry,
        budget=None if budget is None else seconds_of(budget),
        figures=figures,
        progress=progress,
        warn=warn,
    )
