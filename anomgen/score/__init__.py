"""Which generator is useful: reference detectors trained on synthetic anomalies and tested on real ones.

The package is called like the function, `anomgen.score(data, recipes, …)`, and is it, too: importing a module of a
package sets the package's attribute to the module, whatever it was before, so this one can be called.
"""

import sys
from types import ModuleType
from typing import Any


class _Score(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        """See `anomgen.score.run.score`."""
        from anomgen.score.run import score

        return score(*args, **options)


sys.modules[__name__].__class__ = _Score
