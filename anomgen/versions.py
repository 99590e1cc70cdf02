"""Which versions of which libraries decide a result, and what the machine has that makes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

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


_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""What a container of Linux may use, in bytes."""


def memory() -> int | None:
    """Return how many bytes of memory this process may use, of a container or of the machine; None: not known."""
    try:
        known = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError, OSError):  # not on this system
        return None
    with suppress(OSError, ValueError):  # there is none, or it is "max"
        known.append(int(_LIMIT.read_text()))
    return min(known)


def versions_text(found: Mapping[str, str]) -> str:
    """Return versions for a message."""
    return ", ".join(f"{name} {number}" for name, number in found.items())
