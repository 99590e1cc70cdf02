"""Running an exporter: what may be in the output folder before, what is in it after, and nothing in between."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anomgen.cards import as_yaml
from anomgen.config.text import Overrides, changed
from anomgen.dataset.reader import Dataset
from anomgen.dataset.record import Record
from anomgen.errors import AnomgenError, Progress, UsageError, brief, lacks_memory, silent
from anomgen.exporters.base import FOLDER, SHELL_FOLDER, Exporter, Files, build_exporter, license_of
from anomgen.files import Earlier, digest, holds_earlier, is_left_over, json_object, lies_in, locked, writing
from anomgen.places import local, regular
from anomgen.registry import BUNDLED

MANIFEST = "anomgen-export.json"
"""Lists what an export wrote, with digests: how a folder of ours, and a file that somebody changed, are known."""
MARK, WORK = "anomgen-export-at-work-{}", ".{}.{}.anomgen-export"
"""A working folder beside the export, and the file in it that says whose it is; both names hold one random number."""


@dataclass(frozen=True)
class Exported:
    """What `export` did.

    splits: split → defect type → images. lost: None where the format holds masks as they are, otherwise how many
    pixels of how many differ, in all and by file. load: how to read it. notes: what the user should know.
    """

    path: Path
    format: str
    rows: int
    files: int
    splits: dict[str, dict[str, int]]
    lost: dict[str, Any] | None
    load: str
    notes: tuple[str, ...]


def export(
    dataset: Dataset | str | Path,
    to: Exporter | str,
    out: str | Path,
    *,
    overrides: Overrides = (),
    overwrite: bool = False,
    progress: Progress = silent,
) -> Exported:
    """Write a finished dataset to the folder `out` in another tool's format; the options are those of `anomgen export`.

    to: a format's name, or an exporter. overrides: settings of the format, what --set takes, ``train_share=0.5``.
    overwrite: replace an earlier export, never anything else. The folder appears whole or not at all.

    Raises UsageError for an unknown format or setting, a dataset that is unfinished or does not fit the format, and
    an output folder that holds anything; AnomgenError when files cannot be written.
    """
    out = local(out)
    settings = changed({}, overrides, "train_share=0.5")
    if isinstance(to, Exporter) and settings:
        raise UsageError(f"an exporter is complete: give {', '.join(settings)} to it, or a format's name here")
    exporter = to if isinstance(to, Exporter) else build_exporter(to, settings)
    dataset = Dataset.of(dataset)
    exporter.renamed(dataset)  # a wrong name is told before anything is written
    _check_dataset(dataset, exporter)
    _check_output(dataset, out, overwrite=overwrite)
    place = out.resolve()  # a link stays, what it leads to is replaced
    with _working(place, out) as work:
        files = _written(dataset, exporter, work / "new", progress)
        _check_output(dataset, out, overwrite=overwrite)  # it took a while: somebody may have used the folder
        with writing(out):
            _replace(place, work / "new", work / "old")
    return Exported(
        out,
        exporter.kind,
        _kept(dataset),
        len(files.digests),
        _splits(files),
        _loss(files),
        _load(files, str(out)),
        tuple(files.notes),
    )


# --- before ---------------------------------------------------------------------------------------------------------


def _check_dataset(dataset: Dataset, exporter: Exporter) -> None:
    counts = dataset.provenance.get("rows", {})
    if not dataset.provenance or len(dataset) != counts.get("normal", 0) + counts.get("anomaly", 0):
        raise UsageError(
            f"{dataset.path}: holds {len(dataset)} rows, not as many as its provenance.json says; finish it with "
            "`anomgen make … --resume`"
        )
    image = next(dataset.rows(["image"]), {"image": None})["image"]
    if image is not None and 8 * image.itemsize > exporter.bits:
        raise UsageError(
            f"{dataset.path}: its images have 16 bits a channel, of which readers of {exporter.kind} keep 8 or fewer; "
            "export it --to folder, coco or labelstudio, which keep them, or make it from 8-bit images"
        )


def _check_output(dataset: Dataset, out: Path, *, overwrite: bool) -> None:
    if isinstance(dataset.path, Path) and (lies_in(out, dataset.path) or lies_in(dataset.path, out)):  # no URL
        raise UsageError(f"{out} and the dataset {dataset.path} lie in each other; choose another folder with -o")
    if not holds_earlier(out, "export of anomgen", _earlier, overwrite=overwrite):
        return
    foreign = sorted(_foreign(out))
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise UsageError(
            f"{out} also holds what the export did not write: {foreign[0]}{more}; move it elsewhere, or choose another "
            "folder with -o"
        )


def _earlier(out: Path) -> Earlier | None:
    manifest = _manifest(out)
    return None if manifest is None else Earlier(f"an export ({manifest['format']})", can_go_on=False)


def _manifest(out: Path) -> dict[str, Any] | None:
    try:
        manifest = json_object(out / MANIFEST)
        return manifest if isinstance(manifest["format"], str) and isinstance(manifest["files"], dict) else None
    except (OSError, ValueError, KeyError):
        return None


def _foreign(out: Path) -> Iterator[str]:
    """Yield files that are not in the manifest or were changed since, and folders that it does not know."""
    ours = (_manifest(out) or {}).get("files", {})
    folders = {parent for name in ours for parent in (out / name).parents}
    for top, names, files in os.walk(out):
        for name in names:
            if Path(top, name) not in folders or Path(top, name).is_symlink():
                yield Path(top, name).relative_to(out).as_posix() + "/"
        for name in files:
            path = Path(top, name)
            known = path.relative_to(out).as_posix()
            if known != MANIFEST and (known not in ours or path.is_symlink() or _digest_of(path) != ours[known]):
                yield known + (" (changed since)" if known in ours else "")


def _digest_of(path: Path) -> str | None:
    """Return the hash of a file's contents; None for what is no file."""
    found = digest()
    with suppress(OSError), regular(path).open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
        return found.hexdigest()
    return None


# --- the files ------------------------------------------------------------------------------------------------------


def _written(dataset: Dataset, exporter: Exporter, folder: Path, progress: Progress) -> Files:
    files = Files(folder)
    taken = 0

    def records() -> Iterator[Record]:
        nonlocal taken
        for record in dataset.records():
            if record.index in dataset.left_out:
                continue
            yield replace(record, defect_type=exporter.called(record.defect_type)) if record.is_anomalous else record
            taken += 1
            progress(taken, _kept(dataset))

    try:
        exporter.write(exporter.renamed(dataset), records(), files)
    except (AnomgenError, OSError, KeyboardInterrupt):  # of a full disk, for instance, the command says so itself
        raise
    except BaseException as error:  # of a plug-in: a run does not end without a word
        if isinstance(error, Exception) and (exporter.kind in BUNDLED["exporters"] or lacks_memory(error)):
            raise
        at = f"after {taken} of {_kept(dataset)} rows"
        raise AnomgenError(f"the exporter {exporter.kind!r} raised {brief(error)} {at}; tell its author") from error
    counted = sum(sum(types.values()) for types in files.counts.values())
    if not taken == counted == _kept(dataset):
        raise AnomgenError(
            f"the exporter {exporter.kind!r} took {taken} of {_kept(dataset)} rows and counted {counted}; tell its "
            "author"
        )
    for name, types in exporter.merged(dataset).items():
        files.notes.append(f"The class {name!r} holds the defect types {', '.join(types)}.")
    if dataset.left_out:
        files.notes.append(f"Rows that were thrown out and are not in this export: {len(dataset.left_out)}.")
    files.write("README.md", _readme(dataset, exporter, files))
    files.write(MANIFEST, json.dumps(_contents(dataset, exporter, files), indent=1, ensure_ascii=False) + "\n")
    return files


def _kept(dataset: Dataset) -> int:
    return len(dataset) - len(dataset.left_out)


def _contents(dataset: Dataset, exporter: Exporter, files: Files) -> dict[str, Any]:
    return {
        "format": exporter.kind,
        "settings": exporter.model_dump(mode="json"),
        "anomgen": dataset.provenance.get("anomgen"),
        "dataset": dataset.recipe.get("name"),
        "recipe_fingerprint": dataset.provenance.get("recipe_fingerprint"),
        "license": license_of(dataset),
        "rows": _splits(files),
        "lost": _loss(files),
        "notes": files.notes,
        "files": {name: found for name, found in files.digests.items() if name != MANIFEST},
    }


def _splits(files: Files) -> dict[str, dict[str, int]]:
    """Return the counts, the training part first."""
    parts = sorted(files.counts, key=lambda split: (split != "train", split))
    return {split: dict(sorted(files.counts[split].items())) for split in parts}


def _load(files: Files, folder: str) -> str:
    return "\n".join(files.load).replace(FOLDER, folder).replace(SHELL_FOLDER, shlex.quote(folder))


def _loss(files: Files) -> dict[str, Any] | None:
    if files.lost is None:
        return None
    return {"pixels": sum(files.lost.values()), "of": files.mask_pixels, "files": files.lost}


def _readme(dataset: Dataset, exporter: Exporter, files: Files) -> str:
    license = license_of(dataset)
    head = {"license": license or "unknown", "tags": ["anomaly-detection", "synthetic", "anomgen"]}
    head |= files.card
    rows = [f"| {split} | {kind} | {n} |" for split, kinds in _splits(files).items() for kind, n in kinds.items()]
    lines = [
        "---",
        as_yaml(head, width=80),
        "---",
        "",
        f"# {dataset.recipe.get('name')}, as {exporter.kind}",
        "",
        f"{_kept(dataset)} images with synthetic anomalies and their exact masks, made by anomgen and exported from",
        "the dataset of that name, whose card says how they were made. "
        + (f"Licence: {license}." if license else "Its licence is not known; that of what it was made of binds."),
        "",
        "| part | what | images |",
        "|---|---|---:|",
        *rows,
        "",
        "```text",
        _load(files, "."),
        "```",
        *[line for note in _all_notes(files) for line in ("", note)],
    ]
    return "\n".join(lines) + "\n"


def _all_notes(files: Files) -> list[str]:
    loss = _loss(files)
    told = [f"Mask pixels that this format does not hold: {loss['pixels']} of {loss['of']}."] if loss else []
    return [*files.notes, *told]


# --- in place -------------------------------------------------------------------------------------------------------


@contextmanager
def _working(place: Path, out: Path) -> Iterator[Path]:
    """Give a folder to work in, beside the export; it is settled at the end, and what killed runs have left before."""
    number = secrets.token_hex(4)
    work = place.parent / WORK.format(place.name, number)
    try:
        work.mkdir(parents=True)
        (work / MARK.format(number)).touch()
    except OSError as error:
        raise AnomgenError(f"{out}: cannot make the output folder: {error.strerror}") from None
    try:
        with locked(work, name=out):  # before looking for others', so of two at once at least one sees the other
            for left in [folder for folder in _left_by_killed(place) if folder != work]:
                with locked(left, name=out):
                    _settle(place, left)
                _remove(left)
            try:
                yield work
            finally:
                with suppress(OSError):
                    _settle(place, work)
    finally:
        _remove(work)


def _left_by_killed(place: Path) -> Iterator[Path]:
    """Yield the working folders of an export. What another has put into a folder of such a name is left alone."""
    named = re.compile(WORK.replace(".", r"\.").format(re.escape(place.name), "([0-9a-f]{8})"))
    for folder in sorted(place.parent.glob(WORK.format("*", "*"))):
        match = named.fullmatch(folder.name)
        if match is None or folder.is_symlink() or not folder.is_dir():
            continue
        mark = folder / MARK.format(match[1])
        links = any((folder / name).is_symlink() for name in ("old", "new", mark.name))
        if not links and (mark.is_file() or all(is_left_over(path.name) for path in folder.iterdir())):
            yield folder


def _remove(work: Path) -> None:
    """Remove a settled working folder; it stays where an earlier export could not be put back."""
    with suppress(OSError):
        if not any((work / name).exists() for name in ("old", "new")):
            for mark in work.glob(MARK.format("*")):
                mark.unlink()
        work.rmdir()


def _settle(place: Path, work: Path) -> None:
    old, new = work / "old", work / "new"
    if old.exists() and not place.exists():
        old.rename(place)
    for folder in filter(Path.exists, (old, new)):
        shutil.rmtree(folder)


def _replace(out: Path, new: Path, old: Path) -> None:
    """Put the new folder in the place of an empty or earlier one; if that fails the earlier one is put back."""
    if out.exists():
        out.rename(old)
    try:
        new.rename(out)
    except BaseException:
        if old.exists():
            old.rename(out)
        raise
