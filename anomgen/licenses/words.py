"""What sentences say of the licence of pictures: the few forms that are believed, and words that take it back.

A claim is a sentence whose subject is the data itself, in the present, and nothing more: neither a part of it, nor a
condition, a price, a date or another owner fits the forms here, and what does not fit claims nothing.
"""

from __future__ import annotations

import re

_URL = re.compile(
    r"<?(?:https?://)?(?:www\.)?creativecommons\.org/licenses/(by(?:-nc)?(?:-sa|-nd)?)/(\d\.\d)[^\s>)\]]*>?", re.I
)
_TERM = r"NC|SA|ND|Non[ -]?Commercial|Share[ -]?Alike|No[ -]?Deriv(?:ative)?s"
_NAME = re.compile(rf"\b(?:CC[ -]BY|Attribution)((?:[ -](?:{_TERM}))*)[ -](\d\.\d)", re.I)

_KIND = r"(?: (?:international|unported|generic))?(?: public)?(?: licen[cs]e)?"
_CC = r"(?:creative commons )?§" + _KIND
_LICENSE = rf"(?:(?:the|a) )?(?:terms of )?(?:(?:the|a) )?{_CC}(?: (?:see )?{_CC})*"
"""How a licence is named, where § stands for its name or address, and brackets and commas are left out."""
_DATA = r"(?:images?|pictures?|photo(?:graph)?s?|data ?sets?|data|database)"
_SUBJECT = (
    rf"(?:this work|(?:all (?:of )?)?(?:(?:the|these|this|our) )?{_DATA}"
    rf"(?: and (?:the )?(?:{_DATA}|code|annotations?|labels?|masks?))*"
    rf"(?: (?:in|of) this (?:folder|directory|archive|repository|{_DATA}))?)"
)
_GIVEN = r"(?:(?:licen[cs]ed|released|published|distributed|given|provided|shared|(?:made )?available) )?(?:under|with)"
_STATED = re.compile(rf"{_SUBJECT} (?:is|are) (?:{_GIVEN} )?{_LICENSE}", re.I)
_LABELLED = re.compile(rf"(?:(?:spdx-)?licen[cs]e(?:-identifier)?: ?)?(?:{_GIVEN} )?{_LICENSE}", re.I)
_ADDRESS = re.compile(
    rf"(?:if not |for (?:more )?(?:details|information) |(?:to view|for) a copy of this licen[cs]e )?(?:see|visit)"
    rf" {_LICENSE}(?: or send a letter to creative commons.{{0,200}})?",
    re.I,
)
_OTHER_THINGS = re.compile(
    r"\b(?:icons?|logos?|fonts?|tools?|software|code|scripts?|programs?|library|templates?|web ?site"
    r"|documentation|manual|paper|article|texts?|annotations?|labels?|masks?|models?|weights|videos?|music|sounds?"
    r"|figures?|readme|backgrounds?|page|thumbnails?|previews?)\b",
    re.I,
)
_IMAGES = re.compile(rf"\b{_DATA}\b", re.I)
_FIELD = re.compile(r"[\w /-]{1,30}:\s.*")
_LINE = re.compile(r"\s*(?:copyright\b|\(c\)|©|#+ )", re.I)
_NOT_OURS = re.compile(
    r"\b(?:(?:compar|train|pretrain|test|evaluat)\w* (?:\w+ )?(?:with|on|to|against)|wrong|examples?)\b|:$", re.I
)
"""What a sentence says that introduces one on something else."""

RESERVED = re.compile(
    r"all rights (?:are )?reserved|alle rechte vorbehalten|tous droits r[ée]serv[ée]s|todos los derechos reservados"
    r"|\binternal use\b|\bconfidential\b|\bproprietary\b",
    re.I,
)
_DONE = (
    r"(?:allowed|permitted|pass(?:ed)?|publish(?:ed)?|licen[cs]ed?|(?:re)?distributed?|shared?|cop(?:y|ied)|sold|sell"
    r"|used?|modif(?:y|ied)|reproduced?|transferred|disclosed|upload(?:ed)?|given)"
)
_USE = r"(?:research|academic|education\w*|teaching|scientific|private|personal|evaluation|internal)"
_LIMITS = re.compile(
    rf"\b(?:(?:may|must|shall|can) ?not (?:be )?(?:\w+ )?{_DONE}|(?:d[aü]rf\w*|wird|werden) nicht|gehör(?:t|en) "
    r"|not (?:be )?(?:allowed|permitted|published|licen[cs]ed|passed on|(?:re)?distributed|shared|copied|sold|covered"
    r"|under|ours)|nor (?:published|licen[cs]ed|shared)"
    rf"|(?:{_DATA}|they|it|all|rights?|copyright) (?:\w+ )?belongs? to|property of|owned by|courtesy of"
    rf"|(?:do|does|is|are) not (?:be )?{_DONE}|until \d{{4}}|from \d{{4}} on|withdrawn|revoked|expired|secret|customers"
    r"|(?:have |has )?paid|licen[cs]e is (?:for|of) the (?:code|software)|consent"
    r"|forbidden|prohibited|no (?:re)?distribution|for a fee|(?:on|against|after|upon) payment|licen[cs]e fee"
    r"|(?:prior|written) (?:permission|approval)|permission (?:of|from|is required)"
    rf"|{_USE}(?: (?:and|or) \w+)?(?: use| purposes?)? only"
    rf"|(?:only|solely|exclusively) (?:be used )?(?:for|in) (?:\w+ ){{0,3}}{_USE}|will be licen[cs]ed"
    r"|(?:some|few|several|others?|most|first|last|remaining|rest)\b.{0,200}\b(?:licen[cs]\w*|copyright\w*|rights))\b",
    re.I,
)
"""What reserves, limits or denies what a licence gives."""
_NOT_COMMERCIAL = re.compile(
    r"\bnon[ -]?commercial|\b(?:no|not|without)\b.{0,30}\bcommercial"
    r"|\bcommercial (?:use|purposes?)\b.{0,30}\b(?:not|prohibited|forbidden|excluded|needs?|requires?)\b",
    re.I,
)


def named_in(text: str) -> set[str]:
    """Return the licences of Creative Commons that a text names, by name or address."""
    found = {f"cc-{terms.lower()}-{version}" for terms, version in _URL.findall(text)}
    return found | {f"cc-by{_short(terms)}-{version}" for terms, version in _NAME.findall(text)}


def _short(terms: str) -> str:
    letters = re.sub(r"[ -]", "", terms.lower())
    words = (("nc", "noncom"), ("sa", "share"), ("nd", "noderiv"))
    return "".join(f"-{short}" for short, long in words if short in letters or long in letters)


def sentences(text: str) -> list[tuple[str, str]]:
    """Return each sentence of a text with the one before it; fields, headings and owners are ones of their own."""
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.strip().splitlines()
        fields = all(map(_FIELD.fullmatch, lines)) and not _OTHER_THINGS.search(paragraph)
        parts: list[list[str]] = [[line] for line in lines] if fields else [[]]
        for line in [] if fields else lines:
            is_own = _LINE.match(line) is not None
            parts += [[line], []] if is_own else []
            if not is_own:
                parts[-1].append(line)
        for part in filter(None, parts):
            found += re.split(r"(?<=[.!?;])\s+", " ".join(" ".join(part).split()))
    return list(zip(found, ["", *found], strict=False))


def _plain(sentence: str) -> str:
    """Return a sentence with § for each licence, without marks of Markdown, brackets and commas."""
    short = _NAME.sub(" § ", _URL.sub(" § ", sentence))
    return " ".join(re.sub(r"[][()<>*_`#|,\"]", " ", short).split()).rstrip(" .;!")


def statement_of(sentence: str, before: str = "") -> bool:
    """Return whether a sentence that names a licence gives the pictures under it, or is its name or address alone.

    before: the sentence before it, which must not lead to another's; one without a subject must not be of other things.
    """
    plain = _plain(sentence)
    if _NOT_OURS.search(before):
        return False
    if _STATED.fullmatch(plain):
        return True
    if _OTHER_THINGS.search(before) and not _IMAGES.search(before) and not named_in(before):
        return False
    return bool(_LABELLED.fullmatch(plain) or _ADDRESS.fullmatch(plain))


def gives_images(sentence: str, license: str) -> bool:
    """Return whether a sentence beside the text of a licence gives the pictures under that."""
    name = rf"(?:following|{re.escape(license.split('-')[0])}[\w .-]{{0,15}}?)"
    terms = rf"(?: (?:the|this))?(?: {name})?(?: licen[cs]e)?(?: (?:below|above))?:?"
    return re.fullmatch(rf"{_SUBJECT} (?:is|are) {_GIVEN}{terms}", _plain(sentence), re.I) is not None


def taken_back(text: str, license: str) -> str | None:
    """Return the first sentence of a text that limits or contradicts a licence of pictures, None where none does."""
    for sentence, _ in sentences(text):
        if named_in(sentence) - {license} or RESERVED.search(sentence):
            return sentence
        if "-nc" in license and "commercial" in sentence.lower():
            continue  # says what such a licence says
        is_limited = _LIMITS.search(sentence) or ("-nc" not in license and _NOT_COMMERCIAL.search(sentence))
        if is_limited and not statement_of(sentence):
            return sentence
    return None
