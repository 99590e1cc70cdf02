"""The report of a run: report.html, report.md with its charts, and results.json, all from the rows alone.

The same rows give the same bytes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anomgen.cards import templates
from anomgen.errors import AnomgenError, Progress, printable, silent
from anomgen.files import MAX_RECORD, remove, replacing
from anomgen.places import read_within
from anomgen.score.configuration import Configuration, Missing
from anomgen.score.report import charts
from anomgen.score.report.appendix import versions
from anomgen.score.report.blocks import Block, Chart, Details, Section
from anomgen.score.report.evidence import leaderboard, metric_chart
from anomgen.score.report.findings import findings
from anomgen.score.report.names import Names
from anomgen.score.report.operating import operating_points
from anomgen.score.report.pictures import Strips
from anomgen.score.report.robustness import perturbed_means
from anomgen.score.report.sections import Measured, correlated, sections
from anomgen.score.report.summary import SPARE, Run, averaged, grouped
from anomgen.score.result import SCHEMA, Done, Result
from anomgen.score.rows import CHARTS

HTML, MARKDOWN, RESULTS = "report.html", "report.md", "results.json"
TEMPLATES = Path(str(resources.files("anomgen.score.report")))


def write_report(
    rows: Sequence[Result],
    out: Path,
    configuration: Configuration | None = None,
    missing: Missing | None = None,
    figures: Measured | None = None,
    strips: Strips | None = None,
) -> list[Path]:
    """Write the report of `rows` into the folder `out`; return the files.

    rows: any of them failed. missing: what has no row yet. figures: of `anomgen.score.intrinsic`. strips: pictures of
    what the entries draw. The maps are those in ``out/maps``; those that are not there are left out. Raises
    AnomgenError when a file cannot be written.
    """
    return write_run(Run(sorted_rows(rows), configuration, missing), out, figures, strips)


def write_run(
    run: Run,
    out: Path,
    figures: Measured | None = None,
    strips: Strips | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Write the report of a run, as `write_report` does; its rows as `sorted_rows` gives them."""
    names = Names(run.rows)
    shown = Run(names.rows(run.rows), run.configuration, names.missing(run.missing))
    parts = sections(shown, out, names.by_entry(figures), names.by_entry(strips), progress)
    title = f"Which anomalies are useful: {', '.join(shown.data)}" if run.data else "Which anomalies are useful"
    written = [out / HTML, out / MARKDOWN, out / RESULTS]
    drawn = list(_charts(block for part in parts for block in part.blocks))
    for done, chart in enumerate(drawn):
        progress(done, len(drawn), f"writing the report: the chart {chart.name}")
        charts.write_png(chart.wide, out / CHARTS / f"{chart.name}.png")
    progress(len(drawn), len(drawn), "writing the report: the page")
    texts = [as_html(title, parts, out), as_markdown(title, parts), as_json(run, figures)]
    before = _shown_before(out)
    for path, text in zip(written, texts, strict=True):
        with replacing(path) as file:
            file.write(text.encode("utf-8", errors="backslashreplace"))
    written += [out / CHARTS / f"{chart.name}.png" for chart in drawn]
    for left in sorted(before - set(written)):  # of an earlier, larger request
        remove(left)
    return written


def _shown_before(out: Path) -> set[Path]:
    """Return the charts that the report in a folder shows: those that its run wrote."""
    try:
        report = read_within(out / MARKDOWN, MAX_RECORD).decode(errors="replace")
    except OSError:
        return set()
    return {chart for chart in (out / CHARTS).glob("*.png") if f"]({CHARTS}/{chart.name})" in report}


def sorted_rows(rows: Sequence[Result]) -> list[Result]:
    """Return the rows in an order that does not depend on which cell was finished first."""
    return sorted(rows, key=lambda row: (row.data, row.entry, row.detector, row.seed, row.key))


def leaderboard_markdown(rows: Sequence[Result]) -> str:
    """Return the leaderboard as Markdown, over everything and for each data set: what a page about it includes."""
    return as_markdown("", [Section("", list(leaderboard(Run(sorted_rows(rows)))))])


def leaderboard_picture(rows: Sequence[Result], path: Path) -> None:
    """Write the chart of the ranking metric as PNG, 1800 pixels wide: legible where it is shown 800 wide."""
    run = Run(sorted_rows(rows))
    if not run.metrics:
        raise AnomgenError("a picture of the leaderboard needs a finished training; none of the rows is one")
    charts.write_png(metric_chart(run, run.metrics[0]), path, dpi=200)


# --- the three forms ------------------------------------------------------------------------------------------------


def as_html(title: str, parts: Sequence[Section], folder: Path) -> str:
    """Return one page that needs nothing else, no network; dark or light as the reader has it.

    Its script sorts and filters tables; without scripts everything is there, too.
    """
    from markupsafe import Markup

    environment = templates(TEMPLATES, autoescape=True)
    environment.filters["drawn"] = lambda figure, caption: Markup(charts.svg(figure, caption))
    environment.filters["inline"] = lambda path: _inline(folder / path)
    style, script = (Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("report.css", "report.js"))
    return _clean(environment.get_template(HTML).render(title=title, sections=parts, style=style, script=script))


def as_markdown(title: str, parts: Sequence[Section]) -> str:
    """Return the report as GitHub shows it; charts and example maps are files beside it."""
    environment = templates(TEMPLATES)
    environment.filters["prose"] = _prose
    environment.filters["address"] = lambda path: quote(path.as_posix())
    text = environment.get_template(MARKDOWN).render(title=title, sections=parts)
    return re.sub(r"\n{3,}", "\n\n", _clean(text)).lstrip("\n")


def as_json(run: Run, figures: Measured | None) -> str:
    """Return the report's figures for machines."""
    correlations = correlated(run, figures)
    values = {
        "schema": SCHEMA,
        "findings": findings(run),
        "best": run.best.entry if run.best else None,
        "not_ranked": run.indifferent,
        "learned_nothing": run.idle,
        "board": run.board.plain(),
        "cells": [_cell(run, rows) for rows in grouped(run.rows, _place).values()],
        "failed": [{**_named(row), "seed": row.seed, "key": row.key, "error": row.error} for row in run.failed],
        "missing": run.missing.plain() if run.missing else {},
        "configuration": run.configuration.plain() if run.configuration else {},
        "figures": figures,
        "correlations": {
            data: {name: found.plain() for name, found in by_name.items()} for data, by_name in correlations.items()
        },
        "versions": versions(run),
    }
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def _place(row: Result) -> tuple[str, str, str]:
    return row.data, row.entry, row.detector


def _named(row: Result) -> dict[str, Any]:
    return {"data": row.data, "entry": row.entry, "detector": row.detector}


def _cell(run: Run, rows: Sequence[Result]) -> dict[str, Any]:
    """Return what the seeds of one data set, entry and detector came to; rates and shares are means over them."""
    done = [row for row in rows if isinstance(row, Done)]
    first = rows[0]
    return {
        **_named(first),
        "recipe": first.recipe,
        "variation": first.variation,
        "counts": first.counts.plain(),
        "seeds": [row.seed for row in done],
        "metrics": {metric: _figure(run, metric, first) for metric in run.metrics},
        "undefined": {name: why for row in done for name, why in row.undefined.items()},
        "thresholds": averaged([row.thresholds.plain() for row in done]),
        **operating_points(run, done),
        **({"perturbed": found} if (found := perturbed_means(done)) else {}),
        "by_type": averaged([{name: part.plain() for name, part in row.by_type.items()} for row in done]),
        "seconds": averaged([row.seconds.plain() for row in done]),
    }


def _figure(run: Run, metric: str, row: Result) -> dict[str, Any] | None:
    """Return the mean of a row's seeds with its interval."""
    for table in run.by_metric[metric]:
        if table.data == row.data and row.detector in (table.detector, SPARE):
            line = table.line(row.entry)
            return None if line is None else line.model_dump(include={"mean", "low", "high", "sd"})
    return None


def _charts(blocks: Iterable[Block]) -> Iterator[Chart]:
    for block in blocks:
        if isinstance(block, Chart):
            yield block
        elif isinstance(block, Details):
            yield from _charts(block.blocks)


def _inline(path: Path) -> str:
    return f"data:image/{path.suffix[1:]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _prose(text: str) -> str:
    """Return plain text for Markdown: nothing in it is markup, a cell of a table stays one."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|~$#!]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", plain)


def _clean(text: str) -> str:
    """Return a page without blanks at the ends of lines, and with what would steer a terminal written out."""
    return "\n".join(line.rstrip() for line in printable(text).splitlines()).strip("\n") + "\n"
