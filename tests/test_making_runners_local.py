"""Shards on this machine: the same from any number of processes, none left behind, a death told."""

import os
import subprocess
import time
import weakref

import pytest
from small import command, count_shards, digests, recipe, uncounted

from anomgen.errors import AnomgenError
from anomgen.generators.cutpaste import CutPaste
from anomgen.making.engine import Plan, Renderer
from anomgen.making.runners.base import Shard
from anomgen.making.runners.local import run

ROWS = 96


def shards(folder):
    folder.mkdir(exist_ok=True)
    return [Shard(folder / f"{k}.parquet", range(32 * k, 32 * k + 32), {"shard": k}) for k in range(ROWS // 32)]


@pytest.mark.parametrize("workers", [2, 5])
def test_every_row_is_told_once_and_the_bytes_are_those_of_one_process(workers, tmp_path):
    plan, told = Plan.of(recipe("cutpaste", ROWS)), []
    run(plan, shards(tmp_path / "one"), 1, lambda rows: None)
    run(plan, shards(tmp_path / "many"), workers, told.append)
    assert sum(told) == ROWS and min(told) >= 0
    assert digests(tmp_path / "many") == digests(tmp_path / "one")


class Mortal(CutPaste):
    """Ends its process while drawing."""

    def sample(self, rng, image, pool):
        os._exit(1)


def test_a_worker_that_dies_is_told_with_what_to_do(tmp_path):
    plan = Plan.of(recipe("cutpaste", ROWS).model_copy(update={"generator": Mortal()}))
    with pytest.raises(AnomgenError, match=r"a worker process died.*run again with --resume"):
        run(plan, shards(tmp_path / "out"), 2, lambda rows: None)
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_workers_end_when_the_parent_is_killed(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(command(out, 40_000, "nsa", "-j", "2"), env=uncounted())
    while process.poll() is None and not count_shards(out):
        time.sleep(0.05)
    process.kill()
    process.wait()
    time.sleep(0.5)
    after = count_shards(out)
    time.sleep(0.5)  # a worker that lived would make several
    assert count_shards(out) == after


def test_a_large_row_goes_before_the_next_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("anomgen.making.engine.HELD_BYTES", 1)
    block, drawn = Renderer.block, []

    def watched(renderer, indices):
        assert len(indices) == 1 and all(row() is None for row in drawn)
        rows = block(renderer, indices)
        drawn.extend(map(weakref.ref, rows))
        return rows

    monkeypatch.setattr(Renderer, "block", watched)
    told = []
    run(Plan.of(recipe("cutpaste", 20)), [Shard(tmp_path / "0.parquet", range(20), {})], 1, told.append)
    assert told == [16, 4] and len(drawn) == 20
