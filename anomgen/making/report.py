"""What `check` reports: the rules that a dataset keeps, which are broken and where, and how its anomalies measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from anomgen.synthesis.sample import TOLERANCE

EXAMPLES = 5
"""How many rows a violation names."""

MAX_INVISIBLE = 0.5
"""Share of a mask that may be unchanged: holes that a method's majority filter closed, never most of it."""

RULES = {
    "record": "recipe.yaml and provenance.json say what they should",
    "card": "the card's metadata say nothing else than the records of licence, source and numbers of rows",
    "preview": "the preview, if there is one, is a regular file of the folder, and no link",
    "file": "every shard can be read",
    "shards": "the shards are all there, as many as the provenance says",
    "count": "the numbers of rows are those of the recipe and the provenance",
    "index": "row k has index k",
    "row": "no value of a row is missing",
    "label": "label, defect type, seed and parameters are consistent",
    "name": "the images of row k are called 00000k.png",
    "image": "every image can be decoded",
    "shape": "image, masks and normal image agree in size, channels and depth, all images in channels and depth",
    "mask values": "a mask holds 0 and 255 only",
    "mask": "an anomalous row has a mask large enough to see (16 pixels at 256×256), a normal row an empty one",
    "soft mask": "a soft mask is zero outside the mask, and present in all normal rows or in none",
    "leak": "outside the mask the image is its normal image, bit for bit",
    "invisible": f"more than {1 - MAX_INVISIBLE:.0%} of a mask changed by more than {TOLERANCE:g} of 255",
    "severity": "the recorded severity is the measured one",
    "detectability": "the recorded detectability is the measured one, by the boundary in the provenance",
    "area": "the recorded area is the measured one",
    "boxes": "the recorded boxes are those of the mask's components",
    "source": "a normal image is the source's image",
    "foreground": "a mask lies on the foreground, as far as its generator promises",
    "normal image": "anomalous rows can be compared with their normal images",
}
"""What is verified, in the order in which it is reported."""

Faults = Iterator[tuple[str, str]]
"""Pairs of a rule and what was found to break it."""


@dataclass
class Violation:
    """A rule that does not hold: how often, and where it was seen first."""

    rule: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Count one more; the first few are kept."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


@dataclass(frozen=True)
class Report:
    """What `check` found. `ok` when no rule is broken."""

    path: str
    rows: int = 0
    normal: int = 0
    anomaly: int = 0
    compared: int = 0
    invisible: float | None = None
    on_foreground: float | None = None
    violations: tuple[Violation, ...] = ()
    statistics: dict[str, Any] | None = None
    note: str = ""
    """Why the normal images were not at hand, where they were not."""

    @classmethod
    def of_damage(cls, path: str, rule: str, what: str) -> Report:
        """Return the report on a dataset that cannot be opened for what breaks a rule."""
        return cls(path, violations=(Violation(rule, 1, [what]),))

    @property
    def ok(self) -> bool:
        """Return whether every rule holds."""
        return not self.violations

    @property
    def not_compared(self) -> int:
        """Return the number of anomalous rows whose normal image was nowhere to be found."""
        return self.anomaly - self.compared

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return {
            "path": self.path,
            "ok": self.ok,
            "rows": {"all": self.rows, "normal": self.normal, "anomaly": self.anomaly},
            "compared": self.compared,
            "not_compared": self.not_compared,
            "invisible_share": self.invisible,
            "on_foreground_share": self.on_foreground,
            "violations": [
                {"rule": v.rule, "must_hold": RULES[v.rule], "count": v.count, "examples": v.examples}
                for v in self.violations
            ],
            "statistics": self.statistics,
            **({"note": self.note} if self.note else {}),
        }

    def render(self) -> str:
        """Return the report as text."""
        summary = "ok" if self.ok else f"{len(self.violations)} of {len(RULES)} rules are broken"
        lines = [
            f"{self.path}: {summary}",
            f"  {self.rows} rows: {self.normal} normal, {self.anomaly} anomalous",
            f"  {self.compared} anomalous rows compared with their normal image, {self.not_compared} not",
        ]
        if self.compared and self.not_compared:
            lines.append("  (their normal images are not in the dataset; give --source to compare them too)")
        if self.invisible is not None:
            lines.append(f"  {self.invisible:.1%} of a mask's pixels did not visibly change, on average")
        if self.on_foreground is not None:
            lines.append(f"  {self.on_foreground:.1%} of a mask lies on the foreground, on average")
        lines += _quantile_lines(self.statistics) + _detectability_lines(self.statistics)
        for violation in self.violations:
            lines.append(f"  BROKEN {violation.rule}: {RULES[violation.rule]}; {violation.count} times")
            lines += [f"    {example}" for example in violation.examples]
            if violation.count > len(violation.examples):
                lines.append(f"    and {violation.count - len(violation.examples)} more")
        lines += [f"note: {self.note}"] if self.note else []
        return "\n".join(lines)


def _quantile_lines(stats: dict[str, Any] | None) -> list[str]:
    if stats is None or not stats["anomaly"]:
        return []
    lines = [f"  {'quantiles':24}{'min':>9}{'5 %':>9}{'25 %':>9}{'50 %':>9}{'75 %':>9}{'95 %':>9}{'max':>9}"]
    parts = {"all": stats["all"], **(stats["by_type"] if len(stats["by_type"]) > 1 else {})}
    for name, part in parts.items():
        for measure in ("area", "severity"):
            if part[measure] is not None:
                values = "".join(f"{100 * value:8.2f}%" for value in part[measure].values())
                lines.append(f"  {f'{measure}, {name}':24}{values}")
    return lines


def _detectability_lines(stats: dict[str, Any] | None) -> list[str]:
    if stats is None or stats["all"]["detectability"] is None:
        return []
    lines = [f"  {'':24}{'10 %':>9}{'50 %':>9}{'90 %':>9}{'below 1':>9}"]
    parts = {"all": stats["all"], **(stats["by_type"] if len(stats["by_type"]) > 1 else {})}
    for name, part in parts.items():
        if part["detectability"] is not None:
            values = "".join(f"{value:9.2f}" for value in part["detectability"].values())
            lines.append(f"  {f'detectability, {name}':24}{values}{part['below']:9.0%}")
    return lines
