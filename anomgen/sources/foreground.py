"""Where the object is: which pixels of a normal image may become anomalous.

How a method is chosen is in `choosing.py`, how one image is segmented in `segmentation.py`, the papers' settings are in
`foreground_presets.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

import cv2
import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from anomgen.config import Config, Share
from anomgen.errors import RecipeError, SourceError, UsageError, near_miss
from anomgen.places import home
from anomgen.sources.base import Images, PathText, Source
from anomgen.sources.choosing import LOOKED_AT, chosen
from anomgen.sources.folder import missing_hint
from anomgen.sources.foreground_presets import settings
from anomgen.sources.images import Fit, fit_image
from anomgen.sources.pixels import value_max
from anomgen.sources.region import (
    advice_on_jpeg,
    file_for,
    forget,
    orientation_notes,
    read_drawn,
    region_digest,
    region_of,
    require_aspect,
    require_aspects,
)
from anomgen.sources.segmentation import (
    REFERENCE_SIZE,
    border_distance,
    by_threshold,
    eight_bits,
    enlarged,
    far_from_levels,
    flattened,
    shrunk_to,
    smoothed,
    snapped,
    tidy,
)

_THRESHOLD = ("channel", "side", "close", "open", "clean", "snap", "flatten")
_WHERE_ON = {"snap", "flatten"}
"""Keys that recipes have only where they are on: others are described as they were before there were these."""
_REGIONS = ("roi", "exclude")
"""Keys that go with every method."""
LEAST_ROOM = 16
"""Pixels on which an anomaly has room."""
_KEYS: dict[str, tuple[str, ...]] = {
    "none": (),
    "auto": (*_THRESHOLD, "tolerance", "lightness"),
    "otsu": _THRESHOLD,
    "triangle": _THRESHOLD,
    "background": ("levels",),
    "background_color": ("tolerance", "lightness", "close", "open", "clean", "snap", "flatten"),
    "alpha": (),
    "folder": ("path",),
}

Kernel = Annotated[int, Field(ge=0, le=REFERENCE_SIZE)]
Pair = Annotated[tuple[float, float], Field(strict=False)]


class Foreground(Config):
    """How to tell the object from its background; which keys apply depends on `method`."""

    method: Literal["none", "auto", "otsu", "triangle", "background", "background_color", "alpha", "folder"] = "none"
    """`none`: the whole image. `auto`: chosen by looking at the images. `otsu`, `triangle`: a threshold.
    `background`: far from known grey levels (NSA). `background_color`: far from the colour of the image's border.
    `alpha`: what is opaque in the images' files, which are cut-outs. `folder`: masks drawn elsewhere."""
    channel: Literal["gray", "r", "g", "b"] = "gray"
    """Threshold: what is compared."""
    side: Literal["bright", "dark"] = "bright"
    """Threshold: which side of it is the object."""
    levels: Annotated[tuple[Pair, ...], Field(strict=False)] = ()
    """Background: pairs (level, tolerance) in grey levels of 255; the object is far from each of them."""
    tolerance: Annotated[float, Field(gt=0)] | None = None
    """Background colour: distance (Lab of 8 bits) from which a pixel is object; null: by Otsu, image by image."""
    lightness: Share = 1.0
    """Background colour: weight of the lightness in the distance; 0 where shadows and vignettes must not count."""
    close: Kernel = 6
    """Side in pixels at 256 × 256 of the square that closes gaps; 0 for none."""
    open: Kernel = 6
    """The same for removing specks, after closing."""
    clean: Share = 0.0
    """Holes and islands below this share of the object's area are filled and removed; islands at the image's border,
    where uneven backgrounds end, below five times this share."""
    snap: bool = False
    """Whether the outline is moved to the strongest edge nearby: away from soft shadows, around parts that shine."""
    flatten: bool = False
    """Whether the light is evened first, as far as it can be seen along the border: vignettes, light from one side."""
    path: PathText | None = None
    """Folder: masks beside each other as the images are, ``NAME.png`` or ``NAME_mask.png``; not zero is object, of
    cut-outs what is opaque."""
    roi: PathText | None = None
    """With any method: a picture, white where anomalies may be, or a folder with one for each image, ``NAME.png``."""
    exclude: PathText | None = None
    """With any method: the same, white where anomalies may not be."""

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        keys = _KEYS[self.method]
        for key in sorted(self.model_fields_set - {"method", *_REGIONS, *keys}):
            allowed = f"; it takes {', '.join(keys)}" if keys else ""
            raise ValueError(f"{key} means nothing to the method {self.method}{allowed}")
        for key in {"levels", "path"} & set(keys):
            if not getattr(self, key):
                raise ValueError(f"the method {self.method} needs {key}")
        return self

    @model_serializer(mode="wrap")
    def _only_what_applies(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        given = self.model_fields_set if self.method == "auto" else _KEYS[self.method]
        keys = {"method", *given, *(key for key in _REGIONS if getattr(self, key) is not None)}
        keys -= {key for key in _WHERE_ON if not getattr(self, key)}
        return {key: value for key, value in handler(self).items() if key in keys}

    def resolved(self, pool: Images) -> Foreground:
        """Return a concrete method: `auto` looks at up to 16 images; a texture gives `none`, cut-outs, all
        with alpha, `alpha`. Keys given win.

        A folder is checked to hold a mask for every image, of its aspect. Raises UsageError for a folder that is not
        there, a key that the chosen method lacks, and pictures that leave no room for an anomaly; SourceError for a
        mask that is missing or of another aspect.
        """
        if self.method == "auto":
            is_cut_out = getattr(getattr(pool, "source", None), "is_cut_out", False)
            by_alpha = is_cut_out and self.model_fields_set <= {"method", *_REGIONS}
            return self._refined(Foreground(method="alpha") if by_alpha else choose(pool)).resolved(pool)
        if self.drawn:
            forget()
        if self.method == "folder":
            self._check_folder(pool)
        if self.has_region and len(pool):
            self._check_room(pool)
        return self

    @property
    def has_region(self) -> bool:
        """Return whether pictures say where anomalies may be."""
        return self.roi is not None or self.exclude is not None

    @property
    def drawn(self) -> bool:
        """Return whether pictures of the files have a part in it, which an image alone does not have."""
        return self.method in ("folder", "alpha") or self.has_region

    def region(self, image: np.ndarray, source_id: str | None = None, fit: Fit = "stretch") -> np.ndarray | None:
        """Return where anomalies may be whatever shows there, bool (H, W); None: anywhere. See `mask`."""
        shape, found = (image.shape[0], image.shape[1]), None
        if self.roi is not None:
            found = region_of(self.roi, "foreground.roi", source_id, shape, fit)
        if self.exclude is not None:
            allowed = ~region_of(self.exclude, "foreground.exclude", source_id, shape, fit)
            found = allowed if found is None else found & allowed
        return found

    def without_region(self) -> Foreground:
        """Return the same method, without `roi` and `exclude`."""
        if not self.has_region:
            return self
        return Foreground.model_validate({key: part for key, part in self.config().items() if key not in _REGIONS})

    def _refined(self, chosen: Foreground) -> Foreground:
        """Return what was chosen, with the keys that were given beside `auto`."""
        given = {key: getattr(self, key) for key in self.model_fields_set - {"method"}}
        for key in sorted(given.keys() - {*_REGIONS, *_KEYS[chosen.method]}):
            raise UsageError(
                f"foreground.{key}: auto chose {chosen.method} on these images, which has no {key}; set "
                "foreground.method too"
            )
        return Foreground.model_validate({**chosen.config(), **given}) if given else chosen

    def _check_room(self, pool: Images) -> None:
        source = getattr(pool, "source", None)
        picked = sorted({round(k) for k in np.linspace(0, len(pool) - 1, LOOKED_AT)})
        rooms = []
        for index in picked:
            image = pool[index]
            name = None if source is None else source.id(index)
            fit: Fit = getattr(source, "fit", "stretch")
            if getattr(source, "keeps_aspect", False):
                for key in _REGIONS:
                    if (path := getattr(self, key)) is not None:
                        require_aspect(path, f"foreground.{key}", name, (image.shape[0], image.shape[1]))
            mask = self.mask(image, name, fit)
            rooms.append(image[..., 0].size if mask is None else np.count_nonzero(mask))
        if max(rooms) < LEAST_ROOM:
            raise UsageError(
                f"foreground: roi and exclude leave no room for an anomaly on the object (at most {max(rooms)} pixels "
                f"on the {len(rooms)} images that were looked at); look with `anomgen preview --foreground`"
            )

    def doubts(self, source: Source) -> tuple[str, ...]:
        """Return notes on drawn pictures of which nobody can tell whether EXIF turns them as it does the images.

        Raises SourceError for one that was drawn on an image before it is turned.
        """
        keys = [*(["path"] if self.method == "folder" else []), *_REGIONS]
        given = {key: path for key in keys if (path := getattr(self, key)) is not None}
        turns = getattr(source, "turns", {})
        return tuple(
            note for key, path in given.items() for note in orientation_notes(path, f"foreground.{key}", turns)
        )

    def resources(self) -> dict[str, str]:
        """Return a hash of the files that this foreground reads, by the recipe's key."""
        regions = {key: getattr(self, key) for key in _REGIONS if getattr(self, key) is not None}
        found = {f"foreground.{key}": region_digest(path, f"foreground.{key}") for key, path in regions.items()}
        if self.method == "folder":
            found["foreground"] = region_digest(self.path or "", "foreground.path")
        return found

    def mask(
        self,
        image: np.ndarray,
        source_id: str | None = None,
        fit: Fit = "stretch",
        opaque: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """Return the object's pixels, bool (H, W), read-only; None when the whole image is foreground.

        image: (H, W, C) uint8 or uint16. source_id: which image of the source it is, fit: how it was brought to its
        size; only what is drawn on the files needs them: masks of `folder`, `roi` and `exclude`. opaque: bool (H, W),
        what `alpha` takes; without it, what is not white, as transparent parts are shown. Raises SourceError for a
        missing or unreadable mask.
        """
        region = self.region(image, source_id, fit)
        if self.method == "none":
            return region
        if self.method == "auto":
            raise UsageError("foreground: auto must first be resolved on a pool, with Foreground.resolved")
        if self.method == "alpha":
            shown = image < value_max(image.dtype) if opaque is None else opaque[..., None]
            mask = np.array(shown.any(axis=2))
        else:
            mask = self._folder_mask(image, source_id, fit) if self.method == "folder" else self.segment(image)
        mask = mask.view(bool) if region is None else mask.view(bool) & region
        mask.flags.writeable = False
        return mask

    def segment(self, image: np.ndarray) -> np.ndarray:
        """Return 1 for object, 0 for background, uint8 (H, W), by a threshold, a colour or levels; image: (H, W, C)."""
        if self.method == "background":
            return far_from_levels(image, self.levels)
        shape = (image.shape[0], image.shape[1])
        image = smoothed(eight_bits(image))
        image = enlarged(image) if self.snap else image
        image = flattened(image) if self.flatten else image
        distance = border_distance(image, self.lightness) if self.method == "background_color" or self.snap else None
        if self.method == "background_color":
            assert distance is not None
            if self.tolerance is None:
                raw = cv2.threshold(distance, 0, 1, cv2.THRESH_OTSU)[1]
            else:
                raw = (distance > self.tolerance).view(np.uint8)
        else:
            raw = by_threshold(image, self.channel, self.side, self.method)
        mask = tidy(raw, self.close, self.open, self.clean)
        return mask if distance is None or not self.snap else shrunk_to(snapped(image, mask, distance), shape)

    def _folder_mask(self, image: np.ndarray, source_id: str | None, fit: Fit) -> np.ndarray:
        if source_id is None:
            raise UsageError("foreground: a folder of masks serves images of a source only, which have an id")
        file = self._mask_file(source_id)
        name = PurePosixPath(file).name
        folder = str(home(self.path or "."))
        mask = read_drawn(folder, file, f"foreground: {name}, the mask of {source_id}")
        levels = np.asarray(mask, dtype=np.uint8)[..., None] * np.uint8(255)
        shape = (image.shape[0], image.shape[1])
        return (fit_image(levels, shape, fit, name)[..., 0] > 127).view(np.uint8)

    def _mask_file(self, source_id: str) -> str:
        name = file_for(home(self.path or "."), source_id)
        if name is None:
            relative = PurePosixPath(source_id).with_suffix("")
            raise SourceError(
                f"foreground: {self.path} holds no mask of {source_id}: neither {relative}.png nor {relative}_mask.png"
                f"{advice_on_jpeg(home(self.path or '.'), source_id)}"
            )
        return name

    def _check_folder(self, pool: Images) -> None:
        if not home(self.path or ".").is_dir():
            raise UsageError(f"foreground.path: {self.path}: there is no such folder of masks")
        source = getattr(pool, "source", None)
        if source is None:
            return
        files = {name: self._mask_file(name) for name in map(source.id, range(len(source)))}
        turned = {name: (turn.stored,) for name, turn in getattr(source, "turns", {}).items()}
        sizes = {name: (*found, *turned.get(name, ())) for name, found in getattr(source, "sizes", {}).items()}
        require_aspects(str(home(self.path or ".")), files, sizes)


def choose(pool: Images) -> Foreground:
    """Return the method that fits a product's images best, `none` for a texture: see `anomgen.sources.choosing`."""
    return Foreground.model_validate(chosen(pool, segmented))


def segmented(keys: Mapping[str, Any], image: np.ndarray) -> np.ndarray:
    """Return what `Foreground.segment` does with the method that keys describe."""
    return Foreground.model_validate(keys).segment(image)


def parse_foreground(value: Any) -> Foreground:
    """Return the foreground that a recipe describes.

    value: ``none``, ``auto``, a method's name, a preset (``realnet/bottle``, ``nsa/bottle``), or a mapping with
    `method` and its keys. Raises RecipeError.
    """
    if isinstance(value, Foreground):
        return value
    if isinstance(value, str):
        if value in PRESETS:
            return PRESETS[value]
        if value not in _KEYS and _means_path(value) and not home(value).exists():
            raise RecipeError(f"{value}: there is no such folder of masks{missing_hint(home(value))}")
        is_folder = value not in _KEYS and home(value).is_dir()
        if value not in _KEYS and home(value).is_file():
            raise RecipeError(f"{value} is a file; give the folder of the masks, one for each image")
        value = {"method": "folder", "path": value} if is_folder else {"method": value}
    if isinstance(value, Mapping) and isinstance(value.get("method"), str) and value["method"] in PRESETS:
        value = {**PRESETS[value["method"]].config(), **{key: part for key, part in value.items() if key != "method"}}
    if not isinstance(value, Mapping):
        raise RecipeError(f"must be a name or a mapping with a `method` (it is {value!r})")
    method = value.get("method")
    if not isinstance(method, str) or method not in _KEYS:
        known = [*_KEYS, *PRESETS]
        raise RecipeError(
            f"unknown method {method!r}{near_miss(str(method), known)} (methods: {', '.join(_KEYS)}; "
            "a folder of masks by its path; presets: "
            "realnet/… and nsa/… with the name of a class, such as realnet/bottle, realnet/visa/pcb1, nsa/screw)"
        )
    from anomgen.config import validated

    result: Foreground = validated(Foreground, value)
    return result


def _means_path(value: str) -> bool:
    of_papers = {name.partition("/")[0] for name in PRESETS}
    return value.startswith((".", "~")) or ("/" in value and value.partition("/")[0] not in of_papers)


PRESETS: Mapping[str, Foreground] = {name: Foreground.model_validate(own) for name, own in settings().items()}
"""Settings of the papers by name: ``realnet/CLASS`` (MVTec AD), ``realnet/{visa,mpdd,btad}/CLASS``, ``nsa/CLASS``."""
