"""What the commands share: common options, how results are printed, how progress is shown."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer

from anomgen.config.text import size_of
from anomgen.errors import AnomgenWarning, Progress

SizeOption = Annotated[str | None, typer.Option(help="Image size: N, HxW, or native.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed; every sample follows from it and its index.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change any key: generator.blend=mixed. Repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def print_json(values: Any) -> None:
    """Print plain JSON on standard output."""
    print(json.dumps(values, indent=2, ensure_ascii=False))


def sides_of(size: str | None) -> int | tuple[int, int] | Literal["native"] | None:
    """Return what --size says, None where it was not given."""
    return None if size is None else size_of(size)


def show_warnings() -> None:
    """Print anomgen's own warnings, each of them, as a line on standard error; others as Python does."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        if issubclass(category, AnomgenWarning):
            print(f"{category.word}: {message}", file=sys.stderr, flush=True)
        else:
            others(message, category, *rest, **named)

    warnings.showwarning = show
    warnings.simplefilter("always", AnomgenWarning)


@contextmanager
def progress_of(verb: str) -> Iterator[Progress]:
    """Show rate and time left: a bar on a terminal, otherwise a line every half minute."""
    if not sys.stderr.isatty():
        yield _lines(verb)
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn(verb),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TimeRemainingColumn(),
        bars.TextColumn("{task.fields[note]}"),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=None, rate="", note="")
        rate = _Rate()

        def show(done: int, total: int, note: str = "", /) -> None:
            bar.update(task, completed=done, total=total, rate=f"{rate(done, total):.3g}/s", note=note)

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


def _lines(verb: str, every: float = 30.0) -> Progress:
    rate, last = _Rate(), time.perf_counter()

    def show(done: int, total: int, note: str = "", /) -> None:
        nonlocal last
        speed, now = rate(done, total), time.perf_counter()
        if now - last >= every:
            last = now
            left = f"{(total - done) / speed:.0f} s left" if speed else "time left unknown"
            told = ", ".join(filter(None, (f"{verb}: {done} of {total}", f"{speed:.3g}/s", left, note)))
            print(told, file=sys.stderr, flush=True)

    return show
