"""A Hub to test against: repositories, commits, large files, tags, pull requests, faults; standard library only.

It keeps everything in memory and logs every request. `Server.fail` makes requests fail: with a status, or by cutting
the connection.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer

from hub_answers import Handler
from hub_repos import Repo


@dataclass
class Fault:
    """What happens to the next requests whose method and path match a pattern."""

    pattern: str
    status: int | None
    """None: the connection is cut, after half of the request's body."""
    times: int
    headers: dict[str, str]
    body: dict
    after: int = 0
    """Requests that match and are still answered."""
    done: bool = False
    """Whether the request takes effect, and only its answer is lost."""


@dataclass
class Server:
    """Starts on its own thread: ``with Server() as server: server.url``."""

    owners: dict[str, set[str]] = field(default_factory=lambda: {"hf_theFakeTokenOfMe": {"me", "team"}})
    """Token → names in which it may write."""
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    log: list[tuple[str, str, int]] = field(default_factory=list)
    """Method, path, status; status 0 for a connection that was cut."""
    faults: list[Fault] = field(default_factory=list)
    on_commit: list = field(default_factory=list)
    """Called, once each, right before a commit is made: someone else may be faster."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Server:
        handler = type("BoundHandler", (Handler,), {"hub": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def fail(self, pattern, status, *, times=1, after=0, done=False, headers=None, body=None) -> None:
        self.faults.append(Fault(pattern, status, times, headers or {}, body or {"error": "injected"}, after, done))

    def add(self, repo_id: str, files: dict[str, bytes], kind: str = "dataset", **options) -> Repo:
        repo = self.repos[kind, repo_id] = Repo(**options)
        repo.commit("main", {".gitattributes": b"", **files}, "initial")
        return repo

    def requests(self, pattern: str) -> list[tuple[str, str, int]]:
        """Return the logged requests whose ``METHOD path`` matches."""
        return [entry for entry in self.log if re.search(pattern, f"{entry[0]} {entry[1]}")]

    def fault_for(self, line: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and re.search(fault.pattern, line):
                if fault.after:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return None
