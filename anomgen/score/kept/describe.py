"""What is said of a trained detector that is kept: where it comes from, its threshold, what it reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from anomgen.registry import version_of
from anomgen.score.kept.record import Data, Description, On, Tested, Threshold, Validation
from anomgen.score.limits import Bound, Unreachable
from anomgen.score.metrics import Curve, Reducer, chosen_f1, reduce_maps
from anomgen.versions import installed

if TYPE_CHECKING:
    from anomgen.making.engine import Recipe
    from anomgen.score.data import RealData, TestImages
    from anomgen.score.detectors.base import Batch, Detector
    from anomgen.score.entries import Entry

VERSIONED = ("anomgen", "torch", "timm", "numpy", "opencv-python")


@dataclass(frozen=True)
class Fitting:
    """What a detector was trained for. bounds: limits that its threshold keeps; on: of which images.

    command: the command line that makes it again. licenses: of what went into the anomalies that it was trained on.
    """

    entry: Entry
    seed: int
    score: Reducer
    bounds: tuple[Bound, ...]
    on: On
    command: str
    licenses: tuple[str | None, ...] = ()


def described(
    data: RealData,
    detector: Detector,
    held: Batch | TestImages,
    maps: np.ndarray,
    tested: np.ndarray | None,
    told: Fitting,
) -> tuple[Description, Unreachable | None]:
    """Return all that is known of a fitted detector but its weights, and why the limits cannot be kept.

    held: the images that the threshold is chosen on; maps: of these. tested: maps of the data's test images, if it has
    some.
    """
    scores = reduce_maps(maps, told.score)
    validation = Validation(on=told.on, scores=scores.tolist(), anomalous=held.labels.tolist())
    unreachable = None
    try:
        threshold = Threshold.of(validation, told.bounds)
    except Unreachable as error:
        threshold, unreachable = Threshold.of(validation, ()), error
    marked = held.masks is not None and held.masks.any() and (data.real is None or data.real.masks is not None)
    pixels = Curve.of_maps(held.masks, maps) if held.masks is not None and marked else None
    description = Description(
        detector=detector.recorded(),
        plugin=version_of("detectors", detector.kind),
        shape=data.train[0].shape,
        depth="uint8" if data.train[0].dtype == np.uint8 else "uint16",
        value_range=data.value_range,
        score=told.score,
        threshold=threshold,
        pixel_threshold=None if pixels is None else pixels.best_threshold(),
        validation=validation,
        tested=None if tested is None else _tested(data, tested, threshold, told.score),
        weights="0" * 64,
        recipe=None if told.entry.definition is None else _without_source(told.entry.definition),
        entry=told.entry.name,
        seed=told.seed,
        data=[
            Data(
                category=data.name,
                images=len(data.train),
                held_out=len(data.validation),
                fingerprint=data.fingerprint,
                license=data.train.license,
                files=(*getattr(data.train, "files", ()), *data.validation.files),
            )
        ],
        licenses=told.licenses,
        command=told.command,
        seconds=0.0,
        versions=dict(installed(VERSIONED)),
    )
    return description, unreachable


def _tested(data: RealData, maps: np.ndarray, threshold: Threshold, score: Reducer) -> Tested:
    """Return what the threshold reaches on the data's own test images."""
    curve = Curve.of(data.test.labels, reduce_maps(maps, score))
    rates = curve.rates(threshold.score)
    auroc = float(curve.auroc)
    return Tested(
        normal=int(curve.normal),
        anomalous=int(curve.anomalous),
        image_auroc=auroc if np.isfinite(auroc) else None,
        f1=curve.f1_at(threshold.score),
        best_f1=chosen_f1(curve, curve).best_f1,
        fpr=rates.fpr,
        fnr=rates.fnr,
    )


def _without_source(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe's settings but for its source: the images were those of the data, whatever it names."""
    return {key: value for key, value in recipe.portable().config().items() if key != "source"}
