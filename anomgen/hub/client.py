"""One repository on the Hub, spoken to with patience: what to try again, how long to wait, what an error means.

`huggingface_hub` does the talking and reads the token. It tries uploads and downloads of files again by itself, but
neither looks at a repository, nor creates, commits to or tags one more than once; that is done here.
"""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from anomgen.errors import TOKEN, AnomgenError, AnomgenNote, UsageError, redacted, require
from anomgen.hub.faults import Away, explained, is_network, pause, reason_of, status_of, symptom
from anomgen.places import temporary_folder

Answer = TypeVar("Answer")

TRIES = 5
MAX_WAIT = 300.0
"""Seconds: the longest that the Hub may ask to wait before anomgen gives up instead."""
CREATING = "creating it"


def library() -> Any:
    """Return the library huggingface_hub. Raises UsageError when it is not installed."""
    require("hub", "the Hub", "huggingface_hub")
    import huggingface_hub

    return huggingface_hub


@dataclass(frozen=True)
class Stored:
    """A file in a repository: its size in bytes and its hash, sha256 for large files, git's own for small ones."""

    size: int
    oid: str


@dataclass(frozen=True)
class Snapshot:
    """A repository as it is at one commit."""

    commit: str
    private: bool
    files: dict[str, Stored]
    tags: dict[str, str]
    """Name → commit."""


@dataclass
class Repository:
    """A repository of one kind, ``dataset`` or ``model``, on the Hub.

    api: an `HfApi`; by default one that reads endpoint and token as the library does. wait: called with the seconds
    before the next try. may_be_away: whether Away is raised, at once, where the Hub cannot be asked.

    Without a token it can be looked at; see `require_token`. Raises UsageError for an id that is none, and offline. All
    methods raise AnomgenError, without a token in it, for what the Hub refuses.
    """

    id: str
    kind: str
    api: Any = None
    wait: Callable[[float], None] = time.sleep
    may_be_away: bool = False

    def __post_init__(self) -> None:
        hub = library()
        from huggingface_hub import constants

        check_id(self.id)
        self._is_offline = constants.HF_HUB_OFFLINE
        if self._is_offline and not self.may_be_away:
            raise UsageError("HF_HUB_OFFLINE is set: nothing can be pushed; unset it")
        self.api = self.api or hub.HfApi(library_name="anomgen")
        address = urlsplit(self.api.endpoint)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise UsageError(
                f"HF_ENDPOINT={self.api.endpoint} is not a URL; write https://HOST, or unset it for huggingface.co"
            )
        self._token = _token_of(self.api)

    @property
    def url(self) -> str:
        """Return the address of the repository's page."""
        return f"{self.api.endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.id}"

    def state(self, commit: str | None = None) -> Snapshot | None:
        """Return what is in the repository, at a commit or now; None when it is not there, or hidden from the token."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            info = self._patiently(
                "looking at it",
                lambda: self.api.repo_info(self.id, repo_type=self.kind, revision=commit, files_metadata=True),
                expected=(RepositoryNotFoundError,),
            )
        except RepositoryNotFoundError as error:
            if status_of(error) == 401 and self._token:
                raise self._explained(error, "looking at it") from None
            return None
        refs = self._patiently("looking at it", lambda: self.api.list_repo_refs(self.id, repo_type=self.kind))
        files = {
            file.rfilename: Stored(file.lfs["size"] if file.lfs else file.size or 0, _oid(file))
            for file in info.siblings or ()
        }
        return Snapshot(info.sha, bool(info.private), files, {tag.name: tag.target_commit for tag in refs.tags})

    def text(self, path: str, commit: str) -> str:
        """Return a text file of the repository as it is at a commit."""
        with temporary_folder() as folder, self._once(f"reading {path}"):
            file = self.api.hf_hub_download(self.id, path, repo_type=self.kind, revision=commit, cache_dir=folder)
            try:
                return Path(file).read_bytes().decode()
            except UnicodeDecodeError:
                raise AnomgenError(f"{self.id}: {path} is not a text file; mend it on the Hub first") from None

    def create(self, *, private: bool) -> None:
        """Create the repository; one that exists stays as it is."""
        self._patiently(
            CREATING,
            lambda: self.api.create_repo(self.id, repo_type=self.kind, private=private or None, exist_ok=True),
        )

    def validate(self, card: str) -> None:
        """Have the Hub check the metadata of a card. Raises UsageError with its objections."""
        from huggingface_hub.utils import get_session, hf_raise_for_status

        def ask() -> Any:
            body = {"content": card, "repoType": self.kind}
            response = get_session().post(f"{self.api.endpoint}/api/validate-yaml", json=body)
            if response.status_code != 400:
                hf_raise_for_status(response)
            return response

        response = self._patiently("checking the card", ask)
        if response.status_code == 400:
            objections = self.redacted(_objections(response.text))
            raise UsageError(f"{self.id}: the Hub does not take the card's metadata: {objections}")

    def arrived(self, additions: Sequence[Any]) -> set[str]:
        """Return the paths of the files whose contents the Hub has already, by its answer to git's large files.

        Empty where it does not answer that: to those who may only propose changes, for instance.
        """
        from huggingface_hub.utils import http_backoff

        objects = {add.upload_info.sha256.hex(): add for add in additions}
        wanted = [{"oid": oid, "size": add.upload_info.size} for oid, add in objects.items()]
        with self._once("uploading"):
            response = http_backoff(
                "POST",
                f"{self.url}.git/info/lfs/objects/batch",
                headers={"Authorization": f"Bearer {self._token}", "Accept": "application/vnd.git-lfs+json"},
                json={
                    "operation": "upload",
                    "transfers": ["basic", "multipart"],
                    "objects": wanted,
                    "hash_algo": "sha256",
                },
            )
        if response.status_code != 200:
            return set()
        there = {str(row.get("oid")) for row in response.json()["objects"] if not row.keys() & {"actions", "error"}}
        return {add.path_in_repo for add in additions if add.upload_info.sha256.hex() in there}

    def send(self, additions: Sequence[Any], *, create_pr: bool) -> None:
        """Send the contents of files, without a commit; what the Hub has already is not sent."""
        with self._once("uploading"):
            self.api.preupload_lfs_files(self.id, additions, repo_type=self.kind, create_pr=create_pr)

    def commit(self, operations: Iterable[Any], message: str, parent: str, *, create_pr: bool) -> Any:
        """Make one commit on top of `parent`; Moved when something else has been committed since."""
        operations = list(operations)
        return self._patiently(
            "committing",
            lambda: self.api.create_commit(
                self.id,
                operations,
                commit_message=message,
                repo_type=self.kind,
                parent_commit=parent,
                create_pr=create_pr,
            ),
            once=create_pr,
        )

    def tag(self, name: str, commit: str) -> None:
        """Give a commit a name; one that has it already is left alone."""
        self._patiently(
            f"tagging it {name}",
            lambda: self.api.create_tag(self.id, tag=name, revision=commit, repo_type=self.kind, exist_ok=True),
        )

    def _patiently(
        self,
        doing: str,
        request: Callable[[], Answer],
        *,
        expected: tuple[type[Exception], ...] = (),
        once: bool = False,
    ) -> Answer:
        """Return the answer to a request, tried again while trying again can help.

        expected: errors that the caller wants to see as they are. once: the request must not reach the Hub twice, so
        only a refusal for haste (429) is tried again.
        """
        if self._is_offline:
            raise Away("HF_HUB_OFFLINE is set")
        for attempt in range(TRIES):
            try:
                with self._quietly():
                    return request()
            except expected:
                raise
            except Exception as error:
                if self.may_be_away and is_network(error):
                    raise Away(reason_of(error, self.redacted)) from error
                seconds = pause(error, attempt, once)
                if seconds is None or seconds > MAX_WAIT or attempt == TRIES - 1:
                    raise self._explained(error, doing) from error
                text = f"{self.id}: {symptom(error)} while {doing}; trying again in {seconds:.0f} s"
                warnings.warn(text, AnomgenNote, stacklevel=2)
                self.wait(seconds)
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _once(self, doing: str) -> Iterator[None]:
        """Explain what goes wrong in a call whose requests the library tries again by itself."""
        try:
            with self._quietly():
                yield
        except Exception as error:
            if self.may_be_away and is_network(error):
                raise Away(reason_of(error, self.redacted)) from error
            raise self._explained(error, doing) from error

    def _explained(self, error: Exception, doing: str) -> AnomgenError:
        return explained(error, f"{self.id}: {doing}", self.redacted, is_there=doing != CREATING)

    def has_token(self, text: str) -> bool:
        """Return whether a text holds the token in use, or what looks like another."""
        return (bool(self._token) and self._token in text) or TOKEN.search(text) is not None

    def redacted(self, text: str) -> str:
        """Return a text without tokens and without the signatures that are part of upload addresses."""
        text = text.replace(self._token, "<token>") if self._token else text
        return redacted(text)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Keep the library's progress bars off, and tokens and signatures out of its log."""
        from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

        handlers = logging.getLogger("huggingface_hub").handlers
        bars = not are_progress_bars_disabled()
        if bars:
            disable_progress_bars()
        for handler in handlers:
            handler.addFilter(self._redact)
        try:
            yield
        finally:
            for handler in handlers:
                handler.removeFilter(self._redact)
            if bars:
                enable_progress_bars()

    def _redact(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.redacted(record.getMessage()), ()
        return True


def _token_of(api: Any) -> str:
    return str(getattr(api, "token", None) or library().get_token() or "")


def require_token(api: Any = None) -> None:
    """Raise UsageError when there is no token, without which nothing can be sent."""
    if not _token_of(api):
        raise UsageError("no token for the Hub: log in with `hf auth login`, or set HF_TOKEN to a token that may write")


def check_id(repo_id: str) -> None:
    """Raise UsageError for what is not an id OWNER/NAME of the Hub."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    advice = "write OWNER/NAME with letters, digits, '-', '_' and '.', for instance yourself/bottle-anomalies"
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UsageError(f"{repo_id!r} is not an id of the Hub ({error}); {advice}") from None
    if "/" not in repo_id:
        raise UsageError(f"{repo_id!r} does not say whose repository it is; {advice}")


def _objections(text: str) -> str:
    """Return the messages in the Hub's answer about a card."""
    try:
        return "; ".join(str(entry["message"]) for entry in json.loads(text)["errors"])
    except (ValueError, KeyError, TypeError):
        return text[:300]


def _oid(file: Any) -> str:
    return str(file.lfs["sha256"] if file.lfs else file.blob_id)
