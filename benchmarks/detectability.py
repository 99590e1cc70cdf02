"""How visible recipes' anomalies are, as they come and within a range of detectability.

    python benchmarks/detectability.py photos other/train/good --recipes nsa,perlin --range 0.7,5

Writes a Markdown table: of each recipe and source the median of r, the share of anomalies below 1, and how many draws a
row took.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from anomgen.errors import AnomgenError
from anomgen.making.engine import Plan, Renderer
from anomgen.making.recipe import load_recipe
from anomgen.making.threads import single_threaded

RECIPES = "nsa,cutpaste,fpi,pii,perlin,mix"


def cell(recipe: str, source: Path, size: int, rows: int, asked: list[float] | None) -> str:
    """Return the median of r, the share below 1 and the draws a row took, in words."""
    changes = {"anomaly_ratio": 1.0, "detectability_range": asked}
    plan = Plan.of(load_recipe(recipe, source=source, size=size, overrides=changes))
    renderer = Renderer(plan)
    try:
        with single_threaded():
            r = [row.detectability for row in renderer.rows(range(rows))]
    except AnomgenError:
        return "never reached"
    draws = 1 + sum(renderer.rejects.values()) / rows
    known = np.array(r, dtype=np.float64)
    return f"{np.median(known):.2f} · {np.mean(known < 1):.0%} · {draws:.1f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", type=Path, help="folders of normal images")
    parser.add_argument("--recipes", default=RECIPES)
    parser.add_argument("--range", default="0.7,5", help="what is asked for in the second line of each recipe")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rows", type=int, default=48)
    given = parser.parse_args()
    asked = [float(end) for end in given.range.split(",")]
    print("| recipe | range | " + " | ".join(str(source) for source in given.sources) + " |")
    print("|---|---|" + "---|" * len(given.sources))
    for recipe in given.recipes.split(","):
        for wanted in (None, asked):
            cells = [cell(recipe, source, given.size, given.rows, wanted) for source in given.sources]
            print(f"| `{recipe}` | {wanted or '–'} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
