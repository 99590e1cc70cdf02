"""Reading a data set's images and masks at the size that they are scored at, or saying which cannot be used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from anomgen.errors import SourceError
from anomgen.files import file_digest
from anomgen.sources.alpha import measured_part
from anomgen.sources.images import fit_image, quiet, read_picture
from anomgen.sources.labelled import LabelledImage, Listing
from anomgen.sources.mask_files import united_mask
from anomgen.sources.orientation import Drawn, Turn
from anomgen.sources.pixels import digest_of
from anomgen.sources.tree import listed_problems
from anomgen.versions import cores

_HALF = 0.5 - 1e-5  # area averages of float32 miss an exact half by less


@dataclass(frozen=True)
class Decoded:
    """An image at the wanted size. mask: at the size, None where there are none.

    digest: of its pixels as stored. file: of the file. before: height and width as stored. drawn: on what the mask was.
    part: of 16 bits what was measured, see `measured_part`.
    """

    found: LabelledImage
    digest: str
    pixels: np.ndarray
    mask: np.ndarray | None
    mask_digest: str = ""
    file: str = ""
    before: tuple[int, ...] = ()
    drawn: Drawn = Drawn.SHOWN
    part: np.ndarray | None = None

    @property
    def order(self) -> tuple[str, str]:
        """Return what images are put in order by: their content, and of equal ones the id."""
        return self.digest, self.found.id


def decoded(listed: Listing, shape: tuple[int, int], path: str) -> list[Decoded]:
    """Return all images. Raises SourceError, which names those that cannot be used."""
    has_masks = any(found.mask is not None for found in listed.found)

    def read(found: LabelledImage) -> Decoded | str:
        try:
            return _read(found, listed, shape, has_masks)
        except SourceError as error:
            return str(error)

    with quiet(), ThreadPoolExecutor(min(4, cores())) as executor:
        results = list(executor.map(read, listed.found))
    problems = [result for result in results if isinstance(result, str)]
    if problems:
        raise SourceError(
            f"{path}: {len(problems)} of {len(results)} images cannot be used:\n{listed_problems(problems)}\n"
            "Mend or remove them"
        )
    return [result for result in results if isinstance(result, Decoded)]


def _read(found: LabelledImage, listed: Listing, shape: tuple[int, int], has_masks: bool) -> Decoded:
    stored = listed.read(found.key)
    (image, orientation), file = read_picture(stored, found.id), file_digest(stored)
    pixels = fit_image(image, shape, "stretch", found.id)
    part = None if image.dtype == np.uint8 else measured_part(stored, image, shape, "stretch", found.id)
    result = Decoded(found, digest_of(image), pixels, None, file=file, before=image.shape[:2], part=part)
    if not has_masks:
        return result
    if found.mask is None:
        return replace(result, mask=np.zeros(shape, bool))
    names = [key if isinstance(key, str) else f"mask of {found.id}" for key in found.mask]
    stored_masks = [(listed.read(key), name) for key, name in zip(found.mask, names, strict=True)]
    mask, drawn = united_mask(stored_masks, Turn(orientation, image.shape), found.id)
    name = names[0]
    if not mask.any():
        raise SourceError(
            f"{name}: marks no pixel, but its image {found.id} is anomalous ({found.defect_type}); draw the defect, or "
            "put the image among the normal ones"
        )
    mask_digest = digest_of(mask[..., None])
    return replace(result, mask=resized_mask(mask, shape), mask_digest=mask_digest, drawn=drawn)


def resized_mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask (H, W), true where not zero, at `shape` (height, width): by area, true from one half on."""
    resized: np.ndarray = covered_mask(mask, shape) >= _HALF
    return resized


def covered_mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return which share of each pixel at `shape` (height, width) a mask covers, float32."""
    covered = (mask != 0).astype(np.float32)[..., None]
    return fit_image(covered, (shape[0], shape[1]), "stretch")[..., 0]
