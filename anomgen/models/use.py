"""What using any trained model shares: where it is, and how many threads it may take."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anomgen.errors import AnomgenWarning
from anomgen.models.folder import recorded_data, recorded_licenses
from anomgen.sources.base import Images
from anomgen.sources.hub import hub_folder
from anomgen.sources.pixels import value_max

if TYPE_CHECKING:
    import torch


UNLIKE = 0.1
"""Share of a range of values by which the ends of another may be off."""

Values = tuple[tuple[int, int], str]
"""The darkest and the brightest value, and the dtype."""

_TERMS = ("README.md", "training.json")
"""Files that say under which licence a model is, and what it was trained on."""


def model_folder(name: str | Path, maker: str, files: Sequence[str]) -> Path:
    """Return the folder of a model: `name` itself, or a download of the Hub's model of that id.

    maker: the command that makes one, such as `train sdas`. files: patterns of what to download. Raises UsageError when
    there is none.
    """
    return hub_folder(name, [*files, *_TERMS], "model folder", f"{maker} …")


def stamps(folder: Path, files: Sequence[str]) -> tuple[int, ...]:
    """Return when each file of a model was changed, in nanoseconds; files: as for `model_folder`."""
    found = (file for pattern in files for file in sorted(folder.glob(pattern)))
    return tuple(file.stat().st_mtime_ns for file in found if file.is_file())


def drawing_device() -> str:
    """Return where models draw: on the accelerator that torch sees, otherwise on the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def model_licenses(folder: Path) -> tuple[str, ...]:
    """Return the licences, where known, of a model and of the images that it was trained on, each once."""
    from anomgen.cards import Card

    card = Card.read(folder)
    found = card.licenses if card is not None else []
    found += [license for license in recorded_licenses(folder) if license]
    return tuple(dict.fromkeys(found))


def why_unlicensed(folder: Path) -> str | None:
    """Return why the licence of a model is not known, None where it is.

    A card that names one is believed. One that names none is that of a model of images under several licences, which
    bind together, or the licence is not known, whatever the record says.
    """
    from anomgen.cards import Card

    card, recorded = Card.read(folder), set(recorded_licenses(folder))
    if card is not None and card.licenses:
        return None
    if not recorded or None in recorded:
        return "neither its card nor its record names that of all that it learnt from"
    return "its card names none" if card is not None and len(recorded) == 1 else None


def trained_on(folder: Path) -> frozenset[str]:
    """Return the hash of each image file that a model was trained on, as far as its training.json says them."""
    return frozenset(digest for part in recorded_data(folder) for digest in part["files"] or ())


def warn_of_other_values(folder: Path, model: str, images: Images) -> None:
    """Warn where a model learnt from values of another range than the images' own, as far as training.json says it.

    model: what the warning calls it. Both are stretched to the same scale, so a grey level means another one to it.
    """
    known = [(part["values"], part["dtype"]) for part in recorded_data(folder) if part["values"] and part["dtype"]]
    if not known or not len(images):
        return
    dtype = images[0].dtype
    own = getattr(images, "value_range", None) or (0, value_max(dtype)), dtype.name
    if not any(_is_alike(own, learnt) for learnt in known):
        warnings.warn(
            f"{model} was trained on {_said(known[0])}, and the images show {_said(own)}; it takes the one for the "
            "other. Give source.range, or train it on images such as these",
            AnomgenWarning,
            stacklevel=3,
        )


def _is_alike(a: Values, b: Values) -> bool:
    """Return whether two ranges are the same share of their depths, but for what measuring them on few images does."""
    (low, high), (other_low, other_high) = (
        tuple(end / value_max(np.dtype(dtype)) for end in ends) for ends, dtype in (a, b)
    )
    return max(abs(low - other_low), abs(high - other_high)) <= UNLIKE * max(high - low, other_high - other_low)


def _said(values: Values) -> str:
    (low, high), dtype = values
    return f"{low} … {high} of {value_max(np.dtype(dtype))}"


@contextmanager
def threads_for(device: torch.device) -> Iterator[None]:
    """Let torch use one thread on the CPU: the workers are the parallelism, and sums do not depend on the machine."""
    import torch

    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
