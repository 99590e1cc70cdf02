"""Photos of 20 megapixels: CPU seconds and peak memory of each recipe, one process each, one thread.

python benchmarks/large.py                     all classic recipes and `defects` on two photos of 5000×4000, coloured
python benchmarks/large.py nsa perlin          these
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from anomgen.dataset.png import encode_png  # noqa: E402
from anomgen.making.engine import Plan, Renderer  # noqa: E402
from anomgen.making.recipe import load_recipe  # noqa: E402
from anomgen.making.threads import single_threaded  # noqa: E402

RECIPES = ("cutpaste", "cutpaste-3way", "scar", "fpi", "pii", "nsa", "perlin", "mix", "defects")
HEIGHT, WIDTH, ROWS = 4000, 5000, 4


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        _write_photos(Path(folder))
        print(f"{'':<15}{'plan s':>8}{'draw s a row':>14}{'PNG s a row':>13}{'peak MB':>9}")
        for name in sys.argv[1:] or RECIPES:
            ours, theirs = multiprocessing.get_context("spawn").Pipe()
            process = multiprocessing.get_context("spawn").Process(target=_measure, args=(name, folder, theirs))
            process.start()
            plan, draw, png, peak = ours.recv()
            process.join()
            print(f"{name:<15}{plan:8.2f}{draw:14.2f}{png:13.2f}{peak:9.0f}", flush=True)


def _write_photos(folder: Path) -> None:
    """Write two photos of a mottled surface with fine grain."""
    for number in range(2):
        rng = np.random.default_rng(number)
        small = rng.normal(150, 25, (HEIGHT // 40, WIDTH // 40, 3)).astype(np.float32)
        photo = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        photo += rng.normal(0, 4, (HEIGHT, WIDTH, 1)).astype(np.float32)
        cv2.imwrite(str(folder / f"{number}.jpg"), cv2.convertScaleAbs(photo), (cv2.IMWRITE_JPEG_QUALITY, 95))


def _measure(name: str, folder: str, pipe) -> None:
    recipe = load_recipe(name, source={"kind": "folder", "path": folder, "size": None}, anomaly_ratio=1.0)
    with single_threaded():
        started = time.process_time()
        plan = Plan.of(recipe)
        planned = time.process_time()
        rows, encoding = 0, 0.0
        for row in Renderer(plan).rows(range(ROWS)):
            before = time.process_time()
            encode_png(row.image)
            encode_png(row.mask)
            encoding += time.process_time() - before
            rows += 1
        drawing = time.process_time() - planned - encoding
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pipe.send((planned - started, drawing / rows, encoding / rows, peak))


if __name__ == "__main__":
    main()
