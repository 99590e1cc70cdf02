"""The contract of a generator: normal image in, anomalous image with an exact mask out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import cv2
import numpy as np

from anomgen.config import PositiveRange, Preset, Range, Share, ShareRange, located_texts
from anomgen.errors import SourceError
from anomgen.registry import build
from anomgen.sources.base import Images
from anomgen.sources.scan import contents_digest
from anomgen.synthesis.sample import Reject, Sample

__all__ = [
    "Generator",
    "Images",
    "PositiveRange",
    "Preset",
    "Range",
    "Share",
    "ShareRange",
    "build_generator",
    "draw_donor",
    "fitted",
    "foreground_of",
    "require_donors",
]
"""What the author of a generator needs, in one place."""


def build_generator(values: Mapping[str, Any]) -> Generator:
    """Return the generator that ``{"kind": name, …}`` describes; the inverse of ``Generator.config``."""
    result: Generator = build("generators", values)
    return result


class Generator(Preset):
    """Base class of the generators. A method writes `sample`, or `sample_batch` if it profits from a batch.

    Pure: the same (configuration, rng, image, pool) gives the same result; entry k of a batch depends on `rngs[k]`
    and `images[k]` alone. No global random state, no clock, no mutation of the inputs, no files except resources
    that the configuration names.
    """

    kind: ClassVar[str]
    """Name in recipes and in the registry."""
    paper: ClassVar[str] = ""
    """What the card of a dataset cites, Markdown: authors, title, venue, year, a link; empty for no paper."""
    advice: ClassVar[str] = (
        "Look at the foreground with `anomgen preview --foreground`, ask for less of it (the generator's "
        "min_foreground or min_object), widen its ranges, or check that the normal images differ from each other"
    )
    """What a user can do when draw after draw is rejected."""
    soft: ClassVar[bool] = False
    """Whether the samples may carry a soft mask."""

    @property
    def defect_types(self) -> tuple[str, ...]:
        """Return the names that `Sample.defect_type` can take; by default the generator's kind."""
        return (self.kind,)

    @property
    def min_on_foreground(self) -> float:
        """Return the least share of a mask that lies on the foreground, where there is one."""
        return 1.0

    @property
    def has_soft_mask(self) -> bool:
        """Return whether this configuration's samples may carry a soft mask."""
        return type(self).soft

    @property
    def uses_network(self) -> bool:
        """Return whether drawing runs a neural network: `--engine ray` then gives it a GPU, where there is one."""
        return False

    def prepared(self, pool: Images) -> Self:  # noqa: ARG002
        """Return this generator with everything that is automatic replaced by values measured on `pool`.

        Deterministic in (configuration, pool). The engine calls it once per run; the result is what the
        provenance records. Call it yourself before many calls of `sample`, which otherwise measures every time.
        """
        return self

    def drafted(self, pool: Images) -> Self:
        """Return what draws the images and masks that `prepared` would, at once: soft masks may be missing.

        For looking, where each change of a setting wants an answer.
        """
        return self.prepared(pool)

    def sample(self, rng: np.random.Generator, image: np.ndarray, pool: Images) -> Sample:
        """Draw one anomaly.

        rng: this sample's own generator. image: (H, W, C) uint8 or uint16, C 1 or 3, read-only. pool: the normal
        images, for donors and statistics. Raises Reject when this draw gives no anomaly.
        """
        result = self.sample_batch([rng], [image], pool)[0]
        if isinstance(result, Reject):
            raise result
        return result

    def sample_batch(
        self, rngs: Sequence[np.random.Generator], images: Sequence[np.ndarray], pool: Images
    ) -> list[Sample | Reject]:
        """Draw one anomaly per image; an entry that failed is a Reject."""
        return [self._attempt(rng, image, pool) for rng, image in zip(rngs, images, strict=True)]

    def _attempt(self, rng: np.random.Generator, image: np.ndarray, pool: Images) -> Sample | Reject:
        try:
            return self.sample(rng, image, pool)
        except Reject as reject:
            return reject.with_traceback(None)  # which holds what was drawn

    def plug_ins(self) -> tuple[str, ...]:
        """Return the kinds, its own or those of its parts, that are not anomgen's: what they draw is verified."""
        return () if type(self).__module__.partition(".")[0] == "anomgen" else (self.kind,)

    def resources(self) -> dict[str, str]:
        """Return a hash of every file that the configuration names, by the recipe's key: recorded, and compared on
        resume.

        By default of each file or folder in a field that is declared as `PathText`. Raises UsageError where there is
        none: a generator that reads something else there says here what that holds.
        """
        return {key: contents_digest(text, f"generator.{key}") for key, text in located_texts(self)}

    def licenses(self) -> tuple[str, ...]:
        """Return the licences, where known, of what goes into anomalies beside the source: textures, banks, models."""
        return ()

    def unlicensed(self) -> dict[str, str]:
        """Return why the licence of something that goes into anomalies is not known, by its key in the recipe.

        What is made of it has no known licence either, until the user gives one.
        """
        return {}

    def trained_on(self) -> frozenset[str]:
        """Return the hash (`anomgen.files.file_digest`) of each image file that its models learnt from."""
        return frozenset()

    def cost(self, shape: tuple[int, ...]) -> float:  # noqa: ARG002
        """Return about how many seconds of one processor core an anomaly of (H, W, C) takes; only networks count."""
        return 0.0


def terms_of(generator: Generator) -> tuple[str | None, ...]:
    """Return the licences of all that goes into a generator's anomalies beside the source, None for unknown ones."""
    return (*generator.licenses(), *([None] if generator.unlicensed() else []))


def notes_on_terms(generator: Generator) -> tuple[str, ...]:
    """Return a sentence on each thing whose licence is not known, which leaves that of the dataset unknown."""
    return tuple(
        f"licence unknown: that of generator.{key} is not known ({why}); find it out, and give --license"
        for key, why in generator.unlicensed().items()
    )


def foreground_of(pool: Images, image: np.ndarray) -> np.ndarray | None:
    """Return the foreground, bool (H, W), of an image; None where the whole image is foreground."""
    foreground = getattr(pool, "foreground", None)
    return None if foreground is None else foreground(image)


def require_donors(pool: Images) -> None:
    """Raise SourceError when a pool has no second image to take content from."""
    if len(pool) < 2:
        raise SourceError(
            "this generator takes content from a second normal image, but the source has only one; "
            "add images, or use a recipe that needs no donor (cutpaste, perlin)"
        )


def draw_donor(rng: np.random.Generator, image: np.ndarray, pool: Images) -> np.ndarray:
    """Draw, uniformly, an image of the pool other than `image` itself (by identity).

    Raises SourceError when the pool has no other image.
    """
    require_donors(pool)
    count = len(pool)
    position = int(rng.integers(count))
    donor = pool[position]
    if donor is image:
        donor = pool[(position + 1 + int(rng.integers(count - 1))) % count]
    return donor


def fitted(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an image (H, W, C) or a mask, bool (H, W), resized to the height and width of `shape`."""
    if array.shape[:2] == tuple(shape[:2]):
        return array
    if array.dtype == bool:
        return cv2.resize(array.view(np.uint8), shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT).view(bool)
    return cv2.resize(array, shape[1::-1], interpolation=cv2.INTER_AREA).reshape(*shape[:2], array.shape[2])
