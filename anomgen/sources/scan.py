"""Checking every image of a source once, before anything is written, and reading them again when they are wanted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import model_validator

from anomgen.errors import SourceError, UsageError, tell
from anomgen.files import file_digest, fingerprint_of
from anomgen.places import home
from anomgen.sources.alpha import measured_part, opaque_part, transparency
from anomgen.sources.base import SourceConfig
from anomgen.sources.images import (
    Fit,
    fit_image,
    quiet,
    read_bytes,
    read_image,
    read_picture,
)
from anomgen.sources.orientation import UPRIGHT, Turn
from anomgen.sources.pixels import digest_of, is_alike, to_channels, value_max
from anomgen.sources.tree import listed_problems, tree_of
from anomgen.sources.value_range import RangeField, ValueRange, counted, measured_of, told

KEPT_BYTES = 1 << 28
"""Decoded images that a source keeps from its check, so that a small source is decoded once."""

_KEPT_IMAGE_BYTES = KEPT_BYTES >> 4
SKIP_HINT = "--set source.on_bad_image=skip"


class Listed(NamedTuple):
    """Image files that were found, none of them checked yet.

    where: what messages call the source. entries: (id, key) of each image in order; `read(key)` returns the
    file's contents and must pickle. dataset: the id on the Hub that they were read from. notes: see `Source`.
    """

    where: str
    entries: Sequence[tuple[str, Any]]
    read: Callable[[Any], bytes]
    license: str | None = None
    dataset: str | None = None
    notes: tuple[str, ...] = ()


class ScannedConfig(SourceConfig):
    """What all sources that read image files have in common; each says in `listed` which they are."""

    fit: Fit = "keep"
    """`keep`: of a size of one number that is the longer side, and the aspect stays; [height, width] is taken as it is.
    `stretch`: to the size, whatever the aspect, as the papers do. `crop`: scaled to cover the size, centre kept.
    `center`: the centre, not scaled."""
    range: RangeField = "auto"
    """Darkest and brightest value that means something. auto: of 8 bits all, of 16 bits what all but 1 in 10,000 pixels
    at either end take, measured once. What is transparent does not count, nor what lies far from all other values: few
    pixels, as markers and hot ones, or any number of 65535."""
    on_bad_image: Literal["error", "skip"] = "error"
    """What happens to a file that cannot be used: stop, or leave it out and list it in the card."""

    on_no_object: Literal["keep", "skip"] = "keep"
    """What happens to an image in which the foreground finds no object: it stays and is named, or it is left out."""

    def listed(self) -> Listed:
        """Find the images. Raises UsageError when the request is wrong, SourceError for what cannot be read."""
        raise NotImplementedError(f"{type(self).__name__} must define listed()")

    def open(self) -> ScannedSource:
        """Find the images, decode and check every one. Raises what `listed` raises, and SourceError for images."""
        return ScannedSource(self, self.listed())

    @property
    def shape(self) -> tuple[int, int] | None:
        """See `SourceConfig.shape`."""
        return None if self.fit == "keep" and isinstance(self.size, int) else self.exact_shape

    @model_validator(mode="after")
    def _check_fit(self) -> Self:
        if self.size is None and self.fit not in ("keep", "stretch"):
            raise ValueError(f"fit: {self.fit} needs a size; with size: null the images stay as they are")
        return self


class _Checked(NamedTuple):
    """What the check learns about one image; `problem` says why it cannot be used."""

    digest: str = ""
    dtype: str = ""
    channels: int = 0
    image: np.ndarray | None = None
    problem: str = ""
    counts: np.ndarray | None = None
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    transparency: str = ""
    """See `anomgen.sources.alpha.transparency`."""
    orientation: int | None = None


class ScannedSource:
    """Images behind keys, all checked, with one dtype and channel count; pickles without the images.

    Grey images among colour ones become RGB; all grey stay one channel. Raises SourceError when no image is usable, or
    when one is not and the configuration does not say to skip.
    """

    def __init__(self, config: ScannedConfig, listed: Listed):
        where, entries, self._read, self.license, self.dataset, self.notes = listed
        self._config, self._size, self.fit = config, config.size, config.fit
        self._counts: np.ndarray | None = None
        self._contents: tuple[str, ...] = ()
        self._kept: dict[int, np.ndarray] = {}
        checked = list(self._check_all(entries))
        good = _usable(checked, entries, config.on_bad_image == "skip", where)
        chosen = set(good)
        self.skipped = tuple(_readable(entry[0]) for index, entry in enumerate(entries) if index not in chosen)
        self._ids = tuple(entries[index][0] for index in good)
        self._keys = tuple(entries[index][1] for index in good)
        self._channels = max(checked[index].channels for index in good)
        self._kept = {place: self._finished(self._kept[i]) for place, i in enumerate(good) if i in self._kept}
        self._files = tuple(checked[index].digest for index in good)
        self.notes += resized(config.fit, [(checked[index].before, checked[index].after) for index in good])
        taken = [checked[index].transparency for index in good]
        self.notes += tuple(_seen_through(self._ids, taken))
        self.is_cut_out = set(taken) == {"white"}
        turns = {entries[index][0]: Turn(checked[index].orientation, checked[index].before) for index in good}
        self.turns = {name: turn for name, turn in turns.items() if turn.orientation not in (None, UPRIGHT)}
        self.sizes = {entries[index][0]: (checked[index].before, checked[index].after) for index in good}
        shapes = {checked[index].after for index in good}
        self.shape = shapes.pop() if len(shapes) == 1 else None
        self.value_range = _range_of(config, self._counts, checked[good[0]].dtype, where)
        if self._counts is not None:
            self.notes += (told(self.value_range, self._counts),)
        self._counts = None
        self._fingerprint = _fingerprint(config, list(zip(self._ids, self._files, strict=True)))

    def without(self, indices: Collection[int]) -> Self:
        """Return the source without some of its images; their names are among the skipped ones."""
        left, gone = [k for k in range(len(self)) if k not in set(indices)], [self._ids[k] for k in sorted(indices)]
        other = copy(self)
        other._contents = ()
        other.skipped += tuple(map(_readable, gone))
        other.turns = {name: turn for name, turn in self.turns.items() if name not in gone}
        other.sizes = {name: sizes for name, sizes in self.sizes.items() if name not in gone}
        other._ids, other._keys, other._files = (
            tuple(values[k] for k in left) for values in (self._ids, self._keys, self._files)
        )
        other._kept = {place: self._kept[k] for place, k in enumerate(left) if k in self._kept}
        other._fingerprint = _fingerprint(self._config, list(zip(other._ids, other._files, strict=True)))
        return other

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return an image at the configured size: (H, W, C) uint8 or uint16, C 1 or 3, read-only.

        Raises SourceError when its file is no longer what it was when it was checked.
        """
        index = range(len(self))[index]
        if index in self._kept:
            return self._kept[index]
        data = self._read(self._keys[index])
        _require_same(data, self._files[index], self._ids[index])
        return self._finished(self._load(self._ids[index], data))

    def opaque(self, index: int) -> np.ndarray | None:
        """Return where an image's file is opaque, bool (H, W) at the configured size; None where alpha says nothing."""
        data = self._read(self._keys[index])
        _require_same(data, self._files[index], self._ids[index])
        found = opaque_part(data, self._ids[index])
        levels = None if found is None else found[..., None].view(np.uint8) * np.uint8(255)
        return None if levels is None else fit_image(levels, self._size, self.fit, self._ids[index])[..., 0] > 127

    @property
    def keeps_aspect(self) -> bool:
        """Return whether the images have the aspect of their files."""
        return self._size is None or (self.fit == "keep" and isinstance(self._size, int))

    def id(self, index: int) -> str:
        """Return the image's name, stable and without a path of the machine."""
        return self._ids[index]

    def fingerprint(self) -> str:
        """Return a hash of the ids, the files' contents, size and fit."""
        return self._fingerprint

    def files(self) -> tuple[str, ...]:
        """Return a hash of the file of each image: `file_digest` of its bytes."""
        return self._files

    def contents(self) -> tuple[str, ...]:
        """Return a hash of the pixels of each image, see `digest_of`; they are read when it is first asked for."""
        self._contents = self._contents or tuple(digest_of(self[index]) for index in range(len(self)))
        return self._contents

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}

    def _finished(self, image: np.ndarray) -> np.ndarray:
        """Return a loaded image with the source's channel count, read-only."""
        image = to_channels(image, max(image.shape[2], self._channels))
        image.flags.writeable = False
        return image

    def _load(self, name: str, data: bytes) -> np.ndarray:
        return fit_image(read_image(data, name), self._size, self.fit, name)

    def _check(self, entry: tuple[str, Any]) -> _Checked:
        name, key = entry
        try:
            name.encode()
            data = self._read(key)
            stored, orientation = read_picture(data, name)
            image = fit_image(stored, self._size, self.fit, name)
        except SourceError as error:
            return _Checked(problem=str(error))
        except UnicodeEncodeError:
            return _Checked(problem=f"{_readable(name)}: its name is not valid Unicode; rename it")
        part = None if image.dtype == np.uint8 else measured_part(data, stored, self._size, self.fit, name)
        kept = image if image.nbytes <= _KEPT_IMAGE_BYTES else None
        return _Checked(
            file_digest(data),
            image.dtype.name,
            image.shape[2],
            kept,
            "",
            counted(image, part),
            stored.shape[:2],
            image.shape[:2],
            transparency(data, name),
            orientation,
        )

    def _check_all(self, entries: Sequence[tuple[str, Any]]) -> Iterator[_Checked]:
        """Check in a few threads (the decoders release the interpreter's lock) and a few images at a time."""
        workers = min(4, os.cpu_count() or 1)
        free = KEPT_BYTES
        with quiet(), ThreadPoolExecutor(workers) as executor:
            for start in range(0, len(entries), 4 * workers):
                tell(start, len(entries), "reading the normal images")
                batch = executor.map(self._check, entries[start : start + 4 * workers])
                for index, checked in enumerate(batch, start):
                    if checked.image is not None and checked.image.nbytes <= free:
                        self._kept[index] = checked.image
                        free -= checked.image.nbytes
                    if checked.counts is not None:
                        self._counts = checked.counts if self._counts is None else self._counts + checked.counts
                    yield checked._replace(image=None, counts=None)


def _seen_through(names: Sequence[str], taken: Sequence[str]) -> Iterator[str]:
    """Yield notes on images that are transparent, by how they are taken: see `transparency`."""
    said = {
        "white": "are transparent in parts, which are shown white",
        "ignored": "have the same alpha all over, or show but a speck, and are shown as if opaque",
    }
    for how, what in said.items():
        if found := [name for name, own in zip(names, taken, strict=True) if own == how]:
            yield f"{len(found)} of {len(names)} images {what}, such as {_readable(found[0])}"


def resized(fit: Fit, changes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> tuple[str, ...]:
    """Return a note on how the images' sizes changed, (height, width) before and after; none where they did not."""
    changed = [change for change in changes if change[0] != change[1]]
    if not changed:
        return ()
    how = {"crop": "scaled and cut to the middle", "center": "cut to the middle"}.get(fit, "scaled")
    if fit in ("keep", "stretch") and any(not is_alike(*change) for change in changed):
        how = "stretched, which changes their aspect"
    before, after = (_span([change[end] for change in changed]) for end in (0, 1))
    return (f"{len(changed)} of {len(changes)} images {how}, from {before} to {after} pixels (height × width)",)


def _span(sizes: Sequence[tuple[int, ...]]) -> str:
    least, most = min(sizes), max(sizes)
    texts = [f"{height}×{width}" for height, width in dict.fromkeys((least, most))]
    return " … ".join(texts)


def _range_of(config: ScannedConfig, counts: np.ndarray | None, dtype: str, where: str) -> ValueRange | None:
    """Return the range of a source's values, None for the whole depth: as configured, or measured.

    Raises UsageError for a range beyond the depth, SourceError where all pixels have one value.
    """
    top = value_max(np.dtype(dtype))
    if isinstance(config.range, str):
        advice = "say what is black and what is white, as in --set source.range=[0,4095]"
        return measured_of(counts, where, advice) if dtype == "uint16" else None
    if config.range[1] > top:
        raise UsageError(f"source.range: {list(config.range)} ends above {top}, and the images are {dtype}")
    return None if config.range == (0, top) else ValueRange(*config.range)


def _usable(checked: list[_Checked], entries: Sequence[tuple[str, Any]], skip: bool, where: str) -> list[int]:
    """Return the places of the images to use; raise for the others unless they are to be skipped."""
    problems = [entry.problem for entry in checked if entry.problem]
    good = [index for index, entry in enumerate(checked) if not entry.problem]
    if not good:
        raise SourceError(f"{where}: none of the {len(checked)} images can be used:\n{listed_problems(problems)}")
    if problems and not skip:
        raise SourceError(
            f"{where}: {len(problems)} of {len(checked)} images cannot be used:\n{listed_problems(problems)}\n"
            f"Mend or remove them, or leave them out with {SKIP_HINT}"
        )
    depths = Counter(checked[index].dtype for index in good)
    most = max(sorted(depths, reverse=True), key=lambda depth: depths[depth])  # a tie goes to 8 bits
    minority = [index for index in good if checked[index].dtype != most]
    if minority and not skip:
        raise SourceError(
            f"{where}: mixes 8-bit and 16-bit images: {entries[minority[0]][0]} is {checked[minority[0]].dtype}, "
            f"{depths[most]} of {len(good)} images are {most}. Separate them, or leave the fewer out with {SKIP_HINT}"
        )
    return [index for index in good if checked[index].dtype == most]


def _readable(name: str) -> str:
    """Return a file's name with the bytes that are not text written out."""
    return name.encode(errors="backslashreplace").decode()


def _fingerprint(config: ScannedConfig, contents: list[tuple[str, str]]) -> str:
    given = {} if config.range == "auto" else {"range": config.range}
    shape = config.size if config.fit == "keep" else config.exact_shape
    return fingerprint_of({"shape": shape, "fit": config.fit, **given, "images": contents})


class KnownFiles:
    """Files below a folder that are read again and again, each of which must stay what it was when first read."""

    def __init__(self, root: Path):
        self.root = root
        self._digests: dict[str, str] = {}

    def read(self, name: str, called: str = "") -> bytes:
        """Return a file's contents. Raises SourceError, which calls it `called`, by default its name, if it changed."""
        data = read_bytes(self.root / name, called or name)
        _require_same(data, self._digests.setdefault(name, file_digest(data)), called or name)
        return data

    def digest(self, name: str) -> str:
        """Return the hash of a file's contents."""
        return file_digest(self.read(name))

    def fingerprint(self, names: Sequence[str]) -> str:
        """Return a hash, 32 hexadecimal digits, of the names and the contents of files."""
        return fingerprint_of({"files": [(name, self.digest(name)) for name in names]})


def files_fingerprint(folder: Path, names: Sequence[str]) -> str:
    """Return a hash, 32 hexadecimal digits, of the names and the contents of files in a folder."""
    return KnownFiles(folder).fingerprint(names)


def contents_digest(path: str, key: str) -> str:
    """Return a hash, 32 hexadecimal digits, of what a file holds, or of the files, hidden ones apart, of a folder.

    Raises UsageError, which names the recipe's key, where there is neither, SourceError for what cannot be read.
    """
    place = home(path)
    if place.is_dir():
        found = tree_of(place)
        return files_fingerprint(place, sorted([*found.pictures, *found.others]))
    if not place.exists():
        raise UsageError(f"{key}: {path}: there is no such file or folder")
    return file_digest(read_bytes(place, f"{key}: {path}"))


def _require_same(data: bytes, digest: str, name: str) -> None:
    """Raise SourceError for a file that is not what it was."""
    if file_digest(data) != digest:
        raise SourceError(
            f"{name}: changed while it was in use, so a dataset would hold other images than it says; put the file "
            "back, or start anew once nobody writes to the source any more"
        )
