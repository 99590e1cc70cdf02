"""The Cycle-GAN: the two networks, the abnormal images they learn from, and their training."""
