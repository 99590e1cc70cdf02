"""Samples that somebody has looked at and thrown out: listed beside the rows, and left out of exports and pushes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from anomgen.dataset.card import is_as_rendered, write_card
from anomgen.dataset.origin import LEFT_OUT, PROVENANCE, RECIPE, own_file
from anomgen.dataset.reader import Dataset
from anomgen.dataset.statistics import row_counts, statistics
from anomgen.dataset.writer import copy_shard
from anomgen.errors import UsageError
from anomgen.files import locked, remove, replacing


def leave_out(dataset: Dataset | str | Path, rows: Iterable[int]) -> Dataset:
    """Record which rows of a finished dataset are thrown out, all of them, in ``left-out.json``; no row is changed.

    The card then says how many, unless somebody has edited it. Raises UsageError for a row that is not there, and when
    no row would be left.
    """
    dataset = Dataset.of(dataset)
    chosen = sorted(set(rows))
    known = set(dataset.table(["index"])["index"].to_pylist())
    unknown = next((row for row in chosen if row not in known), None)
    if unknown is not None:
        raise UsageError(f"{dataset.path}: no row {unknown}; it has {len(dataset)} rows, numbered from 0")
    if len(chosen) == len(known):
        raise UsageError(f"{dataset.path}: no row would be left")
    folder = Path(dataset.path)
    with locked(folder):
        dataset = Dataset(folder)  # somebody may have thrown out others since it was opened
        edited = not is_as_rendered(dataset)
        if chosen:
            with replacing(folder / LEFT_OUT) as file:
                file.write((json.dumps({"anomgen_left_out": 1, "rows": chosen}) + "\n").encode())
        else:
            remove(folder / LEFT_OUT)
        changed = Dataset(folder)
        if not edited:
            write_card(folder, changed.provenance, changed.recipe, statistics(changed))
    return changed


def without_left_out(dataset: Dataset, out: Path) -> Dataset:
    """Write a copy of a finished dataset without the rows that are thrown out, and return it.

    Files without such a row are linked where they can be, and copied elsewhere. Its provenance says which rows are not
    there. out: a folder that is not there yet.
    """
    (out / "data").mkdir(parents=True)
    for shard in dataset.shards:
        copy_shard(shard, out / "data" / shard.name, dataset.columns, dataset.left_out)
    folder = Path(dataset.path)
    for name in (RECIPE, "preview.png"):
        if (folder / name).is_file():
            shutil.copyfile(own_file(folder, name), out / name)
    copied = Dataset(out, partial=True)
    counts = row_counts(copied)
    provenance = {**dataset.provenance, "rows": counts, "left_out": sorted(dataset.left_out)}
    (out / PROVENANCE).write_text(json.dumps(provenance, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if is_as_rendered(dataset):
        write_card(out, provenance, dataset.recipe, statistics(copied))
    elif (folder / "README.md").is_file():
        shutil.copyfile(own_file(folder, "README.md"), out / "README.md")
    return Dataset(out)
