"""The results on disk: one line of JSON a cell, only ever appended; they are the cache and the report's only input."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anomgen.errors import AnomgenError
from anomgen.files import replacing

ROWS, SET_ASIDE = "rows.jsonl", "rows.set-aside.jsonl"
SCHEMA = 1
REPLICATES = 200
"""Bootstrap replicates of each metric in a row."""

Result = dict[str, Any]
"""One row: the result of one data set, entry, detector and seed; plain JSON."""


class RowFile:
    """The rows of a run by their keys; of two rows with one key the later counts.

    Lines that are no rows (cut off by a kill, damaged) are moved to ``rows.set-aside.jsonl`` when `mend` is called.
    """

    def __init__(self, folder: Path):
        self.path = folder / ROWS
        self.rows: dict[str, Result] = {}
        self.bad: list[tuple[int, str, str]] = []
        """Number, text and fault of each line that is no row."""
        if self.path.is_file():
            self._read()

    def _read(self) -> None:
        try:
            text = self.path.read_bytes().decode("utf-8", errors="backslashreplace")
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
                self.rows[row["key"]] = row

    def mend(self) -> None:
        """Move the bad lines to a file of their own; the good ones keep their order."""
        if not self.bad and not self._ends_open():
            return
        with (self.path.parent / SET_ASIDE).open("a", encoding="utf-8") as file:
            file.writelines(line + "\n" for _, line, _ in self.bad)
        numbers = {number for number, _, _ in self.bad}
        lines = self.path.read_bytes().decode("utf-8", errors="backslashreplace").split("\n")
        kept = [line for number, line in enumerate(lines, 1) if line.strip() and number not in numbers]
        with replacing(self.path) as out:
            out.write("".join(line + "\n" for line in kept).encode())
        self.bad = []

    def _ends_open(self) -> bool:
        data = self.path.read_bytes() if self.path.is_file() else b""
        return bool(data) and not data.endswith(b"\n")

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows, each with one write."""
        with self.path.open("ab", buffering=0) as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")
                self.rows[row["key"]] = dict(row)


class _Started(BaseModel):
    """What every row holds, failed or done; other keys may be there."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    schema_: Literal[1] = Field(alias="schema")
    key: str
    data: str
    variant: str
    detector: str
    seed: int
    status: Literal["done", "failed"]
    metrics: dict[str, float | None]


class _Rates(BaseModel):
    """Rates of errors at a threshold."""

    fpr: float | None
    fnr: float | None


class _Limit(BaseModel):
    """A threshold under a constraint, and what it reaches."""

    threshold: float | None
    validation: _Rates
    test: _Rates


class _F1(BaseModel):
    """The threshold of the best F1 on the validation data."""

    threshold: float | None
    f1: float | None
    best_f1: float | None


class _Thresholds(BaseModel):
    """What a row says of thresholds on image scores; those on pixels are there where the data has masks."""

    model_config = ConfigDict(extra="allow")

    f1: _F1
    zero_fn: _Limit
    max_fpr_5: _Limit
    max_fpr_1: _Limit | None = None
    max_fpr_10: _Limit | None = None
    pixel_f1: _F1 | None = None


class _Type(BaseModel):
    """What a row says of a defect type."""

    images: int
    recall: float | None
    pixel_ap: float | None


class _Done(_Started):
    """What the row of a finished training holds."""

    replicates: dict[str, Annotated[list[float], Field(min_length=REPLICATES, max_length=REPLICATES)]]
    scores: list[float]
    counts: dict[str, int]
    by_type: dict[str, _Type]
    thresholds: _Thresholds
    undefined: dict[str, str] = {}
    versions: dict[str, str | None] = {}
    seconds: dict[str, float]
    size: Annotated[list[int], Field(min_length=2, max_length=2)]


def _row(line: str) -> Result:
    """Return the row in a line. Raises ValueError, which says what is wrong with it."""
    try:
        row = json.loads(line, parse_constant=_refused)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError("no JSON object")
    try:
        checked = (_Done if row.get("status") == "done" else _Started).model_validate(row)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    if isinstance(checked, _Done):
        tested = checked.counts.get("test_normal", 0) + checked.counts.get("test_anomalous", 0)
        if len(checked.scores) != tested:
            raise ValueError(f"scores: there are {len(checked.scores)} for {tested} test images")
    return row


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no number")
