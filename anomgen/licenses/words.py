"""Which sentences about the licence of pictures are understood: a few forms, and nothing else.

A claim is a sentence whose subject is the data itself, in the present, and nothing more. Beside it may stand what
changes nothing: titles, owners, how to cite, where to read more, what the deed of the licence says anyway. A sentence
of no form here is a doubt.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from anomgen.licenses.names import agrees, plain, with_names
from anomgen.licenses.origins import of_others
from anomgen.licenses.rights import speaks_of_rights

_KIND = r"(?: (?:international|unported|generic|deed))*(?: public)?(?: licen[cs]e)?"
_CC = rf"(?:creative commons )?§{_KIND}"
_LICENSE = (
    rf"(?:(?:the|a) )?(?:(?:terms|conditions) of )?(?:(?:the|a) )?{_CC}(?: (?:see |at |[-:=] )?{_CC})*"
    r"(?: the licen[cs]e)?"
)
"""How a licence is named, where § stands for its name or address."""
_DATA = r"(?:images?|pictures?|photo(?:graph)?s?|data ?sets?|data|database)"
_NAMES = r"(?:(?-i:[A-Z0-9&])[\w.&-]* ){1,5}"
_TOGETHER = rf"(?:{_DATA}|code|annotations?|labels?|masks?|metadata|documentation)"
_PART = r"(?:test|train|training|validation|synthetic|rendered|first|second|old|new|public|example|demo)"
_SUBJECT = (
    rf"(?:this work|(?:all )?(?:the )?files (?:in|of|associated with) this {_DATA}"
    rf"|(?:the|our) (?!{_PART} )({_NAMES})(?:data ?set|database)(?: and (?:the |its )?{_TOGETHER})*"
    rf"|({_NAMES})(?=© )|(?:all (?:of )?)?(?:(?:the|these|this|our) )?(?:source )?{_DATA}"
    rf"(?: i\.e\. (?:the )?{_DATA})?(?: and (?:(?:all|the|its|their) )?{_TOGETHER})*"
    rf"(?: (?:in|of) this (?:folder|directory|archive|repository|{_DATA}))?)"
)
"""What a sentence is about; the name of a data set is a group, to be compared with that of the folder."""
_HOW = (
    r"(?:(?:hereby |publicly |freely |openly )?(?:dedicated to the public domain|licen[cs]ed"
    r"|released|published|distributed|given|provided|shared"
    r"|(?:made )?(?:publicly |freely )?available) )?(?:under|with)"
)
_IS = r"(?:is|are|has been|have been)"
_OF_DATA = rf"(?: (?:of|for) (?:(?:the|this|all) )?(?:files|{_DATA}))?"
_CALLED = (
    r"(?:licen[cs](?:e|es|ing)|lizenz|licencia|licenza|licença|licentie|licencja|licens|lisans|лицензия|许可证?|許可證?"
    r"|ライセンス|라이[선센]스|الترخيص)"
)
"""What a licence is called."""
_FILE = r"licen[cs]e(?:[.-]\w+)*(?: licen[cs]e(?:[.-]\w+)*)?"
_FOR_MORE = r"(?: (?:for|with) (?:more |further |the |full )*(?:details|information|text|terms))?"
_URL = (
    r"(?!\S*(?:licen[cs]|terms|eula|legal|condition|right|agree|restrict|distribut|polic|do-?not|no-|non-?comm"
    r"|(?<![a-z])(?:tos|nda|nc|use|usage)(?![a-z])))(?:https?://|www\.)\S+"
)
_PERSON = (
    r"(?:(?-i:[A-Z0-9&À-Þ])[\w.&'’/-]*|and|of|the|contributors|authors|others|et|al\.?|d[aeiu]|van|von|der|für|\S+@\S+"
    r"|(?:and|or)(?: its)? affiliates)"
)
_PEOPLE = rf"{_PERSON}(?: (?:{_PERSON}|{_URL})){{0,14}}"
_YEARS = r"(?:(?:19|20)\d\d(?: ?- ?(?:(?:19|20)?\d\d|present))? ?)*"
_LONGEST = 2000
"""Characters of a sentence, at most; a longer one is not understood."""


def _forms(*patterns: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile("|".join(patterns), re.IGNORECASE).fullmatch


_states = _forms(
    rf"{_SUBJECT}(?: ?© {_YEARS}by {_PEOPLE})? {_IS} (?:{_HOW} )?{_LICENSE}"
    rf"(?: see (?:the )?{_FILE}(?: file)?{_FOR_MORE})?",
    r"(?:(?:die|alle|diese) (?:bilder|fotos|aufnahmen|daten)|(?:der|dieser) datensatz) (?:steh(?:t|en)|ist|sind) unter"
    r" (?:der )?(?:lizenz )?§(?: international)?(?:[ -](?:lizenz(?:iert)?|veröffentlicht))?",
    r"(?:die|alle|diese) (?:bilder|fotos|aufnahmen|daten) (?:werden|sind) unter (?:der )?(?:lizenz )?§"
    r" (?:veröffentlicht|lizenziert|bereitgestellt)",
    r"(?:der|dieser) datensatz (?:wird|ist) unter (?:der )?(?:lizenz )?§ (?:veröffentlicht|lizenziert|bereitgestellt)",
    r"(?:(?:les|ces|toutes les) (?:images|photos|données)|(?:le|ce) jeu de données) (?:sont|est)"
    r"(?: (?:publié|distribué)e?s?)? sous (?:la )?licence §",
    rf"we (?:hereby )?(?:release|publish|provide|share|licen[cs]e|distribute|make) {_SUBJECT}"
    rf" (?:(?:publicly |freely )?available )?(?:under|with) {_LICENSE}",
    rf"(?:(?:{_DATA}|spdx) ?-?)?(?:{_CALLED}|rights)(?:-identifier|[ _]link|[ _]name)?"
    rf"{_OF_DATA} ?[:：=-]+ (?:{_HOW} )?{_LICENSE}",
)
"""Sentences that give the data a licence."""
_is_name = _forms(
    rf"(?:{_HOW} )?{_LICENSE}",
    r"(?:if not |for (?:more )?(?:details|information) |(?:to view|for) a copy of (?:the|this) licen[cs]e )?"
    rf"(?:please )?(?:see|visit|at) {_LICENSE}{_FOR_MORE}"
    r"(?: or send a letter to creative commons(?: (?-i:[A-Z0-9])\w*){0,12})?",
    rf"{_LICENSE} (?:inherited from the source images|that of the training images)",
)
"""A licence's name or address alone: of Creative Commons it is a claim, of others, which software has, a title."""
_DEED = {
    r"you are free to:?": "",
    r"under the following (?:terms|conditions):?": "",
    r"share ?[-:] ?copy and redistribute the material in any medium or format": "",
    r"adapt ?[-:] ?remix transform and build upon the material": "",
    r"(?:share|adapt) ?[-:] ?(?:copy and redistribute|remix transform and build upon) the material"
    r"(?: in any medium or format)? for any purpose even commercially": r"(?!.*-nc)",
    r"attribution ?[-:] ?you must give appropriate credit provide a link to the license and indicate if changes were "
    r"made": "",
    r"you may do so in any reasonable manner but not in any way that suggests the licensor endorses you or your "
    r"use": "",
    r"the licensor cannot revoke these freedoms as long as you follow the license terms": "",
    r"no additional restrictions ?[-:] ?you may not apply legal terms or technological measures that legally restrict "
    r"others from doing anything the license permits": "",
    r"(?:the )?§(?: licen[cs]e)? allows re-?distribution and re-?use of a licensed work on the condition that the "
    r"creator is appropriately credited": "",
    r"(?:non-?commercial ?[-:] ?)?you may not use (?:the material|the data|it|them) for commercial purposes": ".*-nc",
    r"commercial use (?:of the (?:data|images) )?is (?:not (?:allowed|permitted)|forbidden|prohibited)": ".*-nc",
    r"(?:for )?non-?commercial (?:use|purposes)(?: only)?": ".*-nc",
    r"for using the data in a way that falls under the commercial use clause of the license please contact us"
    r"(?: via the form .{0,40})?": ".*-nc",
    r"share ?alike ?[-:] ?if you remix transform or build upon the material you must distribute your contributions "
    r"under the same license as the original": ".*-sa",
}
"""What the deed of a licence says, and how the licence is called that says it."""
_deeds = {_forms(pattern): re.compile(needs).match for pattern, needs in _DEED.items()}

_OWNERS = (
    r"(?:copyright(?: holders?)?|spdx-filecopyrighttext|©|c(?= (?:19|20)\d\d))(?: (?:copyright|©|c))* ?:? ?"
    rf"{_YEARS}(?:by )?(?:{_PEOPLE})?"
)
_WORK = r"(?:scientific |academic |own )?(?:work|research|publications?|papers?|projects?)"
_USING = rf"(?:(?:if|when) you (?:use|make use of) (?:this|these|our|the) {_DATA}(?: in (?:your )?{_WORK})? )?"
_CITED = r"(?:us|our|the|this|following|paper|work|article|publication|reference|data ?set|authors?|below|and|as)"
_ASKING = (
    r"(?:(?:if you have|for) any (?:questions?|comments?|remarks)(?: (?:or|and) (?:questions?|comments?|remarks))?"
    rf"(?: (?:about|on) (?:the|this) {_DATA})?(?: please)?(?: feel free to)? )?"
)
_changes_nothing = _forms(
    rf"(?:for (?:more )?(?:details|information) )?(?:please )?(?:see|refer to|read)(?: also)? (?:the )?(?:full )?"
    rf"(?:file )?(?:{_FILE}(?: (?:file|text|deed)){{0,2}}|{_URL}){_FOR_MORE}",
    r"you should have received a copy of (?:the|this) licen[cs]e (?:along|together) with this (?:work|data)",
    rf"(?:doi|version|date|year|url|home ?page|web ?site|e-?mail|source)s? ?:? ?(?:{_URL}|v?\d[\d./v-]*\S*|\S+@\S+)",
    _URL,
    rf"{_USING}(?:please )?(?:also |consider )?cit(?:e|ing)(?: as)?(?: {_CITED})* ?:?",
    rf"please use the following for citing the data ?set(?: in {_WORK})? ?:?",
    rf"licen[cs]e {_LICENSE} as \S*(?:licen[cs]e|readme|copying|dataset_info)\S* says: .*",
    r"hello|enjoy|have fun|thanks?(?: you)?|(?:licen[cs]e: )?more information needed",
)
_names_somebody = _forms(
    rf"(?:attribution|credits?|authors?|creators?|contact|maintainers?|publisher) ?: ?(?:{_PEOPLE}|{_URL})",
    rf"(?:(?:{_DATA} |created |collected |photographed )?by|please (?:credit|attribute|acknowledge)) {_PEOPLE}",
    rf"{_ASKING}contact (?:us|me)?(?: ?(?:via|at|by|e-?mail))* ?:?(?: (?:{_PERSON}|{_URL})){{0,14}}",
    r"citation: .*\b(?:19|20)\d\d\b.*",
)
"""What changes nothing, as long as there is no word on rights in it."""
_CONDITION = re.compile(r"\b(?:only|unless|until|once|when|not|no|except|without|before)\b", re.I)
_owners = _forms(_OWNERS)
_beside_a_text = _forms(
    rf"(?:{_OWNERS}[.,]? )?all rights reserved",
    rf"{_SUBJECT} {_IS} {_HOW}(?: (?:the|this))?(?: (?:following|§))?(?: licen[cs]e)?(?: (?:below|above))?:?",
)
"""What may stand beside the whole text of a licence, too."""
_heads = _forms(
    rf"(?:(?:{_CALLED}|legal code|copyright|information|info|notice|statement|terms|of|use|usage"
    rf"|and|&|the|attribution|citations?|cite|how|to|contact|readme|about|acknowledge?ments?|authors?|credits?|references?|bibtex"
    rf"|creative commons(?: corporation)?|for|{_DATA})(?: |:?$))+:?"
)
_TITLE_WORD = r"(?:(?-i:[A-Z0-9])[\w.&-]*|of|for|and|in|the|a)"
_CAMEL = r"(?-i:[A-Z]\w*[a-z]\w*[A-Z]\w*)"
_titles = _forms(
    rf"(?:{_TITLE_WORD} ){{0,8}}(?:data ?set|database)(?: v?\d[\d.]*| {_DATA}| {_CAMEL})?"
    rf"(?: for (?:{_TITLE_WORD} ?){{1,6}})?",
    r"data ?set of (?:[\w-]+ ?){1,4}",
)
_NO_TITLE = re.compile(
    r"\b(?:icons?|logos?|fonts?|tools?|software|code|scripts?|programs?|librar\w+|templates?|web ?sites?|document\w*"
    r"|manual|papers?|articles?|texts?|annotations?|labels?|models?|weights|videos?|masks?|metadata|\w*training|music|sounds?|figures?|backgrounds?"
    r"|pages?|slides?|thumbnails?|previews?|samples?|demos?|examples?|draft|proposal|proposed|old|new|first|last|parts?|subset"
    r"|future|tests?|some|most|other|synthetic|rendered|no|not|only|without|unless|until|but|if)\b",
    re.IGNORECASE,
)
"""What makes a title that of something else, or of a part."""


def claims(sentence: str) -> frozenset[str]:
    """Return the licences that a sentence gives the data."""
    text, names = with_names(sentence)
    if _states(text) or (_is_name(text) and all(name.startswith("cc") for name in names)):
        return names
    return frozenset()


def understood(sentence: str, license: str, *, by_text: bool = False, title: str = "") -> bool:
    """Return whether a sentence says nothing else than that data are under a licence.

    by_text: whether it stands beside the whole text of the licence. title: what the data
    may be called: the name of their folder, after that of the folder above it and a slash.
    """
    text, names = with_names(sentence)
    if len(text) > _LONGEST or not all(agrees(name, license) for name in names):
        return False
    if not re.search(r"\w|§", text) or _is_name(text) or _heads(text) or _changes_nothing(text):
        return True
    if stated := _states(text):
        return _is_called(stated, title) and not of_others(text, license)
    if any(deed(text) and needs(license) for deed, needs in _deeds.items()) or (by_text and _beside_a_text(text)):
        return _is_called(_beside_a_text(text), title)
    if _owners(text):
        return not _CONDITION.search(text) and not speaks_of_rights(
            re.sub("copyright|©", "", text, flags=re.IGNORECASE)
        )
    name = re.sub(r"^(?:name|title|data ?set) ?: ?", "", text, flags=re.IGNORECASE)
    is_title = (_titles(name) and not _NO_TITLE.search(name)) or _letters(name) == _letters(title.split("/")[-1])
    is_somebody = _names_somebody(text) and not _CONDITION.search(text)
    return bool(is_somebody or (is_title and not of_others(text, license))) and not speaks_of_rights(text)


_EVERYDAY = frozenset(
    {
        *("and", "the", "for", "new", "industrial", "surface", "detection", "inspection", "segmentation"),
        *("anomaly", "anomalies", "defect", "defects"),
    }
)
"""Words of names that do not tell one data set from another."""


def _is_called(sentence: re.Match[str] | None, title: str) -> bool:
    """Return whether the data set that a sentence names, if any, is the one of a title; any is, where there is none."""
    names = [name for name in (sentence.groups() if sentence else ()) if name]
    return not title or all(
        not _NO_TITLE.search(name) and any(_alike(name, folder) for folder in title.split("/")) for name in names
    )


def _alike(name: str, folder: str) -> bool:
    """Return whether two names share a word that is no everyday one, or one is within the other."""
    first, second = (
        {word for word in re.findall(r"[^\W\d_]{3,}", each.lower()) if word not in _EVERYDAY} for each in (name, folder)
    )
    short, long = sorted((_letters(name), _letters(folder)), key=len)
    return bool(first & second) or (len(short) > 3 and short in long) or short == long != ""


def _letters(name: str) -> str:
    return re.sub(rf"\b{_DATA}(?: of)?\b|[\W_]", "", name, flags=re.IGNORECASE).lower()


def units(text: str, known: Callable[[str], bool]) -> list[str]:
    """Return the sentences of a text. A paragraph whose lines are all known each is taken line by line.

    Headings, entries of lists and owners are sentences of their own; what is to be cited is one.
    """
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n", _LEADS_TO_CITATION.sub(r"\g<0>\n", _UNDERLINED.sub(r"# \1\n", text))):
        lines = [line for line in paragraph.splitlines() if re.search(r"\w", line)]
        if all(map(known, lines)):
            found += lines
        elif lines[0].lstrip().startswith("@") or (found and _LEADS_TO_CITATION.match(found[-1] + "\n")):
            found.append("Citation: " + " ".join(" ".join(lines).split()))
        else:
            found += _sentences(lines, known)
    return found


_LEADS_TO_CITATION = re.compile(
    r"^(?:.{0,300}\bcit(?:e|ing)\b[^.\n]{0,80}:|[#\W]*(?:citation|bibtex|attribution|how to cite)[^\w\n]*)\n",
    re.I | re.M,
)
_OWN_LINE = re.compile(r"\s*(?:#+ |copyright\b|\(c\)|©)", re.IGNORECASE)
_ENTRY = re.compile(r"\s*(?:[-*+|>] ?|\d+\. |\[[^]]+\]: )")
_CAPITAL = re.compile(r"\W*[A-Z]")
_ENDS = re.compile(
    r"(?<!i\.e\.)(?<!e\.g\.)(?<!et al\.)(?<=[.!?;])\s+"
    r"(?!(?:(?<=inc\. )|(?<=ltd\. )|(?<=corp\. )|(?<=co\. ))(?:and|or) )",
    re.IGNORECASE,
)
_UNDERLINED = re.compile(r"^(?=.*\w)(.+)\n[ \t]*[-=~]{3,}[ \t]*$", re.MULTILINE)


def _sentences(lines: list[str], known: Callable[[str], bool]) -> list[str]:
    parts: list[list[str]] = [[]]
    for number, line in enumerate(lines):
        is_title = not parts[-1] and _CAPITAL.match("".join(lines[number + 1 :])) and known(line) and not claims(line)
        if _OWN_LINE.match(line) or is_title or (number == 0 and _heads(plain(line))):
            parts += [[line], []]
        elif _ENTRY.match(line):
            parts.append([line])
        else:
            parts[-1].append(line)
    joined = (" ".join(" ".join(part).split()) for part in parts if part)
    return [each for part in joined for each in _ENDS.split(part)]
