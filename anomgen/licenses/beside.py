"""Which licence files beside pictures name: claimed on what they say of the pictures alone, with the words quoted."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable
from functools import cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from anomgen.licenses.cards import Card, doubt_in, tells
from anomgen.licenses.languages import FURTHER, folded
from anomgen.licenses.names import distinct, with_names
from anomgen.licenses.reading import OF_KAGGLE, text_of
from anomgen.licenses.terms import FOR_SOFTWARE, OTHER, has_identifier
from anomgen.licenses.texts import without_texts
from anomgen.licenses.words import claims, understood, units

_LICENSE_FILE = re.compile(
    r"(?:licen[cs]e|lizenz|copying)(?:[ ._-](?:data(?:[ _-]?set)?|images?|pictures?|photos?|cc[ ._-]?(?:by|0).*))?"
    r"(?:\.(?:txt|md|rst|pdf|html?|rtf|docx?|odt))?"
)
"""Names of files that say under which terms what lies beside them is given, in small letters."""
_TERMS = re.compile(
    r"(?!.*\.(?:png|jpe?g|jpe|jf?if|bmp|tiff?|webp|gif|svg|npy|npz|csv|tsv|jsonl?|parquet|xml|zip|gz|tar|7z)$)"
    r"(?:.*(?:lizenz|bedingung|(?:bild|foto|ungs|urheber|tums|marken)rechte|vertraulich|geheimhalt|voorwaard|villkor).*"
    r"|(?:.*[^a-z])?rechte(?:\.\w+|(?:inhaber|hinweis|[ _-](?:an|bei|der)(?![a-z])).*)?"
    r"|(?:.*[^a-z])?(?:terms|notices?|eula|conditions?|rights|copy(?:right|ing)|agreement|legal|disclaimer"
    r"|licen[cs]e(?!s?[ ._-]?plate)|licen[czs](?:i?a|ing)|nutzung|urheber|droits|derechos|condiciones|diritti"
    r"|condizioni|termos|condicoes|confidential|nda(?![a-z])|do[ _-]?not(?!hing)|permissions?|restrict"
    rf"|polic(?:y|ies)|contract(?!i)|vertrag|proprietary|secret).*|.*(?:{FURTHER}).*)"
)
"""Names of other files that have a word on rights, folded, in small letters; one that is not understood is a doubt."""
_TEXT = re.compile(
    r"(?!(?:code[ _-]of[ _-]conduct|contributing|security|citation|requirements|pkg-info)\b)"
    r"(?:[^.]+|.*\.(?:txt|md|rst|markdown))"
)
"""Names of texts, in small letters, that may have one: what tells of rights in them is a doubt."""
_ABOUT = re.compile(r"readme[\w-]*(?:\.(?:txt|md|rst|markdown))?")
"""Names of those that are read however long they are."""
_PICTURE = re.compile(r"(.+)\.(?:png|jpe?g|jpe|jf?if|bmp|tiff?|webp|gif)", re.IGNORECASE)
MAX_TEXT_BYTES, MAX_TEXTS = 20_000, 20
"""Larger texts, and more in a folder, are data; so are those that are called as a picture is."""
_README = re.compile(r"readme(?:\.dataset)?\.(?:txt|md)")
_OF_ROBOFLOW = re.compile(
    r"\s*# (.+) > .+\n+(https://(?:universe|app)\.roboflow\.com/\S+)\s+Provided by (.+)\n+License: (.+)\s*"
)
"""All of what Roboflow's exports say of a data set in README.dataset.txt: name, address, who gave it, licence."""
_SECTION = re.compile(
    r"^#{1,4} *(?:licen[cs](?:e|ing)|lizenz):? *#* *\n((?:(?!#).*\n|#(?![# ]).*\n)*)", re.IGNORECASE | re.MULTILINE
)
_WORDS = 160
"""Characters of a licence file that are repeated."""
_CODE = re.compile(
    r"\.(?:py|ipynb|m|c|cc|cpp|h|hpp|cu|java|js|ts|go|rs|sh|r|jl|toml|cfg)$"
    r"|^(?:src|package\.json|makefile|dockerfile|cmakelists\.txt|requirements\.txt)$",
    re.IGNORECASE,
)
"""Names of what a licence for software beside it may be about."""


class Evidence(NamedTuple):
    """Which licence something is under, and which words of which file say so. license: None where nothing does.

    read: all the files that were looked into, as `file` is written.
    """

    license: str | None = None
    file: str = ""
    words: str = ""
    read: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """A note on what was read; none where there was nothing to read."""
        if not self.file:
            return ()
        if self.license:
            return (f"licence {self.license}, as {self.file} says: {self.words!r}",)
        return (f"licence unknown: {self.file} {self.words}; read it, and give --license",)


def license_in(text: str) -> str | None:
    """Return the licence that a text gives images under; None for none, several or a doubtful one."""
    return _claim(text).license


def _claim(text: str, file: str = "", title: str = "") -> Evidence:
    """Return what a licence file says: the licence that it names, if every sentence in it is understood.

    title: what the data may be called; see `understood`.
    """
    exported = _OF_ROBOFLOW.fullmatch(text)
    if exported and not doubt_in("\n\n".join(exported.groups()[:3]), _name_in(exported[4])):
        text = f"License: {exported[4]}"
    beside, texts = without_texts(html.unescape(text))
    said = units(beside, lambda line: understood(line, _name_in(line), by_text=bool(texts), title=title))
    names = distinct(set(texts).union(*(with_names(sentence)[1] for sentence in said)))
    if len(names) > 1:
        return Evidence(None, file, f"names several ({', '.join(sorted(names))})")
    license = next(iter(names), "")
    doubts = [each for each in said if not understood(each, license, by_text=bool(texts), title=title)]
    if doubts:
        return _doubted(file, license, doubts[0] if license else min(doubts, key=lambda each: not tells(each)))
    given = [*texts.values(), *filter(claims, said)]
    if not (given and has_identifier(license) and re.search(r"\d|mit", license)):
        return Evidence(None, file, f"gives the images no licence that is known here{license and f' ({license})'}")
    return Evidence(license, file, _shortened(" ".join(given[0].split())))


def _doubted(file: str, license: str, doubt: str) -> Evidence:
    begins = f"names {license}, but says" if license else "says"
    return Evidence(None, file, f"{begins} {_shortened(doubt)!r}, which is not understood here")


def _name_in(line: str) -> str:
    return max(with_names(line)[1], default="", key=len)


def _shortened(text: str) -> str:
    return text if len(text) <= _WORDS else text[: _WORDS - 1].rstrip() + "…"


def license_beside(root: Path, *above: Path, pictures: Iterable[str] = ()) -> Evidence:
    """Return which licence of the images in a folder a file there, below it, or in one of the others above, names.

    pictures: the images, as POSIX paths relative to `root`; the folders between them and it are looked into, too. Of
    the folders above each image the nearest with a licence file (LICENSE, LICENCE.txt, LICENSE-DATASET, …) or with a
    readme.txt that tells of rights decides, whether it can be understood or not, as does a README.md in or below
    `root`. Where one of these files, or another one so far whose name or words tell of rights (NOTICE, notes.txt, …),
    takes back what another one says, or not all images have the same licence, nothing is claimed; nor where links lead
    to images elsewhere, and what lies beside these says otherwise.
    """
    look, pictures = _Look(root), list(pictures)
    places = {PurePosixPath(name).parent for name in pictures} or {PurePosixPath()}
    told = {place: look.nearest([root / each for each in (place, *place.parents)] + [*above]) for place in places}
    said = [told[place] for place in sorted(told) if told[place].file]
    agreed = _agreed(said) if said else Evidence()
    silent = min((place for place in told if not told[place].file), default=None)
    if agreed.license and silent is not None:
        agreed = Evidence(None, agreed.file, f"is not beside the images in {(root / silent).name}")
    if agreed.license:
        others = (look.nearest([folder, *folder.parents][:4], agreed) for folder in _linked(root, places, pictures))
        other = next((found for found in others if found.file and found.license != agreed.license), None)
        if other is not None:
            agreed = Evidence(None, agreed.file, f"is beside links to images of {other.file}, which {_says(other)}")
    return agreed._replace(read=tuple(look.read))


def _says(found: Evidence) -> str:
    return f"is {found.license}" if found.license else found.words


def _linked(root: Path, places: Iterable[PurePosixPath], pictures: Iterable[str]) -> list[Path]:
    """Return the folders outside of `root` in which the images lie that links in it lead to."""
    files = (os.path.join(root, name) for name in pictures)  # noqa: PTH118 - of thousands
    folders = {Path(os.path.realpath(root / place)) for place in places}
    folders |= {Path(os.path.realpath(file)).parent for file in files if os.path.islink(file)}  # noqa: PTH114
    inside = Path(os.path.realpath(root))
    return sorted(folder for folder in folders if not folder.is_relative_to(inside))


class _Look:
    """What the files say that lie in the folders above images, each read once. read: their names, seen from `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.read: dict[str, None] = {}
        self._there = cache(self._look_into)
        self._back = cache(self._takes_back)

    def nearest(self, folders: list[Path], agreed: Evidence | None = None) -> Evidence:
        """Return what the first of some folders says that says anything, and what was found so far leaves of it.

        agreed: what is said elsewhere, that other files in them may take back where none says anything.
        """
        others: list[Path] = []
        for folder in folders:
            found, more = self._there(folder)
            others += more
            if found:
                doubts = (self._back(file, found) for file in others if found.license)
                return next(filter(None, doubts), found)
        back = (self._back(file, agreed) for file in others if agreed)
        return next(filter(None, back), Evidence())

    def _look_into(self, folder: Path) -> tuple[Evidence | None, list[Path]]:
        """Return what a folder says, if anything, and the other files in it that may take back what is said."""
        try:
            there = list(folder.iterdir())
            files = sorted(file for file in there if _tells(file.name.lower()) and file.is_file())
        except OSError:
            return None, []
        code = next((file.name for file in there if _CODE.search(file.name)), None)
        found = [_of_images(evidence, code) for evidence in _read(files, self.root)]
        others = _texts(there, {*files} if found else set())
        terms = [file for file in others if _is_of(file, _TERMS, _ABOUT)]
        self.read |= dict.fromkeys(_seen_from(self.root, file) for file in (*files, *terms))
        return (_agreed(found) if found else None), others

    def _takes_back(self, file: Path, agreed: Evidence) -> Evidence | None:
        return _taken_back(file, agreed, self.root)


def _is_of(file: Path, *kinds: re.Pattern[str]) -> bool:
    return any(kind.fullmatch(folded(file.name).lower()) for kind in kinds)


def _texts(there: list[Path], known: set[Path]) -> list[Path]:
    """Return the files of a folder, but for known ones, that may have a word on rights: by name, and a few small texts.

    What is called as a picture there is about that one.
    """
    pictures = {match[1] for file in there if (match := _PICTURE.fullmatch(file.name))}
    texts = sorted(
        file
        for file in there
        if _is_of(file, _TERMS, _ABOUT, _TEXT)
        and not {file.stem, PurePosixPath(file.stem).stem} & pictures
        and file not in known
        and not _CODE.search(file.name)
    )
    named = [file for file in texts if _is_of(file, _TERMS, _ABOUT) and file.is_file()]
    others = (file for file in texts if not _is_of(file, _TERMS, _ABOUT) and file.is_file())
    return named + list(islice((file for file in others if file.stat().st_size <= MAX_TEXT_BYTES), MAX_TEXTS))


def _taken_back(file: Path, agreed: Evidence, root: Path) -> Evidence | None:
    """Return what another file says that is not understood to be what is agreed; None where it says the same.

    Only in a file whose name tells of rights every sentence counts.
    """
    license, text, place, title = agreed.license or "", text_of(file), _seen_from(root, file), _title(file, root)
    if not text.strip():
        is_known = _is_of(file, _TERMS, _ABOUT)
        return Evidence(None, place, f"cannot be read beside {agreed.file}") if is_known else None
    if not _is_of(file, _TERMS):
        doubt = doubt_in(text, license)
    elif _claim(text, place, title).license == license:
        return None
    else:
        doubt = next(
            (
                each
                for each in units(text, lambda line: understood(line, license, title=title))
                if not understood(each, license, title=title)
            ),
            None,
        )
    return Evidence(None, place, f"says {_shortened(doubt)!r} beside {agreed.file}") if doubt else None


def _title(file: Path, root: Path) -> str:
    """Return what the data beside a file may be called: its folder and those above, to that above `root`."""
    parts = file.absolute().parts[:-1]
    return "/".join(parts[max(0, min(len(parts), len(root.absolute().parts)) - 2) :])


def _read(files: list[Path], root: Path) -> list[Evidence]:
    """Return what the licence files and readmes of a folder say; a README.md alone says it in or below `root` only."""
    texts = {file: text_of(file) for file in files}
    decisive = [file for file in files if _LICENSE_FILE.fullmatch(file.name.lower())]
    found = [_claim(texts[file], _seen_from(root, file), _title(file, root)) for file in decisive]
    named = next((one.license for one in found if one.license), None)
    for file in files:
        place, title = _seen_from(root, file), _title(file, root)
        if file in decisive or not (decisive or root in file.parents or file.name.lower() != "readme.md"):
            continue
        card = Card.parse(texts[file])
        if named and not card.stated:
            doubt = doubt_in(card.body, named)
            found += [Evidence(None, place, f"says {_shortened(doubt)!r} beside {decisive[0].name}")] if doubt else []
        elif (said := license_of_card(texts[file], place, title)).file:
            found.append(said)
    return found


def license_of_card(text: str, file: str = "README.md", title: str = "") -> Evidence:
    """Return which licence a card or another readme names.

    Metadata hold unless the text below them takes them back, and so does, without any, a section "License" that names
    one for more than software; else the text is read as a licence file is, if it tells of rights at all.
    """
    card = Card.parse(text)
    if card.license == OTHER:
        return Evidence(None, file, f"says {_shortened(str(card.doubt()))}, which is one of its own")
    if card.license:
        doubt = card.doubt()
        return (
            _doubted(file, card.license, doubt)
            if doubt
            else Evidence(card.license, file, _shortened(f"license: {card.stated}"))
        )
    if card.stated:
        return Evidence(None, file, f"says license: {_shortened(card.stated)}, which is none that is known here")
    told = _claim(card.body, file, title)
    if told.license is None and len(sections := _SECTION.findall(card.body + "\n")) == 1:
        own, rest = _claim(sections[0], file, title), _SECTION.sub("", card.body + "\n")
        if own.license and own.license not in FOR_SOFTWARE and doubt_in(rest, own.license) is None:
            return own
    return told if told.license or doubt_in(card.body, "") else Evidence()


def _of_images(evidence: Evidence, code: str | None) -> Evidence:
    """Return what is said of images beside code, which a licence for software may be about instead."""
    if code is None or evidence.license not in FOR_SOFTWARE:
        return evidence
    return Evidence(None, evidence.file, f"names {evidence.license}, and stands beside code ({code})")


def _tells(name: str) -> bool:
    return name == OF_KAGGLE or any(kind.fullmatch(name) for kind in (_README, _LICENSE_FILE))


def _agreed(found: list[Evidence]) -> Evidence:
    """Return what several files say, if it is the same; what is not understood goes before."""
    by_license = {evidence.license: evidence for evidence in reversed(found)}
    if None in by_license or len(by_license) == 1:
        return by_license.get(None, found[0])
    return Evidence(None, " and ".join(sorted(each.file for each in by_license.values())), "do not say the same")


def _seen_from(folder: Path, file: Path) -> str:
    return Path(os.path.relpath(file, folder)).as_posix()
