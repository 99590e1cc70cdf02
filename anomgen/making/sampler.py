"""Rows of one recipe after another on the same images: what recipes share is opened, segmented and decoded once."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass

from cachetools import LRUCache

from anomgen.dataset.row import Row
from anomgen.errors import SourceError, UsageError
from anomgen.files import fingerprint_of
from anomgen.making.engine import Plan, Recipe, Renderer, single_threaded
from anomgen.sources.base import Source
from anomgen.sources.foreground import Foreground
from anomgen.sources.pool import Pool

KEPT_POOLS = 3
"""Pairs of a source and a foreground that stay decoded."""
KEPT_RECIPES = 32
CACHE_BYTES = 160 << 20
"""Decoded images of one pair that stay in memory."""


@dataclass(frozen=True)
class _Base:
    """What a change of the generator alone leaves as it is."""

    source: Source
    foreground: Foreground
    pool: Pool


class Sampler:
    """Draws rows of recipes: row k is row k of what `make` makes of the recipe, bit for bit.

    Not for several threads at once.
    """

    def __init__(self) -> None:
        self._sources: MutableMapping[str, Source] = LRUCache(KEPT_POOLS)
        self._bases: MutableMapping[str, _Base] = LRUCache(KEPT_POOLS)
        self._renderers: MutableMapping[str, Renderer] = LRUCache(KEPT_RECIPES)

    def row(self, recipe: Recipe, index: int) -> Row:
        """Return row `index` of a recipe. Raises what `Recipe.sample` raises."""
        if index < 0:
            raise UsageError(f"rows are numbered from 0, not {index}")
        try:
            with single_threaded():
                return self.renderer(recipe).row(index)
        except SourceError:
            self.forget()  # a file has changed or gone; when asked again, look anew
            raise

    def renderer(self, recipe: Recipe) -> Renderer:
        """Return what draws the rows of a recipe, prepared."""
        key = fingerprint_of(recipe.config())
        if key not in self._renderers:
            base = self._base(recipe)
            with single_threaded():
                generator = recipe.generator.prepared(base.pool)
            plan = Plan(recipe, base.source, generator, base.foreground)
            self._renderers[key] = Renderer(plan, given=base.pool)
        return self._renderers[key]

    def pool(self, recipe: Recipe) -> Pool:
        """Return the normal images of a recipe with their foreground."""
        return self._base(recipe).pool

    def forget(self) -> None:
        """Look at sources anew when next asked."""
        for kept in (self._sources, self._bases, self._renderers):
            kept.clear()

    def _base(self, recipe: Recipe) -> _Base:
        opened = fingerprint_of(recipe.source.config())
        key = fingerprint_of([opened, recipe.foreground.config()])
        if key not in self._bases:
            if opened not in self._sources:
                self._sources[opened] = recipe.source.open()
            source = self._sources[opened]
            with single_threaded():
                foreground = recipe.foreground.resolved(Pool(source, None, CACHE_BYTES))
            self._bases[key] = _Base(source, foreground, Pool(source, foreground, CACHE_BYTES))
        return self._bases[key]
