"""The results on disk: one line of JSON a cell, only ever appended; they are the cache and the report's only input."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from anomgen.config import first_fault
from anomgen.config.text import read_json
from anomgen.errors import AnomgenError
from anomgen.files import Earlier, appending, holds_earlier, is_left_over, json_object, locked, replacing
from anomgen.places import read_within
from anomgen.score.result import Done, Failed, Result, Started

RUN_FILE, ROWS, SET_ASIDE = "run.json", "rows.jsonl", "rows.set-aside.jsonl"
MAX_ROWS = 1 << 30
"""Bytes of the rows of a run; ten thousand cells have a tenth of it."""
MAPS, CHARTS, MISSES = "maps", "charts", "misses"
"""Folders of the example maps, the report's charts, and banks of what was not found."""


_OF_TRAININGS = re.compile(
    r"rows(?:\.set-aside)?\.jsonl|synthetic/[0-9a-f]{16}\.npz|checkpoints/[0-9a-f]{16}\.safetensors"
    rf"|{MAPS}/[0-9a-f]{{16}}/(?:best|worst|image|map)-\d{{1,2}}\.webp"
)


class RowFile:
    """The rows of a run by their keys; of two rows with one key the later counts.

    Lines that are no rows (cut off by a kill, damaged) are moved to ``rows.set-aside.jsonl`` when `mend` is called.
    """

    def __init__(self, folder: Path):
        self.path = folder / ROWS
        self.rows: dict[str, Result] = {}
        self.bad: list[tuple[int, str, str]] = []
        """Number, text and fault of each line that is no row."""
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        try:
            text = read_within(self.path, MAX_ROWS).decode("utf-8", errors="backslashreplace")
        except OSError as error:
            raise AnomgenError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = _row(line)
            except ValueError as error:
                self.bad.append((number, line, str(error)))
            else:
                self.rows[row.key] = row

    def mend(self) -> None:
        """Move the bad lines to a file of their own; the good ones keep their order."""
        if not self.bad and not self._ends_open():
            return
        aside = self.path.parent / SET_ASIDE
        with appending(aside) as add:
            for _, line, _ in self.bad:
                add(line.encode() + b"\n")
        numbers = {number for number, _, _ in self.bad}
        lines = self.path.read_bytes().decode("utf-8", errors="backslashreplace").split("\n")
        kept = [line for number, line in enumerate(lines, 1) if line.strip() and number not in numbers]
        with replacing(self.path) as out:
            out.write("".join(line + "\n" for line in kept).encode())
        self.bad = []

    def _ends_open(self) -> bool:
        data = self.path.read_bytes() if self.path.is_file() else b""
        return bool(data) and not data.endswith(b"\n")

    def append(self, rows: Iterable[Result]) -> None:
        """Add rows, each with one write. Raises Unwritable where one does not go into the file whole."""
        with appending(self.path) as add:
            for row in rows:
                add(json.dumps(row.plain(), ensure_ascii=False, allow_nan=False).encode() + b"\n")
                self.rows[row.key] = row


def require_run_folder(out: Path) -> None:
    """Raise UsageError for a file, for a folder of something else than a run, and for a linked folder in it."""
    holds_earlier(out, "run of `anomgen score`", _earlier, resume=True)


def _earlier(out: Path) -> Earlier | None:
    """A run is known by its configuration, or by a row: files of these names may be somebody else's."""
    with suppress(OSError, ValueError):
        if {"command", "protocol"} <= json_object(out / RUN_FILE).keys():
            return Earlier("a run")
    return Earlier("a run") if RowFile(out).rows else None


@contextmanager
def opened(out: Path) -> Iterator[RowFile]:
    """Hold the run's folder, so that two runs cannot train the same cells, and yield its rows."""
    require_run_folder(out)
    with locked(out):
        yield RowFile(out)


def remove_rows(out: Path) -> list[str]:
    """Remove what trainings write into a run's folder, known by the names, and return these, relative to it."""
    names = [path.relative_to(out).as_posix() for path in out.rglob("*")] if not out.is_symlink() else []
    ours = [name for name in names if _OF_TRAININGS.fullmatch(name) or is_left_over(name.rpartition("/")[2])]
    for name in ours:
        with suppress(OSError):
            (out / name).unlink()
    return ours


def _row(line: str) -> Result:
    """Return the row in a line. Raises ValueError, which says what is wrong with it."""
    values = read_json(line)
    if not isinstance(values, dict):
        raise ValueError("no JSON object")
    try:
        started = Started.model_validate(values)
        return (Done if started.status == "done" else Failed).model_validate(values)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
