"""Which versions of which libraries decide a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

import cv2

VERSIONED = ("anomgen", "numpy", "scipy", "opencv-python", "pillow", "pyarrow")
"""Distributions whose version decides the bytes of a dataset."""


NETWORK = ("torch", "diffusers")
"""Those that decide them, too, when a generator runs a network."""


def versions(network: bool = False) -> dict[str, str]:
    """Return the versions of everything that decides the bytes of a dataset; network: whether one draws it."""
    found = installed((*VERSIONED, *(NETWORK if network else ())))
    if found["opencv-python"] == "unknown":  # another distribution of it, such as opencv-python-headless
        found["opencv-python"] = cv2.__version__
    return found


def installed(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of distributions, read from their metadata: nothing is imported."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # running from a checkout
            found[name] = "unknown"
    return found


def processor() -> str:
    """Return which kernels BLAS chose for this processor: floating-point results differ a little between them."""
    from threadpoolctl import threadpool_info

    return (
        ", ".join(sorted({str(library.get("architecture")) for library in threadpool_info()} - {"None"})) or "unknown"
    )


def versions_text(found: Mapping[str, str]) -> str:
    """Return versions for a message."""
    return ", ".join(f"{name} {number}" for name, number in found.items())
