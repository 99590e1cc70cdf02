"""Which versions of which libraries decide a result, and what the machine has that makes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

import cv2

OPENCV = "opencv-python"
"""The name of OpenCV in every record, whichever distribution of it is installed."""

VERSIONED = ("anomgen", "numpy", "scipy", OPENCV, "pillow", "pyarrow")
"""Distributions whose version decides the bytes of a dataset."""


NETWORK = ("torch", "diffusers")
"""Those that decide them, too, when a generator runs a network."""


def versions(network: bool = False) -> dict[str, str]:
    """Return the versions of everything that decides the bytes of a dataset; network: whether one draws it."""
    return installed((*VERSIONED, *(NETWORK if network else ())))


def installed(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of distributions, read from their metadata: nothing is imported."""
    return {name: _opencv() if name == OPENCV else _version(name) for name in names}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # running from a checkout
        return "unknown"


def _opencv() -> str:
    """Return the version of the cv2 that is used: several distributions bring one, and the last one installed wins."""
    found: str = getattr(getattr(cv2, "version", None), "opencv_version", cv2.__version__)
    return found


def processor() -> str:
    """Return which kernels BLAS chose for this processor: floating-point results differ a little between them."""
    from threadpoolctl import threadpool_info

    return (
        ", ".join(sorted({str(library.get("architecture")) for library in threadpool_info()} - {"None"})) or "unknown"
    )


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions_text(found: Mapping[str, str]) -> str:
    """Return versions for a message."""
    return ", ".join(f"{name} {number}" for name, number in found.items())
