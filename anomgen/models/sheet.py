"""Sheets of a training: pictures with captions, the curve of the losses, and in plain words whether to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anomgen.models.checkpoint import logged

CURVE = 130
"""Height of the losses' curve."""
COLOURS = ((43, 131, 198), (217, 100, 28), (26, 158, 120), (196, 111, 160), (200, 148, 10), (116, 103, 201))
NOISY, BLURRED = 1.45, 0.6
"""Fine detail of samples, in that of normal images, above and below which they are no good; benchmarks/findings.py."""
UNLIKE = 3.0
"""Spreads of the normal images that the samples' statistics may lie apart from theirs."""
FLOOR = 0.15
"""Least spread of a statistic, in its natural logarithm."""
FAINT_COLOUR = 6.0
"""Grey levels of 255 beside which fine differences of the colours count for little."""
BANDS = 3
COARSE = 64
"""Side at which shapes are compared; what is finer than a pixel of it or coarser than eight is left out."""
ALIGNED, MISSHAPEN = 0.4, 0.65
"""How well a normal image must match another for shapes to be comparable, and the least share of it for samples."""


@dataclass(frozen=True)
class Sheet:
    """What a training shows of itself. rows: caption and pictures, uint8 (H, W, C). findings: a sentence or two."""

    rows: Sequence[tuple[str, Sequence[np.ndarray]]]
    findings: str


def drawn(sheet: Sheet, title: str, log: Path) -> np.ndarray:
    """Return a sheet, uint8 (H, W, 3): title, findings, rows of pictures, and the losses that stand in `log`."""
    from anomgen.dataset.preview import fitted, laid_out

    tiles = [([fitted(_colour(picture)) for picture in pictures], caption) for caption, pictures in sheet.rows]
    columns = max(len(pictures) for pictures, _ in tiles)
    top = laid_out(title, [""] * columns, tiles, sheet.findings)
    return np.concatenate([top, _curve(losses_of(log), top.shape[1])])


def losses_of(log: Path) -> dict[str, list[tuple[int, float]]]:
    """Return loss → (step, value), as a training's log has them."""
    found: dict[str, list[tuple[int, float]]] = {}
    for values in logged(log):
        for name, value in values.items():
            if name not in ("step", "seconds"):
                found.setdefault(name, []).append((int(values["step"]), value))
    return found


def likeness(samples: Sequence[np.ndarray], normals: Sequence[np.ndarray]) -> str:
    """Say in words whether samples, uint8 (H, W, C), are noisy, blurred, or unlike normal images, and so train on.

    Compared are the medians over the images of level, contrast, and, in bands of detail, energy and how sparse it is:
    edges on even ground are sparse, noise is everywhere. Where normal images have their shapes in the same places, the
    samples' shapes must match those of one of them.
    """
    drawn, known = (np.array([list(_statistics(image).values()) for image in images]) for images in (samples, normals))
    names = list(_statistics(normals[0]))
    apart = np.median(drawn, axis=0) - np.median(known, axis=0)
    low, high = np.quantile(known, (0.1, 0.9), axis=0)
    far = np.abs(apart) / np.maximum(high - low, FLOOR)
    detail, colour = (float(np.exp(apart[names.index(name)])) for name in ("fine detail", "fine colour"))
    share = f"{detail:.1f} times the fine detail of normal images"
    if max(detail, colour) > NOISY:
        return f"Train on: samples are noisy, with {share}{'' if detail > NOISY else ' and more of colours'}."
    if detail < BLURRED:
        return f"Train on: samples are blurred, with {share}."
    if far.max() > UNLIKE:
        worst = names[int(far.argmax())]
        return f"Train on: samples have {share}, but are unlike them in their {worst}."
    matched, wanted = _matches(samples, normals)
    if wanted >= ALIGNED and matched < MISSHAPEN * wanted:
        return (
            f"Train on: samples have {share}, but their shapes match a normal image's by {matched:.2f} of {wanted:.2f}."
        )
    like = "level, contrast, edges and shapes" if wanted >= ALIGNED else "level, contrast and edges"
    return f"Looks trained: samples have {share}, and are like them in {like}."


def _matches(samples: Sequence[np.ndarray], normals: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return how well samples, and normal images, match the most similar (other) normal image: correlations.

    The median of the samples, and the lower quartile of the normal images: some of freely turned ones match by chance.
    """
    ours, theirs = (np.stack([_shapes(image) for image in images]) for images in (samples, normals))
    among = theirs @ theirs.T
    np.fill_diagonal(among, -1)
    return float(np.median((ours @ theirs.T).max(axis=1))), float(np.quantile(among.max(axis=1), 0.25))


def _shapes(image: np.ndarray) -> np.ndarray:
    """Return a vector of length 1 of what is neither grain nor light."""
    grey = cv2.resize(_colour(image).mean(axis=2), (COARSE, COARSE), interpolation=cv2.INTER_AREA)
    band = cv2.GaussianBlur(grey, (0, 0), 1) - cv2.GaussianBlur(grey, (0, 0), 4)
    found: np.ndarray = (band / max(float(np.linalg.norm(band)), 1e-9)).ravel()
    return found


def _statistics(image: np.ndarray) -> dict[str, float]:
    """Return what is compared of an image, as logarithms.

    Noise of the channels' own averages out in their mean: it is seen in what they differ by.
    """
    planes = _colour(image).astype(np.float64)
    grey = planes.mean(axis=2)
    apart = [_split(plane - grey)[0] for plane in np.moveaxis(planes, 2, 0)]
    found = {
        "level": float(np.log(grey.mean() + 8)),
        "contrast": float(np.log(grey.std() + 2)),
        "fine colour": float(np.log(np.sqrt(np.square(apart).mean()) + FAINT_COLOUR)),
    }
    for band in range(BANDS):
        detail, below = _split(grey)
        energy = float((detail**2).mean())
        word = ("fine", "middle", "coarse")[band]
        found[f"{word} detail"] = float(np.log(np.sqrt(energy) + 1))
        found[f"{word} edges"] = float(np.log(((detail**4).mean() + 1) / (energy**2 + 1)) / 2)
        grey = below
    return found


def _split(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the finest detail of a plane, and what is left at half the size."""
    height, width = plane.shape
    below = cv2.resize(plane, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
    return plane - cv2.resize(below, (width, height), interpolation=cv2.INTER_LINEAR), below


def _colour(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def _curve(losses: Mapping[str, Sequence[tuple[int, float]]], width: int) -> np.ndarray:
    """Return the losses against the step, on a logarithmic scale, each within its own range."""
    from anomgen.dataset.preview import CAPTION_SIZE, FAINT, GAP, INK, MARGIN, PAPER, texts_on

    canvas = np.full((CURVE + 3 * CAPTION_SIZE, width, 3), PAPER, np.uint8)
    texts = []
    shown = {name: points for name, points in losses.items() if len(points) > 1}
    left, right = MARGIN, width - MARGIN
    for number, (name, points) in enumerate(shown.items()):
        colour = COLOURS[number % len(COLOURS)]
        steps, values = (np.array(side, np.float64) for side in zip(*points, strict=True))
        heights = np.log10(np.maximum(values, 1e-12))
        low, high = float(heights.min()), float(heights.max())
        x = left + (right - left) * (steps - steps[0]) / max(steps[-1] - steps[0], 1)
        y = GAP + (CURVE - 2 * GAP) * (high - heights) / max(high - low, 1e-9)
        line = np.rint(np.stack([x, y], axis=1)).astype(np.int32)
        cv2.polylines(canvas, [line], isClosed=False, color=colour, thickness=2)
        text = f"{name}: {values[0]:.3g} to {values[-1]:.3g}"
        each = (right - left) // len(shown)
        texts.append((left + number * each, CURVE + 2, text, CAPTION_SIZE, colour, each - GAP))
    if not shown:
        text = "no curve of the losses yet: too few steps were noted"
        texts.append((left, CURVE // 2, text, CAPTION_SIZE, FAINT, right))
    else:
        cv2.line(canvas, (left, CURVE - 2), (right, CURVE - 2), INK, 1)
    return texts_on(canvas, texts)
