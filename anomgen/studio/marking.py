"""Real defects that are marked on the page: the wand, and the bank that they go into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from anomgen.banks.folder import Bank, Defect, banks_in, is_bank
from anomgen.banks.make import Banked, add_defect, bank
from anomgen.dataset.pictures import at_most, displayable, scale_of
from anomgen.errors import UsageError
from anomgen.sources.images import read_image
from anomgen.studio.pictures import Pictures
from anomgen.studio.session import FILE_NAME

MARGIN = 0.25
"""How much of a defect's surroundings its thumbnail shows, as a share of the defect."""


class Marking:
    """Floods pictures of defects, and puts what is marked on them into banks below the output folder."""

    def __init__(self, out: Path):
        self.out = out
        self.pictures = Pictures(out)

    def flooded(self, key: str, x: int, y: int, tolerance: int) -> np.ndarray:
        """Return what is reached from a pixel over pixels alike, uint8 (h, w) of 0 and 255, on the shown picture.

        tolerance: the most that a channel may be off the first pixel's, in levels of 255. Raises UsageError for a
        pixel outside.
        """
        shown = self.pictures.picture(key).shown
        height, width = shown.shape[:2]
        if not (0 <= x < width and 0 <= y < height):
            raise UsageError(f"pixel {x}, {y} is not on the picture of {width} × {height}")
        mask = np.zeros((height + 2, width + 2), np.uint8)
        smooth = cv2.medianBlur(shown, 3)  # single pixels of noise stop no flood
        near = (min(max(tolerance, 0), 255),) * 3
        flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (255 << 8)
        cv2.floodFill(smooth, mask, (x, y), (0, 0, 0), near, near, flags)
        return np.ascontiguousarray(mask[1:-1, 1:-1])

    def put(
        self, key: str, bank_name: str, defect_type: str, painted: np.ndarray, *, replacing: bool = False
    ) -> Banked:
        """Put what is marked on a picture into a bank. painted: uint8 (h, w), not 0 where the defect is.

        replacing: where the same mark is in the bank as another type, that one goes; otherwise UsageError says so, and
        for a name that is none. Raises SourceError for a mask that marks nothing or nearly all.
        """
        if not FILE_NAME.fullmatch(defect_type):
            raise UsageError(f"{defect_type[:80]!r} is no type of a defect: letters, digits, dashes and underscores")
        picture = self.pictures.picture(key)
        self.pictures.set_mark(key, painted)
        height, width = picture.size
        mask = cv2.resize((painted > 127).view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).view(bool)
        image = read_image(picture.data, picture.name)
        defect, folder = Defect(picture.name, defect_type, image, mask, key), self._folder(bank_name)
        twin = _twin(folder, defect)
        if twin is not None and not replacing:
            raise UsageError(f"this mark is in {bank_name} already, as {twin.defect_type.replace('_', ' ')}")
        banked = add_defect(folder, defect, instead_of="" if twin is None else twin.item)
        self.pictures.set_mark(key, painted, banked=True)
        return banked

    def banks(self) -> dict[str, Any]:
        """Return what each bank in the output folder is, the newest first, and what is said of each broken one."""
        banks, broken = banks_in(self.out)
        banks.sort(key=lambda bank: -bank.path.stat().st_mtime)
        return {"banks": list(map(_about, banks)), "broken": broken}

    def thumbnail(self, bank_name: str, number: int, side: int) -> np.ndarray:
        """Return a defect of a bank with its surroundings and its outline, (h, w, 3) uint8."""
        own = Bank(self._folder(bank_name)).defect(number)
        rows, columns = np.nonzero(own.mask)
        reach = int(max(np.ptp(rows), np.ptp(columns)) * MARGIN) + 12
        top, left = max(int(rows.min()) - reach, 0), max(int(columns.min()) - reach, 0)
        place = np.s_[top : int(rows.max()) + reach, left : int(columns.max()) + reach]
        picture = at_most(displayable(own.image[place], scale_of(own.image)), side)
        mask = cv2.resize(own.mask[place].view(np.uint8), picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        return cv2.drawContours(np.ascontiguousarray(picture), contours, -1, (255, 31, 160), 1)

    def remove(self, bank_name: str, item: str) -> Banked:
        """Take a defect out of a bank. Raises UsageError for the last one and for one that is not in it."""
        return bank(self._folder(bank_name), without=[item], yes=True)

    def _folder(self, name: str) -> Path:
        if not FILE_NAME.fullmatch(name):
            raise UsageError(f"{name[:80]!r} is no name: letters, digits, dots, dashes and underscores")
        return self.out / name


def with_banks(sections: list[dict[str, Any]], out: Path) -> list[dict[str, Any]]:
    """Return the controls of a recipe; where it takes a bank, those in the output folder are what is chosen from."""
    for control in (control for section in sections for control in section["controls"]):
        if control["key"].rpartition(".")[2] == "bank" and control["type"] == "text":
            paths = {str(bank.path): bank.path.name for bank in banks_in(out)[0]}
            if control["value"] is not None:
                paths.setdefault(control["value"], control["value"])
            control.update(type="choice", options=list(paths), names=paths)
    return sections


def _twin(folder: Path, defect: Defect) -> Defect | None:
    """Return what of a bank is the same mark on the same picture, as another type."""
    if not is_bank(folder):
        return None
    opened = Bank(folder)
    own = [k for k, entry in enumerate(opened.entries) if entry.digest == defect.digest]
    others = (other for other in map(opened.defect, own) if other.defect_type != defect.defect_type)
    return next((other for other in others if np.array_equal(other.mask, defect.mask)), None)


def _about(bank: Bank) -> dict[str, Any]:
    return {
        "name": bank.path.name,
        "path": str(bank.path),
        "stamp": bank.fingerprint,
        "types": bank.record["defect_types"],
        "defects": [{"item": e.item, "defect_type": e.defect_type, "picture": e.digest} for e in bank.entries],
    }
