"""Checks that every plug-in must pass: for their authors, and for our own tests.

from anomgen.testing import check_generator
check_generator(MyGenerator(opacity_range=(0.2, 1.0)))
"""

from __future__ import annotations

from typing import Any

from anomgen.errors import require
from anomgen.exporters.conformance import check_exporter
from anomgen.generators.conformance import TestPool, check_generator, scenes
from anomgen.sources.conformance import check_source

__all__ = ["TestPool", "check_detector", "check_exporter", "check_generator", "check_source", "scenes"]  # noqa: F822 - see __getattr__


def __getattr__(name: str) -> Any:
    """Import what needs torch when somebody asks for it."""
    if name == "check_detector":
        require("score", "check_detector", "torch")
        from anomgen.score.detectors.conformance import check_detector

        return check_detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
