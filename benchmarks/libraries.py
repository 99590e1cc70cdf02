"""What OpenCV and scikit-image take for the same job on a 512×512 mask, in milliseconds of one processor core.

python benchmarks/libraries.py
"""

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from skimage import draw, filters, measure, morphology

SIDE = 512


def milliseconds(job: Callable[[], Any], runs: int = 3) -> float:
    taken = []
    for _ in range(runs):
        started = time.process_time()
        job()
        taken.append(time.process_time() - started)
    return 1e3 * min(taken)


def filled(points: np.ndarray) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [points.astype(np.int32)], 1)
    return mask


def main() -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), 6)
    mask = noise > np.quantile(noise, 0.9)
    levels = rng.integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    corners = np.array([(10, 20), (300, 40), (200, 400)])
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
    own, square = mask.view(np.uint8), np.ones((9, 9), np.uint8)
    jobs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "dilation by a disc of radius 6": (lambda: cv2.dilate(own, disc), lambda: morphology.dilation(mask, disc)),
        "median of 9×9": (lambda: cv2.medianBlur(levels, 9), lambda: filters.rank.median(levels, square)),
        "Otsu's threshold": (
            lambda: cv2.threshold(levels, 0, 1, cv2.THRESH_OTSU),
            lambda: filters.threshold_otsu(levels),
        ),
        "a triangle filled": (lambda: filled(corners), lambda: draw.polygon2mask((SIDE, SIDE), corners[:, ::-1])),
        "components with their boxes": (
            lambda: cv2.connectedComponentsWithStats(own, connectivity=8),
            lambda: [region.bbox for region in measure.regionprops(measure.label(mask, connectivity=2))],
        ),
    }
    for name, (opencv, skimage) in jobs.items():
        print(f"{name}: OpenCV {milliseconds(opencv):.2f}, scikit-image {milliseconds(skimage):.2f}")
    line = np.array([(10, 10), (60, 10)])
    pixels = filled(line).sum(), draw.polygon2mask((SIDE, SIDE), line[:, ::-1]).sum()
    print(f"pixels of a polygon that is a line of 51: OpenCV {pixels[0]}, scikit-image {pixels[1]}")


if __name__ == "__main__":
    main()
