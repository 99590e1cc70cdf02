"""Words on rights in pictures, in many languages: a sentence with one is understood, or it is a doubt."""

from __future__ import annotations

import html
import re

from anomgen.licenses.languages import FURTHER, folded
from anomgen.licenses.origins import ELSEWHERE, SOMEBODY

_WORDS = r"""
licen[cs]\w* \w*copyright\w* rights permissions? permitted permits? \w*disclosure ndas? confiden[ct]i\w* secret
proprietary trademarks? owner\w* owns owned ours courtesy customers? clients?\w* suppliers? exclu\w+ except(?!ional)\w*
consent\w* agreed undecided draft eula restrict\w* prohibit\w* forbid\w* disallow\w* \w*auth?ori[sz]\w* redistribut\w*
(?:non-?)?commercial\w* non-?profit unpublished embargo\w* withdrawn revoke[ds]? expire[ds]? fees? paid pay payments?
purchas\w+ bought sells? sold sale royalt\w+ legal\w* contracts? signature
scraped crawled borrowed leaked loan re-?upload\w* youtube flickr pinterest instagram facebook shutterstock getty
lizen[zs]\w* urheber\w* (?:nutzungs|bild|verwertungs)rechte\w* vorbehalten genehmig\w* erlaub\w* gestattet untersag\w*
verbot\w* weitergabe weitergegeben vertraulich\w* geheim\w* eigentum\w* kunden? zustimmung einwilligung ausgenommen
ausgeschlossen kommerziell\w* nutzung\w* lieferant\w* auftraggeber\w* freigabe
droits interdi\w* propri[ée]t\w* appartien\w* consentement reproduction exception sauf accord divulg\w* partag\w*
derechos permisos? permitid\w* propiedad pertenec\w* comercial\w* diritti vietat\w* permess\w*
direitos proib\w* propriedade riservat[oaie]
(?:não|non)\s(?:distribui|compartilh|condivid|pubblic|public|copi)\w*
partners? members? consorti\w+ students? possession downloaded
weiter(?:ge)?(?:reich|geb|leit)\w* forschung\w* verwendung\w* ausschlie(?:ß|ss)lich\w* firma (?:ver)?bleib(?:t|en)
recherche restreinte?s? limitée?s? investigación uso
r[ée]serv(?:ed|[ée]e?s?|ad[oa]s?|at[oaie])
"""
_DONE = (
    r"(?:allowed|permitted|pass|passed on|publish(?:ed)?|distributed?|shared?|cop(?:y|ied)|covered|modif(?:y|ied)|given"
    r"|reproduced?|transferred|disclosed?|upload(?:ed)?|post(?:ed)?|released?)"
)
_USE = r"(?:research|academic|education\w*|teaching|scientific|private|personal|evaluation|internal|review)"
_ONE = (
    r"(?:\.(?:png|jpe?g|bmp|tiff?|webp|gif)|(?:images?|pictures?|photo(?:graph)?s?|frames?|bild(?:er)?|fotos?) "
    r"(?:no|nr)?[.#]? ?\d[\d -]*(?:(?:and|to|und|bis) \d+ )?"
    r"|(?:some|other|most)(?: of)?(?: the)? (?:images?|pictures?|photo(?:graph)?s?|them))"
)
"""What tells one image, or some, from the others."""
_IS_BY = (
    r"(?:(?:(?:is|are|was|were|both|all|[-:]) )*(?:(?:taken|shot|drawn|created|contributed|provided|supplied|sent) )?by"
    r"|(?:ist|sind|wurden?|stamm(?:t|en)) von|(?:est|sont) (?:prise?s? )?(?:par|de)|(?:es|son) (?:de|por))"
)
_PHRASES = (
    r"third[ -]part(?:y|ies)",
    r"(?:belongs? to|property of)(?!.{0,40}\b(?:class|categor|type|split|label|set|group|fold))",
    r"(?<!annotator )agreements?",
    r"(?<!in )terms",
    r"intellectual property|public domain|fair use|no distribution",
    r"not (?:own|ours|mine|under|our own|open|free|public|included)",
    r"contact .{0,60}\b(?:before|first)|only use|within the company|limited to the|without (?:the |their )?knowledge",
    r"(?:stay|remain)s? with|only (?:available|accessible|open)|available only",
    r"not (?:yet )?(?:decided|final|clear|sure)|until (?:the )?(?:\d{4}|publication|acceptance)",
    r"(?:on|upon|by) request|ask (?:us|me|the|them|before|first|for)",
    rf"(?:may|must|shall|can?|wo|should) ?not (?:be )?(?:\w+ )?(?:used?|{_DONE})",
    rf"(?:do|does|is|are|please) not (?:to )?(?:be )?{_DONE}|(?:not|never|nor) (?:to )?be {_DONE}|do not use",
    rf"{_USE}(?: (?:and|or) \w+)?(?: use| purposes?)? only|for {_USE}(?: (?:and|or) \w+)? (?:use|purposes?)",
    rf"(?:only|solely|exclusively) (?:be used )?for (?:\w+ ){{0,3}}{_USE}|(?:internal|private) use",
    r"(?:alle|die) rechte|rechte (?:an|der|bei|liegen)|gehör(?:t|en)(?! zu)|intern\w* (?:gebrauch|zwecken?|verwendung)",
    r"nur (?:für|zu|mit|nach)|d[aü]rf\w* nicht",
    r"nicht (?:frei|öffentlich|veröffentlich\w*|weiter\w*|verwend\w*|kopier\w*)",
    r"other conditions|only the (?:annotations|labels|masks|metadata)|not the authors?|author unknown|mirror of",
    r"ne pas|no (?:compartir|publicar|difundir)",
    r"usage (?:interne|priv\w+|acad\w+)|(?:la|toute|leur|de) diffusion|diffusion (?:restreinte|interdite)|s[oó]lo para",
    r"request form|sign(?:ed|ing)? (?:\w+ ){0,3}form|research use|only for|(?:the|a|my|our|this) course(?! of)",
    rf"{_ONE}[^\w\s]{{0,3}} ?{_IS_BY} {SOMEBODY}(?! ?\d)(?<!hand)",
    r"not know (?:who|whose)|competitors?|keep (?:\w+ ){0,3}(?:in[- ]house|private|internal)",
    r"not for (?:\w+ )?(?:publication|release|distribution|sharing)",
    r"itar|export[ -]controll?ed|dual[ -]use",
    r"(?:hand|give|pass)(?:ed|ing)? (?:\w+ )?(?:on|out|away)(?= (?:to|or|without)|$|\W)",
    r"(?:fall|come)s? under",
    r"(?:see|refer to) .{1,60} for (?:the )?(?:images|pictures|photos|data)",
)
_RIGHTS = re.compile(
    folded(rf"\b(?:{'|'.join((*_WORDS.split(), *_PHRASES, *ELSEWHERE))})\b") + rf"|©|\(c\) ?(?:19|20)\d\d|{FURTHER}",
    re.IGNORECASE,
)


def speaks_of_rights(sentence: str) -> bool:
    """Return whether a sentence has a word on what may be done with something, or on whose it is, or cannot be read."""
    text = re.sub(r"(?<!\w)_+|_+(?!\w)", " ", folded(html.unescape(sentence)))
    return _RIGHTS.search(re.sub(r"n['’]t\b", " not", " ".join(text.split()))) is not None
