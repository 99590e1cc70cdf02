"""The report of a run: report.html, report.md with its charts, and results.json, all from the rows alone.

The same rows give the same bytes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anomgen.cards import templates
from anomgen.errors import AnomgenError
from anomgen.files import replacing
from anomgen.score.report import charts
from anomgen.score.report.blocks import Block, Chart, Details, Section
from anomgen.score.report.findings import leaderboard, metric_chart
from anomgen.score.report.sections import Figures, correlated, sections, versions
from anomgen.score.report.summary import SPARE, Row, Run, averaged, grouped
from anomgen.score.rows import SCHEMA

HTML, MARKDOWN, RESULTS, CHARTS = "report.html", "report.md", "results.json", "charts"
PLACE = ("data", "variant", "detector")
TEMPLATES = Path(str(resources.files("anomgen.score.report")))


def write_report(
    rows: Sequence[Mapping[str, Any]],
    out: Path,
    configuration: Mapping[str, Any],
    figures: Figures | None = None,
) -> list[Path]:
    """Write the report of `rows` into the folder `out`; return the files.

    rows: of ``rows.jsonl``, any of them failed. configuration: plain data, shown as it is; ``command`` is the command
    line that makes the run again, ``missing`` what has no row yet: ``cells`` (how many), ``of``, ``list`` of (data,
    detector, seed, entries). figures: of `anomgen.score.intrinsic`. The example maps are those in ``out/maps``;
    those that are not there are left out. Raises AnomgenError when a file cannot be written.
    """
    run = Run(sorted_rows(rows), configuration)
    parts = sections(run, out, configuration, figures)
    title = f"Which anomalies are useful: {', '.join(run.data)}" if run.data else "Which anomalies are useful"
    written = [out / HTML, out / MARKDOWN, out / RESULTS]
    texts = [as_html(title, parts, out), as_markdown(title, parts), as_json(run, configuration, figures)]
    for path, text in zip(written, texts, strict=True):
        with replacing(path) as file:
            file.write(text.encode("utf-8", errors="backslashreplace"))
    for chart in _charts(block for part in parts for block in part.blocks):
        written.append(out / CHARTS / f"{chart.name}.png")
        charts.write_png(chart.figure, written[-1])
    for left in set((out / CHARTS).glob("*.png")) - set(written):  # of an earlier, larger request
        left.unlink()
    return written


def sorted_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows in an order that does not depend on which cell was finished first."""
    return sorted(rows, key=lambda row: (row["data"], row["variant"], row["detector"], row["seed"], row["key"]))


def leaderboard_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the leaderboard as Markdown, over everything and for each data set: what a page about it includes."""
    return as_markdown("", [Section("", list(leaderboard(Run(sorted_rows(rows)))))])


def leaderboard_picture(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the chart of the ranking metric as PNG, 1800 pixels wide: legible where it is shown 800 wide."""
    run = Run(sorted_rows(rows))
    if not run.metrics:
        raise AnomgenError("a picture of the leaderboard needs a finished training; none of the rows is one")
    charts.write_png(metric_chart(run, run.metrics[0]), path, dpi=200)


# --- the three forms ------------------------------------------------------------------------------------------------


def as_html(title: str, parts: Sequence[Section], folder: Path) -> str:
    """Return one page that needs nothing else: no network, no script; dark or light as the reader has it."""
    from markupsafe import Markup

    environment = templates(TEMPLATES, autoescape=True)
    environment.filters["drawn"] = lambda chart: Markup(charts.svg(chart.figure, chart.caption))
    environment.filters["inline"] = lambda path: _inline(folder / path)
    return _clean(environment.get_template(HTML).render(title=title, sections=parts))


def as_markdown(title: str, parts: Sequence[Section]) -> str:
    """Return the report as GitHub shows it; charts and example maps are files beside it."""
    environment = templates(TEMPLATES)
    environment.filters["prose"] = _prose
    environment.filters["address"] = lambda path: quote(path.as_posix())
    text = environment.get_template(MARKDOWN).render(title=title, sections=parts)
    return re.sub(r"\n{3,}", "\n\n", _clean(text)).lstrip("\n")


def as_json(run: Run, configuration: Mapping[str, Any], figures: Figures | None) -> str:
    """Return the report's figures for machines."""
    values = {
        "schema": SCHEMA,
        "best": run.best["variant"] if run.best else None,
        "not_ranked": run.indifferent,
        "board": run.board,
        "cells": [_cell(run, rows) for rows in grouped(run.rows, _place).values()],
        "failed": [{key: row.get(key) for key in (*PLACE, "seed", "key", "error")} for row in run.failed],
        "missing": run.missing,
        "configuration": {key: value for key, value in configuration.items() if key != "missing"},
        "figures": figures,
        "correlations": correlated(run, figures),
        "versions": versions(run),
    }
    return json.dumps(values, indent=1, ensure_ascii=False, default=str) + "\n"


def _place(row: Row) -> tuple[str, ...]:
    return tuple(row[key] for key in PLACE)


def _cell(run: Run, rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the seeds of one data set, entry and detector came to; rates and shares are means over them."""
    done = [row for row in rows if row["status"] == "done"]
    first = rows[0]
    return {
        **{key: first[key] for key in PLACE},
        "recipe": first.get("recipe"),
        "variation": first.get("variation"),
        "counts": first.get("counts"),
        "seeds": [row["seed"] for row in done],
        "metrics": {metric: _figure(run, metric, first) for metric in run.metrics},
        "undefined": {name: why for row in done for name, why in (row.get("undefined") or {}).items()},
        "thresholds": averaged([row["thresholds"] for row in done if row.get("thresholds")]),
        "by_type": averaged([row["by_type"] for row in done if row.get("by_type")]),
        "seconds": averaged([row["seconds"] for row in done if row.get("seconds")]),
    }


def _figure(run: Run, metric: str, row: Row) -> dict[str, Any] | None:
    """Return the mean of a row's seeds with its interval."""
    for table in run.by_metric[metric]:
        if table["data"] == row["data"] and row["detector"] in (table["detector"], SPARE):
            line = next(line for line in table["lines"] if line["variant"] == row["variant"])
            return {key: line[key] for key in ("mean", "low", "high", "sd")}
    return None


def _charts(blocks: Iterable[Block]) -> Iterator[Chart]:
    for block in blocks:
        if isinstance(block, Chart):
            yield block
        elif isinstance(block, Details):
            yield from _charts(block.blocks)


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _prose(text: str) -> str:
    """Return plain text for Markdown: nothing in it is markup, a cell of a table stays one."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|~$#!]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", plain)


def _clean(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n") + "\n"
