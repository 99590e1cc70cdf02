"""The public names: what `import anomgen` gives, each imported from here when it is first used."""

from .banks.make import bank
from .dataset.reader import Dataset, load_dataset
from .errors import AnomgenError, AnomgenWarning, MissingExtra, RecipeError, SourceError, UsageError
from .exporting import export
from .generators.base import Generator, build_generator
from .hub.push import push
from .making.catalogue import ls, show, validate
from .making.check import check
from .making.doctor import doctor
from .making.engine import Recipe
from .making.make import make
from .making.preview import preview
from .making.recipe import load_recipe
from .making.replay import replay
from .models.start import train
from .rng import Stream, rng_for
from .score.inspector.findings import inspect
from .score.inspector.fit import fit
from .score.inspector.inspector import Inspector
from .score.run import score
from .sources.base import Source, build_source
from .sources.pool import Pool
from .studio.serve import studio
from .synthesis.sample import Reject, Sample, composite
from .tuning.tune import tune

__version__: str

__all__ = [
    "AnomgenError",
    "AnomgenWarning",
    "Dataset",
    "Generator",
    "Inspector",
    "MissingExtra",
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
    "bank",
    "build_generator",
    "build_source",
    "check",
    "composite",
    "doctor",
    "export",
    "fit",
    "inspect",
    "load_dataset",
    "load_recipe",
    "ls",
    "make",
    "preview",
    "push",
    "replay",
    "rng_for",
    "score",
    "show",
    "studio",
    "train",
    "tune",
    "validate",
]
