"""Pictures of what a training does on test images: its best and worst, and images that every training shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from anomgen.dataset.pictures import at_most, encoded, outlined
from anomgen.files import replacing
from anomgen.score.data import RealData
from anomgen.score.result import Examples, Shown
from anomgen.sources.pixels import to_channels, to_depth

SIDE = 256
"""Longest side of a picture that is kept: a report holds a thousand of them."""
EXAMPLES = 3
"""Best and worst images of which a cell keeps the anomaly map."""
SHOWN = 10
"""Anomalous test images, the same for every cell, of which it keeps the map …"""
SHOWN_NORMAL = 2
"""… and normal ones."""


def write_examples(folder: Path, data: RealData, scores: np.ndarray, maps: np.ndarray) -> Examples:
    """Write the maps of the best and the worst images, and of those that every cell shows; return the images' ids.

    Best: the anomalous images with the highest scores. Worst: the anomalous ones with the lowest.
    """
    anomalous = np.flatnonzero(data.test.labels)
    order = anomalous[np.argsort(-scores[anomalous], kind="stable")]
    best, worst = order[:EXAMPLES], order[EXAMPLES:][::-1][:EXAMPLES]
    low, high = (float(np.quantile(maps, q)) for q in (0.02, 0.999)) if maps.size else (0.0, 1.0)
    for name, places in (("best", best), ("worst", worst)):
        for k, place in enumerate(places):
            _keep(_triptych(data, int(place), maps[place], low, high), folder / f"{name}-{k}.webp")
    ids, kinds = data.test.ids, data.test.defect_types
    shown = shown_places(kinds, data.test.labels)
    for k, place in enumerate(shown):
        for name, picture in (("image", _truth(data, place)[1]), ("map", _coloured(maps[place], low, high))):
            _keep(at_most(picture, SIDE), folder / f"{name}-{k}.webp")
    return Examples(
        best=[ids[place] for place in best],
        worst=[ids[place] for place in worst],
        shown=[Shown(image=ids[place], defect_type=kinds[place], score=float(scores[place])) for place in shown],
    )


def _keep(picture: np.ndarray, path: Path) -> None:
    with replacing(path) as file:
        file.write(encoded(picture, ".webp"))


def shown_places(kinds: Sequence[str], labels: np.ndarray) -> list[int]:
    """Return which test images every cell shows: of each type of defect as many, spread evenly, then normal ones."""
    groups: dict[str, list[int]] = {}
    for place in map(int, np.flatnonzero(labels)):
        groups.setdefault(kinds[place], []).append(place)
    quotas = dict.fromkeys(sorted(groups), 0)
    for _ in range(min(SHOWN, sum(map(len, groups.values())))):
        quotas[min((kind for kind in quotas if quotas[kind] < len(groups[kind])), key=quotas.__getitem__)] += 1
    chosen = [place for kind, quota in quotas.items() for place in _spread(groups[kind], quota)]
    return [*chosen, *_spread([int(place) for place in np.flatnonzero(~labels)], SHOWN_NORMAL)]


def _spread(places: Sequence[int], count: int) -> list[int]:
    count = min(count, len(places))
    return [places[(2 * k + 1) * len(places) // (2 * count)] for k in range(count)]


def _triptych(data: RealData, place: int, anomaly_map: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return image, image with its ground truth, and anomaly map side by side, shrunk, uint8 (H, 3 W, 3)."""
    parts = [at_most(part, SIDE) for part in (*_truth(data, place), _coloured(anomaly_map, low, high))]
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _truth(data: RealData, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a test image, and the same with its ground truth outlined, uint8 (H, W, 3)."""
    colour = to_channels(to_depth(data.test.images[place], np.uint8), 3)
    return colour, colour if data.test.masks is None else outlined(colour, data.test.masks[place])


def _coloured(anomaly_map: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return a map in colours from `low`, dark, to `high`, bright, uint8 (H, W, 3)."""
    grey = np.clip((anomaly_map - low) / max(high - low, 1e-12) * 255, 0, 255).astype(np.uint8)
    return cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[..., ::-1]
