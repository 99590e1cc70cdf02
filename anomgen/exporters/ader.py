"""The layout of ADer (Zhang et al., arXiv 2406.03262) and of the detectors that took over its meta.json."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from anomgen.dataset.reader import Dataset
from anomgen.dataset.record import Record
from anomgen.exporters.base import FOLDER, Files, category_of, json_text
from anomgen.exporters.mvtec import MVTec, Placed


class ADer(MVTec):
    """ADer: the tree of MVTec AD and a meta.json that lists it, severity and source among the keys of a row."""

    kind: ClassVar[str] = "ader"

    def write(self, dataset: Dataset, records: Iterable[Record], files: Files) -> None:
        """Write the tree, then meta.json. Raises UsageError when it cannot be split."""
        name = category_of(dataset, self.category)
        meta: dict[str, dict[str, list[dict[str, Any]]]] = {"train": {name: []}, "test": {name: []}}
        for placed in self.tree(dataset, records, files):
            meta[placed.split][name].append(_row(name, placed))
        files.write("meta.json", json_text(meta) + "\n")
        files.load.insert(0, f'ADer: data.root = "{FOLDER}", data.meta = "meta.json"')


def _row(name: str, placed: Placed) -> dict[str, Any]:
    record = placed.record
    return {
        "img_path": placed.image,
        "mask_path": placed.mask or "",
        "cls_name": name,
        "specie_name": record.defect_type if record.is_anomalous else "good",
        "anomaly": record.label,
        "severity": record.severity,
        "detectability": record.detectability,
        "source_id": record.source_id,
    }
