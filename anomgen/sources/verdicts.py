"""What the names of folders, or labels, say of images: whether they are normal ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from pathlib import PurePosixPath

NORMAL_NAMES = frozenset({"good", "ok", "normal", "healthy", "intact", "undamaged"})
_WORDS = re.compile(r"\w+")
_NORMAL_WORDS = NORMAL_NAMES.union(
    _WORDS.findall(
        """accepted acceptable bon bonne buena bueno buono conform conforme conforming gut io pass passed
        合格 正常 良品"""
    )
)
_ANOMALOUS_WORDS = frozenset(
    _WORDS.findall(
        """abnormal anomalies anomalous anomaly bad damaged def defect defective defects diseased fail failed fault
        faulty flawed infected ko ng nok nonconforming reject rejected rejects scrap ungood unhealthy
        ausschuss defekt fehlerhaft nio schlecht defaut défaut défauts mauvais defecto defectuoso malo difetto difettoso
        scarto 不合格 不良 不良品 异常 異常 欠陥 缺陷"""
    )
)
_DENIALS = frozenset({"free", "no", "non", "not", "without", "ohne", "kein", "keine", "sans", "sin", "senza"})
_OPPOSITES = (("negative", "positive"),)
"""Words of which fields differ in which one is the normal one."""
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _words(name: str) -> set[str]:
    """Return the words of a name, in small letters, and what its letters spell (``n.i.O.``)."""
    words = re.split(r"[\W\d_]+", _CAMEL.sub("_", name).lower())
    return {*words, "".join(words)}


def says_normal(name: str) -> bool | None:
    """Return whether a word of a name says that it is of normal images, or of anomalous ones; None for neither.

    ``0_normal``, ``ok_front``, ``NODefect`` and ``no defects`` do, ``1_defect``, ``def_front`` and ``NotOK`` do not.
    """
    words = _words(name)
    is_anomalous = bool(words & _ANOMALOUS_WORDS)
    return is_anomalous == bool(words & _DENIALS) if is_anomalous or words & _NORMAL_WORDS else None


def opposed(folders: Iterable[str]) -> tuple[str, str] | None:
    """Return two of some folders' names, the normal one first, that say that not all of them are of normal images.

    None where none do. Of ``Negative`` and ``Positive`` either may be first.
    """
    names = list(folders)
    normal = normal_names(names)
    others = [name for name in names if name not in normal and not says_normal(name)]
    if normal and others:
        return normal[0], min(others, key=lambda name: says_normal(name) is not False)
    for pair in _OPPOSITES:
        found = [next((name for name in names if _words(name) - {""} == {word}), None) for word in pair]
        if found[0] and found[1]:
            return found[0], found[1]
    return None


def opposed_images(stems: Iterable[str]) -> tuple[str, str] | None:
    """Return what `opposed` does for images: each is called normal or not, or one as another but for the verdict."""
    names = list(stems)
    said = {name: says_normal(name) for name in names}
    anomalous = [name for name in names if said[name] is False]
    twins = {tuple(_without_verdict(name)): name for name in anomalous}
    for name in names:
        if said[name] is None and (twin := twins.get(tuple(_without_verdict(name)))):
            return name, twin
    normal = [name for name in names if said[name]]
    return (normal[0], anomalous[0]) if normal and anomalous and None not in said.values() else None


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


def are_flags(labels: Set[str]) -> bool:
    """Return whether labels are 0 and 1, or false and true."""
    return labels <= {"0", "1"} or {label.lower() for label in labels} <= {"false", "true"}


def normal_labels(column: str, labels: Set[str]) -> frozenset[str] | None:
    """Return which labels of a column are normal ones, None where they do not tell.

    Of flags 1 is anomalous, unless the column's name says that it is normal, as ``is_good``. Where words call some
    labels anomalous and no label normal, none is.
    """
    if labels and are_flags(labels):
        normal = {"1", "true"} if says_normal(column) else {"0", "false"}
        return frozenset(label for label in labels if label.lower() in normal)
    found = frozenset(normal_names(sorted(labels)))
    return found if found or any(says_normal(label) is False for label in labels) else None


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
