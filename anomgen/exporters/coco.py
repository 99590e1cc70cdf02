"""COCO instance segmentation (Lin et al., ECCV 2014, arXiv 1405.0312): masks as run lengths, so that holes stay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from anomgen.dataset.reader import Dataset
from anomgen.dataset.record import Record
from anomgen.exporters.base import FOLDER, Files, SplitExporter, json_text, license_of
from anomgen.exporters.regions import components, run_lengths


class COCO(SplitExporter):
    """COCO: train, val and annotations/instances_{train,val}.json, one annotation for each piece of a mask.

    A piece is 8-connected; its mask is uncompressed RLE with holes. Categories are the defect types, numbered from
    1. Severity, source and parameters stand with the image.
    """

    kind: ClassVar[str] = "coco"

    def write(self, dataset: Dataset, records: Iterable[Record], files: Files) -> None:
        """Write images and annotations. Raises UsageError when it cannot be split."""
        training = self.training_sources(dataset)
        parts: dict[str, _Split] = {}
        number = 0
        for record in records:
            split = "train" if record.source_id in training else "val"
            part = parts.setdefault(split, _Split())
            h, w = record.mask_pixels.shape
            part.images.append(json_text(_image(record, h, w, dataset)))
            for component in components(record.mask_pixels):
                number += 1  # from 1: evaluation tools take an annotation 0 for none
                annotation = {
                    "id": number,
                    "image_id": record.index,
                    "category_id": 1 + dataset.columns.defect_types.index(record.defect_type),
                    "segmentation": {"size": [h, w], "counts": run_lengths(component, (h, w))},
                    "area": int(component.pixels.sum()),
                    "bbox": component.box,
                    "iscrowd": 0,
                }
                part.annotations.append(json_text(annotation))
            files.write(f"{split}/{record.name}", record.image)
            files.count(split, record)
        for split, part in parts.items():
            file = f"annotations/instances_{split}.json"
            files.write(file, part.text(dataset))
            files.load.append(f'pycocotools.coco.COCO("{FOLDER}/{file}")  # its images are in {split}/')


class _Split:
    """The entries of one annotation file, as JSON texts: many thousands of them are small that way."""

    def __init__(self) -> None:
        self.images: list[str] = []
        self.annotations: list[str] = []

    def text(self, dataset: Dataset) -> str:
        license = license_of(dataset)
        names = dataset.columns.defect_types
        head = {
            "info": {"description": f"{dataset.recipe.get('name')}: synthetic anomalies, made by anomgen"},
            "licenses": [{"id": 1, "name": license, "url": ""}] if license else [],
            "categories": [{"id": k, "name": name, "supercategory": "anomaly"} for k, name in enumerate(names, 1)],
        }
        images, annotations = ",\n".join(self.images), ",\n".join(self.annotations)
        return f'{json_text(head)[:-1]},\n"images":[\n{images}\n],\n"annotations":[\n{annotations}\n]}}\n'


def _image(record: Record, h: int, w: int, dataset: Dataset) -> dict[str, Any]:
    return {
        "id": record.index,
        "file_name": record.name,
        "width": w,
        "height": h,
        **({"license": 1} if license_of(dataset) else {}),
        "defect_type": record.defect_type,
        "severity": record.severity,
        "detectability": record.detectability,
        "source_id": record.source_id,
        "params": record.params,
    }
