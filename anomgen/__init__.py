"""Synthetic visual anomalies with exact masks, from normal images to reproducible Hugging Face datasets.

The functions are those of the command line, with its options: `make`, `preview`, `check`, `replay`, `export`, `push`,
`bank`, `tune`, `train`, `score`, `fit`, `inspect`, `ls`, `show`, `validate`, `doctor`, `studio`. `__init__.pyi` says
where each public name lives; a module is imported when a name of it is first used, so that `import anomgen` is instant.
"""

import importlib
from typing import Any

import lazy_loader

_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("anomgen")
    if name in ("score", "studio"):  # the package of that name is the function, too
        return importlib.import_module(f"anomgen.{name}")
    return _attribute(name)
