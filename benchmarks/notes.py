"""What the departures under `Note:` in the generators' docstrings come to: areas, severity, draws without an anomaly.

python benchmarks/notes.py DATA [TEXTURES]

DATA is a category as `anomgen make` takes it, TEXTURES a folder of photographs such as those of DTD; 200 draws of each
line at 256×256. Prints the mean area of the masks, as a share of the image, the mean change in them, as a share of the
value range, and the share of rows that were drawn again. Then, for `nsa`, how far labels filtered by a square are from
those filtered by the authors' disk; for `pii`, how many samples the authors' range keeps from values that their image
does not hold; for `cutpaste`'s detector, at 128×128, how much of its windows is pasted, and how much they vary; for
`perlin`, the area of 3,000 regions, ours and as DRAEM's code draws them, at 64×64, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import cv2
import numpy as np
from skimage.filters import median
from skimage.morphology import disk

from anomgen.dataset.row import Row, area_of, severity_of
from anomgen.generators import nsa, pii
from anomgen.generators.cutpaste import _jittered
from anomgen.generators.perlin import Perlin
from anomgen.making.engine import Plan, Renderer
from anomgen.making.recipe import load_recipe
from anomgen.making.threads import single_threaded
from anomgen.score.detectors.cutpaste import CutPasteGDE, around
from anomgen.sources.pixels import value_max
from anomgen.synthesis import perlin
from anomgen.synthesis.blend import poisson_blend
from anomgen.synthesis.labels import logistic
from anomgen.synthesis.sample import Composite

DRAWS, LABELS, REGIONS = 200, 50, 3000
SCORED = 128
"""Side of the images that detectors see by default."""
WINDOWS: dict[str, tuple[str, list[str]]] = {
    "patches": ("cutpaste", []),
    "patches of a sixteenth": ("cutpaste", ["generator.area_range=[0.00125, 0.0094]"]),
    "scars": ("scar", []),
}
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
    "pii": ("pii", []),
    "pii, no foreground": ("pii", ["foreground=none"]),
    "scar": ("scar", []),
    "scar, no foreground": ("scar", ["foreground=none"]),
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


def beyond(source: str) -> float:
    """Return the share of samples of `pii` with values outside of the range of their image, were they not clipped."""
    outside: list[bool] = []

    def counted(image: np.ndarray, donor: np.ndarray, support: np.ndarray, **options: Any) -> np.ndarray:
        blended = poisson_blend(image, donor, support, **options)
        whole = wholes[-1]
        outside.append(bool(((blended < whole.min(axis=(0, 1))) | (blended > whole.max(axis=(0, 1)))).any()))
        return blended

    class Watched(pii.PII):
        def _blend(self, image: np.ndarray, *rest: Any) -> np.ndarray:
            wholes.append(image)
            return super()._blend(image, *rest)

    wholes: list[np.ndarray] = []
    pii.poisson_blend = counted
    with single_threaded():
        recipe = load_recipe("pii", source=source, size=256, overrides=["anomaly_ratio=1.0", "foreground=none"])
        list(Renderer(Plan.of(recipe.model_copy(update={"generator": Watched()}))).rows(range(DRAWS)))
    return float(np.mean(outside))


def windows(source: str) -> list[float]:
    """Return the mean share of anomalous windows of CutPaste's detector that is pasted, for each of `WINDOWS`."""
    detector, rng, found = CutPasteGDE(), np.random.default_rng(0), []
    for recipe, changes in WINDOWS.values():
        drawn = rows(recipe, source, [f"source.size={SCORED}", "foreground=none", *changes], DRAWS)
        masks = [row.mask for row in drawn]
        found.append(float(np.mean([mask[around(mask, detector._size(mask.shape), rng)].mean() for mask in masks])))
    return found


def colours(source: str) -> tuple[float, float]:
    """Return the mean change, grey levels of 255, by all of CutPaste's jitter, and by brightness and contrast alone."""
    changes = []
    for number, row in enumerate(rows("cutpaste", source, [f"source.size={SCORED}"], DRAWS)):
        image = row.normal.astype(np.float32) / value_max(row.normal.dtype)
        whole, factors, _ = _jittered(np.random.default_rng(number), row.normal, 0.1)
        bright = np.minimum(image * factors[0], 1)
        part = np.clip(bright.mean() + factors[1] * (bright - bright.mean()), 0, 1)
        changes.append([np.abs(values - image).mean() for values in (whole / value_max(whole.dtype), part)])
    both = 255 * np.mean(changes, axis=0)
    return float(both[0]), float(both[1])


def official_region(rng: np.random.Generator, side: int) -> np.ndarray:
    """Return a region as DRAEM's code draws it: noise on the image, turned with black corners, above a half."""
    rows, columns = (2 ** rng.integers(0, 6) for _ in range(2))
    angles = 2 * np.pi * rng.random((rows + 1, columns + 1))
    gradients = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    y, x = (np.arange(side)[:, None] / side * rows, np.arange(side)[None] / side * columns)
    top, left = y.astype(int), x.astype(int)
    fade_y, fade_x = (6 * t**5 - 15 * t**4 + 10 * t**3 for t in (y - top, x - left))

    def corner(down: int, right: int) -> np.ndarray:
        gradient = gradients[top + down, left + right]
        return gradient[..., 0] * (y - top - down) + gradient[..., 1] * (x - left - right)

    upper, lower = (corner(down, 0) * (1 - fade_x) + corner(down, 1) * fade_x for down in (0, 1))
    noise = np.sqrt(2) * (upper * (1 - fade_y) + lower * fade_y)
    turn = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), rng.uniform(-90, 90), 1)
    return cv2.warpAffine(noise, turn, (side, side)) > 0.5


def regions(side: int, cell: int = perlin.MIN_CELL_PIXELS) -> tuple[float, float, float]:
    """Return the mean area of regions: ours, those of DRAEM's code, and of these the ones that are not empty.

    cell: the least pixels of a cell of our noise.
    """
    rng, ours = np.random.default_rng(0), Perlin()
    with mock.patch.object(perlin, "MIN_CELL_PIXELS", cell):
        mine = [ours.draw_region(rng, (side, side), None)[0].mean() for _ in range(REGIONS)]
    theirs = np.array([official_region(rng, side).mean() for _ in range(REGIONS)])
    return float(np.mean(mine)), float(theirs.mean()), float(theirs[theirs > 0].mean())


def main(source: str, textures: str | None = None) -> None:
    """Print the figures."""
    for name, (recipe, changes) in LINES.items():
        if textures is None and "TEXTURES" in "".join(changes):
            continue
        area, severity, again = line(recipe, source, [text.replace("TEXTURES", str(textures)) for text in changes])
        print(f"{name:30}area {area:.3f}  severity {severity:.3f}  drawn again {again:.1%}", flush=True)
    mean, share = filters(source)
    print(f"nsa, labels by square and disk: {mean:.3f} apart, {share:.1%} of the pixels by more than .1", flush=True)
    print(f"pii, samples with values outside of their image's range before clipping: {beyond(source):.1%}", flush=True)
    for name, share in zip(WINDOWS, windows(source), strict=True):
        print(f"cutpaste, share of windows that is pasted, {name}: {share:.3f}", flush=True)
    print("cutpaste, change by its jitter {:.1f} of 255, without hue and saturation {:.1f}".format(*colours(source)))
    text = "perlin, area of regions: ours {:.4f}, DRAEM's code {:.4f}, its regions with a pixel {:.4f}"
    for side in (256, 64):
        print(f"{side}×{side}", text.format(*regions(side)), flush=True)
    print("64×64, cells of any size: ours {:.4f}".format(*regions(64, 1)))


if __name__ == "__main__":
    main(*sys.argv[1:])
