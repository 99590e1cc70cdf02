"""The layout of MVTec AD (Bergmann et al., CVPR 2019), which most detectors' code reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, ClassVar, NamedTuple

import yaml

from anomgen.dataset.reader import Dataset
from anomgen.dataset.record import Record
from anomgen.exporters.base import FOLDER, Category, Files, SplitExporter, category_of, check_types
from anomgen.exporters.metadata import NAME, Metadata, metadata_file


class Placed(NamedTuple):
    """A record and where its files are; mask is None for a normal one."""

    record: Record
    split: str
    image: str
    mask: str | None


class MVTec(SplitExporter):
    """MVTec AD: CATEGORY/train/good, test/good, test/DEFECT, ground_truth/DEFECT; also loadable by `datasets`.

    All anomalous images are for testing, as its readers expect. `train_share` is of the normal images.

    Note: anomalib takes every picture below the category's folder for an image or a mask, so nothing else may lie
    there; soft masks are in the format `folder`.
    """

    kind: ClassVar[str] = "mvtec"
    bits: ClassVar[int] = 8
    category: Category = None
    """Name of the category's folder; by default the recipe's name."""

    def write(self, dataset: Dataset, records: Iterable[Record], files: Files) -> None:
        """Write the tree and, for `datasets`, its metadata. Raises UsageError when it cannot be split."""
        for _ in self.tree(dataset, records, files):
            pass

    def tree(self, dataset: Dataset, records: Iterable[Record], files: Files) -> Iterator[Placed]:
        """Write the tree record by record; yield where each one is now."""
        check_types(dataset, self.names)
        name = category_of(dataset, self.category)
        training = self.training_sources(dataset, normal_only=True)
        seen = 0
        with ExitStack() as stack:
            # A metadata file reaches what lies below it: that of the test part also reaches ground_truth.
            tops = {"train": f"{name}/train/", "test": f"{name}/"}
            metadata: dict[str, Metadata] = {}
            for record in records:
                known = record.source_id in training
                seen += known and record.is_anomalous
                placed = _placed(name, "train" if known and not record.is_anomalous else "test", record)
                split, top = placed.split, tops[placed.split]
                if split not in metadata:
                    file = stack.enter_context(files.open(top + NAME))
                    metadata[split] = stack.enter_context(metadata_file(file, dataset.columns, ("image", "mask")))
                files.write(placed.image, record.image)
                if placed.mask is not None:
                    files.write(placed.mask, record.mask)
                files.count(split, record)
                mask = None if placed.mask is None else placed.mask.removeprefix(top)
                metadata[split].add(record, {"image": placed.image.removeprefix(top), "mask": mask})
                yield placed
        files.write(
            f"{name}/README.md", f"---\n{yaml.safe_dump(_configs('', files))}---\n\n../README.md says what this is.\n"
        )
        files.card |= _configs(f"{name}/", files)
        files.load += [
            f'anomalib.data.MVTecAD(root="{FOLDER}", category="{name}")',
            f'datasets.load_dataset("{FOLDER}")  # with masks and all columns',
        ]
        if seen:
            files.notes.append(seen_note(seen))


def _configs(top: str, files: Files) -> dict[str, Any]:
    """Return where the splits are, below `top`.

    `datasets` finds what it has cached by a hash of this, not of the files: without the fingerprint an export would
    come back as another one whose folder has the same name.
    """
    paths = {"train": f"{top}train/**", "test": [f"{top}{NAME}", f"{top}test/**"]}
    data_files = [{"split": split, "path": path} for split, path in paths.items() if split in files.counts]
    config = {"config_name": "default", "description": f"content {files.fingerprint()}", "data_files": data_files}
    return {"configs": [config]}


def _placed(name: str, split: str, record: Record) -> Placed:
    if not record.is_anomalous:
        return Placed(record, split, f"{name}/{split}/good/{record.name}", None)
    kind = record.defect_type
    mask = f"{name}/ground_truth/{kind}/{record.stem}_mask.png"
    return Placed(record, split, f"{name}/{split}/{kind}/{record.name}", mask)


def seen_note(count: int) -> str:
    """Return what to say when anomalous test images equal training images outside their masks."""
    return (
        f"{count} anomalous test images were made from normal images that are in train; a detector that remembers "
        "those finds them easier than new ones. For a sterner test make the anomalies from other images."
    )
