"""The output folder of `make`: what may be in it before, what is in it after, and how an interrupted run goes on."""

from __future__ import annotations

import json
import math
import platform
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from anomgen.config import Part
from anomgen.config.text import Overrides, texts_of, with_name
from anomgen.dataset.card import complete_card
from anomgen.dataset.grid import complete_preview
from anomgen.dataset.origin import Damaged, is_ours, read_provenance
from anomgen.dataset.reader import SHARD_PATTERN, Dataset
from anomgen.dataset.row import Row
from anomgen.dataset.statistics import row_counts, statistics
from anomgen.dataset.writer import Encoder, shard_metadata
from anomgen.errors import AnomgenError, AnomgenNote, AnomgenWarning, Progress, UsageError, noted, silent, tell
from anomgen.files import locked, remove, replacing, sweep
from anomgen.generators.base import terms_of
from anomgen.licenses import inherited
from anomgen.making.engine import Plan, Recipe, Renderer
from anomgen.making.memory import remember_source
from anomgen.making.output import DATA, OWN_FILES, check_output, clear, complete_recipe, records_of
from anomgen.making.recipe import recipe_of
from anomgen.making.runners.base import Runner, Shard
from anomgen.making.runners.choice import require_runner, runner
from anomgen.making.shards import empty_parts_text, is_complete, shard_ranges, shards_of, unfinished_text
from anomgen.making.splits import split_files
from anomgen.making.threads import single_threaded
from anomgen.places import Remote, place
from anomgen.sources.detection import categories_of
from anomgen.sources.pool import Pool
from anomgen.versions import processor, versions


@dataclass(frozen=True)
class Made:
    """What `make` did."""

    path: Path
    rows: int
    made: int
    """Rows drawn now; the others were there from the run that this one resumed."""
    provenance: dict[str, Any] | None
    """What is written beside the dataset; None for a part of it."""
    shards: int
    """Parquet files of the whole dataset."""
    plan: dict[str, Any] | None = None
    """What would be done, as plain JSON, where nothing was done but that."""
    each: tuple[Made, ...] = ()
    """What was made of each category, where several datasets were asked for."""


def make(
    recipe: Recipe | str | Path,
    out: str | Path | None = None,
    *,
    source: str | Path | Mapping[str, Any] | None = None,
    each: str | Path | Sequence[str | Path] | None = None,
    count: int | None = None,
    size: int | Sequence[int] | str | None = None,
    seed: int | None = None,
    overrides: Overrides = (),
    roi: str | Path | None = None,
    exclude: str | Path | None = None,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    shard: str | None = None,
    finish: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Made:
    """Make the dataset of a recipe in the folder `out`; the options are those of `anomgen make`.

    recipe: a name or file, changed by source, count, size, seed, overrides, roi and exclude as in `load_recipe`, or a
    Recipe. each: folders of all categories of a data set, instead of `source`: makes a dataset of each,
    ``OUT/CATEGORY``; in overrides ``{category}`` stands for its name. out: a folder or the URL of one, by default
    ``anomgen-out/NAME``. workers: 1 on this machine, all processors with engine "ray". shard: ``"3/16"`` makes that
    part of the dataset only, beside other such runs; finish: what comes after the last of them. dry_run: check
    everything, write nothing, and return the plan.

    Raises UsageError when `out` holds something else, another recipe's dataset, or a dataset and neither `resume`
    nor `overwrite` is set; SourceError for unusable images; AnomgenError when a run cannot be finished. Whatever
    shards are complete stay, and `resume` goes on from there to the identical result.
    """
    if each:
        jobs = datasets_of(source, each, out, overrides)
        shared: dict[str, Any] = {"count": count, "size": size, "seed": seed, "roi": roi, "exclude": exclude}
        shared |= {"workers": workers, "engine": engine, "address": address, "shard": shard, "finish": finish}
        shared |= {"resume": resume, "overwrite": overwrite, "dry_run": dry_run}
        return _make_each(place(str(out)), jobs, partial(make, recipe, **shared), progress)
    require_runner(engine, workers, address)
    options = {"source": source, "count": count, "size": size, "seed": seed, "overrides": overrides}
    recipe = recipe_of(recipe, **options, roi=roi, exclude=exclude)
    out = _output(recipe, out)
    part = None if shard is None else Part.parse(shard, "--shard")
    if overwrite and (part or finish):
        raise UsageError("--overwrite goes with neither --shard nor --finish: it would remove what other parts made")
    if part and finish:
        raise UsageError("--finish comes alone, when all parts are there")
    if finish and not is_ours(out):
        raise UsageError(f"{out} holds no dataset that was begun; make its parts with --shard first")
    resume = resume or finish or part is not None
    if dry_run:
        told = plan_of(recipe, out, resume=resume, overwrite=overwrite)
        return Made(out, recipe.count, 0, None, len(shard_ranges(recipe)), told)
    check_output(recipe, out, resume=resume, overwrite=overwrite)
    with runner(engine, workers, address) as run:
        plan = Plan.of(recipe)
        for note in plan.surprises:
            warnings.warn(note, AnomgenNote, stacklevel=2)
        with locked(out, shared=part is not None):
            check_output(recipe, out, resume=resume, overwrite=overwrite)  # another run may have come and gone
            if overwrite:
                clear(out)
            shards = shards_of(plan, out)
            mine = (part or Part()).take(shards)
            missing = [shard for shard in mine if not is_complete(shard)]
            if part is not None and part.of > len(shards):
                warnings.warn(empty_parts_text(part.of, len(shards)), AnomgenNote, stacklevel=2)
            if finish and missing:
                raise AnomgenError(unfinished_text(out, missing, shards))
            if part is None and not missing and (done := _finished(out, shards)):
                return Made(out, _rows(mine), 0, done, len(shards))  # what people wrote into its card stays
            before = records_of(out)
            if part is None:
                _begin(recipe, out)
            elif missing:
                _join(recipe, out)
            made = _make_shards(plan, mine, missing, run, progress)
            provenance = None if part else _finish(plan, out, shards, before)
    return Made(out, _rows(mine), made, provenance, len(shards))


Job = tuple[str | Path | Mapping[str, Any] | None, Path | None, Overrides]
"""Source, folder and changes of one dataset."""


def datasets_of(
    source: str | Path | Mapping[str, Any] | None,
    each: str | Path | Sequence[str | Path] | None,
    out: str | Path | None,
    overrides: Overrides,
) -> list[Job]:
    """Return the datasets that are asked for: one, or one a category.

    Raises UsageError for options that exclude each other.
    """
    if not each:
        return [(source, None if out is None else place(out), overrides)]
    if source is not None:
        raise UsageError("--each names the images of every category; leave out --source")
    if out is None:
        raise UsageError("--each makes several datasets; name the folder for them with -o")
    named = categories_of([str(each)] if isinstance(each, str | Path) else [str(path) for path in each])
    changes = overrides if isinstance(overrides, Mapping) else list(texts_of(overrides))
    return [(path, place(out) / name, with_name(changes, name)) for name, path in named.items()]


def _make_each(out: Path, jobs: Iterable[Job], make_one: Callable[..., Made], progress: Progress) -> Made:
    """Make one dataset after the other; what is told names the one that is at work."""
    done = []
    for source, folder, overrides in jobs:
        told = noted(progress, "" if folder is None else folder.name)
        done.append(make_one(folder, source=source, overrides=overrides, progress=told))
    rows, made, shards = (sum(getattr(one, key) for one in done) for key in ("rows", "made", "shards"))
    return Made(out, rows, made, None, shards, each=tuple(done))


def _output(recipe: Recipe, out: str | Path | None) -> Path:
    return place(out) if out is not None else Path("anomgen-out") / recipe.name


def _make_shards(plan: Plan, mine: Sequence[Shard], missing: list[Shard], run: Runner, progress: Progress) -> int:
    """Make the missing shards and return how many rows these are."""
    done, total, made = _rows(mine) - _rows(missing), _rows(mine), 0

    def rows_done(rows: int) -> None:
        nonlocal made
        made += rows
        progress(done + made, total)

    rows_done(0)
    run(plan, missing, rows_done)
    return made


def _rows(shards: Iterable[Shard]) -> int:
    return sum(len(shard.indices) for shard in shards)


# --- after ----------------------------------------------------------------------------------------------------------


def _begin(recipe: Recipe, out: Path) -> None:
    remove(out / "provenance.json")
    complete_recipe(recipe, out)
    sweep(out, out / DATA)


def _finished(out: Path, shards: list[Shard]) -> dict[str, Any] | None:
    """Return the provenance of a dataset of which nothing is missing and nothing is too much; None for another."""
    there = {shard.name for shard in split_files(out / DATA)}
    if there != {shard.path.name for shard in shards} or not all((out / name).is_file() for name in OWN_FILES):
        return None
    try:
        provenance = read_provenance(out)
    except Damaged:
        return None
    return provenance if provenance["shards"] == len(shards) else None


def _join(recipe: Recipe, out: Path) -> None:
    """Begin a part of a dataset: like `_begin`, but others may be at work, so nothing of theirs is touched."""
    remove(out / "provenance.json")
    if not is_ours(out):
        complete_recipe(recipe, out)


def _finish(plan: Plan, out: Path, shards: list[Shard], before: tuple[Any, Any]) -> dict[str, Any]:
    """Write what describes the dataset; provenance.json comes last and marks it as finished."""
    sweep(out, out / DATA)
    expected = {shard.path for shard in shards}
    for stray in set(split_files(out / DATA)) - expected:
        if SHARD_PATTERN.fullmatch(stray.name):  # of the same recipe with another count or shard size
            remove(stray)
    rejects: Counter[str] = Counter()
    for shard in shards:
        rejects.update((shard_metadata(shard.path) or {}).get("rejects", {}))
    dataset = Dataset(out, partial=True)
    found = versions(plan.generator.uses_network)
    pool = Pool(plan.source, plan.foreground)
    value_range = pool.value_range
    provenance = {
        "anomgen": found["anomgen"],
        "versions": {"python": platform.python_version(), **found, "processor": processor()},
        "recipe_fingerprint": plan.recipe.fingerprint(),
        "source": {
            "kind": plan.recipe.source.kind,
            "count": len(plan.source),
            "fingerprint": plan.source.fingerprint(),
            "license": plan.source.license,
            "dataset": getattr(plan.source, "dataset", None),
            "skipped": list(plan.source.skipped),
            "notes": list(plan.notes),
            "range": value_range and list(value_range),
            "shape": list(shape) if (shape := getattr(plan.source, "shape", None)) else None,
        },
        "licenses": list(terms_of(plan.generator)),
        "detectability": plan.detectability and plan.detectability.as_dict(),
        "resolved": plan.resolved,
        "rows": row_counts(dataset),
        "rejects": dict(sorted(rejects.items())),
        "shards": len(shards),
    }
    complete_preview(dataset, out / "preview.png", pool=pool)
    complete_card(out, provenance, dataset.recipe, statistics(dataset), before)
    _write(out / "provenance.json", json.dumps(provenance, indent=2, ensure_ascii=False) + "\n")
    remember_source(plan)
    return provenance


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


# --- instead --------------------------------------------------------------------------------------------------------

SAMPLE_ROWS = 16
"""Rows that a dry run draws to estimate size and time, at most, …"""
SAMPLE_SECONDS = 3.0
"""… and for how long it goes on, two rows at least; a network draws them as one batch."""


def plan_of(
    recipe: Recipe, out: str | Path | None = None, *, resume: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Return what `make` would do, as plain JSON, after all of its checks; writes nothing.

    Draws a few rows in memory to estimate bytes and seconds. Raises what `make` would raise.
    """
    out = _output(recipe, out)
    check_output(recipe, out, resume=resume, overwrite=overwrite)
    plan = Plan.of(recipe)
    renderer, encoder = Renderer(plan), Encoder(plan.columns)
    with single_threaded():
        started = time.perf_counter()
        cells = [encoder.cells(row) for row in _sampled(renderer)]
        seconds = (time.perf_counter() - started) / len(cells)
    size = sum(len(cell["bytes"]) for row in cells for cell in row.values() if isinstance(cell, dict)) / len(cells)
    anomalous = math.floor(recipe.count * recipe.anomaly_ratio + 0.5)
    shards = shards_of(plan, out)
    done = [shard for shard in shards if resume and is_complete(shard)]
    megabytes, free = round(size * recipe.count / 1e6, 1), None if isinstance(out, Remote) else _megabytes_free(out)
    if free is not None and megabytes > free:
        warnings.warn(f"{out} has less space than the dataset needs", AnomgenWarning, stacklevel=2)
    return {
        "output": str(out),
        "recipe": recipe.name,
        "source": f"{recipe.source.kind}, {len(plan.source)} images",
        "skipped": list(plan.source.skipped),
        "notes": list(plan.notes),
        "image": "×".join(str(side) for side in renderer.pool[0].shape) + f" {renderer.pool[0].dtype}",
        "range": renderer.pool.value_range and list(renderer.pool.value_range),
        "rows": f"{recipe.count}: {anomalous} anomalous, {recipe.count - anomalous} normal",
        "shards": f"{len(shards)}" + (f", {len(done)} of them there already" if done else ""),
        "license": recipe.license or inherited(plan.source.license, terms_of(plan.generator)) or "unknown",
        "generator": plan.resolved["generator"],
        "foreground": plan.resolved["foreground"],
        "megabytes": megabytes,
        "megabytes_free": free,
        "seconds": round(seconds * recipe.count, 1),
    }


def _sampled(renderer: Renderer) -> Iterator[Row]:
    """Yield the first rows: `SAMPLE_ROWS`, or what `SAMPLE_SECONDS` allow."""
    rows, started = range(min(SAMPLE_ROWS, renderer.plan.recipe.count)), time.perf_counter()
    if renderer.plan.generator.uses_network:
        tell(0, len(rows), "drawing rows for the estimate")
        yield from renderer.rows(rows)
        return
    for index in rows:
        tell(index, len(rows), "drawing rows for the estimate")
        yield renderer.row(index)
        if index % 2 and time.perf_counter() - started > SAMPLE_SECONDS:
            return


def _megabytes_free(out: Path) -> int:
    folder = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    return round(shutil.disk_usage(folder).free / 1e6)
