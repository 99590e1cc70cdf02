"""Licences that are known by their whole text."""

from __future__ import annotations

import re
from typing import NamedTuple


def _phrase(words: str) -> str:
    """Return a pattern of words, whatever stands between them: texts are set in many ways."""
    return r"\b" + r"\W+".join(words.split()) + r"\b"


class Text(NamedTuple):
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
TEXTS = (
    Text(
        "mit",
        "Permission is hereby granted free of charge to any person obtaining a copy",
        "use or other dealings in the software",
        ("publish distribute sublicense and or sell copies", "the software is provided as is without warranty"),
        (145, 170),
    ),
    Text(
        "bsd-3-clause",
        "Redistribution and use in source and binary forms with or without modification are permitted",
        "even if advised of the possibility of such damage",
        ("Redistributions in binary form must reproduce", "endorse or promote products derived from this software"),
        (200, 235),
    ),
    Text(
        "apache-2.0",
        "Apache License Version 2 0 January 2004",
        "end of terms and conditions",
        ("Grant of Patent License", "Submission of Contributions", "Accepting Warranty or Additional Liability"),
        (1350, 1480),
    ),
    Text(
        "cc0-1.0",
        "CC0 1 0 Universal",
        "with respect to this CC0 or use of the Work",
        ("Public License Fallback", "Affirmer hereby overtly fully permanently irrevocably and unconditionally waives"),
        (900, 1120),
    ),
    *(
        Text(
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
_APPENDIX = re.compile(
    rf"\s*{_phrase('APPENDIX How to apply the Apache License to your work')}.*?"
    rf"{_phrase('governing permissions and limitations under the License')}\.?",
    re.IGNORECASE | re.DOTALL,
)


def without_texts(text: str) -> tuple[str, dict[str, str]]:
    """Return what stands beside the whole texts of licences in a text, and these texts by their licences."""
    found = {one.license: place for one in TEXTS if (place := one.found(text))}
    texts = {license: text[begin:end] for license, (begin, end) in found.items()}
    for license in texts:
        text = text.replace(texts[license], "\n\n")
    return (_APPENDIX.sub("", text) if "apache-2.0" in texts else text), texts
