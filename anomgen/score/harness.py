"""`score`: the whole run, from the request over the rows to the report."""

from __future__ import annotations

import math
import time
import warnings
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from anomgen.config import Part
from anomgen.errors import AnomgenNote, AnomgenWarning, Progress, UsageError, printable, silent
from anomgen.files import refuse_inside
from anomgen.score.cell import is_kept
from anomgen.score.configuration import Configuration, Missing
from anomgen.score.figures import figures_of
from anomgen.score.jobs import run_jobs
from anomgen.score.kept.describe import VERSIONED
from anomgen.score.misses import Missed, write_misses
from anomgen.score.report.board import BoardTable, Line
from anomgen.score.report.findings import findings
from anomgen.score.report.summary import Run
from anomgen.score.request import Request
from anomgen.score.result import Done, Failed, JsonRecord, Result
from anomgen.score.rows import SET_ASIDE, RowFile, opened, require_run_folder
from anomgen.score.schedule import Schedule, refreshed, scheduled, within
from anomgen.versions import cores, installed


class Summary(JsonRecord):
    """What a run came to, in cells of its request and in seconds. files: of the report."""

    cells: int
    done: int
    failed: int
    missing: int
    left_out: int
    kept: int
    """Detectors that are kept."""
    seconds: float
    board: list[Line]
    files: list[str]


@dataclass(frozen=True)
class Outcome:
    """What a run ended with. lines: what to use, and the board, for a terminal. misses: where they were asked for.

    report: the page that says everything.
    """

    schedule: Schedule
    summary: Summary
    lines: list[str]
    report: Path
    misses: Sequence[Missed] = ()

    def show(self) -> None:
        """Open the report in the browser."""
        if not self.report.is_file():
            raise UsageError(f"{self.report}: no such file; the same score again writes it anew")
        webbrowser.open(self.report.resolve().as_uri())

    def _repr_html_(self) -> str:
        """Return what a notebook shows: what to use, the board, a bar for each mean, and where the report is."""
        rows = "".join(map(_table_row, self.summary.board))
        board = f"<table><tr><th></th><th>recipe</th><th colspan=2>mean</th><th>interval</th></tr>{rows}</table>"
        where = f"<p>The report, which <code>.show()</code> opens: <code>{escape(str(self.report))}</code></p>"
        return printable(f"<p><strong>{escape(self.lines[0])}</strong></p>{board if rows else ''}{where}")


def _table_row(line: Line) -> str:
    """Return a line of the board as a row of a table."""
    rank, mean, interval = _figures(line)
    width = 0 if line.mean is None else round(120 * line.mean)
    bar = f'<div style="width:{width}px;height:.8em;background:#1c64d9"></div>'
    cells = (rank, escape(line.entry), mean, bar, interval)
    return f"<tr><td>{'</td><td>'.join(cells)}</td></tr>"


def default_workers() -> int:
    """Return how many trainings run at once: one a processor core, or one where a GPU does the work."""
    from anomgen.models.device import has_accelerator

    return 1 if has_accelerator() else cores()


def schedule_only(
    request: Request,
    out: Path,
    *,
    part: Part = Part(),
    retry: bool = False,
    budget: float | None = None,
    workers: int | None = None,
) -> Schedule:
    """Return what `run` would train; reads the rows that are there, writes nothing."""
    refuse_inside(out, *request.data)
    require_run_folder(out)
    schedule = scheduled(request, out, RowFile(out), part=part, retry=retry)
    return schedule if budget is None else within(schedule, budget, workers or default_workers())


def run(
    request: Request,
    out: Path,
    *,
    workers: int | None = None,
    part: Part = Part(),
    retry: bool = False,
    budget: float | None = None,
    figures: bool = True,
    misses: bool = False,
    progress: Progress = silent,
) -> Outcome:
    """Train what is not in the rows yet, append it, and write the report of all cells of the request.

    workers: trainings at once, each with one thread; by default `default_workers`. budget: seconds, of which the
    schedule takes what fits. part: for several machines. misses: list the anomalies
    that are not found. What else is to be known, such as rows that are set aside, is told by warnings of anomgen's.
    Raises UsageError and SourceError before anything is trained.
    """
    from anomgen.score.report.write import HTML, sorted_rows, write_run

    started, number = time.monotonic(), workers or default_workers()
    # All refusals come before the folder is made.
    before = set(RowFile(out).rows)
    schedule = schedule_only(request, out, part=part, retry=retry, budget=budget, workers=number)
    with opened(out) as rows:
        schedule = refreshed(schedule, rows, before)
        _set_aside(rows)
        for note in schedule.notes:
            warnings.warn(note, AnomgenNote, stacklevel=3)
        configuration = Configuration.of(
            request, schedule.bench.detectors, schedule.bench.size, number, installed(VERSIONED)
        )
        configuration.write(out)
        deadline = math.inf if budget is None else started + budget
        not_begun = run_jobs(schedule, rows, number, progress, deadline)
        schedule = replace(schedule, left_out=[*not_begun, *schedule.left_out])
        progress(0, 1, "writing the report")
        own = [rows.rows[cell.key] for cell in schedule.cells if cell.key in rows.rows]
        judged = Run(sorted_rows(own), configuration, _missing(schedule, rows))
        named = {row.entry for row in own}
        measured, strips = figures_of(schedule, out, named, progress) if figures and own else (None, None)
        report = write_run(judged, out, measured, strips, progress)
        missed = write_misses(schedule, own, out) if misses else ()
    files = [path.relative_to(out).as_posix() for path in report]
    board = judged.board.overall if own else None
    lines = [printable(line) for line in (findings(judged), *_lines(board))]
    summary = _summary(schedule, own, board, files, time.monotonic() - started)
    return Outcome(schedule, summary, lines, out / HTML, missed)


def _missing(schedule: Schedule, rows: RowFile) -> Missing | None:
    """Return which cells have no row yet: left out by the budget, another part's, or not begun."""
    groups: dict[tuple[str, str, int], list[str]] = {}
    for cell in schedule.cells:
        if cell.key not in rows.rows:
            groups.setdefault((cell.data, cell.detector, cell.seed), []).append(cell.entry.name)
    listed = [(*group, entries) for group, entries in groups.items()]
    return Missing(cells=sum(map(len, groups.values())), of=len(schedule.cells), groups=listed) if groups else None


def _set_aside(rows: RowFile) -> None:
    for number, _, fault in rows.bad:
        text = f"{rows.path.name}, line {number} is no row ({fault}); it is moved to {SET_ASIDE}"
        warnings.warn(text, AnomgenWarning, stacklevel=4)
    rows.mend()


# --- what is told ---------------------------------------------------------------------------------------------------


def _summary(
    schedule: Schedule, rows: Sequence[Result], board: BoardTable | None, files: list[str], seconds: float
) -> Summary:
    return Summary(
        cells=len(schedule.cells),
        done=sum(isinstance(row, Done) for row in rows),
        failed=sum(isinstance(row, Failed) for row in rows),
        missing=len(schedule.cells) - len(rows),
        left_out=sum(len(job.cells) for job in schedule.left_out),
        kept=sum(is_kept(schedule.bench.out, cell) for cell in schedule.cells) if schedule.request.keep else 0,
        seconds=round(seconds, 1),
        board=board.lines if board else [],
        files=files,
    )


def _figures(line: Line) -> tuple[str, str, str]:
    """Return rank, mean and interval of a line of the board in words."""
    mean = f"{line.mean:.3f}" if line.mean is not None else _without(line)
    interval = "" if line.low is None or line.high is None else f"[{line.low:.3f}, {line.high:.3f}]"
    return "" if line.rank is None else str(line.rank), mean, interval


def _without(line: Line) -> str:
    return "learned nothing" if line.idle else "failed" if line.failed else "no figure"


def _lines(board: BoardTable | None) -> list[str]:
    """Return the board as text, best first."""
    if board is None:
        return []
    width = max(len(line.entry) for line in board.lines)
    texts = []
    for line in board.lines:
        rank, mean, interval = _figures(line)
        texts.append(f"{rank:>3}  {line.entry:<{width}}  {mean}{interval and f'  {interval}'}")
    if board.columns < board.of:
        texts.append(
            f"The means are over {board.columns} of {board.of} pairs of data set and detector, those that every "
            "line has; the report has each data set alone"
        )
    return texts
