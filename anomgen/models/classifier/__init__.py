"""The classifier of noised images that guides a diffusion model: network, training, and the gradient that it gives."""

WRITTEN = ("classifier.safetensors", "anomgen_model.json")
"""Files of a finished model, beside what every training writes; see `anomgen.models.folder`."""
