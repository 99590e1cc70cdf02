"""How texts call licences: by name, by identifier or by address, with or without a version."""

from __future__ import annotations

import html
import re
from functools import lru_cache

_TERM = r"(?:NC|SA|ND|Non[ -]?Commercial|Share[ -]?Alike|No[ -]?Deriv(?:ative)?s)\b"
_CC = re.compile(
    rf"\b(?:CC[ -]?BY|creative commons (?:attribution|BY)|(attribution))((?:[ -]{{1,3}}{_TERM})*)"
    r"(?:[ -](?:v\.? ?|version )?(\d\.\d))?\b",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"(?:https?://)?(?:www\.)?creativecommons\.org/(?:licenses/(by(?:-nc)?(?:-sa|-nd)?)|publicdomain/(zero))/(\d\.\d(?:/igo)?)\S*",
    re.IGNORECASE,
)
_OTHERS = {
    license: re.compile(pattern, re.IGNORECASE)
    for license, pattern in {
        "mit": r"\bMIT(?= licen[cs]e)|(?:(?<=: )|(?<=\bis )|(?<=\bare )|(?<=\bunder ))MIT\b|^MIT$"
        r"|(?:https?://)?(?:www\.)?opensource\.org/licenses?/MIT\S*",
        "apache-2.0": r"\bapache(?: software)?(?: licen[cs]e)?[ -](?:v\.? ?|version )?2(?:\.0)?\b"
        r"|(?:https?://)?(?:www\.)?apache\.org/licenses/LICENSE-2\.0\S*",
        "bsd-2-clause": r"\bBSD[ -]2[ -]clause\b|\b2[ -]clause BSD\b|\bsimplified BSD\b",
        "bsd-3-clause": r"\bBSD[ -]3[ -]clause\b|\b3[ -]clause BSD\b|\b(?:new|modified) BSD\b",
        "bsd": r"\bBSD(?= licen[cs]e)",
        "cc0-1.0": r"\bCC0(?:[ -](?:v\.? ?)?1\.0)?(?::? (?:1\.0|universal|public domain|dedication))*\b"
        r"|\bcreative commons zero(?: v?1\.0)?(?: universal)?\b",
        "odbl": r"\bODbL\b|\bopen database licen[cs]e\b",
        "gpl": r"\b[AL]?GPL(?:[ -]?v?\d(?:\.\d)?)?\b|\bgeneral public licen[cs]e\b",
    }.items()
}
"""Patterns of other names; an identifier without a version stands for any."""

_MARKS = re.compile(r"\[(?! \])|(?<!\[ )\]|[()<>*`|\"“”„]|,(?=\s|$)|(?<!\w)_|_(?!\w)|^\s*(?:#+|[-+]|\d+\.)(?=\s)")
_PICTURE = re.compile(r"!\[([^]]{0,200})\](?:\([^)]{0,400}\)|\[[^]]{0,100}\])?")
_REFERENCE = re.compile(r"(?<=\])\[[^]]{0,100}\]|^\s*\[[^]]{1,100}\]: |https?://img\.shields\.io/\S*")
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—−"), "-")


def plain(sentence: str) -> str:
    """Return a sentence without the marks of Markdown, quotes, brackets and commas, in one line."""
    text = _REFERENCE.sub("", _PICTURE.sub(r" \1 ", html.unescape(sentence).translate(_DASHES)))
    return " ".join(_MARKS.sub(" ", text).split()).rstrip(" .;!")


@lru_cache(maxsize=256)
def with_names(sentence: str) -> tuple[str, frozenset[str]]:
    """Return a sentence, made plain, with § for each licence, and the identifiers of these."""
    found: set[str] = set()

    def address(match: re.Match[str]) -> str:
        kind = "cc0" if match[2] else f"cc-{match[1].lower()}"
        found.add(f"{kind}-{match[3].lower().replace('/', '-')}")
        return " § "

    def name(match: re.Match[str]) -> str:
        if match[1] and not match[3]:
            return match[0]  # attribution alone is an everyday word
        found.add(f"cc-by{_short(match[2])}" + (f"-{match[3]}" if match[3] else ""))
        return " § "

    text = _CC.sub(name, _ADDRESS.sub(address, plain(sentence)))
    for license, pattern in _OTHERS.items():
        text, count = pattern.subn(" § ", text)
        found |= {license} if count else set()
    return " ".join(text.split()).rstrip(" .;!"), frozenset(found)


def _short(terms: str) -> str:
    letters = re.sub(r"[ -]", "", terms.lower())
    words = (("nc", "noncom"), ("sa", "share"), ("nd", "noderiv"))
    return "".join(f"-{short}" for short, long in words if short in letters or long in letters)


def agrees(name: str, license: str) -> bool:
    """Return whether a name, which may lack the version, can stand for a licence."""
    return name == license or re.fullmatch(rf"{re.escape(name)}-\d[\d.]*(?:-clause)?", license) is not None


def distinct(names: set[str]) -> set[str]:
    """Return names without those that another one says more exactly."""
    return {name for name in names if not any(name != other and agrees(name, other) for other in names)}
