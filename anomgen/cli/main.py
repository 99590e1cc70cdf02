"""The command line: parses, calls, prints; results on standard output, progress and errors on standard error."""

from __future__ import annotations

import errno
import sys
import traceback
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from anomgen.cli import bank, catalogue, check, doctor, export, inspect, make, preview, push, score, studio, train, tune
from anomgen.cli.streams import fault, flush, prepare
from anomgen.cli.talk import show_warnings
from anomgen.cli.terminal import print_json
from anomgen.errors import (
    AnomgenError,
    Interrupted,
    UsageError,
    in_one_block,
    interruptible,
    lacks_memory,
    printable,
    redacted,
)


class Commands(TyperGroup):
    """The commands, which Ctrl-C ends as an error that says so."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            with interruptible():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None


app = typer.Typer(
    name="anomgen",
    cls=Commands,
    help="Make synthetic visual anomalies with exact masks from normal images, as Hugging Face datasets.",
    epilog="Start with: anomgen make --recipe nsa --source FOLDER_OF_GOOD_IMAGES",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for part in (make, preview, check, catalogue, bank, doctor, export, inspect, push, score, studio, train, tune):
    app.add_typer(part.app)


def _version(wanted: bool) -> None:
    if wanted:
        from anomgen import __version__

        print(f"anomgen {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: ARG001 - its callback prints
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    show_warnings()


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage or recipe, 130 interrupted."""
    prepare()
    try:
        try:
            app()
        finally:
            flush()
    except BrokenPipeError:  # whoever read has enough
        sys.exit(1)
    except AnomgenError as error:
        _print_error(error)
    except OSError as error:
        _print_error((UsageError if error.errno == errno.ENAMETOOLONG else AnomgenError)(fault(error)))
    except Exception as error:
        if not lacks_memory(error):  # a fault of ours, or of a library: what it quotes is made fit to be shown, too
            print(printable(redacted(traceback.format_exc())), file=sys.stderr, end="")
            sys.exit(1)
        _print_error(AnomgenError(f"out of memory: {_way_out()}"))


def _way_out() -> str:
    """Return what lets the command do with less memory, by the options that it has."""
    commands: Any = getattr(typer.main.get_command(app), "commands", {})
    command = next((commands[word] for word in sys.argv[1:] if word in commands), None)
    has = {name for option in command.params for name in option.opts} if command else set()
    ways = {"--workers": "fewer --workers", "--size": "smaller images (--size)"}
    use = ", or ".join(text for name, text in ways.items() if name in has)
    return f"use {use}" if use else "close other programs, or run it on a machine with more"


def _print_error(error: AnomgenError) -> NoReturn:
    print(in_one_block(f"error: {error}"), file=sys.stderr)
    if "--json" in sys.argv:
        with suppress(OSError):
            print_json({"error": str(error)})
            flush()
    sys.exit(error.exit_code)
