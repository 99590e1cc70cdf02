"""What the card of a dataset says of its licence: the metadata, unless a sentence below has another word on it."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from anomgen.licenses.names import with_names
from anomgen.licenses.origins import of_others
from anomgen.licenses.rights import speaks_of_rights
from anomgen.licenses.terms import FOR_SOFTWARE, OTHER, conflict, has_identifier, known
from anomgen.licenses.words import understood, units

_FRONT_MATTER = re.compile(r"\s*---[ \t]*\n(.*?)\n---[ \t]*(?:\n|$)", re.DOTALL)
_LICENSE = re.compile(
    r"""^license:[ \t]*(?:\n[ \t]*-[ \t]+|(\[)[ \t]*)?(["']?)([\w.+-]+)\2(?(1)[ \t]*\])"""
    r"""[ \t]*(?:\#[ \t]*(.*))?(?:\n(?![ \t]*-)|\Z)""",
    re.MULTILINE,
)
"""One name, on the line of the key or as the one entry of a list, and a remark."""
_STATED = re.compile(r"^license:[ \t]*(\S.*|(?:\n[ \t]*- .*)+)", re.MULTILINE)
_MORE = re.compile(
    r"^(license_\w+|extra_gated_\w+|library_name|pipeline_tag|base_model"
    r"|source_datasets(?=:(?:.*\n[ \t]*-)*.*extended)):[ \t]*(.*)$",
    re.M,
)
"""Other metadata: terms, what those who ask for access must agree to, whose data these extend, a model's card."""
_MARKS = re.compile(r"^[ \t]*(?:- +)*(?:['\"]?[\w.-]+['\"]?:(?=\s)[ \t]*(?:[|>][+-]?\d?)?|- +|#+)", re.MULTILINE)
_LIST = re.compile(r"^[ \t]*\[(.*)\][ \t]*$", re.MULTILINE)
"""What parts the values of metadata: keys, dashes and marks of comments, and lists on one line."""
_UNSEEN = re.compile(r"<!--.{0,4000}?-->|<(?!https?:|[^>\s]{1,80}@)/?[a-z][^>]{0,500}>", re.DOTALL | re.IGNORECASE)
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"\b(?:scripts?|(?:source|training) code|notebooks?)\b", re.IGNORECASE)
"""What a licence for software may be about."""
_SOURCES = re.compile(r"the source images are under `([\w.+-]+)`\.?")
"""What our own cards say where a recipe gives another licence than that of the images."""
_HEADING = re.compile(r"\s*(#+) ")


class Card(NamedTuple):
    """A card: its metadata's licence as written and as the Hub calls it, a remark, more metadata on terms, its text.

    values: what the other metadata say, each a paragraph.
    """

    stated: str
    license: str | None
    remark: str
    more: dict[str, str]
    values: str
    body: str

    @classmethod
    def parse(cls, text: str) -> Card:
        """Return the parts of a card; license: None where there is none, several or none of the Hub's."""
        front = _FRONT_MATTER.match(text)
        found = _LICENSE.findall(front[1] + "\n") if front else []
        _, _, license, remark = found[0] if len(found) == 1 else [""] * 4
        stated = _STATED.search(front[1]) if front else None
        more = dict(_MORE.findall(front[1])) if front else {}
        written = " ".join(stated[1].split()) if stated else ""
        named = known(license.lower())
        return cls(
            written,
            named if named and has_identifier(named) else None,
            remark,
            more,
            _values(front[1]) if front else "",
            text[front.end() :] if front else text,
        )

    def doubt(self) -> str | None:
        """Return why the licence in the metadata is not that of the images, None where nothing says so."""
        license = self.license or ""
        own = {key: value for key, value in self.more.items() if key.startswith("license_")}
        if license == OTHER:
            named = "".join(f", {key}: {value}" for key, value in own.items())
            return f"license: {OTHER}{named}"
        for key, value in self.more.items():
            if key not in own or not any(understood(text, license) for text in (value, f"license: {value}")):
                return f"{key}: {value}"
        if self.remark and not understood(self.remark, license):
            return self.remark
        return doubt_in(self.values, license) or doubt_in(self.body, license)


def _values(front: str) -> str:
    """Return what metadata say but for the licence and its terms: each value a paragraph, on however many lines."""
    values = _MARKS.sub("\n\n", _MORE.sub("", _LICENSE.sub("", front + "\n")))
    return _LIST.sub(lambda values: values[1].replace(",", "\n\n"), values)


def doubt_in(body: str, license: str) -> str | None:
    """Return the first sentence of a card's text on rights that does not say that the data are under a licence.

    So is one that names a public data set of another licence. Under a heading on rights every sentence counts.
    """
    text = _FENCED.sub(
        lambda match: re.sub(r"^#+", "", match[0], flags=re.MULTILINE), html.unescape(_UNSEEN.sub("", body))
    )
    level = 0
    for unit in units(text, lambda line: understood(line, license)):
        if heading := _HEADING.match(unit):
            is_inside = level and len(heading[1]) > level
            level = level if is_inside else len(heading[1]) * speaks_of_rights(unit)
        source = _SOURCES.fullmatch(unit)
        if source and conflict(source[1], license) is None:
            continue
        if of_others(unit, license):
            return unit
        if (level or tells(unit) or (license in FOR_SOFTWARE and _CODE.search(unit))) and not understood(unit, license):
            return unit
    return None


def tells(sentence: str) -> bool:
    """Return whether a sentence is one on rights or names a licence."""
    return speaks_of_rights(sentence) or bool(with_names(sentence)[1])
