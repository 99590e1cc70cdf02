"""The dataset on disk: its rows and columns, PNG, Parquet, card and preview."""

from anomgen.dataset.reader import Dataset

__all__ = ["Dataset"]
