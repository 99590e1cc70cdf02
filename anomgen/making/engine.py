"""A recipe, and from it and an index to a row: which image, which randomness, what happens to rejected draws."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Annotated, Any, Literal

import numpy as np
from cachetools import LRUCache
from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationInfo, field_serializer, field_validator

from anomgen.config import Config, License, Share
from anomgen.config.text import write_yaml
from anomgen.dataset.columns import Columns
from anomgen.dataset.pictures import Pictured, page_of
from anomgen.dataset.row import Row
from anomgen.errors import AnomgenError, SourceError, UsageError
from anomgen.files import fingerprint_of
from anomgen.generators.base import Generator, notes_on_terms
from anomgen.making.drawn import VISIBLE, DetectabilityRange, on_stored, visible
from anomgen.making.plugged import drawn, prepared
from anomgen.making.rejected import PATIENT, NoAnomaly, Patience, Rejected
from anomgen.making.splits import Part, is_anomalous, parts_of, train_count
from anomgen.making.threads import single_threaded
from anomgen.rng import Stream, rng_for
from anomgen.sources.base import Source, SourceConfig
from anomgen.sources.foreground import Foreground, parse_foreground
from anomgen.sources.objects import Opened, opened
from anomgen.sources.pool import DEFAULT_CACHE_BYTES, Pool
from anomgen.sources.value_range import ValueRange, range_hint, stretched
from anomgen.synthesis.detectability import FEWEST, Detectability, detectability_of, remember_fit
from anomgen.synthesis.sample import Reject, Sample, cut_to


def _version(value: Any) -> Any:
    """Refuse `true` and 1.0, which Python takes for 1."""
    if type(value) is not int:
        raise ValueError("the version of this schema is the number 1")
    return value


PICTURED, LOOKED_THROUGH = 4, 1000
"""Rows that the picture of a recipe shows, and among how many they are looked for."""


class Recipe(Config, Pictured):
    """A dataset in words: which normal images, which generator, how many, from which seed."""

    anomgen: Annotated[Literal[1], BeforeValidator(_version)] = 1
    """Version of this schema."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)]
    """Name of the dataset, and of its configuration on the Hub."""
    source: SerializeAsAny[SourceConfig]
    """The normal images."""
    generator: SerializeAsAny[Generator]
    """What makes the anomalies."""
    foreground: Foreground = Field(default_factory=lambda: parse_foreground("none"))
    """Which pixels may become anomalous: a method's name, a preset, a folder of masks, or a mapping with `method`."""
    detectability_range: DetectabilityRange | None = None
    """Anomalies that are less or more visible than this are drawn again; 1 is just detectable, as unusual as one normal
    pixel in a hundred. null: none is."""
    min_change: Annotated[float, Field(ge=0, le=255)] = VISIBLE
    """Change, in grey levels of 255, that some pixels of an anomaly must exceed, or it is drawn again."""
    count: Annotated[int, Field(ge=1, le=10**9)] = 1000
    """Rows of the dataset, normal ones included."""
    anomaly_ratio: Share = 0.5
    """Share of anomalous rows; the rest are untouched normal images with an empty mask."""
    test_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of rows and of normal images for testing, a split `test` beside `train`: no image, nor what was made of it
    or with it, is in both. The last rows are it."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Every row follows from it and its index."""
    block_size: Annotated[int, Field(ge=1, le=4096)] = 16
    """Rows that are drawn together by what gains from that; with another number other rows come out."""
    shard_size: Annotated[int, Field(ge=1, le=10**6)] = 512
    """Rows of one file of the dataset, about. In YAML: it is rounded up to whole blocks of `block_size`."""
    keep_normal: bool = False
    """Whether each row also holds its untouched image, in the column `normal`."""
    license: License | None = None
    """Licence of what comes out, as the Hub calls it (cc-by-4.0); by default that of the source, where it is known."""

    @field_serializer("source", "generator")
    def _with_kind(self, part: SourceConfig | Generator) -> dict[str, Any]:
        return part.config()

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON; `parse_recipe` reads it back."""
        return self.config()

    def canonical(self) -> dict[str, Any]:
        """See `Config.canonical`; what is not asked for leaves the fingerprint of older versions."""
        later = ("detectability_range", "test_share")
        return {key: value for key, value in super().canonical().items() if key not in later or value}

    @property
    def train_count(self) -> int:
        """Return how many rows, from the first on, are not for testing."""
        return train_count(self.count, self.block_size, self.test_share)

    @field_validator("test_share")
    @classmethod
    def _of_two_rows(cls, share: float, info: ValidationInfo) -> float:
        if share and info.data.get("count") == 1:
            raise ValueError("one row cannot be for training and for testing; raise count")
        return share

    def fingerprint(self) -> str:
        """Return the hash of the canonical recipe; equal recipes on two machines have equal ones."""
        return fingerprint_of(self.canonical(), separators=(",", ":"))

    def sample(self, index: int) -> Row:
        """Return row `index` of the dataset that this recipe makes: image, mask, soft mask, label and all else.

        index: 0 and above; beyond `count` the dataset goes on as a longer one would. The source is opened when this
        is first called. Raises SourceError, UsageError or AnomgenError as `make` does.
        """
        if index < 0:
            raise UsageError(f"rows are numbered from 0, not {index}")
        with single_threaded():
            return renderer_of(self).row(index)

    def picture(self) -> np.ndarray:
        """Return the first anomalous rows, outlined, beside crops of the anomalies. Raises what `sample` raises."""
        from anomgen.dataset.grid import Group, grid_sheet
        from anomgen.dataset.panel import Panel

        first = range(min(self.count, LOOKED_THROUGH))
        rows = [index for index in first if is_anomalous(index, self.anomaly_ratio)] or first
        return grid_sheet([Group(self.name, [Panel.of_row(self.sample(index)) for index in rows[:PICTURED]])], 2)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a line about the recipe above its picture, or why it has none."""
        text = f"{self.generator.kind}, {self.count} rows, {self.anomaly_ratio:.0%} anomalous, seed {self.seed}"
        try:
            return page_of(self.name, text, self.picture())
        except AnomgenError as error:
            return page_of(self.name, f"{text}; {error}", None)

    def to_yaml(self) -> str:
        """Return the recipe as YAML, every key written out."""
        return write_yaml(self.as_dict())


ATTEMPTS_PER_IMAGE = 10
"""Draws on a sample's own image before the next image of the order stands in for it."""
MIN_IMAGES, MAX_IMAGES = 5, 50
"""Images tried for one sample before the run stops with an error: as many as the source has, within these bounds."""
HELD_BYTES = 1 << 28
"""Drawn rows, of four times the size of their image each, that are held at once, one at least."""
MAX_ATTEMPTS = 50
"""Draws on one image from outside before that is an error."""


@dataclass(frozen=True)
class Plan:
    """A recipe with everything resolved: the opened source, the calibrated generator, the chosen foreground.

    It pickles without decoded images: a worker process gets the plan and draws from it what the parent would.
    """

    recipe: Recipe
    source: Source
    generator: Generator
    foreground: Foreground
    notes: tuple[str, ...] = ()
    """What is to be known of the source, in sentences …"""
    surprises: tuple[str, ...] = ()
    """… and which of them before the run, as nobody asked for it."""
    detectability: Detectability | None = None
    """The normal boundary; None where the images are too few and too small to know it."""

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        source: Source | Opened | None = None,
        detectability: Detectability | None = None,
        *,
        draft: bool = False,
    ) -> Plan:
        """Open the source, choose the foreground and calibrate the generator. Deterministic in (recipe, images).

        source: instead of the recipe's. detectability: instead of what is measured on it. draft: for looking at images
        and masks, soft masks may be missing (`Generator.drafted`).
        """
        with single_threaded():
            found = source if isinstance(source, Opened) else opened(recipe.source, recipe.foreground, source)
            if detectability is not None:
                remember_fit(found.pool, detectability)
            parts_of(found.pool, recipe.test_share, recipe.train_count, recipe.seed)  # too few are told at once
            boundary = _boundary(recipe, found.pool)
            generator = prepared(recipe.generator, found.pool, draft=draft)
            notes = (*found.notes, *notes_on_terms(generator))
        return cls(recipe, found.source, generator, found.foreground, notes, found.surprises, boundary)

    def judged(self, result: Sample | Reject, value_range: ValueRange | None = None) -> Sample | Reject:
        """Return a sample with its detectability, or why it is none: an empty mask, or outside the range asked for.

        value_range: of its values; None for the whole depth, as generators draw. No generator, ours or a plug-in,
        passes a normal image for an anomaly.
        """
        if isinstance(result, Reject):
            return result
        if not result.mask.any():
            return Reject("empty mask")
        if self.detectability is None:
            return result
        known = result.detectability if value_range is None else None
        if known is None:
            known = self.detectability.of(stretched(result.image, value_range), result.mask)
        r = float(np.float32(known))
        low, high = self.recipe.detectability_range or (0.0, math.inf)
        if not low <= r <= high:
            return Reject(f"detectability below {low:g}", r) if r < low else Reject(f"detectability above {high:g}")
        return replace(result, detectability=r)

    @property
    def columns(self) -> Columns:
        """Return what the dataset's columns are."""
        return Columns(self.generator.defect_types, self.recipe.keep_normal)

    @cached_property
    def resolved(self) -> dict[str, Any]:
        """Return generator and foreground as they are used and a hash of each resource that they read.

        Plain JSON without paths of the machine.
        """
        foreground = self.foreground.portable().model_dump(mode="json", exclude_defaults=True)
        return {
            "generator": self.generator.portable().config(),
            "foreground": {"method": self.foreground.method, **foreground},
            "resources": self._resources(),
        }

    def require_unchanged(self) -> None:
        """Raise SourceError where files beside the source are no longer those that the plan was made with.

        For processes that read them themselves, before they draw; what changes later is found when it is read.
        """
        known, now = self.resolved["resources"], self._resources()
        if changed := [key for key in known if known[key] != now.get(key)]:
            raise SourceError(
                f"{changed[0]}: its files changed while they were in use, so a dataset would hold other anomalies than "
                "it says; put them back, or start anew once nobody writes to them any more"
            )

    def _resources(self) -> dict[str, str]:
        return {**self.generator.resources(), **self.foreground.resources()}


def _boundary(recipe: Recipe, pool: Pool) -> Detectability | None:
    """Return the normal boundary of images. Raises UsageError where it is not known, but asked for."""
    measured = detectability_of(pool) if len(pool) else None
    if measured is not None and measured.pixels >= FEWEST:
        return measured
    if recipe.detectability_range is not None:
        raise UsageError(
            f"detectability_range: the normal images have {measured.pixels if measured else 0} pixels, too few to "
            f"know what is normal ({FEWEST} are needed): give more or larger ones, or leave the key out"
        )
    return None


@dataclass
class Renderer:
    """Draws the rows of a plan; the same row whoever asks, in whatever order."""

    plan: Plan
    cache_bytes: int = DEFAULT_CACHE_BYTES
    rejects: Counter[str] = field(default_factory=Counter)
    """Rejected draws by reason, of everything this renderer has drawn."""
    given: Pool | None = None
    """The plan's images, where somebody has decoded them already."""
    patience: Patience = PATIENT
    """Of who waits for the rows."""

    def __post_init__(self) -> None:
        self.pool = self.given or Pool(self.plan.source, self.plan.foreground, self.cache_bytes)
        recipe = self.plan.recipe
        self._parts = parts_of(self.pool, recipe.test_share, recipe.train_count, recipe.seed)

    def _part(self, index: int) -> Part:
        return self._parts[-1] if index >= self._parts[-1].start else self._parts[0]

    def rows(self, indices: range) -> Iterator[Row]:
        """Yield the rows of a range, drawn in the recipe's blocks, of large images in parts of them."""
        step = self.plan.recipe.block_size
        if indices and not self.plan.generator.uses_network:
            step = min(step, max(HELD_BYTES // (4 * self.pool[self.position(indices.start, 0)].nbytes), 1))
        for start in range(indices.start, indices.stop, step):
            yield from self.block(range(start, min(start + step, indices.stop)))

    def row(self, index: int) -> Row:
        """Return one row; the others of its block have no influence on it."""
        return self.block(range(index, index + 1))[0]

    def block(self, indices: Sequence[int]) -> list[Row]:
        """Return the rows of one block."""
        wanted = (index for index in indices if is_anomalous(index, self.plan.recipe.anomaly_ratio))
        rows: dict[int, Row] = {}
        for _, own in groupby(wanted, lambda index: self._part(index).start):
            rows.update(self._draw(list(own)))
        return [rows.get(index) or self._normal(index) for index in indices]

    def _normal(self, index: int) -> Row:
        pool, position = self._place(index, 0)
        soft = self.plan.generator.has_soft_mask
        source_id, image = pool.source.id(position), pool.stored(position)
        seed, value_range = self.plan.recipe.seed, pool.value_range
        return Row.of_normal(index, seed, source_id, image, soft=soft, value_range=value_range)

    def _draw(self, wanted: list[int]) -> dict[int, Row]:
        """Draw the anomalous rows as one batch; draw again, with the next attempt's rng, what was rejected."""
        rows: dict[int, Row] = {}
        pool = self._part(wanted[0]).pool if wanted else self.pool
        rejected, began = {index: Rejected() for index in wanted}, time.thread_time()
        for attempt in range(self._images_a_row * ATTEMPTS_PER_IMAGE):
            if not wanted or self.patience.ends(attempt, began):
                break
            positions = [self._place(index, attempt)[1] for index in wanted]
            images = [pool[position] for position in positions]
            rngs = [rng_for(self.plan.recipe.seed, Stream.SAMPLE, index, attempt) for index in wanted]
            results = drawn(self.plan.generator, rngs, images, pool, wanted)
            left = []
            for index, position, image, result in zip(wanted, positions, images, results, strict=True):
                result = cut_to(pool.region(position), result, image, pool.off_limits)
                result = visible(result, image, self.plan.recipe.min_change)
                result = on_stored(result, pool.stored(position), pool.value_range)
                result = self.plan.judged(result, pool.value_range)
                if isinstance(result, Reject):
                    rejected[index].add(result)
                    self.rejects[result.reason] += 1
                    left.append(index)
                else:
                    rows[index] = self._row(index, attempt, pool, position, result)
            wanted = left
        if wanted:
            raise self._failure(wanted[0], rejected[wanted[0]])
        return rows

    def _row(self, index: int, attempt: int, pool: Pool, position: int, sample: Sample) -> Row:
        source_id, seed, generator = pool.source.id(position), self.plan.recipe.seed, self.plan.generator
        if not sample.defect_type:
            sample = replace(sample, defect_type=generator.kind)
        if sample.defect_type not in generator.defect_types:
            raise AnomgenError(
                f"the generator {generator.kind!r} returned a sample of type {sample.defect_type!r}, which is none of "
                f"its defect types {generator.defect_types}"
            )
        return Row.of_sample(
            sample,
            index=index,
            seed=seed,
            attempt=attempt,
            source_id=source_id,
            normal=pool.stored(position),
            value_range=pool.value_range,
        )

    @property
    def _images_a_row(self) -> int:
        """Return how many images may stand in for one another in a row; a network takes too long for many."""
        most = MIN_IMAGES if self.plan.generator.uses_network else MAX_IMAGES
        return min(max(len(self.plan.source), MIN_IMAGES), most)

    def position(self, index: int, attempt: int) -> int:
        """Return which source image a sample uses: a new permutation of its part's images in every epoch."""
        return self._part(index).positions[self._place(index, attempt)[1]]

    def _place(self, index: int, attempt: int) -> tuple[Pool, int]:
        """Return the pool of a row, and which of its images a draw uses."""
        part = self._part(index)
        return part.pool, part.place(self.plan.recipe.seed, index, attempt // ATTEMPTS_PER_IMAGE)

    def _failure(self, index: int, rejected: Rejected) -> NoAnomaly:
        images = math.ceil(rejected.reasons.total() / ATTEMPTS_PER_IMAGE)
        tried = [self.position(index, place * ATTEMPTS_PER_IMAGE) for place in range(images)]
        generator, source = self.plan.generator, self.plan.source
        advice = generator.advice + range_hint(self.pool.value_range, self.pool[tried[0]].dtype)
        return rejected.error(index, generator.kind, advice, [source.id(position) for position in tried])


KEPT_RENDERERS = 4
_renderers: LRUCache[int, Renderer] = LRUCache(KEPT_RENDERERS)


def renderer_of(recipe: Recipe) -> Renderer:
    """Return a renderer of `recipe`; the last few are kept, so that asking again costs nothing.

    They are kept by the object: an equal recipe looks at its source anew.
    """
    if id(recipe) not in _renderers:  # its plan holds the recipe, so the id stays taken
        _renderers[id(recipe)] = Renderer(Plan.of(recipe), DEFAULT_CACHE_BYTES // KEPT_RENDERERS)
    return _renderers[id(recipe)]
