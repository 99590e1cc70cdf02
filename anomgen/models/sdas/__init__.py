"""RealNet's SDAS: the diffusion model, its latent space, its sampling at a strength, and its training."""

WRITTEN = (
    "unet/config.json",
    "unet/diffusion_pytorch_model*.safetensors*",
    "scheduler/scheduler_config.json",
    "transform/diffusion_pytorch_model.safetensors",
    "model_index.json",
    "pipeline.py",
)
"""Files of a finished model, beside what every training writes; see `anomgen.models.folder`."""
