"""What the adapters share: drawing a recipe's anomalies on images that come from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from anomgen.errors import AnomgenError, UsageError
from anomgen.making import plugged
from anomgen.making.drawn import visible
from anomgen.making.engine import MAX_ATTEMPTS, Plan, Recipe
from anomgen.making.recipe import recipe_of
from anomgen.making.threads import single_threaded
from anomgen.places import home
from anomgen.rng import Stream, rng_for
from anomgen.sources.base import Source
from anomgen.sources.pixels import quantise, to_channels, to_depth, value_max
from anomgen.sources.pool import DEFAULT_CACHE_BYTES, Pool, both, off_limits
from anomgen.sources.value_range import ValueRange, range_hint, stretched
from anomgen.synthesis.sample import Sample, cut_to

SLACK = 1e-3
"""How far floating-point images may lie outside 0..1: what is left of undoing a normalisation."""


class Drawer:
    """Draws the anomalies of a recipe on images from outside; the recipe's source is the pool of donors.

    An image becomes anomalous with the recipe's `anomaly_ratio`. What is drawn follows from (the recipe's seed, the
    number given with the image) alone. It pickles without images.

    float_range: values of the source, (low, high), that 0.0 and 1.0 of floating-point images stand for: (0, 65535)
    where 16 bits were divided by 65535. Needed for such images where the source does not fill its depth.
    value_range: values, (low, high), that uint16 images show as black and white: (0, 4095) from a 12-bit camera, (0,
    65535) for all that they can hold. Needed for such images where the source has 8 bits; else the source's.

    Raises UsageError for a foreground that is a folder of masks: images from outside have none in it.
    """

    def __init__(
        self,
        recipe: Recipe | str,
        *,
        float_range: tuple[int, int] | None = None,
        value_range: tuple[int, int] | None = None,
        **options: Any,
    ):
        self.plan = Plan.of(recipe_of(recipe, **options))
        self._float_range = _ends("float_range", float_range, self.dtype)
        self._given_range = _ends("value_range", value_range, np.dtype(np.uint16))
        regions = (self.plan.foreground.roi, self.plan.foreground.exclude)
        is_folder = any(path is not None and home(path).is_dir() for path in regions)
        if self.plan.foreground.method == "folder" or is_folder:
            raise UsageError(
                "foreground: a folder of masks serves images of the recipe's source only; for images from outside "
                "choose a method that looks at the image (otsu, triangle, background, background_color) or none, and "
                "one picture for all as roi and exclude"
            )
        self._pools: dict[tuple[int, np.dtype], Pool] = {}
        self._threads: ThreadpoolController | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pools": {}, "_threads": None}

    def draw(self, images: Sequence[np.ndarray], numbers: Sequence[int]) -> list[Sample | None]:
        """Return an anomaly for each image, in its dtype, or None where it stays normal.

        images: (H, W, C) uint8, uint16 (see `value_range`), or floating point in 0..1 (see `float_range`), C 1 or
        3, all alike in dtype and C. numbers: 0 and above, one an image. Outside the mask what is
        returned is the image, bit for bit. Raises UsageError for other images, AnomgenError when a generator keeps
        failing on one: a normal one never stands in for an anomaly.
        """
        self._threads = self._threads or ThreadpoolController()
        shown = [_read_only(self._shown(image)) for image in images]
        with single_threaded(self._threads):
            samples = self._draw(shown, numbers, [self._region(*pair) for pair in zip(images, shown, strict=True)])
        return [
            None if sample is None else self._returned(image, sample)
            for image, sample in zip(images, samples, strict=True)
        ]

    def _shown(self, image: np.ndarray) -> np.ndarray:
        """Return an image as the generator sees it: uint8 or uint16, in its whole depth."""
        if image.ndim != 3 or image.shape[2] not in (1, 3):
            raise UsageError(
                f"an image is (H, W, C) with 1 channel or 3, not {image.shape}; take transparency (alpha) off before"
            )
        if image.dtype.kind == "f":
            return stretched(self._integers(image), self._value_range)
        if image.dtype not in (np.uint8, np.uint16):
            raise UsageError(f"images are uint8, uint16 or floating point in 0..1, not {image.dtype}")
        return stretched(image, self._range_of(image))

    def _returned(self, image: np.ndarray, sample: Sample) -> Sample:
        """Return a sample with its image in the dtype and among the values of the image that it was drawn on."""
        value_range = self._range_of(image)
        if image.dtype.kind != "f":
            if value_range is None:
                return sample
            return replace(sample, image=value_range.drawn_on(image, sample.image, sample.mask))
        drawn = sample.image if value_range is None else value_range.restored(sample.image)
        low, high = self._floats
        scaled = ((drawn - np.float32(low)) / np.float32(high - low)).astype(image.dtype)
        return replace(sample, image=np.where(sample.mask[..., None], scaled, image))

    def _range_of(self, image: np.ndarray) -> ValueRange | None:
        """Return the range of an image's values, None for the whole depth.

        Raises UsageError for 16 bits of which nothing says how far they are filled.
        """
        if image.dtype == np.uint16 and self._given_range is not None:
            return ValueRange(*self._given_range)
        if image.dtype.kind == "f" or image.dtype == self.dtype:
            return self._value_range
        if image.dtype == np.uint16:
            raise UsageError(
                "the images have 16 bits and the recipe's source has 8, so it is not known how much of the 16 they "
                "fill: give value_range=(0, 4095) for a 12-bit camera, value_range=(0, 65535) for all, or a source "
                "of such images"
            )
        return None

    @property
    def _value_range(self) -> ValueRange | None:
        return getattr(self.plan.source, "value_range", None)

    @property
    def _floats(self) -> tuple[int, int]:
        """Return the values of the source that 0.0 and 1.0 stand for. Raises UsageError where that is not known."""
        if self._float_range is not None:
            return self._float_range
        top = value_max(self.dtype)
        if self._value_range is None:
            return 0, top
        low, high = self._value_range
        raise UsageError(
            f"the source's values go from {low} to {high} of {top}, so it is not known what 1.0 means in "
            f"floating-point images: give float_range=(0, {top}) for values divided by {top}, or "
            f"float_range=({low}, {high}) for a share of the range, as AnomalyDataset has it"
        )

    def _integers(self, image: np.ndarray) -> np.ndarray:
        """Return a floating-point image in the source's depth, rounded.

        Raises UsageError for values that the source's depth does not have, as a normalised image has them.
        """
        low, high = self._floats
        top = value_max(self.dtype)
        least, most = (0 - low) / (high - low), (top - low) / (high - low)
        darkest, brightest = float(image.min()), float(image.max())
        if not (darkest >= least - SLACK and brightest <= most + SLACK):
            raise UsageError(
                f"the image's values lie in {darkest:.3g}..{brightest:.3g}, not in {least:.3g}..{most:.3g}: draw "
                "before normalising"
            )
        return quantise(image * (high - low) + low if low else image * high, self.dtype)

    def _region(self, image: np.ndarray, shown: np.ndarray) -> np.ndarray | None:
        """Return where anomalies may be on an image whatever shows there, bool (H, W); None: anywhere."""
        value_range, region = self._range_of(image), self.plan.foreground.region(shown)
        if value_range is None:
            return region
        return both(value_range.near(self._integers(image) if image.dtype.kind == "f" else image), region)

    def _draw(
        self, images: list[np.ndarray], numbers: Sequence[int], regions: list[np.ndarray | None]
    ) -> list[Sample | None]:
        self._check_shapes(images)
        recipe = self.plan.recipe
        drawn: list[Sample | None] = [None] * len(images)
        ratio = recipe.anomaly_ratio
        left = [k for k, n in enumerate(numbers) if rng_for(recipe.seed, Stream.ONLINE, n).random() < ratio]
        reasons: Counter[str] = Counter()
        has_range = self._value_range is not None or self._given_range is not None
        off = off_limits(has_region=self.plan.foreground.has_region, has_range=has_range)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            if not left:
                return drawn
            pool = self._pool(images[left[0]])
            rngs = [rng_for(recipe.seed, Stream.ONLINE, numbers[k], attempt) for k in left]
            numbered = [numbers[k] for k in left]
            results = plugged.drawn(self.plan.generator, rngs, [images[k] for k in left], pool, numbered)
            for k, result in zip(left, results, strict=True):
                result = cut_to(regions[k], result, images[k], off)
                result = self.plan.judged(visible(result, images[k], recipe.min_change))
                if isinstance(result, Sample):
                    drawn[k] = result
                else:
                    reasons[result.reason] += 1
            left = [k for k in left if drawn[k] is None]
        if left:
            listed = ", ".join(f"{reason} ({count}×)" for reason, count in reasons.most_common())
            raise AnomgenError(
                f"{MAX_ATTEMPTS} draws of {self.plan.generator.kind!r} on one image gave no anomaly: {listed}. Give "
                "whole images rather than small cut-outs, ask for less foreground (the generator's min_foreground or "
                "min_object), or use a generator that works on any image (perlin, cutpaste)"
                f"{range_hint(self._range_of(images[0]), images[0].dtype)}"
            )
        return drawn

    def _pool(self, image: np.ndarray) -> Pool:
        """Return the recipe's source with the channels and the depth of an image from outside."""
        key = image.shape[2], image.dtype
        if key not in self._pools:
            source: Source = Converted(self.plan.source, *key)
            self._pools[key] = Pool(source, self.plan.foreground, DEFAULT_CACHE_BYTES)
        return self._pools[key]

    def _check_shapes(self, images: list[np.ndarray]) -> None:
        """Raise UsageError for images that a trained model cannot draw on."""
        if not self.plan.generator.uses_network:
            return
        trained = self.plan.source[0].shape
        for image in images:
            if image.shape != trained:
                raise UsageError(
                    f"the model of {self.plan.generator.kind!r} draws images of (H, W, C) {trained}, this one is "
                    f"{image.shape}: resize before drawing, or train a model on such images"
                )

    @cached_property
    def dtype(self) -> np.dtype:
        """Return the depth of the source, uint8 or uint16: floating-point images are drawn on in this one."""
        return self.plan.source[0].dtype


class Converted:
    """A source's images, stretched to their whole depth, with another number of channels or another depth."""

    def __init__(self, source: Source, channels: int, dtype: np.dtype):
        self._source, self._channels, self._dtype = source, channels, dtype
        self.license, self.skipped = source.license, source.skipped

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> np.ndarray:
        image = stretched(self._source[index], getattr(self._source, "value_range", None))
        if image.shape[2] == self._channels and image.dtype == self._dtype:
            return _read_only(image)
        return _read_only(np.ascontiguousarray(to_depth(to_channels(image, self._channels), self._dtype)))

    def id(self, index: int) -> str:
        """Return the source's name of the image."""
        return self._source.id(index)

    def fingerprint(self) -> str:
        """Return the source's fingerprint."""
        return self._source.fingerprint()


def check_values(mask: np.ndarray) -> None:
    """Raise UsageError for a mask with values beyond 0..1, among which the anomaly's ones would be lost."""
    beyond = mask[~((mask >= 0) & (mask <= 1))]
    if beyond.size:
        raise UsageError(
            f"the mask for anomalies holds {beyond[0]:g}; they are marked with 1, so give one of zeros, or of 1 where "
            "there are some already. A mask of other meaning is none for them"
        )


def _read_only(image: np.ndarray) -> np.ndarray:
    view = image.view()
    view.flags.writeable = False
    return view


def _ends(name: str, pair: tuple[int, int] | None, dtype: np.dtype) -> tuple[int, int] | None:
    """Return a pair of values of a dtype, checked; `name` is the option that it was given as."""
    if pair is None:
        return None
    whole = len(pair) == 2 and all(isinstance(end, int | np.integer) and not isinstance(end, bool) for end in pair)
    if not (whole and 0 <= pair[0] < pair[1] <= value_max(dtype)):
        raise UsageError(f"{name} is (low, high), whole numbers with 0 ≤ low < high ≤ {value_max(dtype)}, not {pair}")
    return pair
