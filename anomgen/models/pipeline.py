"""`SDASPipeline` under the name that saved models give; it lives in `anomgen.models.sdas.pipeline`."""

from anomgen.models.sdas.pipeline import SDASPipeline

__all__ = ["SDASPipeline"]
