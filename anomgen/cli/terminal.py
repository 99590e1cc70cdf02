"""What the commands share: common options, how results are printed, how progress is shown."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

Show = Callable[..., None]
"""Is told how much of how much is done, and, where there is something to say, a note."""

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


@contextmanager
def progress_of(verb: str) -> Iterator[Show]:
    """Show rate and time left: a bar on a terminal, otherwise a line every half minute."""
    if not sys.stderr.isatty():
        yield _lines(verb)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(verb),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=None, rate="", note="")
        rate = _Rate()

        def show(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, rate=f"{rate(done):.3g}/s", note=note)

        yield show


class _Rate:
    """Rows per second since the first call; what an earlier run had done does not count."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def __call__(self, done: int) -> float:
        now = time.perf_counter()
        first, started = self._first = self._first or (done, now)
        return (done - first) / (now - started) if now > started else 0.0


def _lines(verb: str, every: float = 30.0) -> Show:
    rate, last = _Rate(), time.perf_counter()

    def show(done: int, total: int, note: str = "") -> None:
        nonlocal last
        speed, now = rate(done), time.perf_counter()
        if now - last >= every:
            last = now
            left = f"{(total - done) / speed:.0f} s left" if speed else "time left unknown"
            told = ", ".join(filter(None, (f"{verb}: {done} of {total}", f"{speed:.3g}/s", left, note)))
            print(told, file=sys.stderr, flush=True)

    return show
