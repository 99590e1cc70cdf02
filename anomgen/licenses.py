"""Which licence may follow from which: what is made of pictures inherits the conditions under which they are given.

The identifiers are those of the Hub (https://huggingface.co/docs/hub/repositories-licenses). What is said here of
Creative Commons is what their deeds say of adapted material; nothing here is legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

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


def license_in(text: str) -> str | None:
    """Return the Creative Commons licence that a text names, as an identifier; None for none, or for several."""
    found = {f"cc-{terms.lower()}-{version}" for terms, version in _CC_URL.findall(text)}
    found |= {f"cc-by{_short(terms)}-{version}" for terms, version in _CC_NAME.findall(" ".join(text.split()))}
    return found.pop() if len(found) == 1 else None


def _short(terms: str) -> str:
    letters = re.sub(r"[ -]", "", terms.lower())
    words = (("nc", "noncom"), ("sa", "share"), ("nd", "noderiv"))
    return "".join(f"-{short}" for short, long in words if short in letters or long in letters)


def license_beside(*folders: Path) -> str | None:
    """Return the licence that a file in one of the folders names, None where there is none that can be read.

    A LICENSE file and a readme.txt may name a licence of Creative Commons, the metadata of a README.md any.
    The first file that names exactly one decides.
    """
    for folder in folders:
        with suppress(OSError):
            for file in sorted(folder.iterdir()):
                reads = _reader_of(file.name.lower())
                if reads is not None and file.is_file():
                    with file.open(encoding="utf-8", errors="replace") as opened:
                        found = known(reads(opened.read(MAX_CHARACTERS)))
                    if found:
                        return found
    return None


def _reader_of(name: str) -> Callable[[str], str | None] | None:
    if name == "readme.md":
        return license_of_card
    return license_in if name.startswith(("license", "licence")) or name == "readme.txt" else None


def license_of_card(text: str) -> str | None:
    """Return what the key `license` in a card's metadata says, None where it is not there or names several."""
    front = _FRONT_MATTER.match(text)
    found = _CARD_LICENSE.findall(front[1]) if front else []
    return found[0].lower() if len(found) == 1 else None
