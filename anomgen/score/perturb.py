"""Test images under other light, noise, blur and compression, of strengths that are asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from anomgen.config.text import NUMBER
from anomgen.errors import UsageError, near_miss
from anomgen.rng import Stream, rng_for
from anomgen.score.metrics import Curve
from anomgen.score.result import Perturbed
from anomgen.sources.pixels import quantise, to_depth, value_max

RANGES = {
    "brightness": (0.1, 4.0),
    "gradient": (0.0, 1.0),
    "noise": (0.0, 1.0),
    "blur": (0.0, 32.0),
    "jpeg": (1.0, 100.0),
}
"""Kind → the strengths that it can have.

brightness: factor of the values. gradient: how much brighter the right side is than the left, a share of the middle.
noise: deviation of Gaussian noise, a share of the value range. blur: deviation of a Gaussian, in pixels. jpeg: quality.
"""
STEPS = 5
"""Strengths of a range, evenly spaced, both ends included."""
_STRENGTH = rf"[-+]?(?:{NUMBER}|nan|inf)"
_WRITTEN = re.compile(rf"\s*([a-z]+)\s*=\s*({_STRENGTH})\s*(?:\.\.\s*({_STRENGTH}))?\s*")


class Perturbation(NamedTuple):
    """One kind of change, of one strength."""

    kind: str
    strength: float

    def applied(self, images: np.ndarray) -> np.ndarray:
        """Return images (N, H, W, C), uint8 or uint16, changed; the same images give the same values."""
        changed = [_changed(self.kind, self.strength, image, number) for number, image in enumerate(images)]
        return np.stack(changed) if changed else images


def perturbations_of(texts: Sequence[str], option: str = "--perturb") -> tuple[Perturbation, ...]:
    """Return what texts such as ``brightness=0.8..1.2`` or ``jpeg=50`` stand for, each once. Raises UsageError."""
    found: list[Perturbation] = []
    for text in (part for given in texts for part in given.split(",")):
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise UsageError(f"{option} {text}: write KIND=LOW..HIGH or KIND=STRENGTH, such as brightness=0.8..1.2")
        kind, low = match[1], float(match[2])
        if kind not in RANGES:
            raise UsageError(f"{option} {text}: unknown kind{near_miss(kind, RANGES)} (known: {', '.join(RANGES)})")
        high = low if match[3] is None else float(match[3])
        least, most = RANGES[kind]
        if low > high:
            raise UsageError(f"{option} {text}: the range is empty, {low:g} is above {high:g}")
        if not (least <= low and high <= most):
            raise UsageError(f"{option} {text}: {kind} is a strength from {least:g} to {most:g}")
        if kind == "jpeg" and not (low.is_integer() and high.is_integer()):
            raise UsageError(f"{option} {text}: jpeg is a quality in whole numbers")
        strengths = np.linspace(low, high, 1 if low == high else STEPS)
        found += [Perturbation(kind, round(float(s)) if kind == "jpeg" else round(float(s), 6)) for s in strengths]
    return tuple(dict.fromkeys(found))


def judged(perturbation: Perturbation, labels: np.ndarray, scores: np.ndarray, threshold: float | None) -> Perturbed:
    """Return what a threshold reaches on perturbed images of these labels (N,) and scores (N,)."""
    curve = Curve.of(labels, scores)
    rates = None if threshold is None else curve.rates(threshold)
    both = bool(curve.anomalous and curve.normal)
    return Perturbed(
        kind=perturbation.kind,
        strength=float(perturbation.strength),
        fpr=None if rates is None else rates.fpr,
        fnr=None if rates is None else rates.fnr,
        f1=None if threshold is None else curve.f1_at(threshold),
        best_f1=float(curve.f1_max) if both else None,
        image_auroc=float(curve.auroc) if both else None,
    )


def _changed(kind: str, strength: float, image: np.ndarray, number: int) -> np.ndarray:
    if kind == "jpeg":
        return _compressed(image, int(strength))
    values: np.ndarray = image.astype(np.float64)
    if kind == "brightness":
        values *= strength
    elif kind == "gradient":
        values *= np.linspace(1 - strength / 2, 1 + strength / 2, image.shape[1])[:, None]
    elif kind == "noise":
        noise = rng_for(0, Stream.PERTURBATION, number).normal(size=image.shape)
        values += strength * value_max(image.dtype) * noise
    elif strength:
        values = cv2.GaussianBlur(values, (0, 0), strength, borderType=cv2.BORDER_REFLECT).reshape(image.shape)
    return quantise(values, image.dtype)


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """Return an image after JPEG, which has 8 bits."""
    shallow = to_depth(image, np.uint8)
    grey = shallow.shape[2] == 1
    stored = cv2.imencode(".jpg", shallow if grey else shallow[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    found: np.ndarray | None = cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    assert found is not None
    pixels = found[..., None] if grey else np.ascontiguousarray(found[..., ::-1])
    return to_depth(pixels, image.dtype)
