"""Push a dataset or a model: refuse what must not be published, send what is not there, make one commit of it.

A dataset becomes one configuration of a repository, in a folder that is itself a dataset of anomgen: ``NAME/data/``,
``NAME/recipe.yaml``, ``NAME/provenance.json``. Nothing is sent before everything has been checked, and nothing is
visible before the one commit that holds all files and the card.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from anomgen.cards import Card
from anomgen.errors import AnomgenError, Interrupted, UsageError
from anomgen.hub.card import merged
from anomgen.hub.client import AGAIN, Moved, Repository, State, Stored
from anomgen.hub.parcels import NoLicense, Parcel, is_model, parcel_of
from anomgen.licenses import first_conflict, normalised

MAX_FOLDER_FILES = 10_000
"""Files that the Hub takes in one folder."""
MAX_FILE_BYTES = 50 * 10**9
"""Bytes that the Hub takes in one file."""
BATCHES = 50
"""Into how many parts an upload is divided at most; each part that has arrived is safe."""
MIN_BATCH_FILES = 8

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HARMLESS = frozenset({".gitattributes", ".gitignore", "README.md", "LICENSE", "LICENSE.txt", "LICENSE.md"})
"""What a repository may hold before anything has been pushed to it."""
_TEXT = (".json", ".yaml", ".md", ".py")

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Given what is being done, tells how much of how much is."""


@dataclass(frozen=True)
class Options:
    """How to push; `anomgen push --help` explains each."""

    config: str | None = None
    private: bool = False
    tag: str | None = None
    create_pr: bool = False
    license: str | None = None
    check: bool = True
    overwrite: bool = False
    adopt: bool = False


@dataclass(frozen=True)
class Plan:
    """What a push changes in a repository as it is at one commit."""

    card: bytes
    license: str
    changed: dict[str, Path | bytes]
    """Files to send, by path, the card among them."""
    stale: tuple[str, ...]
    """Files to remove: shards of an earlier push of the same configuration."""
    notes: tuple[str, ...]
    arrived: frozenset[str] = frozenset()
    """What of these the Hub has already, sent by an interrupted push; the commit is what they lack."""

    @property
    def bytes(self) -> int:
        """Return how much is to be sent at most."""
        return sum(_size(file) for path, file in self.changed.items() if path not in self.arrived)


@dataclass(frozen=True)
class Pushed:
    """What `push` did, or, in a dry run, would do."""

    url: str
    kind: str
    name: str
    new: bool
    """Whether the repository did not exist before."""
    license: str
    files: tuple[str, ...]
    """What the commit adds or replaces."""
    arrived: tuple[str, ...]
    """What of `files` was not sent because it was on the Hub already, from an interrupted push; empty in a dry run."""
    megabytes: float
    unchanged: int
    removed: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    commit: str | None = None
    """The commit that holds it; None in a dry run."""
    tag: str | None = None
    pull_request: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def push(
    folder: Path,
    repo_id: str,
    options: Options | None = None,
    *,
    dry_run: bool = False,
    progress: Progress = lambda _: nullcontext(lambda _done, _total: None),
    api: Any = None,
    wait: Callable[[float], None] = time.sleep,
) -> Pushed:
    """Push the dataset or the model in a folder to the Hub.

    progress: told how many rows are checked and how many megabytes sent. api: an `HfApi`, by default one that finds
    endpoint and token as the library does. wait: sleeps between two tries.

    Raises UsageError for what must not be published as it is, AnomgenError for what a check finds or the Hub refuses.
    The same call goes on where an interrupted one stopped.
    """
    options = options or Options()
    try:
        _check_options(options)
        try:
            parcel = parcel_of(folder, repo_id, options.config, options.license and normalised(options.license))
        except NoLicense as error:
            raise _with_license_there(error, folder, repo_id, api, wait) from None
        check_size(parcel)
        repository = Repository(repo_id, parcel.kind, api, wait)
        state = repository.state()
        plan = _plan(repository, parcel, options, state)
        _refuse_token(repository, plan)
        repository.validate(plan.card.decode())
        parcel = replace(parcel, notes=_check_content(parcel, progress) if options.check else ())
        if dry_run:
            return _result(repository, parcel, plan, new=state is None)
        return _send(repository, parcel, options, progress, new=state is None)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {AGAIN}") from None


def _send(repository: Repository, parcel: Parcel, options: Options, progress: Progress, *, new: bool) -> Pushed:
    """Create the repository where needed, upload, commit, verify, tag."""
    if new:
        repository.create(private=options.private)
    sent: set[str] = set()
    try:
        plan, commit, request = _publish(repository, parcel, options, progress, sent)
    except Moved:  # read the repository again and merge into what is there now, once; what was uploaded is kept
        plan, commit, request = _publish(repository, parcel, options, progress, sent)
    if request is None:
        _verify(repository, parcel, plan, commit)
        if options.tag is not None:
            repository.tag(options.tag, commit)
    return _result(repository, parcel, plan, new=new, commit=commit, tag=options.tag, pull_request=request)


def _publish(
    repository: Repository, parcel: Parcel, options: Options, progress: Progress, sent: set[str]
) -> tuple[Plan, str, str | None]:
    """Upload and commit what differs from the repository as it is now; return commit and pull request, if any.

    sent: the paths that were sent, added to.
    """
    state = repository.state()
    if state is None:
        raise AnomgenError(f"{repository.id}: was removed while it was pushed to; {AGAIN}")
    plan = _plan(repository, parcel, options, state)
    if not plan.changed and not plan.stale:
        return plan, state.commit, None
    operations, arrived = _upload(repository, plan, options, progress)
    plan = replace(plan, arrived=frozenset(arrived - sent))
    sent.update(plan.changed.keys() - arrived)
    verb = "Add" if len(plan.changed) > len(parcel.files) and not plan.stale else "Update"
    info = repository.commit(operations, f"{verb} {parcel.summary}", state.commit, create_pr=options.create_pr)
    return plan, info.oid, info.pr_url if options.create_pr else None


# --- before ---------------------------------------------------------------------------------------------------------


def _check_options(options: Options) -> None:
    if options.tag is not None and (not _TAG.fullmatch(options.tag) or ".." in options.tag):
        raise UsageError(f"--revision-tag {options.tag}: write letters, digits, '.', '_' and '-', for instance v1.0")
    if options.tag is not None and options.create_pr:
        raise UsageError("--revision-tag and --create-pr exclude each other: tag what has been merged")


def check_size(parcel: Parcel) -> None:
    """Raise UsageError when the Hub would not take so many or such large files."""
    folders = Counter(str(PurePosixPath(path).parent) for path in parcel.files)
    folder, count = folders.most_common(1)[0]
    if count > MAX_FOLDER_FILES:
        raise UsageError(
            f"{parcel.folder}: {count} files in {folder}, the Hub takes {MAX_FOLDER_FILES} in a folder; make the "
            "dataset with a larger shard_size"
        )
    for path, file in parcel.files.items():
        if file.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(
                f"{file}: has {file.stat().st_size / 1e9:.0f} GB, the Hub takes {MAX_FILE_BYTES / 1e9:.0f} in {path}; "
                "make the dataset with a smaller shard_size"
            )


def _check_content(parcel: Parcel, progress: Progress) -> tuple[str, ...]:
    """Verify a dataset as `anomgen check` does; return a note when the source's images are not at hand.

    Raises AnomgenError when something does not hold.
    """
    from anomgen.making.check import check_dataset
    from anomgen.making.replay import pool_of

    if parcel.dataset is None:
        return ()
    rows = len(parcel.dataset)
    pool, missing = pool_of(parcel.dataset)
    with progress("checking") as show:
        report = check_dataset(parcel.dataset, pool, progress=lambda done: show(done, rows))
    if not report.ok:
        broken = ", ".join(f"{violation.rule} ({violation.count})" for violation in report.violations)
        raise AnomgenError(
            f"{parcel.folder}: the check failed: {broken}; nothing was pushed. `anomgen check {parcel.folder}` says "
            "where; --no-check pushes it all the same"
        )
    again = f"`anomgen check {parcel.folder} --source WHERE_THEY_ARE` compares with them, too"
    return (f"checked without the source images, which are not at hand; {again}",) if missing else ()


def _with_license_there(error: NoLicense, folder: Path, repo_id: str, api: Any, wait: Any) -> UsageError:
    """Return the error with the licence that the repository has, where it has one and can be asked."""
    try:
        repository = Repository(repo_id, "model" if is_model(folder) else "dataset", api, wait)
        state = repository.state()
        text = repository.text("README.md", state.commit) if state and "README.md" in state.files else ""
        licenses = Card.parse(text, repo_id).licenses
    except AnomgenError:  # what is wrong with the Hub comes second
        return error
    if len(licenses) != 1:
        return error
    return UsageError(
        f"{folder}: its licence is not known, and {repo_id} is published under {licenses[0]}; when the terms of the "
        f"source images allow that, give --license {licenses[0]}"
    )


def _refuse_token(repository: Repository, plan: Plan) -> None:
    """Raise UsageError when a text that is to be published holds a token."""
    for path, file in plan.changed.items():
        if path.endswith(_TEXT):
            content = file if isinstance(file, bytes) else file.read_bytes()
            if repository.has_token(content.decode(errors="replace")):
                raise UsageError(f"{path}: holds a token of the Hub; take it out, and revoke it if others have seen it")


# --- what changes ---------------------------------------------------------------------------------------------------


def _plan(repository: Repository, parcel: Parcel, options: Options, state: State | None) -> Plan:
    """Return what is to change, or raise UsageError for what must not."""
    before, content = Card({}, ""), None
    if state is not None:
        _refuse_public(repository, options, state)
        if "README.md" in state.files:
            content = repository.text("README.md", state.commit)
            before = Card.parse(content, f"README.md of {repository.id}")
        _refuse_foreign(repository, options, state, before)
        _refuse_other(repository, parcel, options, state, before)
    license = _license(repository, parcel, options, before)
    is_new = parcel.name not in before.configs if parcel.kind == "dataset" else not before.is_ours
    card, notes = merged(before, parcel.card, parcel.name, new=is_new)
    rendered = content if content is not None and card == before else card.render()
    there = state.files if state is not None else {}
    wanted: dict[str, Path | bytes] = {**parcel.files, "README.md": rendered.encode()}
    plan = Plan(
        card=rendered.encode(),
        license=license,
        changed={path: file for path, file in wanted.items() if not _is_there(file, there.get(path))},
        stale=tuple(sorted(path for path in there if parcel.is_stale(path))),
        notes=tuple(notes),
    )
    if state is not None:
        _refuse_moving_a_tag(repository, options, state, plan)
    return plan


def _refuse_public(repository: Repository, options: Options, state: State) -> None:
    if options.private and not state.private:
        raise UsageError(
            f"{repository.id}: exists and is public; leave out --private, or make it private first, on "
            f"{repository.url}/settings"
        )


def _refuse_foreign(repository: Repository, options: Options, state: State, before: Card) -> None:
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


def _refuse_other(repository: Repository, parcel: Parcel, options: Options, state: State, before: Card) -> None:
    """Refuse to replace a configuration, or a model, by another one that has the same name."""
    if options.overwrite:
        return
    if parcel.record in state.files:
        try:
            there = json.loads(repository.text(parcel.record, state.commit))
        except ValueError:
            there = {}
        here = json.loads(parcel.files[parcel.record].read_text(encoding="utf-8"))
        is_other = not isinstance(there, dict) or parcel.identity(there) != parcel.identity(here)
    else:
        is_other = parcel.name in before.configs or (parcel.kind == "model" and before.is_ours)
    if is_other:
        advice = "give this one another name with --config" if parcel.kind == "dataset" else "choose another repository"
        raise UsageError(
            f"{repository.id}: holds something else as {parcel.name} (another recipe, or other source images); "
            f"{advice}, or replace it with --overwrite"
        )


def _refuse_moving_a_tag(repository: Repository, options: Options, state: State, plan: Plan) -> None:
    place = state.tags.get(options.tag or "")
    if place is not None and (plan.changed or plan.stale or place != state.commit):
        raise UsageError(
            f"{repository.id}: the tag {options.tag} names commit {place[:10]} already, and what is pushed now is "
            "another; choose another tag"
        )


def _license(repository: Repository, parcel: Parcel, options: Options, before: Card) -> str:
    """Return the licence of the repository after the push. Raises UsageError when a source's terms forbid it."""
    license = str(parcel.card.data["license"])
    reason = first_conflict(parcel.sources, license)
    if reason:
        raise UsageError(f"{parcel.folder}: made of images whose licence does not allow {license}: {reason}")
    for kept in before.licenses:
        reason = first_conflict([license, *parcel.sources], kept)
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


def _size(file: Path | bytes) -> int:
    return len(file) if isinstance(file, bytes) else file.stat().st_size


def _is_there(file: Path | bytes, stored: Stored | None) -> bool:
    """Return whether a file is stored as it is: large ones are known by their sha256, small ones by git's hash."""
    if stored is None or stored.size != _size(file):
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


# --- sending --------------------------------------------------------------------------------------------------------


def _upload(repository: Repository, plan: Plan, options: Options, progress: Progress) -> tuple[list[Any], set[str]]:
    """Send the files' contents, a part after the other; return the commit's operations, and what had arrived before."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    additions = [
        CommitOperationAdd(path, file if isinstance(file, bytes) else str(file)) for path, file in plan.changed.items()
    ]
    total, sent = plan.bytes, 0
    arrived: set[str] = set()
    part = max(MIN_BATCH_FILES, math.ceil(len(additions) / BATCHES))
    with progress("uploading MB") as show:
        for start in range(0, len(additions), part):
            batch = additions[start : start + part]
            large = [addition for addition in batch if not addition.path_in_repo.endswith(_TEXT)]
            arrived |= repository.arrived(large) if large else set()
            repository.upload(batch, create_pr=options.create_pr)
            sent += sum(addition.upload_info.size for addition in batch)
            show(math.ceil(sent / 1e6), math.ceil(total / 1e6))
    return [*additions, *(CommitOperationDelete(path) for path in plan.stale)], arrived


def _verify(repository: Repository, parcel: Parcel, plan: Plan, commit: str) -> None:
    """Raise AnomgenError when a file is not in the commit as it should be: a .gitignore can leave some out."""
    state = repository.state(commit)
    files = state.files if state is not None else {}
    wanted: dict[str, Path | bytes] = {**parcel.files, "README.md": plan.card}
    missing = [path for path, file in wanted.items() if path not in files or files[path].size != _size(file)]
    if missing:
        raise AnomgenError(
            f"{repository.id}: commit {commit[:10]} lacks {len(missing)} files, the first is {missing[0]}; does a "
            ".gitignore of the repository leave them out? Remove it there, and run the same command again"
        )


def _result(repository: Repository, parcel: Parcel, plan: Plan, *, new: bool, **done: Any) -> Pushed:
    return Pushed(
        url=repository.url,
        kind=parcel.kind,
        name=parcel.name,
        new=new,
        license=plan.license,
        files=tuple(sorted(plan.changed)),
        arrived=tuple(sorted(plan.arrived)),
        megabytes=round(plan.bytes / 1e6, 3),
        unchanged=len(parcel.files) + 1 - len(plan.changed),
        removed=plan.stale,
        left_out=parcel.left_out,
        notes=parcel.notes + plan.notes,
        **done,
    )
