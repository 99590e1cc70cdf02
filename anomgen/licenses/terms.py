"""Which licence may follow from which: what is made of pictures inherits the conditions under which they are given.

The identifiers are those of the Hub (https://huggingface.co/docs/hub/repositories-licenses). What is said here of
Creative Commons is what their deeds say of adapted material; nothing here is legal advice.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

UNKNOWN = frozenset({"", "unknown"})
"""What stands for a licence that nobody has named."""
OTHER = "other"
"""What the Hub calls a licence that it has no identifier for: a card says its name and address elsewhere."""
PUBLIC_DOMAIN = frozenset({"cc0-1.0", "pddl", "unlicense", "wtfpl"})
FOR_SOFTWARE = frozenset({"mit", "bsd-2-clause", "bsd-3-clause", "apache-2.0"})
"""Licences that are mostly those of code."""
ATTRIBUTION = frozenset(
    {
        *("afl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear"),
        *("bsl-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "ecl-2.0", "etalab-2.0", "isc", "mit", "ncsa"),
        *("odc-by", "postgresql", "zlib"),
    }
)
"""Licences that ask for no more than a notice; those of the form ``cc-by-4.0`` are recognised by their name."""
IDENTIFIERS = frozenset(
    {
        *ATTRIBUTION,
        *PUBLIC_DOMAIN,
        *(OTHER, "cc", "odbl", "c-uda", "cdla-sharing-1.0", "gfdl", "ofl-1.1", "mpl-2.0", "ms-pl", "lppl-1.3c"),
        *("osl-3.0", "epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2", "openmdw-1.0", "h-research", "intel-research"),
        *("gpl", "gpl-2.0", "gpl-3.0", "agpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "lgpl-lr", "openrail", "openrail++"),
        *("bigscience-openrail-m", "creativeml-openrail-m", "bigcode-openrail-m", "bigscience-bloom-rail-1.0"),
        *("apple-ascl", "apple-amlr", "deepfloyd-if-license", "fair-noncommercial-research-license", "gemma"),
        *("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "grok2-community"),
    }
)
"""What the Hub calls licences, beside those of the form ``cc-by-4.0``."""
LISTED = IDENTIFIERS | {
    *("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nd-4.0"),
    *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
    *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
}
"""All that the Hub takes in a card, beside `UNKNOWN`: of Creative Commons it has these versions alone."""

MAX_LENGTH = 100
"""Characters of a licence's name."""

_CC = re.compile(r"cc-(by(?:-nc)?(?:-sa|-nd)?)-(1\.0|2\.[015]|3\.0|4\.0)")


def normalised(license: str) -> str:
    """Return an identifier as the Hub writes it: ``CC BY-NC-SA 4.0`` is ``cc-by-nc-sa-4.0``."""
    return re.sub(r"[ \t]+", "-", license.strip().lower())


def has_identifier(license: str) -> bool:
    """Return whether that is an identifier of a licence, of Creative Commons in any version that there is."""
    return license in IDENTIFIERS or _CC.fullmatch(license) is not None


def unfit(license: str) -> str | None:
    """Return what is wrong with the name of a licence, None where it is one short line."""
    if len(license) <= MAX_LENGTH and license.isprintable():
        return None
    return f"a licence is one line of at most {MAX_LENGTH} printable characters, such as cc-by-4.0"


def unlisted(license: str) -> str | None:
    """Return why the Hub takes no card with that licence, with the identifiers that are like it; None where it does."""
    name = normalised(license)
    if name in LISTED | UNKNOWN:
        return None
    bare, names = re.sub(r"(?:^the-)|-licen[cs]e$", "", name), sorted(LISTED - {OTHER}, reverse=True)
    alike = [each for each in names if re.match(rf"{re.escape(bare)}-\d", each)] or difflib.get_close_matches(
        bare, names, cutoff=0.7
    )
    meant = f"; did you mean {' or '.join(map(repr, alike[:3]))}?" if alike else "."
    return (
        f"the Hub has no licence {license!r}{meant} One that it does not list is {OTHER!r}, with its name as "
        "license_name and its address as license_link in the README.md"
    )


def known(license: str | None) -> str | None:
    """Return the identifier, None where none is named, or what cannot be one."""
    return None if license is None or normalised(license) in UNKNOWN or unfit(license) else normalised(license)


def conflict(source: str, published: str) -> str | None:
    """Return why what is made of material under `source` cannot be published under `published`; None when it can.

    A licence that is not known here must stay as it is; one without an identifier is `OTHER` on the Hub.
    """
    source, published = normalised(source), normalised(published)
    terms, version = _cc(source)
    given, later = _cc(published)
    if "nd" in terms:
        return f"{source} allows nothing that is derived from it to be published"
    if source == published or source in PUBLIC_DOMAIN:
        return None
    if published == OTHER and not has_identifier(source):
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


def inherited(source: str | None, others: Iterable[str | None]) -> str | None:
    """Return the licence of what is made of images under `source` and of `others`: the first that suits all.

    None where one of them is not known, or where none suits all.
    """
    names = dict.fromkeys(map(known, (source, *others)))  # each once: a stranger may list many
    several = [name for name in names if name]
    if len(several) < len(names):
        return None
    return next((name for name in several if first_conflict(several, name) is None), None)
