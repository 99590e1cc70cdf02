"""What a report consists of: sections of text, tables, charts and pictures, which the templates write out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from anomgen.score.report.charts import NARROW, WIDE, Paper

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class TableCell:
    """A table's cell that stands out. strong: bold. shade: from 0 (pale) to 1 (full), the ground of a heat map."""

    text: str
    strong: bool = False
    shade: float | None = None


@dataclass(frozen=True)
class Text:
    """A paragraph of plain text; strong: what the report says first."""

    text: str
    strong: bool = False
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings; the first column names the row, the others are aligned to the right."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str | TableCell]]
    caption: str = ""
    kind: str = "table"

    @property
    def cells(self) -> list[list[TableCell]]:
        """Return the rows with every cell as a `TableCell`."""
        return [[cell if isinstance(cell, TableCell) else TableCell(cell) for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Chart:
    """A figure; name: of its file; caption: also read to those who do not see it. draw: makes it for some paper."""

    name: str
    draw: Callable[[Paper], Figure]
    caption: str
    kind: str = "chart"

    @cached_property
    def wide(self) -> Figure:
        """Return the figure as a screen and a file show it."""
        return self.draw(WIDE)

    @property
    def narrow(self) -> Figure:
        """Return the figure as a phone shows it: one panel a line."""
        return self.draw(NARROW)


@dataclass(frozen=True)
class PictureList:
    """Pictures of the run's folder, each with the line below it."""

    shown: Sequence[tuple[Path, str]]
    kind: str = "pictures"


@dataclass(frozen=True)
class Strip:
    """Pictures in a line, under what they are of."""

    name: str
    about: str
    pictures: Sequence[Path]
    kind: str = "strip"


@dataclass(frozen=True)
class Map:
    """An entry's anomaly map, and what it came to; right: whether that is, None where nothing decides."""

    entry: str
    picture: Path
    text: str
    right: bool | None


@dataclass(frozen=True)
class Compared:
    """One image, folded away, with the maps of all that judged it; rows: a detector's, an entry after the other."""

    image: Path
    title: str
    about: str
    rows: Sequence[tuple[str, Sequence[Map]]]
    kind: str = "compared"


@dataclass(frozen=True)
class Code:
    """Text that is shown as it is."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away below their title; is_open: that are not, at first."""

    title: str
    blocks: Sequence[Block]
    is_open: bool = False
    kind: str = "details"


Block = Text | Table | Chart | PictureList | Strip | Compared | Code | Details


@dataclass(frozen=True)
class Section:
    """A heading and what is below it."""

    title: str
    blocks: Sequence[Block] = field(default_factory=list)
