"""How much a command says: `-q` and `-v`, which every command takes and which mean the same in each.

On standard output stands the result, notes on it, and a hint at what may come next; on standard error what happens
meanwhile.
"""

from __future__ import annotations

import inspect
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from enum import Enum
from functools import wraps
from typing import Annotated, Any

import typer

from anomgen.cli.streams import uncoloured
from anomgen.errors import AnomgenWarning, UsageError, in_one_block, printable, redacted


class Talk(Enum):
    """How much is said: errors and the result alone; what happens meanwhile, notes and hints, too; or each step."""

    QUIET = "quiet"
    PLAIN = "plain"
    VERBOSE = "verbose"


QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say only the result and errors: no progress, notes, warnings or hints.")
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more: versions, each step with its time, where an error arose.")
]
OPTIONS = {"quiet": QuietOption, "verbose": VerboseOption}

_talk = Talk.PLAIN


class App(typer.Typer):
    """Commands, each of which takes `-q` and `-v`."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Add a function as a command, as Typer does."""
        add = super().command(name, **settings)

        def added(run: Callable[..., None]) -> Callable[..., None]:
            add(_talking(run))
            return run

        return added


def _talking(run: Callable[..., None]) -> Callable[..., None]:
    """Return a command with the two options behind its own."""

    @wraps(run)
    def told(*, quiet: bool, verbose: bool, **given: Any) -> None:
        with uncoloured(), _saying(quiet=quiet, verbose=verbose):
            run(**given)

    own = inspect.signature(run, eval_str=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    more = [inspect.Parameter(name, kind, default=False, annotation=option) for name, option in OPTIONS.items()]
    signature = own.replace(parameters=[*own.parameters.values(), *more])
    told.__doc__ = _flowing(inspect.getdoc(run) or "")
    told.__signature__ = signature  # type: ignore[attr-defined]
    told.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    return told


def _flowing(text: str) -> str:
    """Return a text whose paragraphs are a line each, which the terminal's width breaks; indented lines stay."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(part if "\n " in f"\n{part}" else " ".join(part.split("\n")) for part in paragraphs)


@contextmanager
def _saying(*, quiet: bool, verbose: bool) -> Iterator[None]:
    """Say as much as is asked for, in this block."""
    global _talk
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other: give one")
    _talk = Talk.QUIET if quiet else Talk.VERBOSE if verbose else Talk.PLAIN
    try:
        with _timed() if verbose else nullcontext():
            yield
    finally:
        _talk = Talk.PLAIN


@contextmanager
def _timed() -> Iterator[None]:
    """Say the versions first, where an error arose, and how long it took."""
    from anomgen.versions import versions, versions_text

    started = time.perf_counter()
    print(f"{versions_text(versions())}, Python {sys.version.split()[0]}, {sys.platform}", file=sys.stderr, flush=True)
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except Exception:
        print(printable(redacted(traceback.format_exc())), file=sys.stderr, end="", flush=True)
        raise
    finally:
        print(f"took {time.perf_counter() - started:.2f} s", file=sys.stderr, flush=True)


def talk() -> Talk:
    """Return how much the command that runs is to say."""
    return _talk


def print_hint(text: str) -> None:
    """Print what may be done next, on standard output."""
    if _talk is not Talk.QUIET:
        print(text)


def print_remark(text: str) -> None:
    """Print a note on the result, below it on standard output; JSON has it whatever is asked for."""
    if _talk is not Talk.QUIET:
        print(in_one_block(text))


def print_note(text: str) -> None:
    """Print what should be known though the command goes on, on standard error."""
    if _talk is not Talk.QUIET:
        print(in_one_block(text), file=sys.stderr, flush=True)


def show_warnings() -> None:
    """Print anomgen's own warnings, each of them, as a note; others as Python does, where any are wanted."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        if issubclass(category, AnomgenWarning):
            print_note(f"{category.word}: {message}")
        elif _talk is not Talk.QUIET:
            others(in_one_block(redacted(str(message))), category, *rest, **named)

    warnings.showwarning = show
    warnings.simplefilter("always", AnomgenWarning)
