"""Make what the documentation shows: the help text of every command, and the picture of every generator.

python tools/make_docs.py
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from typer.main import get_command

from anomgen.cli.main import app
from anomgen.dataset.preview import Panel, preview_sheet, write_sheet
from anomgen.making.engine import Plan, Renderer, single_threaded
from anomgen.making.recipe import load_recipe

DOCS = Path(__file__).parent.parent / "docs"
GALLERY = ("cutpaste", "scar", "fpi", "pii", "nsa", "perlin")
"""Recipes in the picture, one row each."""


def help_texts() -> str:
    """Return docs/reference/command-line.md: the help text of each command, as the program prints it on 100 columns."""
    os.environ.update(COLUMNS="100", TERMINAL_WIDTH="100", NO_COLOR="1")
    parts = [
        "# Command line\n\nThis page is made by `python tools/make_docs.py`; a test compares it with the program.\n"
    ]
    for name, text in _helps():
        parts.append(f"## `{name}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _helps() -> Iterator[tuple[str, str]]:
    yield from _helps_below(get_command(app), "anomgen")


def _helps_below(command, name: str) -> Iterator[tuple[str, str]]:
    yield name, _plain(command, name)
    for inner, below in getattr(command, "commands", {}).items():
        yield from _helps_below(below, f"{name} {inner}")


def _plain(command, name: str) -> str:
    """Return usage, description and options without the terminal's boxes, which differ between versions of rich."""
    arguments = [_words(parameter)[0] for parameter in command.params if parameter.param_type_name == "argument"]
    rest = ["COMMAND"] if hasattr(command, "commands") else arguments
    lines = [f"Usage: {' '.join([name, '[OPTIONS]', *rest])}", "", command.help or "", ""]
    for parameter in command.params:
        default = parameter.show_default if isinstance(getattr(parameter, "show_default", None), str) else ""
        told = f" [default: {default}]" if default else ""
        lines.append(f"  {', '.join(_words(parameter))}\n      {parameter.help}{told}")
    return "\n".join(lines).rstrip()


def _words(parameter) -> list[str]:
    return parameter.opts if parameter.param_type_name == "option" else [parameter.metavar or parameter.name.upper()]


def gallery() -> np.ndarray:
    """Return the sheet of docs/images/generators.png: one sample of each generator on the same real texture."""
    panels = []
    for name in GALLERY:
        recipe = load_recipe(name, source={"kind": "builtin", "name": "brick"}, overrides=["anomaly_ratio=1.0"])
        with single_threaded():
            rows = list(Renderer(Plan.of(recipe)).rows(range(16)))
        panel = Panel.of_row(_typical(rows))
        panels.append(Panel(panel.image, panel.mask, panel.soft_mask, panel.normal, f"{name} · {panel.caption}"))
    return preview_sheet(panels, "brick, one sample of every generator")


def _typical(rows):
    """Return the row whose severity times area is the median of those in few pieces: neither bold nor faint."""
    rows = [row for row in rows if len(row.boxes) <= 8]
    return sorted(rows, key=lambda row: row.severity * row.area)[len(rows) // 2]


def main() -> None:
    """Write the files into docs/."""
    (DOCS / "reference" / "command-line.md").write_text(help_texts(), encoding="utf-8")
    if "--text" not in sys.argv:
        write_sheet(gallery(), DOCS / "images" / "generators.png")


if __name__ == "__main__":
    main()
