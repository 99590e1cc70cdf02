"""Label Studio's tasks: the masks as brush strokes that can be looked at, corrected and added to.

The brush's run lengths are those of the package rle-pack (https://github.com/thi-ng/umbrella) over RGBA values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar
from xml.sax.saxutils import quoteattr

import numpy as np

from anomgen.dataset.reader import Dataset
from anomgen.dataset.record import Record
from anomgen.errors import UsageError
from anomgen.exporters.base import FOLDER, SHELL_FOLDER, Exporter, Files, json_text

SIZES = (3, 4, 8, 16)
"""Numbers of bits in which the length of a run can be stored."""

SHOWN = ("label", "defect_type", "severity", "detectability", "area", "source_id", "index", "seed", "attempt", "params")
"""Columns that a task has beside its image, to sort and filter by."""


class LabelStudio(Exporter):
    """Label Studio: images, tasks.json with a brush mask each, config.xml for the labelling interface.

    The images are found through local file storage with this folder as LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT;
    `image_root` is what stands before ``images/000000.png`` in a task, a URL of your own for instance.
    """

    kind: ClassVar[str] = "labelstudio"
    image_root: str = "/data/local-files/?d="
    """What stands before ``images/000000.png`` in a task: a prefix of local file storage, or a URL of your own."""

    def write(self, dataset: Dataset, records: Iterable[Record], files: Files) -> None:
        """Write images, tasks and interface."""
        with files.open("tasks.json") as file:
            before = b"[\n"
            for record in records:
                files.write(f"images/{record.name}", record.image)
                files.count("all", record)
                file.write(before + json_text(self._task(record)).encode())
                before = b",\n"
            file.write(b"\n]\n")
        files.write("config.xml", _interface(dataset.columns.defect_types))
        files.load += [
            f"LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={SHELL_FOLDER} "
            "label-studio start",
            f"in a new project: {FOLDER}/config.xml as labelling interface, local storage {FOLDER}/images as source "
            f"without syncing it, then import {FOLDER}/tasks.json",
        ]

    def _task(self, record: Record) -> dict[str, Any]:
        shown = {name: getattr(record, name) for name in SHOWN}
        result = [_stroke(record)] if record.is_anomalous else []
        return {
            "data": {"image": f"{self.image_root}images/{record.name}", **shown},
            "annotations": [{"result": result, "ground_truth": True}],
        }


def _stroke(record: Record) -> dict[str, Any]:
    h, w = record.mask_pixels.shape
    return {
        "id": record.stem,
        "type": "brushlabels",
        "from_name": "defect",
        "to_name": "image",
        "original_width": w,
        "original_height": h,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": list(brush(record.mask_pixels)), "brushlabels": [record.defect_type]},
    }


def _interface(defect_types: Iterable[str]) -> str:
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in defect_types)
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n  <BrushLabels name="defect" toName="image">\n'
        f"{labels}  </BrushLabels>\n</View>\n"
    )


def brush(mask: np.ndarray) -> bytes:
    """Return a mask, bool (H, W), as the editor's brush stores it: 255 in all four channels, or 0.

    Number of values (32 bits), bits a value less 1 (5), bits of each of four sizes less 1 (4 each); then runs: bit 1,
    which size (2), length less 1, value (8). Raises UsageError when the image is too large to be counted so.
    """
    total = 4 * mask.size
    if total >= 1 << 32:
        raise UsageError(f"an image of {mask.shape[1]}×{mask.shape[0]} pixels is too large for Label Studio's brush")
    bits = [f"{total:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    flat = mask.ravel()
    starts = np.concatenate(([0], np.flatnonzero(np.diff(flat)) + 1))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), mask.size], strict=True):
        value = "11111111" if flat[start] else "00000000"
        left = 4 * (end - start)
        while left:
            length = min(left, 1 << SIZES[-1])
            size = next(k for k, size in enumerate(SIZES) if length <= 1 << size)
            bits.append(f"1{size:02b}{length - 1:0{SIZES[size]}b}{value}")
            left -= length
    text = "".join(bits)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")
