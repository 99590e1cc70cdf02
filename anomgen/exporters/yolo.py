"""YOLO segmentation, the text files of Ultralytics' tools: a line for each piece of a mask, a polygon in shares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar

import cv2
import numpy as np
from pydantic import Field

from anomgen.config.text import write_yaml
from anomgen.dataset.reader import Dataset
from anomgen.dataset.record import Record
from anomgen.exporters.base import SHELL_FOLDER, Files, SplitExporter
from anomgen.exporters.regions import Component, components, polygon

RESAMPLED = 1000
"""Corners to which Ultralytics fills up polygons."""
REACH = 0.4
"""How far, in pixels, a polygon of fewer than three corners is widened about its pixels' centres."""


class YOLO(SplitExporter):
    """YOLO: images/{train,val}, labels/{train,val}, data.yaml; polygons with holes bridged, the loss measured.

    Classes are the defect types, numbered from 0; a normal image has an empty label file. Corners are the centres of
    the rim's pixels. Its readers cut them to whole pixels, fill them and draw the outline, which gives back the mask;
    what is written is read back so, and pixels that differ are reported by file.

    Note: while it trains, Ultralytics adds points along each polygon, 1,000 in all, and cuts them to whole pixels, too,
    which puts pixels beside diagonals into the mask. They are counted on what is written, too, and noted. At 256×256
    they were no pixel of 131,000 of `cutpaste`, 6 of 209,000 of `nsa`, 46 of 106,000 of `perlin` and 11 of 15,000 of
    `defects`; none is lost. Releases before 8.3 keep no corners and lose up to .3 %.
    """

    kind: ClassVar[str] = "yolo"
    bits: ClassVar[int] = 8
    train_share: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Share of the normal images whose rows are for training, between 0 and 1: its readers want both parts."""

    def write(self, dataset: Dataset, records: Iterable[Record], files: Files) -> None:
        """Write images, labels and data.yaml. Raises UsageError when it cannot be split."""
        training, types = self.training_sources(dataset), dataset.columns.defect_types
        moved = 0
        for record in records:
            split = "train" if record.source_id in training else "val"
            label = f"labels/{split}/{record.stem}.txt"
            mask = record.mask_pixels
            pieces = components(mask)
            text = "".join(_line(types.index(record.defect_type), piece, mask.shape) for piece in pieces)
            files.write(f"images/{split}/{record.name}", record.image)
            files.write(label, text)
            files.compare(label, mask, read_back(text, mask.shape))
            moved += int(np.count_nonzero(mask != read_back(text, mask.shape, RESAMPLED)))
            files.count(split, record)
        names = dict(enumerate(types))
        data = {"train": "images/train", "val": "images/val", "names": names}
        files.write("data.yaml", write_yaml(data, width=80))
        files.load.append(f"yolo segment train data={SHELL_FOLDER}/data.yaml")
        files.notes.append(
            f"Ultralytics adds points to the polygons while it trains, which changes {moved} of {files.mask_pixels} "
            "mask pixels"
        )


def _line(number: int, component: Component, shape: tuple[int, ...]) -> str:
    corners = _widened(polygon(component)) / (shape[1], shape[0])
    return f"{number} " + " ".join(f"{x:.6f} {y:.6f}" for x, y in corners) + "\n"


def _widened(points: np.ndarray) -> np.ndarray:
    """Return the corners at the pixels' centres; a point becomes a small square, a line a thin strip about it."""
    if len(points) == 1:
        square = [(-REACH, -REACH), (REACH, -REACH), (REACH, REACH), (-REACH, REACH)]
        return points + 0.5 + square
    if len(points) == 2:
        dx, dy = points[1] - points[0]
        aside = np.array((REACH, -REACH if dx * dy > 0 else REACH))
        return np.concatenate((points - aside, points[::-1] + aside)) + 0.5
    return points + 0.5


def read_back(text: str, shape: tuple[int, ...], points: int = 0) -> np.ndarray:
    """Return the mask, bool (H, W), that readers get of a label file.

    points: to how many corners they fill up each polygon, at least one more than the longest has; 0: none is added.

    They also drop a line that is alike in class and box to another. That meets no piece of one mask: two pieces with
    one box would have to cross.
    """
    mask = np.zeros(shape, np.uint8)
    size = np.array((shape[1], shape[0]), np.float32)
    polygons = [np.array(line.split()[1:], np.float32).reshape(-1, 2) for line in text.splitlines()]
    if points and polygons:
        longest = max(map(len, polygons))
        polygons = [_filled_up(corners, points if longest <= points else longest + 1) for corners in polygons]
    for corners in polygons:
        cv2.fillPoly(mask, [(corners * size).astype(np.int32)], 1)
    return mask.view(bool)


def _filled_up(corners: np.ndarray, count: int) -> np.ndarray:
    """Return the polygon, closed, with points between its corners, evenly spaced where a side has length 1."""
    closed = np.concatenate((corners, corners[:1]))
    number = np.arange(len(closed), dtype=np.float64)
    at = np.sort(np.concatenate((number, np.linspace(0, len(corners), max(count - len(closed), 0)))))
    return np.stack([np.interp(at, number, axis) for axis in closed.T], axis=1).astype(np.float32)
