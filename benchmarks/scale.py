"""What large datasets cost: Ray against local workers, memory over 100,000 rows, finishing; figures of docs/scale.md.

python benchmarks/scale.py            nsa, 16,000 rows at 256×256, two workers: local and Ray   (about two minutes)
python benchmarks/scale.py --memory   peak memory of 1,000 and of 100,000 rows, and finishing  (minutes; 2.5 GB of disk)
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

from anomgen.output import make  # noqa: E402
from anomgen.recipe import load_recipe  # noqa: E402

COLOUR = {"kind": "builtin", "name": "immunohistochemistry"}


def recipe_of(count: int, size: int = 256):
    return load_recipe("nsa", source={**COLOUR, "size": size}, count=count)


def print_engines(count: int = 16_000, workers: int = 2) -> None:
    """Print the seconds of both engines; Ray's include its start, which is also given alone."""
    import ray

    started = time.perf_counter()
    ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    print(f"start of Ray alone: {time.perf_counter() - started:.1f} s")
    ray.shutdown()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for engine in ("local", "ray"):
            out = Path(folder) / engine
            started = time.perf_counter()
            make(recipe_of(count), out, workers=workers, engine=engine)
            found[engine] = time.perf_counter() - started
            size = sum(path.stat().st_size for path in (out / "data").iterdir()) / count / 1e3
            print(
                f"{engine:<6} {found[engine]:7.1f} s  {count / found[engine]:6.0f} rows/s  {size:.0f} kB/row",
                flush=True,
            )
            shutil.rmtree(out)
    print(f"Ray takes {found['ray'] - found['local']:.1f} s more, {found['ray'] / found['local'] - 1:.0%}")


def _made(count: int, size: int, out: str, pipe) -> None:
    """Make a dataset, then finish it again; send peak memory in MB and the CPU seconds of both."""
    recipe = recipe_of(count, size)
    started = time.process_time()
    make(recipe, out)
    making = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    make(recipe, out, finish=True)
    pipe.send((peak, making, time.process_time() - started - making))


def print_memory(size: int = 128) -> None:
    print(f"nsa at {size}×{size}, one worker")
    peaks = []
    for count in (1000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(target=_made, args=(count, size, folder + "/out", theirs))
            process.start()
            peak, making, finishing = ours.recv()
            process.join()
            peaks.append(peak)
            print(
                f"{count:>7} rows: {peak:.0f} MB, {making / count * 1e3:.2f} CPU ms a row; "
                f"--finish {finishing:.1f} s, {finishing / count * 1e6:.0f} µs a row",
                flush=True,
            )
    print(f"ratio {peaks[1] / peaks[0]:.2f}   at most 1.10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true", help="peak memory and finishing")
    if parser.parse_args().memory:
        print_memory()
    else:
        print_engines()


if __name__ == "__main__":
    main()
