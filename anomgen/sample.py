"""What a generator returns, under the name that plug-ins import; it lives in `anomgen.synthesis.sample`."""

from anomgen.sources.pixels import quantise, value_max
from anomgen.synthesis.sample import TOLERANCE, Box, Composite, Reject, Sample, change_between, composite, smallest_mask

__all__ = [
    "TOLERANCE",
    "Box",
    "Composite",
    "Reject",
    "Sample",
    "change_between",
    "composite",
    "quantise",
    "smallest_mask",
    "value_max",
]
