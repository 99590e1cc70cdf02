"""What a push would change in a repository, and what it must not: others' files, a licence's terms, a tag's commit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from anomgen.cards import Card
from anomgen.config.text import read_json
from anomgen.errors import UsageError
from anomgen.files import json_object
from anomgen.hub.card import merged
from anomgen.hub.client import Repository, Snapshot, Stored
from anomgen.hub.upload import MAX_FOLDER_FILES, Upload
from anomgen.licenses import first_conflict

TEXT = (".json", ".yaml", ".md", ".py")
"""Endings of the files that are pushed as text."""

_HARMLESS = frozenset({".gitattributes", ".gitignore", "README.md", "LICENSE", "LICENSE.txt", "LICENSE.md"})
"""What a repository may hold before anything has been pushed to it."""


@dataclass(frozen=True)
class PushOptions:
    """How to push; `anomgen push --help` explains each."""

    license: str | None = None
    private: bool = False
    tag: str | None = None
    create_pr: bool = False
    overwrite: bool = False
    adopt: bool = False


@dataclass(frozen=True)
class Changes:
    """What a push changes in a repository as it is at one commit."""

    card: bytes
    license: str
    files: dict[str, Path | bytes]
    """What to send, by path, the card among it."""
    stale: tuple[str, ...]
    """Files to remove: shards of an earlier push of the same configuration."""
    notes: tuple[str, ...]
    arrived: frozenset[str] = frozenset()
    """What of these the Hub has already, sent by an interrupted push; the commit is what they lack."""

    @property
    def is_empty(self) -> bool:
        """Return whether everything is there already."""
        return not self.files and not self.stale

    @property
    def bytes(self) -> int:
        """Return how much is to be sent at most."""
        return sum(size_of(file) for path, file in self.files.items() if path not in self.arrived)


def changes_of(repository: Repository, upload: Upload, options: PushOptions, state: Snapshot | None) -> Changes:
    """Return what is to change, or raise UsageError for what must not."""
    before, content = Card({}, ""), None
    if state is not None:
        _refuse_public(repository, options, state)
        if "README.md" in state.files:
            content = repository.text("README.md", state.commit)
            before = Card.parse(content, f"README.md of {repository.id}")
        _refuse_foreign(repository, options, state, before)
        _refuse_other(repository, upload, options, state, before)
    license = _license(repository, upload, options, before)
    is_new = upload.name not in before.configs if upload.kind == "dataset" else not before.is_ours
    card, notes = merged(before, upload.card, upload.name, new=is_new)
    rendered = content if content is not None and card == before else card.render()
    there = state.files if state is not None else {}
    wanted: dict[str, Path | bytes] = {**upload.files, "README.md": rendered.encode()}
    changes = Changes(
        card=rendered.encode(),
        license=license,
        files={path: file for path, file in wanted.items() if not _is_there(file, there.get(path))},
        stale=tuple(sorted(path for path in there if upload.is_stale(path))),
        notes=tuple(notes),
    )
    if state is not None:
        _refuse_moving_a_tag(repository, options, state, changes)
    return changes


def _refuse_public(repository: Repository, options: PushOptions, state: Snapshot) -> None:
    if options.private and not state.private:
        raise UsageError(
            f"{repository.id}: exists and is public; leave out --private, or make it private first, on "
            f"{repository.url}/settings"
        )


def _refuse_foreign(repository: Repository, options: PushOptions, state: Snapshot, before: Card) -> None:
    """Refuse a repository whose content did not come from anomgen; with --adopt, one whose data would vanish."""
    others = sorted(path for path in state.files if path not in _HARMLESS)
    if before.is_ours or not others:
        return
    listed = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
    if not options.adopt:
        raise UsageError(
            f"{repository.id}: holds {len(others)} files that anomgen did not push ({listed}); choose another "
            "repository, or add to this one with --adopt"
        )
    if repository.kind == "dataset" and not before.configs:
        raise UsageError(
            f"{repository.id}: its card lists no `configs:`, so what it holds ({listed}) would not be found any more "
            "once a configuration is added; list it there first"
        )


def _refuse_other(repository: Repository, upload: Upload, options: PushOptions, state: Snapshot, before: Card) -> None:
    """Refuse to replace a configuration, or a model, by another one that has the same name."""
    if options.overwrite:
        return
    if upload.record in state.files:
        try:
            there = read_json(repository.text(upload.record, state.commit))
        except ValueError:
            there = {}
        here = json_object(upload.files[upload.record])
        is_other = not isinstance(there, dict) or upload.identity(there) != upload.identity(here)
    else:
        is_other = upload.name in before.configs or (upload.kind == "model" and before.is_ours)
    if is_other:
        advice = "give this one another name with --config" if upload.kind == "dataset" else "choose another repository"
        raise UsageError(
            f"{repository.id}: holds something else as {upload.name} (another recipe, or other source images); "
            f"{advice}, or replace it with --overwrite"
        )


def _refuse_moving_a_tag(repository: Repository, options: PushOptions, state: Snapshot, changes: Changes) -> None:
    place = state.tags.get(options.tag or "")
    if place is not None and (not changes.is_empty or place != state.commit):
        raise UsageError(
            f"{repository.id}: the tag {options.tag} names commit {place[:10]} already, and what is pushed now is "
            "another; choose another tag"
        )


def _license(repository: Repository, upload: Upload, options: PushOptions, before: Card) -> str:
    """Return the licence of the repository after the push. Raises UsageError when it has another that does not fit."""
    license = str(upload.card.data["license"])
    for kept in before.licenses:
        reason = first_conflict([license, *upload.sources], kept)
        if reason:
            raise UsageError(
                f"{repository.id}: its card says {kept}, which does not go with what is pushed: {reason}. Push it to a "
                "repository of its own, or change the card on the Hub first"
            )
        if options.license is not None and kept != license:
            raise UsageError(
                f"{repository.id}: its card says {kept}, not {license}; give --license {kept}, push to another "
                "repository, or change the card on the Hub first"
            )
    return ", ".join(before.licenses) or license


def size_of(file: Path | bytes) -> int:
    """Return the bytes of a file or of its content."""
    return len(file) if isinstance(file, bytes) else file.stat().st_size


def _is_there(file: Path | bytes, stored: Stored | None) -> bool:
    """Return whether a file is stored as it is: large ones are known by their sha256, small ones by git's hash."""
    if stored is None or stored.size != size_of(file):
        return False
    large = len(stored.oid) == hashlib.sha256().digest_size * 2
    if isinstance(file, bytes):
        result: bool = _start(large, stored.size, file).hexdigest() == stored.oid
        return result
    return _digest(file, file.stat().st_mtime_ns, large) == stored.oid


def _start(large: bool, size: int, content: bytes = b"") -> Any:
    return hashlib.sha256(content) if large else hashlib.sha1(b"blob %d\0" % size + content)


@lru_cache(maxsize=MAX_FOLDER_FILES)
def _digest(file: Path, _changed: int, large: bool) -> str:
    digest = _start(large, file.stat().st_size)
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
    return str(digest.hexdigest())


def refuse_token(repository: Repository, changes: Changes) -> None:
    """Raise UsageError when a text that is to be published holds a token."""
    for path, file in changes.files.items():
        if path.endswith(TEXT):
            content = file if isinstance(file, bytes) else file.read_bytes()
            if repository.has_token(content.decode(errors="replace")):
                raise UsageError(f"{path}: holds a token of the Hub; take it out, and revoke it if others have seen it")
