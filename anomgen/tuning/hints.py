"""Hints at what a product's defects are like, weaker than real defects to learn from: misses, unlabelled images.

That augmentations can be chosen by how near they bring the normal images to unlabelled ones is from ST-SSAD (Yoo, Zhao,
Akoglu, "Self-tuning self-supervised anomaly detection", 2023, arXiv 2306.12033), there for learnt features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anomgen.banks.folder import Bank, Defect, is_bank
from anomgen.errors import Progress, UsageError
from anomgen.generators.defects.kinds import KindName
from anomgen.making.engine import Plan
from anomgen.sources.folder import FileReader, existing_folder
from anomgen.sources.images import Fit, fit_image, read_image
from anomgen.sources.pixels import to_channels, to_depth
from anomgen.sources.pool import Pool
from anomgen.sources.sorting import sorted_pictures
from anomgen.sources.tree import no_image, tree_of
from anomgen.sources.value_range import stretched
from anomgen.synthesis.detectability import Detectability, features
from anomgen.tuning.likeness import PRIOR, described, likeness, towards_usual
from anomgen.tuning.measure import Reference, samples

MISSES = "misses"
"""Folder of a run of `anomgen score --misses`: a bank for each data set and recipe."""
ODDEST = 0.995
"""Quantile of an image's pixels from which on they say what is oddest on it."""
DRAWS = 16
"""Images that each kind draws to be compared with unlabelled ones."""
LOOKED_AT = 200
"""Unlabelled images, evenly spaced, that are looked at."""
AGREED = 0.3
"""Share of the unusual images' votes that a kind must have for anything to follow from them."""
NORMAL = "normal"
LEAST_NORMALS = 8
"""Normal images without which nothing says what is usual."""


class Hint(NamedTuple):
    """What was found. likeness: of each kind, summing to 1. images: that it rests on. text: a sentence."""

    likeness: dict[str, float]
    images: int
    text: str
    defects: tuple[Defect, ...] = ()
    """Those of which it knows, and which must not be tested on any more."""


def raised(weights: Mapping[KindName, float], hint: Hint) -> dict[KindName, float]:
    """Return weights of kinds with those raised that a hint names; it counts as much as they do at most."""
    found = towards_usual(
        {str(kind): weight for kind, weight in weights.items()}, hint.likeness, min(hint.images, int(PRIOR))
    )
    return {kind: round(found[kind], 4) for kind in weights}


# --- what a detector misses -------------------------------------------------------------------------------------------


def of_misses(bank: Bank, reference: Reference) -> Hint:
    """Return what the anomalies that a recipe missed are like. bank: see `misses_of`."""
    found = tuple(bank.defects())
    pieces = [described(own.image, own.mask) for own in found]
    told = (
        f"{len(found)} real anomalies that a detector trained on {bank.path.name} did not find "
        f"({bank.path.parent.name}): the share of the kinds that are like them was raised."
    )
    return Hint(likeness(pieces, reference.drawn), len(found), told, found)


def misses_of(run: Path) -> Bank:
    """Return what a run of `anomgen score --misses` lists: of the recipe `defects`, if it is there, else of the first.

    Raises UsageError for a folder without such a list, and for one of several data sets.
    """
    if is_bank(run):
        return Bank(run)
    root = run / MISSES if (run / MISSES).is_dir() else run
    banks = sorted(record.parent for record in root.glob("**/bank.json"))
    if not banks:
        raise UsageError(
            f"--misses {run}: holds no list of misses with their masks; run anomgen score with --misses again"
        )
    data = sorted({bank.parent for bank in banks})
    if len(data) > 1:
        raise UsageError(
            f"--misses {run}: was run on {', '.join(place.name for place in data)}; give the folder of this product, "
            f"such as {data[0]}"
        )
    return Bank(next((bank for bank in banks if bank.name == "defects"), banks[0]))


# --- unlabelled images ------------------------------------------------------------------------------------------------


def unlabelled_images(folder: Path, plan: Plan) -> list[np.ndarray]:
    """Return up to `LOOKED_AT` images of a folder, as the normal ones are. plan: of these.

    Raises UsageError for a folder without images, and for too few normal ones.
    """
    if len(plan.source) < LEAST_NORMALS:
        raise UsageError(
            f"--unlabelled {folder}: needs {LEAST_NORMALS} normal images or more to tell what is usual, and there are "
            f"{len(plan.source)}"
        )
    root, pool = existing_folder(str(folder), "unlabelled images"), Pool(plan.source)
    read = FileReader(root.resolve())
    files = tree_of(root)
    names = sorted_pictures(files.pictures, read, str(folder)).images
    if not names:
        raise no_image(f"--unlabelled {folder}", files)
    picked = [names[k] for k in sorted({round(k) for k in np.linspace(0, len(names) - 1, min(LOOKED_AT, len(names)))})]
    fit: Fit = getattr(plan.source, "fit", "stretch")
    like = pool.stored(0)
    images = (fit_image(read_image(read(name), name), like.shape[:2], fit, name) for name in picked)
    return [stretched(to_depth(to_channels(image, like.shape[2]), like.dtype), pool.value_range) for image in images]


def of_unlabelled(images: Sequence[np.ndarray], plan: Plan, reference: Reference, progress: Progress) -> Hint:
    """Return which kinds bring the normal images nearest to unlabelled ones, which hold some anomalies.

    An image is described by what is oddest on it (`oddest`). One that is nearer to normal images than to what any kind
    draws says nothing; the others say how likely each kind is to have made them. images: see `unlabelled_images`.
    """
    pool, drawn = Pool(plan.source, plan.foreground), {}
    for number, kind in enumerate(reference.usual.kinds):
        progress(number, len(reference.usual.kinds), f"compares {kind}")
        found = islice(samples(reference.usual, kind, pool), DRAWS)
        drawn[str(kind)] = np.stack([oddest(own.image, reference.boundary) for own in found] or [_nothing(reference)])
    picked = sorted({round(k) for k in np.linspace(0, len(pool) - 1, min(LOOKED_AT, len(pool)))})
    drawn[NORMAL] = np.stack([oddest(pool[k], reference.boundary) for k in picked])
    shares = [likeness([oddest(image, reference.boundary)[None]], drawn) for image in images]
    unusual = [own for own in shares if own[NORMAL] < max(own.values())]
    kinds = [kind for kind in drawn if kind != NORMAL]
    total = {kind: sum(own.get(kind, 0.0) for own in unusual) for kind in kinds}
    whole = sum(total.values())
    agreed = max(total.values()) >= AGREED * whole > 0
    what = "the share of the kinds nearest to them was raised" if agreed else "they are like no kind: none is raised"
    text = (
        f"{len(unusual)} of {len(images)} unlabelled images look unusual, and {what}. The recipe is transductive: it "
        "knows these images, so they say nothing about how well it does on others."
    )
    return Hint({kind: value / whole if whole else 0.0 for kind, value in total.items()}, len(unusual) * agreed, text)


def oddest(image: np.ndarray, boundary: Detectability) -> np.ndarray:
    """Return what is oddest on an image (H, W, C): the mean deviation, float64 (F,), of its most unusual pixels.

    In the filter bank of the normal boundary, whitened, in units of the boundary, with large values compressed.
    """
    channels = boundary.channels
    values = features(to_channels(image, channels)).astype(np.float64)
    white = (values.reshape(-1, values.shape[2]) - boundary.mean) @ boundary.whiten / boundary.boundary
    length = np.sqrt((white * white).sum(axis=1))
    result: np.ndarray = np.arcsinh(white[length >= np.quantile(length, ODDEST)].mean(axis=0))
    return result


def _nothing(reference: Reference) -> np.ndarray:
    """Return a description that is far from all images: of a kind that cannot be drawn here."""
    return np.full(len(reference.boundary.mean), 1e3)
