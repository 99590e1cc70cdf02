"""What a report consists of: sections of text, tables, charts and pictures, which the templates write out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

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
    """A figure; name: of its file; caption: also read to those who do not see it."""

    name: str
    figure: Figure
    caption: str
    kind: str = "chart"


@dataclass(frozen=True)
class PictureList:
    """Pictures of the run's folder, each with the line below it."""

    shown: Sequence[tuple[Path, str]]
    kind: str = "pictures"


@dataclass(frozen=True)
class Code:
    """Text that is shown as it is."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away below their title."""

    title: str
    blocks: Sequence[Block]
    kind: str = "details"


Block = Text | Table | Chart | PictureList | Code | Details


@dataclass(frozen=True)
class Section:
    """A heading and what is below it."""

    title: str
    blocks: Sequence[Block] = field(default_factory=list)
