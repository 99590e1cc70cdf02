"""Synthetic visual anomalies with exact masks, from normal images to reproducible Hugging Face datasets."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomgen.dataset.reader import Dataset
    from anomgen.errors import AnomgenError, RecipeError, SourceError, UsageError
    from anomgen.exporters.export import export
    from anomgen.generators.base import Generator, build_generator
    from anomgen.making.engine import Recipe
    from anomgen.making.make import make
    from anomgen.making.recipe import load_recipe
    from anomgen.rng import Stream, rng_for
    from anomgen.sources.base import Source, build_source
    from anomgen.sources.pool import Pool
    from anomgen.synthesis.sample import Reject, Sample, composite

_HOME = {
    "AnomgenError": "errors",
    "Dataset": "dataset.reader",
    "Generator": "generators.base",
    "Pool": "sources.pool",
    "Recipe": "making.engine",
    "RecipeError": "errors",
    "Reject": "synthesis.sample",
    "Sample": "synthesis.sample",
    "Source": "sources.base",
    "SourceError": "errors",
    "Stream": "rng",
    "UsageError": "errors",
    "build_generator": "generators.base",
    "build_source": "sources.base",
    "composite": "synthesis.sample",
    "export": "exporters.export",
    "load_recipe": "making.recipe",
    "make": "making.make",
    "rng_for": "rng",
}
"""Public name → module; a module is imported when its name is first used, so that ``import anomgen`` is instant."""

__all__ = [
    "AnomgenError",
    "Dataset",
    "Generator",
    "Pool",
    "Recipe",
    "RecipeError",
    "Reject",
    "Sample",
    "Source",
    "SourceError",
    "Stream",
    "UsageError",
    "__version__",
    "build_generator",
    "build_source",
    "composite",
    "export",
    "load_recipe",
    "make",
    "rng_for",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("anomgen")
    if name not in _HOME:
        raise AttributeError(f"module 'anomgen' has no attribute {name!r}")
    return getattr(importlib.import_module(f"anomgen.{_HOME[name]}"), name)
