"""What says that images come from elsewhere: from a public data set, or from where somebody else published them.

A licence beside it may be that of somebody who had none to give.
"""

from __future__ import annotations

import re

from anomgen.licenses.names import plain

_NAMES = {
    "cc-by-nc-sa-4.0": r"MVTec(?:['’]s)?[ _/-]{0,3}(?:(?:AD|LOCO|3D|D2S)(?![a-z])|anomaly|data ?set|images?)"
    r"|Kolektor(?:SDD)?\w*|KSDD2?\b|ELPV",
    "cc-by-4.0": r"(?-i:VisA)\b|visual anomaly (?:\(VisA\) )?data ?set\b|SDNET ?2018",
    "": r"(?:BTAD|beanTech|MPDD|Real[ _-]?IAD|DTD|DAGM|Severstal|GC10|GoodsAD|Eyecandies|(?-i:WFDD|MIAD|3CAD)|InsPLAD"
    r"|PVEL-AD|AITEX|DeepPCB|HRIPCB|PKU-Market-PCB|CODEBRIM|Crack ?(?:500|Forest|Tree)|DeepCrack|RDD ?20(?:18|19|20|22)"
    r"|Brodatz|Kylberg|KTH-TIPS2?|Plant(?:Village|Doc)|(?-i:ISIC)(?! (?:code|rev)\b| class \d)"
    r"|HAM ?10000|Kvasir|(?-i:BUSI)|BraTS|CheXpert"
    r"|Chest ?X-?ray ?(?:8|14)|MIMIC-CXR|LIDC|LUNA16|COVIDx|Br35H|IDRiD|ImageNet|CIFAR-?10|(?:Fashion-?)?MNIST|LSUN"
    r"|Open ?Images|MS[ -]?COCO|COCO ?20\d\d|Places ?365|LAION|Cityscapes|KITTI|Caltech-?(?:101|256)|Food-?101|CelebA"
    r"|FFHQ|ADE20K|iNaturalist)(?![a-z])|X-?SDD\b|NEU[ _-](?:DET|CLS|SEG|surface|steel|metal|data)|describable textures"
    r"|magnetic[ -]tiles?[ -](?:surface[ -])?defects?[ -]data|Pascal VOC ?20\d\d",
}
"""Names by licence; "" for those whose terms are none of a known licence."""
_ANY = "|".join(_NAMES.values())
_APART = (
    r"(?:compar\w+ (?:with|to|on)|(?:layout|format|structure|tree|style|code|loaders?|readers?|papers?|authors"
    r"|means?|std) (?:is that )?(?:of|for)|(?:format|layout|structure) as|[权權]重[来來]自"
    r"|for an?(?:other)? data ?set (?:\w+ ){0,4}see|(?:un)?like|similar to|\w+er than|different from|inspired by|as in"
    r"|as for|such as|(?:evaluat|test|benchmark)\w* on|(?:pre)?-?trained (?:on|with)|(?:lay|laid) out (?:as|like)) "
    rf"(?:(?:that|those|the one) of )?(?:the )?(?:(?:{_ANY})[\w-]*(?: and| or)? )*"
)
"""What leads to a name, or several, where it is not said that the images are its."""
_NO_IMAGES = (
    r"[\w-]*[ -](?:weights|pre-?train|features|statistics|means?\b|backbone|normali[sz]|format|layout|structure|style)"
)
"""What follows a name where it is not said, either."""
_ORIGINS = tuple(
    (license, re.compile(rf"({_APART})?(?<![\w.])(?:{names})(?!{_NO_IMAGES})", re.IGNORECASE))
    for license, names in _NAMES.items()
)
_CITATION = re.compile(r"\W*(?:citation:|@\w+\{|cite\b|\[\d+\])|.*\barxiv\b", re.IGNORECASE | re.DOTALL)

SOMEBODY = (
    r"(?!(?-i:RGB|HSV|CAD|RAW|BMP|PNG|TIFF?|JPE?G|HDR|CT|[A-Z])\b|\w+ (?:to|until|\d{1,2}|(?-i:[A-Z]))\b)"
    r"(?-i:[A-Z])\w*"
)
"""A name: a word with a capital that is no format or kind of image; nor as in Line 3, or in Monday to Friday."""
_IMAGES = r"(?:images?|pictures?|photo(?:graph)?s?)"
_MANY = r"(?:public\w*|published|existing|open|several|various|multiple|other|another|different|larger|two|three)"
_OURS = r"(?:own|our|my|me|us|we|self|i|the authors?|photos?|photographed|taken|shot|captured|recorded|created|\d+)\b"
"""How those begin who made something themselves."""
_PLACE = (
    r"(?:the web(?! ?(?:inspection|guid|is|mov|edge|width|of))|web[ -]?(?:sites?|pages?|shops?|stores?|search)"
    r"|online (?:shops?|stores?|sources?|marketplaces?|catalogu?es?)|search engines?|image search|social media"
    r"|google(?! (?:camera|pixel)\b)|bing|baidu|yandex|wiki\w*|kaggle|roboflow|zenodo|figshare|mendeley|github"
    r"|hugging ?face|unsplash|pexels|pixabay|ebay|ikea|alibaba|aliexpress|tik ?tok|reddit|twitter|vimeo|bilibili"
    r"|https?://|papers? by|papers(?! (?:machine|rolls?|sheets?))|the paper(?= ?(?:$|[.,;(\[]|of [A-Z]))"
    r"|publications?|competitions?|(?<!defect )catalogu?es?(?! of (?:(?:\w+ )?(?:defects|faults|errors)|our\b))"
    r"(?= (?:of|from|by)\b|\W*$)"
    rf"|{_MANY} (?:\w+ ){{0,2}}(?:data ?sets?|databases?|benchmarks?|archives?|repositories))"
)
"""Where things are published."""
_WAY = r"(?:(?!(?:and|our|my|own|annotat\w*|label\w*|upload\w*|publish\w*|export\w*|host\w*)\b)[\w'’-]+ ){0,6}?"
"""Words on the way from a preposition to a place."""
_NONE = r"(?<!no )(?<!not )(?<!without )"
_OF_BODIES = (
    rf"(?:{_IMAGES}|scans?|data|x-?rays?|radiographs?|mris?|cts?|ultrasounds?|slides?|records?|cohorts?|cases?|studies"
    r"|samples?|volumes?|faces?|ids?)"
)
"""What is made or known of patients."""
ELSEWHERE = (
    r"(?:taken|com(?:e|es|ing)|came|stem(?:s|med)?|originat\w+|sourced|collected|gathered|harvested|obtained|found"
    r"|retrieved|extracted|copied|derived|adapted|assembled|compiled|curated|aggregated|merged|combined|selected"
    r"|sampled|cropped|mined|converted|grabbed|saved) (?:\w+ )?(?:from|of|with|via|using|through) "
    rf"{_WAY}{_PLACE}",
    rf"(?<!download )(?<!download the )(?<!download all )(?:{_IMAGES}|frames|screen ?shots?|textures|scans|data"
    rf"|combination|mix(?:ture)?|compilation|subset|crops?|(?:copy|version) of .{{1,40}}) (?:from|of) {_WAY}{_PLACE}",
    r"(?:taken|comes?|came|stem(?:s|med)?|extracted|obtained|copied|derived|adapted|originat\w+|sourced|retrieved"
    rf"|compiled|harvested|assembled) from (?:the )?{SOMEBODY}",
    r"(?:subset|excerpt|derivative|re-?release|copy|(?:modified|converted|resized|cleaned|cropped|reformatted|reduced"
    rf"|re-?label+ed|re-?annotated|augmented) version) of (?:the )?{SOMEBODY}",
    rf"(?:based|built) (?:up)?on (?:the )?(?:\w+['’]s? |{SOMEBODY} |their |his |her ){{1,4}}(?:\w+ )?"
    rf"(?:{_IMAGES}|scans?|data ?sets?|database)",
    rf"original (?:data ?sets?|data|{_IMAGES}|source) ?: ?(?!{_OURS})\w+",
    r"original(?:ly)? (?:authors?|creators?|photographers?|publishers?|from|by|published|released|collected|uploaded)",
    rf"{_IMAGES} (?:\w+ ){{0,2}}(?:provided|supplied|donated) by (?:the )?{SOMEBODY}",
    r"found .{0,40}\b(?:web|internet|online)|(?<!no )internet(?! (?:connection|access|is|needed|explorer|of things))",
    rf"{_NONE}\w+ (?:of|from) (?:[\w'’-]+ ){{0,3}}patients|{_NONE}patients?(?:['’]s?)? (?:\w+ )?{_OF_BODIES}",
    rf"{_NONE}(?:contain|includ|show|depict|(?:one|each|every|per|by|a|the|\d+)\b)\w* (?:\w+ )?"
    r"(?:patients|patient(?! (?!(?:and|or|per|in|with|has|is|was)\b)\w))",
    r"patients (?:with|who|at|from|were (?!not))|patients?(?=['’])|patient-(?:level|wise)",
    r"stock (?:photo|image|footage)\w*(?! of (?:our|my) own)",
    r"stamm(?:t|en) aus (?:dem|der|einem|einer) (?:\w+ )?(?:paper|artikel|veröffentlichung|daten(?:satz|bank)|buch"
    r"|katalog|netz)|heruntergeladen|téléchargée?s?|descargad[oa]s?",
)
"""How sentences say that what they speak of was published by others."""


def of_others(sentence: str, license: str) -> bool:
    """Return whether a sentence says that images are those of a public data set of another licence than `license`."""
    text = plain(sentence)
    if _CITATION.match(text):
        return False
    return any(own != license and not match[1] for own, names in _ORIGINS for match in names.finditer(text))
