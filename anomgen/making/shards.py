"""The Parquet files of a dataset: which there are, which rows they hold, and which of them are complete."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from anomgen.dataset.origin import own_file
from anomgen.dataset.writer import shard_metadata, shard_name
from anomgen.errors import UsageError
from anomgen.files import fingerprint_of
from anomgen.making.engine import Plan, Recipe
from anomgen.making.output import DATA
from anomgen.making.runners.base import Shard
from anomgen.versions import NETWORK, installed, versions, versions_text

_ANEW = "or start anew, with --overwrite or in another folder"
LISTED_MISSING = 10
"""How many missing shards an error names."""


def shard_ranges(recipe: Recipe) -> list[range]:
    """Return the rows of each shard: whole blocks, evenly over as few shards as `shard_size`, rounded up, allows.

    No shard holds rows of two splits.
    """
    return [
        rows
        for part in (range(recipe.train_count), range(recipe.train_count, recipe.count))
        for rows in _shared_evenly(recipe, part)
    ]


def _shared_evenly(recipe: Recipe, part: range) -> Iterator[range]:
    blocks = math.ceil(len(part) / recipe.block_size)
    shards = math.ceil(blocks / math.ceil(recipe.shard_size / recipe.block_size))
    bounds = [part.start + blocks * k // shards * recipe.block_size for k in range(shards + 1)] if shards else []
    return (range(start, min(stop, part.stop)) for start, stop in pairwise(bounds))


def split_of(recipe: Recipe, rows: range) -> str:
    """Return which split rows are in: train or test."""
    return "test" if rows.start >= recipe.train_count else "train"


def shards_of(plan: Plan, out: Path) -> list[Shard]:
    """Return the shards of a dataset in the folder `out`, each with what its metadata must say."""
    ranges = shard_ranges(plan.recipe)
    identity = {
        "recipe": plan.recipe.fingerprint(),
        "source": plan.source.fingerprint(),
        "resolved": fingerprint_of(plan.resolved),
        "versions": versions(),
    }
    if plan.generator.uses_network:
        identity["network"] = installed(NETWORK)
    return [
        Shard(
            out / DATA / shard_name(number, len(ranges), split_of(plan.recipe, indices)),
            indices,
            {"shard": number, "rows": len(indices), **identity},
        )
        for number, indices in enumerate(ranges)
    ]


def is_complete(shard: Shard) -> bool:
    """Return whether a shard is there, made by the same plan. Raises UsageError when another plan made it.

    Damaged, too, when a link leads to it out of the dataset's folder.
    """
    log = shard_metadata(own_file(shard.path.parent.parent, f"{DATA}/{shard.path.name}"))
    if log is None:
        return False
    for key, meaning in (("source", "other source images"), ("recipe", "another recipe")):
        if log.get(key) != shard.log[key]:
            raise UsageError(f"{shard.path} was made from {meaning}; finish with what it was begun with, {_ANEW}")
    before, now = ({**(found.get("versions") or {}), **found.get("network", {})} for found in (log, shard.log))
    if before != now:
        raise UsageError(
            f"{shard.path} was made with {versions_text(before)}, this is {versions_text(now)}: the result "
            f"would not be reproducible; install the same versions, {_ANEW}"
        )
    if log.get("resolved") != shard.log["resolved"]:  # a hash: which part of it differs is not known any more
        raise UsageError(
            f"{shard.path} was made from other textures, masks or models, or with other values of the settings that "
            "are measured of the images (`auto`), as another state of anomgen finds them; finish with what it was "
            f"begun with, {_ANEW}"
        )
    result: bool = log.get("rows") == shard.log["rows"]
    return result


def unfinished_text(out: Path, missing: list[Shard], shards: list[Shard]) -> str:
    """Return which shards of a dataset are missing or damaged, and how to make them."""
    damaged = [shard for shard in missing if shard.path.exists()]
    gone = [shard for shard in missing if shard not in damaged]
    told = [
        f"{len(found)} of {len(shards)} shards are {fault}: {_listed(found)}"
        for found, fault in ((gone, "not there"), (damaged, "damaged, not as they were written"))
        if found
    ]
    return (
        f"{out}: {'; '.join(told)}; make them with the --shard that they belong to, or all of them here with --resume"
    )


def _listed(shards: list[Shard]) -> str:
    names = ", ".join(shard.path.name for shard in shards[:LISTED_MISSING])
    return f"{names} and {len(shards) - LISTED_MISSING} more" if len(shards) > LISTED_MISSING else names


def empty_parts_text(parts: int, shards: int) -> str:
    """Return which of the parts of an array job, more than there are shards, have nothing to make."""
    empty = f"part {parts} is" if parts == shards + 1 else f"parts {shards + 1} to {parts} are"
    have = "1 shard" if shards == 1 else f"{shards} shards"
    return f"the dataset has {have}, so {empty} empty; a smaller shard_size gives more"
