"""RealNet's SDAS: the diffusion model, its latent space, its sampling at a strength, and its training."""

WRITTEN = ("unet", "scheduler", "transform", "model_index.json", "pipeline.py")
"""Folders and files of a finished model, beside what every training writes; see `anomgen.models.folder`."""
