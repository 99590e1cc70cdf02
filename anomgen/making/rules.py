"""The rules of `check` that need one row, or the files of a dataset, and nothing to compare with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from anomgen import registry
from anomgen.cards import Card, entries_of, listed, name_of
from anomgen.config.text import read_json
from anomgen.dataset.card import license_of
from anomgen.dataset.columns import IMAGE_COLUMNS
from anomgen.dataset.origin import RECIPE
from anomgen.dataset.png import decode_png
from anomgen.dataset.reader import PREVIEW, SHARD_PATTERN, Dataset, shard_rows
from anomgen.dataset.record import kind_fault
from anomgen.dataset.row import ANOMALY, LABELS, NORMAL, area_of, boxes_of, image_name, severity_of
from anomgen.errors import RecipeError, UsageError
from anomgen.licenses import known
from anomgen.making.output import DATA, foreign_files
from anomgen.making.recipe import parse_recipe
from anomgen.making.report import EXAMPLES, Faults, Violation
from anomgen.places import foreign
from anomgen.sources.foreground import parse_foreground
from anomgen.sources.value_range import ValueRange, stretched
from anomgen.synthesis.detectability import Detectability
from anomgen.synthesis.sample import smallest_mask


class DecodedRow:
    """A row with its images decoded; `broken` names the columns that could not be."""

    def __init__(self, cells: dict[str, Any]):
        self.cells = cells
        self.anomalous = cells["label"] == ANOMALY
        self.broken: list[str] = []
        self.images: dict[str, np.ndarray] = {}
        for name in IMAGE_COLUMNS:
            self._decode(name)

    def _decode(self, name: str) -> None:
        cell = self.cells.get(name)
        if cell is None:
            if name in ("image", "mask"):
                self.broken.append(name)
            return
        try:
            self.images[name] = decode_png(cell["bytes"] or b"")
        except ValueError:
            self.broken.append(name)

    @property
    def image(self) -> np.ndarray:
        """Return the image, (H, W, C)."""
        return self.images["image"]

    @property
    def kind(self) -> tuple[int, np.dtype]:
        """Return channels and dtype of the image."""
        return self.image.shape[2], self.image.dtype

    @property
    def mask(self) -> np.ndarray:
        """Return the mask, bool (H, W)."""
        return self.images["mask"][..., 0] > 127


# --- of one row -----------------------------------------------------------------------------------------------------


def record_faults(cells: dict[str, Any], position: int, dataset: Dataset) -> Faults:
    """Yield what breaks a rule in the small columns of the row that stands at a position."""
    index, label, defect = cells["index"], cells["label"], cells["defect_type"]
    if index != position:
        yield "index", f"stands at position {position}"
    if label not in (NORMAL, ANOMALY) or not 0 <= defect < len(dataset.columns.defect_names):
        yield "label", f"label {label} and defect type {defect} are not among the names"
    elif defect and dataset.columns.defect_names[defect] not in dataset.columns.defect_types:
        yield "label", f"the dataset holds no defect type {dataset.columns.defect_names[defect]}"
    elif (label == NORMAL) != (defect == 0):
        yield "label", f"label {LABELS[label]}, defect type {dataset.columns.defect_names[defect]}"
    if cells["seed"] != dataset.recipe.get("seed", cells["seed"]) or cells["attempt"] < 0:
        yield "label", f"seed {cells['seed']}, attempt {cells['attempt']}; the recipe's seed differs"
    if not _is_json_object(cells["params"]):
        yield "label", "its parameters are not a JSON object"
    for name in IMAGE_COLUMNS:
        cell = cells.get(name)
        if cell is not None and cell["path"] != image_name(index):
            yield "name", f"{name} is called {cell['path']!r}"


def expected_indices(dataset: Dataset) -> Iterator[int]:
    """Yield the indices that rows have, one after the other: all numbers but those that were thrown out of a copy."""
    left_out = set(dataset.provenance.get("left_out", ()))
    return (index for index in itertools.count() if index not in left_out)


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(read_json(text), dict)
    except ValueError:
        return False


def shape_faults(record: DecodedRow, usual: tuple[int, np.dtype]) -> Faults:
    """Yield the images of a row that do not go together, or with the first row's, of `usual` channels and dtype."""
    image = record.image
    if fault := kind_fault(record.kind, usual):
        yield "shape", fault
    for name, other in record.images.items():
        if name == "normal":
            fits = other.shape == image.shape and other.dtype == image.dtype
        else:
            fits = name == "image" or (other.shape == (*image.shape[:2], 1) and other.dtype == np.uint8)
        if not fits:
            yield "shape", f"{name} is {kind_of(other)}, the image {kind_of(image)}"


def mask_faults(record: DecodedRow) -> Faults:
    """Yield what breaks a rule in the masks of a row."""
    stored = record.images["mask"]
    if not np.isin(stored, (0, 255)).all():
        yield "mask values", f"holds values such as {int(stored[~np.isin(stored, (0, 255))][0])}"
    pixels = np.count_nonzero(record.mask)
    if record.anomalous and pixels < smallest_mask(record.mask.shape):
        yield "mask", f"anomalous, but its mask has {pixels} pixels"
    if not record.anomalous and stored.any():
        yield "mask", f"normal, but its mask has {np.count_nonzero(stored)} pixels"
    soft = record.images.get("soft_mask")
    if soft is not None:
        outside = np.count_nonzero(soft[..., 0][~record.mask])
        if outside:
            yield "soft mask", f"{outside} pixels outside the mask are not zero"


def measure_faults(
    record: DecodedRow, normal: np.ndarray | None, value_range: ValueRange | None, boundary: Detectability | None
) -> Faults:
    """Yield the recorded measures that are not what is measured; normal: the image before, None if not at hand."""
    cells, mask = record.cells, record.mask
    if cells["boxes"] != boxes_of(mask):
        yield "boxes", f"recorded {cells['boxes']}, measured {boxes_of(mask)}"
    measured = {"area": area_of(mask)}
    if normal is not None:
        measured["severity"] = severity_of(record.image, normal, mask, value_range)
    if "detectability" in cells:
        yield from _detectability_faults(record, boundary, value_range)
    for name, value in measured.items():
        if not np.isclose(cells[name], value, rtol=3e-7, atol=0):
            yield name, f"recorded {cells[name]:.9g}, measured {value:.9g}"


def _detectability_faults(record: DecodedRow, boundary: Detectability | None, value_range: ValueRange | None) -> Faults:
    recorded, measured = record.cells["detectability"], None
    if record.anomalous and record.mask.any() and boundary is not None:
        measured = boundary.of(stretched(record.image, value_range), record.mask)
    if recorded is None or measured is None:
        is_same = recorded is measured
    else:
        is_same = bool(np.isclose(recorded, measured, rtol=0, atol=1e-3))
    if not is_same:
        yield "detectability", f"recorded {recorded}, measured {measured}"


def difference(image: np.ndarray, other: np.ndarray) -> str:
    """Return in words how two images differ."""
    if image.shape != other.shape or image.dtype != other.dtype:
        return f"it is {kind_of(image)}, that is {kind_of(other)}"
    return f"{np.count_nonzero((image != other).any(axis=2))} pixels differ"


def kind_of(image: np.ndarray) -> str:
    """Return size, channels and depth of an image in words."""
    height, width, channels = image.shape
    return f"{height}×{width}×{channels} {image.dtype}"


# --- of the whole ---------------------------------------------------------------------------------------------------


def unreadable_shards(dataset: Dataset) -> Violation:
    """Return the shards whose small columns are damaged; without those nothing else can be said."""
    violation = Violation("file")
    small = [name for name in dataset.columns.names if name not in IMAGE_COLUMNS]
    for shard in dataset.shards:
        try:
            for _ in shard_rows(shard, small):
                pass
        except UsageError as error:
            violation.add(str(error))
    return violation


def shard_faults(dataset: Dataset) -> Faults:
    """Yield what breaks a rule in the names and the number of the files."""
    matches = [SHARD_PATTERN.fullmatch(shard.name) for shard in dataset.shards]
    numbers = [(int(match[1]), int(match[2])) for match in matches if match]
    count = numbers[0][1]
    if numbers != [(number, count) for number in range(count)]:
        there = ", ".join(shard.name for shard in dataset.shards[:EXAMPLES])
        yield "shards", f"{len(numbers)} files are there ({there}, …), {count} should be"
    for name in foreign_files(dataset.path / DATA):
        yield "shards", f"{DATA}/{name} is no file of anomgen, and who loads the dataset reads it: move it away"
    recorded = dataset.provenance.get("shards", count)
    if recorded != count:
        yield "shards", f"the provenance says {recorded} shards, the names say {count}"


def count_faults(dataset: Dataset, rows: int, by_type: dict[str, int]) -> Faults:
    """Yield the counts of recipe and provenance that are not those of the rows."""
    gone = len(dataset.provenance.get("left_out", ()))
    asked = dataset.recipe.get("count")
    wanted = rows if asked is None else asked - gone
    if wanted != rows:
        yield "count", f"the recipe asks for {wanted} rows, {rows} are there"
    recorded = dataset.provenance.get("rows", {})
    normal = by_type.get(LABELS[NORMAL], 0)
    counted = {"normal": normal, "anomaly": rows - normal}
    types = {name: count for name, count in by_type.items() if name != LABELS[NORMAL]}
    for name, count in counted.items():
        if recorded.get(name, count) != count:
            yield "count", f"the provenance says {recorded[name]} {name} rows, {count} are there"
    stated = {name: count for name, count in recorded.get("by_type", types).items() if count}
    if stated != types:
        yield "count", f"the provenance says {stated}, {types} are there"


def recipe_faults(dataset: Dataset) -> Faults:
    """Yield what is wrong with recipe.yaml: it is none, or not the one that the provenance names.

    Of one with fewer keys than recipes have now, an older version's, the latter cannot be told; nothing is said of a
    plug-in's that is not here.
    """
    written, resolved = dataset.recipe, dataset.provenance["resolved"]
    kinds = [record["source"]["kind"] for record in (written, dataset.provenance)]
    if kinds[0] != kinds[1]:
        yield "record", f"{RECIPE} says a source of kind {kinds[0]}, the provenance {kinds[1]}"
    kind = (written.get("generator") or {}).get("kind")
    if kind == resolved["generator"]["kind"] and kind not in registry.names("generators"):
        return
    try:
        recipe = parse_recipe(written, str(dataset.path / RECIPE)).portable()
        parse_foreground(resolved["foreground"])
    except RecipeError as error:
        yield "record", str(error)
        return
    if _holds_keys(written, recipe.as_dict()) and recipe.fingerprint() != dataset.provenance["recipe_fingerprint"]:
        yield "record", f"{RECIPE} is not the recipe that the rows were made by: it was changed since"


def card_faults(dataset: Dataset) -> Faults:
    """Yield what the metadata of the card, if there is one, say otherwise than the records; its text may say anything.

    A licence that the records lack may be added there.
    """
    if fault := foreign(dataset.path / "README.md", dataset.path):
        yield "card", fault
        return
    try:
        card = Card.read(dataset.path)
    except UsageError as error:
        yield "card", str(error)
        return
    if card is None:
        return
    license = license_of(dataset.provenance, dataset.recipe)
    if license is not None and card.licenses and card.licenses != [known(license) or license]:
        yield "card", f"names the licence {', '.join(card.licenses)}, the records {license}"
    origin, named = dataset.provenance["source"].get("dataset"), listed(card.data.get("source_datasets"))
    if origin is not None and named and origin not in named:
        yield "card", f"names {', '.join(named)} as the source, the provenance {origin}"
    for entry in entries_of(card.data.get("dataset_info")):
        for split in entries_of(entry.get("splits")) if name_of(entry) == "default" else ():
            files, stated = dataset.splits.get(str(split.get("name"))), split.get("num_examples")
            if files is not None and stated not in (None, rows := dataset.rows_in(files)):
                yield "card", f"says {stated} rows in the split {split['name']}, {rows} are there"


def preview_faults(dataset: Dataset) -> Faults:
    """Yield why the sheet of samples, if there is one, could not be published with the rest."""
    if fault := foreign(dataset.path / PREVIEW, dataset.path):
        yield "preview", fault


def _holds_keys(written: Any, keys: Any) -> bool:
    """Return whether all keys of a mapping, and of those in it, are in another."""
    if not isinstance(keys, dict):
        return True
    return isinstance(written, dict) and all(
        name in written and _holds_keys(written[name], keys[name]) for name in keys
    )
