"""What the names of folders, or labels, say of images: whether they are normal ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import lru_cache
from pathlib import PurePosixPath

NORMAL_NAMES = frozenset({"good", "ok", "normal", "healthy", "intact", "undamaged"})
_WORDS = re.compile(r"\w+")
_NORMAL_WORDS = NORMAL_NAMES.union(
    _WORDS.findall(
        """accept accepted acceptable bon bonne buena bueno buono conform conforme conforming gut io makellos oks pass
        passed годен 合格 正常 良品 양품 정상"""
    )
)
_ANOMALOUS_WORDS = frozenset(
    _WORDS.findall(
        """abnormal anomalies anomalous anomaly bad damaged def defect defective defects diseased fail failed fault
        faults faulty flaw flawed flaws infected ko ng ngs nok reject rejected rejects scrap tumor tumour
        ausschuss defekt fehler fehlerhaft nio schlecht defaut défaut défauts mauvais defecto defectuoso malo difetto
        difettoso scarto брак 不良 异常 異常 欠陥 瑕疵 缺陷 불량"""
    )
)
_DENIALS = frozenset(
    _WORDS.findall("free no non not without ohne kein keine frei sans sin senza не без 不 无 無 未 非 비")
)
_WITHOUT = frozenset({"no", "without", "ohne", "kein", "keine", "sans", "senza"})
"""Words before what normal images lack: ``no tumor``."""
_OPPOSITES = (("negative", "positive"), ("neg", "pos"), ("benign", "malignant"), ("no", "yes"), ("false", "true"))
"""Words of which folders are called in which one is the normal one."""
_REPLACED = (
    *(("good", "bad"), ("gut", "schlecht"), ("buen", "mal"), ("fresh", "rotten"), ("clean", "dirty")),
    ("whole", "broken"),
)
"""What names may differ in, first that of normal images: ``goodwelding`` and ``badwelding``."""
_HAD = (("without", "with"), ("ohne", "mit"))
"""What they may differ in before what images have or lack."""
_BEFORE = ("no", "non", "not", "un", "nicht", "не", "不", "无", "無", "未", "非", "비")
_BEFORE_LONG = ("im", "in", "ir", "mis")
_AFTER = ("free", "less", "frei", "los")
"""What makes a name that of the opposite; some only before many letters: ``side`` is not that of ``inside``."""
_LONG, _SHORT = 7, 4
_ENDINGS = ("", "s", "ed", "d", "y", "ful", "haft", "ive")
"""What the opposite of ``flawless`` may have behind ``flaw``."""
_DEFECT_BEGINNINGS = _WORDS.findall(
    """abnormal anomal blemish broke burn cancer contamin corro crack damag defect deform diseas fault fehler flaw hole
    imperfect incomplete infect kratz leak lesion misalign parasit polyp riss rust scratch tumo worn 瑕 缺陷 破 裂 划"""
)
_DEFECT_WORDS = {"dent", "dented", "dents", "stain", "stained", "stains"} | _ANOMALOUS_WORDS
_DEFECT = re.compile(rf"(?:{'|'.join(_DEFECT_BEGINNINGS)}).*|{'|'.join(_DEFECT_WORDS)}")
"""What is no feature of products, so that its opposite says that images are normal: not ``salted``, but ``cracked``."""
_CONDITIONS = frozenset(_WORDS.findall("contrast exposure illumination light lighting mode resolution speed view zoom"))
"""Words of how images were taken, of which ``normal`` says nothing else."""
_PLACES = frozenset(
    _WORDS.findall(
        """batch cam camera data day image images img imgs left line lot part pictures photos right roll run session set
        shift side station train week"""
    )
)
"""Words of folders that say nothing of what images show."""
_SURE_LENGTH = 6
"""Letters from which on a word that calls images anomalous is no abbreviation, as ``def`` and ``ng`` may be."""
NOTHING = frozenset({"none", "no", "nan", "null", "nil", "na", "keine", "ohnebefund", "-", "0"})
"""What a column of defects has where there is none, some by its letters alone (``n/a``)."""
_ENDS = frozenset({"abnormal", "anomalous", "anomaly", "defect", "defective"})
"""Words that flags are, too, at the end of a longer name: ``surface_defect``."""
_COUNTS = frozenset({"count", "n", "num", "number"})
"""Words of columns that count: ``num_defects``."""
_ABOUT = frozenset(_WORDS.findall("any class detected flag found has image is item label part present sample type"))
"""Words beside a verdict in the name of a column whose flags are that verdict: ``has_defect``, not ``bad_pixels``."""
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _either(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_KNOWN = _either(_NORMAL_WORDS | _ANOMALOUS_WORDS)
_GLUED = re.compile(rf"(?:{_either(_BEFORE)})({_KNOWN})|({_KNOWN})(?:{_either(_AFTER)})")
_NO_VERDICT = re.compile(
    r"(?<![^\W_])(?:fail[\W_]*safe|(?:low|high|band|by|all)[\W_]*pass|pass[\W_]*(?:port|word|age))(?![^\W_])"
)
"""What is no verdict though a word in it may be one: ``fail-safe``, ``band-pass``."""
_UNSPACED = re.compile(
    rf"({_either(word for word in _NORMAL_WORDS | _ANOMALOUS_WORDS | _DENIALS if min(word) > chr(0x2E7F))})"
)
"""Words of languages that put no blanks between them: ``无瑕疵样本``."""


def _parts(name: str) -> list[str]:
    """Return the words of a name, in small letters, in their order; those glued to a denial behind ``not``."""
    plain = _NO_VERDICT.sub("_", _CAMEL.sub("_", name).lower())
    found = re.split(r"[\W\d_]+", _UNSPACED.sub(r"_\1_", plain))
    apart = ((_GLUED.fullmatch(word), word) for word in found if word)
    return [part for glued, word in apart for part in (("not", glued[1] or glued[2]) if glued else (word,))]


def _letters(name: str) -> str:
    return re.sub(r"[\W\d_]+", "", name.lower())


@lru_cache(maxsize=1 << 14)
def words_of(name: str) -> frozenset[str]:
    """Return the words of a name, in small letters, and what its letters spell (``n.i.O.``)."""
    return frozenset({*_parts(name), *_parts(_letters(name)), _letters(name)})


def says_normal(name: str) -> bool | None:
    """Return whether a word of a name says that it is of normal images, or of anomalous ones; None for neither.

    ``0_normal``, ``ok_front``, ``NODefect`` and ``no defects`` do, ``1_defect``, ``def_front`` and ``NotOK`` do not.
    """
    words = words_of(name)
    is_anomalous = bool(words & _ANOMALOUS_WORDS)
    return is_anomalous == bool(words & _DENIALS) if is_anomalous or words & _NORMAL_WORDS else None


def is_verdict(name: str) -> bool:
    """Return whether a name is a verdict and nothing else, as ``OK`` and ``not good`` are and ``good view`` is not."""
    known = _NORMAL_WORDS | _ANOMALOUS_WORDS | _DENIALS
    return says_normal(name) is not None and (set(_parts(name)) <= known or _letters(name) in known)


def opposed(folders: Iterable[str]) -> tuple[str, str] | None:
    """Return two of some folders' names, the normal one first, that say that not all of them are of normal images.

    None where none do. Of names that are each other's opposite, where one is a word for a defect (``cracked``), either
    may be first.
    """
    names = list(folders)
    normal = _called_normal(names)
    others = [name for name in names if name not in normal and not says_normal(name)]
    if normal and others:
        return normal[0], min(others, key=lambda name: says_normal(name) is not False)
    told = ((one, other) for one, other, is_told in _opposites(names) if is_told)
    return next(told, None) or _one_sided(names)


def _opposites(names: Iterable[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield two names that are opposites, perhaps the normal one first, and whether they differ in a defect."""
    called = {_letters(name): name for name in names}
    for one, other in _OPPOSITES:
        if one in called and other in called:
            yield called[one], called[other], True
    for letters, name in called.items():
        for one, other in _REPLACED + _HAD:
            if one in letters and (changed := letters.replace(one, other, 1)) in called:
                yield name, called[changed], (one, other) in _REPLACED or _is_defect(letters.partition(one)[2])
        for word in _BEFORE + _BEFORE_LONG * (len(letters) >= _LONG):
            if (denied := word + letters) in called and (len(letters) >= _SHORT or not word.isascii()):
                yield called[denied], name, _is_defect(letters) or _is_defect(denied)
        for base in [letters.removesuffix(word) for word in _AFTER if letters.endswith(word)]:
            if found := next((base + end for end in _ENDINGS if base and base + end in called), None):
                yield name, called[found], _is_defect(letters)


def _one_sided(names: Sequence[str]) -> tuple[str, str] | None:
    """Return a name that calls images normal, or anomalous, and one that does not, the normal one first."""
    lacking = {name for name in names if _is_defect(_lacked(name) or "")}
    silent = [name for name in names if says_normal(name) is None and name not in lacking]
    anomalous = list(filter(says_anomalous, names))
    if silent and anomalous:
        return silent[0], anomalous[0]
    normal = [name for name in names if name in lacking or (says_normal(name) and _is_sure(name))]
    others = [name for name in silent if not set(_parts(name)) <= _PLACES and not words_of(name) & _CONDITIONS]
    return (normal[0], others[0]) if normal and others else None


def _lacked(name: str) -> str | None:
    """Return what a name says that its images lack, as ``No_DR`` and ``no tumor`` do; None for others."""
    first, *others = _parts(name) or [""]
    return others[0] if first in _WITHOUT and len(others) == 1 and len(others[0]) > 1 else None


def _is_defect(letters: str) -> bool:
    return bool(_DEFECT.fullmatch(letters))


def _is_sure(name: str, alone: bool = True) -> bool:
    """Return whether words in a name hardly mean anything but a verdict, or, if `alone` is enough, are all of it."""
    words = words_of(name)
    if words & _CONDITIONS:
        return False
    said = words & (_NORMAL_WORDS | _ANOMALOUS_WORDS)
    is_whole = set(_parts(name)) <= _NORMAL_WORDS | _DENIALS or _letters(name) in _NORMAL_WORDS
    is_long = any(word in NORMAL_NAMES or len(word) >= _SURE_LENGTH or not word.isascii() for word in said)
    return (alone and is_whole) or is_long or not words.isdisjoint(_DENIALS)


def untold(folders: Iterable[str]) -> tuple[str, str] | None:
    """Return two of some folders' names that may be normal and anomalous images though no word says so; None for none.

    They are 0 and 1, perhaps behind ``class``, or two capitals each (``UD``, ``CD``), where there are no others;
    opposites (``ripe``, ``unripe``); or what images lack and another (``No_DR``, ``Severe``).
    """
    names = sorted(folders)
    plain = {re.sub(r"(?:class|label)[ _-]?", "", name.lower()) for name in names}
    capitals = all(re.fullmatch("[A-Z]{2}", name) for name in names)
    if len(names) == 2 and (plain == {"0", "1"} or capitals):
        return names[0], names[1]
    lacking = [name for name in names if _lacked(name) and says_normal(name) is None]
    others = [name for name in names if name not in lacking and says_normal(name) is None]
    opposites = next(((one, other) for one, other, _ in _opposites(names)), None)
    return opposites or ((lacking[0], others[0]) if lacking and others else None)


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


def says_anomalous(folder: str) -> bool:
    """Return whether a folder's name says outright that its images are anomalous, as ``defects`` does."""
    return says_normal(folder) is False and _is_sure(folder)


def normal_names(names: Iterable[str]) -> list[str]:
    """Return those of some names, of folders side by side or of labels, that are of normal images, in their order.

    They are ``good``, ``ok`` and ``normal``; where none is called so, and a word of another calls that one anomalous,
    those that a word calls normal (``ok_front`` beside ``def_front``), or the one that is called as the other but for
    that word (``Class1`` beside ``Class1_def``); else those that say so outright (``no_defect`` beside ``blowhole``).
    """
    names = list(names)
    return _called_normal(names) or [name for name in names if says_normal(name) and _is_sure(name, alone=False)]


def _called_normal(names: Sequence[str]) -> list[str]:
    if plain := [name for name in names if name.lower() in NORMAL_NAMES]:
        return plain
    anomalous = [name for name in names if says_normal(name) is False]
    said = [name for name in names if anomalous and says_normal(name)]
    silent = {tuple(_without_verdict(name)) for name in anomalous}
    return said or [name for name in names if says_normal(name) is None and tuple(_without_verdict(name)) in silent]


def are_flags(labels: Set[str]) -> bool:
    """Return whether labels are 0 and 1, false and true, or no and yes."""
    plain = {label.lower() for label in labels}
    return any(plain <= flags for flags in ({"0", "1"}, {"false", "true"}, {"no", "yes"}))


def are_numbers(labels: Set[str]) -> bool:
    """Return whether labels are numbers."""
    try:
        return bool([float(label) for label in labels])
    except ValueError:
        return False


def normal_labels(column: str, labels: Set[str]) -> frozenset[str] | None:
    """Return which labels of a column are normal ones, None where they do not tell.

    Of flags 1 is anomalous, unless the column's name says that it is normal, as ``is_good``; those of one whose name
    says more than a verdict, as ``bad_pixels`` and ``focus_ok``, do not tell. In a column of defects all words but
    ``none`` and the like are, in one that counts them all numbers but 0. Where words call some labels anomalous and no
    label normal, none is. A status tells where words of both kinds stand in it, or all call images anomalous.
    """
    if labels and are_flags(labels):
        about, words = _NORMAL_WORDS | _ANOMALOUS_WORDS | _DENIALS | _ABOUT, _parts(column)
        is_one = set(words) <= about or not _ENDS.isdisjoint(words[-1:]) or not _COUNTS.isdisjoint(words)
        if says_normal(column) is not None and not is_one:
            return None
        normal = {"1", "true", "yes"} if says_normal(column) else {"0", "false", "no"}
        return frozenset(label for label in labels if label.lower() in normal)
    if labels and says_normal(column) is False and are_numbers(labels) and words_of(column) & _COUNTS:
        return frozenset({"0"} & labels)
    if labels and says_normal(column) is False and not are_numbers(labels):
        return frozenset(label for label in labels if {label.lower(), _letters(label)} & NOTHING or says_normal(label))
    said = set(map(says_normal, labels))
    if "status" in words_of(column) and said != {False} and not said >= {True, False}:
        return None
    found = frozenset(normal_names(sorted(labels)))
    return found if found or False in said else None


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
