"""Generators that others wrote: what one raises is told with its name and row, what it returns is verified."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from anomgen.errors import AnomgenError, RecipeError, brief, lacks_memory
from anomgen.generators.base import Generator
from anomgen.registry import as_json
from anomgen.sources.base import Images
from anomgen.synthesis.sample import Reject, Sample


def drawn(
    generator: Generator,
    rngs: Sequence[np.random.Generator],
    images: Sequence[np.ndarray],
    pool: Images,
    rows: Sequence[int],
) -> list[Sample | Reject]:
    """Return what `Generator.sample_batch` does; of a plug-in only what keeps the contract. rows: their numbers.

    A plug-in that runs no network draws row by row, as the contract allows, so that an error names the row. Raises
    AnomgenError for whatever a plug-in raises, `sys.exit` among it, and for samples that are none: of another shape or
    dtype, with values that are not finite, changed outside the mask.
    """
    if not generator.plug_ins():
        return generator.sample_batch(rngs, images, pool)
    step = len(images) if generator.uses_network else 1
    results: list[Sample | Reject] = []
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        with named(generator, f"row {', '.join(map(str, rows[part]))}"):
            found = generator.sample_batch(rngs[part], images[part], pool)
            if not isinstance(found, list | tuple) or len(found) != len(images[part]):
                raise TypeError(f"sample_batch must return a list of {len(images[part])} samples, one for each image")
        for row, image, result in zip(rows[part], images[part], found, strict=True):
            if fault := _fault(result, image):
                raise AnomgenError(f"{_who(generator)}: row {row}: {fault}")
        results += found
    return results


def prepared(generator: Generator, pool: Images, *, draft: bool = False) -> Generator:
    """Return what `Generator.prepared` does, or `drafted`; of a plug-in only what a dataset can record."""
    with named(generator, "looking at the normal images"):
        found = (generator.drafted if draft else generator.prepared)(pool)
        if not isinstance(found, Generator):
            raise TypeError(f"{'drafted' if draft else 'prepared'} must return a generator, not {type(found).__name__}")
    if found.plug_ins():
        try:
            as_json(found)
        except RecipeError as error:
            raise error.inside("generator") from None
        with named(found, "looking at what it says of itself"):
            _check_told(found)
    return found


def _check_told(generator: Generator) -> None:
    """Raise TypeError for what a generator says of itself, beside its settings, that no dataset can record."""
    for what, told in (
        ("defect_types", generator.defect_types),
        ("licenses()", generator.licenses()),
        ("unlicensed()", [text for pair in generator.unlicensed().items() for text in pair]),
        ("resources()", [text for pair in generator.resources().items() for text in pair]),
    ):
        if not isinstance(told, Collection) or isinstance(told, str) or not all(isinstance(one, str) for one in told):
            raise TypeError(f"{what} must be texts, not {told!r:.80}")


@contextmanager
def named(generator: Generator, doing: str) -> Iterator[None]:
    """Turn what a plug-in raises in this block into an AnomgenError that names it; others' errors stay as they are."""
    try:
        yield
    except (AnomgenError, Reject, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plug-in may call sys.exit, and nothing it does may end a run without a word
        if not generator.plug_ins() or (isinstance(error, Exception) and lacks_memory(error)):
            raise
        raise AnomgenError(f"{_who(generator)}: {doing}: it raised {brief(error, 500)}") from error


def _who(generator: Generator) -> str:
    return f"the plug-in generator {' or '.join(map(repr, generator.plug_ins()))}"


def _fault(result: object, image: np.ndarray) -> str:
    """Return how a result breaks the contract on a normal image, or an empty string."""
    if isinstance(result, Reject):
        return ""
    if not isinstance(result, Sample):
        return f"it returned {type(result).__name__}, no Sample"
    mask, soft = result.mask, result.soft_mask
    wanted = [("image", result.image, image.dtype, image.shape), ("mask", mask, np.dtype(bool), image.shape[:2])]
    if soft is not None:
        wanted.append(("soft mask", soft, np.dtype(np.float32), image.shape[:2]))
    for what, array, dtype, shape in wanted:
        if not isinstance(array, np.ndarray):
            return f"its {what} is {type(array).__name__}, no array"
        if array.dtype != dtype or array.shape != shape:
            return f"its {what} is {array.dtype} {array.shape}, and must be {dtype} {shape}"
    if leak := int(np.count_nonzero((result.image != image).any(axis=2) & ~mask)):
        return f"it changed {leak} pixels outside its mask"
    if soft is not None and not ((soft >= 0) & (soft <= 1)).all():  # NaN is neither
        return "its soft mask holds values outside 0 to 1, or none"
    if soft is not None and soft[~mask].any():
        return "its soft mask is not 0 outside its mask"
    if result.detectability is not None and not np.isfinite(result.detectability):
        return f"its detectability is {result.detectability}"
    try:
        json.dumps(result.params, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return f"its params are no plain JSON ({error})"
    return ""
