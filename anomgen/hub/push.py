"""Push a dataset or a model: refuse what must not be published, send what is not there, make one commit of it.

A dataset becomes one configuration of a repository, in a folder that is itself a dataset of anomgen: ``NAME/data/``,
``NAME/recipe.yaml``, ``NAME/provenance.json``. Nothing is sent before everything has been checked, and nothing is
visible before the one commit that holds all files and the card.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from anomgen.banks.folder import Bank
from anomgen.cards import Card
from anomgen.dataset.left_out import without_left_out
from anomgen.dataset.origin import LEFT_OUT, is_ours
from anomgen.dataset.reader import Dataset
from anomgen.errors import AnomgenError, Interrupted, MissingExtra, Progress, UsageError, noted, require, silent
from anomgen.hub.changes import TEXT, Changes, PushOptions, changes_of, refuse_token, size_of
from anomgen.hub.client import Repository, check_id, library, require_token
from anomgen.hub.faults import AGAIN, Away, Moved
from anomgen.hub.upload import (
    NoLicense,
    Upload,
    check_license,
    check_size,
    check_terms,
    config_name,
    is_model,
    model_kind,
    upload_of,
)
from anomgen.licenses import normalised
from anomgen.models.device import require_diffusion
from anomgen.places import is_url, temporary_folder

Answer = TypeVar("Answer")

BATCHES = 50
"""Into how many parts an upload is divided at most; each part that has arrived is safe."""
MIN_BATCH_FILES = 8

READERS = {
    "sdas": ("anomgen.models.sdas.model", "load_sdas"),
    "cyclegan": ("anomgen.models.cyclegan.model", "load_translators"),
    "classifier": ("anomgen.models.classifier.model", "load_classifier"),
    "detector": ("anomgen.score.kept.folder", "load_detector"),
}
"""What reads a kind of model wherever it is used: module and function."""

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Pushed:
    """What `push` did, or, in a dry run, would do."""

    url: str
    kind: str
    name: str
    new: bool | None
    """Whether the repository did not exist before; None where a dry run could not ask the Hub."""
    license: str
    files: tuple[str, ...]
    """What the commit adds or replaces."""
    sizes: tuple[int, ...]
    """Bytes of each of `files`."""
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
    card: str | None = None
    """README.md as it would be, of a dry run."""

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def push(
    folder: str | Path,
    repo_id: str,
    *,
    config: str | None = None,
    license: str | None = None,
    private: bool = False,
    revision_tag: str | None = None,
    create_pr: bool = False,
    check: bool = True,
    overwrite: bool = False,
    adopt: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
    api: Any = None,
    wait: Callable[[float], None] = time.sleep,
) -> Pushed:
    """Push the dataset or the model in a folder to the Hub; the options are those of `anomgen push`.

    config: name of a dataset's configuration, by default its recipe's. license: by default that of the source images.
    dry_run: send nothing; without a network, too. check: as `anomgen check` does, or that a bank or model can be read.
    overwrite: replace another dataset or model of the same name. adopt: add to a repository that anomgen did not make.
    progress: told how many rows are checked and how many megabytes sent. api: an `HfApi`, by default one that finds
    endpoint and token as the library does. wait: sleeps between two tries.

    Raises UsageError for what must not be published as it is, AnomgenError for what a check finds or the Hub refuses.
    The same call goes on where an interrupted one stopped.
    """
    if is_url(folder):
        raise UsageError(f"{folder}: what is pushed must be a local folder; copy it first")
    library()
    options = PushOptions(license and normalised(license), private, revision_tag, create_pr, overwrite, adopt)
    try:
        with _kept_rows(Path(folder)) as folder:
            return _pushed(folder, repo_id, config, options, progress, api, wait, check=check, dry_run=dry_run)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {AGAIN}") from None


@contextmanager
def _kept_rows(folder: Path) -> Iterator[Path]:
    """Give the folder to publish: itself, or for as long a copy without the rows that were thrown out of a dataset."""
    if not (folder / LEFT_OUT).exists() or not is_ours(folder):
        yield folder
        return
    with temporary_folder() as place:
        yield Path(without_left_out(Dataset(folder), Path(place) / folder.resolve().name).path)


def _pushed(
    folder: Path,
    repo_id: str,
    config: str | None,
    options: PushOptions,
    progress: Progress,
    api: Any,
    wait: Callable[[float], None],
    *,
    check: bool,
    dry_run: bool,
) -> Pushed:
    upload = _upload(folder, repo_id, config, options, api, wait, dry_run)
    repository = Repository(repo_id, upload.kind, api, wait, may_be_away=dry_run)
    try:
        state = repository.state()
        new: bool | None = state is None
        changes = changes_of(repository, upload, options, state)
        refuse_token(repository, changes)
        repository.validate(changes.card.decode())
    except Away as away:
        new, changes = None, changes_of(repository, upload, options, None)
        refuse_token(repository, changes)
        told = f"the Hub was not asked ({away}): whether {repo_id} is there, and what is in it, is not known"
        upload = replace(upload, notes=(*upload.notes, told))
    upload = replace(upload, notes=upload.notes + (_check_content(upload, progress) if check else ()))
    if dry_run:
        return _result(repository, upload, changes, new=new, card=changes.card.decode())
    return _send(repository, upload, options, progress, new=bool(new))


def _send(repository: Repository, upload: Upload, options: PushOptions, progress: Progress, *, new: bool) -> Pushed:
    """Create the repository where needed, upload, commit, verify, tag."""
    if new:
        repository.create(private=options.private)
    sent: set[str] = set()
    try:
        changes, commit, request = _publish(repository, upload, options, progress, sent)
    except Moved:  # read the repository again and merge into what is there now, once; what was uploaded is kept
        changes, commit, request = _publish(repository, upload, options, progress, sent)
    if request is None:
        _verify(repository, upload, changes, commit)
        if options.tag is not None:
            repository.tag(options.tag, commit)
    return _result(repository, upload, changes, new=new, commit=commit, tag=options.tag, pull_request=request)


def _publish(
    repository: Repository, upload: Upload, options: PushOptions, progress: Progress, sent: set[str]
) -> tuple[Changes, str, str | None]:
    """Upload and commit what differs from the repository as it is now; return commit and pull request, if any.

    sent: the paths that were sent, added to.
    """
    state = repository.state()
    if state is None:
        raise AnomgenError(f"{repository.id}: was removed while it was pushed to; {AGAIN}")
    changes = changes_of(repository, upload, options, state)
    if changes.is_empty:
        return changes, state.commit, None
    operations, arrived = _send_files(repository, changes, options, progress)
    changes = replace(changes, arrived=frozenset(arrived - sent))
    sent.update(changes.files.keys() - arrived)
    verb = "Add" if len(changes.files) > len(upload.files) and not changes.stale else "Update"
    info = repository.commit(operations, f"{verb} {upload.summary}", state.commit, create_pr=options.create_pr)
    return changes, info.oid, info.pr_url if options.create_pr else None


# --- before ---------------------------------------------------------------------------------------------------------


def _upload(
    folder: Path, repo_id: str, config: str | None, options: PushOptions, api: Any, wait: Any, dry_run: bool
) -> Upload:
    """Return what is pushed. Raises UsageError that tells, at once, every fault of options, names, token and folder."""
    faults: list[UsageError] = []

    def attempt(check: Callable[[], Answer]) -> Answer | None:
        try:
            return check()
        except UsageError as error:
            faults.append(error)
            return None

    attempt(lambda: _check_options(options))
    attempt(lambda: check_id(repo_id))
    if config is not None:
        attempt(lambda: config_name(config))
    attempt(lambda: check_license(options.license))
    if not dry_run:
        attempt(lambda: require_token(api))
    upload = attempt(lambda: upload_of(folder, repo_id, config, options.license))
    if upload is not None:
        attempt(lambda: check_size(upload))
        attempt(lambda: check_terms(upload))
    told = list(dict.fromkeys(map(str, faults)))
    if len(told) == 1 and isinstance(faults[0], NoLicense) and not dry_run:  # which tells before it waits for the Hub
        raise _with_license_there(faults[0], folder, repo_id, api, wait)
    if told:
        raise UsageError(told[0] if len(told) == 1 else "\n  ".join([f"{len(told)} problems", *told]))
    assert upload is not None
    return upload


def _check_options(options: PushOptions) -> None:
    if options.tag is not None and (not _TAG.fullmatch(options.tag) or ".." in options.tag):
        raise UsageError(f"--revision-tag {options.tag}: write letters, digits, '.', '_' and '-', for instance v1.0")
    if options.tag is not None and options.create_pr:
        raise UsageError("--revision-tag and --create-pr exclude each other: tag what has been merged")


def _check_content(upload: Upload, progress: Progress) -> tuple[str, ...]:
    """Verify a dataset as `anomgen check` does, and read a bank or a model as what uses it does.

    Returns notes on what was not seen. Raises AnomgenError when something does not hold.
    """
    from anomgen.making.check import check_dataset
    from anomgen.making.replay import pool_of

    if upload.kind == "model":
        return _check_model(upload.folder)
    if upload.dataset is None:
        for _ in Bank(upload.folder).defects():
            pass
        return ()
    pool, missing = pool_of(upload.dataset)
    report = check_dataset(upload.dataset, pool, progress=noted(progress, "rows checked"))
    if not report.ok:
        broken = ", ".join(f"{violation.rule} ({violation.count})" for violation in report.violations)
        raise AnomgenError(
            f"{upload.folder}: the check failed: {broken}; nothing was pushed. `anomgen check {upload.folder}` says "
            "where; --no-check pushes it all the same"
        )
    again = f"`anomgen check {upload.folder} --source WHERE_THEY_ARE` compares with them, too"
    return (f"checked without the source images, which are not at hand; {again}",) if missing else ()


def _check_model(folder: Path) -> tuple[str, ...]:
    """Read a model; return a note where what reads it is not installed."""
    kind = model_kind(folder)
    if kind not in READERS:
        return ()
    try:
        if kind == "detector":
            require("score", "a trained detector", "torch", "safetensors", "timm")
        else:
            require_diffusion()
    except MissingExtra as error:
        return (f"pushed without a look at its weights: {error}",)
    module, reader = READERS[kind]
    getattr(import_module(module), reader)(str(folder))
    return ()


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


# --- sending --------------------------------------------------------------------------------------------------------


def _send_files(
    repository: Repository, changes: Changes, options: PushOptions, progress: Progress
) -> tuple[list[Any], set[str]]:
    """Send the files' contents, a part after the other; return the commit's operations, and what had arrived before."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    additions = [
        CommitOperationAdd(path, file if isinstance(file, bytes) else str(file)) for path, file in changes.files.items()
    ]
    total, sent = math.ceil(changes.bytes / 1e6), 0
    arrived: set[str] = set()
    part = max(MIN_BATCH_FILES, math.ceil(len(additions) / BATCHES))
    for start in range(0, len(additions), part):
        batch = additions[start : start + part]
        large = [addition for addition in batch if not addition.path_in_repo.endswith(TEXT)]
        arrived |= repository.arrived(large) if large else set()
        repository.send(batch, create_pr=options.create_pr)
        sent += sum(addition.upload_info.size for addition in batch)
        progress(math.ceil(sent / 1e6), total, "MB uploaded")
    return [*additions, *(CommitOperationDelete(path) for path in changes.stale)], arrived


def _verify(repository: Repository, upload: Upload, changes: Changes, commit: str) -> None:
    """Raise AnomgenError when a file is not in the commit as it should be: a .gitignore can leave some out."""
    state = repository.state(commit)
    files = state.files if state is not None else {}
    wanted: dict[str, Path | bytes] = {**upload.files, "README.md": changes.card}
    missing = [path for path, file in wanted.items() if path not in files or files[path].size != size_of(file)]
    if missing:
        raise AnomgenError(
            f"{repository.id}: commit {commit[:10]} lacks {len(missing)} files, the first is {missing[0]}; does a "
            ".gitignore of the repository leave them out? Remove it there, and run the same command again"
        )


def _result(repository: Repository, upload: Upload, changes: Changes, *, new: bool | None, **done: Any) -> Pushed:
    return Pushed(
        url=repository.url,
        kind=upload.kind,
        name=upload.name,
        new=new,
        license=changes.license,
        files=tuple(sorted(changes.files)),
        sizes=tuple(size_of(changes.files[path]) for path in sorted(changes.files)),
        arrived=tuple(sorted(changes.arrived)),
        megabytes=round(changes.bytes / 1e6, 3),
        unchanged=len(upload.files) + 1 - len(changes.files),
        removed=changes.stale,
        left_out=upload.left_out,
        notes=upload.notes + changes.notes,
        **done,
    )
