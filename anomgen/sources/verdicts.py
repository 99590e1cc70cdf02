"""What the names of folders, or labels, say of images: whether they are normal ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

NORMAL_NAMES = frozenset({"good", "ok", "normal"})
_ANOMALOUS_WORDS = frozenset(
    {"abnormal", "anomalies", "anomalous", "anomaly", "bad", "def", "defect", "defective", "defects", "faulty", "ko"}
    | {"damaged", "ng", "nok", "ungood"}
)
_DENIALS = frozenset({"free", "no", "non", "not", "without"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def says_normal(name: str) -> bool | None:
    """Return whether a word of a name says that it is of normal images, or of anomalous ones; None for neither.

    ``0_normal``, ``ok_front``, ``NODefect`` and ``no defects`` do, ``1_defect``, ``def_front`` and ``NotOK`` do not.
    """
    words = set(re.split(r"[\W\d_]+", _CAMEL.sub("_", name).lower()))
    is_anomalous = bool(words & _ANOMALOUS_WORDS)
    return is_anomalous == bool(words & _DENIALS) if is_anomalous or words & NORMAL_NAMES else None


def normal_names(names: Iterable[str]) -> list[str]:
    """Return those of some names, of folders side by side or of labels, that are of normal images, in their order.

    They are ``good``, ``ok`` and ``normal``; where none is called so, and a word of another calls that one anomalous,
    those that a word calls normal (``ok_front`` beside ``def_front``), or the one that is called as the other but for
    that word (``Class1`` beside ``Class1_def``).
    """
    names = list(names)
    if plain := [name for name in names if name.lower() in NORMAL_NAMES]:
        return plain
    anomalous = [name for name in names if says_normal(name) is False]
    said = [name for name in names if anomalous and says_normal(name)]
    silent = {tuple(_without_verdict(name)) for name in anomalous}
    return said or [name for name in names if says_normal(name) is None and tuple(_without_verdict(name)) in silent]


def normal_folders(pictures: Sequence[str]) -> frozenset[str]:
    """Return the names, in small letters, of the folders above pictures that hold normal images.

    pictures: paths. Each folder is seen beside those in the same one; where any is called good, ok or normal, no other
    words count. Several pairs as Class1 and Class1_def are several products, of which none is told.
    """
    found = {name.lower() for beside in folders_beside(pictures).values() for name in normal_names(sorted(beside))}
    silent = [name for name in found if says_normal(name) is None]
    return frozenset(found & NORMAL_NAMES or (found if len(silent) < 2 else ()))


def folders_beside(pictures: Iterable[str]) -> dict[str, set[str]]:
    """Return, for every folder above a picture, its subfolders that hold pictures."""
    children: dict[str, set[str]] = {}
    for name in pictures:
        parts = PurePosixPath(name).parts[:-1]
        for depth, part in enumerate(parts):
            children.setdefault("/".join(parts[:depth]), set()).add(part)
    return children


def _without_verdict(name: str) -> list[str]:
    """Return the words of a name, in small letters, but for those that call images anomalous."""
    return [part for part in re.split(r"[\W_]+", name.lower()) if part not in _ANOMALOUS_WORDS]
