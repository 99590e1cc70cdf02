"""What the online adapters deliver: samples a second through a torch DataLoader, and whether they leak memory.

python benchmarks/adapters.py            nsa at 256×256, every sample anomalous, two workers   (about a minute)
python benchmarks/adapters.py --leak     50,000 samples, resident memory on the way            (minutes)
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import torch  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from anomgen.adapters.torch import AnomalyDataset  # noqa: E402

BAR = 400
"""Samples a second that two workers deliver at least."""


def dataset_of(name: str, count: int) -> AnomalyDataset:
    source = {"kind": "builtin", "name": "immunohistochemistry", "size": 256}
    return AnomalyDataset(name, source=source, count=count, overrides=["anomaly_ratio=1.0"])


def cpu_seconds() -> float:
    """Return the CPU seconds of the processes that have ended and were waited for: the loader's workers."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rate(name: str, workers: int, count: int) -> tuple[float, float, float]:
    """Return samples a second, and CPU milliseconds per sample in the workers and in this process.

    The first epoch fills the caches and is not counted as time, but as the workers' CPU.
    """
    dataset = dataset_of(name, count)
    loader = DataLoader(dataset, batch_size=32, num_workers=workers, persistent_workers=True)
    before = cpu_seconds()
    for _ in loader:
        pass
    dataset.set_epoch(1)
    started, own = time.perf_counter(), time.process_time()
    for _ in loader:
        pass
    seconds, own = time.perf_counter() - started, time.process_time() - own
    del loader
    return count / seconds, (cpu_seconds() - before) / (2 * count) * 1e3, own / count * 1e3


def resident(pid: int | str = "self") -> float:
    """Return the resident megabytes of a process without what it shares with others."""
    size, shared = (int(text) for text in Path(f"/proc/{pid}/statm").read_text().split()[1:3])
    return (size - shared) * resource.getpagesize() / 1e6


def print_leak(count: int, workers: int = 2) -> None:
    loader = DataLoader(dataset_of("nsa", count), batch_size=32, num_workers=workers)
    batches = iter(loader)
    pids = [worker.pid for worker in batches._workers]
    print(f"nsa, {workers} workers: own resident memory, MB\n{'samples':>8} {'loader':>7} {'workers':>8}")
    started = time.perf_counter()
    for done, _ in enumerate(batches, 1):
        if done % (count // 32 // 10) == 0:
            own = " ".join(f"{resident(pid):8.0f}" for pid in pids)
            print(f"{32 * done:>8} {resident():7.0f} {own}", flush=True)
    print(f"{count / (time.perf_counter() - started):.0f} samples a second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leak", action="store_true", help="memory over many samples")
    parser.add_argument("--count", type=int, default=None, help="samples")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {os.cpu_count()} cores")
    if options.leak:
        print_leak(options.count or 50_000)
        return
    print(f"{'recipe':<10} {'workers':>7} {'samples/s':>10} {'CPU ms in workers':>18} {'CPU ms in the loader':>21}")
    for name in ("nsa", "cutpaste", "perlin"):
        for workers in (1, 2):
            found = rate(name, workers, options.count or 2000)
            bar = f"   at least {BAR}" if (name, workers) == ("nsa", 2) else ""
            print(f"{name:<10} {workers:>7} {found[0]:10.0f} {found[1]:18.2f} {found[2]:21.2f}{bar}", flush=True)


if __name__ == "__main__":
    main()
