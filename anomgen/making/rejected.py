"""Draws that gave no anomaly: counted by reason, and told where a row got none."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from anomgen.errors import AnomgenError
from anomgen.synthesis.sample import Reject

NAMED_IMAGES = 20
"""How many of the images that took no anomaly an error names."""


class NoAnomaly(AnomgenError):
    """No draw of a row gave an anomaly. faint: r of those draws that were less visible than asked for."""

    def __init__(self, text: str, faint: Sequence[float] = ()):
        super().__init__(text)
        self.faint = tuple(faint)


@dataclass(frozen=True)
class Patience:
    """When a row is given up, for who looks and would not wait: after so many draws, or seconds of computing and the
    fewest draws.

    By default it is not.
    """

    draws: float = math.inf
    seconds: float = math.inf
    fewest: int = 10

    def ends(self, draws: int, since: float) -> bool:
        """Return whether it does after so many draws, begun at `since` by `time.thread_time`."""
        return draws >= self.draws or (draws >= self.fewest and time.thread_time() - since > self.seconds)


PATIENT = Patience()


@dataclass
class Rejected:
    """The rejected draws of one row."""

    reasons: Counter[str] = field(default_factory=Counter)
    faint: list[float] = field(default_factory=list)

    def add(self, reject: Reject) -> None:
        """Count one."""
        self.reasons[reject.reason] += 1
        if reject.faint is not None:
            self.faint.append(reject.faint)

    def error(self, index: int, kind: str, advice: str, tried: Sequence[str]) -> NoAnomaly:
        """Return what is raised for a row. tried: the ids of the images, one for each that was drawn on."""
        listed = ", ".join(f"{reason} ({count}×)" for reason, count in self.reasons.most_common())
        names = list(dict.fromkeys(tried))
        images = "1 image" if len(names) == 1 else f"{len(names)} images"
        more = f" and {len(names) - NAMED_IMAGES} more" if len(names) > NAMED_IMAGES else ""
        return NoAnomaly(
            f"sample {index}: {self.reasons.total()} draws of {kind!r} on {images} gave no anomaly: "
            f"{listed}. {advice}. The images: {', '.join(names[:NAMED_IMAGES])}{more}",
            self.faint,
        )
