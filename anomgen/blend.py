"""How anomaly content gets into the image: alpha blending and Poisson blending with a solver of our own.

Poisson image editing (Pérez, Gangnet, Blake, SIGGRAPH 2003): inside the mask the result follows a guidance field of
gradients, at the mask's rim it equals the target. We solve for the *correction* u = result − target, which is zero
outside the mask, so nothing outside can change and a patch pasted onto itself gives exactly itself.

On a rectangle the five-point Laplacian is diagonal in a product of sine bases, so the solution is direct. A free-form
mask takes conjugate gradients, preconditioned by the rectangle around it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from anomgen.sample import Box, quantise

Guidance = Literal["normal", "mixed", "pii"]

MATRIX_LIMIT = 320
"""Up to this many pixels a product with the basis matrix is faster than a fast sine transform."""
CG_TOLERANCE = 0.06
"""Conjugate gradients stop when the estimated error of every pixel is below this share of a grey level."""
CG_LIMIT = 200


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
) -> np.ndarray:
    """Blend `source` into `target` inside `mask` by its gradients.

    target, source: (H, W, C), one dtype, any C, uint8 or uint16, aligned with each other. mask: bool (H, W); it may
    touch the border of the array, where the rim is then free (no neighbour, no condition). A mask that covers
    everything leaves the mean undetermined: the target's is kept.

    guidance: `normal` takes weight·∇source + (1 − weight)·∇target; `mixed` takes that where the source's gradient
    is larger than the target's, by its magnitude over all channels (Pérez et al., eq. 12), else ∇target; `pii`
    takes at every pair of neighbours the larger of weight·∇source and (1 − weight)·∇target (PII, arXiv
    2107.02622), which flattens what it does not select.

    Returns a new array of target's dtype: rounded, clipped, equal to `target` outside the mask bit for bit.
    """
    result = target.copy()
    box = _bounding_box(mask)
    if box is None:
        return result
    free = Sides(box.y == 0, box.y + box.h == target.shape[0], box.x == 0, box.x + box.w == target.shape[1])
    ring = Box(box.y - (not free.top), box.x - (not free.left),
               box.h + (not free.top) + (not free.bottom), box.w + (not free.left) + (not free.right))  # fmt: skip
    precision = np.float32 if target.dtype == np.uint8 else np.float64
    near = _channels_first(target[ring.slices], precision)
    far = _channels_first(source[ring.slices], precision)
    inside = mask[box.slices]
    if inside.all() and guidance == "normal":
        correction = weight * _membrane_correction(far - near, free)
    else:
        excess = _divergence(*_excess(near, far, guidance, weight))[:, *_core(free)]
        correction = (
            _solve_rectangle(excess, free) if inside.all() else _solve_free_form(excess, inside, free)
        )
    blended = near[:, *_core(free)] + correction
    np.copyto(result[box.slices], quantise(blended, target.dtype).transpose(1, 2, 0), where=inside[..., None])
    return result


class Sides(NamedTuple):
    """Which sides of a rectangle lie on the border of the image, where there is no neighbour."""

    top: bool
    bottom: bool
    left: bool
    right: bool


def _bounding_box(mask: np.ndarray) -> Box | None:
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask.any(axis=0))
    return Box(int(rows[0]), int(columns[0]), int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1)


def _channels_first(image: np.ndarray, precision: type) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1), dtype=precision)


def _core(free: Sides) -> tuple[slice, slice]:
    """Return the index of the unknowns in a region that holds a ring of known pixels on the sides not free."""
    return (
        slice(int(not free.top), None if free.bottom else -1),
        slice(int(not free.left), None if free.right else -1),
    )


# --- guidance -----------------------------------------------------------------------------------------------------


def _excess(
    target: np.ndarray, source: np.ndarray, guidance: Guidance, weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return guidance − ∇target on the horizontal and the vertical edges: (C, h, w − 1) and (C, h − 1, w)."""
    gradients = [(np.diff(target, axis=axis), np.diff(source, axis=axis)) for axis in (2, 1)]
    if guidance == "pii":
        across, down = (_larger_per_edge((1 - weight) * t, weight * s) - t for t, s in gradients)
        return across, down
    across, down = (weight * (s - t) for t, s in gradients)
    if guidance == "mixed":
        stronger = _source_is_stronger(*(g for pair in gradients for g in pair))
        across *= stronger[:, :-1]
        down *= stronger[:-1, :]
    return across, down


def _larger_per_edge(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    return np.where(np.square(near).sum(axis=0) > np.square(far).sum(axis=0), near, far)


def _source_is_stronger(
    target_x: np.ndarray, source_x: np.ndarray, target_y: np.ndarray, source_y: np.ndarray
) -> np.ndarray:
    """Compare, pixel by pixel, the two gradient magnitudes over all channels; True where the source's is larger."""
    h, w = target_x.shape[1], target_y.shape[2]
    lead = np.zeros((h, w), dtype=target_x.dtype)
    lead[:, :-1] = (np.square(source_x) - np.square(target_x)).sum(axis=0)
    lead[:-1, :] += (np.square(source_y) - np.square(target_y)).sum(axis=0)
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


# --- rectangles: the Laplacian is diagonal ------------------------------------------------------------------------


class _Axis:
    """Eigenvectors and eigenvalues of the one-dimensional Laplacian with n unknowns.

    Beyond each end lies a known zero, or, where the end is free, nothing.
    """

    def __init__(self, n: int, free_low: bool, free_high: bool, precision: type):
        order = np.arange(1, n + 1)
        if free_low and free_high:
            angle = np.pi * (order - 1) / n
            scale = np.where(order == 1, np.sqrt(1 / n), np.sqrt(2 / n))
            self._vector = lambda j: scale * np.cos(np.outer(j - 0.5, angle))
        elif free_low or free_high:
            angle = np.pi * (2 * order - 1) / (2 * n + 1)
            self._vector = lambda j: (
                np.sqrt(4 / (2 * n + 1)) * np.sin(np.outer(n + 1 - j if free_low else j, angle))
            )
        else:
            angle = np.pi * order / (n + 1)
            self._vector = lambda j: np.sqrt(2 / (n + 1)) * np.sin(np.outer(j, angle))
        self.eigenvalues = (2 - 2 * np.cos(angle)).astype(precision)
        self.ends = self._vector(np.array([1, n])).astype(precision)
        self.matrix: np.ndarray | None = None
        if n <= MATRIX_LIMIT or free_low or free_high:
            self.matrix = np.ascontiguousarray(self._vector(order).astype(precision))
        del self._vector

    def forward(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Return the coefficients of `values` (…, h, w) along axis −1 or −2."""
        if self.matrix is None:
            return _sine_transform(values, axis)
        return values @ self.matrix if axis == -1 else self.matrix.T @ values

    def inverse(self, coefficients: np.ndarray, axis: int) -> np.ndarray:
        """Undo `forward`."""
        if self.matrix is None:
            return _sine_transform(coefficients, axis)
        return coefficients @ self.matrix.T if axis == -1 else self.matrix @ coefficients


@lru_cache(maxsize=128)
def _axis(n: int, free_low: bool, free_high: bool, precision: type) -> _Axis:
    return _Axis(n, free_low, free_high, precision)


def _sine_transform(values: np.ndarray, axis: int) -> np.ndarray:
    from scipy.fft import dst

    return dst(values, type=1, axis=axis, norm="ortho")


def _axes(shape: tuple[int, ...], free: Sides, precision: type) -> tuple[_Axis, _Axis]:
    return (
        _axis(shape[-2], free.top, free.bottom, precision),
        _axis(shape[-1], free.left, free.right, precision),
    )


def _divide(coefficients: np.ndarray, rows: _Axis, columns: _Axis) -> np.ndarray:
    """Divide by the Laplacian's eigenvalues; where all sides are free its null space, the constant, is dropped."""
    eigenvalues = rows.eigenvalues[:, None] + columns.eigenvalues
    if eigenvalues[0, 0] < 1e-9:
        eigenvalues[0, 0] = np.inf
    return coefficients / eigenvalues


def _solve_rectangle(excess: np.ndarray, free: Sides) -> np.ndarray:
    """Solve −Δu = excess on a rectangle, u = 0 around it; (C, h, w)."""
    rows, columns = _axes(excess.shape, free, excess.dtype.type)
    coefficients = _divide(columns.forward(rows.forward(excess, -2), -1), rows, columns)
    return columns.inverse(rows.inverse(coefficients, -2), -1)


def _membrane_correction(difference: np.ndarray, free: Sides) -> np.ndarray:
    """Return difference − membrane, the membrane being harmonic inside and equal to `difference` on the ring.

    For guidance `normal` on a rectangle. The membrane's right-hand side lives on the ring alone, so its
    coefficients are four outer products and half of the transforms are saved.
    """
    core = difference[:, *_core(free)]
    if all(free):
        return core - core.mean(axis=(1, 2), keepdims=True)
    rows, columns = _axes(core.shape, free, difference.dtype.type)
    inner_rows, inner_columns = _core(free)
    coefficients: np.ndarray | float = 0.0
    for is_free, at, end in ((free.top, 0, 0), (free.bottom, -1, 1)):
        if not is_free:
            line = columns.forward(difference[:, at, inner_columns], -1)
            coefficients = coefficients + rows.ends[end][:, None] * line[:, None, :]
    for is_free, at, end in ((free.left, 0, 0), (free.right, -1, 1)):
        if not is_free:
            line = rows.forward(difference[:, inner_rows, at][..., None], -2)
            coefficients = coefficients + line * columns.ends[end]
    membrane = _divide(np.asarray(coefficients), rows, columns)
    return core - columns.inverse(rows.inverse(membrane, -2), -1)


# --- free-form masks: preconditioned conjugate gradients ----------------------------------------------------------


def _solve_free_form(excess: np.ndarray, inside: np.ndarray, free: Sides) -> np.ndarray:
    """Solve −Δu = excess on the pixels `inside`, u = 0 elsewhere; (C, h, w), the channels side by side.

    The solution on the whole rectangle, cut to the mask, is the preconditioner; what it makes of the residual is
    also the estimate of the error that ends the iteration.
    """
    keep = inside.astype(excess.dtype)
    degree = _degree(inside.shape, free, excess.dtype.type)
    residual = excess * keep
    solution = np.zeros_like(residual)
    estimate = _solve_rectangle(residual, free) * keep
    direction = estimate
    energy = _dot(residual, estimate)
    for _ in range(CG_LIMIT):
        if np.abs(estimate).max() < CG_TOLERANCE:
            break
        image = (degree * direction - _neighbour_sum(direction)) * keep
        step = energy / np.maximum(_dot(direction, image), np.finfo(excess.dtype).tiny)
        solution += step * direction
        residual -= step * image
        estimate = _solve_rectangle(residual, free) * keep
        previous, energy = energy, _dot(residual, estimate)
        direction = estimate + (energy / np.maximum(previous, np.finfo(excess.dtype).tiny)) * direction
    return solution + estimate


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the inner product per channel, shaped (C, 1, 1)."""
    return np.einsum("chw,chw->c", a, b)[:, None, None]


def _degree(shape: tuple[int, int], free: Sides, precision: type) -> np.ndarray:
    """Return the number of neighbours of each pixel of a rectangle: 4, less one at each free side."""
    degree = np.full(shape, 4, dtype=precision)
    degree[0] -= free.top
    degree[-1] -= free.bottom
    degree[:, 0] -= free.left
    degree[:, -1] -= free.right
    return degree


def _neighbour_sum(values: np.ndarray) -> np.ndarray:
    total = np.zeros_like(values)
    total[:, :, 1:] += values[:, :, :-1]
    total[:, :, :-1] += values[:, :, 1:]
    total[:, 1:, :] += values[:, :-1, :]
    total[:, :-1, :] += values[:, 1:, :]
    return total
