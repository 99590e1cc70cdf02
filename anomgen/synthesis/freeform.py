"""The Poisson equation −Δu = f on pixels of any form, by few steps of an iteration.

On a torus the five-point Laplacian is diagonal in Fourier's basis. The solution on one that holds the form is wrong
only for what lies at the form's rim, and conjugate gradients on the rim mend that. Smooth functions would take them
longest; what these leave at the rim is known without solving, so they are kept out of the iteration (deflation:
Nicolaides, SIAM J. Numer. Anal. 24, 1987).
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from functools import cache
from threading import Lock

import cv2
import numpy as np

from anomgen.sources.cache import bounded
from anomgen.synthesis.poisson import Sides, parts_of

TOLERANCE = 0.7
"""The iteration stops when the last correction of every pixel is below this many grey levels, times the square of the
share of the error that a step removed on average; two more corrections follow. The largest error of an ellipse is a
fiftieth of a grey level on the mean of many, and a tenth at most."""
NOTHING = 1e-3
"""A correction, in grey levels, below which it stops in any case: smooth functions alone may solve small forms."""
LIMIT = 500
PATIENCE = 10
"""Steps without half of the last correction after which rounding is all that is left, as on thin forms of 16 bits."""
FREQUENCIES = (2.0, 4.0, 6.0)
"""Of the smooth functions that are kept out of the iteration, radians over half of the form's longer side."""
NEGLIGIBLE = 1e-13
"""Combinations of these with less than this share of their energy are left to the iteration: on thin forms not all can
be told apart."""


def solve_free_form(excess: np.ndarray, inside: np.ndarray, free: Sides) -> np.ndarray:
    """Solve −Δu = excess on the pixels `inside`, bool (h, w), u = 0 elsewhere; (C, h, w), the channels side by side.

    The potential on the torus, cut to the form, is the preconditioner. It is wrong only where the form ends: every
    residual lives on the form's rim, and so do all vectors of the iteration. What has been found is kept as charges
    on the rim, whose potential is computed once at the end. The excess is overwritten.
    """
    form = _Form(excess, inside, free)
    residual = form.without_smooth(-form.outflow())
    found = np.zeros_like(residual)
    answer = search = form.respond(residual)
    tiny = np.finfo(residual.dtype).tiny
    energy = first = np.maximum(_dot(residual, answer[1]), tiny)
    least, reached = np.inf, 0
    for iteration in range(LIMIT):
        correction = np.abs(answer[1]).max()
        if correction < NOTHING:
            break
        charge, direction, image = search
        step = energy / np.maximum(_dot(direction, image), tiny)
        found += step * charge
        residual = residual - step * image
        if correction < TOLERANCE:
            removed = 1 - float((energy / first).max()) ** (0.5 / max(iteration, 1))
            if correction < TOLERANCE * removed**2:
                break
        if correction < least / 2:
            least, reached = correction, iteration
        if iteration - reached >= PATIENCE or (energy < 0).any():  # energies are positive but for rounding
            break
        answer = form.respond(residual)
        previous, energy = energy, _dot(residual, answer[1])
        search = answer + energy / np.maximum(previous, tiny) * search
    return form.solution(found + residual)


class _Form:
    """The equation on a form: its torus, and what is known of its rim.

    A is the form's own Laplacian: u = 0 outside, and no edge beyond a free side. Vectors on the rim are float64.
    """

    def __init__(self, excess: np.ndarray, inside: np.ndarray, free: Sides):
        (h, w), self._excess, self._inside = inside.shape, excess, inside
        self._torus = _torus((_roomy(h + 2), _roomy(w + 2)), excess.dtype.type)
        self._parts = parts_of(excess)
        self._rim = _Rim(inside, free, self._torus.shape)
        self._smooth = _Smooth(self._rim, (h, w))

    def _nothing(self, part: slice) -> np.ndarray:
        """Return the torus, (c, N, M), of some channels without charges."""
        return np.zeros((len(self._excess[part]), *self._torus.shape), dtype=self._excess.dtype)

    def _potential(self, part: slice, charges: np.ndarray | None = None) -> np.ndarray:
        """Return the potential on the torus, (c, N, M), of the excess, and of charges on the rim, of some channels."""
        field = self._nothing(part)
        h, w = self._inside.shape
        np.multiply(self._excess[part], self._inside, out=field[:, 1 : h + 1, 1 : w + 1])
        if charges is not None:
            _flat(field)[:, self._rim.pixels] += charges[part]
        field[:, 0, 0] = -field.sum(axis=(1, 2))  # next to no pixel of the form; the sum must be zero
        return self._torus.solve(field)

    def outflow(self) -> np.ndarray:
        """Return A of the excess's potential on the torus less its charges: (C, rim)."""
        seen = [self._rim.seen(self._potential(part)) for part in self._parts]
        return self._rim.outflow(np.concatenate(seen))

    def _responses(self, charges: np.ndarray) -> Iterator[np.ndarray]:
        for part in self._parts:
            field = self._nothing(part)
            _flat(field)[:, self._rim.pixels] = charges[part]
            yield self._rim.seen(self._torus.solve(field))

    def respond(self, charges: np.ndarray) -> np.ndarray:
        """Return charges on the rim, their potential and A of it, without smooth functions: (3, C, rim)."""
        seen = np.concatenate(list(self._responses(charges)))
        answer = np.empty((3, *charges.shape))
        answer[0], answer[1] = charges, seen[:, : charges.shape[1]]
        np.add(charges, self._rim.outflow(seen), out=answer[2])
        answer[1:] -= answer[1] @ self._smooth.images.T @ self._smooth.both
        return answer

    def without_smooth(self, residual: np.ndarray) -> np.ndarray:
        """Return a residual less what smooth functions account for."""
        result: np.ndarray = residual - residual @ self._smooth.values.T @ self._smooth.images
        return result

    def solution(self, charges: np.ndarray) -> np.ndarray:
        """Return u, (C, h, w): the potential with these charges, and the smooth function that its residual asks for.

        It stands where the excess was.
        """
        result, seen, (h, w) = self._excess, [], self._inside.shape
        for part in self._parts:
            potential = self._potential(part, charges)
            seen.append(self._rim.seen(potential))
            result[part] = potential[:, 1 : h + 1, 1 : w + 1]
            del potential
        amounts = self._smooth.amounts(-charges - self._rim.outflow(np.concatenate(seen)))
        for part in self._parts:
            result[part] += self._smooth.function(amounts[part]).astype(result.dtype)
        result *= self._inside
        return result


class _Rim:
    """The pixels of a form that have a neighbour outside, and the edges to these; the form begins at (1, 1)."""

    def __init__(self, inside: np.ndarray, free: Sides, shape: tuple[int, int]):
        (h, w), wide = inside.shape, shape[1]
        place = np.zeros(shape, dtype=bool)
        place[1 : h + 1, 1 : w + 1] = inside
        rim = np.zeros_like(place)
        surrounded = place[:h, 1 : w + 1] & place[2 : h + 2, 1 : w + 1]
        surrounded &= place[1 : h + 1, :w]
        surrounded &= place[1 : h + 1, 2 : w + 2]
        np.greater(inside, surrounded, out=rim[1 : h + 1, 1 : w + 1])
        self.pixels = np.flatnonzero(rim)
        neighbours = self.pixels[:, None] + np.array([-wide, wide, -1, 1])
        leaving = ~place.reshape(-1)[neighbours]
        self._edge, side = leaving.nonzero()
        edges = leaving.sum(axis=1)
        self._first = edges.cumsum() - edges
        self._places = np.concatenate((self.pixels, neighbours[leaving]))
        self.places = np.divmod(self._places, wide)
        self._absent = None
        if any(free):
            y, x = (at[: len(self.pixels)] for at in self.places)
            border = np.stack((y == 1, y == h, x == 1, x == w)) & np.array(free)[:, None]
            self._absent = border[side, self._edge]

    def seen(self, potential: np.ndarray) -> np.ndarray:
        """Return the values of (C, N, M) at the rim's pixels and, behind these, at the other end of each edge."""
        return _flat(potential)[:, self._places].astype(np.float64)

    def outflow(self, seen: np.ndarray) -> np.ndarray:
        """Return what A of such values has more than the Laplacian of the torus; (…, rim)."""
        outer = seen[:, len(self.pixels) :]
        if self._absent is not None:
            outer = outer - seen[:, self._edge] * self._absent
        result: np.ndarray = np.add.reduceat(outer, self._first, axis=1)
        return result


class _Smooth:
    """Functions W that solve Laplace's equation on the lattice, so that A W lies on the rim; W A W is the unit matrix.

    Waves along one axis, of frequency k, that grow or die away along the other by κ, cosh κ = 2 − cos k.
    """

    def __init__(self, rim: _Rim, size: tuple[int, int]):
        waves, growths, at = *_waves(size), size[0] + 2
        one = np.ones((1, waves.shape[1]))
        self._down = np.vstack((one[:, :at], growths[:, :at], waves[:, :at]))
        self._across = np.vstack((one[:, at:], waves[:, at:], growths[:, at:]))
        values = self._down[:, rim.places[0]] * self._across[:, rim.places[1]]
        here, there = values[:, : len(rim.pixels)], rim.outflow(values)
        energy = here @ there.T
        own = energy.diagonal()
        scale = 1 / np.sqrt(np.where(own > NEGLIGIBLE * own.max(), own, np.inf))
        energy = energy * scale * scale[:, None]
        energy.reshape(-1)[:: len(energy) + 1] += NEGLIGIBLE
        self._turn = np.linalg.inv(np.linalg.cholesky(energy)) * scale
        self.both = np.stack((self._turn @ here, self._turn @ there))
        self.values, self.images = self.both

    def amounts(self, residual: np.ndarray) -> np.ndarray:
        """Return of each how much it takes for an image with the same products with them as a residual; (C, 4 F)."""
        result: np.ndarray = residual @ self.values.T @ self._turn
        return result

    def function(self, amounts: np.ndarray) -> np.ndarray:
        """Return them added up, (C, h, w)."""
        down, across = self._down[:, 1:-1], self._across[:, 1:-1]
        result: np.ndarray = (amounts[:, :, None] * down).transpose(0, 2, 1) @ across
        return result


def _waves(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return sine, cosine, sine, cosine and growth, growth, decay, decay for each of F frequencies.

    (4 F, h + 2 + w + 2): along the height, then along the width, one pixel more at either end.
    """
    frequency = np.array(FREQUENCIES) * 2 / max(size)
    place = np.concatenate([np.arange(n + 2) - (n + 1) / 2 for n in size])
    wave, growth = np.outer(frequency, place), np.exp(np.outer(2 * np.arcsinh(np.sin(frequency / 2)), place))
    sine, cosine, decay = np.sin(wave), np.cos(wave), 1 / growth
    return np.vstack((sine, cosine, sine, cosine)), np.vstack((growth, growth, decay, decay))


class _Torus:
    """The Laplacian on N × M pixels, both even, whose first row follows the last and whose first column the last."""

    def __init__(self, shape: tuple[int, int], precision: type):
        self.shape = shape
        rows, columns = (2 - 2 * np.cos(2 * np.pi * np.arange(n) / n) for n in shape)
        # As OpenCV packs spectra of real values: parts of a number side by side, in the first and last column below
        # each other.
        halves = [(np.arange(n) + 1) // 2 for n in shape]
        eigenvalues = rows[:, None] + columns[halves[1]]
        eigenvalues[:, [0, -1]] = rows[halves[0], None] + columns[halves[1][[0, -1]]]
        eigenvalues[0, 0] = np.inf  # the constant is in the null space and is dropped
        eigenvalues *= eigenvalues.size
        self._inverse_eigenvalues = np.divide(1, eigenvalues, out=eigenvalues).astype(precision)

    @property
    def nbytes(self) -> int:
        """Return how much memory it takes, about."""
        return int(self._inverse_eigenvalues.nbytes)

    def solve(self, charges: np.ndarray) -> np.ndarray:
        """Solve −Δu = charges, whose sum is zero; (C, N, M). The mean of u is zero, and it stands where they were."""
        for values in charges:
            spectrum = cv2.dft(values)
            spectrum *= self._inverse_eigenvalues
            cv2.dft(spectrum, dst=values, flags=cv2.DFT_INVERSE)
        return charges


TORI_BYTES = 1 << 24
"""Tori that a process keeps."""
_tori: MutableMapping[tuple[tuple[int, int], type], _Torus] = bounded(TORI_BYTES, lambda torus: torus.nbytes)
_tori_lock = Lock()


def _torus(shape: tuple[int, int], precision: type) -> _Torus:
    key = (shape, precision)
    with _tori_lock:
        if key not in _tori:
            _tori[key] = _Torus(shape, precision)
        return _tori[key]


@cache
def _roomy(n: int) -> int:
    """Return the next size from n on with a fast transform: 1, 3, 5 or 9 times a power of two from 8 on."""
    return min(odd << max(3, (-(-n // odd) - 1).bit_length()) for odd in (1, 3, 5, 9))


def _flat(values: np.ndarray) -> np.ndarray:
    """Return the view (C, N·M) of values (C, N, M)."""
    return values.reshape(len(values), -1)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the inner product per channel, shaped (C, 1)."""
    result: np.ndarray = np.einsum("cp,cp->c", a, b)[:, None]
    return result
