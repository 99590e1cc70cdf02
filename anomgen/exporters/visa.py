"""The layout of VisA as published (Zou et al., ECCV 2022, arXiv 2207.14315), with its table of the split."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from anomgen.dataset.png import encode_png
from anomgen.dataset.reader import Dataset
from anomgen.dataset.record import Record
from anomgen.exporters.base import FOLDER, Category, Files, SplitExporter, category_of
from anomgen.exporters.mvtec import seen_note

CATEGORIES = (
    *("candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2", "pcb1", "pcb2", "pcb3"),
    *("pcb4", "pipe_fryum"),
)
"""What the published data set holds."""


class VisA(SplitExporter):
    """VisA: split_csv/1cls.csv, CATEGORY/Data/Images and Masks, masks with the number of the defect type.

    All anomalous images are for testing. `train_share` is of the normal images. CATEGORY/image_anno.csv names the
    defect types in the order of their numbers.

    Note: anomalib accepts VisA's own twelve categories alone, such as candle.
    """

    kind: ClassVar[str] = "visa"
    bits: ClassVar[int] = 8
    category: Category = None
    """Name of the category's folder; by default the recipe's name."""

    def write(self, dataset: Dataset, records: Iterable[Record], files: Files) -> None:
        """Write images, masks and the two tables. Raises UsageError when it cannot be split."""
        name = category_of(dataset, self.category)
        training = self.training_sources(dataset, normal_only=True)
        split_rows, annotations = [("object", "split", "label", "image", "mask")], [("image", "label", "mask")]
        seen = 0
        for record in records:
            known = record.source_id in training
            seen += known and record.is_anomalous
            split = "train" if known and not record.is_anomalous else "test"
            image = f"{name}/Data/Images/{'Anomaly' if record.is_anomalous else 'Normal'}/{record.name}"
            mask = f"{name}/Data/Masks/Anomaly/{record.name}" if record.is_anomalous else ""
            files.write(image, record.image)
            if mask:
                files.write(mask, _numbered(record, dataset))
            files.count(split, record)
            split_rows.append((name, split, "anomaly" if record.is_anomalous else "normal", image, mask))
            annotations.append((image, record.defect_type, mask))
        files.write("split_csv/1cls.csv", _csv(split_rows))
        files.write(f"{name}/image_anno.csv", _csv(annotations))
        if name in CATEGORIES:
            files.load.append(f'anomalib.data.Visa(root="{FOLDER}", category="{name}")')
        else:
            files.load.append(f'list(csv.DictReader(open("{FOLDER}/split_csv/1cls.csv", newline="")))')
            files.notes.append(
                f"anomalib's Visa takes VisA's own categories alone, and {name!r} is none; export it with "
                f"--set category={CATEGORIES[0]}, or --to mvtec"
            )
        if seen:
            files.notes.append(seen_note(seen))


def _numbered(record: Record, dataset: Dataset) -> bytes:
    """Return the mask as PNG with the number of the defect type, from 1, where it was 255."""
    number = 1 + dataset.columns.defect_types.index(record.defect_type)
    return encode_png(record.mask_pixels * np.uint8(number))


def _csv(rows: Iterable[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
