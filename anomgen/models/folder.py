"""The folder of a trained model: what may be in it before, its record, checkpoints and sheets."""

from __future__ import annotations

import json
import shlex
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from anomgen.config import Config, validated
from anomgen.errors import AnomgenWarning, RecipeError, UsageError
from anomgen.files import (
    Earlier,
    holds_earlier,
    json_object,
    locked,
    remove_matching,
    replacing,
)
from anomgen.licenses import known
from anomgen.sources.base import Source
from anomgen.sources.pixels import value_max
from anomgen.sources.scan import ScannedSource
from anomgen.versions import installed, versions_text

RECORD, CHECKPOINT, LOG, SHEETS = "training.json", "checkpoint.safetensors", "log.jsonl", "sheets"

_SHEETS = tuple(f"{SHEETS}/step-{'[0-9]' * digits}.png" for digits in (6, 7, 8))

VERSIONED = ("torch", "diffusers", "accelerate")
"""Distributions whose versions the record tells: with others, the weights may come out a little different."""

PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz"})
"""Endings of files that could run code when they are loaded."""

MAY_CHANGE = {"steps", "learning_rate", "gradient_clip", "checkpoint_every", "sheet_every"}
"""Settings that may differ when a training goes on; with another one, it is no longer what it would have been."""


def pickle_told(folder: Path, things: str, maker: str) -> str | None:
    """Return what is said of a folder that holds a pickle where `things` of a command are expected; None without."""
    pickles = sorted(entry.name for entry in folder.iterdir() if entry.suffix in PICKLES)
    if not pickles:
        return None
    return (
        f"{folder}: holds {pickles[0]}, a pickle, which could run code when it is loaded; only {things} saved by "
        f"`anomgen {maker}` (safetensors) are read"
    )


Text = Annotated[str, Field(max_length=10_000)]


class _Data(Config):
    model_config = ConfigDict(extra="allow")

    category: Text = ""
    license: Text | None = None
    files: list[Text] | None = None
    dtype: Literal["uint8", "uint16"] | None = None
    values: Annotated[tuple[int, int], Field(strict=False)] | None = None
    """The darkest and the brightest value that the images were stretched from; None in records of anomgen 0.1."""


class _Trained(Config):
    model_config = ConfigDict(extra="allow")  # each model's own keys, and those of later versions

    data: list[_Data] | None = None
    licenses: list[Text | None] = Field(default_factory=list)
    """Of what it was made of beside these images: the model that it began with, the anomalies that it saw."""


class TrainingRecord(_Trained):
    """What training.json says of any model."""

    kind: Annotated[str, Field(pattern=r"^\w{1,100}$")]
    settings: dict[str, Any]
    steps: Annotated[int, Field(ge=0)] = 0
    finished: bool = False
    losses: dict[str, float] = Field(default_factory=dict)
    versions: dict[str, Text | None] | None = None


def check_folder(out: Path, record: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder in which training could lose or mix something; writes nothing. See `prepare`."""
    begun = holds_earlier(out, "training of anomgen", _earlier, resume=resume, overwrite=overwrite)
    before = read_record(out) if begun else None
    if before is not None and resume:
        _refuse_other_training(out, before, record)


def _earlier(out: Path) -> Earlier | None:
    before = read_record(out)
    return None if before is None else Earlier(f"a training (step {before.get('steps', 0)})")


def data_record(name: str, source: Source) -> dict[str, Any]:
    """Return what training.json says of images that a model learns from.

    files: a hash of each image's file, where it is one; `anomgen score` sees by them that a model knows test images.
    values: what they were stretched from, the darkest and the brightest.
    """
    dtype = source[0].dtype
    return {
        "category": name,
        "images": len(source),
        "fingerprint": source.fingerprint(),
        "license": source.license,
        "dtype": dtype.name,
        "values": list(getattr(source, "value_range", None) or (0, value_max(dtype))),
        "files": list(source.files()) if isinstance(source, ScannedSource) else [],
    }


def prepare(out: Path, record: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Begin, begin anew, or go on in a folder, after all the refusals of `check_folder`.

    record: ``{"kind": …, "settings": …, "data": …}``: what must be equal for a training to go on.
    """
    check_folder(out, record, resume=resume, overwrite=overwrite)
    with locked(out):
        before = read_record(out)
        if overwrite and before is not None:
            _clear(out, before["kind"])
        done = before.get("steps", 0) if resume and before is not None else 0
        if done and before is not None:
            _warn_of_versions(out, before.get("versions"))
        write_record(out, {**record, "steps": done})


def _refuse_other_training(out: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    meanings = {
        "kind": "kind",
        "data": "data (the images: other folder, other files or another --size)",
        "space": "space (that of the model to guide: other latents or other noise)",
    }
    different = [meaning for key, meaning in meanings.items() if _compared(before.get(key)) != _compared(now.get(key))]
    old, new = before.get("settings", {}), now["settings"]
    different += [
        f"{key} ({old.get(key)!r}, now {new.get(key)!r})"
        for key in sorted({*old, *new} - MAY_CHANGE)
        if old.get(key) != new.get(key)
    ]
    if different:
        raise UsageError(
            f"{out} was begun with something else (different: {', '.join(different)}); choose another folder with "
            f"-o, or repeat the options of the first run ({RECORD} has them)"
        )


def _compared(value: Any) -> Any:
    """Return a record's data without what follows from the images, which the fingerprint covers."""
    if not isinstance(value, list):
        return value
    return [{key: part[key] for key in part if key not in ("files", "dtype", "values")} for part in value]


def _warn_of_versions(out: Path, before: Mapping[str, str] | None) -> None:
    """Say when a training goes on with other versions than the last step was done with."""
    now = installed(VERSIONED)
    if before is not None and before != now:
        warnings.warn(
            f"{out} was trained with {versions_text(before)}, this is {versions_text(now)}: the weights may "
            "differ from those of an uninterrupted training",
            AnomgenWarning,
            stacklevel=2,
        )


def _clear(out: Path, kind: str) -> None:
    """Remove an earlier training of a kind: what anomgen writes, nothing else; the record, its mark, comes last."""
    remove_matching(out, _written_by(kind))


def _written_by(kind: str) -> tuple[str, ...]:
    """Return what a training of a kind leaves, as patterns; of the model `WRITTEN` of its package tells them."""
    try:
        names: tuple[str, ...] = import_module(f"anomgen.models.{kind}").WRITTEN
    except (ImportError, AttributeError):
        names = ()
    return (*names, *_SHEETS, "README.md", CHECKPOINT, LOG, RECORD)


def read_record(out: Path) -> dict[str, Any] | None:
    """Return the record of a training folder, None where there is none. Raises UsageError where it is damaged."""
    try:
        record = json_object(out / RECORD)
        if not {"kind", "settings"} <= record.keys():
            return None
        validated(TrainingRecord, record)
    except FileNotFoundError:
        return None
    except (ValueError, RecipeError) as error:
        raise UsageError(
            f"{out / RECORD} is damaged ({_first(error)}); take it from a copy of the model, or train it anew in "
            "another folder"
        ) from None
    return record


def recorded_data(folder: Path) -> list[dict[str, Any]]:
    """Return what a model's training.json says of the images that it learnt from; nothing where there is none.

    Raises UsageError where it is damaged.
    """
    return [part.model_dump() for part in _trained(folder).data or []]


def recorded_licenses(folder: Path, record: str = RECORD) -> tuple[str | None, ...]:
    """Return the licences of all that a model was made of, None for unknown ones; see `recorded_data`."""
    found = _trained(folder, record)
    return tuple(map(known, [*(part.license for part in found.data or []), *found.licenses]))


def _trained(folder: Path, record: str = RECORD) -> _Trained:
    try:
        found: _Trained = validated(_Trained, json_object(folder / record))
    except FileNotFoundError:
        return _Trained()
    except (ValueError, RecipeError) as error:
        raise UsageError(
            f"{folder / record}: is damaged ({_first(error)}); take it from a copy of the model, or train it anew"
        ) from error
    return found


def _first(error: Exception) -> str:
    return error.first if isinstance(error, RecipeError) else str(error)


def write_record(out: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a training folder, with the versions that are at work."""
    record = {**record, "versions": installed(VERSIONED)}
    with replacing(out / RECORD) as file:
        file.write((json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())


def require_finished(out: Path) -> None:
    """Raise UsageError for a folder whose training has not come to its end."""
    record = read_record(out)
    if record is not None and not record.get("finished"):
        wanted = record["settings"].get("steps")
        raise UsageError(
            f"{out}: the training is not finished (step {record.get('steps', 0)} of {wanted}); go on with "
            f"`anomgen train {record['kind']} … --resume -o {shlex.quote(str(out))}`"
        )
