"""What large datasets cost: Ray and local workers, memory over 100,000 rows, finishing; for docs/how-to/scale.md.

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

from anomgen.making.make import make  # noqa: E402
from anomgen.making.recipe import load_recipe  # noqa: E402

COLOUR = {"kind": "builtin", "name": "immunohistochemistry"}


def recipe_of(count: int, size: int = 256):
    return load_recipe("nsa", source={**COLOUR, "size": size}, count=count)


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of all below it, those that have ended included (Linux)."""
    parents, used = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents[int(file.parent.name)] = int(fields[1])
        used[int(file.parent.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def is_ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and is_ours(parents[pid]))

    return sum(seconds for pid, seconds in used.items() if is_ours(pid))


def print_engines(count: int = 16_000, workers: int = 2) -> None:
    """Print what both engines take, in seconds and in CPU seconds of all processes; Ray's start is given alone."""
    import ray

    with tempfile.TemporaryDirectory() as folder:
        for engine in ("local", "ray"):
            before, started = cpu_seconds(), time.perf_counter()
            if engine == "ray":
                ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
                print(f"start of Ray: {time.perf_counter() - started:.1f} s, {cpu_seconds() - before:.1f} CPU s")
                before, started = cpu_seconds(), time.perf_counter()
            out = Path(folder) / engine
            make(recipe_of(count), out, workers=workers, engine=engine)
            seconds, cpu = time.perf_counter() - started, cpu_seconds() - before
            size = sum(path.stat().st_size for path in (out / "data").iterdir()) / count / 1e3
            print(
                f"{engine:<6} {seconds:6.1f} s, {count / seconds:.0f} rows/s; {cpu:.1f} CPU s, "
                f"{cpu / count * 1e3:.2f} CPU ms a row; {size:.0f} kB a row",
                flush=True,
            )
            shutil.rmtree(out)
    ray.shutdown()


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
