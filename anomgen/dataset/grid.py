"""Samples side by side: each outlined, beside a crop of its anomaly; as a picture, or as a page of its own."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib import resources
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from anomgen.cards import templates
from anomgen.config.text import write_yaml
from anomgen.dataset.panel import VIEWS, Panel
from anomgen.dataset.pictures import at_most, encoded, outline_of, outlined
from anomgen.dataset.preview import (
    CAPTION_SIZE,
    EMPTY,
    FAINT,
    GAP,
    INK,
    MARGIN,
    PAPER,
    TITLE_SIZE,
    dataset_panels,
    texts_on,
    wrapped,
)
from anomgen.dataset.reader import Dataset
from anomgen.errors import printable
from anomgen.files import holds, note_kept, replacing
from anomgen.sources.pool import Pool

SIDE = 256
"""Longest side of a picture in a grid."""
LEADING = 3
"""Pixels between two lines of a caption."""
CARD_SIDE = 160
"""The same on a dataset's card, for at most 300 kB of …"""
CARD_COLOURS = 256
"""… so many colours."""
AROUND = 1.5
"""Side of a crop, in that of the anomaly's largest piece …"""
SMALLEST = 1 / 6
"""… and at least this share of the image's shorter side."""
PAGE_SIDE = 512
"""Longest side of a picture in a gallery …"""
CROP_SIDE = 256
"""… and of the crop of its anomaly."""


@dataclass(frozen=True)
class Group:
    """Samples of one recipe or dataset, under its name; what draws them takes them one by one, once."""

    name: str
    panels: Iterable[Panel]


def complete_preview(dataset: Dataset, path: Path, count: int = 8, pool: Pool | None = None) -> None:
    """Write samples of a dataset as a small PNG for its card, unless another one is there: it stays, as a note says.

    The same dataset gives the same bytes.
    """
    data = _small_sheet(dataset, count, pool)
    if not path.exists():
        with replacing(path) as file:
            file.write(data)
    elif not holds(path, data):
        note_kept(path)


def _small_sheet(dataset: Dataset, count: int, pool: Pool | None) -> bytes:
    from PIL import Image

    name = dataset.recipe.get("name", dataset.path.name)
    group = Group(name, dataset_panels(dataset, count, pool))
    sheet = Image.fromarray(grid_sheet([group], 2, f"{name} · {len(dataset)} rows", CARD_SIDE))
    small = sheet.quantize(CARD_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    written = BytesIO()
    small.save(written, "PNG", optimize=True)
    return written.getvalue()


def grid_sheet(groups: Sequence[Group], columns: int, title: str = "", side: int = SIDE, told: int = 1) -> np.ndarray:
    """Return a picture, (H, W, 3) uint8, of samples, each outlined beside a crop of its anomaly.

    columns: samples a line; several groups stand side by side instead, one a column, so that a line shows sample k of
    each. side: longest one of a picture. told: lines of text below each, at most.
    """
    cells = [list(map(partial(_Cell.of, longest=side), group.panels)) for group in groups]
    lines: list[Sequence[_Cell | None]] = list(zip_longest(*cells))
    if len(groups) == 1:
        lines = [cells[0][k : k + columns] for k in range(0, len(cells[0]), columns)]
    heads = [group.name for group in groups] if len(groups) > 1 else []
    return _laid_out(lines, heads, title, side, told)


@dataclass(frozen=True)
class _Cell:
    picture: np.ndarray
    caption: str

    @classmethod
    def of(cls, panel: Panel, longest: int) -> _Cell:
        image = panel.picture("image")
        assert image is not None
        whole = framed(image, panel.mask, _scale_to(image.shape, longest))
        if not panel.mask.any():
            return cls(whole, panel.caption)
        rows, columns = crop_of(panel.mask)
        part = np.ascontiguousarray(image[rows, columns])
        side = whole.shape[0]
        crop = cv2.resize(
            part, (side, side), interpolation=cv2.INTER_NEAREST if part.shape[0] < side else cv2.INTER_AREA
        )
        gap = np.full((side, GAP // 2, 3), PAPER, np.uint8)
        return cls(np.hstack([whole, gap, crop]), panel.caption)


def crop_of(mask: np.ndarray) -> tuple[slice, slice]:
    """Return rows and columns of a square around the largest piece of a mask, bool (H, W), inside the image."""
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    x, y, w, h, _ = boxes[1:][int(boxes[1:, cv2.CC_STAT_AREA].argmax())]
    height, width = mask.shape
    side = min(max(round(AROUND * max(w, h)), round(SMALLEST * min(height, width)), 8), height, width)
    top = min(max(int(y + h / 2 - side / 2), 0), height - side)
    left = min(max(int(x + w / 2 - side / 2), 0), width - side)
    return slice(top, top + side), slice(left, left + side)


def _scale_to(shape: tuple[int, ...], side: int) -> float:
    """Return what brings an image's longest side to `side`: small ones by a whole factor."""
    longest = max(shape[:2])
    return side / longest if longest > side else float(side // longest)


def framed(image: np.ndarray, mask: np.ndarray, scale: float) -> np.ndarray:
    """Return an image, uint8 (H, W, 3), enlarged or shrunk, with a line around the mask, bool (H, W)."""
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    how = cv2.INTER_NEAREST if scale >= 1 else cv2.INTER_AREA
    shown = cv2.resize(image, (width, height), interpolation=how)
    inside = cv2.resize(mask.view(np.uint8) * 255, (width, height), interpolation=how) > 127
    return outlined(shown, inside)


def _laid_out(
    lines: Sequence[Sequence[_Cell | None]], heads: Sequence[str], title: str, side: int, told: int
) -> np.ndarray:
    """Lay cells out on white paper: a title, a head above each column, a caption below each cell."""
    known = [cell for line in lines for cell in line if cell is not None]
    step = 2 * GAP + max(cell.picture.shape[1] for cell in known)
    width = 2 * MARGIN + step * max(len(heads), *map(len, lines)) - 2 * GAP
    top = MARGIN + (2 * TITLE_SIZE if title else 0) + (2 * CAPTION_SIZE if heads else 0)
    heights = [max((cell.picture.shape[0] for cell in line if cell), default=side) for line in lines]
    below = (told + 1) * CAPTION_SIZE + GAP + (told - 1) * LEADING
    tops = top + np.cumsum([0, *(height + below for height in heights)])
    sheet = np.full((int(tops[-1]) + MARGIN - GAP, width, 3), PAPER, np.uint8)
    texts = [(MARGIN, MARGIN - 4, title, TITLE_SIZE, INK, width - 2 * MARGIN)]
    for column, head in enumerate(heads):
        texts.append((MARGIN + column * step, top - 2 * CAPTION_SIZE, head, CAPTION_SIZE + 1, INK, step - 2 * GAP))
    for line, y in zip(lines, tops[:-1], strict=True):
        for column, cell in enumerate(line):
            x = MARGIN + column * step
            if cell is None:
                sheet[y : y + side, x : x + step - 2 * GAP] = EMPTY
                continue
            height, cell_width = cell.picture.shape[:2]
            sheet[y : y + height, x : x + cell_width] = cell.picture
            for number, text in enumerate(wrapped(cell.caption, CAPTION_SIZE, step - 2 * GAP, told)):
                line_top = int(y) + height + 3 + number * (CAPTION_SIZE + LEADING)
                texts.append((x, line_top, text, CAPTION_SIZE, FAINT, step - 2 * GAP))
    return texts_on(sheet, texts)


# --- a page ---------------------------------------------------------------------------------------------------------


def write_gallery(
    groups: Sequence[Group], path: Path, title: str, notes: Sequence[str] = (), columns: int | None = None
) -> None:
    """Write samples as one HTML file that needs nothing else: views, outlines, records, each enlarged on a click.

    columns: samples a line, where the screen has room; by default as many as fit. Several groups stand side by side,
    one a column, so that a line shows sample k of each. The page runs its own script alone, known by its hash, so
    that nothing in a name can be one.
    """
    from markupsafe import Markup

    folder = Path(str(resources.files("anomgen.dataset")))
    script = (folder / "gallery.js").read_text(encoding="utf-8")
    known = b64encode(sha256(script.encode()).digest()).decode()
    template = templates(folder, autoescape=True).get_template("gallery.html")
    columns = len(groups) if len(groups) > 1 else columns
    names = [group.name for group in groups]
    lines = list(zip_longest(*(_samples(group) for group in groups)))
    with replacing(path) as file:
        told = {"title": title, "notes": notes, "names": names, "lines": lines, "columns": columns}
        page = template.render(**told, script=Markup(script), hash=known)
        file.write(printable(page).encode())


def _samples(group: Group) -> Iterator[dict[str, Any]]:
    for panel in group.panels:
        height, width = panel.mask.shape
        pictures = {view: _data_url(picture) for view in VIEWS if (picture := panel.picture(view)) is not None}
        outline = outline_of(panel.mask)
        record = _written(panel.record) if panel.record else ""
        image = panel.picture("image")
        crop = _data_url(image[crop_of(panel.mask)], CROP_SIDE) if image is not None and panel.mask.any() else None
        shown = {"caption": panel.caption, "height": height, "width": width, "outline": outline, "pictures": pictures}
        yield {**shown, "record": record, "crop": crop}


def _written(record: dict[str, Any]) -> str:
    """Return a record as YAML, short lists in a line."""
    return write_yaml(record, width=80, flow=None).rstrip("\n")


def _data_url(picture: np.ndarray, side: int = PAGE_SIDE) -> str:
    data = encoded(at_most(np.ascontiguousarray(picture), side), ".webp")
    return f"data:image/webp;base64,{b64encode(data).decode()}"
