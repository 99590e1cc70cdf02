"""`inspect`: all images of a folder, however many, and what is written of them."""

from __future__ import annotations

import csv
import hashlib
import heapq
import json
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import cv2
import numpy as np

from anomgen.config.text import read_json
from anomgen.errors import AnomgenNote, Progress, SourceError, UsageError, printable, silent
from anomgen.files import Earlier, holds_earlier, json_object, locked, refuse_inside, remove, replacing, writing
from anomgen.places import home, local, regular
from anomgen.score.inspector.inspector import Inspection, Inspector
from anomgen.score.request import require_extra
from anomgen.sources.folder import FileReader, existing_folder
from anomgen.sources.images import quiet, read_image
from anomgen.sources.sorting import sorted_pictures
from anomgen.sources.tree import left_out, no_image, tree_of
from anomgen.versions import cores

SUMMARY, TABLE, LINES, SHEET = "inspection.json", "findings.csv", "findings.jsonl", "sheet.png"
MAPS, MASKS = "maps", "masks"
MARK = "anomgen_inspection"
"""Key of the record's version."""
COLUMNS = ("image", "score", "anomalous", "area")
AT_ONCE = 16
"""Images that are decoded and inspected together."""
PIXELS_AT_ONCE = 64_000_000
"""Their pixels, where they are large: about what is held in memory."""
LONGEST = 200
"""Bytes of a name, without its ending, from which on a map's or mask's is shortened."""
SHOWN = 12
"""Images on the sheet: those of the highest scores."""


@dataclass
class Findings:
    """What an inspection came to. unreadable: why each of those images could not be used."""

    path: Path
    images: int = 0
    anomalous: int = 0
    threshold: float = 0.0
    rule: str = ""
    unreadable: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Return images per second, all reading and writing included."""
        return self.images / self.seconds if self.seconds else 0.0


def inspect(
    detector: str | Path | Inspector,
    images: str | Path,
    out: str | Path,
    *,
    limit: str | Sequence[str] = (),
    skip_unreadable: bool = False,
    maps: bool = True,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Findings:
    """Inspect all images below a folder, or one file, and write what was found; memory does not grow with their number.

    detector: a folder that `anomgen fit` wrote, its id on the Hub, or an `Inspector`. out gets ``findings.csv`` and
    ``findings.jsonl`` (image, score, anomalous, area of the mask), ``masks/*.png`` at the images' own size,
    ``maps/*.tiff``, float32 at the detector's size, ``sheet.png`` of the highest scores, and ``inspection.json``.
    limit: another rule for the threshold, see `Inspector.load`. maps: whether maps and masks are written.

    Raises UsageError for a wrong request. Images that cannot be used raise SourceError at the end, when all others have
    been inspected; with `skip_unreadable` they are only listed.
    """
    require_extra()
    place = local(out)
    root, names, notes = _listed(images)
    refuse_inside(place, str(root))
    holds_earlier(place, "findings of `anomgen inspect`", _earlier, overwrite=overwrite)
    inspector = detector if isinstance(detector, Inspector) else Inspector.load(detector, limit=limit)
    for note in notes:
        warnings.warn(note, AnomgenNote, stacklevel=2)
    threshold = inspector.description.threshold
    found = Findings(place, threshold=threshold.score, rule=threshold.rule)
    with locked(place):
        if maps:
            _refuse_foreign_maps(place, names)
        _record(place, {})
        _clear(place)
        started = time.perf_counter()
        with Writer(place, inspector, names, maps=maps) as writer:
            for name, image, finding in _inspected(inspector, FileReader(root), names, found.unreadable):
                writer.add(name, image, finding)
                found.images += 1
                found.anomalous += finding.is_anomalous
                progress(found.images + len(found.unreadable), len(names))
            found.seconds = time.perf_counter() - started
            writer.finish(found)
    if found.unreadable and not skip_unreadable:
        shown = "\n  ".join([*found.unreadable[:5], *(["…"] if len(found.unreadable) > 5 else [])])
        raise SourceError(
            f"{images}: {len(found.unreadable)} of {len(names)} images cannot be used:\n  {shown}\nThe others are "
            f"inspected, and {place / SUMMARY} lists these; mend or remove them, or leave them out with "
            "--skip-unreadable"
        )
    return found


# --- reading --------------------------------------------------------------------------------------------------------


def _listed(images: str | Path) -> tuple[Path, list[str], tuple[str, ...]]:
    """Return a folder, the names of the images below it, and notes on what was left out."""
    path = home(images)
    if path.is_file():
        return path.resolve().parent, [path.name], ()
    root = existing_folder(str(images), "images to inspect").resolve()
    files = tree_of(root)
    names, masks, notes = sorted_pictures(files.pictures, FileReader(root), str(images))
    if not names:
        raise no_image(str(images), files)
    return root, names, (*notes, *left_out(sorted(masks), "masks"))


def _inspected(
    inspector: Inspector, read: FileReader, names: Sequence[str], unreadable: list[str]
) -> Iterator[tuple[str, np.ndarray, Inspection]]:
    """Yield each image's name, its pixels as stored and what was found, in order; add to `unreadable` why not."""

    def opened(name: str) -> tuple[str, np.ndarray, np.ndarray] | str:
        try:
            name.encode()
            image = read_image(read(name), name)
            return name, image, inspector.seen(image, name)
        except SourceError as error:
            return str(error)
        except UnicodeEncodeError:
            return f"{ascii(name)[1:-1]}: its name is not valid Unicode; rename it"

    with quiet(), ThreadPoolExecutor(min(4, cores())) as executor:
        start, count = 0, 1
        while start < len(names):
            results = list(executor.map(opened, names[start : start + count]))
            start += count
            unreadable += [result for result in results if isinstance(result, str)]
            good = [result for result in results if not isinstance(result, str)]
            found = inspector.inspect_seen([seen for _, _, seen in good], [image.shape for _, image, _ in good])
            for (name, image, _), finding in zip(good, found, strict=True):
                yield name, image, finding
            largest = max((shown.shape[0] * shown.shape[1] for _, *both in good for shown in both), default=1)
            count = max(1, min(AT_ONCE, PIXELS_AT_ONCE // largest))


# --- writing --------------------------------------------------------------------------------------------------------


class Writer:
    """Writes findings as they come; the summary, which makes the record that of a finished inspection, comes last."""

    def __init__(self, out: Path, inspector: Inspector, names: Sequence[str], *, maps: bool):
        self._out, self._inspector = out, inspector
        self._maps = _map_names(names) if maps else None
        self._highest: list[tuple[float, int, Any]] = []
        self._count = 0
        self._files = ExitStack()

    def __enter__(self) -> Writer:
        with writing(self._out):
            table = self._files.enter_context((self._out / TABLE).open("x", encoding="utf-8", newline=""))
            lines = (self._out / LINES).open("x", encoding="utf-8", buffering=1)  # a line is there before its maps
            self._lines: IO[str] = self._files.enter_context(lines)
        self._table = csv.writer(table)
        self._table.writerow(COLUMNS)
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, name: str, image: np.ndarray, finding: Inspection) -> None:
        """Write what was found on an image (H, W, C)."""
        area = None if finding.area is None else round(finding.area, 6)
        values = dict(zip(COLUMNS, (name, finding.score, finding.is_anomalous, area), strict=True))
        with writing(self._out):
            self._table.writerow([_cell(value) for value in values.values()])
            self._lines.write(json.dumps(values, ensure_ascii=False) + "\n")
        if self._maps is not None:
            self._write(MAPS, self._maps[name] + ".tiff", finding.map)
            if finding.mask is not None:
                self._write(MASKS, self._maps[name] + ".png", finding.mask.astype(np.uint8) * 255)
        self._count += 1
        if len(self._highest) < SHOWN or finding.score > self._highest[0][0]:
            shown = (finding.score, -self._count, _panel(name, image, finding))
            (heapq.heappush if len(self._highest) < SHOWN else heapq.heapreplace)(self._highest, shown)

    def _write(self, folder: str, name: str, values: np.ndarray) -> None:
        with replacing(self._out / folder / name, sync=False) as file:
            file.write(cv2.imencode(PurePosixPath(name).suffix, values)[1].tobytes())

    def finish(self, found: Findings) -> None:
        """Write the sheet and the summary."""
        from anomgen.dataset.preview import inspection_sheet, write_sheet

        description = self._inspector.description
        panels = [panel for _, _, panel in sorted(self._highest, reverse=True)]
        if panels:
            text = description.text.replace("×", "x")  # which the sheet's font lacks
            title = f"{text} · highest of {found.images} scores · flagged from {found.threshold:.4g}"
            write_sheet(inspection_sheet(panels, title, description.pixel_threshold), self._out / SHEET)
        summary = {
            "detector": description.text,
            "weights": description.weights,
            "threshold": found.threshold,
            "rule": found.rule,
            "pixel_threshold": description.pixel_threshold,
            "score": description.score,
            "images": found.images,
            "anomalous": found.anomalous,
            "unreadable": found.unreadable,
            "seconds": round(found.seconds, 2),
            "images_per_second": round(found.rate, 1),
        }
        _record(self._out, summary)


def _record(out: Path, summary: dict[str, Any]) -> None:
    """Write the record, by which a folder of findings is known; without a summary they are not finished."""
    record = {MARK: 1, "finished": bool(summary), **summary}
    with replacing(out / SUMMARY) as file:
        file.write(json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n")


def _map_names(names: Sequence[str]) -> dict[str, str]:
    """Return how the maps and masks of images are called, without the ending: as these, where two share a stem."""
    stems = {name: str(PurePosixPath(name).with_suffix("")) for name in names}
    counts = Counter(stems.values())
    return {name: _shortened(name if counts[stem] > 1 else stem) for name, stem in stems.items()}


def _shortened(stem: str) -> str:
    """Return a path whose last part leaves room for an ending, and for what is added while it is written."""
    path = PurePosixPath(stem)
    if len(path.name.encode()) <= LONGEST:
        return stem
    digest = hashlib.sha256(path.name.encode()).hexdigest()[:16]
    start = path.name.encode()[: LONGEST - 1 - len(digest)].decode(errors="ignore")
    return str(path.with_name(f"{start}-{digest}"))


def _cell(value: Any) -> Any:
    """Return a value as a table has it: true and false in small letters, floats exact, nothing for None.

    What in a name would steer a terminal is written out; the file of lines has names as they are.
    """
    if isinstance(value, str):
        return printable(value)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value


def _panel(name: str, image: np.ndarray, finding: Inspection) -> Any:
    from anomgen.dataset.preview import InspectionPanel

    flag = "anomalous" if finding.is_anomalous else "normal"
    return InspectionPanel.of(image, finding.map, finding.mask, f"{name} · {flag} · score {finding.score:.4g}")


def _earlier(out: Path) -> Earlier | None:
    """Findings are known by what their record says, those of anomgen 0.1 by all that it says."""
    with suppress(OSError, ValueError):
        known = json_object(out / SUMMARY).keys()
        if MARK in known or {"detector", "weights", "threshold", "rule", "unreadable"} <= known:
            return Earlier("findings", can_go_on=False)
    return None


def _refuse_foreign_maps(out: Path, names: Sequence[str]) -> None:
    """Raise UsageError for what lies where a map or mask is to be written, and is none of the earlier findings."""
    known = _images_in(out / LINES)
    for stem in _map_names(names).values():
        for path in (out / MAPS / f"{stem}.tiff", out / MASKS / f"{stem}.png"):
            if stem not in known and (path.is_symlink() or path.exists()):
                raise UsageError(
                    f"{path} is none of the earlier findings, and would be replaced; move it elsewhere, or choose "
                    "another folder with -o"
                )


def _clear(out: Path) -> None:
    """Remove earlier findings, nothing else: of maps and masks those of the images that they list; the record stays."""
    known = _images_in(out / LINES)
    for name, ending in ((MAPS, ".tiff"), (MASKS, ".png")):
        for top, _, files in os.walk(out / name, topdown=False):  # which follows no link
            for file in files:
                path = Path(top, file)
                stem = path.relative_to(out / name).as_posix().removesuffix(ending)
                if path.suffix == ending and stem in known:
                    remove(path)
            with suppress(OSError):  # somebody keeps something of his own there
                Path(top).rmdir()
    for name in (TABLE, SHEET, LINES):
        remove(out / name)


def _images_in(lines: Path) -> set[str]:
    """Return what earlier findings call the maps of the images that they list."""
    known: set[str] = set()
    with suppress(OSError), regular(lines).open("rb") as file:
        for line in file:
            with suppress(ValueError, KeyError, TypeError):
                name = str(read_json(line)["image"])
                known |= {_shortened(name), _shortened(str(PurePosixPath(name).with_suffix("")))}
    return known
