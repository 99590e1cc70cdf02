"""Check that a generator keeps the contract: pure, exact masks, alone as in a batch, honest about its configuration."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from anomgen.config import located_texts
from anomgen.generators.base import Generator, build_generator, foreground_of
from anomgen.rng import Stream, rng_for
from anomgen.sources.base import Images
from anomgen.sources.conformance import check_portable
from anomgen.synthesis.sample import TOLERANCE, Reject, Sample, change_between, smallest_mask


class TestPool(Sequence[np.ndarray]):
    """A few made-up normal images, with an object in the middle when `with_foreground`."""

    __test__ = False  # pytest would take it for a test

    def __init__(
        self, shape: tuple[int, int, int], dtype: type = np.uint8, *, with_foreground: bool = False, count: int = 5
    ):
        self._foreground = _disc(shape[:2]) if with_foreground else None
        self._images = [_normal_image(k, shape, np.dtype(dtype), self._foreground) for k in range(count)]
        self.name = f"{'×'.join(map(str, shape))} {np.dtype(dtype)}{' with foreground' if with_foreground else ''}"

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        return self._images[index]

    def foreground(self, image: np.ndarray) -> np.ndarray | None:  # noqa: ARG002
        """Return the object's pixels; the same in every image of this pool."""
        return self._foreground


def _disc(shape: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius = 0.38 * min(shape)
    result: np.ndarray = np.hypot(y - shape[0] / 2, x - shape[1] / 2) < radius
    return result


def _normal_image(number: int, shape: tuple[int, int, int], dtype: np.dtype, disc: np.ndarray | None) -> np.ndarray:
    """Return a textured image: smooth noise of two scales, another mean colour in each image."""
    rng = rng_for(number, Stream.SOURCE)
    h, w, channels = shape
    coarse = cv2.GaussianBlur(rng.normal(0, 1, (h, w)).astype(np.float32), (0, 0), 4) * 4
    fine = cv2.GaussianBlur(rng.normal(0, 1, (h, w)).astype(np.float32), (0, 0), 0.8)
    values = 0.5 + rng.uniform(-0.1, 0.1, channels) + 0.08 * (coarse + fine)[..., None]
    if disc is not None:
        values = np.where(disc[..., None], values, 0.08)
    image = (np.clip(values, 0, 1) * np.iinfo(dtype).max).astype(dtype)
    image.flags.writeable = False
    return image


def scenes() -> list[TestPool]:
    """Return pools of several sizes, depths and channel counts, one of them with a foreground."""
    return [
        TestPool((64, 64, 3)),
        TestPool((48, 80, 1)),
        TestPool((72, 56, 3), np.uint16),
        TestPool((96, 96, 3), with_foreground=True),
    ]


def check_generator(generator: Generator, pool: Images | None = None, *, count: int = 16, seed: int = 0) -> None:
    """Check the contract of a generator on `count` samples of a pool, by default of each pool in `scenes()`.

    Its configuration round-trips and pickles, and each file that it names has a hash in `resources`; two calls are
    equal; alone is as in a batch; the mask is never empty, the image equals the input outside it bit for bit, and most
    of it visibly changed; soft masks lie in [0, 1] and inside the mask; parameters are JSON; inputs and global random
    state are untouched; at most half of the draws are rejected; where there is a foreground, every mask is on it as far
    as `min_on_foreground` says.

    Raises AssertionError that says what does not hold and for which sample.
    """
    _check_configuration(generator)
    for chosen in [pool] if pool is not None else scenes():
        where = f"{generator.kind} on {getattr(chosen, 'name', f'{len(chosen)} images')}"
        _check_on_pool(generator, chosen, count, seed, where)


def _check_configuration(generator: Generator) -> None:
    configuration = generator.config()
    name = configuration.get("kind")
    assert name == generator.kind, f"config()['kind'] is {name!r}, the class says {generator.kind!r}"
    again = build_generator(json.loads(json.dumps(configuration)))
    assert again == generator, f"{name}: the configuration does not survive JSON: {again!r} is not {generator!r}"
    assert pickle.loads(pickle.dumps(generator)) == generator, f"{name}: it does not survive pickling"
    check_portable(generator)
    hashed = generator.resources()
    for key, text in located_texts(generator):
        assert any(f"{key}.".startswith(f"{known}.") for known in hashed), (
            f"{name}: {key} says where {text} is, but resources() has no hash of it, only {sorted(hashed)}"
        )
    types = generator.defect_types
    assert types and len(set(types)) == len(types) and "normal" not in types, f"{name}: defect types {types!r}"


def _check_on_pool(generator: Generator, pool: Images, count: int, seed: int, where: str) -> None:
    images = [pool[k % len(pool)] for k in range(count)]
    before = [pool[k].copy() for k in range(len(pool))]
    states = _global_states()
    ready = generator.prepared(pool)
    assert ready == generator.prepared(pool), f"{where}: prepared() gives another result the second time"
    assert ready.defect_types == generator.defect_types, f"{where}: prepared() changes the defect types"
    first = ready.sample_batch(_rngs(seed, count), images, pool)
    second = ready.sample_batch(_rngs(seed, count), images, pool)
    assert _same(states, _global_states()), f"{where}: a global random generator was used or seeded"
    for k in range(len(pool)):
        assert np.array_equal(before[k], pool[k]), f"{where}: normal image {k} was written to"
    assert len(first) == count, f"{where}: {count} images in, {len(first)} results out"
    rejected = [result.reason for result in first if isinstance(result, Reject)]
    assert len(rejected) <= count / 2, f"{where}: {len(rejected)} of {count} draws are rejected: {set(rejected)}"
    for k, result in enumerate(first):
        label = f"{where}, sample {k}"
        assert _equal(result, second[k]), f"{label}: two calls differ"
        assert _equal(result, _alone(ready, seed, k, images[k], pool)), f"{label}: alone it is not as in the batch"
        if isinstance(result, Sample):
            _check_sample(ready, result, images[k], pool, label)


def _check_sample(generator: Generator, sample: Sample, image: np.ndarray, pool: Images, label: str) -> None:
    mask, soft = sample.mask, sample.soft_mask
    assert sample.image.dtype == image.dtype and sample.image.shape == image.shape, (
        f"{label}: the image is {sample.image.dtype} {sample.image.shape}, the input {image.dtype} {image.shape}"
    )
    assert mask.dtype == bool and mask.shape == image.shape[:2], f"{label}: the mask is {mask.dtype} {mask.shape}"
    assert mask.sum() >= smallest_mask(mask.shape), f"{label}: the mask has {mask.sum()} pixels"
    leak = np.any(sample.image != image, axis=2) & ~mask
    assert not leak.any(), f"{label}: {leak.sum()} pixels changed outside the mask"
    unchanged = np.mean(change_between(sample.image, image)[mask] <= TOLERANCE)
    assert unchanged <= 0.5, f"{label}: {unchanged:.0%} of the mask did not visibly change"
    if soft is not None:
        assert generator.has_soft_mask, f"{label}: there is a soft mask, but has_soft_mask is False"
        assert soft.dtype == np.float32 and soft.shape == mask.shape, f"{label}: soft mask {soft.dtype} {soft.shape}"
        assert soft.min() >= 0 and soft.max() <= 1, f"{label}: the soft mask leaves [0, 1]"
        assert not soft[~mask].any(), f"{label}: the soft mask is not zero outside the mask"
    foreground = foreground_of(pool, image)
    if foreground is not None:
        share = foreground[mask].mean()
        least = generator.min_on_foreground
        assert share >= least, f"{label}: {share:.0%} of the mask is on the foreground, at least {least:.0%} should be"
    json.dumps(sample.params, allow_nan=False)
    assert sample.defect_type in generator.defect_types, (
        f"{label}: defect type {sample.defect_type!r} is not one of {generator.defect_types}"
    )


def _alone(generator: Generator, seed: int, k: int, image: np.ndarray, pool: Images) -> Sample | Reject:
    try:
        return generator.sample(rng_for(seed, Stream.SAMPLE, k), image, pool)
    except Reject as reject:
        return reject


def _rngs(seed: int, count: int) -> list[np.random.Generator]:
    return [rng_for(seed, Stream.SAMPLE, k) for k in range(count)]


def _global_states() -> tuple[Any, Any]:
    return np.random.get_state(), random.getstate()  # noqa: NPY002 - to see that nobody touches it


def _same(a: tuple[Any, Any], b: tuple[Any, Any]) -> bool:
    return a[1] == b[1] and all(np.array_equal(x, y) for x, y in zip(a[0], b[0], strict=True))


def _equal(a: Sample | Reject, b: Sample | Reject) -> bool:
    if isinstance(a, Reject) or isinstance(b, Reject):
        return isinstance(a, Reject) and isinstance(b, Reject) and a.reason == b.reason
    if a.soft_mask is None or b.soft_mask is None:
        soft_equal = a.soft_mask is b.soft_mask
    else:
        soft_equal = np.array_equal(a.soft_mask, b.soft_mask)
    return (
        soft_equal
        and np.array_equal(a.image, b.image)
        and np.array_equal(a.mask, b.mask)
        and a.params == b.params
        and a.defect_type == b.defect_type
    )
