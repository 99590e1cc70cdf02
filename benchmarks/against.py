"""What a change is worth: two checkouts draw and encode the same rows by turns; whether they are equal, and the ratio.

git worktree add ../before v0.1.0
python benchmarks/against.py ../before                                   (about a minute)
python benchmarks/against.py ../before --cases nsa,ellipse --source photos

CPU milliseconds an anomalous row, the best of REPEATS for each block of rows: what the generator takes, and what all of
`make` takes but Parquet. A busy machine slows both checkouts alike. A row differs when a byte of any of its cells does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

CASES = {
    "cutpaste": ("cutpaste", []),
    "fpi": ("fpi", []),
    "pii": ("pii", []),
    "nsa": ("nsa", []),
    "ellipse": ("nsa", ["generator.shape=ellipse"]),
    "perlin": ("perlin", []),
    "defects": ("defects", []),
    "mix": ("mix", []),
}
"""Recipe and changes by name."""
REPEATS, BLOCK = 3, 16


class Checkout:
    """A process that draws with the code of one checkout."""

    def __init__(self, tree: Path):
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            env={**os.environ, **single, "PYTHONPATH": str(tree.resolve())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **question) -> dict:
        """Return the process's answer to a question."""
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def serve() -> None:
    """Answer questions: `recipe` prepares, `start` draws a block."""
    from anomgen.dataset.writer import Encoder
    from anomgen.making.engine import Plan, Renderer
    from anomgen.making.recipe import load_recipe
    from anomgen.making.threads import single_threaded
    from anomgen.rng import Stream, rng_for
    from anomgen.synthesis.sample import Reject

    answers, sys.stdout = sys.stdout, sys.stderr
    with single_threaded():
        for line in sys.stdin:
            asked = json.loads(line)
            if "recipe" in asked:
                changes = [*asked["changes"], "anomaly_ratio=1.0"]
                plan = Plan.of(load_recipe(asked["recipe"], source=asked["source"], overrides=changes))
                renderer, encoder = Renderer(plan), Encoder(plan.columns)
                answer = {}
            else:
                rows = range(asked["start"], asked["start"] + BLOCK)
                images = [renderer.pool[renderer.position(row, 0)] for row in rows]
                started = time.process_time()
                for row, image in zip(rows, images, strict=True):
                    try:
                        plan.generator.sample(rng_for(0, Stream.SAMPLE, row), image, renderer.pool)
                    except Reject:
                        continue
                generated = time.process_time()
                cells = [encoder.cells(row) for row in renderer.block(rows)]
                done = time.process_time()
                digests = [hashlib.sha256(repr(sorted(one.items())).encode()).hexdigest() for one in cells]
                answer = {"times": [generated - started, done - generated], "digests": digests}
            print(json.dumps(answer), file=answers, flush=True)


def compare(one: Checkout, other: Checkout, question: dict, blocks: int) -> str:
    """Return a line of the table."""
    for side in (one, other):
        side.ask(**question)
    spent, different = [[0.0, 0.0], [0.0, 0.0]], 0
    for block in range(blocks):
        best = [[9e9, 9e9], [9e9, 9e9]]
        for _ in range(REPEATS):
            found = [side.ask(start=block * BLOCK) for side in (one, other)]
            best = [list(map(min, kept, new["times"])) for kept, new in zip(best, found, strict=True)]
        spent = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(spent, best, strict=True)]
        different += sum(a != b for a, b in zip(*(new["digests"] for new in found), strict=True))
    rows = blocks * BLOCK
    stages = [
        f"{before / rows * 1e3:8.2f} {after / rows * 1e3:7.2f} {after / before:5.2f}"
        for before, after in zip(*spent, strict=True)
    ]
    return " ".join(stages) + f"   {different} of {rows}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, nargs="?", help="the other checkout")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--source", help="folder of normal images instead of the built-in ones")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve()
    source = {"kind": "builtin", "name": "immunohistochemistry"}
    if options.source:
        source = {"kind": "folder", "path": str(Path(options.source).resolve())}
    sides = Checkout(options.before), Checkout(Path(__file__).parent.parent)
    print(f"{'':<10} {'generator: before, now, ratio':>22}  {'rows: before, now, ratio':>22}   rows that differ")
    for name in options.cases.split(","):
        recipe, changes = CASES[name]
        question = {"recipe": recipe, "changes": changes, "source": {**source, "size": options.size}}
        print(f"{name:<10} {compare(*sides, question, options.rows // BLOCK)}", flush=True)
    return None


if __name__ == "__main__":
    main()
