"""What a textured anomaly consists of: procedural textures, a folder of textures, or a Hugging Face dataset of them.

DRAEM (Zavrtanik, Kristan, Skočaj, ICCV 2021, arXiv 2108.07610) takes the Describable Textures Dataset, and finds that
ten textures do nearly as well as thousands. Every kind gives `texture(rng, shape, dtype)`, pure in `rng`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from threading import Lock
from typing import Annotated, Any, Literal, Protocol

import cv2
import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator

from anomgen.config import Config
from anomgen.errors import RecipeError, SourceError, UsageError, near_miss
from anomgen.licenses import Evidence, license_beside
from anomgen.places import home
from anomgen.rng import Stream, rng_for
from anomgen.sources.base import PathText
from anomgen.sources.cache import bounded
from anomgen.sources.folder import missing_hint
from anomgen.sources.images import fit_image, quiet, read_image
from anomgen.sources.pixels import to_channels, to_depth
from anomgen.sources.scan import KnownFiles
from anomgen.sources.tree import no_image, tree_of
from anomgen.synthesis.procedural import DEFAULT_FAMILIES, FAMILIES, require_simplex

CACHE_BYTES = 1 << 27
"""Textures, at the size at which they are used, that a process keeps for one configuration."""

MARGIN = 1.25
"""Procedural textures are this much longer and wider than the image, and cut at random."""

_WORKERS = 4


class Textures(Config):
    """Base class of the texture sources."""

    kind: str
    """Which kind of texture source."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
        """Draw a texture, uint8 (H, W, C), and say which; shape: (H, W, C) with C 1 or 3.

        A grey one is the luminance of the coloured one. The result may share memory with others: do not write to it.
        """
        raise NotImplementedError

    def texture(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
        """Draw a texture of the shape (H, W, C) and dtype, uint8 or uint16, of an image; 8 bits are scaled by 257."""
        return to_depth(self.draw(rng, shape)[0], np.dtype(dtype))

    def check(self, shape: tuple[int, ...] | None = None) -> None:
        """Raise whatever later draws would raise; with a `shape`, also keep the textures ready at this size."""

    def resources(self) -> dict[str, str]:
        """Return a hash of the pictures that are read, under the recipe's key; empty where none are."""
        return {}

    def licenses(self) -> tuple[str, ...]:
        """Return the licence of the pictures; empty where there are none, or it is not known."""
        return ()

    def unlicensed(self) -> dict[str, str]:
        """Return why the licence of the pictures is not known, under the recipe's key; empty where it is."""
        return {}


class ProceduralTextures(Textures):
    """Textures made by formulas: `bank_size` of them, each drawn when it is first wanted, then cut and mirrored."""

    kind: Literal["procedural"] = "procedural"
    """Made by formulas."""
    families: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = DEFAULT_FAMILIES
    """Kinds of pattern, equally frequent; `simplex` needs the extra `noise`."""
    bank_size: Annotated[int, Field(ge=1, le=4096)] = 64
    """How many different textures there are."""
    bank_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the textures; apart from the recipe's."""
    resolution: Annotated[int, Field(ge=64, le=4096)] = 512
    """Longest side, in pixels, at which textures are drawn; for larger images they are enlarged."""

    @field_validator("families")
    @classmethod
    def _check_families(cls, families: tuple[str, ...]) -> tuple[str, ...]:
        for name in families:
            if name not in FAMILIES:
                raise ValueError(f"unknown family {name!r}{near_miss(name, FAMILIES)} (known: {', '.join(FAMILIES)})")
        return families

    def check(self, shape: tuple[int, ...] | None = None) -> None:  # noqa: ARG002
        """Raise UsageError when a family needs a package that is not installed."""
        if "simplex" in self.families:
            require_simplex()

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
        """See `Textures.draw`."""
        number = int(rng.integers(self.bank_size))
        shrink = min(1.0, self.resolution / max(shape[:2]))
        rows, columns = (max(round(side * shrink), 1) for side in shape[:2])
        canvas = _bank(self).get(number, (round(rows * MARGIN), round(columns * MARGIN)))
        top = int(rng.integers(canvas.shape[0] - rows + 1))
        left = int(rng.integers(canvas.shape[1] - columns + 1))
        cut = canvas[top : top + rows, left : left + columns]
        mirror = int(rng.integers(-1, 3))
        if mirror < 2:
            cut = cv2.flip(cut, mirror)
        if cut.shape[:2] != shape[:2]:
            cut = cv2.resize(cut, shape[1::-1], interpolation=cv2.INTER_CUBIC)
        return to_channels(cut, shape[2]), f"{self._family(number)}/{number}"

    def _family(self, number: int) -> str:
        return self.families[number % len(self.families)]

    def _make(self, number: int, shape: tuple[int, int]) -> np.ndarray:
        rng = rng_for(self.bank_seed, Stream.TEXTURE, number)
        return FAMILIES[self._family(number)](rng, shape)


class _Pictures(Protocol):
    """A numbered collection of pictures at their own size."""

    def __len__(self) -> int: ...

    def name(self, number: int) -> str:
        """Return what messages and records call a picture."""

    def read(self, number: int) -> np.ndarray:
        """Return a picture as (H, W, C)."""

    def fingerprint(self) -> str:
        """Return a hash of all pictures."""

    @property
    def evidence(self) -> Evidence:
        """Return what is known of the licence of the pictures."""


class _PictureTextures(Textures):
    """Textures that are pictures, stretched to the image's size."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
        """See `Textures.draw`. Raises SourceError for a picture that has become unreadable."""
        pictures = _pictures(self)
        number = int(rng.integers(len(pictures)))
        return to_channels(_bank(self).get(number, shape[:2]), shape[2]), pictures.name(number)

    def resources(self) -> dict[str, str]:
        """See `Textures.resources`."""
        return {"texture": _pictures(self).fingerprint()}

    def licenses(self) -> tuple[str, ...]:
        """See `Textures.licenses`."""
        license = _pictures(self).evidence.license
        return () if license is None else (license,)

    def unlicensed(self) -> dict[str, str]:
        """See `Textures.unlicensed`."""
        found = _pictures(self).evidence
        why = f"{found.file} {found.words}" if found.file else "no file beside the pictures names one"
        return {} if found.license else {"texture": why}

    def _open(self) -> _Pictures:
        raise NotImplementedError

    def _make(self, number: int, shape: tuple[int, int]) -> np.ndarray:
        picture = to_channels(to_depth(_pictures(self).read(number), np.uint8), 3)
        return fit_image(picture, shape, "stretch")


class FolderTextures(_PictureTextures):
    """Pictures in a folder, at any depth, such as those of the Describable Textures Dataset."""

    kind: Literal["folder"] = "folder"
    """Pictures in a folder."""
    path: PathText
    """Folder of pictures."""

    def check(self, shape: tuple[int, ...] | None = None) -> None:
        """Decode every picture. Raises UsageError for the folder, SourceError for pictures, the first one by name."""
        _forget()
        pictures, bank = _pictures(self), _bank(self)

        def load(number: int) -> None:
            if shape is None:
                pictures.read(number)
            else:
                bank.get(number, shape[:2])

        with quiet(), ThreadPoolExecutor(_WORKERS) as executor:
            for _ in executor.map(load, range(len(pictures))):
                pass

    def _open(self) -> _Pictures:
        folder = home(self.path)
        if not folder.is_dir():
            hint = " (it is a file)" if folder.exists() else missing_hint(folder)
            raise UsageError(f"texture.path: {self.path}: there is no such folder of textures{hint}")
        files = tree_of(folder)
        if not files.pictures:
            raise no_image(f"texture.path: {self.path}", files)
        return _FolderPictures(KnownFiles(folder.resolve()), files.pictures)


@dataclass(frozen=True)
class _FolderPictures:
    files: KnownFiles
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, number: int) -> str:
        return self.names[number]

    def read(self, number: int) -> np.ndarray:
        name = f"texture {self.names[number]}"
        return read_image(self.files.read(self.names[number], name), name)

    def fingerprint(self) -> str:
        return self.files.fingerprint(self.names)

    @cached_property
    def evidence(self) -> Evidence:
        return license_beside(self.files.root, pictures=self.names)


class HubTextures(_PictureTextures):
    """A column of pictures of a Hugging Face dataset, by id or local folder; each process opens it once."""

    kind: Literal["hub"] = "hub"
    """Pictures of a Hugging Face dataset."""
    path: PathText
    """Its id ``owner/name``, which may end in ``:SPLIT``, or a local folder."""
    name: str | None = None
    """Its configuration, where it has several."""
    split: str | None = None
    """Its split, such as ``train`` or ``train[:500]``."""
    revision: str | None = None
    """Commit, branch or tag."""
    column: str | None = None
    """Column of the pictures, where it has several."""

    def check(self, shape: tuple[int, ...] | None = None) -> None:  # noqa: ARG002
        """Open the dataset and decode every picture. Raises UsageError or SourceError."""
        _forget()
        _pictures(self)

    def _open(self) -> _Pictures:
        from anomgen.sources.hub import HubPictures

        values = self.model_dump(exclude={"kind"}, exclude_none=True)
        try:
            return _HubPictures(HubPictures(**values, size=None).open())
        except (UsageError, SourceError) as error:
            raise type(error)(f"texture: {error}") from error


@dataclass(frozen=True)
class _HubPictures:
    source: Any

    def __len__(self) -> int:
        return len(self.source)

    def name(self, number: int) -> str:
        return str(self.source.id(number))

    def read(self, number: int) -> np.ndarray:
        picture: np.ndarray = self.source[number]
        return picture

    def fingerprint(self) -> str:
        return str(self.source.fingerprint())

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.source.license)


KINDS: Mapping[str, type[Textures]] = {
    "procedural": ProceduralTextures,
    "folder": FolderTextures,
    "hub": HubTextures,
}
"""The kinds of texture source by name."""


def build_textures(values: Any) -> Textures:
    """Return the texture source that ``{"kind": name, …}`` describes. Raises RecipeError.

    Without a kind, what has a path is a folder, everything else procedural.
    """
    if isinstance(values, Textures):
        return values
    known = ", ".join(KINDS)
    if not isinstance(values, Mapping):
        raise RecipeError(f"must be a mapping with a `kind`, one of {known} (it is {values!r})")
    kind = values.get("kind", "folder" if "path" in values else "procedural")
    if not isinstance(kind, str) or kind not in KINDS:
        raise RecipeError([("kind", f"unknown kind {kind!r}{near_miss(str(kind), KINDS)} (known: {known})")])
    from anomgen.config import validated

    built: Textures = validated(KINDS[kind], values)
    return built


def _under_its_key(values: Any) -> Textures:
    try:
        return build_textures(values)
    except RecipeError as error:
        raise error.inside("texture") from None


TextureField = Annotated[SerializeAsAny[Textures], BeforeValidator(_under_its_key)]
"""The type of a generator's field `texture`: in a recipe a mapping with a `kind`."""


class _Bank:
    """What a process keeps of one configuration's textures."""

    def __init__(self, make: Callable[[int, tuple[int, int]], np.ndarray]):
        self._make = make
        self._kept: MutableMapping[tuple[int, int, int], np.ndarray] = bounded(
            CACHE_BYTES, lambda texture: texture.nbytes
        )
        self._lock = Lock()

    def get(self, number: int, shape: tuple[int, ...]) -> np.ndarray:
        """Return texture `number` at (H, W), uint8 (H, W, 3), read-only."""
        key = (number, shape[0], shape[1])
        with self._lock:
            known = self._kept.get(key)
        if known is not None:
            return known
        texture = self._make(number, (shape[0], shape[1]))
        texture.flags.writeable = False
        with self._lock:
            self._kept[key] = texture
        return texture


def _forget() -> None:
    """Drop what was read from files: they may have changed since."""
    _pictures.cache_clear()
    _bank.cache_clear()


@lru_cache(maxsize=4)
def _bank(textures: ProceduralTextures | _PictureTextures) -> _Bank:
    return _Bank(textures._make)


@lru_cache(maxsize=4)
def _pictures(textures: _PictureTextures) -> _Pictures:
    return textures._open()
