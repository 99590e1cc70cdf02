"""What masks mark that lie in folders beside that of the images, or above it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from anomgen.errors import SourceError, tell
from anomgen.sources.annotations.level import Level, is_of_defects
from anomgen.sources.images import read_bytes
from anomgen.sources.mask_files import read_defect_mask
from anomgen.sources.tree import MASK_NAMES, folder_name, left_out


class Masked(NamedTuple):
    """The images on which the masks of a folder mark something, and notes on them and on masks that tell nothing."""

    images: set[str]
    notes: tuple[str, ...]


def masked_above(levels: Sequence[Level]) -> Iterator[Masked]:
    """Yield what the masks say of each folder of masks that lies above the images'.

    Where they mark all images, these stay, as masks of the object may lie there, too, and where they mark more than
    half of them, if the folder is called otherwise than `MASK_NAMES`; a note says so. Those of a folder that is called
    a ground truth, or as defects are, are none of the object.
    """
    for level in levels:
        for masks in level.masks:
            yield _masked(level, masks)


def _masked(level: Level, masks: Sequence[str]) -> Masked:
    folder = masks[0].partition("/")[0]
    where, is_sure = level.shown(folder), folder_name(folder) in MASK_NAMES
    try:
        masks_of, doubtful = level.masked(masks)
    except SourceError as error:
        return Masked(set(), (f"masks in {where} were not read: {error}",))
    found, problems = set[str](), dict[str, str]()
    for done, (image, own) in enumerate(masks_of.items()):
        tell(done, len(masks_of), "reading the masks")
        for mask in own:
            shown = level.shown(mask)
            try:
                if read_defect_mask(read_bytes(level.base / mask, shown), shown).any():
                    found.add(image)
            except SourceError as error:
                problems[image] = str(error)
    is_all = len(found | problems.keys()) == level.count
    if found and (is_all or (not is_sure and len(found) * 2 > level.count)) and not is_of_defects(folder):
        how_many = f"{'all' if is_all else len(found)} of {level.count}"
        advice = "give them to `anomgen bank`" if is_all else "rename it to ground_truth"
        note = (
            f"masks in {where} mark something on {how_many} images, which is taken for what they normally show; "
            f"if it is a defect they are no normal images: {advice}"
        )
        return Masked(set(), (note,))
    notes = left_out(
        sorted(found), f"whose masks in {where} mark an anomaly (rename it to foreground if they are of the object)"
    )
    problems = {image: why for image, why in problems.items() if image not in found}
    if problems and (found or is_sure):
        image, why = next(iter(problems.items()))
        notes += (f"masks in {where} do not say whether {len(problems)} images are normal, such as {image}: {why}",)
    if doubtful:
        why = "they may be of others of the same names"
        notes += (
            f"masks in {where} do not say whether {len(doubtful)} images are normal, such as {doubtful[0]}: {why}",
        )
    return Masked(found, notes)
