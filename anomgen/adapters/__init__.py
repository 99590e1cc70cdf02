"""Anomalies while a detector trains, in the framework that trains it: torch, torchvision, albumentations, anomalib.

Each module imports its framework, so import the one that you use. All of them take a recipe, by name or as an object,
and the options of `anomgen.load_recipe`.
"""
