"""The Cycle-GAN: the two networks, the abnormal images they learn from, and their training."""

WRITTEN = ("generators", "anomgen_model.json")
"""Folders and files of a finished model, beside what every training writes; see `anomgen.models.folder`."""
