"""Limits on errors that a product sets, and the threshold that keeps them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from anomgen.config.text import NUMBER
from anomgen.errors import AnomgenError, UsageError
from anomgen.score.metrics import Curve

MISSES, ALARMS = ("fn", "fnr"), ("fp", "fpr")
_WRITTEN = re.compile(rf"\s*(fn|fnr|fp|fpr)\s*=\s*({NUMBER})\s*")
_HOW = "write fn=0 or fp=3 (so many images), fnr=0.05 or fpr=0.02 (such a share of them)"


class Unreachable(AnomgenError):
    """No threshold keeps all limits; the message says what each of them costs."""


class Bound(NamedTuple):
    """The most errors of a kind: missed anomalies (fn, fnr) or false alarms (fp, fpr), a number or a share."""

    kind: Literal["fn", "fnr", "fp", "fpr"]
    most: float

    @classmethod
    def parse(cls, text: str, option: str = "--limit") -> Bound:
        """Return what ``fn=0`` or ``fpr=0.02`` means. Raises UsageError, which names the option."""
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise UsageError(f"{option} {text}: {_HOW}")
        kind, number = match[1], float(match[2])
        if kind in ("fnr", "fpr") and number > 1:
            raise UsageError(f"{option} {text}: a share lies between 0 and 1; {_HOW}")
        if kind in ("fn", "fp") and not number.is_integer():
            raise UsageError(f"{option} {text}: a number of images is whole; {_HOW}")
        return cls(kind, number)  # type: ignore[arg-type]

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.kind}={self.most:.15g}"

    def kept(self, curve: Curve) -> np.ndarray:
        """Return bool (T,): which of a curve's thresholds keep it."""
        errors = curve.anomalous - curve.hits if self.kind in MISSES else curve.false_alarms
        of = curve.anomalous if self.kind == "fnr" else curve.normal if self.kind == "fpr" else 1
        result: np.ndarray = errors / max(of, 1) <= self.most
        return result


def bounds_of(texts: Sequence[str], option: str = "--limit") -> tuple[Bound, ...]:
    """Return the limits of several texts. Raises UsageError for two of one kind of error."""
    found = tuple(Bound.parse(text, option) for text in texts)
    for kinds in (MISSES, ALARMS):
        same = [bound for bound in found if bound.kind in kinds]
        if len(same) > 1:
            raise UsageError(f"{option} {same[1]}: {same[0]} limits the same errors; give one of the two")
    return found


def is_for_misses(bound: Bound) -> bool:
    """Return whether a limit is one on missed anomalies."""
    return bound.kind in MISSES


def rule_text(bounds: Sequence[Bound]) -> str:
    """Return how a threshold is chosen, in a few words."""
    return " and ".join(map(str, bounds)) if bounds else "best F1"


def bounds_of_rule(text: str) -> tuple[Bound, ...]:
    """Return the limits that `rule_text` tells. Raises UsageError for another text."""
    return () if text == rule_text(()) else bounds_of(text.split(" and "), "rule")


def choose(curve: Curve, bounds: Sequence[Bound]) -> float:
    """Return the threshold that keeps the limits.

    None given: the best F1. A limit on misses alone: the highest threshold that keeps it, so the fewest false alarms. A
    limit on false alarms alone: the lowest, so the fewest misses. Both: the best F1 among those that keep both. Where
    nothing may be flagged, or need be, it is the next number above all scores: always finite.

    Raises Unreachable when none keeps both, and UsageError when the curve lacks the images that a limit counts.
    """
    misses = [bound for bound in bounds if bound.kind in MISSES]
    alarms = [bound for bound in bounds if bound.kind in ALARMS]
    if (misses or not bounds) and not curve.anomalous:
        raise UsageError(f"{rule_text(bounds)}: there is no anomalous image to choose the threshold on; give fpr=SHARE")
    if (alarms or not bounds) and not curve.normal:
        raise UsageError(f"{rule_text(bounds)}: there is no normal image to choose the threshold on; give fn=NUMBER")
    if alarms and not misses:
        share = alarms[0].most if alarms[0].kind == "fpr" else alarms[0].most / curve.normal
        found = curve.max_fpr_threshold(share)
        assert found is not None
        return found
    if misses and not alarms:
        return _finite(curve, misses[0].kept(curve))
    kept = np.ones(len(curve.thresholds), bool)
    for bound in bounds:
        kept &= bound.kept(curve)
    if not kept.any():
        raise Unreachable(_nearest(curve, misses[0], alarms[0]))
    return _finite(curve, np.where(kept, curve.f1, -1.0))


def _finite(curve: Curve, worth: np.ndarray) -> float:
    """Return the threshold that is worth most, the highest of several; above all scores the number next to them."""
    best = int(worth.argmax())
    return float(curve.thresholds[best] if best else np.nextafter(curve.thresholds[1], np.inf))


def _nearest(curve: Curve, misses: Bound, alarms: Bound) -> str:
    first = int(misses.kept(curve).argmax())
    last = int(np.flatnonzero(alarms.kept(curve))[-1])
    flagged, missed = int(curve.false_alarms[first]), int(curve.anomalous - curve.hits[last])
    return (
        f"no threshold keeps {misses} and {alarms}: with {misses} at least {flagged} of {curve.normal} normal images "
        f"are flagged (fpr={flagged / curve.normal:.3g}), with {alarms} at least {missed} of {curve.anomalous} "
        f"anomalous ones are missed (fnr={missed / curve.anomalous:.3g})"
    )
