"""Plain files with everything that the dataset holds, for your own code and for `datasets`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from typing import ClassVar

from anomgen.dataset.reader import Dataset
from anomgen.dataset.record import Record
from anomgen.dataset.row import LABELS, NORMAL
from anomgen.exporters.base import FOLDER, Files, SplitExporter, check_types
from anomgen.exporters.metadata import NAME, Metadata, metadata_file

FOLDERS = {"image": "images", "mask": "masks", "soft_mask": "soft_masks", "normal": "normals"}


class Folder(SplitExporter):
    """Plain folders: {train,test}/{images,masks,…}/DEFECT/000000.png and metadata.parquet with all columns.

    Every kind of picture has a folder of its own, normal rows under ``normal``; soft masks and normal images are
    there when the dataset has them.
    """

    kind: ClassVar[str] = "folder"

    def write(self, dataset: Dataset, records: Iterable[Record], files: Files) -> None:
        """Write all pictures and the metadata. Raises UsageError when it cannot be split."""
        check_types(dataset, self.names)
        training = self.training_sources(dataset)
        images = tuple(name for name in FOLDERS if name in dataset.columns.names)
        with ExitStack() as stack:
            metadata: dict[str, Metadata] = {}
            for record in records:
                split = "train" if record.source_id in training else "test"
                if split not in metadata:
                    file = stack.enter_context(files.open(f"{split}/{NAME}"))
                    metadata[split] = stack.enter_context(metadata_file(file, dataset.columns, images))
                paths: dict[str, str | None] = {}
                for name in images:
                    data = getattr(record, name)
                    paths[name] = None if data is None else f"{FOLDERS[name]}/{record.defect_type}/{record.name}"
                    if data is not None:
                        files.write(f"{split}/{paths[name]}", data)
                metadata[split].add(record, paths)
                files.count(split, record)
        files.load += _readers(dataset, files)


def _readers(dataset: Dataset, files: Files) -> list[str]:
    """Return how `datasets` and anomalib read it; anomalib wants folders that are there."""
    normal, kinds = LABELS[NORMAL], dataset.columns.defect_types
    there = [kind for kind in kinds if "test" in files.counts and files.counts["test"][kind]]
    images, masks = (json.dumps([f"test/{part}/{kind}" for kind in there]) for part in ("images", "masks"))
    return [
        f'datasets.load_dataset("{FOLDER}")  # with masks and all columns',
        f'anomalib.data.Folder(name="anomgen", root="{FOLDER}", normal_dir="train/images/{normal}", '
        f'normal_test_dir="test/images/{normal}", abnormal_dir={images}, mask_dir={masks})',
    ]
