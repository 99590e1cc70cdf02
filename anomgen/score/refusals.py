"""What a request may not ask of the opened data, and what the user should know of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from anomgen.errors import UsageError
from anomgen.score.anomalies import HELD_OUT
from anomgen.score.data import RealData
from anomgen.score.detectors.base import Detector
from anomgen.score.entries import Entry


def refuse_real_without_masks(data: RealData, entries: Iterable[Entry], detectors: Iterable[Detector]) -> None:
    """Raise UsageError when a detector that learns from masks would train on real anomalies without any."""
    if data.real is None or data.real.masks is not None or not any(entry.kind == "real" for entry in entries):
        return
    for detector in detectors:
        if detector.needs_masks and detector.uses_anomalies:
            raise UsageError(
                f"{data.name}: real: detector {detector.kind} learns from masks, and this data has none; cyclegan "
                "learns from images that are only said to be anomalous"
            )


def refuse_more_abnormal(data: RealData, entries: Iterable[Entry]) -> None:
    """Raise UsageError when more real anomalies are to be trained on than are set aside for it."""
    for entry in entries:
        if entry.abnormal is None or data.real is None:
            continue
        there = int(data.real.labels.sum() if data.real.masks is None else data.real.masks.any(axis=(1, 2)).sum())
        for_training = there - max(1, round(there * HELD_OUT))
        if entry.abnormal > for_training:
            raise UsageError(
                f"--abnormal {entry.abnormal}: {data.name} sets {there} real anomalies aside, {for_training} to train "
                f"on and {there - for_training} to choose thresholds with; give less, or a larger --real-share"
            )


def refuse_unkept(detectors: Iterable[Detector]) -> None:
    """Raise UsageError for a detector that cannot be kept, when it shall be."""
    for detector in detectors:
        if type(detector).arrays is Detector.arrays:
            raise UsageError(f"--keep: detector {detector.kind} cannot be kept: its class defines no `arrays`")


def seen_by_models(data: RealData, entries: Iterable[Entry]) -> Iterator[str]:
    """Yield, in words, which models were trained on images that thresholds are chosen on.

    Raises UsageError when a model was trained on images that are tested on.
    """
    for entry in entries:
        known = frozenset() if entry.definition is None else entry.definition.generator.trained_on()
        seen = [name for name, file in zip(data.test.ids, data.test.files, strict=True) if file in known]
        if seen:
            raise UsageError(
                f"recipe {entry.name} on {data.name}: its model was trained on, or its bank holds, {len(seen)} of the "
                f"{len(data.test)} test images, such as {seen[0]}; take others. With --split DIR the same command "
                "writes those that it may be trained on; name real among the recipes for real anomalies too"
            )
        held = sum(file in known for file in data.validation.files)
        if held:
            yield (
                f"the model of {entry.name} was trained on {held} of the {len(data.validation)} normal images "
                f"of {data.name} that thresholds are chosen on; one trained on what --split writes was not"
            )
