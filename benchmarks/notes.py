"""What the departures under `Note:` in the generators' docstrings come to: areas, severity, draws without an anomaly.

python benchmarks/notes.py DATA [TEXTURES]

DATA is a category as `anomgen make` takes it, TEXTURES a folder of photographs such as those of DTD; 200 draws of each
line at 256×256. Prints the mean area of the masks, as a share of the image, the mean change in them, as a share of the
value range, and the share of rows that were drawn again. Then, for `nsa`, how far labels filtered by a square are from
those filtered by the authors' disk.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from skimage.filters import median
from skimage.morphology import disk

from anomgen.dataset.row import Row, area_of, severity_of
from anomgen.generators import nsa
from anomgen.making.engine import Plan, Renderer
from anomgen.making.recipe import load_recipe
from anomgen.making.threads import single_threaded
from anomgen.synthesis.labels import logistic
from anomgen.synthesis.sample import Composite

DRAWS, LABELS = 200, 50
PAPER = "generator.opacity_range=[0.1, 1.0]"
LINES = {
    "perlin": ("perlin", []),
    "perlin, opacity of the paper": ("perlin", [PAPER]),
    "perlin, no foreground": ("perlin", ["foreground=none"]),
    "perlin, photographs": ("perlin", ["generator.texture={kind: folder, path: TEXTURES}"]),
    "cutpaste": ("cutpaste", []),
    "cutpaste, no foreground": ("cutpaste", ["foreground=none"]),
    "nsa": ("nsa", []),
    "nsa, no foreground": ("nsa", ["foreground=none"]),
    "fpi": ("fpi", []),
    "fpi, no foreground": ("fpi", ["foreground=none"]),
}


def rows(recipe: str, source: str, changes: list[str], count: int) -> Iterator[Row]:
    """Yield anomalous rows."""
    overrides = ["anomaly_ratio=1.0", "source.fit=stretch", *changes]
    with single_threaded():
        plan = Plan.of(load_recipe(recipe, source=source, size=256, overrides=overrides))
        yield from Renderer(plan).rows(range(count))


def line(recipe: str, source: str, changes: list[str]) -> tuple[float, float, float]:
    """Return the mean area, the mean severity and the share of rows that were drawn again."""
    found = [
        (area_of(row.mask), severity_of(row.image, row.normal, row.mask), float(row.attempt > 0))
        for row in rows(recipe, source, changes, DRAWS)
    ]
    area, severity, again = np.mean(found, axis=0)
    return float(area), float(severity), float(again)


def filters(source: str) -> tuple[float, float]:
    """Return the mean difference of labels by the square and by the disk in masks, and the share that differs by .1."""
    differences: list[np.ndarray] = []

    def both(result: Composite, slope: float, midpoint: float) -> np.ndarray:
        label = logistic(result, slope, midpoint)
        change = median(np.rint(result.change), disk(5), mode="constant")
        theirs = 1 / (1 + np.exp(-slope * (change - midpoint)))
        inside = result.mask[result.box.slices]
        differences.append(np.abs(label[result.box.slices] - theirs)[inside])
        return label

    nsa.logistic = both
    list(rows("nsa", source, [], LABELS))
    apart = np.concatenate(differences)
    return float(apart.mean()), float((apart > 0.1).mean())


def main(source: str, textures: str | None = None) -> None:
    """Print the figures."""
    for name, (recipe, changes) in LINES.items():
        if textures is None and "TEXTURES" in "".join(changes):
            continue
        area, severity, again = line(recipe, source, [text.replace("TEXTURES", str(textures)) for text in changes])
        print(f"{name:30}area {area:.3f}  severity {severity:.3f}  drawn again {again:.1%}", flush=True)
    mean, share = filters(source)
    print(f"nsa, labels by square and disk: {mean:.3f} apart, {share:.1%} of the pixels by more than .1")


if __name__ == "__main__":
    main(*sys.argv[1:])
