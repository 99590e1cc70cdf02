"""The report's charts: dots with intervals, achieved against best, sweeps; the same values give the same bytes.

Every chart is a `matplotlib.figure.Figure` without any global state; `svg` and `write_png` turn it into a picture. In
the SVG, text and axes take the page's text colour, so that it reads on dark and light pages.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anomgen.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1d2125"
PALETTE = ("#2b83c6", "#d9641c", "#1a9e78", "#c46fa0", "#c8940a", "#7467c9", "#6b7f2a", "#5aa9c9")
"""After Okabe and Ito: apart for colour-blind readers too, and dark enough for white paper."""
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")
GREY = "#8a8f98"
LONGEST = 26
"""Characters of a name that an axis or a legend shows."""
FAINT = 0.35
CHANCE: dict[str, Any] = {"color": GREY, "linestyle": (0, (4, 3)), "linewidth": 1.0, "zorder": 1}


@dataclass(frozen=True)
class Paper:
    """What a chart is drawn on: inches of width, panels a line at most, characters of a legend's line."""

    width: float
    columns: int
    legend: int


WIDE = Paper(9.0, 3, 120)
"""Text of 9 points is then legible where the picture is shown 800 pixels wide …"""
NARROW = Paper(4.1, 1, 44)
"""… and here where it is shown 350 wide."""

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Dot:
    """One value of a chart: its interval, or (value, value) where there is none, and the single seeds' values.

    idle: of a detector that learned nothing, drawn faintly.
    """

    value: float
    low: float
    high: float
    seeds: tuple[float, ...] = ()
    idle: bool = False


Dots = Mapping[tuple[str, str], Dot]
"""(entry, detector) → its dot."""


Levels = Mapping[str, float | None]
"""Title of a panel → what guessing reaches there, None where it is not known."""


def interval_chart(
    panels: Mapping[str, Dots],
    entries: Sequence[str],
    detectors: Sequence[str],
    label: str,
    chance: Levels,
    paper: Paper = WIDE,
) -> Figure:
    """Return a chart of a metric: a line an entry, a colour a detector, a panel a data set.

    panels: title → dots. entries: from top to bottom. label: what the horizontal axis says. Single seeds are short
    ticks, chance a broken line. Detectors that are not among `detectors` (such as the one of a baseline) are grey.
    """
    with _style():
        figure, grid = _panels(panels, entries, len(detectors), label, paper)
        for axes, (title, dots) in zip(grid, panels.items(), strict=True):
            _guessing(axes.axvline, chance.get(title))
            for (entry, detector), dot in dots.items():
                y = _place(entry, detector, entries, detectors)
                colour, marker = _looks(detector, detectors)
                ink: dict[str, Any] = {"color": colour, "alpha": FAINT if dot.idle else 1.0}
                axes.plot([dot.low, dot.high], [y, y], linewidth=1.6, solid_capstyle="butt", zorder=2, **ink)
                axes.plot(dot.seeds, [y] * len(dot.seeds), "|", color=colour, alpha=0.55, markersize=7, zorder=1)
                axes.plot([dot.value], [y], marker, markersize=5, zorder=3, **ink)
            _entry_axis(axes, entries)
        others = any(d not in detectors for dots in panels.values() for _, d in dots)
        _legend(figure, detectors, others, chance, paper)
    return figure


def gap_chart(
    panels: Mapping[str, Mapping[tuple[str, str], tuple[float, float]]],
    entries: Sequence[str],
    detectors: Sequence[str],
    label: str,
    chance: Levels,
    paper: Paper = WIDE,
) -> Figure:
    """Return a chart of what was achieved (filled) and what would have been possible (hollow), joined by a line.

    panels: title → (entry, detector) → (achieved, best). The rest as in `interval_chart`.
    """
    with _style():
        figure, grid = _panels(panels, entries, len(detectors), label, paper)
        for axes, (title, gaps) in zip(grid, panels.items(), strict=True):
            _guessing(axes.axvline, chance.get(title))
            for (entry, detector), (achieved, best) in gaps.items():
                y = _place(entry, detector, entries, detectors)
                colour, marker = _looks(detector, detectors)
                axes.plot([achieved, best], [y, y], color=colour, linewidth=1.2, zorder=2)
                axes.plot([best], [y], marker, color=colour, markersize=5, fillstyle="none", zorder=3)
                axes.plot([achieved], [y], marker, color=colour, markersize=5, zorder=3)
            _entry_axis(axes, entries)
        others = any(d not in detectors for gaps in panels.values() for _, d in gaps)
        _legend(figure, detectors, others, chance, paper)
    return figure


def sweep_chart(
    panels: Mapping[str, Mapping[str, Mapping[Any, Dot]]],
    values: Sequence[Any],
    label: str,
    metric: str,
    chance: Levels,
    paper: Paper = WIDE,
) -> Figure:
    """Return a chart of a metric against the swept value: a line a recipe, a panel a data set and detector.

    panels: title → recipe → value → dot. values: all values, in order. Numbers are placed by their size, on a
    logarithmic axis where they span a factor of 20 or more; other values are placed evenly, in the order given.
    """
    recipes = list(dict.fromkeys(recipe for lines in panels.values() for recipe in lines))
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    places = {_key(value): (float(value) if numbers else place) for place, value in enumerate(values)}
    with _style():
        figure, grid = _grid(len(panels), height=2.5, share_y=True, paper=paper)
        for axes, (title, lines) in zip(grid, panels.items(), strict=True):
            _guessing(axes.axhline, chance.get(title))
            axes.set_title(_short(title, 40), loc="left")
            for recipe, dots in lines.items():
                colour, marker = _looks(recipe, recipes)
                line = sorted((places[_key(value)], dot.value, dot.low, dot.high) for value, dot in dots.items())
                x, y, low, high = np.array(line).T
                axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
                axes.plot(x, y, marker=marker, color=colour, markersize=5, linewidth=1.3)
            _value_axis(axes, values, places, numbers)
            axes.set_xlabel(_short(label, 40))
            axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.7)
        for axes in grid[:: _columns(len(panels), paper)]:
            axes.set_ylabel(metric)
        _legend(figure, recipes, False, chance, paper)
    return figure


@dataclass(frozen=True)
class F1Curve:
    """F1 against the threshold. points: (threshold, F1). chosen, f1: of the threshold in use, None without one.

    chance: what flagging everything gives, None where it is not known.
    """

    points: Sequence[tuple[float, float]]
    chosen: float | None
    f1: float | None
    chance: float | None


def curve_chart(panels: Mapping[str, F1Curve], label: str, metric: str, paper: Paper = WIDE) -> Figure:
    """Return a chart of F1 against the threshold, a panel a curve, with the chosen (filled) and the best (hollow)."""
    with _style():
        figure, grid = _grid(len(panels), height=2.2, share_y=True, paper=paper)
        for axes, (title, curve) in zip(grid, panels.items(), strict=True):
            _guessing(axes.axhline, curve.chance)
            axes.set_title(_short(title, 40), loc="left")
            x, y = np.array(sorted(curve.points)).reshape(-1, 2).T
            axes.plot(x, y, color=PALETTE[0], linewidth=1.3)
            if len(y):
                axes.plot(x[[y.argmax()]], [y.max()], "o", color=PALETTE[1], markersize=6, fillstyle="none")
            if curve.chosen is not None and curve.f1 is not None:
                axes.plot([curve.chosen], [curve.f1], "o", color=PALETTE[1], markersize=5)
            axes.set_ylim(0, 1.02)
            axes.set_xlabel(label)
            axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.7)
        for axes in grid[:: _columns(len(panels), paper)]:
            axes.set_ylabel(metric)
        _legend(figure, (), False, {title: curve.chance for title, curve in panels.items()}, paper)
    return figure


# --- pictures -------------------------------------------------------------------------------------------------------


def svg(figure: Figure, description: str) -> str:
    """Return a figure as an SVG element for an HTML page, in the page's text colour; description: for screen readers.

    Text is text in the page's font: it can be found, copied and read out.
    """
    import re
    from html import escape

    buffer = io.StringIO()
    with _style(), _quiet():
        figure.savefig(buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor").strip()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)  # comments repeat the labels' text, unescaped
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # nothing refers to groups, and a page has several charts
    text = text.replace(f"font-family: '{STYLE['font.family']}'", "font-family: system-ui, sans-serif")
    label = escape(description, quote=True)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def write_png(figure: Figure, path: Path, dpi: int = 160) -> None:
    """Write a figure as PNG on white paper. Raises AnomgenError when it cannot be written."""
    with replacing(path) as file, _style(), _quiet():
        figure.savefig(file, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib

    settings: Any = {**STYLE, "svg.hashsalt": "anomgen"}
    with matplotlib.rc_context(settings):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Be silent about names in a script that the font lacks: they show as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


# --- parts ----------------------------------------------------------------------------------------------------------


def _guessing(line: Callable[..., Any], level: float | None) -> None:
    if level is not None:
        line(level, **CHANCE)


def _panels(
    titles: Mapping[str, Any], names: Sequence[str], detectors: int, label: str, paper: Paper
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel a title, high enough for its lines, and the panels; names: of the lines."""
    entries, most = len(names), max((name.count("\n") + 1 for name in _labels(names)), default=1)
    step = max(0.13 * max(detectors, 1) + 0.12, 0.17 * most + 0.03)
    columns = _columns(len(titles), paper)
    figure, grid = _grid(len(titles), height=0.75 + step * entries, share_y=False, paper=paper)
    for number, (axes, title) in enumerate(zip(grid, titles, strict=True)):
        axes.set_title(_short(title, round(10 * paper.width) // columns), loc="left")
        axes.set_xlabel(label)
        axes.set_ylim(entries - 0.5, -0.5)
        axes.set_yticks(range(entries))
        axes.tick_params(axis="y", length=0, labelleft=number % columns == 0)
        axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.7)
        for line in range(0, entries, 2):
            axes.axhspan(line - 0.5, line + 0.5, color=GREY, alpha=0.10, linewidth=0, zorder=0)
    return figure, grid


def _grid(count: int, height: float, share_y: bool, paper: Paper) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = _columns(count, paper)
    rows = -(-count // columns)
    figure = Figure(figsize=(paper.width, height * rows + 0.35), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share_y).ravel()
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, list(grid[:count])


def _columns(count: int, paper: Paper) -> int:
    return 2 if count == 4 and paper.columns > 1 else min(count, paper.columns)


def _place(entry: str, detector: str, entries: Sequence[str], detectors: Sequence[str]) -> float:
    """Return the height at which a dot is drawn: detectors next to each other within their entry's line."""
    line = entries.index(entry)
    if detector not in detectors or len(detectors) < 2:
        return float(line)
    return line + 0.64 * (detectors.index(detector) / (len(detectors) - 1) - 0.5)


def _looks(name: str, names: Sequence[str]) -> tuple[str, str]:
    if name not in names:
        return GREY, "o"
    number = names.index(name)
    return PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]


def _entry_axis(axes: Axes, entries: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_yticklabels(_labels(entries))
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, -0.02), min(high, 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, min_n_ticks=2))


def _value_axis(axes: Axes, values: Sequence[Any], places: Mapping[str, float], numbers: bool) -> None:
    if numbers and min(values) > 0 and max(values) >= 20 * min(values):
        axes.set_xscale("log")
    if len(values) <= 8 or not numbers:
        labels = _labels([str(value) for value in values], 14)
        turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        long = not numbers and sum(map(len, labels)) > 24
        axes.set_xticks([places[_key(value)] for value in values], labels, **(turned if long else {}))
        axes.minorticks_off()


def _key(value: Any) -> str:
    return repr(value)


def _legend(figure: Figure, names: Sequence[str], others: bool, chance: Levels, paper: Paper) -> None:
    from matplotlib.lines import Line2D

    labels = _labels(names)
    lines = [
        Line2D([], [], color=_looks(name, names)[0], marker=_looks(name, names)[1], markersize=5, label=label)
        for name, label in zip(names, labels, strict=True)
    ]
    if others:
        lines.append(Line2D([], [], color=GREY, marker="o", markersize=5, label="no anomalies"))
    if any(level is not None for level in chance.values()):
        style = {key: value for key, value in CHANCE.items() if key != "zorder"}
        lines.append(Line2D([], [], label="chance", **style))
    if lines:
        widest = max((len(line) for label in labels for line in label.splitlines()), default=1)
        columns = max(paper.legend // (widest + 6), 1)
        figure.legend(handles=lines, loc="outside upper left", ncols=min(len(lines), columns, 5))


def _labels(names: Sequence[str], longest: int = LONGEST) -> list[str]:
    """Return names cut in the middle to what a chart has room for, to more or to whole lines where that made two alike.

    The ends of a name are what tells it from others: its recipe, and the values of a sweep.
    """
    for length in (longest, longest * 3 // 2):
        labels = [_cut(name, length) for name in names]
        if len(set(labels)) == len(set(names)):
            return labels
    return [
        textwrap.fill(name, longest) if labels.count(_cut(name, length)) > 1 else _cut(name, longest) for name in names
    ]


def _cut(name: str, longest: int) -> str:
    head = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:head]}…{name[head + 1 - longest :]}"


def _short(name: str, longest: int = LONGEST) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"
