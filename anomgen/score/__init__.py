"""Which generator is useful: reference detectors trained on synthetic anomalies and tested on real ones.

The package is called like the function, `anomgen.score(data, recipes, …)`, and is it, too: importing a module of a
package sets the package's attribute to the module, whatever it was before, so this one can be called, with the
signature and the docstring of `anomgen.score.run.score`.
"""

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


class _Score(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        return _score()(*args, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(_score())

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # a plain attribute would be there before the function is loaded
        function = _score()
        return f"anomgen.score{inspect.signature(function)}\n\n{inspect.getdoc(function)}"


def _score() -> Callable[..., Any]:
    from anomgen.score.run import score

    return score


sys.modules[__name__].__class__ = _Score
