"""How anomaly content gets into the image: alpha blending and Poisson blending with a solver of our own.

Poisson image editing (Pérez, Gangnet, Blake, SIGGRAPH 2003): inside the mask the result follows a guidance field of
gradients, at the mask's rim it equals the target. We solve for the *correction* u = result − target, which is zero
outside the mask, so nothing outside can change and a patch pasted onto itself gives exactly itself.

On a rectangle the five-point Laplacian is diagonal in a product of sine bases, so the solution is direct. A free-form
mask takes conjugate gradients, preconditioned by the rectangle around it.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import cache
from threading import Lock
from typing import Literal, NamedTuple

import cv2
import numpy as np

from anomgen.sources.cache import bounded
from anomgen.sources.pixels import quantise
from anomgen.synthesis.sample import Box

Guidance = Literal["normal", "mixed", "pii"]

CG_TOLERANCE = 1.0
"""Conjugate gradients stop when the last correction of every pixel is below this many grey levels, times the square of
the share of the error that an iteration removed on average; two more corrections follow, and about a tenth of a grey
level is left."""
CG_LIMIT = 500


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
    near = _channels_first(target[ring.slices], precision)
    far = _channels_first(source[ring.slices], precision)
    inside = mask[box.slices]
    if inside.all() and guidance == "normal" and inner is None:
        correction = weight * _membrane_correction(far - near, free)
    else:
        across, down = _excess(near, far, guidance, weight)
        if inner is not None:
            across *= inner[ring.slices][:, :-1]
            down *= inner[ring.slices][:-1]
        excess = _divergence(across, down)[:, *_core(free)]
        correction = (
            _Rectangle(excess.shape, free, precision).solve(excess)
            if inside.all()
            else _solve_free_form(excess, inside, free)
        )
    blended = near[:, *_core(free)] + correction
    drawn = cv2.merge(list(quantise(blended, target.dtype)))
    kept = cv2.copyTo(drawn, inside.view(np.uint8), result[box.slices].copy())  # np.copyto takes ten times as long
    result[box.slices] = kept.reshape(result[box.slices].shape)
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


def _excess(target: np.ndarray, source: np.ndarray, guidance: Guidance, weight: float) -> tuple[np.ndarray, np.ndarray]:
    """Return guidance − ∇target on the horizontal and the vertical edges: (C, h, w − 1) and (C, h − 1, w)."""
    gradients = [(np.diff(target, axis=axis), np.diff(source, axis=axis)) for axis in (2, 1)]
    if guidance == "pii":
        across, down = (_larger_per_edge((1 - weight) * t, weight * s) - t for t, s in gradients)
        return across, down
    across, down = (weight * (s - t) for t, s in gradients)
    if guidance == "mixed":
        stronger = _source_is_stronger(*(g for pair in gradients for g in pair)).astype(target.dtype)
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
        vector, angle = _eigenvectors(n, free_low, free_high)
        self.eigenvalues = (2 - 2 * np.cos(angle)).astype(precision)
        self.ends: np.ndarray = vector(np.array([1, n])).astype(precision)
        self.matrix: np.ndarray | None = None
        if free_low or free_high or not _is_fast(n):
            self.matrix = np.ascontiguousarray(vector(np.arange(1, n + 1)).astype(precision))

    @property
    def nbytes(self) -> int:
        """Return how much memory it takes, about."""
        return int(self.eigenvalues.nbytes + self.ends.nbytes) + (0 if self.matrix is None else self.matrix.nbytes)

    def forward(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Return the coefficients of `values` (…, h, w) along axis −1 or −2."""
        if self.matrix is None:
            return _sine_transform(values, axis)
        result: np.ndarray = values @ self.matrix if axis == -1 else self.matrix.T @ values
        return result

    def inverse(self, coefficients: np.ndarray, axis: int) -> np.ndarray:
        """Undo `forward`."""
        if self.matrix is None:
            return _sine_transform(coefficients, axis)
        result: np.ndarray = coefficients @ self.matrix.T if axis == -1 else self.matrix @ coefficients
        return result


def _eigenvectors(n: int, free_low: bool, free_high: bool) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Return the function from positions 1..n to rows of eigenvector values, and the angle of each eigenvector."""
    order = np.arange(1, n + 1)
    angle: np.ndarray
    if free_low and free_high:
        angle = np.pi * (order - 1) / n
        scale = np.full(n, np.sqrt(2 / n))
        scale[0] = np.sqrt(1 / n)
        return lambda j: scale * np.cos(np.outer(j - 0.5, angle)), angle
    if free_low or free_high:
        angle = np.pi * (2 * order - 1) / (2 * n + 1)
        return lambda j: np.sqrt(4 / (2 * n + 1)) * np.sin(np.outer(n + 1 - j if free_low else j, angle)), angle
    angle = np.pi * order / (n + 1)
    return lambda j: np.sqrt(2 / (n + 1)) * np.sin(np.outer(j, angle)), angle


@cache
def _is_fast(n: int) -> bool:
    """Return whether a fast sine transform of n values beats the product with the basis matrix.

    Measured: n² · 0.3 ns per prime factor's size against n³ · 0.05 ns; a large prime costs as much as 150.
    """
    rest, factor, total = n + 1, 2, 0
    while factor * factor <= rest:
        while rest % factor == 0:
            rest, total = rest // factor, total + factor
        factor += 1
    return n > 6 * min(total + (rest if rest > 1 else 0), 150)


@cache
def _fast_size(n: int) -> int:
    """Return the next size from n on that has a fast transform; n itself where the matrix is small anyway."""
    return n if n < 100 else next(size for size in range(n, 2 * n) if _is_fast(size))


AXES_BYTES = 1 << 26
"""Bases that a process keeps: those of all patches of images of 256×256 take a tenth of it."""
_axes: MutableMapping[tuple[int, bool, bool, type], _Axis] = bounded(AXES_BYTES, lambda axis: axis.nbytes)
_axes_lock = Lock()


def _axis(n: int, free_low: bool, free_high: bool, precision: type) -> _Axis:
    key = (n, free_low, free_high, precision)
    with _axes_lock:
        if key not in _axes:
            _axes[key] = _Axis(n, free_low, free_high, precision)
        return _axes[key]


def _sine_transform(values: np.ndarray, axis: int) -> np.ndarray:
    from scipy.fft import dst

    result: np.ndarray = dst(values, type=1, axis=axis, norm="ortho")
    return result


class _Rectangle:
    """The Laplacian on h × w unknowns, diagonal in the product of two axes' bases."""

    def __init__(self, shape: tuple[int, ...], free: Sides, precision: type):
        self.rows = _axis(shape[-2], free.top, free.bottom, precision)
        self.columns = _axis(shape[-1], free.left, free.right, precision)
        eigenvalues = self.rows.eigenvalues[:, None] + self.columns.eigenvalues
        if all(free):  # the constant is in the null space and is dropped
            eigenvalues[0, 0] = np.inf
        self.inverse_eigenvalues = 1 / eigenvalues

    def solve(self, excess: np.ndarray) -> np.ndarray:
        """Solve −Δu = excess, u = 0 around the rectangle; (C, h, w)."""
        return self.from_coefficients(self.columns.forward(self.rows.forward(excess, -2), -1))

    def from_coefficients(self, coefficients: np.ndarray) -> np.ndarray:
        """Solve for a right-hand side given by its coefficients, which are overwritten."""
        coefficients *= self.inverse_eigenvalues
        return self.columns.inverse(self.rows.inverse(coefficients, -2), -1)


def _membrane_correction(difference: np.ndarray, free: Sides) -> np.ndarray:
    """Return difference − membrane, the membrane being harmonic inside and equal to `difference` on the ring.

    For guidance `normal` on a rectangle. The membrane's right-hand side lives on the ring alone, so its
    coefficients are four outer products and half of the transforms are saved.
    """
    core = difference[:, *_core(free)]
    if all(free):
        centred: np.ndarray = core - core.mean(axis=(1, 2), keepdims=True)
        return centred
    rectangle = _Rectangle(core.shape, free, difference.dtype.type)
    rows, columns = rectangle.rows, rectangle.columns
    inner_rows, inner_columns = _core(free)
    coefficients = np.zeros_like(core)
    for is_free, at, end in ((free.top, 0, 0), (free.bottom, -1, 1)):
        if not is_free:
            line = columns.forward(difference[:, at, inner_columns], -1)
            coefficients += rows.ends[end][:, None] * line[:, None, :]
    for is_free, at, end in ((free.left, 0, 0), (free.right, -1, 1)):
        if not is_free:
            line = rows.forward(difference[:, inner_rows, at][..., None], -2)
            coefficients += line * columns.ends[end]
    result: np.ndarray = core - rectangle.from_coefficients(coefficients)
    return result


# --- free-form masks: preconditioned conjugate gradients ----------------------------------------------------------


def _solve_free_form(excess: np.ndarray, inside: np.ndarray, free: Sides) -> np.ndarray:
    """Solve −Δu = excess on the pixels `inside`, u = 0 elsewhere; (C, h, w), the channels side by side.

    The solution on the whole rectangle, cut to the mask, is the preconditioner. It is wrong only where the mask ends:
    every residual lives on the mask's rim, and so do all vectors of the iteration. What has been found is kept as
    sources on the rim, whose field is computed once at the end. The rectangle may be larger than the mask needs, so
    it gets a size that transforms fast.
    """
    h, w = inside.shape
    extra = [0 if free.top or free.bottom else _fast_size(h) - h, 0 if free.left or free.right else _fast_size(w) - w]
    closed = all(free)  # a rectangle without any condition has no solution: it gets one below the last row
    if closed:
        extra[0], free = 1, free._replace(bottom=False)
    if any(extra):
        excess = np.pad(excess, ((0, 0), (0, extra[0]), (0, extra[1])))
        inside = np.pad(inside, ((0, extra[0]), (0, extra[1])))
    rim = _Rim(inside, _Rectangle(inside.shape, free, excess.dtype.type), h - 1 if closed else None)
    sources = excess * inside
    residual = -rim.outflow(rim.rectangle.solve(sources))
    estimate, image = rim.respond(residual)
    charge, direction = residual.copy(), estimate
    found = np.zeros_like(residual)
    tiny = np.finfo(excess.dtype).tiny
    energy = first = np.maximum(_dot(residual, estimate), tiny)
    for iteration in range(CG_LIMIT):
        step = energy / np.maximum(_dot(direction, image), tiny)
        found += step * charge
        residual -= step * image
        removed = 1 - float((energy / first).max()) ** (0.5 / max(iteration, 1))
        if max(estimate.max(), -estimate.min()) < CG_TOLERANCE * removed**2:
            break
        estimate, response = rim.respond(residual)
        previous, energy = energy, _dot(residual, estimate)
        turn = energy / np.maximum(previous, tiny)
        charge = residual + turn * charge
        direction = estimate + turn * direction
        image = response + turn * image
    rim.at(sources)[:, rim.pixels] += found + residual
    result: np.ndarray = (rim.rectangle.solve(sources) * inside)[:, :h, :w]
    return result


class _Rim:
    """The pixels of a mask that have a neighbour outside it, and what the rectangle's solution does there."""

    def __init__(self, inside: np.ndarray, rectangle: _Rectangle, last_row: int | None):
        """`last_row`: what the rectangle has below this row is not of the image, so no edge leads there."""
        self.rectangle = rectangle
        around = np.pad(inside, 1, constant_values=True)
        neighbours = [around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]]
        self.pixels = np.flatnonzero(inside & ~(neighbours[0] & neighbours[1] & neighbours[2] & neighbours[3]))
        leaving = np.stack([~neighbour.ravel()[self.pixels] for neighbour in neighbours])
        offsets = np.array([-inside.shape[1], inside.shape[1], -1, 1])[:, None]
        self._outside = self.pixels + np.where(leaving, offsets, 0)
        self._leaving = leaving.astype(rectangle.inverse_eigenvalues.dtype)
        below = self.pixels // inside.shape[1] == last_row
        self._without_edge = below.astype(self._leaving.dtype) if last_row is not None else None
        self._shape = inside.shape
        self._field: np.ndarray | None = None

    def at(self, values: np.ndarray) -> np.ndarray:
        """Return the view (C, h·w) of values (C, h, w)."""
        return values.reshape(len(values), -1)

    def outflow(self, solution: np.ndarray) -> np.ndarray:
        """Return, for each rim pixel, the sum of a solution over its neighbours outside the mask; (C, rim)."""
        flow = np.einsum("cdp,dp->cp", self.at(solution)[:, self._outside], self._leaving)
        if self._without_edge is not None:
            flow -= self._without_edge * self.at(solution)[:, self.pixels]
        result: np.ndarray = flow
        return result

    def respond(self, charge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the field of charges on the rim, cut to the mask, there, and the mask's own Laplacian of it."""
        if self._field is None:
            self._field = np.zeros((len(charge), *self._shape), dtype=charge.dtype)
        self.at(self._field)[:, self.pixels] = charge
        solution = self.rectangle.solve(self._field)
        return self.at(solution)[:, self.pixels], charge + self.outflow(solution)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the inner product per channel, shaped (C, 1)."""
    result: np.ndarray = np.einsum("cp,cp->c", a, b)[:, None]
    return result
