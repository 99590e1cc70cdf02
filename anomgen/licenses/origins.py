"""Public data sets that are known by name, and their licences: a text that names one tells whose the images are."""

from __future__ import annotations

import re

from anomgen.licenses.names import plain

_NAMES = {
    "cc-by-nc-sa-4.0": r"MVTec(?:['’]s)?[ _/-]{0,3}(?:(?:AD|LOCO|3D|D2S)(?![a-z])|anomaly|data ?set|images?)"
    r"|Kolektor(?:SDD)?\w*",
    "cc-by-4.0": r"(?-i:VisA)\b|visual anomaly (?:\(VisA\) )?data ?set\b",
    "": r"(?:BTAD|beanTech|MPDD|Real[ _-]?IAD|DTD|DAGM|Severstal)\b|describable textures",
}
"""Names by licence; "" for those whose terms are none of a known licence."""
_APART = (
    r"(?:compar\w+ (?:with|to)|(?:layout|format|structure|tree|style|code|loaders?|readers?|papers?|authors) (?:of|for)"
    r"|(?:un)?like|similar to|evaluat\w+ on|(?:pre)?trained on|(?:lay|laid) out (?:as|like)|as in|as for|such as) "
    r"(?:(?:that|those|the one) of )?(?:the )?"
)
"""What leads to a name where it is not said that the images are its."""
_ORIGINS = tuple(
    (license, re.compile(rf"({_APART})?(?<![\w.])(?:{names})", re.IGNORECASE)) for license, names in _NAMES.items()
)
_CITATION = re.compile(r"\W*(?:citation:|@\w+\{|cite\b|\[\d+\])|.*\barxiv\b", re.IGNORECASE | re.DOTALL)


def of_others(sentence: str, license: str) -> bool:
    """Return whether a sentence says that images are those of a public data set of another licence than `license`."""
    text = plain(sentence)
    if _CITATION.match(text):
        return False
    return any(own != license and not match[1] for own, names in _ORIGINS for match in names.finditer(text))
