"""What an open studio knows: the images, the folders it may read and write, the recipes that the page set."""

from __future__ import annotations

import json
import re
import shlex
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache

from anomgen.config import located_texts
from anomgen.dataset.panel import Panel
from anomgen.dataset.pictures import outline_of
from anomgen.dataset.row import Row
from anomgen.errors import AnomgenError, RecipeError, SourceError, UsageError
from anomgen.files import fingerprint_of, holds, replacing
from anomgen.making.engine import ATTEMPTS_PER_IMAGE, Recipe
from anomgen.making.recipe import bundled_recipes, load_recipe
from anomgen.making.rejected import NoAnomaly
from anomgen.making.sampler import Sampler
from anomgen.making.splits import is_anomalous
from anomgen.places import home
from anomgen.sources import detect
from anomgen.sources.base import MAX_SIDE
from anomgen.sources.images import read_image
from anomgen.sources.orientation import upright_png
from anomgen.sources.pixels import value_max
from anomgen.studio.faint import PATIENCE, Faint
from anomgen.studio.reading import Reading, aspect_of

KEPT_RECIPES, KEPT_ROWS = 256, 64
NAMED = 10_000
"""Images that the page chooses from by their names."""
IMAGE_BYTES = 64 << 20
"""Decoded images that stay, of each of some sources."""
LOOKED_AT = 1 << 21
"""Pixels that are looked at to name images without an object: some of ten thousand, not all."""
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
"""What the page may call a file or a dataset: no folder, no hidden file."""


@dataclass(frozen=True)
class Chosen:
    """A recipe as the page set it: the one it began with, and the changes."""

    id: str
    base: str
    changes: Mapping[str, Any]
    recipe: Recipe


class Normal(NamedTuple):
    """A normal image, (H, W, C), what of it is the object and where anomalies may be, bool (H, W) or None for all."""

    name: str
    image: np.ndarray
    object: np.ndarray | None
    region: np.ndarray | None


class Session:
    """The state of a studio. Its drawing methods are for one thread at a time.

    photos: what --source takes; None for the recipes' own images. out: where recipes, masks and datasets are written.
    opened: further folders that recipes may read: textures, models.
    """

    def __init__(self, photos: str | None, out: Path, opened: tuple[Path, ...] = ()):
        self.photos, self.out = photos, out
        self.folders = tuple(folder.expanduser().resolve() for folder in (out, *opened, *_folder(photos)))
        self._was_folder = bool(_folder(photos))
        self.reading = Reading()
        self._sampler = Sampler(IMAGE_BYTES, LOOKED_AT, self.reading.open, PATIENCE)
        self.faint = Faint()
        self._chosen: LRUCache[str, Chosen] = LRUCache(KEPT_RECIPES)
        self._rows: LRUCache[tuple[str, int, bool], Row] = LRUCache(KEPT_ROWS)
        self._detected: tuple[int | None, dict[str, str]] | None = None
        self._aspect: float | None = None
        self._written = self._stamp = 0

    @property
    def sampler(self) -> Sampler:
        """Return what draws; what it opened before a check found something else is forgotten."""
        if self._stamp != self.reading.stamp:
            self._stamp = self.reading.stamp
            self._sampler.forget()
        return self._sampler

    # --- recipes ----------------------------------------------------------------------------------------------------

    def choose(self, base: str, changes: Mapping[str, Any]) -> Chosen:
        """Return the recipe that `anomgen make` would take: a bundled one or a saved file, the photos, the changes.

        Raises UsageError or RecipeError, which names the key, as the command line does.
        """
        recipe = load_recipe(self._file_of(base), source=self._source(), overrides=changes)
        self._refuse_elsewhere(recipe)
        key = fingerprint_of([base, recipe.config(), self._written, self.reading.stamp], size=8)
        self._chosen[key] = Chosen(key, base, dict(changes), recipe)
        return self._chosen[key]

    def chosen(self, key: str) -> Chosen:
        """Return a recipe that was chosen before. Raises KeyError for one that is no longer known."""
        return self._chosen[key]

    def forget(self) -> None:
        """Look at every file anew: what a recipe reads was written under a name that it may have read before."""
        self._written += 1
        self.sampler.forget()

    def saved(self) -> list[str]:
        """Return the names of the recipe files in the output folder."""
        return sorted(file.name for file in self.out.glob("*.yaml") if FILE_NAME.fullmatch(file.name))

    def save(self, key: str, name: str, *, overwrite: bool = False) -> Path:
        """Write a recipe as NAME.yaml, whole; return the file. Raises UsageError for a name that is taken."""
        file = self.free_file(name, ".yaml", overwrite=overwrite)
        with replacing(file) as opened:
            opened.write(self._text(key, name))
        return file

    def save_apart(self, key: str, name: str) -> Path:
        """Write a recipe as NAME.yaml, as NAME-2.yaml and so on where another one is there; return the file."""
        text = self._text(key, name)
        names = (name if number == 1 else f"{name}-{number}" for number in count(1))
        file = next(file for one in names if holds(file := self.out / f"{one}.yaml", text) or not file.exists())
        if not file.exists():
            self.out.mkdir(parents=True, exist_ok=True)
            with replacing(file) as opened:
                opened.write(text)
        return file

    def _text(self, key: str, name: str) -> bytes:
        chosen = self.chosen(key)
        changes = {**chosen.changes, "name": name}
        named = load_recipe(self._file_of(chosen.base), source=self._source(), overrides=changes)
        return named.to_yaml().encode()

    def aspect(self, recipe: Recipe) -> float | None:
        """Return height / width of a recipe's images, as a page needs it before one is drawn; None: not known yet."""
        if recipe.source.shape is not None:
            height, width = recipe.source.shape
            return height / width
        if self._aspect is None and self.photos is not None and self._was_folder:
            self._aspect = aspect_of(home(self.photos))
        return self._aspect

    def command(self, chosen: Chosen, name: str | None = None) -> str:
        """Return the line of `anomgen make` that makes the dataset of a recipe."""
        words = ["anomgen", "make", "--recipe", self._file_of(chosen.base)]
        words += ["--source", self.photos] if self.photos is not None else []
        for key, value in chosen.changes.items():
            words += ["--set", f"{key}={json.dumps(value, ensure_ascii=False)}"]
        return shlex.join([*words, "-o", str(self.out / (name or chosen.recipe.name))])

    def free_file(self, name: str, ending: str, *, overwrite: bool = False) -> Path:
        """Return the path of a file to write. Raises UsageError for no name of a file, and for one that is taken."""
        if not FILE_NAME.fullmatch(name):
            raise UsageError(f"{name[:80]!r} is no name: letters, digits, dots, dashes and underscores")
        file = self.out / (name if name.endswith(ending) else name + ending)
        if file.exists() and not overwrite:
            raise UsageError(f"{file} is there already; take another name, or replace it")
        self.out.mkdir(parents=True, exist_ok=True)
        return file

    def _source(self) -> Mapping[str, Any] | None:
        """Return the photos as a recipe's source; what kind they are is looked at anew when their folder changes."""
        if self.photos is None:
            return None
        folder = home(self.photos)
        changed = folder.stat().st_mtime_ns if folder.is_dir() else None
        if changed is None and self._was_folder:
            raise SourceError(f"{self.photos}: your photos are gone since the studio was started; put the folder back")
        if self._detected is None or changed is None or self._detected[0] != changed:
            self._detected = changed, detect(self.photos)
        return self._detected[1]

    def _file_of(self, base: str) -> str:
        if base in bundled_recipes():
            return base
        if base not in self.saved():
            raise UsageError(f"no recipe {base[:80]!r} is bundled, or saved in {self.out}")
        return str(self.out / base)

    def _refuse_elsewhere(self, recipe: Recipe) -> None:
        """Raise RecipeError when a recipe reads what was not opened."""
        for key, text in located_texts(recipe):
            self.refuse_outside(text, key)

    def refuse_outside(self, text: str, key: str) -> None:
        """Raise RecipeError for a path that leads out of the folders that were opened."""
        where = home(text).resolve()
        if text != self.photos and not any(where.is_relative_to(folder) for folder in self.folders):
            advice = f"{text} is not in a folder that was opened; start with `anomgen studio --open {text}`"
            raise RecipeError([(key, advice)])

    # --- rows -------------------------------------------------------------------------------------------------------

    def row(self, key: str, index: int, *, draft: bool = True) -> Row:
        """Return row `index` of a recipe, of a draft without a soft mask. Raises what `Recipe.sample` raises."""
        known = key, index, draft
        if known not in self._rows:
            self._rows[known] = self.sampler.row(self.chosen(key).recipe, index, draft=draft)
        return self._rows[known]

    def told(self, key: str, index: int) -> dict[str, Any]:
        """Return what the page says of a row, plain JSON: why, where it cannot be drawn."""
        try:
            row = self.row(key, index)
        except NoAnomaly as error:
            return {"index": index, "error": str(error), "faint": self.faint.add(key, index, error)}
        except AnomgenError as error:
            return {"index": index, "error": str(error)}
        return {
            "index": index,
            "label": row.label,
            "defect_type": row.defect_type,
            "severity": row.severity,
            "detectability": getattr(row, "detectability", None),
            "area": row.area,
            "boxes": row.boxes,
            "source_id": row.source_id,
            "attempt": row.attempt,
            "moved": row.attempt >= ATTEMPTS_PER_IMAGE,
            "params": row.params,
            "height": row.image.shape[0],
            "width": row.image.shape[1],
            "outline": outline_of(row.mask),
        }

    def panel(self, key: str, index: int, view: str = "image") -> Panel:
        """Return the pictures of a row; its soft mask only where that is the view."""
        return Panel.of_row(self.row(key, index, draft=view != "soft_mask"))

    def anomalous(self, key: str, start: int, count: int) -> list[int]:
        """Return the next so many anomalous rows of a recipe's dataset from `start`; any where none is anomalous."""
        recipe = self.chosen(key).recipe
        every, ratio = range(recipe.count), recipe.anomaly_ratio
        if not (ratio and any(is_anomalous(k, ratio) for k in every)):
            return list(every[start : start + count])
        return list(islice((k for k in every[start:] if is_anomalous(k, ratio)), count))

    def images(self, key: str) -> list[str]:
        """Return the ids of a recipe's images, in the order of the rows: row k is of the k-th, if that takes one."""
        renderer = self.sampler.renderer(self.chosen(key).recipe, draft=True)
        source = renderer.plan.source
        return [source.id(renderer.position(index, 0)) for index in range(min(len(source), NAMED))]

    def resolved(self, key: str) -> dict[str, Any]:
        """Return what of a recipe was measured on the images: generator and foreground as they are used, notes."""
        plan = self.sampler.renderer(self.chosen(key).recipe).plan
        pool = self.sampler.pool(self.chosen(key).recipe)
        values = pool.value_range or (0, value_max(pool[0].dtype))
        about = {"images": len(plan.source), "notes": list(plan.notes)}
        return {**plan.resolved, **about, "source": {"range": list(map(int, values))}}

    # --- drawing ----------------------------------------------------------------------------------------------------

    def normal(self, key: str, position: int) -> Normal:
        """Return a normal image of a recipe. Raises UsageError for a position that the source does not have."""
        pool = self.sampler.pool(self.chosen(key).recipe)
        if not 0 <= position < len(pool):
            raise UsageError(f"no image {position}: there are {len(pool)}")
        image = pool[position]
        region = pool.region(position) if self.sampler.foreground(self.chosen(key).recipe).has_region else None
        return Normal(pool.source.id(position), image, pool.object(position), region)

    def foreground(self, key: str) -> dict[str, Any]:
        """Return how a recipe's foreground is found, whether `auto` chose it, and how many images there are."""
        recipe = self.chosen(key).recipe
        pool, resolved = self.sampler.pool(recipe), self.sampler.foreground(recipe)
        return {"images": len(pool), "foreground": resolved.config(), "chosen": recipe.foreground.method == "auto"}

    def save_mask(self, name: str, data: bytes, *, overwrite: bool = False) -> Path:
        """Write a painted picture as a grey PNG; return the file. Raises UsageError for what is no picture."""
        file = self.free_file(name, ".png", overwrite=overwrite)
        picture = painted(data)
        with replacing(file) as opened:
            opened.write(upright_png(picture))
        self.forget()
        return file


def _folder(photos: str | None) -> tuple[Path, ...]:
    return () if photos is None or not home(photos).is_dir() else (Path(photos),)


def painted(data: bytes) -> np.ndarray:
    """Return the grey levels, uint8 (H, W), of a PNG from the page. Raises UsageError for anything else."""
    sides = struct.unpack(">II", data[16:24]) if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) > 24 else (0,)
    if not 0 < min(sides) <= max(sides) <= MAX_SIDE:
        raise UsageError(f"a mask is a PNG of at most {MAX_SIDE} pixels a side")
    try:
        picture = read_image(data, "the mask")
    except SourceError as error:
        raise UsageError(str(error)) from None
    if picture.dtype != np.uint8:
        raise UsageError("a mask is a PNG of 8 bits")
    result: np.ndarray = picture.max(axis=2)
    return result
