"""What every detector must hold, as one check for the authors of detectors and for our own tests."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from anomgen.config import validated
from anomgen.errors import UsageError
from anomgen.generators.conformance import TestPool
from anomgen.rng import Stream, rng_for
from anomgen.score.detectors.base import Batch, Detector
from anomgen.sources.base import Images
from anomgen.sources.pixels import value_max

DISC = "disc"
LEAST_AUROC = 0.8
"""Over the pixels of the made-up anomalies, which are easy; chance is 0.5."""
ROUNDING = 1e-4
"""Of the largest value of the maps: how far an image's map may be off when other images are in the call."""


class MadeTraining:
    """A `Training` of a few textured images, on some of which a disc is brighter; it counts the batches read."""

    defect_types: tuple[str, ...] = (DISC,)
    graded = False
    label = "binary"

    def __init__(self, shape: tuple[int, int, int] = (64, 64, 3), dtype: type = np.uint8, count: int = 8):
        self.normals: Images = TestPool(shape, dtype, count=count)
        self.read = 0
        self._held_out = [TestPool(shape, dtype, count=count + 4)[count + k] for k in range(4)]
        self.validation = _batch(
            [_with_disc(image, 900 + k) if k % 2 else _untouched(image) for k, image in enumerate(self._held_out)]
        )

    def batches(
        self, count: int, batch_size: int, anomaly_ratio: float | None = None, *, first: int = 0
    ) -> Iterator[Batch]:
        """Yield batches; image k is anomalous as soon as the share of anomalous images has fallen behind."""
        ratio = 0.5 if anomaly_ratio is None else anomaly_ratio
        for number in range(first, count):
            self.read += 1
            rows = range(number * batch_size, (number + 1) * batch_size)
            yield _batch([self._row(k, int((k + 1) * ratio) > int(k * ratio)) for k in rows])

    def progress(self, done: int, total: int) -> None:
        """Check that the figures make sense."""
        assert 0 <= done <= total, f"progress({done}, {total}): more is done than there is to do"

    def test(self, count: int = 4) -> Batch:
        """Return other anomalies on the held-out images."""
        return _batch([_with_disc(self._held_out[k % 4], 500 + k) for k in range(count)])

    def _row(self, k: int, anomalous: bool) -> _Row:
        image = self.normals[int(rng_for(1, Stream.ORDER, k).integers(len(self.normals)))]
        return _with_disc(image, k) if anomalous else _untouched(image)


_Row = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Image, the same without an anomaly, mask."""


def _untouched(image: np.ndarray) -> _Row:
    return image, image, np.zeros(image.shape[:2], bool)


def _with_disc(image: np.ndarray, number: int) -> _Row:
    rng = rng_for(2, Stream.SAMPLE, number)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    side = min(image.shape[:2])
    row, column = rng.uniform(0.2, 0.8, 2) * image.shape[:2]
    mask = np.hypot(y - row, x - column) < rng.uniform(0.1, 0.2) * side
    limit = value_max(image.dtype)
    brighter = np.minimum(image.astype(np.int64) + limit // 3, limit).astype(image.dtype)
    return np.where(mask[..., None], brighter, image), image, mask


def _batch(rows: list[_Row]) -> Batch:
    images, normals, masks = (np.stack([row[part] for row in rows]) for part in range(3))
    soft = masks.astype(np.float32)
    for array in (images, normals, masks, soft):
        array.flags.writeable = False
    return Batch(images, normals, masks, soft, tuple(DISC if mask.any() else "normal" for mask in masks))


# --- the checks -----------------------------------------------------------------------------------------------------


def check_detector(detector: Detector, *, learns: bool = False, seed: int = 0) -> None:
    """Check the contract of a detector on made-up images of 64 pixels; give it few steps and a small network.

    Its configuration survives JSON and pickling; two fits give the same maps, bit for bit; maps are float32, finite
    and of the images' size, for grey, colour, 16 bits and sides that differ; an image's map does not depend on the
    other images; neither inputs nor global random state are touched; one without `uses_anomalies` reads no batches;
    before `fit` there is a UsageError; one restored from its `arrays`, if it has them, gives the same maps. With
    `learns`, the maps must tell the made-up anomalies from the rest.

    Raises AssertionError that says what does not hold.
    """
    kind = detector.kind
    _check_configuration(detector)
    train = MadeTraining()
    test = train.test()
    _check_unfitted(detector, test.images)
    first, maps = _fitted(detector, train, test.images, seed)
    with _untouched_state(kind):  # not the first fit: what it imports, torch's optimisers too, may draw at random
        _, again = _fitted(detector, train, test.images, seed)
    assert np.array_equal(maps, again), f"{kind}: two fits with the same rng give maps that differ"
    _check_maps(first, maps, test.images)
    _check_kept(first, maps, test.images)
    if learns:
        auroc = pixel_auroc(maps, test.masks)
        assert auroc >= LEAST_AUROC, f"{kind}: AUROC {auroc:.3f} over the pixels of bright discs, below {LEAST_AUROC}"
    for shape, dtype in [((64, 96, 1), np.uint8), ((72, 64, 3), np.uint16)]:
        other = MadeTraining(shape, dtype, count=4)
        images = other.test(2).images
        _check_maps(*_fitted(detector, other, images, seed), images)


def _check_configuration(detector: Detector) -> None:
    values = detector.config()
    kind = values.pop("kind")
    assert kind == detector.kind, f"config()['kind'] is {kind!r}, the class says {detector.kind!r}"
    again = validated(type(detector), json.loads(json.dumps(values)))
    assert again == detector, f"{kind}: the configuration does not survive JSON: {again!r} is not {detector!r}"
    assert pickle.loads(pickle.dumps(detector)) == detector, f"{kind}: it does not survive pickling"
    assert detector.unfitted() == detector, f"{kind}: unfitted() has another configuration"
    for name in type(detector).presets:
        validated(type(detector), {"preset": name})
    cost = detector.cost((64, 64), 10)
    assert np.isfinite(cost) and cost >= 0, f"{kind}: cost() is {cost}"


def _check_unfitted(detector: Detector, images: np.ndarray) -> None:
    try:
        detector.unfitted().anomaly_maps(images)
    except UsageError:
        return
    raise AssertionError(f"{detector.kind}: anomaly_maps before fit raises no UsageError; see Detector.learnt")


def _check_kept(fitted: Detector, maps: np.ndarray, images: np.ndarray) -> None:
    """Check that a detector made of the kept arrays is the fitted one; a class that keeps nothing has said so."""
    try:
        arrays = fitted.arrays()
    except UsageError:
        return
    with _untouched_state(fitted.kind):
        again = fitted.unfitted()
        again.restore({name: np.array(values) for name, values in arrays.items()})
    assert np.array_equal(again.anomaly_maps(images), maps), f"{fitted.kind}: the restored detector gives other maps"
    try:
        fitted.unfitted().restore({name: np.zeros((7, 1, 7)) for name in arrays})
    except ValueError:
        return
    raise AssertionError(f"{fitted.kind}: arrays of other shapes are restored without a ValueError")


def _fitted(detector: Detector, train: MadeTraining, images: np.ndarray, seed: int) -> tuple[Detector, np.ndarray]:
    """Return the fitted detector and its maps; no more batches than its steps are read, and nothing is written to."""
    fitted, before, read = detector.unfitted(), [image.copy() for image in train.normals], train.read
    fitted.fit(train, rng_for(seed, Stream.TRAINING))
    read = train.read - read
    assert detector.uses_anomalies or not read, (
        f"{detector.kind}: uses_anomalies is False, but {read} batches were read"
    )
    copy = images.copy()
    maps = fitted.anomaly_maps(copy)
    assert np.array_equal(copy, images), f"{detector.kind}: anomaly_maps writes to its images"
    same = all(np.array_equal(a, b) for a, b in zip(before, train.normals, strict=True))
    assert same, f"{detector.kind}: fit writes to the normal images"
    return fitted, maps


def _check_maps(fitted: Detector, maps: np.ndarray, images: np.ndarray) -> None:
    where = f"{fitted.kind} on {images.dtype} {images.shape}"
    wanted = images.shape[:3]
    assert maps.dtype == np.float32 and maps.shape == wanted, f"{where}: maps are {maps.dtype} {maps.shape}"
    assert np.isfinite(maps).all(), f"{where}: a map is not finite"
    assert np.array_equal(maps, fitted.anomaly_maps(images)), f"{where}: the second call gives other maps"
    alone = fitted.anomaly_maps(images[-1:])[0]
    off = float(np.abs(alone - maps[-1]).max())
    assert off <= ROUNDING * max(1e-6, float(np.abs(maps).max())), (
        f"{where}: the last image's map is off by {off:g} when it is alone in the call"
    )


@contextmanager
def _untouched_state(kind: str) -> Iterator[None]:
    """Raise AssertionError when a global random generator is not afterwards as it was."""
    numpy_before = np.random.get_state()  # noqa: NPY002 - to see that nobody touches it
    python_before, torch_before = random.getstate(), torch.get_rng_state()
    yield
    numpy_after = np.random.get_state()  # noqa: NPY002
    same = all(np.array_equal(a, b) for a, b in zip(numpy_before, numpy_after, strict=True))
    assert same, f"{kind}: numpy's global random generator was used or seeded"
    assert python_before == random.getstate(), f"{kind}: the global generator of `random` was used or seeded"
    assert torch.equal(torch_before, torch.get_rng_state()), f"{kind}: torch's global random generator was not restored"


def pixel_auroc(maps: np.ndarray, masks: np.ndarray) -> float:
    """Return the share of pairs of pixels in which the one inside the masks is higher; ties count half."""
    ordered, inside = np.sort(maps[~masks]), maps[masks]
    below = np.searchsorted(ordered, inside, "left") + np.searchsorted(ordered, inside, "right")
    return float(below.mean() / (2 * len(ordered)))
