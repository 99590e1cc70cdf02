"""What 1, 2, 4 and 8 real defects are worth: the recipe `transplant` with banks of so many, beside others.

python benchmarks/transplant.py DATA… -o OUT                     the whole of it
python benchmarks/transplant.py DATA… -o OUT --plan              banks and plan, no training
python benchmarks/transplant.py kolektor_sdd -o OUT --item '(kos\\d+)_'

The defects of the banks are taken out of the data first, with all other pictures of the same items, and the rest is
what everything is scored on: OUT/data/DATA. A smaller bank is a part of a larger one. `--item` is a pattern whose first
group names the physical item in a picture's name; without it each picture is an item of its own. OUT/scores/report.html
has the board. `--real` also trains on the pictures of each bank themselves (`real-8`), mirrored and turned.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from anomgen.banks.collect import chosen, collected
from anomgen.banks.folder import open_bank
from anomgen.banks.make import bank
from anomgen.files import fingerprint_of, replacing
from anomgen.making.recipe import load_recipe
from anomgen.score.anomalies import filled
from anomgen.score.cell import Cell
from anomgen.score.data import RealData
from anomgen.score.decoded import resized_mask
from anomgen.score.entries import Entry
from anomgen.score.jobs import run_jobs
from anomgen.score.rows import RowFile, opened
from anomgen.score.run import score
from anomgen.score.schedule import Job, Schedule
from anomgen.sources.images import fit_image
from anomgen.sources.pixels import to_channels
from anomgen.versions import cores


def main() -> None:
    options = _options()
    data = [prepared(path, options.out, options.counts, options.item) for path in options.data]
    names, changes = [], list(options.set)
    for alone in (False, True) if options.alone else (False,):
        for count in options.counts:
            name = f"transplant-{count}{'-alone' if alone else ''}"
            settings = ["generator.with_defects=0"] if alone else []
            file = options.out / "recipes" / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(load_recipe("transplant", overrides=settings).model_copy(update={"name": name}).to_yaml())
            names.append(str(file))
            changes.append(f"recipe.{file}.generator.bank={options.out / 'banks' / '{data}' / str(count)}")
    outcome = score(
        data,
        [*names, *options.beside.split(",")],
        detectors=options.detectors,
        seeds=options.seeds,
        out=options.out / "scores",
        size=options.size,
        steps=options.steps,
        workers=options.workers,
        overrides=changes,
        dry_run=options.plan,
    )
    if options.plan:
        print(f"{len(outcome.todo)} jobs, about {outcome.seconds(options.workers) / 60:.0f} minutes")
        return
    folders = [options.out / "scores"]
    if options.real:
        folders.append(options.out / "real")
        _train_on_banks(outcome.schedule, options.out, options.counts, options.workers)
    print_table(folders)
    print(options.out / "scores" / "report.html")


def _train_on_banks(schedule: Schedule, out: Path, counts: list[int], workers: int) -> None:
    """Train each detector on the pictures of each bank themselves; rows go to OUT/real."""
    bench, cells, files = schedule.bench, [], {}
    for cell in dict.fromkeys(
        (cell.data, cell.detector, cell.seed) for cell in schedule.cells if cell.detector != "none"
    ):
        data, detector, seed = cell
        for count in counts:
            entry = Entry(f"real-{count}", f"real-{count}", "real")
            place = out / "banks" / data / str(count)
            files[data, entry.name] = file = out / "pictures" / f"{data}-{count}.npz"
            if not file.exists():
                _write_pictures(file, place, bench.data[data])
            content = [
                bench.data[data].fingerprint,
                bench.detectors[detector].keyed(),
                seed,
                open_bank(place).fingerprint,
            ]
            cells.append(Cell(fingerprint_of(content), data, entry, detector, seed))
    with opened(out / "real") as rows:
        todo = [Job((cell,), 30.0) for cell in cells if cell.key not in rows.rows]
        run_jobs(replace(schedule, bench=replace(bench, drawn=files), cells=cells, todo=todo), rows, workers)


def _write_pictures(file: Path, place: Path, data: RealData) -> None:
    """Write a bank's pictures as `anomgen.score.anomalies.load_anomalies` reads them: all train, and all validate."""
    shape, images, masks, types = data.train[0].shape, [], [], []
    for defect in open_bank(place).defects():
        images.append(to_channels(fit_image(defect.image, shape[:2], "stretch"), shape[2]))
        masks.append(resized_mask(defect.mask.view(np.uint8) * np.uint8(255), shape[:2]))
        types.append(defect.defect_type)
    normals = [filled(image, mask) for image, mask in zip(images, masks, strict=True)]
    twice = {"images": images * 2, "normals": normals * 2, "masks": masks * 2, "defect_types": types * 2}
    with replacing(file) as written:
        arrays = {name: np.stack(values) for name, values in twice.items()}
        np.savez_compressed(written, **arrays, soft_masks=np.zeros(0, np.float32), held=np.array(len(images)))


def print_table(folders: list[Path]) -> None:
    rows = [
        row for folder in folders for row in RowFile(folder).rows.values() if row.metrics.get("pixel_ap") is not None
    ]
    data = sorted({row.data for row in rows})
    print(f"{'pixel AP, mean over seeds and detectors':<40}" + "".join(f"{name:>16}" for name in data))
    for entry in dict.fromkeys(row.entry for row in rows):
        print(f"{entry:<40}" + "".join(f"{mean:>16.3f}" for mean in _means(rows, entry, data)))


def _means(rows: list, entry: str, data: list[str]) -> Iterator[float]:
    for name in data:
        own = [row.metrics["pixel_ap"] for row in rows if (row.entry, row.data) == (entry, name)]
        yield float(np.mean(own)) if own else float("nan")


def prepared(path: str, out: Path, counts: list[int], item: str | None) -> str:
    """Make the banks of a data set, and a copy of it without their defects and all pictures of the same items."""
    root = Path(path)
    copy = out / "data" / root.name
    if copy.exists():
        return str(copy)
    found = collected(path)
    taken = chosen([one for one in found.candidates if one.mask is not None], max(counts))
    items = {_item(one.name, item) for one in taken}
    gone = {one.name for one in found.candidates if _item(one.name, item) in items}
    stems = {PurePosixPath(name).with_suffix("").as_posix().partition("/")[2] for name in gone}
    for count in counts:
        kept = {one.name for one in chosen(taken, count)}
        without = [one.name for one in found.candidates if one.name not in kept]
        made = bank(path, out / "banks" / root.name / str(count), without=without)
        print(f"{root.name}: {made.defects} defects, {made.defect_types}")
    for file in sorted(root.rglob("*")):
        name = file.relative_to(root).as_posix()
        if file.is_file() and not _is_gone(name, stems):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, copy / name)
            except OSError:
                shutil.copy(file, copy / name)
    print(f"{root.name}: {len(gone)} pictures of {len(items)} items are left out of what is scored")
    return str(copy)


def _is_gone(name: str, stems: set[str]) -> bool:
    """Return whether a file is a picture of such a defect, ``test/crack/1.jpg``, or a mask, ``…/crack/1_mask.png``."""
    stem = PurePosixPath(name).with_suffix("").as_posix().partition("/")[2]
    return stem.removesuffix("_mask") in stems and not name.startswith("train/")


def _item(name: str, pattern: str | None) -> str:
    match = None if pattern is None else re.search(pattern, PurePosixPath(name).name)
    return match[1] if match else name


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="categories in the layout of MVTec AD")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--counts", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2, 4, 8])
    parser.add_argument("--item")
    parser.add_argument("--alone", action="store_true", help="also without the share that `defects` draws")
    parser.add_argument("--real", action="store_true", help="also trained on the pictures of the banks themselves")
    parser.add_argument("--beside", default="perlin,defects,real", help="other recipes")
    parser.add_argument("--detectors", default="probe")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--plan", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
