"""Which licence may follow from which: what is made of pictures inherits the conditions under which they are given.

The identifiers are those of the Hub (https://huggingface.co/docs/hub/repositories-licenses). What is said here of
Creative Commons is what their deeds say of adapted material; nothing here is legal advice.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

UNKNOWN = frozenset({"", "unknown"})
"""What stands for a licence that nobody has named."""
PUBLIC_DOMAIN = frozenset({"cc0-1.0", "pddl", "unlicense", "wtfpl"})
ATTRIBUTION = frozenset(
    {
        *("afl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear"),
        *("bsl-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "ecl-2.0", "etalab-2.0", "isc", "mit", "ncsa"),
        *("odc-by", "postgresql", "zlib"),
    }
)
"""Licences that ask for no more than a notice; those of the form ``cc-by-4.0`` are recognised by their name."""

MAX_CHARACTERS = 100_000
"""How much of a licence file is read."""

_CC = re.compile(r"cc-(by(?:-nc)?(?:-sa|-nd)?)-(\d\.\d)")
_CC_URL = re.compile(r"creativecommons\.org/licenses/(by(?:-nc)?(?:-sa|-nd)?)/(\d\.\d)")
_CC_TERM = r"NC|SA|ND|Non[ -]?Commercial|Share[ -]?Alike|No[ -]?Deriv(?:ative)?s"
_CC_NAME = re.compile(rf"\b(?:CC[ -]BY|Attribution)((?:[ -](?:{_CC_TERM}))*)[ -](\d\.\d)", re.I)

_NO_TEXTS = (".pdf", ".html", ".htm", ".rtf", ".doc", ".docx", ".odt")
_LICENSE_FILE = re.compile(
    r"(?:licen[cs]e|copying)(?:[ ._-](?:data(?:[ _-]?set)?|images?|pictures?|photos?|cc[ ._-]?(?:by|0).*))?"
    r"(?:\.(?:txt|md|rst|pdf|html?|rtf|docx?|odt))?"
)
"""Names of files that say under which terms what lies beside them is given, in small letters."""
_RESERVED = re.compile(
    r"all rights (?:are )?reserved|alle rechte vorbehalten|tous droits r[ée]serv[ée]s|todos los derechos reservados"
    r"|\binternal use\b|\bconfidential\b|\bproprietary\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|cannot|without|except|excepting|exclud(?:e[ds]?|ing)|unless|other than"
    r"|nicht|kein\w*|pas|previously|formerly|used to be|no longer|instead)\b|n['’]t\b",
    re.IGNORECASE,
)
_OTHER_THINGS = re.compile(
    r"\b(?:icons?|logos?|fonts?|tools?|software|code|scripts?|programs?|library|templates?|web ?site"
    r"|documentation|manual|paper|article|texts?|annotations?|labels?|masks?|models?|weights|videos?|music|sounds?"
    r"|figures?|readme|backgrounds?|page)\b",
    re.IGNORECASE,
)
_IMAGES = re.compile(r"\b(?:images?|pictures?|photo(?:graph)?s?|data|data ?sets?|database)\b", re.IGNORECASE)
_WORDS = 160
"""Characters of a licence file that are repeated."""


def _phrase(words: str) -> str:
    """Return a pattern of words, whatever stands between them: texts are set in many ways."""
    return r"\b" + r"\W+".join(words.split()) + r"\b"


class _Text(NamedTuple):
    """How the whole text of a licence is known: its first and last words, others in between, and about how many."""

    license: str
    first: str
    last: str
    between: tuple[str, ...]
    words: tuple[int, int]

    def found(self, text: str) -> tuple[int, int] | None:
        """Return where the licence begins and ends in a text, None where it is not there whole."""
        begin = re.search(_phrase(self.first), text, re.IGNORECASE)
        end = begin and re.compile(_phrase(self.last), re.IGNORECASE).search(text, begin.end())
        if begin is None or end is None:
            return None
        inner = text[begin.start() : end.end()]
        low, high = self.words
        is_whole = all(re.search(_phrase(words), inner, re.IGNORECASE) for words in self.between)
        return (begin.start(), end.end()) if is_whole and low <= len(re.findall(r"\w+", inner)) <= high else None


_CC_TERMS = (("by", ""), ("by-sa", "ShareAlike"), ("by-nc", "NonCommercial"), ("by-nc-sa", "NonCommercial ShareAlike"))
_TEXTS = (
    _Text(
        "mit",
        "Permission is hereby granted free of charge to any person obtaining a copy",
        "use or other dealings in the software",
        ("publish distribute sublicense and or sell copies", "the software is provided as is without warranty"),
        (145, 170),
    ),
    _Text(
        "bsd-3-clause",
        "Redistribution and use in source and binary forms with or without modification are permitted",
        "even if advised of the possibility of such damage",
        ("Redistributions in binary form must reproduce", "endorse or promote products derived from this software"),
        (200, 235),
    ),
    _Text(
        "apache-2.0",
        "Apache License Version 2 0 January 2004",
        "end of terms and conditions",
        ("Grant of Patent License", "Submission of Contributions", "Accepting Warranty or Additional Liability"),
        (1350, 1480),
    ),
    _Text(
        "cc0-1.0",
        "CC0 1 0 Universal",
        "with respect to this CC0 or use of the Work",
        ("Public License Fallback", "Affirmer hereby overtly fully permanently irrevocably and unconditionally waives"),
        (900, 1120),
    ),
    *(
        _Text(
            f"cc-{terms}-4.0",
            f"Attribution {name} 4 0 International",
            "Creative Commons may be contacted at creativecommons org",
            (
                f"this Creative Commons Attribution {name} 4 0 International Public License",
                "Sui Generis Database Rights",
                "Disclaimer of Warranties and Limitation of Liability",
            ),
            (2000, 3100),
        )
        for terms, name in _CC_TERMS
    ),
)
"""Licences that are known by their text: some words of each, none whole."""
_FOR_SOFTWARE = ("mit", "bsd-3-clause", "apache-2.0")
_CODE = re.compile(
    r"\.(?:py|ipynb|m|c|cc|cpp|h|hpp|cu|java|js|ts|go|rs|sh|r|jl|toml|cfg)$"
    r"|^(?:src|package\.json|makefile|dockerfile|cmakelists\.txt|requirements\.txt)$",
    re.IGNORECASE,
)
"""Names of what a licence for software beside it may be about."""
_APPENDIX = re.compile(
    rf"\s*{_phrase('APPENDIX How to apply the Apache License to your work')}.*?"
    rf"{_phrase('governing permissions and limitations under the License')}\.?",
    re.IGNORECASE | re.DOTALL,
)
_NO_CONDITION = re.compile(
    r"[\W_]*(?:(?:the )?(?:mit|apache|(?:new |modified )?bsd)[\w .-]{0,20}licen[cs]e(?: \(\w+\))?|licen[cs]e"
    r"|creative commons(?: legal code| corporation)?|(?:copyright|\(c\)|©).{0,200}|all rights reserved"
    r"|(?:for more information,? (?:please )?see )?<?https?://\S+"
    r"|=+|-+)?[\W_]*",
    re.IGNORECASE,
)
"""A line beside a licence's text that changes nothing: a title, whose the copyright is, an address."""

_FRONT_MATTER = re.compile(r"\s*---\s*\n(.*?)\n---\s*(?:\n|$)", re.DOTALL)
_CARD_LICENSE = re.compile(
    r"""^license:[ \t]*(?:\n[ \t]*-[ \t]+)?["']?([\w.+-]+)["']?[ \t]*(?:\#.*)?(?:\n(?![ \t]*-)|\Z)""", re.MULTILINE
)
"""One name, on the line of the key or as the one entry of a list."""


def normalised(license: str) -> str:
    """Return an identifier as the Hub writes it: ``CC BY-NC-SA 4.0`` is ``cc-by-nc-sa-4.0``."""
    return re.sub(r"\s+", "-", license.strip().lower())


def known(license: str | None) -> str | None:
    """Return the identifier, None where none is named."""
    return None if license is None or normalised(license) in UNKNOWN else normalised(license)


def conflict(source: str, published: str) -> str | None:
    """Return why what is made of material under `source` cannot be published under `published`; None when it can.

    A licence that is not known here must stay as it is.
    """
    source, published = normalised(source), normalised(published)
    terms, version = _cc(source)
    given, later = _cc(published)
    if "nd" in terms:
        return f"{source} allows nothing that is derived from it to be published"
    if source == published or source in PUBLIC_DOMAIN:
        return None
    if not terms and source not in ATTRIBUTION:
        return f"{source} must stay {source}"
    if "sa" in terms:
        same = given == terms and later >= version
        return None if same else f"{source} asks for the same terms: {source} or a later version"
    if "nc" in terms and "nc" not in given:
        return f"{source} forbids commercial use, {published} does not: cc-by-nc-4.0 and cc-by-nc-sa-4.0 do"
    if published in PUBLIC_DOMAIN:
        return f"{source} asks for attribution, {published} gives it up"
    return None


def _cc(license: str) -> tuple[list[str], str]:
    """Return the terms of a Creative Commons licence, such as by, nc, sa, and its version; nothing for others."""
    match = _CC.fullmatch(license)
    return (match[1].split("-"), match[2]) if match else ([], "")


def first_conflict(sources: Iterable[str | None], published: str) -> str | None:
    """Return the first conflict of several sources; those without a known licence have none."""
    reasons = (conflict(source, published) for source in map(known, sources) if source)
    return next((reason for reason in reasons if reason), None)


def forbidden(sources: Iterable[str | None]) -> str | None:
    """Return why nothing that is made of several sources may be published at all; None where it may."""
    return next((conflict(name, name) for name in map(known, sources) if name and conflict(name, name)), None)


def inherited(source: str | None, others: Iterable[str]) -> str | None:
    """Return the licence of what is made of images under `source` and of `others`: the first that suits all.

    None where that of the images is not known, or where none of them does.
    """
    several = [name for name in map(known, (source, *others)) if name]
    if known(source) is None:
        return None
    return next((name for name in several if first_conflict(several, name) is None), None)


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
    whole = {known: place for known in _TEXTS if (place := known.found(text))}
    if len(whole) > 1:
        return Evidence(None, file, f"holds several ({', '.join(sorted(known.license for known in whole))})")
    for known, (begin, end) in whole.items():
        beside = text[:begin], _APPENDIX.sub("", text[end:])
        if all(_changes_nothing(part, known.license) for part in beside):
            return Evidence(known.license, file, _shortened(" ".join(text[begin:end].split())))
        if known.license.startswith("cc"):
            return Evidence(None, file, f"says more than the text of {known.license}")
    claims = {sentence: found for sentence in _sentences(text) if (found := _named_in(sentence))}
    names = set().union(*claims.values())
    if reserved := _RESERVED.search(" ".join(text.split())):
        return Evidence(None, file, f"says {reserved[0]!r}")
    if not names:
        return Evidence(None, file, "names no licence that is known here")
    if len(names) > 1:
        return Evidence(None, file, f"names several ({', '.join(sorted(names))})")
    if doubtful := next((sentence for sentence in claims if _is_doubtful(sentence)), None):
        return Evidence(None, file, f"does not say it of the images: {_shortened(doubtful)!r}")
    return Evidence(names.pop(), file, _shortened(next(iter(claims))))


def _changes_nothing(beside: str, license: str) -> bool:
    """Return whether what stands beside the text of a licence are titles and names, or gives the images under it."""
    beside = re.sub(rf"SPDX-License-Identifier:\s*{re.escape(license)}(?=\s|$)", "", beside, flags=re.IGNORECASE)
    for paragraph in re.split(r"\n\s*\n", beside):
        lines = paragraph.splitlines()
        flat = " ".join(paragraph.split())
        others = _named_in(flat) - {license}
        if others or _NEGATION.search(flat) or re.search(r"internal use|confidential|proprietary", flat, re.IGNORECASE):
            return False
        if not all(map(_NO_CONDITION.fullmatch, lines)) and (_OTHER_THINGS.search(flat) or not _IMAGES.search(flat)):
            return False
    return True


def _sentences(text: str) -> list[str]:
    paragraphs = re.split(r"\n\s*\n", text)
    return [part for paragraph in paragraphs for part in re.split(r"(?<=[.!?;])\s+", " ".join(paragraph.split()))]


def _named_in(sentence: str) -> set[str]:
    found = {f"cc-{terms}-{version}" for terms, version in _CC_URL.findall(sentence.lower())}
    return found | {f"cc-by{_short(terms)}-{version}" for terms, version in _CC_NAME.findall(sentence)}


def _is_doubtful(sentence: str) -> bool:
    """Return whether a sentence that names a licence says no, or speaks of other things than images."""
    return bool(_NEGATION.search(sentence) or (_OTHER_THINGS.search(sentence) and not _IMAGES.search(sentence)))


def _shortened(text: str) -> str:
    return text if len(text) <= _WORDS else text[: _WORDS - 1].rstrip() + "…"


def _short(terms: str) -> str:
    letters = re.sub(r"[ -]", "", terms.lower())
    words = (("nc", "noncom"), ("sa", "share"), ("nd", "noderiv"))
    return "".join(f"-{short}" for short, long in words if short in letters or long in letters)


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
        found = known(license_of_card(_text_of(file)))
        return Evidence(found, place, f"license: {found}") if found else None
    if name == "readme.txt":
        text = _text_of(file)
        flat = " ".join(text.split())
        return _claim(text, place) if _named_in(flat) or _RESERVED.search(flat) else None
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
