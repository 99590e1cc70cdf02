"""Contact sheets: what a dataset's samples look like, and which pixels count as foreground."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from anomgen.dataset.normals import NormalImages
from anomgen.dataset.panel import Panel, difference
from anomgen.dataset.pictures import coloured, displayable, factor_of, grey, outlined, saturated, scale_of
from anomgen.dataset.reader import Dataset
from anomgen.dataset.row import ANOMALY
from anomgen.errors import printable
from anomgen.files import replacing

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

    from anomgen.sources.pool import Pool

TILE = 256
"""Longest side of a picture on a sheet; larger images are shrunk, small ones enlarged by a whole factor."""

GAP = 8
MARGIN = 16
LEGIBLE = 10
"""Characters of a part of a caption that are worth showing."""
PAPER = 255
INK = (32, 32, 32)
FAINT = (112, 112, 112)
EMPTY = 238
TITLE_SIZE, HEADING_SIZE, CAPTION_SIZE = 17, 14, 13


def preview_sheet(panels: Iterable[Panel], title: str = "") -> np.ndarray:
    """Return a sheet, (H, W, 3) uint8: normal | anomalous | mask | soft mask | difference, one sample a row.

    The column of soft masks is left out where no sample has one. The difference is the mean over the channels,
    multiplied by a factor that the heading states. 16-bit images are scaled to the largest value of their row. The
    samples are taken one by one, and only what is shown of each is kept.
    """
    shown = list(map(_Shown.of, panels))
    soft = any(one.soft_mask is not None for one in shown)
    factor = factor_of(np.sum([one.saturated for one in shown], axis=0))
    headings = ["normal", "anomalous", "mask", *(["soft mask"] if soft else [])]
    headings.append("difference" if factor == 1 else f"difference x{factor}")
    return laid_out(title, headings, [(one.tiles(soft, factor), one.caption) for one in shown])


def tile(panel: Panel) -> np.ndarray:
    """Return a panel's image beside the same with its mask outlined, (H, W, 3) uint8."""
    shown = fitted(displayable(panel.image, scale_of(panel.image)))
    inside = fitted(grey(panel.mask * np.float32(255)))[..., 0] > 127
    gap = np.full((shown.shape[0], GAP, 3), PAPER, dtype=np.uint8)
    return np.hstack([shown, gap, outlined(shown, inside)])


def foreground_sheet(
    samples: Iterable[tuple[np.ndarray, np.ndarray | None, str]], title: str = "", heading: str = "foreground"
) -> np.ndarray:
    """Return a sheet, (H, W, 3) uint8: image | the same with the background dimmed and the foreground outlined.

    samples: image (H, W, C) uint8 or uint16, mask, bool (H, W), or None where the whole image is foreground, and
    caption; taken one by one, and not kept. heading: what the masks are of.
    """
    return laid_out(title, ["image", heading], list(itertools.starmap(_segmented, samples)))


def _segmented(image: np.ndarray, mask: np.ndarray | None, caption: str) -> Line:
    shown = displayable(image, scale_of(image))
    share = "no background: the whole image" if mask is None else f"{mask.mean():.0%} of the image"
    return [fitted(shown), _dimmed(shown, mask)], f"{caption} · {share}" if caption else share


@dataclass(frozen=True)
class InspectionPanel:
    """One inspected image as a sheet shows it: (H, W, 3) uint8 of at most `TILE` pixels a side, its map, its mask."""

    image: np.ndarray
    map: np.ndarray
    mask: np.ndarray | None
    caption: str

    @classmethod
    def of(cls, image: np.ndarray, anomaly_map: np.ndarray, mask: np.ndarray | None, caption: str) -> InspectionPanel:
        """Return the panel of an image (H, W, C) of any size; the map may have another size. The image is not kept."""
        tile = fitted(displayable(image, scale_of(image)))
        size = tile.shape[1::-1]
        marked = None if mask is None else cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        return cls(tile, cv2.resize(anomaly_map, size, interpolation=cv2.INTER_LINEAR), marked, caption)


def inspection_sheet(panels: Sequence[InspectionPanel], title: str = "", limit: float | None = None) -> np.ndarray:
    """Return a sheet, (H, W, 3) uint8: image | the same with the mask's outline | anomaly map.

    limit: value of the map from which a pixel is anomalous; it is shown half as bright as the brightest. Without it
    the highest value is the brightest.
    """
    brightest = 2 * limit if limit else max(float(panel.map.max()) for panel in panels)
    rows = [
        (
            [
                panel.image,
                panel.image if panel.mask is None else outlined(panel.image, panel.mask),
                coloured(panel.map * (255 / max(brightest, 1e-12))),
            ],
            panel.caption,
        )
        for panel in panels
    ]
    return laid_out(title, ["image", "mask", "map"], rows)


def dataset_panels(dataset: Dataset, count: int = 8, pool: Pool | None = None) -> Iterator[Panel]:
    """Yield panels of anomalous rows of a dataset: spread evenly, and over all defect types.

    Rows without a normal image, neither in the dataset nor in `pool`, are shown without it. A dataset of normal
    rows alone gives panels of normal rows.
    """
    normals = NormalImages(dataset, pool)
    value_range = dataset.value_range if pool is None else pool.value_range
    for index in _chosen(dataset, count):
        yield Panel.of_stored(dataset.row(index), normals, value_range)


def write_sheet(sheet: np.ndarray, path: Path) -> None:
    """Write a sheet as PNG, whole or not at all. Raises AnomgenError when it cannot be written."""
    settings = (cv2.IMWRITE_PNG_COMPRESSION, 6)
    data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), settings)[1]
    with replacing(path) as file:
        file.write(data.tobytes())


def wrapped(text: str, size: int, width: int, most: int) -> list[str]:
    """Return a text in at most so many lines, broken between words; the last has the rest, however long."""
    words = text.split(" ")
    lines: list[str] = []
    while words and len(lines) < most - 1:
        fits = 1
        while fits < len(words) and _text_width(" ".join(words[: fits + 1]), size) <= width:
            fits += 1
        lines.append(" ".join(words[:fits]))
        words = words[fits:]
    return [*lines, " ".join(words)] if words else lines


def texts_on(sheet: np.ndarray, texts: Sequence[tuple[int, int, str, int, tuple[int, int, int], int]]) -> np.ndarray:
    """Return a sheet with texts: where (x, y), what, in which size and colour, cut to which width."""
    return _written(sheet, [(x, y, _shortened(text, size, w), size, colour) for x, y, text, size, colour, w in texts])


# --- choosing -------------------------------------------------------------------------------------------------------


def _chosen(dataset: Dataset, count: int) -> list[int]:
    """Return indices of anomalous rows: as many of each defect type as can be, spread evenly over the dataset."""
    table = dataset.table(["index", "label", "defect_type"])
    index, label, kind = (table[name].to_numpy() for name in table.column_names)
    anomalous = label == ANOMALY
    if not anomalous.any():
        anomalous = ~anomalous
    groups = [index[anomalous & (kind == number)] for number in np.unique(kind[anomalous])]
    places = min(count, sum(map(len, groups)))
    quotas = [0] * len(groups)
    while sum(quotas) < places:
        for number, group in enumerate(groups):
            if quotas[number] < len(group) and sum(quotas) < places:
                quotas[number] += 1
    chosen = [
        int(group[(2 * k + 1) * len(group) // (2 * quota)])
        for group, quota in zip(groups, quotas, strict=True)
        for k in range(quota)
    ]
    return sorted(chosen)


# --- pictures -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shown:
    """What a sheet shows of a panel, as tiles, (H, W, 3) uint8.

    difference: float32 (H, W), in levels of 255. saturated: see `anomgen.dataset.pictures.saturated`.
    """

    normal: np.ndarray | None
    image: np.ndarray
    mask: np.ndarray
    soft_mask: np.ndarray | None
    difference: np.ndarray | None
    saturated: np.ndarray
    caption: str

    @classmethod
    def of(cls, panel: Panel) -> _Shown:
        scale, soft = scale_of(panel.image, panel.normal), panel.soft_mask
        changes = None if panel.normal is None else difference(panel)
        return cls(
            None if panel.normal is None else fitted(displayable(panel.normal, scale)),
            fitted(displayable(panel.image, scale)),
            fitted(grey(panel.mask * np.float32(255))),
            None if soft is None else fitted(grey(soft * np.float32(255))),
            None if changes is None else fitted(changes),
            saturated(np.zeros(0) if changes is None else changes),
            panel.caption,
        )

    def tiles(self, soft: bool, factor: int) -> list[np.ndarray | str]:
        return [
            "not in the dataset" if self.normal is None else self.normal,
            self.image,
            self.mask,
            *(["none" if self.soft_mask is None else self.soft_mask] if soft else []),
            "not known" if self.difference is None else coloured(self.difference * factor),
        ]


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of the tile of an image: longest side at most `TILE`, small ones enlarged."""
    longest = max(shape[:2])
    scale = max(TILE // longest, 1) if longest <= TILE else TILE / longest
    return max(round(shape[0] * scale), 1), max(round(shape[1] * scale), 1)


def fitted(image: np.ndarray) -> np.ndarray:
    """Return an image (H, W, C) as a tile: its longest side at most `TILE`, small ones enlarged by a whole factor."""
    height, width = _size(image.shape)
    if (height, width) == image.shape[:2]:
        return image
    shrinking = height < image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_NEAREST)


def _dimmed(shown: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return the tile of an image with its background dimmed and a line around the foreground."""
    tile = fitted(shown)
    if mask is None:
        return tile
    inside = fitted(grey(mask * np.float32(255)))[..., 0] > 127
    dimmed = np.rint(tile * np.float32(0.2) + np.float32(0.1 * 255)).astype(np.uint8)
    return outlined(np.where(inside[..., None], tile, dimmed), inside)


# --- the sheet ------------------------------------------------------------------------------------------------------

Line = tuple[Sequence[np.ndarray | str], str]
"""The pictures of one row of a sheet, or why one is missing, and the line of text below them."""

Text = tuple[int, int, str, int, tuple[int, int, int]]
"""Where to write (x, y), what, in which size and colour."""


def laid_out(title: str, headings: Sequence[str], lines: Sequence[Line], note: str = "") -> np.ndarray:
    """Lay out rows of tiles on white paper: a title, a heading a column, a caption below each row.

    note: stands where the headings would, if these are empty.
    """
    known = [tile for tiles, _ in lines for tile in tiles if not isinstance(tile, str)]
    step = GAP + max([tile.shape[1] for tile in known] + [_text_width(text, HEADING_SIZE) for text in headings])
    width = 2 * MARGIN + step * len(headings) - GAP
    heights = [max(tile.shape[0] for tile in tiles if not isinstance(tile, str)) for tiles, _ in lines]
    tops = np.cumsum([0, *(height + CAPTION_SIZE + 2 * GAP for height in heights)])
    top = MARGIN + (2 * TITLE_SIZE if title else 0) + HEADING_SIZE + GAP
    sheet = np.full((top + int(tops[-1]) + MARGIN - GAP, width, 3), PAPER, np.uint8)
    texts: list[Text] = [(MARGIN, MARGIN - 4, _shortened(title, TITLE_SIZE, width - 2 * MARGIN), TITLE_SIZE, INK)]
    for column, heading in enumerate(headings):
        texts.append((MARGIN + column * step, top - HEADING_SIZE - GAP, heading, HEADING_SIZE, INK))
    if note:
        shown = _shortened(note, HEADING_SIZE, width - 2 * MARGIN)
        texts.append((MARGIN, top - HEADING_SIZE - GAP, shown, HEADING_SIZE, INK))
    for (tiles, caption), height, y in zip(lines, heights, top + tops[:-1], strict=True):
        for column, tile in enumerate(tiles):
            x = MARGIN + column * step
            if isinstance(tile, str):
                sheet[y : y + height, x : x + step - GAP] = EMPTY
                texts.append((x + GAP, int(y) + GAP, tile, CAPTION_SIZE, FAINT))
            else:
                sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
        shown = _shortened(caption, CAPTION_SIZE, width - 2 * MARGIN)
        texts.append((MARGIN, int(y) + height + GAP // 2, shown, CAPTION_SIZE, FAINT))
    return _written(sheet, texts)


def _written(sheet: np.ndarray, texts: Sequence[Text]) -> np.ndarray:
    from PIL import Image, ImageDraw

    picture = Image.fromarray(sheet)
    draw = ImageDraw.Draw(picture)
    for x, y, text, size, colour in texts:
        draw.text((x, y), text, fill=colour, font=_font(size))
    return np.asarray(picture)


@cache
def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


@cache
def _drawable(character: str) -> str:
    """Return a character as the font has it: itself, without its accent, or a question mark."""
    missing = bytes(_font(CAPTION_SIZE).getmask("\uffff"))
    plain = unicodedata.normalize("NFKD", character)[0]
    return next((c for c in (character, plain) if bytes(_font(CAPTION_SIZE).getmask(c)) != missing), "?")


def _text_width(text: str, size: int) -> int:
    return int(np.ceil(_font(size).getlength(text)))


def _shortened(text: str, size: int, width: int) -> str:
    """Return as much of a text as fits, without a last part of which hardly anything would be left."""
    text = "".join(map(_drawable, printable(text).replace("\n", " ")))
    if _text_width(text, size) <= width:
        return text
    text = text[: max(width // 3, 1)]
    while text and _text_width(text + "...", size) > width:
        text = text[:-1]
    before, dot, last = text.rpartition(" · ")
    return before if dot and len(last) < LEGIBLE else text + "..."
