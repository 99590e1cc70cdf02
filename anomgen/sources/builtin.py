"""Real textures that ship inside scikit-image, cut into crops, so that everything can be tried without data."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from anomgen.errors import UsageError
from anomgen.files import fingerprint_of
from anomgen.rng import Stream, rng_for
from anomgen.sources.base import SourceConfig
from anomgen.sources.images import fit_image, read_bytes, read_image

DISC, BACKGROUND = 0.4, 225.0
"""Radius of a disc, a share of the image's shorter side, and the grey level around it."""
WINDOW = 256
"""Longer side of a crop in the texture's own pixels; the textures are 512 × 512."""

TextureName = Literal["brick", "grass", "gravel", "immunohistochemistry"]


class _Texture(NamedTuple):
    file: str
    license: str | None


# Licences as scikit-image's documentation of each image states them. The stained tissue has "no known copyright
# restrictions", which is not a licence.
_TEXTURES: dict[str, _Texture] = {
    "brick": _Texture("brick.png", "cc0-1.0"),
    "grass": _Texture("grass.png", "cc0-1.0"),
    "gravel": _Texture("gravel.png", "cc0-1.0"),
    "immunohistochemistry": _Texture("ihc.png", None),
}


class Builtin(SourceConfig):
    """Crops of one texture: `count` different positions, drawn with `seed`; more of them keep the first ones.

    brick, grass and gravel are grey, immunohistochemistry (stained tissue) is colour. A crop shows 256 pixels of
    the texture along its longer side and is resized to `size`; null keeps 256 × 256.
    """

    kind: ClassVar[str] = "builtin"

    name: TextureName = "brick"
    """Which texture."""
    form: Literal["surface", "disc"] = "surface"
    """`surface`: the texture fills the image. `disc`: a round piece of it lies on an even, light background, for what
    needs an object with an outline."""
    count: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Number of crops."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the crops' positions."""

    def open(self) -> BuiltinSource:
        """Draw the crops. Raises UsageError when the installed scikit-image lacks the texture."""
        return BuiltinSource(self)


class BuiltinSource:
    """See `Builtin`."""

    skipped: tuple[str, ...] = ()

    def __init__(self, config: Builtin):
        texture = _read_texture(config.name)
        self.license = _TEXTURES[config.name].license
        self._name = config.name
        self._shape = config.shape or (WINDOW, WINDOW)
        self._disc = config.form == "disc"
        self._window = _window(self._shape)
        self._corners = _corners(config, texture, self._window)
        shown = {
            "texture": texture.tobytes().hex(),
            "shape": self._shape,
            "window": self._window,
            "corners": self._corners.tolist(),
        }
        self._fingerprint = fingerprint_of({**shown, "form": "disc"} if self._disc else shown)

    def __len__(self) -> int:
        return len(self._corners)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a crop: (H, W, C) uint8, read-only."""
        top, left = self._corners[index]
        height, width = self._window
        crop = _read_texture(self._name)[top : top + height, left : left + width]
        image = fit_image(np.ascontiguousarray(crop), self._shape, "stretch")
        if self._disc:
            image = _disc_of(image)
        image.flags.writeable = False
        return image

    def id(self, index: int) -> str:
        """Return the crop's name: texture, row and column of its corner."""
        top, left = self._corners[index]
        return f"{self._name}-{top:03d}-{left:03d}"

    def fingerprint(self) -> str:
        """Return a hash of the texture, the crops' places and their size."""
        return self._fingerprint


def _disc_of(image: np.ndarray) -> np.ndarray:
    """Return a round piece of an image, (H, W, C) uint8, on an even background; its edge is smooth."""
    height, width = image.shape[:2]
    y = np.arange(height, dtype=np.float64)[:, None] - (height - 1) / 2
    x = np.arange(width, dtype=np.float64)[None] - (width - 1) / 2
    covered = np.clip(DISC * min(height, width) - np.sqrt(y * y + x * x) + 0.5, 0, 1)[..., None]
    laid: np.ndarray = np.rint(BACKGROUND + covered * (image.astype(np.float64) - BACKGROUND)).astype(np.uint8)
    return laid


def _window(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the crop in texture pixels: the aspect of `shape`, the longer side `WINDOW`."""
    longer = max(shape)
    return max(1, round(WINDOW * shape[0] / longer)), max(1, round(WINDOW * shape[1] / longer))


def _corners(config: Builtin, texture: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Return `count` different (row, column) corners, (count, 2) int."""
    rows, columns = texture.shape[0] - window[0] + 1, texture.shape[1] - window[1] + 1
    places = rng_for(config.seed, Stream.SOURCE).permutation(rows * columns)[: config.count]
    return np.stack(np.divmod(places, columns), axis=1)


@lru_cache(maxsize=4)
def _read_texture(name: str) -> np.ndarray:
    """Read the file from scikit-image's folder; importing scikit-image for it would take much longer."""
    found = importlib.util.find_spec("skimage")
    path = Path(found.origin).parent / "data" / _TEXTURES[name].file if found and found.origin else None
    if path is None or not path.is_file():
        raise UsageError(
            f"source.name: the installed scikit-image does not ship {name!r}; pip install 'scikit-image>=0.25', or "
            "name a folder of images as the source"
        )
    texture = read_image(read_bytes(path, name), name)
    texture.flags.writeable = False
    return texture
