"""Datasets in the formats of other tools: one file a format, `base` the contract, `export` the running of it."""
