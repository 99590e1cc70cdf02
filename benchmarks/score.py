"""How `anomgen score` spends its time: at least nine tenths in the detectors' arithmetic, not in synthesis or waiting.

python benchmarks/score.py DATA --recipes nsa,perlin,cutpaste,fpi --detectors probe --seeds 1

Of the processor time of all trainings: arithmetic is fitting without waiting for images, and predicting; synthesis is
drawing the anomalies, which a thread does meanwhile; metrics are the figures and their replicates. Wall time counts
from the start of the command to the report, so start-up, planning and idle workers show as the rest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from anomgen.score import harness
from anomgen.score.request import Request
from anomgen.score.result import Done
from anomgen.score.rows import RowFile
from anomgen.score.schedule import scheduled
from anomgen.versions import cores


def main() -> None:
    options = _options()
    request = Request(
        tuple(options.data), tuple(options.recipes.split(",")), tuple(options.detectors.split(",")), options.seeds
    )
    with tempfile.TemporaryDirectory() as folder:
        out, started = Path(folder) / "run", time.perf_counter()
        harness.run(request, out, workers=options.workers, figures=False, progress=_told)
        wall = time.perf_counter() - started
        rows = RowFile(out).rows.values()
        estimate = scheduled(request, Path(folder) / "none", RowFile(Path(folder) / "none")).seconds(options.workers)
    done = [row for row in rows if isinstance(row, Done)]
    arithmetic = sum(row.seconds.fit - row.seconds.waiting + row.seconds.predict for row in done)
    waiting = sum(row.seconds.waiting for row in done)
    synthesis = sum(row.seconds.synthesis for row in done)
    metrics = sum(row.seconds.metrics for row in done)
    spent = {"arithmetic": arithmetic, "waiting": waiting, "synthesis": synthesis, "metrics": metrics}
    print(
        f"{len(rows)} cells with {options.workers} workers: {wall / 60:.1f} min wall, estimate {estimate / 60:.1f} min"
    )
    for name, seconds in spent.items():
        print(f"{name:<11} {seconds:8.1f} s  {seconds / sum(spent.values()):6.1%}")
    print(f"of the workers' wall time, arithmetic is {arithmetic / (wall * options.workers):.1%}")
    for detector in dict.fromkeys(row.detector for row in done):
        own = [row.seconds for row in done if row.detector == detector]
        print(f"{detector:<11} {sum(s.fit + s.predict + s.metrics for s in own) / len(own):6.1f} s a cell")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--recipes", default="nsa,perlin,cutpaste,fpi")
    parser.add_argument("--detectors", default="probe")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=cores())
    return parser.parse_args()


def _told(done: int, total: int, text: str) -> None:
    if text:
        print(f"{done} of {total}: {text}", flush=True)


if __name__ == "__main__":
    main()
