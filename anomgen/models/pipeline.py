"""`SDASPipeline` under the name that saved models give; it lives in `anomgen.models.sdas.pipeline`."""

from anomgen.errors import require

require("diffusion", __name__, "torch", "diffusers")

from anomgen.models.sdas.pipeline import SDASPipeline  # noqa: E402

__all__ = ["SDASPipeline"]
