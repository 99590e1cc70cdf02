"""The abnormal images that a Cycle-GAN learns from: a folder of real ones, or a finished dataset's anomalous rows."""

from __future__ import annotations

from typing import ClassVar

from anomgen.dataset.origin import is_ours
from anomgen.dataset.reader import Dataset
from anomgen.dataset.row import ANOMALY
from anomgen.errors import UsageError
from anomgen.files import digest
from anomgen.licenses import inherited, license_beside
from anomgen.sources.base import PathText, Source, SourceConfig
from anomgen.sources.folder import FileReader, existing_folder
from anomgen.sources.pairing import abnormal_among
from anomgen.sources.scan import Listed, ScannedConfig
from anomgen.sources.tree import extensions_text, not_read, tree_of


class Abnormal(ScannedConfig):
    """Abnormal images; of a folder, whatever lies below a subfolder of normal images or of masks is left out."""

    kind: ClassVar[str] = "abnormal"

    path: PathText
    """Folder of abnormal images, or a dataset that `anomgen make` wrote."""

    @classmethod
    def beside(cls, path: str, normal: SourceConfig) -> Abnormal:
        """Return the configuration for abnormal images that are read as the normal ones are."""
        shared = {key: getattr(normal, key) for key in ("size", "fit", "on_bad_image") if hasattr(normal, key)}
        return cls(path=path, **shared)

    def listed(self) -> Listed:
        """Find the images. Raises UsageError for the folder, SourceError for masks in it that cannot be read."""
        root = existing_folder(self.path, "abnormal images")
        if is_ours(root):
            return self._anomalous_rows(Dataset(root))
        files, read = tree_of(root), FileReader(root.resolve())
        abnormal = abnormal_among(files.pictures, read, self.path)
        if not abnormal.images:
            raise UsageError(f"{self.path}: holds no abnormal image ({extensions_text()}); give a folder of such")
        entries = [(name, name) for name in abnormal.images]
        found = license_beside(root.resolve(), pictures=abnormal.images)
        notes = (*abnormal.notes, *not_read(files, found.read), *found.notes)
        return Listed(str(root), entries, read, found.license, notes=notes)

    def _anomalous_rows(self, dataset: Dataset) -> Listed:
        rows = dataset.table(["index", "label"]).to_pydict()
        anomalous = [index for index, label in zip(rows["index"], rows["label"], strict=True) if label == ANOMALY]
        if not anomalous:
            raise UsageError(f"{self.path}: a dataset without an anomalous row; give one that has some")
        recipe, provenance = dataset.recipe, dataset.provenance
        others = provenance.get("licenses", ())
        license = recipe.get("license") or inherited(provenance["source"].get("license"), others)

        def read(index: int) -> bytes:
            data: bytes = dataset.cells(index, ["image"])["image"]["bytes"]
            return data

        entries = [(f"{index:06d}", index) for index in anomalous]
        return Listed(self.path, entries, read, license)


def refuse_common_images(normal: Source, abnormal: Source) -> None:
    """Raise UsageError when an image is among the normal and the abnormal ones."""
    known = {_digest(normal, index): index for index in range(len(normal))}
    for index in range(len(abnormal)):
        same = known.get(_digest(abnormal, index))
        if same is not None:
            raise UsageError(
                f"{abnormal.id(index)} of the abnormal images is also {normal.id(same)} of the normal ones; an image "
                "is one or the other"
            )


def _digest(source: Source, index: int) -> bytes:
    image = source[index]
    return digest(image.tobytes()).digest()
