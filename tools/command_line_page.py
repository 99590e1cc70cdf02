"""docs/reference/command-line.md: the help text of every command."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator

from typer.main import get_command

from anomgen.cli.main import app


def command_line_page() -> str:
    """Return the page: the help text of each command, as the program prints it on 100 columns."""
    os.environ.update(COLUMNS="100", TERMINAL_WIDTH="100", NO_COLOR="1")
    parts = ["# Command line\n\nWhat `anomgen COMMAND --help` prints.\n"]
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
    lines = [f"Usage: {' '.join([name, '[OPTIONS]', *rest])}", "", _broken(command.help or ""), ""]
    for parameter in command.params:
        default = parameter.show_default if isinstance(getattr(parameter, "show_default", None), str) else ""
        told = f" [default: {default}]" if default else ""
        lines.append(f"  {', '.join(_words(parameter))}\n      {parameter.help}{told}")
    if command.epilog:
        lines.extend(["", command.epilog])
    return "\n".join(lines).rstrip()


def _broken(text: str) -> str:
    """Return a text whose paragraphs have lines of 120 columns at most."""
    return "\n".join(textwrap.fill(line, 120, break_on_hyphens=False) for line in text.split("\n"))


def _words(parameter) -> list[str]:
    return parameter.opts if parameter.param_type_name == "option" else [parameter.metavar or parameter.name.upper()]
