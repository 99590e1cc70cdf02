"""What a runner does: it makes shards, and what comes out does not depend on which one does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomgen.dataset.row import Row
from anomgen.dataset.writer import Encoder, write_shard
from anomgen.making.engine import Plan, Renderer

RowsDone = Callable[[int], None]
"""Is told how many more rows are done."""


@dataclass(frozen=True)
class Shard:
    """One Parquet file to make: where, which rows, and the start of its log."""

    path: Path
    indices: range
    log: dict[str, Any]


Runner = Callable[[Plan, Sequence[Shard], RowsDone], None]
"""Makes shards; what comes out does not depend on which one does."""


def make_shard(renderer: Renderer, encoder: Encoder, shard: Shard, rows_done: RowsDone) -> None:
    """Draw and write one shard; its log ends with the rejected draws by reason."""
    renderer.rejects.clear()
    log = dict(shard.log)

    def rows() -> Iterator[Row]:
        step = renderer.plan.recipe.block_size
        for start in range(shard.indices.start, shard.indices.stop, step):
            block = range(start, min(start + step, shard.indices.stop))
            yield from renderer.rows(block)  # no name for a row: a large one goes before the next is drawn
            rows_done(len(block))
        log["rejects"] = dict(sorted(renderer.rejects.items()))

    write_shard(shard.path, rows(), renderer.plan.columns, log, encoder=encoder)
