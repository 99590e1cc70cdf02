"""A kept detector in use: images in, scores, flags, maps and masks out."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from anomgen.errors import AnomgenError, AnomgenNote, AnomgenWarning, SourceError, UsageError, require
from anomgen.score.detectors.base import Detector
from anomgen.score.kept.record import Description, Threshold
from anomgen.score.limits import bounds_of, bounds_of_rule
from anomgen.score.metrics import reduce_maps
from anomgen.sources.base import MIN_SIDE
from anomgen.sources.images import fit_image, read_image
from anomgen.sources.pixels import to_channels
from anomgen.sources.value_range import stretched
from anomgen.versions import memory

_telling = threading.Lock()


@dataclass(frozen=True)
class Inspection:
    """What a detector says of one image of any size (H, W).

    score: higher is more anomalous. is_anomalous: whether the score reaches the threshold. map: float32 (h, w), at the
    size that the detector sees. mask: bool (H, W), the pixels whose value of the map, brought to the image's size,
    reaches the threshold for pixels; None where the detector has none. It follows from the map alone, so an image that
    is not flagged can have some.
    """

    score: float
    is_anomalous: bool
    map: np.ndarray
    mask: np.ndarray | None

    @property
    def area(self) -> float | None:
        """Return the share of the image's pixels in the mask."""
        return None if self.mask is None else float(self.mask.mean())


@dataclass(frozen=True)
class Inspector:
    """A detector that `anomgen fit` has kept, with its thresholds."""

    detector: Detector
    description: Description
    _told: set[str] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def load(cls, folder: str | Path, *, limit: str | Sequence[str] = ()) -> Self:
        """Return the detector in a folder, or on the Hub; nothing in it is run.

        limit: ``fn=0``, ``fpr=0.02`` or both: another threshold than the kept one, chosen on the same validation
        images. Of a kept one that its rule does not choose there, a note is told, and of one that nothing there
        reaches, a warning; of a threshold for pixels below zero, where no score is, a note. Raises UsageError
        for a folder that is none, damaged, of another version, or of a detector that sees larger images than this
        machine has the memory for, Unreachable for limits that no threshold keeps.
        """
        require("score", "a trained detector", "torch", "safetensors", "timm")
        from anomgen.score.kept.folder import load_detector

        detector, description = load_detector(folder)
        _require_memory(folder, detector, description)
        bounds = bounds_of([limit] if isinstance(limit, str) else limit)
        if bounds:
            description = description.model_copy(update={"threshold": Threshold.of(description.validation, bounds)})
        else:
            _tell_of_threshold(folder, description)
        _tell_of_pixels(folder, description)
        return cls(detector, description)

    @property
    def threshold(self) -> float:
        """Return the score from which an image is flagged."""
        return self.description.threshold.score

    def inspect(self, image: np.ndarray | str | Path) -> Inspection:
        """Inspect one image: a file, or an array (H, W), (H, W, 1) or (H, W, 3) RGB, uint8 or uint16.

        It is brought to the detector's size and channels as the training images were, of which an AnomgenNote is told
        once. Raises SourceError for an image that cannot be read or has another depth.
        """
        return self.inspect_all([image])[0]

    def inspect_all(self, images: Sequence[np.ndarray | str | Path]) -> list[Inspection]:
        """Inspect several images at once, which is faster; all are held in memory."""
        opened = [opened_image(image) for image in images]
        return self.inspect_seen([self.seen(image) for image in opened], [image.shape[:2] for image in opened])

    def seen(self, image: np.ndarray, name: str = "image") -> np.ndarray:
        """Return what the detector sees of an image (H, W, C): of its shape and depth. Raises SourceError."""
        height, width, channels = self.description.shape
        if image.dtype.name != self.description.depth:
            bits = {"uint8": "8-bit", "uint16": "16-bit"}
            raise SourceError(
                f"{name}: is {bits.get(image.dtype.name, image.dtype.name)}, and the detector was trained on "
                f"{bits[self.description.depth]} images; convert it"
            )
        if image.shape[:2] != (height, width):
            sizes = f"{image.shape[0]}×{image.shape[1]} pixels, for instance, to {height}×{width}"
            self._tell("size", f"images of another size are resized as the training images were: {sizes}")
        if image.shape[2] != channels:
            kinds = {1: "grey", 3: "colour"}
            told = f"{kinds[image.shape[2]]} images are made {kinds[channels]}, as the training images were"
            self._tell("channels", told)
        fitted = fit_image(image, (height, width), "stretch", name)
        return to_channels(stretched(fitted, self.description.stretched_from), channels)

    def inspect_seen(self, images: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]]) -> list[Inspection]:
        """Inspect images as `seen` returns them. shapes: height and width of each before, for its mask."""
        if not images:
            return []
        maps = self.detector.anomaly_maps(np.stack(images))
        if not np.isfinite(maps).all():
            raise AnomgenError("the detector returns maps that are not finite: its weights are damaged")
        scores = reduce_maps(maps, self.description.score)
        return [
            Inspection(float(score), bool(score >= self.threshold), values, self._mask(values, shape))
            for score, values, shape in zip(scores, maps, shapes, strict=True)
        ]

    def export(self, path: str | Path) -> float:
        """Write the detector as an ONNX file, compare it with torch, and return how far the maps are apart.

        The file takes stored pixels `image`, (N, H, W, C) as `seen` returns them, and gives `map` (N, H, W) and
        `score` (N,). Raises MissingExtra without the extra `onnx`, UsageError for a detector that is more than a
        network.
        """
        require("onnx", "an ONNX file", "torch", "onnx", "onnxruntime", "onnxscript")
        from anomgen.score.inspector.onnx import export_onnx

        return export_onnx(self.detector, self.description, Path(path))

    def _mask(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        limit = self.description.pixel_threshold
        if limit is None:
            return None
        if values.shape != shape[:2]:
            values = cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
        mask: np.ndarray = values >= limit
        return mask

    def _tell(self, what: str, text: str) -> None:
        """Tell a note once."""
        with _telling:
            new = what not in self._told
            self._told.add(what)
        if new:
            warnings.warn(text, AnomgenNote, stacklevel=4)


def _require_memory(folder: str | Path, detector: Detector, description: Description) -> None:
    """Raise UsageError where one image, at the size that the detector sees, takes more than all of the memory.

    An accelerator says itself that it has too little.
    """
    from anomgen.score.detectors.networks import device

    height, width, _ = description.shape
    needed, there = detector.footprint * height * width, memory()
    if there is not None and needed > there and device().type == "cpu":
        raise UsageError(
            f"{folder}: the detector sees images of {height}×{width} pixels, of which one takes about "
            f"{needed / 1e9:.3g} GB of memory, and this machine has {there / 1e9:.3g}; use a larger one, or make the "
            "detector anew with a smaller --size"
        )


def _tell_of_threshold(folder: str | Path, description: Description) -> None:
    """Tell of a threshold that somebody has set, and of one with which images like the anomalous ones pass."""
    threshold, scores = description.threshold, description.validation.scores
    try:
        chosen = Threshold.of(description.validation, bounds_of_rule(threshold.rule)).score
    except AnomgenError:  # a rule of somebody's own
        chosen = None
    if chosen is not None and math.isclose(threshold.score, chosen, rel_tol=1e-6):
        return
    own = f"{folder}: the threshold {threshold.score:.4g} is not what its rule, {threshold.rule}, gives on the"
    given = "" if chosen is None else f" ({chosen:.4g})"
    if threshold.score > max(scores, default=-math.inf):
        warnings.warn(
            f"{own} validation images{given}; it lies above every score seen there: nothing like them will be flagged. "
            "Choose one with --limit",
            AnomgenWarning,
            stacklevel=3,
        )
    else:
        flagged = sum(score >= threshold.score for score in scores)
        warnings.warn(
            f"{own} validation images{given}; it flags {flagged} of these {len(scores)}",
            AnomgenNote,
            stacklevel=3,
        )


def _tell_of_pixels(folder: str | Path, description: Description) -> None:
    """Tell of a threshold for pixels that somebody has set so low that every pixel reaches it."""
    limit, lowest = description.pixel_threshold, min(description.validation.scores, default=-math.inf)
    if limit is not None and limit < 0 <= lowest:
        warnings.warn(
            f"{folder}: the threshold for pixels, {limit:.4g}, is below zero, and no score of the validation images is "
            f"(the lowest is {lowest:.4g}): masks will hold whole images",
            AnomgenNote,
            stacklevel=3,
        )


def opened_image(image: np.ndarray | str | Path, name: str | None = None) -> np.ndarray:
    """Return an image as (H, W, C). Raises SourceError for what is none."""
    if not isinstance(image, np.ndarray):
        return read_image(image, name)
    pixels = image[..., None] if image.ndim == 2 else image
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or min(pixels.shape[:2]) < MIN_SIDE:
        raise SourceError(
            f"an image is an array (H, W), (H, W, 1) or (H, W, 3) of sides from {MIN_SIDE}, not {image.shape}"
        )
    return pixels
