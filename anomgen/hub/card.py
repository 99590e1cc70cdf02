"""Merging what is pushed into the card that is on the Hub: its metadata is updated, its text is kept.

What anomgen writes about a configuration is a chapter between two comments. The opening one holds a hash of the
chapter, so a chapter that somebody has edited is recognised, and left as it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from anomgen.cards import Card, entries_of, listed, name_of
from anomgen.dataset.card import size_category
from anomgen.licenses import OTHER


def merged(before: Card, now: Card, chapter: str, *, new: bool) -> tuple[Card, list[str]]:
    """Return the card of a repository after a push, and notes for the user.

    before: the card that is there, empty in a new repository. now: metadata and text of what is pushed; of its
    `configs` and `dataset_info` each holds the one entry that is to be added or replaced. chapter: the name under
    which the text stands. new: whether it was never pushed before. Other than these entries and the size, what the
    card says already is kept.
    """
    data = {**before.data, **{key: value for key, value in now.data.items() if key not in before.data}}
    if not before.licenses:
        data["license"] = now.data["license"]
    for key in ("tags", "source_datasets"):
        if now.data.get(key):
            data[key] = list(dict.fromkeys([*listed(before.data.get(key)), *listed(now.data[key])]))
    if "configs" in now.data:
        data.update(_with_config(before.data, now.data["configs"][0], now.data["dataset_info"][0]))
    text, notes = _with_chapter(before.text, chapter, now.text, new)
    if listed(data["license"]) == [OTHER] and not data.get("license_name"):
        notes.append(
            f"the card says license: {OTHER}; add license_name and license_link to README.md, so that all know which"
        )
    return Card(data, text), notes


def _with_config(data: Mapping[str, Any], config: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """Return `configs`, `dataset_info` and `size_categories` with one configuration added or replaced.

    The first one is the default: without any, `load_dataset` would insist on a name.
    """
    configs = entries_of(data.get("configs"))
    configs = _replaced(configs, config if configs else {**config, "default": True})
    infos = _replaced(entries_of(data.get("dataset_info")), info)
    result: dict[str, Any] = {"configs": configs, "dataset_info": infos}
    if {name_of(entry) for entry in configs} <= {name_of(entry) for entry in infos}:  # the size of all of them is known
        rows = sum(int(split.get("num_examples") or 0) for entry in infos for split in entry.get("splits") or ())
        result["size_categories"] = [size_category(rows)]
    return result


def _replaced(entries: list[dict[str, Any]], entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the entries with the one of the same name updated, or with a new one at the end."""
    if not any(name_of(old) == name_of(entry) for old in entries):
        return [*entries, entry]
    return [{**old, **entry} if name_of(old) == name_of(entry) else old for old in entries]


def _with_chapter(text: str, name: str, chapter: str, new: bool) -> tuple[str, list[str]]:
    """Return the text with the chapter put in, unless somebody has edited or removed it."""
    chapter = chapter.strip()
    wrapped = f"<!-- anomgen: begin {name} {_hash(chapter)} -->\n\n{chapter}\n\n<!-- anomgen: end {name} -->"
    mark = re.escape(name)
    found = re.search(rf"<!-- anomgen: begin {mark} ([0-9a-f]+) -->(.*?)<!-- anomgen: end {mark} -->", text, flags=re.S)
    if found is None:
        return f"{text.rstrip()}\n\n{wrapped}" if new else text, []
    if _hash(found[2]) == found[1]:
        return text[: found.start()] + wrapped + text[found.end() :], []
    if _hash(found[2]) == _hash(chapter):
        return text, []
    return text, [f"the card's chapter on {name} was edited on the Hub: its text is kept, its figures may be old"]


def _hash(chapter: str) -> str:
    """Return a short hash that line endings and blank lines around a chapter do not change."""
    return hashlib.sha256("\n".join(chapter.strip().splitlines()).encode()).hexdigest()[:16]
