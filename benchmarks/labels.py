"""How much of what a generator draws over is left out of its mask, since it changes by no more than a grey level.

python benchmarks/labels.py DATA        a category as `anomgen make` takes it; 200 draws of each recipe at 256×256
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import numpy as np

from anomgen.making.engine import Plan, Renderer
from anomgen.making.recipe import load_recipe
from anomgen.making.threads import single_threaded
from anomgen.synthesis.sample import Composite, composite

RECIPES = {"perlin": "perlin", "cutpaste": "cutpaste", "scar": "cutpaste", "fpi": "fpi", "pii": "fpi"}
"""Recipe → the module of `anomgen.generators` that composes its samples."""
DRAWS = 200


def left_out(plan: Plan, module: str, rows: int) -> float:
    """Return the share of the pixels drawn over that is not in the masks; module: see `RECIPES`."""
    over = marked = 0

    def counted(image: np.ndarray, drawn: np.ndarray, support: np.ndarray, **options: Any) -> Composite:
        nonlocal over, marked
        result = composite(image, drawn, support, **options)
        over, marked = over + np.count_nonzero(support), marked + np.count_nonzero(result.mask)
        return result

    place: Any = import_module(f"anomgen.generators.{module}")
    place.composite = counted
    try:
        with single_threaded():
            list(Renderer(plan).rows(range(rows)))
    finally:
        place.composite = composite
    return 1 - marked / over


def main(source: str) -> None:
    """Print the shares."""
    changes = ["anomaly_ratio=1.0", "foreground=none", "source.fit=stretch"]
    for recipe, module in RECIPES.items():
        plan = Plan.of(load_recipe(recipe, source=source, size=256, overrides=changes))
        print(f"{recipe:10}{left_out(plan, module, DRAWS):6.1%}")


if __name__ == "__main__":
    main(sys.argv[1])
