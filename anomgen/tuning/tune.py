"""`tune`: writes a recipe for a product from its normal images, and from a few real defects where there are some."""

from __future__ import annotations

import json
import shutil
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from anomgen.banks.folder import Bank, Defect, is_bank, open_bank
from anomgen.banks.make import bank
from anomgen.config.text import Overrides, require_whole
from anomgen.errors import Progress, UsageError, silent
from anomgen.files import refuse_inside, refuse_linked, replacing
from anomgen.generators.defects.generator import Defects
from anomgen.generators.transplant.generator import ENOUGH, refuse_normal
from anomgen.making.engine import Plan, Recipe
from anomgen.making.output import refuse_in_source
from anomgen.making.recipe import load_recipe
from anomgen.making.threads import single_threaded
from anomgen.places import home, local, temporary_folder
from anomgen.score.request import seconds_of
from anomgen.sources.pool import Pool
from anomgen.tuning.arms import TUNED, Comparison, Limits, compare, recipe_of
from anomgen.tuning.folds import MARK, remove_folds
from anomgen.tuning.hints import Hint, misses_of, of_misses, of_unlabelled, raised, unlabelled_images
from anomgen.tuning.measure import Measured, Reference, reference, tuned
from anomgen.tuning.report import write_report
from anomgen.versions import versions

RECIPE = "defects"
REPORTING = 40.0
"""Seconds of the budget that are kept for the report, and for a training that takes longer than estimated."""


@dataclass(frozen=True)
class Tuned:
    """What `tune` did."""

    path: Path
    """The recipe that it wrote."""
    report: Path
    record: Path
    """What was measured, compared and chosen, as JSON."""
    recipe: Recipe
    measured: Measured | None
    """What the real defects said; None where there were none."""
    comparison: Comparison | None
    """How recipes did on defects that they did not know; None with fewer than 8 of them."""
    hints: tuple[Hint, ...]
    """What misses and unlabelled images said."""
    bank: str | Path | None
    """The bank of the real defects, which the recipe reads."""
    defects: tuple[str, ...]
    """The real defects that it follows: none of them may be tested on."""
    seconds: float


class _Files(NamedTuple):
    """What a run writes, beside the recipe."""

    report: Path
    record: Path
    bank: Path
    work: Path
    """Folder of the trainings, which the same run goes on with when it is interrupted."""

    @classmethod
    def of(cls, out: Path) -> _Files:
        """Return the files of a recipe. Raises UsageError when one is there, or when it is no recipe by its name."""
        if out.suffix.lower() not in {".yaml", ".yml"}:
            raise UsageError(f"-o {out}: a recipe is a YAML file; give a name that ends in .yaml")
        bank, work = out.with_name(f"{out.stem}-bank"), out.with_name(f"{out.stem}-tuning")
        found = cls(out.with_suffix(".html"), out.with_suffix(".json"), bank, work)
        ours = (work / MARK).is_file() and not work.is_symlink()
        foreign = [] if ours else [work]
        for path in (out, found.report, found.record, found.bank, *foreign):
            if path.exists() or path.is_symlink():
                raise UsageError(f"-o {out}: {path} is there already; choose another name, or remove it")
        refuse_linked(work)
        return found


def tune(
    source: str | Path | Mapping[str, Any],
    *,
    defects: str | Path | None = None,
    masks: str | Path | None = None,
    misses: str | Path | None = None,
    unlabelled: str | Path | None = None,
    item: str | None = None,
    budget: str | float = "10m",
    workers: int | None = None,
    out: str | Path = "tuned.yaml",
    size: int | Sequence[int] | str | None = None,
    overrides: Overrides = (),
    progress: Progress = silent,
) -> Tuned:
    """Write a recipe for the product of the normal images `source`, and a report of what was chosen and why.

    source, size, overrides: as of `load_recipe`; the recipe that is tuned is ``defects``. defects: real ones of this
    product: a bank, or what `anomgen bank` takes, with masks. masks: likewise. misses: the folder of a run of `anomgen
    score` that lists them. unlabelled: a folder of images of which some may be anomalous. item: pattern whose first
    group names the physical item in a defect's name. budget: seconds, or a time such as ``10m``, that it takes at most.
    workers: trainings at once, by default one a core. out: the recipe, a file that ends in .yaml; report and record
    stand beside it and end in .html and .json, and defects that were no bank become one, ``NAME-bank``.

    With fewer than 8 real defects the recipe draws transplants of them and drawn defects like them, half and half. From
    8 on it draws transplants and the usual defects, three to one, unless another recipe is clearly better on defects
    that were left out; that is compared as far as the budget allows. Called again after an interruption, it goes on
    with the trainings that were finished.

    Raises UsageError for a file that is there already, has another ending or would lie among the images, for a budget
    that is too short to measure anything, and what opening source and defects raises.
    """
    began, out = time.monotonic(), local(out)
    deadline, files = began + seconds_of(budget) - REPORTING, _Files.of(out)
    if defects is None and (item is not None or masks is not None):
        option = "--masks" if item is None else "--item"
        raise UsageError(f"{option}: is about real defects; give these with --defects")
    if workers is not None:
        require_whole("--workers", workers)
    usual = load_recipe(RECIPE, source=source, size=size, overrides=overrides, name=out.stem)
    refuse_inside(out, *(str(place) for place in (defects, masks, unlabelled) if place is not None))
    refuse_in_source(usual, out)
    plan = Plan.of(usual)
    if not isinstance(plan.generator, Defects) or not isinstance(usual.generator, Defects):
        raise UsageError("generator.kind: tune chooses kinds, severity and tone of the generator defects")
    not_found = None if misses is None else misses_of(home(misses))
    images = None if unlabelled is None else unlabelled_images(home(unlabelled), plan)
    with temporary_folder() as kept:
        found = None if defects is None else _opened(defects, masks, Path(kept) / files.bank.name)
        if found is not None:
            refuse_normal(found, plan.source, f"--defects {defects}")
        real = () if found is None else tuple(found.defects())
        known = _reference(plan, progress, deadline) if real or misses or unlabelled else None
        hints = [] if known is None else _hints(not_found, images, plan, known, progress)
        measured = None if known is None or not real else tuned(real, known)
        comparison = None
        if known is not None and len(real) >= ENOUGH:
            comparison = compare(plan, usual, real, known, files.work, Limits(deadline, workers, item), progress)
        out.parent.mkdir(parents=True, exist_ok=True)
        place: str | Path | None = None if defects is None else str(defects)
        if found is not None and found.path.parent == Path(kept):
            shutil.move(found.path, files.bank)
            place = files.bank
    recipe = _chosen(usual, plan.generator if measured is None else measured.tuned, hints, comparison, place, len(real))
    shown = (*real, *(own for hint in hints for own in hint.defects))
    done = Tuned(
        path=out,
        report=files.report,
        record=files.record,
        recipe=recipe,
        measured=measured,
        comparison=comparison,
        hints=tuple(hints),
        bank=place,
        defects=tuple(own.item for own in shown),
        seconds=time.monotonic() - began,
    )
    write_report(files.report, plan, usual, recipe, real, measured, comparison, hints)
    _write(done, shown, plan)
    if comparison is not None and len(comparison.folds) == comparison.of:
        remove_folds(files.work)
    return done


def _reference(plan: Plan, progress: Progress, deadline: float) -> Reference:
    assert isinstance(plan.generator, Defects)
    with single_threaded():
        return reference(Pool(plan.source, plan.foreground), plan.generator, progress, deadline)


def _hints(
    misses: Bank | None, images: Sequence[np.ndarray] | None, plan: Plan, known: Reference, progress: Progress
) -> list[Hint]:
    found = [] if misses is None else [of_misses(misses, known)]
    with single_threaded():
        return found if images is None else [*found, of_unlabelled(images, plan, known, progress)]


def _chosen(
    usual: Recipe,
    drawn: Defects,
    hints: Sequence[Hint],
    comparison: Comparison | None,
    place: str | Path | None,
    count: int,
) -> Recipe:
    """Return the recipe. drawn: defects like the real ones, of which `count` are in the bank at `place`."""
    assert isinstance(usual.generator, Defects)
    usual, drawn = usual.model_copy(update={"generator": _raised(usual.generator, hints)}), _raised(drawn, hints)
    if place is None:
        return usual
    return recipe_of(TUNED if comparison is None else comparison.chosen, usual, drawn, str(place), count)


def _raised(drawn: Defects, hints: Sequence[Hint]) -> Defects:
    """Return the generator with the kinds raised that hints name."""
    kinds = drawn.kinds
    for hint in hints:
        kinds = raised(kinds, hint)
    return drawn.model_copy(update={"kinds": kinds}) if hints else drawn


def _write(done: Tuned, shown: Sequence[Defect], plan: Plan) -> None:
    """Write the recipe and the record. shown: the defects that it knows."""
    with replacing(done.path) as file:
        file.write((_header(shown) + done.recipe.to_yaml()).encode())
    measured = None if done.measured is None else done.measured
    record = {
        "anomgen_tuning": 1,
        "versions": versions(),
        "recipe": done.recipe.fingerprint(),
        "source": {"images": len(plan.source), "fingerprint": plan.source.fingerprint()},
        "defects": [{"item": own.item, "digest": own.digest} for own in shown],
        "measured": None if measured is None else {**measured._asdict(), "tuned": measured.tuned.portable().config()},
        "hints": [{**hint._asdict(), "defects": [own.item for own in hint.defects]} for hint in done.hints],
        "comparison": None if done.comparison is None else done.comparison.plain(),
    }
    with replacing(done.record) as file:
        file.write(json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n")


def _header(real: Sequence[Defect]) -> str:
    """Return the comment that says where the recipe comes from."""
    named = ", ".join(f"{defect.item} ({defect.digest[:12]})" for defect in real) or "none"
    text = (
        f"Written by anomgen tune {versions()['anomgen']}. Real defects that it follows, not to be tested on: {named}."
    )
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, 118, break_long_words=False))


def _opened(defects: str | Path, masks: str | Path | None, new: Path) -> Bank:
    """Return the real defects as a bank, made in `new` where they are none. Raises UsageError for unapproved masks."""
    place = home(defects)
    if masks is None and (is_bank(place) or not place.exists()):
        opened = open_bank(defects)
    else:
        opened = open_bank(bank(defects, new, masks=masks).path)
    if opened.proposed:
        raise UsageError(
            f"--defects {defects}: nobody has approved the masks of {', '.join(opened.proposed[:5])}; look at "
            f"{opened.path / 'preview.png'}, then run: anomgen bank {defects} --yes"
        )
    return opened
