"""`tune`: writes a recipe for a product from its normal images, and from a few real defects where there are some."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from anomgen.config.text import Overrides
from anomgen.errors import Progress, UsageError, silent
from anomgen.files import replacing
from anomgen.generators.defects.generator import Defects
from anomgen.making.engine import Plan, Recipe, single_threaded
from anomgen.making.recipe import load_recipe
from anomgen.places import home
from anomgen.sources.pool import Pool
from anomgen.tuning.measure import Defect, Measured, tuned
from anomgen.tuning.report import write_report

RECIPE = "defects"


@dataclass(frozen=True)
class Tuned:
    """What `tune` did."""

    path: Path
    """The recipe that it wrote."""
    report: Path
    recipe: Recipe
    measured: Measured | None
    """What the real defects said; None where there were none."""
    seconds: float


def tune(
    source: str | Path | Mapping[str, Any],
    *,
    defects: Sequence[Defect] = (),
    out: str | Path = "tuned.yaml",
    size: int | Sequence[int] | Literal["native"] | None = None,
    overrides: Overrides = (),
    progress: Progress = silent,
) -> Tuned:
    """Write a recipe for the product of the normal images `source`, and a report of what was chosen and why.

    source, size, overrides: as of `load_recipe`; the recipe that is tuned is ``defects``. defects: real ones of this
    product, none of which may be tested on later. out: the recipe, a file that ends in .yaml; the report stands
    beside it and ends in .html.

    Raises UsageError for a file that is there already or another ending, and what opening the source raises.
    """
    began, out = time.monotonic(), home(out)
    report = out.with_suffix(".html")
    if out.suffix.lower() not in {".yaml", ".yml"}:
        raise UsageError(f"-o {out}: a recipe is a YAML file; give a name that ends in .yaml")
    for path in (out, report):
        if path.exists():
            raise UsageError(f"-o {out}: {path} is there already; choose another name, or remove it")
    usual = load_recipe(RECIPE, source=source, size=size, overrides=overrides, name=out.stem)
    plan = Plan.of(usual)
    if not isinstance(plan.generator, Defects) or not isinstance(usual.generator, Defects):
        raise UsageError("generator.kind: tune chooses kinds, severity and tone of the generator defects")
    measured, recipe = None, usual
    if defects:
        with single_threaded():
            measured = tuned(defects, Pool(plan.source, plan.foreground), plan.generator, progress)
        chosen = {"kinds": measured.tuned.kinds, "severity": measured.tuned.severity, "dark": measured.tuned.dark}
        recipe = usual.model_copy(update={"generator": usual.generator.model_copy(update=chosen)})
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as file:
        file.write(recipe.to_yaml().encode())
    write_report(report, plan, usual, recipe, defects, measured)
    return Tuned(out, report, recipe, measured, time.monotonic() - began)
