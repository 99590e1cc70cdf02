"""What the report says first: what to use, whether anything beats using no anomalies, and how sure that is."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from anomgen.score.report.blocks import Block, Details, Table, Text
from anomgen.score.report.board import BoardTable, Difference, Line
from anomgen.score.report.summary import (
    BASES,
    RECIPE,
    SPARE,
    Run,
    best_f1,
    digits_of,
    distinct,
    ends,
    grouped,
    interval,
    number,
)

FEW_SEEDS = (
    "A first look: with fewer than three seeds, how much another training would change is hardly in the intervals."
)
INDIFFERENT = (
    "trained on normal images only, so its maps are the same for every recipe and say nothing about which is better. "
    "It is left out of the ranking. The recipe decides its threshold alone: see Thresholds."
)
ALL_INDIFFERENT = (
    "trained on normal images only, so the maps are the same for every recipe. A recipe decides nothing but the "
    "threshold, and the board is about that"
)
PARTIAL = "not done yet (left out by the budget, another part, or interrupted): the board is partial."
IDLE = (
    "Nothing to choose by: no detector has learned anything, whatever it was trained on. What follows is chance; train "
    "longer (--steps), on larger images (--size), or with other detectors (--detectors)."
)
GUESSING = "anomalous images or pixels from guessing (AUROC below 0.55, or an interval that holds 0.5)."
SIMPLER = {SPARE: "without anomalies", "boxes": "flat rectangles"}
"""What a recipe has to beat before it is worth anything."""
MIXED = ("anomgen", "torch", "timm")
"""What changes figures where its version differs."""


def headline(run: Run) -> Iterator[Block]:
    """Say what to use, by how much it is better, and whether that is clear."""
    first, *rest = _best(run)
    yield first
    yield from _idle(run)
    yield from _left_out(run)
    yield from _unfinished(run)
    yield from rest
    for name, found in _made_with(run).items():
        yield Text(f"The rows were made with several versions of {name} ({', '.join(found)}): that, too, may differ.")


def findings(run: Run) -> str:
    """Return the report's first sentence."""
    if run.by_threshold:
        return f"No recipe is the best by its maps. {', '.join(run.detectors)}: {ALL_INDIFFERENT}."
    if run.best is None:
        return f"No recipe has a figure: {_why_nothing(run)}."
    return IDLE if run.is_idle else _to_use(run, run.best)


def _to_use(run: Run, best: Line) -> str:
    """Return what to use: a recipe, a recipe with a certain detector, or no anomalies at all."""
    recipes = [name for name in run.entries if run.kind(name) == RECIPE]
    figure = f"{run.label} {interval(best)}, over {_scope(run)}"
    use = recommended(run)
    if use is None:
        return _nothing_helps(run, best, figure)
    detector, line = use
    if detector is None:
        among = "" if SPARE in best.against else _among(recipes)
        untried = "" if SPARE in best.against else "; whether it beats using no anomalies was not tried"
        return f"Use {best.entry}{among}: {figure}, clearly more than {_less(best, run.board.overall)}{untried}."
    none = next((each for each in run.lines if run.kind(each.entry) == SPARE), None)
    means = f"{best.entry} has {number(best.mean)}" + (f", {none.entry} {number(none.mean)}" if none else "")
    mean = f"Averaged over the detectors, no recipe clearly gains: {means}."
    more = f"clearly more than {_less(line, run.board.by_detector[detector])}"
    return f"Use {line.entry} with {detector}: {run.label} {interval(line)}, {more}. {mean}"


def recommended(run: Run) -> tuple[str | None, Line] | None:
    """Return the line of the recipe to use, behind the detector to use it with, None for all; None if none gains."""
    if run.best is None or run.is_idle:
        return None
    return (None, run.best) if gains(run.best) else _best_pair(run)


def _among(recipes: Collection[str]) -> str:
    return f", the best of {len(recipes)} recipes" if len(recipes) > 1 else ", the only recipe tried"


def _nothing_helps(run: Run, best: Line, figure: str) -> str:
    """Return that no recipe is shown to help, and against what."""
    short = [name for name in SIMPLER if name in best.against and not is_better(best.against[name])]
    if not short:
        return (
            f"Nothing shows that a recipe helps: neither no anomalies nor flat rectangles (boxes) have a figure to "
            f"hold it against. The best, {best.entry}, has {figure}."
        )
    pair = best.against[short[0]]
    than = "using no anomalies" if short[0] == SPARE else "flat rectangles"
    beats = "No recipe beats" if pair.clear else "No recipe clearly beats"
    least = ", clearly less" if pair.clear else ""
    more = f", though clearly more than {_less(best, run.board.overall)}" if _less(best, run.board.overall) else ""
    named = _named(pair.b, run.board.overall)
    use = " Use a detector without anomalies, which needs good images alone." if short[0] == SPARE else ""
    return f"{beats} {than} ({named}): the best, {best.entry}, has {figure}{least}{more}.{use}"


def is_better(pair: Difference) -> bool:
    """Return whether the first of two entries is clearly above the other."""
    return pair.clear and pair.difference > 0


def gains(line: Line) -> bool:
    """Return whether a line is clearly above no anomalies and flat rectangles, as far as they were tried."""
    tried = [line.against[name] for name in SIMPLER if name in line.against]
    return bool(tried) and all(map(is_better, tried))


def _less(line: Line, table: BoardTable) -> str:
    """Return in words what simpler things a line is clearly above in a table; empty if there is none."""
    found = [(name, line.against[name]) for name in SIMPLER if name in line.against]
    words = [f"{SIMPLER[name]} ({_named(pair.b, table)})" for name, pair in found if is_better(pair)]
    return " and than ".join(words)


def _named(entry: str, table: BoardTable) -> str:
    """Return an entry with its mean in a table."""
    line = table.line(entry)
    return f"{entry}: {number(line.mean if line else None)}"


def _best_pair(run: Run) -> tuple[str, Line] | None:
    """Return the detector and the recipe with the highest mean that clearly gain, on all data."""
    if len(run.ranked) < 2:
        return None
    found = [
        (detector, line)
        for detector, table in run.board.by_detector.items()
        for line in table.lines
        if table.columns == len(run.board.data) and run.kind(line.entry) == RECIPE and line.mean is not None
        if SPARE in line.against and gains(line)
    ]
    return max(found, key=lambda pair: pair[1].mean or 0.0, default=None)


def _best(run: Run) -> Iterator[Block]:
    yield Text(findings(run), strong=True)
    if run.by_threshold:
        yield from _best_by_threshold(run)
    elif run.best is None:
        return
    else:
        yield from _best_by_maps(run, run.best)
    if len({row.seed for row in run.done}) < 3:
        yield Text(FEW_SEEDS)
    if run.indifferent and not run.by_threshold:
        yield Text(f"{', '.join(run.indifferent)}: {INDIFFERENT}")
    if run.failed:
        yield Text(f"{len(run.failed)} of {len(run.rows)} trainings failed; they are listed below, with why.")


def _why_nothing(run: Run) -> str:
    """Return why there is no best recipe."""
    reasons = [f"{len(run.failed)} of {len(run.rows)} trainings failed"] if run.failed else []
    if run.missing:
        reasons.append("trainings are still to be done")
    if not run.rows and not run.missing:
        reasons.append("the run has no rows")
    elif not reasons:
        recipes = any(run.kind(row.entry) == RECIPE for row in run.rows)
        reasons.append("no metric that ranks is defined" if recipes else "only baselines are trained")
    return ", and ".join(reasons)


def _best_by_maps(run: Run, best: Line) -> Iterator[Block]:
    name = best.entry
    alike = [_other(pair, name) for pair in run.board.pairs if name in (pair.a, pair.b) and not pair.clear]
    alike = [other for other in run.entries if other in alike and run.kind(other) == RECIPE]
    if alike:
        more = f" and {len(alike) - 5} more" if len(alike) > 5 else ""
        yield Text(f"Not clearly apart from {name}: {', '.join(alike[:5])}{more}.")
    for baseline, meaning in BASES.items():
        if baseline in best.against:
            yield Text(_gap_sentence(name, meaning, best.against[baseline]))


def _best_by_threshold(run: Run) -> Iterator[Block]:
    known = [line for line in run.lines if line.mean is not None]
    reached = [f"{line.entry} {number(line.mean)} of {number(best_f1(run, line.entry))}" for line in known]
    if reached:
        more = f" and {len(reached) - 6} more below" if len(reached) > 6 else ""
        yield Text(
            "Image F1 on the test images at the threshold that was chosen with each one's synthetic anomalies, of the "
            f"best F1 that any threshold reaches: {', '.join(reached[:6])}{more}; over {_scope(run)}."
        )


def _idle(run: Run) -> Iterator[Block]:
    """Say which detectors learned nothing, where, and from what."""
    if run.is_idle or not run.idle:
        return
    if run.idle_columns:
        places = grouped(run.idle_columns, lambda pair: pair[1])
        where = [f"{detector} on {', '.join(data for data, _ in pairs)}" for detector, pairs in places.items()]
        yield Text(
            f"Learned nothing, and left out of the means: {'; '.join(where)}. From no entry does it tell {GUESSING}"
        )
    alone = [place for place in run.idle if (place[0], place[2]) not in run.idle_columns]
    if alone:
        lines = grouped(alone, lambda place: (place[2], place[0]))
        where = [
            f"{detector} on {data} from {', '.join(entry for _, entry, _ in places)}"
            for (detector, data), places in lines.items()
        ]
        yield Text(
            f"Learned nothing, and left out of means, ranks and differences: {'; '.join(where)}. It does not tell "
            f"{GUESSING}"
        )


def _unfinished(run: Run) -> Iterator[Block]:
    """Yield how much of the request has no row yet, and what."""
    if run.missing:
        count = run.missing.cells
        yield Text(f"{count} of {run.missing.of} trainings {'is' if count == 1 else 'are'} {PARTIAL}")
        groups = run.missing.groups
        lines = [[", ".join(entries), detector, data, str(seed)] for data, detector, seed, entries in groups]
        if lines:
            yield Details("Trainings that are not done yet", [Table(["entries", "detector", "data", "seed"], lines)])


def _made_with(run: Run) -> dict[str, list[str]]:
    """Return what the rows were made with in several versions."""
    found = {name: {row.versions.get(name) for row in run.rows} - {None} for name in MIXED}
    return {name: sorted(map(str, versions)) for name, versions in found.items() if len(versions) > 1}


def _other(pair: Difference, name: str) -> str:
    return pair.b if pair.a == name else pair.a


def _gap_sentence(best: str, meaning: str, pair: Difference) -> str:
    size = f"{abs(pair.difference):.{digits_of(pair)}f}"
    side = f"{size} {'above' if pair.difference > 0 else 'below'}" if float(size) else "level with"
    lead = f"{best} is {side} {meaning}"
    if pair.low is None:
        return f"{lead}; one seed and no bootstrap give no interval."
    clear = "a clear difference" if pair.clear else "not a clear difference, since that holds 0"
    return f"{lead}, 95 % interval of the difference {ends(pair)}: {clear}."


def _scope(run: Run) -> str:
    """Return what the means of the whole board are over, in words."""
    data, detectors = ({column[k] for column in run.board.overall.over} for k in (0, 1))
    seeds = len({row.seed for row in run.done})
    parts = [_some(data, run.board.data, "data set"), _some(detectors, run.board.detectors, "detector")]
    return ", ".join([*parts, f"{seeds} seed{'s' if seeds != 1 else ''}"])


def _some(chosen: Collection[str], every: Collection[str], name: str) -> str:
    share = f" of {len(every)}" if len(chosen) < len(every) else ""
    return f"{len(chosen)}{share} {name}{'s' if len(every) != 1 else ''}"


def _left_out(run: Run) -> Iterator[Block]:
    """Say which pairs of data set and detector the means of the whole board leave out."""
    every = [(data, detector) for data in run.board.data for detector in run.ranked]
    gone = [pair for pair in every if pair not in run.board.overall.over and pair not in run.idle_columns]
    if gone:
        pairs = ", ".join(f"{data} with {detector}" for data, detector in distinct(gone))
        yield Text(
            f"The means leave out {pairs}: not every line has a training there that learned something. Each data "
            "set's own board has what is there."
        )
