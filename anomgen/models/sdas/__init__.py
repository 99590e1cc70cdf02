"""RealNet's SDAS: the diffusion model, its latent space, its sampling at a strength, and its training."""
