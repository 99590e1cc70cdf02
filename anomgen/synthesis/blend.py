"""How anomaly content gets into the image: alpha blending and Poisson blending with a solver of our own.

Poisson image editing (Pérez, Gangnet, Blake, SIGGRAPH 2003): inside the mask the result follows a guidance field of
gradients, at the mask's rim it equals the target. We solve for the *correction* u = result − target, which is zero
outside the mask, so nothing outside can change and a patch pasted onto itself gives exactly itself.

The equation is solved on rectangles in `anomgen.synthesis.poisson`, on other masks in `anomgen.synthesis.freeform`.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from anomgen.sources.pixels import quantise, strips
from anomgen.synthesis.freeform import solve_free_form
from anomgen.synthesis.poisson import Rectangle, Sides, membrane_correction
from anomgen.synthesis.sample import Box

Guidance = Literal["normal", "mixed", "pii"]


def alpha_blend(target: np.ndarray, content: np.ndarray, opacity: float | np.ndarray) -> np.ndarray:
    """Return (1 − opacity)·target + opacity·content, rounded to target's dtype; opacity 1 covers the target."""
    low = target.astype(np.float32)
    return quantise(low + np.float32(opacity) * (content.astype(np.float32) - low), target.dtype)


def poisson_blend(
    target: np.ndarray,
    source: np.ndarray,
    mask: np.ndarray,
    *,
    guidance: Guidance = "normal",
    weight: float = 1.0,
    inner: np.ndarray | None = None,
) -> np.ndarray:
    """Blend `source` into `target` inside `mask` by its gradients.

    target, source: (H, W, C), one dtype, any C, uint8 or uint16, aligned with each other. mask: bool (H, W); it may
    touch the border of the array, where the rim is then free (no neighbour, no condition). A mask that covers
    everything leaves the mean undetermined: the target's is kept.

    guidance: `normal` takes weight·∇source + (1 − weight)·∇target; `mixed` takes that where the source's gradient
    is larger than the target's, by its magnitude over all channels (Pérez et al., eq. 12), else ∇target; `pii`
    takes at every pair of neighbours the larger of weight·∇source and (1 − weight)·∇target (PII, arXiv
    2107.02622), which flattens what it does not select.

    inner: bool (H, W), the pixels of the mask from which the guidance leads on; from the others ∇target does, so that
    what stands there only gives way. By default all.

    Returns a new array of target's dtype: rounded, clipped, equal to `target` outside the mask bit for bit.
    """
    result = target.copy()
    box = _bounding_box(mask)
    if box is None:
        return result
    free = Sides(box.y == 0, box.y + box.h == target.shape[0], box.x == 0, box.x + box.w == target.shape[1])
    ring = Box(
        box.y - (not free.top),
        box.x - (not free.left),
        box.h + (not free.top) + (not free.bottom),
        box.w + (not free.left) + (not free.right),
    )
    precision = np.float32 if target.dtype == np.uint8 else np.float64
    near, far, inside = target[ring.slices], source[ring.slices], mask[box.slices]
    if inside.all() and guidance == "normal" and inner is None:
        correction = membrane_correction(_difference(near, far, precision), free)
        correction *= weight
    else:
        leads = None if inner is None else inner[ring.slices]
        excess = _excess(near, far, guidance, weight, leads, precision)[:, *free.core]
        correction = (
            Rectangle(excess.shape, free, precision).solve(excess)
            if inside.all()
            else solve_free_form(excess, inside, free)
        )
    drawn = result[box.slices]
    for rows in strips(drawn):
        blended = _channels_first(near[free.core][rows], precision) + correction[:, rows]
        values = cv2.merge(list(quantise(blended, target.dtype)))
        cv2.copyTo(values, inside[rows].view(np.uint8), drawn[rows])  # np.copyto takes ten times as long
    return result


def _bounding_box(mask: np.ndarray) -> Box | None:
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask.any(axis=0))
    return Box(int(rows[0]), int(columns[0]), int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1)


def _channels_first(image: np.ndarray, precision: type) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1), dtype=precision)


# --- guidance -----------------------------------------------------------------------------------------------------


def _difference(target: np.ndarray, source: np.ndarray, precision: type) -> np.ndarray:
    """Return source − target, (C, H, W), of images (H, W, C)."""
    difference = np.empty((target.shape[2], *target.shape[:2]), precision)
    for rows in strips(target):
        near, far = _channels_first(target[rows], precision), _channels_first(source[rows], precision)
        np.subtract(far, near, out=difference[:, rows])
    return difference


def _excess(
    target: np.ndarray,
    source: np.ndarray,
    guidance: Guidance,
    weight: float,
    leads: np.ndarray | None,
    precision: type,
) -> np.ndarray:
    """Return the divergence of guidance − ∇target, (C, H, W), of images (H, W, C); see `_divergence`.

    leads: bool (H, W), from which pixels the guidance leads on; None for all.
    """
    excess = np.empty((target.shape[2], *target.shape[:2]), precision)
    for rows in strips(target):
        around = slice(max(rows.start - 1, 0), rows.stop + 1)
        near, far = _channels_first(target[around], precision), _channels_first(source[around], precision)
        across, down = _on_edges(near, far, guidance, weight)
        if leads is not None:
            across *= leads[around][:, :-1]
            down *= leads[around][:-1]
        own = _divergence(across, down)
        if own.shape == excess.shape:
            return own
        excess[:, rows] = own[:, rows.start - around.start :][:, : rows.stop - rows.start]
    return excess


def _on_edges(
    target: np.ndarray, source: np.ndarray, guidance: Guidance, weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return guidance − ∇target on the horizontal and the vertical edges: (C, h, w − 1) and (C, h − 1, w)."""
    if guidance == "pii":
        gradients = [(np.diff(target, axis=axis), np.diff(source, axis=axis)) for axis in (2, 1)]
        across, down = (_larger_per_edge((1 - weight) * t, weight * s) - t for t, s in gradients)
        return across, down
    # Pixels are whole numbers, so differences may be taken in any order.
    more = source - target
    across, down = np.diff(more, axis=2), np.diff(more, axis=1)
    if guidance == "mixed":
        stronger = _source_is_stronger(source + target, across, down).astype(target.dtype)
    if weight != 1:
        across *= weight
        down *= weight
    if guidance == "mixed":
        across *= stronger[:, :-1]
        down *= stronger[:-1, :]
    return across, down


def _larger_per_edge(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    return np.where(np.square(near).sum(axis=0) > np.square(far).sum(axis=0), near, far)


def _source_is_stronger(both: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Compare, pixel by pixel, the two gradient magnitudes over all channels; True where the source's is larger.

    both: source + target. across, down: gradients of source − target. The product of the gradients of sum and
    difference is the difference of the squares.
    """
    lead = np.zeros(both.shape[1:], dtype=both.dtype)
    lead[:, :-1] = (np.diff(both, axis=2) * across).sum(axis=0)
    lead[:-1, :] += (np.diff(both, axis=1) * down).sum(axis=0)
    return lead > 0


def _divergence(across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return, for each pixel p, the sum over its neighbours q of the edge values oriented from q to p."""
    channels, h, w = across.shape[0], across.shape[1], down.shape[2]
    total = np.zeros((channels, h, w), dtype=across.dtype)
    total[:, :, 1:] += across
    total[:, :, :-1] -= across
    total[:, 1:, :] += down
    total[:, :-1, :] -= down
    return total
