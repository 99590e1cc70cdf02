"""Synthetic visual anomalies with exact masks, from normal images to reproducible Hugging Face datasets."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomgen.dataset import Dataset
    from anomgen.errors import AnomgenError, RecipeError, SourceError, UsageError
    from anomgen.exporters.export import export
    from anomgen.generators.base import Generator
    from anomgen.output import make
    from anomgen.recipe import Recipe, load_recipe
    from anomgen.registry import build_generator, build_source
    from anomgen.rng import Stream, rng_for
    from anomgen.sample import Reject, Sample, composite
    from anomgen.sources.base import Pool, Source

_HOME = {
    "AnomgenError": "errors",
    "Dataset": "dataset",
    "Generator": "generators.base",
    "Pool": "sources.base",
    "Recipe": "recipe",
    "RecipeError": "errors",
    "Reject": "sample",
    "Sample": "sample",
    "Source": "sources.base",
    "SourceError": "errors",
    "Stream": "rng",
    "UsageError": "errors",
    "build_generator": "registry",
    "build_source": "registry",
    "composite": "sample",
    "export": "exporters.export",
    "load_recipe": "recipe",
    "make": "output",
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
