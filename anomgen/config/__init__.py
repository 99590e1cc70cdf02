"""Settings: frozen, strictly validated models of them, and how they are read from text."""

from anomgen.config.base import (
    Config,
    License,
    Part,
    PathText,
    PositiveRange,
    Preset,
    Range,
    Share,
    ShareRange,
    first_fault,
    located_texts,
    portable_path,
    validated,
)

__all__ = [
    "Config",
    "License",
    "Part",
    "PathText",
    "PositiveRange",
    "Preset",
    "Range",
    "Share",
    "ShareRange",
    "first_fault",
    "located_texts",
    "portable_path",
    "validated",
]
