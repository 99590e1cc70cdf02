"""Which generator is useful: reference detectors trained on synthetic anomalies and tested on real ones."""

from anomgen.registry import call_package

call_package(__name__, "anomgen.score.run")
