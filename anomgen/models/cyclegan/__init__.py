"""The Cycle-GAN: the two networks, the abnormal images they learn from, and their training."""

WRITTEN = (
    "generators/normal_to_abnormal.safetensors",
    "generators/abnormal_to_normal.safetensors",
    "anomgen_model.json",
)
"""Files of a finished model, beside what every training writes; see `anomgen.models.folder`."""
