"""Rows of one recipe after another on the same images: what recipes share is opened, segmented and decoded once."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping

from cachetools import LRUCache

from anomgen.dataset.row import Row
from anomgen.errors import SourceError, UsageError
from anomgen.files import fingerprint_of
from anomgen.generators.base import Generator
from anomgen.making.engine import Plan, Recipe, Renderer
from anomgen.making.rejected import PATIENT, Patience
from anomgen.making.threads import single_threaded
from anomgen.sources.base import Source, SourceConfig
from anomgen.sources.foreground import Foreground
from anomgen.sources.objects import LOOKED_AT, Opened, opened
from anomgen.sources.plugged import open_source
from anomgen.sources.pool import DEFAULT_CACHE_BYTES, Pool

KEPT_POOLS = 3
"""Pairs of a source and a foreground that stay decoded."""
KEPT_RECIPES = 32


class Sampler:
    """Draws rows of recipes: row k is row k of what `make` makes of the recipe, bit for bit.

    Not for several threads at once. cache_bytes: of decoded images, of each of the `KEPT_POOLS`. looked_at: see
    `anomgen.sources.objects.opened`. open_source: opens one in another way than by its `open`.
    patience: after which a row is given up.
    """

    def __init__(
        self,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        looked_at: int = LOOKED_AT,
        open_source: Callable[[SourceConfig], Source] = open_source,
        patience: Patience = PATIENT,
    ) -> None:
        self._limits = cache_bytes, looked_at
        self._open, self._patience = open_source, patience
        self._sources: MutableMapping[str, Source] = LRUCache(KEPT_POOLS)
        self._found: MutableMapping[str, Opened] = LRUCache(KEPT_POOLS)
        self._renderers: MutableMapping[str, Renderer] = LRUCache(KEPT_RECIPES)

    def row(self, recipe: Recipe, index: int, *, draft: bool = False) -> Row:
        """Return row `index` of a recipe; of a draft the soft mask may be missing. Raises what `Recipe.sample` raises.

        A draft is there at once where soft masks alone depend on what takes long to measure.
        """
        if index < 0:
            raise UsageError(f"rows are numbered from 0, not {index}")
        try:
            with single_threaded():
                return self.renderer(recipe, draft=draft).row(index)
        except SourceError:
            self.forget()  # a file has changed or gone; when asked again, look anew
            raise

    def renderer(self, recipe: Recipe, *, draft: bool = False) -> Renderer:
        """Return what draws the rows of a recipe, prepared, or in a draft."""
        key = fingerprint_of(recipe.config())
        has_draft = type(recipe.generator).drafted is not Generator.drafted
        if draft and has_draft and key not in self._renderers:
            key += " draft"
        if key not in self._renderers:
            found = self._opened(recipe)
            self._renderers[key] = Renderer(
                Plan.of(recipe, found, draft=draft), given=found.pool, patience=self._patience
            )
        return self._renderers[key]

    def pool(self, recipe: Recipe) -> Pool:
        """Return the normal images of a recipe with their foreground."""
        return self._opened(recipe).pool

    def foreground(self, recipe: Recipe) -> Foreground:
        """Return how the objects of a recipe's images are found: never `auto`, but what it chose."""
        return self._opened(recipe).foreground

    def forget(self) -> None:
        """Look at sources anew when next asked."""
        for kept in (self._sources, self._found, self._renderers):
            kept.clear()

    def _opened(self, recipe: Recipe) -> Opened:
        config = fingerprint_of(recipe.source.config())
        key = fingerprint_of([config, recipe.foreground.config()])
        if key not in self._found:
            if config not in self._sources:
                self._sources[config] = self._open(recipe.source)
            with single_threaded():
                self._found[key] = opened(recipe.source, recipe.foreground, self._sources[config], *self._limits)
        return self._found[key]
