"""What every source must hold, as one check for the authors of sources and for our own tests."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from anomgen.config import Config
from anomgen.sources.base import MIN_SIDE, Source, SourceConfig


def check_source(source: Source | SourceConfig, *, images: int = 16) -> None:
    """Raise AssertionError, saying what is wrong, when a source breaks the contract of `Source`.

    source: an open source; or a configuration, which is then opened twice and must give equal sources, and must
    survive being written as JSON. images: how many, evenly spaced, are read.
    """
    if isinstance(source, SourceConfig):
        config = source
        source = _check_config(config)
        shape = config.shape
    else:
        shape = None
    assert isinstance(source, Source), (
        f"{type(source).__name__} lacks one of license, skipped, len(), [index], id(index), fingerprint()"
    )
    assert len(source) > 0, "a source without images must not open; raise SourceError in open()"
    assert source.license is None or isinstance(source.license, str), "license must be a string or None"
    assert isinstance(source.skipped, tuple), "skipped must be a tuple of ids"
    _check_ids(source)
    places = sorted({int(place) for place in np.linspace(0, len(source) - 1, min(images, len(source)))})
    _check_images(source, places, shape)
    _check_fingerprint(source)
    _check_pickled(source, places)


def _check_config(config: SourceConfig) -> Source:
    """Check that a configuration round-trips, is portable and opens twice to equal sources; return one."""
    values = config.model_dump(mode="json")
    assert type(config).model_validate(values) == config, f"configuration changed on its way through JSON: {values}"
    check_portable(config)
    first, second = config.open(), config.open()
    assert first.fingerprint() == second.fingerprint(), "opening the same source twice gave two fingerprints"
    assert [first.id(i) for i in range(len(first))] == [second.id(i) for i in range(len(second))], (
        "opening the same source twice gave the images in two orders"
    )
    return first


def check_portable(config: Config) -> None:
    """Raise AssertionError when a configuration, made portable, still holds a path of the machine."""
    bad = next((text for text in _texts(config.portable().config()) if _tells_place(text)), None)
    assert bad is None, f"portable() kept a path of the machine, {bad}: declare its field as PathText"


def _texts(plain: Any) -> Iterator[str]:
    if isinstance(plain, str):
        yield plain
    elif isinstance(plain, dict | list):
        for part in plain.values() if isinstance(plain, dict) else plain:
            yield from _texts(part)


def _tells_place(path: str) -> bool:
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    return posix.is_absolute() or windows.is_absolute() or ".." in posix.parts or path.startswith("~")


def _check_ids(source: Source) -> None:
    ids = [source.id(index) for index in range(len(source))]
    assert all(isinstance(name, str) and name for name in ids), "every id must be a string that is not empty"
    assert len(set(ids)) == len(ids), "two images have the same id"
    bad = next((name for name in (*ids, *source.skipped) if _tells_place(name)), None)
    assert bad is None, f"an id holds a path of the machine: {bad}"
    assert ids == [source.id(index) for index in range(len(source))], "id(index) changes between two calls"


def _check_images(source: Source, places: list[int], shape: tuple[int, int] | None) -> None:
    kinds = set()
    for index in places:
        first, second = source[index], source[index]
        where = f"image {index} ({source.id(index)})"
        assert isinstance(first, np.ndarray) and first.ndim == 3, f"{where} must be an array (H, W, C)"
        assert first.dtype in (np.uint8, np.uint16), f"{where} is {first.dtype}; uint8 or uint16 are allowed"
        assert first.shape[2] in (1, 3), f"{where} has {first.shape[2]} channels; 1 or 3 are allowed"
        assert min(first.shape[:2]) >= MIN_SIDE, f"{where} has a side shorter than {MIN_SIDE} pixels"
        assert shape is None or first.shape[:2] == shape, (
            f"{where} is {first.shape[:2]}, the configuration says {shape}"
        )
        assert not first.flags.writeable and not second.flags.writeable, f"{where} must be read-only"
        assert np.array_equal(first, second), f"{where} differs between two reads"
        kinds.add((str(first.dtype), first.shape[2]))
    assert len(kinds) == 1, f"the images differ in dtype or channels: {sorted(kinds)}"


def _check_fingerprint(source: Source) -> None:
    fingerprint = source.fingerprint()
    assert isinstance(fingerprint, str) and fingerprint, "fingerprint() must be a string that is not empty"
    assert not _tells_place(fingerprint), "fingerprint() holds a path of the machine"
    assert source.fingerprint() == fingerprint, "fingerprint() changes between two calls"


def _check_pickled(source: Source, places: list[int]) -> None:
    """Check that a worker process gets the same source, without a new look at all the images."""
    copy = pickle.loads(pickle.dumps(source))
    assert len(copy) == len(source), "the pickled copy has another length"
    assert copy.fingerprint() == source.fingerprint(), "the pickled copy has another fingerprint"
    for index in places:
        assert copy.id(index) == source.id(index), f"the pickled copy has another id for image {index}"
        assert np.array_equal(copy[index], source[index]), f"the pickled copy has another image {index}"
