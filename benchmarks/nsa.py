"""How large NSA's anomalies are and how they are labelled: the authors' code, its preset, and `auto`, on one data set.

    python benchmarks/nsa.py data/hazelnut hazelnut

DATA is a category as `anomgen score` takes it, PRESET an object or a texture of MVTec AD. Prints the mean area of the
masks, the mean soft label inside them, and the share of draws without an anomaly: the authors' code then shows a normal
image, here it is drawn again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from anomgen.generators.nsa import NSA
from anomgen.rng import Stream, rng_for
from anomgen.score.data import load
from anomgen.sources.foreground import PRESETS
from anomgen.sources.pool import Pool
from anomgen.synthesis.sample import Reject

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import published_nsa  # the plain statement of the authors' code, which the tests compare with

SIZE = 256
Drawn = tuple[np.ndarray, np.ndarray] | None


def theirs(pool: Pool, preset: NSA, count: int) -> Iterator[Drawn]:
    """Yield mask and soft mask of each draw of the authors' code; None where no pixel is labelled."""
    assert preset.blend != "auto" and preset.height_range != "auto" and preset.width_range != "auto"
    row = {
        "half_widths": [[side / 2 for side in bounds] for bounds in (preset.height_range, preset.width_range)],
        "min_object": preset.min_object,
        "patches": preset.patches,
        "slope": preset.slope,
        "midpoint": preset.midpoint,
        "resize": preset.resize_range,
        "clone": {"normal": cv2.NORMAL_CLONE, "mixed": cv2.MIXED_CLONE}[preset.blend],
    }
    for seed in range(count):
        rng = np.random.default_rng(seed)
        image, donor = (pool[int(k)] for k in rng.choice(len(pool), 2, replace=False))
        near, far = pool.foreground(image), pool.foreground(donor)
        objects = None if near is None else (near, far)
        mask, soft, _ = published_nsa.draw(rng, image, donor, objects, row)
        yield (mask, soft) if mask.any() else None


def ours(pool: Pool, generator: NSA, count: int) -> Iterator[Drawn]:
    """Yield mask and soft mask of each draw; None for a rejected one."""
    ready = generator.prepared(pool)
    for seed in range(count):
        try:
            sample = ready.sample(rng_for(seed, Stream.SAMPLE), pool[seed % len(pool)], pool)
        except Reject:
            yield None
        else:
            assert sample.soft_mask is not None
            yield sample.mask, sample.soft_mask


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("preset")
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    pool = Pool(load(options.data, SIZE).train, PRESETS[f"nsa/{options.preset}"])
    preset = NSA(preset=options.preset)
    lines = {
        "authors' code": theirs(pool, preset, options.count),
        f"preset {options.preset}": ours(pool, preset, options.count),
        "auto": ours(pool, NSA(), options.count),
    }
    for name, draws in lines.items():
        found = list(draws)
        drawn = [pair for pair in found if pair is not None]
        area = np.mean([mask.mean() for mask, _ in drawn])
        label = np.mean([soft[mask].mean() for mask, soft in drawn])
        print(
            f"{name:20} area {area:.4f}  soft label {label:.2f}  without {1 - len(drawn) / len(found):.3f}", flush=True
        )


if __name__ == "__main__":
    main()
