"""A sheet of samples: of a dataset, of a recipe before a dataset is made of it, or of the foreground of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from anomgen.banks.folder import Bank, is_bank
from anomgen.banks.make import bank_sheet
from anomgen.config.text import Overrides
from anomgen.dataset.panel import Panel
from anomgen.dataset.preview import foreground_sheet, preview_sheet, write_preview, write_sheet
from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError, tell
from anomgen.making.engine import Plan, Recipe, Renderer, single_threaded
from anomgen.making.recipe import recipe_of
from anomgen.making.replay import dataset_recipe, pool_of
from anomgen.places import home
from anomgen.sources.objects import opened

MAX_ROWS = 64
"""Samples on the longest sheet."""


@dataclass(frozen=True)
class Previewed:
    """What `preview` did."""

    path: Path
    resolved: dict[str, Any] = field(default_factory=dict)
    """Generator and foreground as they were used, and the source's notes; empty for a dataset, whose records have them.

    Plain JSON.
    """


def preview(
    dataset: Dataset | str | Path | None = None,
    *,
    recipe: Recipe | str | None = None,
    source: str | Path | Mapping[str, Any] | None = None,
    size: int | Sequence[int] | Literal["native"] | None = None,
    seed: int | None = None,
    overrides: Overrides = (),
    foreground: bool = False,
    rows: int = 8,
    out: str | Path = "anomgen-preview.png",
) -> Previewed:
    """Draw a sheet of samples as the PNG file `out`; the options are those of `anomgen preview`.

    dataset: a finished one, or a bank of defects; by default what `recipe`, by default nsa, would make, changed by the
    options of `load_recipe`; for a dataset, `source` says where its normal images are now. foreground: which pixels
    count as the object, instead of the samples. rows: samples on the sheet, 1 to 64.

    Raises UsageError for options that exclude each other and for what `make` and `check` refuse.
    """
    out = home(out)
    if out.suffix.lower() != ".png":
        raise UsageError(f"-o {out}: the sheet is a PNG file; give a name that ends in .png")
    if not 1 <= rows <= MAX_ROWS:
        raise UsageError(f"--rows {rows}: a sheet holds 1 to {MAX_ROWS} samples")
    if dataset is None:
        options = {"source": source, "size": size, "seed": seed, "overrides": overrides}
        chosen = recipe_of("nsa" if recipe is None else recipe, **options)
        return Previewed(out, _draw_foreground(chosen, out, rows) if foreground else _draw_recipe(chosen, out, rows))
    if recipe is not None or size is not None or seed is not None or (overrides and not foreground):
        raise UsageError("give a DATASET, or --recipe with its options, not both")
    if isinstance(source, Mapping):
        raise UsageError("a dataset's source is a folder or an id of the Hub, not a mapping")
    if not isinstance(dataset, Dataset) and is_bank(Path(dataset)):
        write_sheet(bank_sheet(Bank(Path(dataset)), rows), out)
        return Previewed(out)
    whole = Dataset.of(dataset)
    if foreground:
        return Previewed(out, _draw_foreground(dataset_recipe(whole, source, overrides), out, rows))
    write_preview(whole, out, rows, pool_of(whole, source)[0])
    return Previewed(out)


def _draw_recipe(recipe: Recipe, out: Path, rows: int) -> dict[str, Any]:
    """Draw the first anomalous rows that `make` would write."""
    plan = Plan.of(recipe.model_copy(update={"anomaly_ratio": 1.0}))
    with single_threaded():
        drawn = []
        for row in islice(Renderer(plan).rows(range(rows)), rows):
            drawn.append(row)
            tell(len(drawn), rows, "drawing samples")
    write_sheet(preview_sheet([Panel.of_row(row) for row in drawn], recipe.name), out)
    return {**plan.resolved, "notes": list(plan.notes)}


def _draw_foreground(recipe: Recipe, out: Path, rows: int) -> dict[str, Any]:
    """Draw which pixels of the normal images count as the object."""
    with single_threaded():
        source, foreground, notes, pool, _ = opened(recipe.source, recipe.foreground)
        picked = [round(k) for k in np.linspace(0, len(pool) - 1, min(rows, len(pool)))]
        shown = [pool[k] for k in picked]
        masks = [pool.foreground(image) for image in shown]
    write_sheet(foreground_sheet(shown, masks, [source.id(k) for k in picked], f"foreground: {foreground.method}"), out)
    settings = foreground.model_dump(mode="json", exclude_defaults=True)
    return {"foreground": {"method": foreground.method, **settings}, "notes": list(notes)}
