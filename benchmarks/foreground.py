"""How well foreground `auto` finds objects: overlap with outlines that were drawn by hand, with and without snapping.

python benchmarks/foreground.py ROOT     (the folder that holds mvtec_screw_eq, coffee_leaf, …, each with train/good)

outlines.json has a polygon for each image, (x, y) in pixels of the image at 512 × 512. IoU: pixels in both over pixels
in either.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from anomgen.sources.folder import Folder
from anomgen.sources.foreground import Foreground
from anomgen.sources.pool import Pool

DRAWN_AT = 512
SIZES = (128, 256, 512)


def main() -> None:
    root = Path(sys.argv[1])
    outlines: dict[str, dict[str, list[list[int]]]] = defaultdict(dict)
    for name, polygon in json.loads((Path(__file__).parent / "outlines.json").read_text()).items():
        outlines[name.split("/")[0]][name.split("/")[1]] = polygon
    for product, polygons in outlines.items():
        for size in SIZES:
            source = Folder(path=str(root / product / "train" / "good"), size=size, fit="stretch").open()
            pool = Pool(source)
            chosen = Foreground(method="auto").resolved(pool)
            found = {True: [], False: []}
            for index in range(len(source)):
                if source.id(index) in polygons:
                    wanted = _mask(polygons[source.id(index)], size)
                    for snap, values in found.items():
                        values.append(_overlap(chosen.model_copy(update={"snap": snap}).mask(pool[index]), wanted))
            figures = ", ".join(
                f"{'snapped' if snap else 'before'} {np.mean(values):.3f} (least {min(values):.3f})"
                for snap, values in sorted(found.items())
            )
            told = "" if chosen.snap else "; auto does not snap here"
            print(f"{product} at {size}, {len(polygons)} images: {figures}{told}")


def _mask(polygon: list[list[int]], size: int) -> np.ndarray:
    drawn = np.zeros((DRAWN_AT, DRAWN_AT), np.uint8)
    cv2.fillPoly(drawn, [np.array(polygon, np.int32)], 255)
    return cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA) > 127


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.count_nonzero(one & other) / np.count_nonzero(one | other))


if __name__ == "__main__":
    main()
