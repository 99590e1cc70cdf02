"""Standard output and error as they are: closed, full, of another encoding, or broken off."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from anomgen.errors import printable, redacted

OUTPUT = "standard output"


def prepare() -> None:
    """Make both streams take whatever is printed.

    Closed ones lead nowhere, instead of into the next file that is opened. What an encoding lacks is written as
    ``\\xd7``, and so is what would steer a terminal. A standard error that takes nothing (closed, full) stops no run.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if not isinstance(sys.stderr, _Tolerant):
        sys.stderr = _Tolerant(sys.stderr)
    if not isinstance(sys.stdout, _Printable):
        sys.stdout = _Printable(sys.stdout)
    _redact_logs()


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


class _Tolerant:
    """Standard error, redacted; its writes may fail without a word: there is no better place for one."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(redacted(text))
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Printable:
    """Standard output, redacted, and on which what others wrote, such as a file's name, steers no terminal.

    Colours are let through but while a command runs, see `uncoloured`. Everything else is the stream's own.
    """

    has_colours = True

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text redacted, what would steer a terminal written out."""
        parts = _COLOUR.split(text) if self.has_colours else [text]  # every second one a colour
        self.write_as_is("".join(part if k % 2 else printable(redacted(part)) for k, part in enumerate(parts)))
        return len(text)

    def write_as_is(self, text: str) -> int:
        """Write a text in which nothing is to be changed."""
        with _named():
            self._stream.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _named() -> Iterator[None]:
    """Let an error of standard output say so: it is no file's, and has no name of its own."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or OUTPUT
        raise


_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


@contextmanager
def uncoloured() -> Iterator[None]:
    """Let no colour through on standard output: help has some, no command prints any, and names may hold them."""
    before, _Printable.has_colours = _Printable.has_colours, False
    try:
        yield
    finally:
        _Printable.has_colours = before


def _redact_logs() -> None:
    """Keep tokens, signatures and what steers a terminal out of what libraries log."""
    before = logging.getLogRecordFactory()

    def made(*args: Any, **named: Any) -> logging.LogRecord:
        record = before(*args, **named)
        with suppress(Exception):  # a library's mistake in its own message is shown as it would be
            record.msg, record.args = printable(redacted(record.getMessage())), ()
        return record

    logging.setLogRecordFactory(made)


def flush() -> None:
    """Write what is still to be written on standard output. Raises OSError when it takes no more."""
    try:
        with _named():
            sys.stdout.flush()
    except OSError:
        # What is left would be tried, and complained of, again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def takes_everything() -> bool:
    """Return whether standard output can write any character."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


def fault(error: OSError) -> str:
    """Return, in words, what the operating system could not do, and with which file."""
    where = ""
    if error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename)
        where = name if len(name) <= 120 else f"{name[:100]}… ({len(name)} characters)"
    return ": ".join(filter(None, (where, error.strerror or str(error))))
