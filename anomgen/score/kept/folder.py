"""The folder of a kept detector: ``detector.safetensors``, a card, and, written last, ``anomgen_model.json``."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from anomgen.cards import TAGS, as_yaml, render_template
from anomgen.config import first_fault
from anomgen.config.text import read_json
from anomgen.errors import UsageError, lacks_memory
from anomgen.files import Earlier, holds_earlier, remove, replacing
from anomgen.licenses import inherited
from anomgen.models.folder import pickle_told
from anomgen.models.use import model_folder
from anomgen.places import CHUNK, read_within, regular
from anomgen.score.detectors.base import Detector, build_detector
from anomgen.score.kept.record import VERSION, Description

DESCRIPTION, WEIGHTS, CARD = "anomgen_model.json", "detector.safetensors", "README.md"
FILES = (DESCRIPTION, WEIGHTS)
TRAINING = "training.safetensors"
"""What an interrupted training is gone on with."""
MAX_DESCRIPTION, MAX_WEIGHTS = 64 << 20, 4 << 30
"""Bytes; larger files are refused unread."""
LARGE = 64 << 20
"""Bytes of weights from which on they are read only where a detector of these settings has so many."""
AGAIN = "copy the folder again, whole, or make it anew with `anomgen fit`"


def check_folder(out: Path, *, overwrite: bool) -> None:
    """Raise UsageError for a folder in which a detector would replace or mix something; writes nothing."""
    holds_earlier(out, "detector of `anomgen fit`", _earlier, leftovers=(TRAINING,), overwrite=overwrite)


def _earlier(out: Path) -> Earlier | None:
    if (out / WEIGHTS).is_file() and not (out / DESCRIPTION).is_file():
        return Earlier("a half-written detector", can_go_on=False)
    try:
        found = read_json(read_within(out / DESCRIPTION, MAX_DESCRIPTION))
    except (OSError, ValueError):
        return None
    is_ours = isinstance(found, dict) and found.get("kind") == "detector"
    return Earlier("a detector", can_go_on=False) if is_ours else None


def save_detector(folder: Path, detector: Detector, description: Description, seconds: float) -> Description:
    """Write weights, card and description, the last of which marks a folder as whole; return the description.

    description: all but the hash of the weights and the seconds that it took.
    """
    from safetensors.numpy import save

    weights = save(detector.arrays())
    known = {"weights": hashlib.sha256(weights).hexdigest(), "seconds": round(seconds, 1)}
    description = description.model_copy(update=known)
    remove(folder / DESCRIPTION)
    with replacing(folder / WEIGHTS) as file:
        file.write(weights)
    with replacing(folder / CARD) as file:
        file.write(_card(description).encode())
    with replacing(folder / DESCRIPTION) as file:
        file.write(json.dumps(description.model_dump(mode="json", by_alias=True), indent=1).encode() + b"\n")
    return description


def load_detector(name: str | Path) -> tuple[Detector, Description]:
    """Return the detector of a folder, or of a model on the Hub, and what is known of it.

    Nothing in it is run. Raises UsageError, which says what is wrong, for what is missing, half-written, damaged, of
    another version, or none of `anomgen fit`.
    """
    folder = model_folder(name, "fit", FILES)
    description = _description(folder)
    try:
        detector = build_detector(description.detector)
    except UsageError as error:
        from_plugin = f"; it came from {description.plugin}" if description.plugin else ""
        raise UsageError(f"{folder / DESCRIPTION}: detector: {error}{from_plugin}") from None
    _restore(detector, folder, description)
    return detector, description


def _description(folder: Path) -> Description:
    path = folder / DESCRIPTION
    try:
        text = read_within(path, MAX_DESCRIPTION)
    except FileNotFoundError:
        raise UsageError(_what_it_is_instead(folder)) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}); {AGAIN}") from None
    try:
        values = read_json(text)
        if not isinstance(values, dict) or values.get("kind") != "detector":
            kind = values.get("kind") if isinstance(values, dict) else None
            raise UsageError(f"{folder}: is a model of kind {kind!r}, not a detector of `anomgen fit`")
        if values.get("schema") != VERSION:
            raise UsageError(f"{path}: {_other_version(values)}")
        return Description.model_validate_json(text)
    except ValidationError as error:
        raise UsageError(f"{path}: is damaged, {first_fault(error)}; {AGAIN}") from None
    except ValueError as error:
        raise UsageError(f"{path}: is damaged ({error}); {AGAIN}") from None


def _other_version(values: dict[str, Any]) -> str:
    versions = values.get("versions")
    by = versions.get("anomgen") if isinstance(versions, dict) else None
    return (
        f"was written by another version of anomgen ({by or 'not known'}: schema {values.get('schema')!r}, this one "
        f"reads {VERSION}); use that version, or make the detector anew with `anomgen fit`"
    )


def _what_it_is_instead(folder: Path) -> str:
    """Return an error message for a folder without a description."""
    if (folder / WEIGHTS).is_file():
        return f"{folder}: is half-written, there is no {DESCRIPTION}; {AGAIN}"
    if told := pickle_told(folder, "detectors", "fit"):
        return told
    return f"{folder}: holds no detector (there is no {DESCRIPTION}); `anomgen fit` makes one"


def _restore(detector: Detector, folder: Path, description: Description) -> None:
    """Let a detector learn the weights of a folder."""
    path = folder / WEIGHTS
    try:
        if LARGE < regular(path).stat().st_size <= MAX_WEIGHTS:
            with _faults_of(path, detector):
                _learn(detector.unfitted(), _mapped(path))
        data = _weights(path, description.weights)
    except FileNotFoundError:
        raise UsageError(f"{path}: the weights are missing; {AGAIN}") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}); {AGAIN}") from None
    if data is None:
        raise UsageError(f"{path}: are not the weights that {DESCRIPTION} tells of: half-written or changed; {AGAIN}")
    with _faults_of(path, detector):
        arrays = _loaded(data)
        _learn(detector, arrays)
        if damaged := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
            raise ValueError(f"{damaged[0][:200]} holds values that are no finite numbers")


def _learn(detector: Detector, arrays: Mapping[str, np.ndarray]) -> None:
    detector.restore(arrays)
    if surplus := sorted(arrays.keys() - detector.arrays().keys()):
        raise ValueError(f"{len(surplus)} arrays have no place in it, the first is {surplus[0][:200]}")


@contextmanager
def _faults_of(path: Path, detector: Detector) -> Iterator[None]:
    """Raise UsageError for whatever tells that weights are not those of a detector."""
    from safetensors import SafetensorError

    try:
        yield
    except UsageError as error:
        raise UsageError(f"{path.parent}: {error}") from None
    except (SafetensorError, ValueError, KeyError, IndexError, TypeError, RuntimeError, OverflowError) as error:
        if lacks_memory(error):
            raise
        told = f"{error} is missing" if isinstance(error, KeyError) else (str(error).splitlines() or [""])[0]
        raise UsageError(f"{path}: the weights do not fit detector {detector.kind} ({told}); {AGAIN}") from None


def _mapped(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file; nothing of one is read or held before it is looked at."""
    from safetensors.torch import load_file

    return {name: tensor.numpy() for name, tensor in load_file(path).items()}


def _weights(path: Path, sha256: str) -> bytes | None:
    """Return the contents of a file, None where their hash is another one: of those nothing is held in memory.

    Raises OSError, FileNotFoundError among them, for what is no file and for one of more than `MAX_WEIGHTS` bytes.
    """
    with regular(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_WEIGHTS:
            raise OSError(errno.EINVAL, f"holds more than {MAX_WEIGHTS / 1e9:.3g} GB", str(path))
        found = hashlib.sha256()
        while (block := file.read(CHUNK)) and file.tell() <= size:
            found.update(block)
        if found.hexdigest() != sha256:
            return None
        file.seek(0)
        return file.read(size)


def _loaded(data: bytes) -> dict[str, np.ndarray]:
    from safetensors.numpy import load

    try:
        return load(data)
    except KeyError as error:
        raise ValueError(f"an array is of the type {error.args[0]}, which NumPy does not know") from None


# --- the card -------------------------------------------------------------------------------------------------------


def _card(description: Description) -> str:
    detector, data, threshold = build_detector(description.detector), description.data[0], description.threshold
    height, width, channels = description.shape
    license = inherited(data.license, description.licenses)
    front = {
        "license": license or "unknown",
        "library_name": "anomgen",
        "pipeline_tag": "image-classification" if description.pixel_threshold is None else "image-segmentation",
        "tags": [*TAGS, detector.kind],
    }
    curve, tested = description.validation.curve, description.tested
    values = {
        "kind": detector.kind,
        "paper": detector.paper,
        "learns": detector.uses_anomalies,
        "category": data.category,
        "images": data.images,
        "held_out": data.held_out,
        "license": license,
        "images_license": data.license,
        "fingerprint": data.fingerprint,
        "height": height,
        "width": width,
        "channels": channels,
        "entry": description.entry,
        "threshold": threshold,
        "normal": int(curve.normal),
        "anomalous": int(curve.anomalous),
        "on": description.validation.on,
        "rates": rates_text(threshold.fpr, threshold.fnr, threshold.f1),
        "tested": tested,
        "figures": "" if tested is None else rates_text(tested.fpr, tested.fnr, tested.f1, tested.image_auroc),
        "command": description.command,
        "settings": as_yaml(description.detector),
    }
    return render_template("detector.md", front, values)


def rates_text(fpr: float | None, fnr: float | None, f1: float | None, auroc: float | None = None) -> str:
    """Return errors at a threshold in words, without what is not defined."""
    told = [
        None if fpr is None else f"{fpr:.1%} of the normal ones flagged",
        None if fnr is None else f"{fnr:.1%} of the anomalous ones missed",
        None if f1 is None else f"F1 {f1:.3f}",
        None if auroc is None else f"AUROC {auroc:.3f} at any threshold",
    ]
    return ", ".join(filter(None, told))
