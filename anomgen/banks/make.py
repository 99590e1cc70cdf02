"""Making a bank of real defects: found, checked, written, shown; and approving masks that were proposed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count as count_from
from pathlib import Path
from typing import Any

import numpy as np

from anomgen.banks.card import write_card
from anomgen.banks.collect import Candidate, chosen, collected
from anomgen.banks.folder import DATA, WRITTEN, Bank, Defect, is_bank, write_bank
from anomgen.banks.propose import SIDE, Proposer
from anomgen.dataset.preview import foreground_sheet, write_sheet
from anomgen.errors import Progress, SourceError, UsageError, silent
from anomgen.files import (
    Earlier,
    file_digest,
    holds_earlier,
    is_left_over,
    locked,
    refuse_inside,
    refuse_linked,
    remove_matching,
)
from anomgen.licenses import normalised, unfit, unlisted
from anomgen.places import home, local
from anomgen.sources.base import build_source
from anomgen.sources.images import fit_image, read_picture
from anomgen.sources.orientation import Drawn, Turn, drawn_notes
from anomgen.sources.scan import ScannedSource
from anomgen.sources.tree import left_out

SHOWN = 64
"""Defects on the preview; of proposed masks, all are shown."""
MOST = 0.5
"""Share of a picture from which on a mask is taken to be inverted."""


@dataclass(frozen=True)
class Banked:
    """What `bank` did."""

    path: Path
    defects: int
    defect_types: dict[str, int]
    license: str | None
    proposed: tuple[str, ...]
    """The defects whose masks are yet to be approved."""
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        lists = {"proposed": list(self.proposed), "notes": list(self.notes)}
        return {**self.__dict__, "path": str(self.path), **lists}


def bank(
    defects: str | Path,
    out: str | Path | None = None,
    *,
    masks: str | Path | None = None,
    normal: str | Path | None = None,
    license: str | None = None,
    count: int | None = None,
    without: Sequence[str] = (),
    yes: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Banked:
    """Make a bank of real defects in the folder `out`, by default ``bank``; the options are those of `anomgen bank`.

    defects: a folder of pictures, a known layout, a file of annotations, a Hub dataset; or a bank, whose proposed masks
    are then approved (`yes`), without some of them. masks: a folder of masks or of YOLO's labels, or a file of
    annotations. normal: normal images; pictures without masks get masks by their difference to them, which must be
    approved. count: how many to take, by their contents. without: items to leave out.

    Raises UsageError for a wrong request, SourceError for pictures and masks that cannot be used.
    """
    license, place = _named(license), home(defects)
    if place.is_dir() and is_bank(place):
        if masks is not None or normal is not None or count is not None:
            raise UsageError(f"{defects} is a bank already; --yes approves its masks, --without leaves some out")
        return _approved(Bank(place), None if out is None else local(out), without, license, yes, overwrite)
    out = local("bank" if out is None else out)
    refuse_inside(out, str(defects), None if masks is None else str(masks), None if normal is None else str(normal))
    replaces = _holds_bank(out, overwrite=overwrite)
    found = collected(str(defects), None if masks is None else str(masks))
    picked = chosen(_left(found.candidates, without), count)
    proposer, normals = _proposer(picked, normal)
    notes = list(found.notes)  # and those on pictures without a proposal, once all are read
    kinds = sorted({candidate.defect_type for candidate in picked})
    about = {
        "name": out.resolve().name,
        "license": license or found.license,
        "masks": "difference" if proposer is not None else "drawn",
    }
    with locked(out):
        if replaces:
            clear(out)
        read = _defects(picked, proposer, normals, yes, notes, progress)
        return finished(write_bank(out, read, about, kinds, notes))


def _holds_bank(out: Path, *, overwrite: bool) -> bool:
    """Return whether an output folder holds a bank; what a run that failed or was killed has left in it is none."""
    data = out / DATA.parent
    begun = data.is_dir() and all(is_left_over(entry.name) for entry in data.iterdir())
    return holds_earlier(out, "bank of anomgen", _earlier, leftovers=[data.name] * begun, overwrite=overwrite)


def _earlier(out: Path) -> Earlier | None:
    return Earlier("a bank of defects", can_go_on=False) if is_bank(out) else None


def clear(out: Path) -> None:
    """Remove a bank: its files, nothing else. Raises UsageError where its data is a link."""
    remove_matching(out, reversed(WRITTEN))


def _left(candidates: Sequence[Candidate], without: Sequence[str]) -> list[Candidate]:
    _refuse_unknown(without, [candidate.name for candidate in candidates])
    return [candidate for candidate in candidates if candidate.name not in set(without)]


def _refuse_unknown(without: Sequence[str], names: Sequence[str]) -> None:
    unknown = next((name for name in without if name not in names), None)
    if unknown is not None:
        raise UsageError(f"--without {unknown}: there is no such defect; they are called {', '.join(names[:5])}, …")
    if len(set(without)) == len(names):
        raise UsageError("--without: leaves out every defect")


def _proposer(picked: Sequence[Candidate], normal: str | Path | None) -> tuple[Proposer | None, ScannedSource | None]:
    """Return what proposes masks, None where all have one, and the normal images, None where none are given."""
    bare = [candidate.name for candidate in picked if candidate.mask is None]
    if normal is None and bare:
        raise UsageError(
            f"{bare[0]}{f' and {len(bare) - 1} more' if len(bare) > 1 else ''}: there is no mask; give the masks with "
            "--masks, or normal images with --normal, and masks are proposed by the difference to them"
        )
    if normal is None:
        return None, None
    from anomgen.sources.detection import detect

    opened = build_source({**detect(str(normal)), "size": SIDE}).open()
    if not isinstance(opened, ScannedSource):
        raise UsageError(f"--normal {normal}: is no folder of images; give normal images of the same product")
    if not bare:
        return None, opened
    return Proposer([opened[k] for k in range(len(opened))]), opened


def _defects(
    picked: Sequence[Candidate],
    proposer: Proposer | None,
    normals: ScannedSource | None,
    yes: bool,
    notes: list[str],
    progress: Progress,
) -> Iterator[Defect]:
    """Yield the defects, checked.

    notes: at the end it is told on which pictures no mask could be proposed, and which masks may lie otherwise.
    """
    missed: list[str] = []
    drawn: list[tuple[str, Drawn]] = []
    normal = dict(zip(normals.files(), map(normals.id, range(len(normals))), strict=True)) if normals else {}
    for number, candidate in enumerate(picked):
        data = candidate.read()
        digest = file_digest(data)
        if digest in normal:
            raise SourceError(
                f"{candidate.name}: is also among the normal images, as {normal[digest]}; remove it from one of the two"
            )
        image, orientation = read_picture(data, candidate.name)
        mask: np.ndarray | None
        if candidate.mask is not None:
            mask, how = candidate.mask(Turn(orientation, image.shape))
            drawn.append((candidate.name, how))
        else:
            assert proposer is not None
            mask = proposer.mask(image)
        if mask is None:
            missed.append(candidate.name)
            continue
        _refuse_mask(mask, candidate.name)
        proposed = candidate.mask is None and not yes
        progress(number + 1, len(picked))
        yield Defect(candidate.name, candidate.defect_type, image, mask, digest, proposed)
    notes += left_out(missed, "on which nothing differs from the normal images")
    notes += drawn_notes(drawn)


def _refuse_mask(mask: np.ndarray, name: str) -> None:
    if not mask.any():
        raise SourceError(f"{name}: its mask marks no pixel; draw the defect, or leave the picture out")
    if mask.mean() > MOST:
        raise SourceError(
            f"{name}: its mask marks {mask.mean():.0%} of the picture, as if inverted; a mask is white where the "
            "defect is (cut a picture of nothing but defect so that its surroundings are on it)"
        )


def _approved(
    bank: Bank, out: Path | None, without: Sequence[str], license: str | None, yes: bool, overwrite: bool
) -> Banked:
    """Write a bank anew, its masks approved, without some of its defects; by default in its own place."""
    if not yes:
        told = f"{len(bank.proposed)} of its masks are proposals: look at {bank.path / 'preview.png'}, and " * bool(
            bank.proposed
        )
        raise UsageError(f"{bank.path} is a bank; {told}approve with --yes, --without leaves bad ones out")
    out = bank.path if out is None else out
    if out.resolve() != bank.path.resolve():
        _holds_bank(out, overwrite=overwrite)
    refuse_linked(out)
    _refuse_unknown(without, [entry.item for entry in bank.entries])
    kept = [replace(own, proposed=False) for own in bank.defects() if own.item not in set(without)]
    about = _about(bank)
    if license:
        about["license"] = license
    kinds = sorted({own.defect_type for own in kept})
    with locked(out):
        return finished(write_bank(out, kept, about, kinds, ()))


def add_defect(out: Path, defect: Defect, license: str | None = None, instead_of: str = "") -> Banked:
    """Put one more defect into a bank, which is begun where there is none; the earlier one of its file and type goes.

    defect: as somebody marked it; where its item is taken by another picture, a number is put behind it. license: of
    the picture, by default the bank's. instead_of: the item of one that goes, too. Raises UsageError for a folder that
    holds anything but a bank, SourceError for a mask of nothing, or of more than half of the picture.
    """
    _refuse_mask(defect.mask, defect.item)
    before = Bank(out) if _holds_bank(out, overwrite=True) else None
    about = {"name": out.resolve().name, "license": None, "masks": "drawn"} if before is None else _about(before)
    if license:
        about["license"] = _named(license)
    with locked(out):
        known = [] if before is None else list(before.defects())
        same = defect.digest, defect.defect_type
        kept = [own for own in known if (own.digest, own.defect_type) != same and own.item != instead_of]
        kept.append(replace(defect, item=_free(defect.item, {own.item for own in kept})))
        return finished(write_bank(out, kept, about, sorted({own.defect_type for own in kept}), ()))


def _named(license: str | None) -> str | None:
    """Return a licence as the Hub writes it. Raises UsageError for what cannot be one."""
    if license and (fault := unfit(license) or unlisted(license)):
        raise UsageError(f"--license: {fault}")
    return normalised(license) if license else None


def _about(bank: Bank) -> dict[str, Any]:
    return {key: bank.record[key] for key in ("name", "license", "masks")}


def _free(item: str, taken: set[str]) -> str:
    name, dot, ending = item.rpartition(".")
    name, ending = (name, dot + ending) if name else (item, "")
    numbered = (f"{name}-{number}{ending}" for number in count_from(2))
    return item if item not in taken else next(own for own in numbered if own not in taken)


def finished(written: Bank) -> Banked:
    """Write card and preview, and tell what there is."""
    write_card(written)
    _write_preview(written)
    return Banked(
        written.path,
        len(written),
        written.record["defect_types"],
        written.license,
        tuple(written.proposed),
        tuple(written.record["notes"]),
    )


def _write_preview(bank: Bank) -> None:
    write_sheet(bank_sheet(bank, max(SHOWN, len(bank.proposed))), bank.path / "preview.png")


def bank_sheet(bank: Bank, count: int) -> np.ndarray:
    """Return a sheet, (H, W, 3) uint8, of up to `count` defects of a bank, evenly spaced."""
    title = f"{bank.record['name']} · {len(bank)} defects"
    return foreground_sheet(_shown(bank, count), title, heading="defect")


def _shown(bank: Bank, count: int) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    """Yield images, masks and captions for a sheet."""
    shown = {round(k) for k in np.linspace(0, len(bank) - 1, min(count, len(bank)))}
    for number, own in enumerate(bank.defects()):
        if number in shown:
            image = fit_image(own.image, SIDE, "keep") if max(own.image.shape[:2]) > SIDE else own.image
            mask = fit_image(own.mask.astype(np.float32)[..., None], (image.shape[0], image.shape[1]), "stretch")
            proposal = " · proposed" if own.proposed else ""
            caption = f"{own.item} · {own.defect_type}{proposal}"
            yield image, mask[..., 0] > min(0.5, 0.9 * float(mask.max())), caption
