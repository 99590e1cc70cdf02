"""How files beside pictures are read: texts in whatever encoding, Kaggle's metadata as sentences."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anomgen.licenses.cards import doubt_in
from anomgen.licenses.rights import speaks_of_rights

MAX_CHARACTERS = 100_000
"""How much of a licence file is read."""

_NO_TEXTS = (".pdf", ".html", ".htm", ".rtf", ".doc", ".docx", ".odt")
_ENCODINGS = ("cp1252", "cp1250", "cp1251", "cp1254", "cp1256", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr")
"""What texts without a mark of their encoding are in, where not in UTF-8: the first that reads them, or another one."""
_NO_MARK = re.compile(r"(?<=[^\s(\[:])©|©(?![\sA-Z\d])")
"""What is half a letter, read wrongly."""
_ASCII = re.compile(r"(?<!\S)[!-~]+(?!\S)")
"""Words that are the same in all encodings."""
_DAMAGED = "\ufffd"
"""What stands for bytes that an encoding does not have."""
_TOPIC = re.compile(r"(?:.* > )?internet")
"""A keyword of Kaggle's for what data are about."""
OF_KAGGLE = "dataset-metadata.json"
"""What the metadata of Kaggle are called."""


def text_of(file: Path) -> str:
    """Return the beginning of a text file; nothing of one that cannot be read or is no text."""
    if file.suffix.lower() in _NO_TEXTS:
        return ""
    try:
        with file.open("rb") as opened:
            data = opened.read(2 * MAX_CHARACTERS)
    except OSError:
        return ""
    if file.name == OF_KAGGLE:
        return _of_kaggle(data)
    return "\n".join(_lines(data))


def _lines(data: bytes) -> list[str]:
    """Return the lines of a text. What of it is not in UTF-8 follows, as `_readings` has it."""
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if wide else "utf-8-sig", errors="replace")[:MAX_CHARACTERS]
    lines, damaged = text.splitlines(), text.count(_DAMAGED)
    if wide or b"\0" in data or 20 * damaged <= sum(not letter.isascii() for letter in text):
        return lines
    kept = [line for line in lines if _DAMAGED not in line]
    more = dict.fromkeys(reading for line in dict.fromkeys(data.splitlines()) for reading in _readings(line))
    known = set(kept)
    return [*kept, *(f"\n{line}" for line in more if line not in known)]


def _readings(line: bytes) -> list[str]:
    """Return a line in the first of some encodings that has it whole, and in others where it tells more of rights."""
    texts = dict.fromkeys(_NO_MARK.sub("", line.decode(name, errors="replace")) for name in _ENCODINGS)
    whole = [text for text in texts if _DAMAGED not in text]
    is_new = not any(map(speaks_of_rights, whole[:1]))
    return [*whole[:1], *(text for text in whole[1:] if speaks_of_rights(text if is_new else _ASCII.sub(" ", text)))]


def _of_kaggle(data: bytes) -> str:
    """Return what Kaggle's metadata say of the licence as a sentence, nothing where they say none or are damaged.

    What else they say that takes it back follows.
    """
    try:
        stated = json.loads(data)
        names = ", ".join(str(entry.pop("name")) for entry in stated["licenses"])
        doubt = doubt_in("\n\n".join(_texts_in(stated)), names.lower())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    return "\n\n".join(filter(None, (names and f"License: {names}", doubt)))


def _texts_in(stated: Any, before: str = "") -> Iterator[str]:
    """Yield all texts in a value of JSON; what is said of sources as such."""
    if isinstance(stated, dict):
        for key, value in stated.items():
            yield from _texts_in(value, "Original source: " if key == "userSpecifiedSources" else before)
    elif isinstance(stated, list):
        for value in stated:
            yield from _texts_in(value, before)
    elif isinstance(stated, str) and (before or not _TOPIC.fullmatch(stated)):
        yield before + stated
