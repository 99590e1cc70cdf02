"""What the Hub of the tests stores: repositories with their commits, and how it lists files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

LARGE = (".parquet", ".png", ".safetensors")


@dataclass
class Repo:
    """A repository: its commits, each a mapping of path to contents, and the names of some of them."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)

    def commit(self, ref: str, files: dict[str, bytes], message: str = "") -> str:
        sha = hashlib.sha1(f"{len(self.commits)} {ref} {message}".encode()).hexdigest()
        self.commits[sha] = files
        self.refs[ref] = sha
        self.messages[sha] = message
        return sha

    def resolve(self, revision: str) -> str | None:
        sha = self.refs.get(revision) or self.tags.get(revision) or revision
        return sha if sha in self.commits else None

    @property
    def files(self) -> dict[str, bytes]:
        """Return what is on the branch main."""
        return self.commits[self.refs["main"]]


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(path: str) -> bool:
    return path.endswith(LARGE)


def row_of(path: str, data: bytes) -> dict:
    row = {"type": "file", "oid": git_hash(data), "size": len(data), "path": path}
    if is_large(path):
        row["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return row


def sibling_of(path: str, data: bytes) -> dict:
    row = {"rfilename": path, "size": len(data), "blobId": git_hash(data)}
    if is_large(path):
        row["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return row
