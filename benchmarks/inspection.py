"""How fast `anomgen inspect` looks at a folder, and whether its memory grows: at least 60 images a second on one core.

taskset -c 0 python benchmarks/inspection.py --images 20000

Detector `probe` at 128 pixels, trained for a few steps, which changes no time; photos of 128 pixels, or of --side
pixels, that are brought to 128. Memory is the process's own: what each library takes, after a tenth of the images, and
after all.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
import time
import warnings
from pathlib import Path

import cv2

import anomgen
from anomgen.errors import AnomgenNote
from anomgen.versions import cores

warnings.simplefilter("ignore", AnomgenNote)


def main() -> None:
    options = _options()
    libraries = {name: _taken_by(name) for name in ("torch", "torchvision", "timm")}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _photos(place / "photos", options.images, options.side)
        _photos(place / "normal", 12, 128)
        anomgen.fit(place / "normal", "nsa", place / "detector", detector=options.detector, steps=5, size=128)
        inspector = anomgen.Inspector.load(place / "detector")
        sizes: dict[int, float] = {}

        def progress(done: int, total: int, _note: str = "", /) -> None:
            if done in (total // 10, total):
                sizes[done] = _megabytes()

        used = time.process_time()
        found = anomgen.inspect(inspector, place / "photos", place / "out", maps=not options.no_maps, progress=progress)
        used = time.process_time() - used
        written = sum(path.stat().st_size for path in (place / "out").rglob("*") if path.is_file())
    print(f"{options.detector}, {found.images} photos of {options.side} pixels on {cores()} cores:")
    print(f"  {found.rate:.0f} images a second; {found.images / used:.0f} a second of processor time")
    print("  libraries: " + ", ".join(f"{name} {size:.0f} MB" for name, size in libraries.items()))
    print("  memory: " + ", ".join(f"{size:.0f} MB after {done}" for done, size in sizes.items()))
    print(f"  written: {written / 1e6:.0f} MB")


def _photos(folder: Path, count: int, side: int) -> None:
    """Write `count` names of 16 pictures."""
    folder.mkdir()
    source = anomgen.build_source({"kind": "builtin", "count": 16, "size": side}).open()
    for k in range(count):
        path = folder / f"{k:06d}.png"
        if k < 16:
            cv2.imwrite(str(path), source[k])
        else:
            path.hardlink_to(folder / f"{k % 16:06d}.png")


def _taken_by(library: str) -> float:
    """Import a library and return the memory that this takes, in MB."""
    before = _megabytes()
    importlib.import_module(library)
    return _megabytes() - before


def _megabytes() -> float:
    """Return the memory that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--detector", default="probe")
    parser.add_argument("--no-maps", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
