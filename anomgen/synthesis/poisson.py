"""The Poisson equation −Δu = f on rectangles of pixels: directly, as the Laplacian is diagonal in bases of sines."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import cache
from threading import Lock
from typing import NamedTuple

import numpy as np

from anomgen.sources.cache import bounded
from anomgen.sources.pixels import STRIP


class Sides(NamedTuple):
    """Which sides of a rectangle lie on the border of the image, where there is no neighbour."""

    top: bool
    bottom: bool
    left: bool
    right: bool

    @property
    def core(self) -> tuple[slice, slice]:
        """Return the index of the unknowns in a region that holds a ring of known pixels on the sides not free."""
        return (
            slice(int(not self.top), None if self.bottom else -1),
            slice(int(not self.left), None if self.right else -1),
        )


def parts_of(values: np.ndarray) -> list[slice]:
    """Return which channels of (C, h, w) are solved for at once: all of few pixels; of many, to save memory, one."""
    step = max(STRIP // values[0].size, 1)
    return [slice(first, first + step) for first in range(0, len(values), step)]


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
        """Undo `forward`; the coefficients may be overwritten."""
        if self.matrix is None:
            return _sine_transform(coefficients, axis, overwrite=True)
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


def _sine_transform(values: np.ndarray, axis: int, *, overwrite: bool = False) -> np.ndarray:
    from scipy.fft import dst

    result: np.ndarray = dst(values, type=1, axis=axis, norm="ortho", overwrite_x=overwrite)
    return result


class Rectangle:
    """The Laplacian on h × w unknowns, diagonal in the product of two axes' bases."""

    def __init__(self, shape: tuple[int, ...], free: Sides, precision: type):
        self.rows = _axis(shape[-2], free.top, free.bottom, precision)
        self.columns = _axis(shape[-1], free.left, free.right, precision)
        eigenvalues = self.rows.eigenvalues[:, None] + self.columns.eigenvalues
        if all(free):  # the constant is in the null space and is dropped
            eigenvalues[0, 0] = np.inf
        self.inverse_eigenvalues = np.divide(1, eigenvalues, out=eigenvalues)

    def solve(self, excess: np.ndarray) -> np.ndarray:
        """Solve −Δu = excess, u = 0 around the rectangle; (C, h, w). The solution stands where the excess was."""
        for part in parts_of(excess):
            excess[part] = self.from_coefficients(self.columns.forward(self.rows.forward(excess[part], -2), -1))
        return excess

    def from_coefficients(self, coefficients: np.ndarray) -> np.ndarray:
        """Solve for a right-hand side given by its coefficients, which are overwritten."""
        coefficients *= self.inverse_eigenvalues
        return self.columns.inverse(self.rows.inverse(coefficients, -2), -1)


def membrane_correction(difference: np.ndarray, free: Sides) -> np.ndarray:
    """Return difference − membrane, the membrane being harmonic inside and equal to `difference` on the ring.

    For guidance `normal` on a rectangle. The membrane's right-hand side lives on the ring alone, so its coefficients
    are four outer products and half of the transforms are saved. The result stands where the difference was.
    """
    core = difference[:, *free.core]
    if all(free):
        core -= core.mean(axis=(1, 2), keepdims=True)
        return core
    rectangle = Rectangle(core.shape, free, difference.dtype.type)
    rows, columns = rectangle.rows, rectangle.columns
    inner_rows, inner_columns = free.core
    level, upright = [], []
    for is_free, at, end in ((free.top, 0, 0), (free.bottom, -1, 1)):
        if not is_free:
            level.append((rows.ends[end][:, None], columns.forward(difference[:, at, inner_columns], -1)))
    for is_free, at, end in ((free.left, 0, 0), (free.right, -1, 1)):
        if not is_free:
            upright.append((rows.forward(difference[:, inner_rows, at][..., None], -2), columns.ends[end]))
    for part in parts_of(core):
        coefficients = np.zeros_like(core[part])
        for ends, line in level:
            coefficients += ends * line[part, None, :]
        for line, ends in upright:
            coefficients += line[part] * ends
        core[part] -= rectangle.from_coefficients(coefficients)
    return core
