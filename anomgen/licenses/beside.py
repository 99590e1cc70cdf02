"""Which licence files beside pictures name: claimed on what they say of the pictures alone, with the words quoted."""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path
from typing import NamedTuple

from anomgen.licenses.terms import OTHER, known
from anomgen.licenses.texts import APPENDIX, TEXTS, changes_nothing
from anomgen.licenses.words import RESERVED, named_in, sentences, statement_of, taken_back

MAX_CHARACTERS = 100_000
"""How much of a licence file is read."""

_NO_TEXTS = (".pdf", ".html", ".htm", ".rtf", ".doc", ".docx", ".odt")
_LICENSE_FILE = re.compile(
    r"(?:licen[cs]e|copying)(?:[ ._-](?:data(?:[ _-]?set)?|images?|pictures?|photos?|cc[ ._-]?(?:by|0).*))?"
    r"(?:\.(?:txt|md|rst|pdf|html?|rtf|docx?|odt))?"
)
"""Names of files that say under which terms what lies beside them is given, in small letters."""
_WORDS = 160
"""Characters of a licence file that are repeated."""
_FOR_SOFTWARE = ("mit", "bsd-3-clause", "apache-2.0")
_CODE = re.compile(
    r"\.(?:py|ipynb|m|c|cc|cpp|h|hpp|cu|java|js|ts|go|rs|sh|r|jl|toml|cfg)$"
    r"|^(?:src|package\.json|makefile|dockerfile|cmakelists\.txt|requirements\.txt)$",
    re.IGNORECASE,
)
"""Names of what a licence for software beside it may be about."""
_FRONT_MATTER = re.compile(r"\s*---\s*\n(.*?)\n---\s*(?:\n|$)", re.DOTALL)
_CARD_LICENSE = re.compile(
    r"""^license:[ \t]*(?:\n[ \t]*-[ \t]+)?["']?([\w.+-]+)["']?[ \t]*(?:\#.*)?(?:\n(?![ \t]*-)|\Z)""", re.MULTILINE
)
"""One name, on the line of the key or as the one entry of a list."""


class Evidence(NamedTuple):
    """Which licence something is under, and which words of which file say so. license: None where nothing does."""

    license: str | None = None
    file: str = ""
    words: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """A note on what was read; none where there was nothing to read."""
        if not self.file:
            return ()
        if self.license:
            return (f"licence {self.license}, as {self.file} says: {self.words!r}",)
        return (f"licence unknown: {self.file} {self.words}",)


def license_in(text: str) -> str | None:
    """Return the Creative Commons licence that a text gives images under; None for none, several or a doubtful one."""
    return _claim(text).license


def _claim(text: str, file: str = "") -> Evidence:
    """Return what a text says. Where it says no, speaks of other things, or reserves rights, it says nothing."""
    whole = {one: place for one in TEXTS if (place := one.found(text))}
    if len(whole) > 1:
        return Evidence(None, file, f"holds several ({', '.join(sorted(one.license for one in whole))})")
    for one, (begin, end) in whole.items():
        beside = text[:begin], APPENDIX.sub("", text[end:])
        if all(changes_nothing(part, one.license) for part in beside):
            return Evidence(one.license, file, _shortened(" ".join(text[begin:end].split())))
        if one.license.startswith("cc"):
            return Evidence(None, file, f"says more than the text of {one.license}")
    if reserved := RESERVED.search(" ".join(text.split())):
        return Evidence(None, file, f"says {reserved[0]!r}")
    said = sentences(text)
    claims = {sentence: found for sentence, _ in said if (found := named_in(sentence))}
    names = set().union(*claims.values())
    if not names:
        return Evidence(None, file, "names no licence that is known here")
    if len(names) > 1:
        return Evidence(None, file, f"names several ({', '.join(sorted(names))})")
    doubtful = next((one for one, before in said if one in claims and not statement_of(one, before)), None)
    if doubtful is not None:
        return Evidence(None, file, f"does not say it of the images: {_shortened(doubtful)!r}")
    (name,) = names
    if limit := taken_back(text, name):
        return Evidence(None, file, f"names {name}, but says {_shortened(limit)!r}")
    return Evidence(name, file, _shortened(next(iter(claims))))


def _shortened(text: str) -> str:
    return text if len(text) <= _WORDS else text[: _WORDS - 1].rstrip() + "…"


def license_beside(*folders: Path) -> Evidence:
    """Return which licence of the images in the first folder a file there, or in one of the others, names.

    The nearest folder with a licence file (LICENSE, LICENCE.txt, LICENSE-DATASET, …) decides, whether it can be
    understood or not, as does a readme.txt that names a licence of Creative Commons or reserves rights, and, in the
    first folder, the metadata of a README.md, which may name any.
    """
    for folder in folders:
        try:
            there = list(folder.iterdir())
            files = sorted(file for file in there if _tells(file.name.lower()) and file.is_file())
        except OSError:
            continue
        decisive = [file for file in files if _LICENSE_FILE.fullmatch(file.name.lower())]
        found = [_claim(_text_of(file), _seen_from(folders[0], file)) for file in decisive]
        if found:
            code = next((file.name for file in there if _CODE.search(file.name)), None)
            return _agreed(found if code is None else [_of_images(evidence, code) for evidence in found])
        for file in files:
            said = _said_in_passing(file, folders[0])
            if said is not None:
                return said
    return Evidence()


def _of_images(evidence: Evidence, code: str) -> Evidence:
    """Return what a licence file says of images beside code, which a licence for software may be about instead."""
    if evidence.license not in _FOR_SOFTWARE:
        return evidence
    return Evidence(None, evidence.file, f"is the text of {evidence.license}, and stands beside code ({code})")


def _tells(name: str) -> bool:
    return name in ("readme.md", "readme.txt") or _LICENSE_FILE.fullmatch(name) is not None


def _agreed(found: list[Evidence]) -> Evidence:
    """Return what several licence files say, if it is the same."""
    licenses = {evidence.license for evidence in found}
    if len(licenses) == 1:
        return found[0]
    return Evidence(None, " and ".join(evidence.file for evidence in found), "do not say the same")


def _said_in_passing(file: Path, first: Path) -> Evidence | None:
    """Return what a readme says of a licence, None where it says nothing of any."""
    name, place = file.name.lower(), _seen_from(first, file)
    if name == "readme.md" and file.parent == first:
        text = _text_of(file)
        found = known(license_of_card(text))
        if found == OTHER:
            return Evidence(None, place, f"says license: {OTHER}, which is one of its own: read it")
        if found and (limit := taken_back(_FRONT_MATTER.sub("", text, count=1), found)):
            return Evidence(None, place, f"names {found}, but says {_shortened(limit)!r}")
        return Evidence(found, place, f"license: {found}") if found else None
    if name == "readme.txt":
        text = _text_of(file)
        flat = " ".join(text.split())
        return _claim(text, place) if named_in(flat) or RESERVED.search(flat) else None
    return None


def _text_of(file: Path) -> str:
    """Return the beginning of a text file; nothing of one that cannot be read or is no text."""
    if file.suffix.lower() in _NO_TEXTS:
        return ""
    try:
        with file.open("rb") as opened:
            data = opened.read(2 * MAX_CHARACTERS)
    except OSError:
        return ""
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8", errors="replace")[:MAX_CHARACTERS]


def _seen_from(folder: Path, file: Path) -> str:
    return Path(os.path.relpath(file, folder)).as_posix()


def license_of_card(text: str) -> str | None:
    """Return what the key `license` in a card's metadata says, None where it is not there or names several."""
    front = _FRONT_MATTER.match(text)
    found = _CARD_LICENSE.findall(front[1]) if front else []
    return found[0].lower() if len(found) == 1 else None
