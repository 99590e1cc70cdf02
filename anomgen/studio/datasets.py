"""The datasets in the output folder: which there are, and their rows, filtered, a page at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache

from anomgen.config import located_texts
from anomgen.dataset.left_out import leave_out
from anomgen.dataset.normals import NormalImages
from anomgen.dataset.origin import PROVENANCE, is_ours
from anomgen.dataset.panel import Panel
from anomgen.dataset.pictures import outline_of
from anomgen.dataset.reader import Dataset
from anomgen.dataset.row import LABELS, NORMAL
from anomgen.errors import AnomgenError, UsageError
from anomgen.files import json_object, locked
from anomgen.making.engine import Plan, Recipe
from anomgen.making.output import DATA, clear
from anomgen.making.recipe import load_recipe, parse_recipe
from anomgen.making.replay import pool_of, reopened, replay_by
from anomgen.places import file_in
from anomgen.sources.pool import Pool

SMALL = ("index", "label", "defect_type", "severity", "area")
PAGE = 60
"""Most rows of one answer."""
KEPT_BYTES = 32 << 20
"""Normal images of a dataset that stay decoded."""


class Datasets:
    """Finished and begun datasets below one folder, opened when they are first asked for.

    photos: where the normal images are, for those that a dataset does not hold. folders: where the banks, masks and
    models are that recipes name.
    """

    def __init__(self, out: Path, photos: str | None, folders: Sequence[Path] = ()):
        self.out, self._photos, self._folders = out, photos, folders
        self._opened: LRUCache[tuple[str, int], Dataset] = LRUCache(4)
        self._normals: LRUCache[tuple[str, int], NormalImages] = LRUCache(2)
        self._plans: LRUCache[tuple[str, int], Plan] = LRUCache(1)

    def all(self) -> list[dict[str, Any]]:
        """Return name, whether it is finished, and rows of each, the newest first."""
        found = [folder for folder in self.out.glob("*") if folder.is_dir() and is_ours(folder)]
        return [self._about(folder) for folder in sorted(found, key=lambda folder: -folder.stat().st_mtime)]

    def recipe(self, name: str) -> Recipe:
        """Return the recipe that an unfinished dataset was begun with. Raises UsageError where there is none."""
        file = str(self._folder(name) / "recipe.yaml")
        return load_recipe(file, source=self._photos, overrides=self._places(load_recipe(file, source=self._photos)))

    def discard(self, name: str) -> None:
        """Remove what there is of an unfinished dataset; a finished one, or another folder, stays as it is."""
        folder = self.out / name
        if not is_ours(folder) or (folder / "provenance.json").exists():
            return
        with locked(folder):
            clear(folder)
        with suppress(OSError):  # somebody keeps something of his own there
            for place in (folder / DATA, folder):
                place.rmdir()

    def rows(self, name: str, filters: dict[str, str], start: int, count: int = PAGE) -> dict[str, Any]:
        """Return a page of the rows that pass the filters, how many do, and the types that there are.

        filters: type, label, and low and high of severity and area, as ``severity_low``. Raises UsageError.
        """
        dataset = self._dataset(name)
        shown = [column for column in (*SMALL, "detectability") if column in dataset.columns.names]
        table = dataset.table(shown)
        columns = {column: table[column].to_numpy(zero_copy_only=False) for column in table.column_names}
        names = dataset.columns.defect_names
        kept = np.flatnonzero(_passing(columns, filters, names))
        chosen = kept[start : start + min(count, PAGE)]
        rows = [{column: _plain(values[k]) for column, values in columns.items()} for k in chosen]
        for row in rows:
            row["defect_type"], row["label"] = names[row["defect_type"]], LABELS[row["label"]]
            row["left_out"] = row["index"] in dataset.left_out
        present = np.unique(columns["defect_type"][columns["label"] != NORMAL])
        counts = {"total": len(kept), "all": len(dataset), "left_out": len(dataset.left_out)}
        return {**counts, "types": [names[k] for k in present], "rows": rows}

    def record(self, name: str, index: int) -> dict[str, Any]:
        """Return everything that is recorded of a row, without its images, and the outline of its mask."""
        dataset = self._dataset(name)
        row = dataset.row(index)
        height, width = row["mask"].shape
        told = {key: _plain(value) for key, value in row.items() if not isinstance(value, np.ndarray)}
        about = {"left_out": index in dataset.left_out, "height": height, "width": width}
        return {**told, **about, "outline": outline_of(row["mask"])}

    def replay(self, name: str, index: int) -> dict[str, Any]:
        """Draw a row again, from its record; say whether it is the same, bit for bit, and if not, what may be why."""
        dataset, key = self._dataset(name), self._key(name)
        dataset.cells(index, ["index"])
        if key not in self._plans:
            self._plans[key] = self._reopened(dataset)
        found = replay_by(self._plans[key], dataset, index)
        return {"identical": found.identical, "different": list(found.different), "notes": list(found.notes)}

    def throw_out(self, name: str, index: int, *, out: bool) -> dict[str, Any]:
        """Record that a row is thrown out, or no longer; return how many are."""
        before = Dataset(self._folder(name)).left_out  # another studio may have thrown out others
        changed = leave_out(self._dataset(name), before | {index} if out else before - {index})
        self._opened[self._key(name)] = changed
        return {"left_out": len(changed.left_out)}

    def panel(self, name: str, index: int, view: str) -> Panel:
        """Return the pictures of a row; the normal image is looked for in the source only for a view that needs it."""
        dataset = self._dataset(name)
        row = dataset.row(index)
        panel = Panel.of_stored(row, self._normals_of(name, dataset), dataset.value_range)
        if panel.normal is None and view in ("normal", "difference"):
            panel = Panel.of_stored(row, self._normals_of(name, dataset, sourced=True), dataset.value_range)
        return panel

    def _normals_of(self, name: str, dataset: Dataset, *, sourced: bool = False) -> NormalImages:
        key = self._key(name)
        known = self._normals.get(key)
        if known is None or (sourced and known.pool is None):
            known = NormalImages(dataset, self._pool_of(dataset) if sourced else None, KEPT_BYTES)
            self._normals[key] = known
        return known

    def _pool_of(self, dataset: Dataset) -> Pool | None:
        try:
            places = self._places(parse_recipe(dataset.recipe))
            return pool_of(dataset, None, places)[0] or pool_of(dataset, self._photos, places)[0]
        except AnomgenError:  # made of other photos
            return None

    def _reopened(self, dataset: Dataset) -> Plan:
        places = self._places(parse_recipe(dataset.recipe))
        try:
            return reopened(dataset, None, places)
        except UsageError:
            if self._photos is None:
                raise
            return reopened(dataset, self._photos, places)

    def _places(self, recipe: Recipe) -> dict[str, str]:
        """Return where, in the opened folders, the banks, masks and models are that a dataset's recipe names."""
        named = [(key, text) for key, text in located_texts(recipe) if key != "source.path"]
        found = {key: next((f / text for f in self._folders if (f / text).exists()), None) for key, text in named}
        return {key: str(place) for key, place in found.items() if place is not None}

    def _dataset(self, name: str) -> Dataset:
        key = self._key(name)
        if key not in self._opened:
            self._opened[key] = Dataset(self._folder(name))
        return self._opened[key]

    def _key(self, name: str) -> tuple[str, int]:
        finished = self._folder(name) / "provenance.json"
        return name, finished.stat().st_mtime_ns if finished.is_file() else 0

    def _folder(self, name: str) -> Path:
        folder = self.out / name
        if folder.parent != self.out or name in ("", ".", "..") or not is_ours(folder):
            raise UsageError(f"no dataset {name[:80]!r} in {self.out}")
        return folder

    def _about(self, folder: Path) -> dict[str, Any]:
        try:
            counts = json_object(file_in(folder, PROVENANCE))["rows"]
            return {"name": folder.name, "finished": True, "rows": counts["normal"] + counts["anomaly"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {"name": folder.name, "finished": False, "rows": None}


def _passing(columns: dict[str, np.ndarray], filters: dict[str, str], names: tuple[str, ...]) -> np.ndarray:
    passing = np.ones(len(columns["index"]), dtype=bool)
    for name, text in filters.items():
        column, _, end = name.rpartition("_")
        try:
            if name == "type":
                passing &= columns["defect_type"] == names.index(text)
            elif name == "label":
                passing &= columns["label"] == LABELS.index(text)
            elif end == "low":
                passing &= columns[column] >= float(text)
            else:
                passing &= columns[column] <= float(text)
        except (ValueError, KeyError):
            raise UsageError(f"{name}={text[:40]} is no filter of these rows") from None
    return passing


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; what is not known, a number that is none, as None."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value
