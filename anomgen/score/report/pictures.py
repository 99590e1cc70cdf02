"""What one looks at: what each recipe draws, and test images with the maps of every recipe side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from anomgen.score.report.blocks import Block, Compared, Details, Map, Strip, Text
from anomgen.score.report.summary import SPARE, Run, of
from anomgen.score.result import Done
from anomgen.score.rows import MAPS
from anomgen.sources.labelled import NORMAL

Strips = Mapping[str, Mapping[str, Sequence[Path]]]
"""Data set → entry → pictures of what it draws there, in the run's folder."""
MOST_MAPS, MOST_BYTES = 1200, 16 << 20
"""Maps that a page holds, and bytes of their files; of more, each data set shows fewer images."""
COMPARED = (
    "Test images, and the anomaly map of every recipe and detector (first seed): bright is anomalous, each on its own "
    "scale. ✓ and ✗: whether the threshold that flags at most 5 % of the normal validation images is right about it."
)


def drawn(run: Run, strips: Strips) -> Iterator[Block]:
    """Yield what each entry draws, a data set at a time, the best entry first."""
    for name in (data for data in run.data if data in strips):
        lines: list[Block] = [
            Strip(run.about(entry), "", strips[name][entry]) for entry in run.entries if strips[name].get(entry)
        ]
        if len(strips) > 1:
            yield Details(f"On {name}", lines, is_open=name == next(iter(strips)))
        else:
            yield from lines


def compared(run: Run, folder: Path) -> Iterator[Block]:
    """Yield the test images that every training keeps the map of, each with all these maps."""
    rows = [row for row in _first_seeds(run) if row.examples.shown and (folder / MAPS / row.key).is_dir()]
    each = max(_room(rows, folder) // len(rows), 1) if rows else 0
    if rows:
        yield Text(COMPARED)
    for name in run.data:
        own = of(rows, data=name)
        count = min((len(row.examples.shown) for row in own), default=0)
        images = [_image(run, own, folder, k) for k in _thinned(count, each)]
        if images:
            yield Details(f"{name}: {len(images)} images", images, is_open=name == run.data[0])


def _room(rows: Sequence[Done], folder: Path) -> int:
    """Return how many maps a page has room for; those of noise take six times as much as smooth ones."""
    sizes = [file.stat().st_size for row in rows for file in (folder / MAPS / row.key).glob("map-*.webp")]
    return min(MOST_MAPS, MOST_BYTES * len(sizes) // max(sum(sizes), 1))


def _first_seeds(run: Run) -> Iterator[Done]:
    seen = set()
    for row in run.done:  # in the order of their seeds
        place = row.data, row.entry, row.detector
        if place not in seen:
            seen.add(place)
            yield row


def _thinned(count: int, each: int) -> list[int]:
    """Return which of `count` images are shown if there is room for `each`: spread evenly."""
    kept = min(count, each)
    return [(2 * k + 1) * count // (2 * kept) for k in range(kept)]


def _image(run: Run, rows: Sequence[Done], folder: Path, k: int) -> Compared:
    shown = rows[0].examples.shown[k]
    lines = []
    for detector in [*run.detectors, SPARE]:
        own = {row.entry: row for row in of(rows, detector=detector)}
        maps = [found for entry in run.entries if entry in own and (found := _map(own[entry], folder, k))]
        if maps:
            lines.append(("no anomalies" if detector == SPARE else detector, maps))
    right = [found.right for _, maps in lines for found in maps if found.right is not None]
    told = f"{sum(right)} of {len(right)} are right about it" if right else ""
    path = Path(MAPS, rows[0].key, f"image-{k}.webp")
    return Compared(path, f"{shown.image} · {shown.defect_type}", told, lines)


def _map(row: Done, folder: Path, k: int) -> Map | None:
    path = Path(MAPS, row.key, f"map-{k}.webp")
    if len(row.examples.shown) <= k or not (folder / path).is_file():
        return None
    shown, limit = row.examples.shown[k], row.thresholds.max_fpr_5.threshold
    right = None if limit is None else (shown.score >= limit) == (shown.defect_type != NORMAL)
    return Map(row.entry, path, f"{shown.score:.3g}", right)
