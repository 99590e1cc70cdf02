"""What `anomgen make` prints when it is done."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

from anomgen.cli.terminal import print_json
from anomgen.places import load_line

if TYPE_CHECKING:
    from anomgen.making.make import Result


def print_made(result: Result, summary: dict[str, Any]) -> None:
    """Print what a run made, and how to look at it, check it and load it."""
    rows, folder = summary["rows"], result.path
    now = f" ({result.made} made now)" if result.made != result.rows else ""
    counts = f"{result.rows} rows, {rows['anomaly']} anomalous, {rows['normal']} normal"
    print(f"{folder}: {counts}{now} in {summary['seconds']} s")
    for reason, number in summary["rejects"].items():
        print(f"  drawn again {number}×: {reason}")
    if summary["skipped"]:
        print(f"  skipped source files: {len(summary['skipped'])} (listed in provenance.json)")
    for note in summary["notes"]:
        print(f"  {note}")
    print(f"look:  {folder / 'preview.png'}")
    print(f"check: {shlex.join(['anomgen', 'check', str(folder)])}")
    print(f"load:  {load_line(folder)}")


def print_part(result: Result, shard: str | None, seconds: float, *, as_json: bool) -> None:
    """Print what a part of an array job made."""
    from anomgen.config import Part

    parts, shards = Part.parse(str(shard), "--shard").of, result.shards
    if parts > shards:
        empty = f"part {parts} is" if parts == shards + 1 else f"parts {shards + 1} to {parts} are"
        have = "1 shard" if shards == 1 else f"{shards} shards"
        print(f"note: the dataset has {have}, so {empty} empty; a smaller shard_size gives more", file=sys.stderr)
    if as_json:
        print_json(
            {"path": str(result.path), "shard": shard, "rows": result.rows, "made": result.made, "seconds": seconds}
        )
        return
    print(f"{result.path}: part {shard}, {result.rows} rows ({result.made} made now) in {seconds} s")
    print("when all parts are there: the same command with --finish instead of --shard")


def print_plan(plan: dict[str, Any], *, as_json: bool) -> None:
    """Print what a dry run found."""
    if as_json:
        print_json(plan)
        return
    for key, value in plan.items():
        print(f"{key:>16}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    print("nothing was written; leave out --dry-run to make it")
    if plan["megabytes_free"] is not None and plan["megabytes"] > plan["megabytes_free"]:
        print(f"warning: {plan['output']} has less space than the dataset needs", file=sys.stderr)
