"""Real data to score recipes on: normal images to train with, thresholds' validation images, tests with real anomalies.

Every split is by the images' content, so it depends neither on the files' names nor on a seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anomgen.errors import SourceError, UsageError
from anomgen.files import fingerprint_of
from anomgen.places import home
from anomgen.score.decoded import Decoded, decoded
from anomgen.sources.base import Source
from anomgen.sources.folder import NotAllNormal
from anomgen.sources.labelled import NORMAL, Listing, listing, photos
from anomgen.sources.orientation import drawn_notes
from anomgen.sources.pixels import digest_of, to_channels
from anomgen.sources.scan import resized
from anomgen.sources.value_range import ValueRange, counted_on, measured_of, stretched, told

VALIDATION_SHARE = 0.2
"""Of the normal training images."""
TEST_SHARE = 0.3
"""Of the normal images, where the data set does not say which are for training."""


@dataclass(frozen=True)
class TestImages:
    """Real images to test on, in the order of their ids; arrays are read-only.

    images: (N, H, W, C) uint8 or uint16. masks: bool (N, H, W), or None where the data has no masks. defect_types: N
    names, "normal" for a normal image. ids: stable, without a path of the machine.
    files: the hash of each image's file.
    """

    __test__ = False  # not a test, whatever pytest makes of the name

    images: np.ndarray
    masks: np.ndarray | None
    defect_types: tuple[str, ...]
    ids: tuple[str, ...]
    files: tuple[str, ...] = ()

    @property
    def labels(self) -> np.ndarray:
        """Return bool (N,): which images are anomalous."""
        return np.array([name != NORMAL for name in self.defect_types], dtype=bool)

    @property
    def lost_masks(self) -> int:
        """Return how many anomalous images have an empty mask at this size; 0 without masks."""
        return 0 if self.masks is None else int((self.labels & ~self.masks.any(axis=(1, 2))).sum())

    @property
    def content_fingerprint(self) -> str:
        """Return a hash of the images alone: equal where equal images have other names, types or another order."""
        return fingerprint_of({"images": sorted(digest_of(image) for image in self.images)})

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class RealData:
    """A data set, split. train and validation share no image with each other, with `test` or with `real`.

    real: a held-out share of the anomalies to train on, None unless it was asked for. fingerprint: of the images'
    contents, the size and the splits. notes: sentences on files that were left out. value_range: the range from which
    16-bit values were stretched.
    """

    name: str
    train: Source
    validation: MemorySource
    test: TestImages
    real: TestImages | None
    fingerprint: str
    notes: tuple[str, ...] = ()
    value_range: ValueRange | None = None


class MemorySource:
    """Images in memory as a source of normal images; pickles with them.

    images: (N, H, W, C). digests: a hash of each image's content; files: of each image's file.
    """

    fit = "stretch"

    def __init__(
        self,
        images: np.ndarray,
        ids: Sequence[str],
        digests: Sequence[str],
        license: str | None = None,
        files: Sequence[str] = (),
    ):
        self.license, self.files = license, tuple(files)
        self.skipped: tuple[str, ...] = ()
        self._images, self._ids = images, tuple(ids)
        content = {"shape": images.shape[1:], "images": list(zip(ids, digests, strict=True))}
        self._fingerprint = fingerprint_of(content)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return an image, (H, W, C), read-only."""
        image: np.ndarray = self._images[range(len(self))[index]]
        image.flags.writeable = False
        return image

    def id(self, index: int) -> str:
        """Return the image's path relative to the category."""
        return self._ids[index]

    def fingerprint(self) -> str:
        """Return a hash of the ids, the contents and the size."""
        return self._fingerprint


def load(
    path: str, size: int | tuple[int, int], *, real_share: float = 0.0, train_count: int | None = None
) -> RealData:
    """Return a data set at `size` (height, width): a folder in a known layout, or a Hugging Face dataset.

    Of the normal training images `VALIDATION_SHARE` go to `validation`; equal images stay together. A data set that
    does not say which normal images are for training keeps `TEST_SHARE` of them for the test. Images are stretched to
    the size; they are colour where a training image is. Masks are true where the file is not zero, resized by area,
    and true again from one half on.

    16-bit values are stretched from the range that the normal training images take to their whole depth.

    real_share: share of the anomalous images of each defect type, in [0, 1), that goes to `real` instead of `test`.
    train_count: how many normal images to train on (after the validation images are set aside, which do not depend
    on it); a smaller count is a part of a larger one.

    Raises UsageError when the data set or the request is wrong, SourceError when images or masks cannot be used, when
    16-bit normal images have one value nearly everywhere, when one image is in two parts, or when the mask of an
    anomalous image marks no pixel: it was forgotten or lost, and as ground truth it would punish whoever finds the
    defect. A mask that only loses its pixels at `size` is no error.
    """
    if not 0 <= real_share < 1:
        raise UsageError(f"the share of real anomalies to train on is {real_share}; give one from 0 to below 1")
    return _split(listing(path), path, size, real_share, train_count)


def load_training(path: str, size: int | tuple[int, int], *, real_share: float = 0.0) -> RealData:
    """Return what `load` does; of a folder of normal images alone, the same without anything to test on.

    Its training and validation images are those of `load`. Raises what `load` raises.
    """
    folder = home(path)
    try:
        listed = photos(path) if folder.is_dir() else listing(path)
    except NotAllNormal:
        listed = listing(path)
    return _split(listed, path, size, real_share, None)


def _split(
    listed: Listing, path: str, size: int | tuple[int, int], real_share: float, train_count: int | None
) -> RealData:
    shape = (size, size) if isinstance(size, int) else (size[0], size[1])
    images = decoded(listed, shape, path)
    normals = [image for image in images if image.found.defect_type == NORMAL]
    anomalous = [image for image in images if image.found.defect_type != NORMAL]
    if listed.is_split:
        training = [image for image in normals if image.found.for_training]
        test_normals = [image for image in normals if not image.found.for_training]
    else:
        test_normals, training = _parted(normals, TEST_SHARE)
    _refuse_too_few(training, None if listed.is_split else len(normals), path)
    validation, training = _parted(training, VALIDATION_SHARE, least=1)
    real, anomalies = _parted_by_type(anomalous, real_share)
    if real_share and not real:
        raise UsageError(
            f"{path}: a share of {real_share} of each defect type's anomalies is less than one image; give a larger one"
        )
    trained, tested = [*training, *validation, *real], [*test_normals, *anomalies]
    _refuse_common({"training": trained, "test": tested}, path)
    counts = counted_on((image.pixels, image.part) for image in (*training, *validation))
    advice = "look whether the normal ones show the product; if they do, save all images with 8 bits"
    value_range = measured_of(counts, path, advice)
    training = _limited(training, train_count, path)
    _refuse_mixed([*training, *validation, *test_normals, *anomalous], path)
    channels = max(image.pixels.shape[2] for image in (*training, *validation))
    test = [*test_normals, *anomalies]
    return RealData(
        listed.name,
        _source(training, channels, listed.license, value_range),
        _source(validation, channels, listed.license, value_range),
        _tests(test, channels, value_range) if test else _nothing(training[0]),
        _tests(real, channels, value_range) if real else None,
        _fingerprint(shape, channels, {"train": training, "validation": validation}, {"test": test, "real": real}),
        (
            *listed.notes,
            *resized("stretch", [(image.before, shape) for image in images]),
            *drawn_notes([(image.found.id, image.drawn) for image in images]),
            *([] if counts is None else [told(value_range, counts)]),
        ),
        value_range,
    )


# ------------------------------------------------------------------------------------------------------- splits


def _parted(images: Iterable[Decoded], share: float, least: int = 0) -> tuple[list[Decoded], list[Decoded]]:
    """Return a share of the images and the others, chosen and ordered by content; equal images stay together.

    least: how many different images to take at least. One different image always stays.
    """
    equal: dict[str, list[Decoded]] = defaultdict(list)
    for image in sorted(images, key=lambda image: image.order):
        equal[image.digest].append(image)
    groups = list(equal.values())
    count = max(0, min(max(least, int(share * len(groups) + 0.5)), len(groups) - 1))
    return [image for group in groups[:count] for image in group], [
        image for group in groups[count:] for image in group
    ]


def _parted_by_type(images: Sequence[Decoded], share: float) -> tuple[list[Decoded], list[Decoded]]:
    taken: list[Decoded] = []
    left: list[Decoded] = []
    for name in sorted({image.found.defect_type for image in images}):
        some, others = _parted((image for image in images if image.found.defect_type == name), share)
        taken += some
        left += others
    return taken, left


def _limited(training: list[Decoded], count: int | None, path: str) -> list[Decoded]:
    if count is not None and not 1 <= count <= len(training):
        raise UsageError(f"{path}: {count} normal images to train on are wanted; there are {len(training)}")
    return training[:count]


def _refuse_too_few(training: Sequence[Decoded], normals: int | None, path: str) -> None:
    """Raise UsageError when validation images cannot be set aside.

    normals: of the whole data set, where it does not say which are for training.
    """
    if len({image.digest for image in training}) > 1:
        return
    count = (
        f"{len(training)} normal images for training, but all of the same pixels"
        if len(training) > 1
        else ("one normal image for training")
    )
    share = "" if normals is None else f" (of {normals} normal images, {TEST_SHARE:.0%} are for the test)"
    raise UsageError(
        f"{path}: there is {count}{share}; at least 2 different ones are needed: one to train on, and one to choose "
        "thresholds on"
    )


def _refuse_common(parts: dict[str, list[Decoded]], path: str) -> None:
    """Raise SourceError when an image of one part has the pixels of one of another, or is normal and anomalous."""
    known: dict[str, tuple[str, Decoded]] = {}
    for part, images in parts.items():
        for image in images:
            other, same = known.setdefault(image.digest, (part, image))
            why = ["what is tested on must not be trained on"] if other != part else []
            if NORMAL in (types := {image.found.defect_type, same.found.defect_type}) and len(types) > 1:
                why.append("an image is either normal or anomalous")
            if why:
                raise SourceError(
                    f"{path}: {image.found.id} ({part}) has the same pixels as {same.found.id} ({other}): "
                    f"{', and '.join(why)}; remove one of the two"
                )


def _refuse_mixed(images: Sequence[Decoded], path: str) -> None:
    """Raise SourceError when some images have 8 bits and others 16."""
    first = images[0]
    other = next((image for image in images if image.pixels.dtype != first.pixels.dtype), None)
    if other is not None:
        raise SourceError(
            f"{path}: mixes 8-bit and 16-bit images: {first.found.id} is {first.pixels.dtype}, {other.found.id} is "
            f"{other.pixels.dtype}; convert one kind to the other"
        )


# ------------------------------------------------------------------------------------------------------ results


def _stacked(images: Sequence[Decoded], channels: int, value_range: ValueRange | None) -> np.ndarray:
    result = np.stack([to_channels(stretched(image.pixels, value_range), channels) for image in images])
    result.flags.writeable = False
    return result


def _source(
    images: Sequence[Decoded], channels: int, license: str | None, value_range: ValueRange | None
) -> MemorySource:
    ids, digests = [image.found.id for image in images], [image.digest for image in images]
    return MemorySource(
        _stacked(images, channels, value_range), ids, digests, license, [image.file for image in images]
    )


def _tests(images: Sequence[Decoded], channels: int, value_range: ValueRange | None) -> TestImages:
    ordered = sorted(images, key=lambda image: image.found.id)
    masks = None
    if ordered[0].mask is not None:
        masks = np.stack([image.mask for image in ordered if image.mask is not None])
        masks.flags.writeable = False
    types, ids = tuple(image.found.defect_type for image in ordered), tuple(image.found.id for image in ordered)
    files = tuple(image.file for image in ordered)
    return TestImages(_stacked(ordered, channels, value_range), masks, types, ids, files)


def _nothing(like: Decoded) -> TestImages:
    """Return no test images, of the size and depth of another image."""
    return TestImages(np.empty((0, *like.pixels.shape), like.pixels.dtype), None, (), ())


def _fingerprint(
    shape: tuple[int, int], channels: int, normal: dict[str, list[Decoded]], tests: dict[str, list[Decoded]]
) -> str:
    content: dict[str, Any] = {"shape": shape, "channels": channels}
    for part, images in normal.items():
        content[part] = [image.digest for image in images]
    for part, images in tests.items():
        content[part] = sorted(
            (image.found.id, image.found.defect_type, image.digest, image.mask_digest) for image in images
        )
    return fingerprint_of(content)
