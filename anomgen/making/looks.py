"""What `anomgen preview` draws: a dataset, what a recipe would make, or the foreground of some images."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from anomgen.dataset.preview import Panel, foreground_sheet, preview_sheet, write_preview, write_sheet
from anomgen.dataset.reader import Dataset
from anomgen.making.engine import Plan, Recipe, Renderer, single_threaded
from anomgen.making.replay import dataset_recipe, pool_of
from anomgen.sources.pool import Pool


def at_dataset(folder: Path, out: Path, rows: int) -> None:
    """Draw a sheet of a finished dataset's samples. Raises UsageError when `folder` is none."""
    dataset = Dataset(folder)
    write_preview(dataset, out, rows, pool_of(dataset)[0])


def at_recipe(recipe: Recipe, out: Path, rows: int) -> dict[str, Any]:
    """Draw the first anomalous rows that `make` would write; returns the resolved generator and foreground."""
    plan = Plan.of(recipe.model_copy(update={"anomaly_ratio": 1.0}))
    with single_threaded():
        drawn = list(islice(Renderer(plan).rows(range(rows)), rows))
    write_sheet(preview_sheet([Panel.of_row(row) for row in drawn], recipe.name), out)
    return plan.resolved


def at_foreground(
    recipe: Recipe | None, folder: Path | None, source: str | None, overrides: Iterable[str], out: Path, rows: int
) -> dict[str, Any]:
    """Draw which pixels of the normal images count as the object; returns the method with its parameters.

    The images and the method are those of the recipe, or of the dataset in `folder`.
    """
    chosen = recipe or dataset_recipe(Dataset(folder or Path()), source, overrides)
    opened = chosen.source.open()
    with single_threaded():
        images = Pool(opened)
        foreground = chosen.foreground.resolved(images)
        pool = Pool(opened, foreground)
        picked = [round(k) for k in np.linspace(0, len(pool) - 1, min(rows, len(pool)))]
        shown = [pool[k] for k in picked]
        masks = [pool.foreground(image) for image in shown]
    write_sheet(foreground_sheet(shown, masks, [opened.id(k) for k in picked], f"foreground: {foreground.method}"), out)
    return {"foreground": {"method": foreground.method, **foreground.model_dump(mode="json", exclude_defaults=True)}}
