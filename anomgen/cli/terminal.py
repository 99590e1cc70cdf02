"""What the commands share: common options, how results are printed, how progress is shown."""

from __future__ import annotations

import json
import re
import shlex
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer

from anomgen.cli.streams import takes_everything
from anomgen.cli.talk import Talk, print_hint, talk
from anomgen.errors import Progress, heed_interrupt, interruptible, listening, printable, redacted, silent
from anomgen.places import place

SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source", "-s", help="Folder of normal images, category folder of a known layout, or Hub dataset id."
    ),
]
AgainOption = Annotated[str | None, typer.Option("--source", "-s", help="Where the normal images are now.")]
DatasetArgument = Annotated[  # of what is annotated as a Path, some releases of typer make one
    Any, typer.Argument(metavar="DATASET", parser=place, help="Folder that `anomgen make` wrote, or its URL.")
]
SizeOption = Annotated[str | None, typer.Option(help="Image size: N, HxW, or native.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed; every sample follows from it and its index.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change any key: generator.blend=mixed. Repeatable."),
]
RoiOption = Annotated[
    str | None,
    typer.Option(metavar="PICTURE", help="White where anomalies may be: one picture for all, or a folder of them."),
]
ExcludeOption = Annotated[
    str | None, typer.Option(metavar="PICTURE", help="White where they may not be: one picture, or a folder of them.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def with_regions(changes: list[str] | None, roi: str | None, exclude: str | None) -> list[str]:
    """Return what --set says, and what --roi and --exclude do."""
    given = {"foreground.roi": roi, "foreground.exclude": exclude}
    return [*(changes or ()), *(f"{key}={json.dumps(path)}" for key, path in given.items() if path is not None)]


def print_json(values: Any) -> None:
    """Print plain JSON on standard output, with what its encoding lacks as JSON writes it.

    Its texts are redacted one by one: in the whole something might be taken away without which it is no JSON.
    """
    shown = _redacted(values)
    text = json.dumps(shown, indent=2, ensure_ascii=not takes_everything())
    if printable(text) != text:
        text = json.dumps(shown, indent=2)
    print_as_is(text)


def print_as_is(text: str) -> None:
    """Print on standard output a text that is meant to be copied whole, secrets of this machine among it."""
    getattr(sys.stdout, "write_as_is", sys.stdout.write)(text + "\n")
    sys.stdout.flush()


def _redacted(values: Any) -> Any:
    if isinstance(values, dict):
        return {_redacted(key): _redacted(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_redacted(value) for value in values]
    return redacted(values) if isinstance(values, str) else values


PATIENCE = 2.0
"""Seconds after which a run that is still going says what it does …"""
EVERY = 30.0
"""… and between two lines of that, where there is no terminal."""
NUMBERS = re.compile(r"[\d.]+")
"""What of a note may change within a step."""


@contextmanager
def progress_of(verb: str, *, timed: bool = True) -> Iterator[Progress]:
    """Show rate and time left, and what is done before: a bar on a terminal, otherwise a line now and then.

    timed: whether the time left follows from what is done; else the notes say it.
    """
    with interruptible(), _shown(verb, timed) as show:

        def heeding(done: int, total: int, note: str = "", /) -> None:
            heed_interrupt()
            show(done, total, note)

        with listening(heeding):
            yield heeding


@contextmanager
def _shown(verb: str, timed: bool) -> Iterator[Progress]:
    if talk() is Talk.QUIET:
        yield silent
        return
    with (_bar if sys.stderr.isatty() else _lines)(verb, timed) as bar:
        yield _stepwise(verb, bar) if talk() is Talk.VERBOSE else bar


def _stepwise(verb: str, bar: Progress) -> Progress:
    """Return what also prints each step as it begins, with the seconds since the first."""
    started, step = time.perf_counter(), ""

    def show(done: int, total: int, note: str = "", /) -> None:
        nonlocal step
        before, step = step, NUMBERS.sub("", note or verb)
        if step != before:
            seconds = time.perf_counter() - started
            print(f"{seconds:.2f} s: {printable(note or verb)}, {done} of {total}", file=sys.stderr, flush=True)
        bar(done, total, note)

    return show


@contextmanager
def _bar(verb: str, timed: bool) -> Iterator[Progress]:
    from rich import progress as bars
    from rich.console import Console

    pace = (bars.TextColumn("{task.fields[rate]}"), bars.TimeRemainingColumn()) if timed else ()
    note = bars.TextColumn("{task.fields[note]}", markup=False)
    columns = (bars.TextColumn(verb), bars.BarColumn(), bars.MofNCompleteColumn(), *pace, note)
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=None, rate="", note="")
        rate = _Rate()

        def show(done: int, total: int, note: str = "", /) -> None:
            bar.update(task, completed=done, total=total, rate=f"{rate(done, total):.3g}/s", note=printable(note))

        yield show


class _Rate:
    """Items per second since the first call with a total; what an earlier run had done does not count."""

    def __init__(self) -> None:
        self._total = -1
        self._first, self._started = 0, 0.0

    def __call__(self, done: int, total: int) -> float:
        now = time.perf_counter()
        if total != self._total:
            self._total, self._first, self._started = total, done, now
        return (done - self._first) / (now - self._started) if now > self._started else 0.0


@contextmanager
def _lines(verb: str, timed: bool) -> Iterator[Progress]:
    """Print lines from a thread, so that a step of which nobody tells anything is no silence either."""
    rate, ended = _Rate(), threading.Event()
    told = f"{verb}: getting ready"

    def show(done: int, total: int, note: str = "", /) -> None:
        nonlocal told
        speed = rate(done, total)
        left = f"{(total - done) / speed:.0f} s left" if speed else "time left unknown"
        pace = (f"{speed:.3g}/s", left) if timed else ()
        told = ", ".join(filter(None, (f"{verb}: {done} of {total}", *pace, printable(note))))

    def speak() -> None:
        wait = PATIENCE
        while not ended.wait(wait):
            with suppress(OSError, ValueError):  # nobody reads it any more
                print(told, file=sys.stderr, flush=True)
            wait = EVERY

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield show
    finally:
        ended.set()
        speaker.join()


def same_options(
    recipe: str,
    source: str | None = None,
    size: str | None = None,
    seed: int | None = None,
    changes: Iterable[str] | None = None,
) -> list[str]:
    """Return the options that say the same to another command."""
    options = {"--recipe": recipe, "--source": source, "--size": size, "--seed": seed}
    given = [(name, str(value)) for name, value in options.items() if value is not None]
    return [word for pair in (*given, *(("--set", change) for change in changes or ())) for word in pair]


def print_next(*words: object) -> None:
    """Print the command of anomgen that comes next."""
    print_hint(f"next: {shlex.join(['anomgen', *map(str, words)])}")
