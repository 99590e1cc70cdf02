"""Speed and memory of anomgen, one thread unless it says otherwise, CPU time unless it says seconds.

python benchmarks/speed.py             generators, PNG, the whole of make, start-up      (about a minute)
python benchmarks/speed.py --workers   two workers against one                           (about a minute)
python benchmarks/speed.py --memory    peak memory of 1,000 and of 20,000 samples        (about two minutes)
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import numpy as np  # noqa: E402

from anomgen.banks.folder import Defect, write_bank  # noqa: E402
from anomgen.dataset.png import encode_png  # noqa: E402
from anomgen.making.engine import Plan, Renderer  # noqa: E402
from anomgen.making.make import make  # noqa: E402
from anomgen.making.recipe import load_recipe  # noqa: E402
from anomgen.making.threads import single_threaded  # noqa: E402
from anomgen.rng import Stream, rng_for  # noqa: E402
from anomgen.synthesis.sample import Reject  # noqa: E402

COLOUR = {"kind": "builtin", "name": "immunohistochemistry"}
BARS = {
    "cutpaste": 0.6,
    "scar": 0.6,
    "fpi": 0.6,
    "pii": 0.6,
    "nsa": 3.0,
    "nsa, free-form": 3.0,
    "nsa, 1024×1024": 40.0,
    "perlin": 1.0,
    "defects": 3.0,
    "transplant": 3.0,
}
"""Milliseconds per sample that a generator may take."""


def recipe_of(name: str, size: int = 256, count: int = 1000, **values):
    return load_recipe(name, source={**COLOUR, "size": size}, count=count, **values)


def generation(name: str, size: int = 256, count: int = 400, overrides: tuple[str, ...] = ()) -> float:
    """Return CPU milliseconds per anomalous sample, the images in the cache; rejected draws count as time."""
    plan = Plan.of(recipe_of(name, size, overrides=overrides))
    pool = Renderer(plan).pool
    images = [pool[k] for k in range(len(pool))]

    def draw(first: int, number: int) -> int:
        done = 0
        for k in range(first, first + number):
            try:
                plan.generator.sample(rng_for(0, Stream.SAMPLE, k), images[k % len(images)], pool)
                done += 1
            except Reject:
                continue
        return done

    draw(10_000, max(20, count // 5))
    started = time.process_time()
    done = draw(0, count)
    return (time.process_time() - started) / done * 1e3


def bank_in(folder: Path, count: int = 8) -> Path:
    """Make a bank of drawn defects for transplants; return where it is."""
    rows = Renderer(Plan.of(recipe_of("defects", anomaly_ratio=1.0))).rows(range(count))
    defects = [Defect(f"{row.index}.png", row.defect_type, row.image, row.mask, str(row.index)) for row in rows]
    about = {"name": "drawn", "license": None, "masks": "drawn"}
    return write_bank(folder / "bank", defects, about, sorted({own.defect_type for own in defects}), ()).path


def official_operations(count: int = 60) -> float:
    """Return CPU milliseconds per sample of the two calls that NSA's official code spends its time on.

    cv2.seamlessClone for every patch and a median with the disk of radius 5 on the whole change image, on the very
    patches that our nsa drew.
    """
    import cv2
    from skimage.filters import median
    from skimage.morphology import disk

    plan = Plan.of(recipe_of("nsa", anomaly_ratio=1.0))
    rows = list(Renderer(plan).rows(range(count)))
    images = [np.array(row.normal) for row in rows]
    started = time.process_time()
    for k, row in enumerate(rows):
        drawn = images[k]
        for y, x, h, w in row.params["boxes"]:
            patch, mask = images[k - 1][y : y + h, x : x + w], np.full((h, w), 255, np.uint8)
            mask[[0, -1]] = mask[:, [0, -1]] = 0
            drawn = cv2.seamlessClone(patch, drawn, mask, (x + w // 2, y + h // 2), cv2.MIXED_CLONE)
        change = np.mean(np.abs(1.0 * drawn - images[k]), axis=-1)
        median(change, disk(5))
    return (time.process_time() - started) / count * 1e3


def png(name: str = "nsa", count: int = 200) -> tuple[float, float]:
    """Return CPU milliseconds to encode image and mask of anomalous rows, and of the recipe's own mixture of rows."""
    found = []
    for ratio in (1.0, 0.5):
        rows = list(Renderer(Plan.of(recipe_of(name, anomaly_ratio=ratio))).rows(range(count)))
        started = time.process_time()
        for row in rows:
            encode_png(row.image)
            encode_png(row.mask)
        found.append((time.process_time() - started) / count * 1e3)
    return found[0], found[1]


def whole_make(name: str, count: int = 1000, **values) -> float:
    """Return CPU milliseconds per row of everything: images from cache, generate, encode, write, describe."""
    recipe = recipe_of(name, count=count, **values)
    with tempfile.TemporaryDirectory() as folder:
        make(recipe, Path(folder) / "warm", workers=1)
        started = time.process_time()
        make(recipe, Path(folder) / "out", workers=1)
        return (time.process_time() - started) / count * 1e3


def marginal_make(name: str, **values) -> float:
    """Return what one more row costs: `make` of 3,000 rows less that of 1,000, so that fixed costs drop out."""
    return (whole_make(name, 3000, **values) * 3000 - whole_make(name, 1000, **values) * 1000) / 2000


def print_generators() -> None:
    with tempfile.TemporaryDirectory() as folder:
        _print_generators(folder)


def _print_generators(folder: str) -> None:
    print(f"{'generator':<18} {'ms/sample':>9} {'at most':>8}")
    cases = {
        "cutpaste": ("cutpaste", {}),
        "scar": ("scar", {}),
        "fpi": ("fpi", {}),
        "pii": ("pii", {}),
        "nsa": ("nsa", {}),
        "nsa, free-form": ("nsa", {"overrides": ("generator.shape=ellipse",)}),
        "nsa, 1024×1024": ("nsa", {"size": 1024, "count": 60}),
        "perlin": ("perlin", {}),
        "defects": ("defects", {}),
        "mix": ("mix", {}),
        "transplant": ("transplant", {"overrides": (f"generator.bank={bank_in(Path(folder))}",)}),
    }
    for label, (name, options) in cases.items():
        bar = f"{BARS[label]:8.1f}" if label in BARS else ""
        print(f"{label:<18} {generation(name, **options):9.2f} {bar}", flush=True)
    official, ours = official_operations(), generation("nsa")
    print(f"\nseamlessClone and disk median on the same patches, as in NSA's official code: {official:.1f} ms")
    print(f"the whole of our nsa: {ours:.2f} ms, {official / ours:.1f} times less")


def print_make() -> None:
    anomalous, mixture = png()
    print(f"\nPNG encoding of image and mask alone: {anomalous:.2f} ms anomalous rows, {mixture:.2f} ms rows as in nsa")
    print(f"{'make (per row)':<18} {'ms/row':>9} {'× PNG':>8}   at most 2.0 × PNG")
    for name in ("cutpaste", "fpi", "pii", "nsa", "perlin"):
        cost = marginal_make(name)
        print(f"{name:<18} {cost:9.2f} {cost / mixture:8.2f}", flush=True)
    cost = marginal_make("nsa", anomaly_ratio=1.0)
    print(f"{'nsa, all anomalous':<18} {cost:9.2f} {cost / anomalous:8.2f}")


def print_startup() -> None:
    print("\nstart-up, seconds (best of 5)")
    print(f"anomgen --help                           {best_of(['--help']):.2f}   at most 0.5")
    with tempfile.TemporaryDirectory() as folder:
        words = ["make", "-r", "nsa", "-n", "1", "-o", str(Path(folder) / "out"), "--overwrite"]
        print(f"make --recipe nsa, 1 row, whole command  {best_of(words):.2f}   at most 2.0")


def best_of(arguments: list[str], times: int = 5) -> float:
    """Return the wall-clock seconds of one command."""
    found = []
    for attempt in range(times):
        words = [word for word in arguments if word != "--overwrite" or attempt]
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "anomgen.cli", *words], check=True, capture_output=True)
        found.append(time.perf_counter() - started)
    return min(found)


def print_workers(count: int = 16_000) -> None:
    print(f"\nnsa, {count} rows at 256×256, seconds")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            out = Path(folder) / str(workers)
            started = time.perf_counter()
            make(recipe_of("nsa", count=count), out, workers=workers)
            found[workers] = time.perf_counter() - started
            print(f"{workers} worker{'s' if workers > 1 else ' '}  {found[workers]:.1f}", flush=True)
            shutil.rmtree(out)
    print(f"ratio     {found[1] / found[2]:.2f}   at least 1.9")


def _peak(count: int, out: str, pipe) -> None:
    make(recipe_of("nsa", count=count), Path(out), workers=1)
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def print_memory() -> None:
    print("\npeak memory of make --recipe nsa, MB")
    found = []
    for count in (1000, 20_000):
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = multiprocessing.get_context("spawn").Pipe()
            process = multiprocessing.get_context("spawn").Process(target=_peak, args=(count, folder + "/out", theirs))
            process.start()
            found.append(ours.recv())
            process.join()
            print(f"{count:>6} rows  {found[-1]:.0f}", flush=True)
    print(f"ratio        {found[1] / found[0]:.2f}   at most 1.10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", action="store_true", help="two workers against one")
    parser.add_argument("--memory", action="store_true", help="peak memory")
    options = parser.parse_args()
    print(f"numpy {np.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    if options.workers:
        print_workers()
    if options.memory:
        print_memory()
    if not options.workers and not options.memory:
        with single_threaded():
            print_generators()
            print_make()
        print_startup()


if __name__ == "__main__":
    main()
