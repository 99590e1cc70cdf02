"""What the Hub of the tests answers: as much of the HTTP interface as `huggingface_hub` and `datasets` need."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from hub_repos import Repo, git_hash, is_large, row_of, sibling_of

if TYPE_CHECKING:
    from hub_server import Server

LICENSES = {
    *("mit", "apache-2.0", "cc0-1.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc-by-nc-sa-4.0"),
    *("unknown", "other"),
}


class Answer(Exception):
    """Ends a request."""

    def __init__(self, status: int, content=None, headers=None):
        self.status, self.headers = status, headers or {}
        self.content = content if isinstance(content, bytes) else json.dumps(content or {}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Server

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(6, 1, 1)  # TCP_NODELAY

    def do_GET(self):
        self.answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def answer(self):
        url = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        path = url.path
        fault = self.hub.fault_for(f"{self.command} {path}")
        if fault is not None and fault.status is None and not fault.done:
            self.cut(path, int(self.headers.get("Content-Length") or 0) // 2)
            return
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if fault is not None and not fault.done:
                raise Answer(fault.status, fault.body, fault.headers)
            with self.hub.lock:
                self.route(path)
            raise Answer(404, {"error": f"no route {path}"})
        except Answer as answer:
            if fault is not None and fault.status is None:
                self.cut(path, 0)
                return
            lost = fault is not None and fault.done
            self.send(Answer(fault.status, fault.body, fault.headers) if lost else answer, path)

    def cut(self, path: str, after: int):
        self.rfile.read(after)
        self.hub.log.append((self.command, path, 0))
        self.close_connection = True
        self.connection.close()

    def send(self, answer: Answer, path: str):
        self.hub.log.append((self.command, path, answer.status))
        self.send_response(answer.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(answer.content)), **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    # --- who -------------------------------------------------------------------------------------------------------

    @property
    def token(self) -> str | None:
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        return token if scheme == "Bearer" else None

    def names(self) -> set[str]:
        """Return the names in which the caller may write."""
        if self.token is None:
            return set()
        if self.token not in self.hub.owners:
            message = "Invalid credentials in Authorization header"
            raise Answer(401, {"error": message}, {"X-Error-Message": message})
        return self.hub.owners[self.token]

    def repo(self, kind: str, repo_id: str) -> Repo:
        repo, names = self.hub.repos.get((kind, repo_id)), self.names()
        if repo is None or (repo.private and repo_id.split("/")[0] not in names):
            status = 404 if self.token else 401
            message = "Repository not found"
            raise Answer(status, {"error": message}, {"X-Error-Code": "RepoNotFound", "X-Error-Message": message})
        return repo

    def must_write(self, repo_id: str):
        if repo_id.split("/")[0] not in self.names():
            raise Answer(403, {"error": "You don't have the rights to write here"})

    def commit_of(self, repo: Repo, revision: str) -> str:
        sha = repo.resolve(revision)
        if sha is None:
            raise Answer(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        return sha

    # --- what ------------------------------------------------------------------------------------------------------

    def route(self, path: str):
        for pattern, method in ROUTES:
            match = re.fullmatch(pattern, path)
            if match:
                groups = {key: unquote(value) if value else value for key, value in match.groupdict().items()}
                if "kind" in groups:
                    groups["kind"] = (groups["kind"] or "models").rstrip("/").rstrip("s")
                method(self, **groups)

    def json(self):
        return json.loads(self.body or b"{}")

    def whoami(self):
        names = sorted(self.names())
        raise Answer(200 if names else 401, {"type": "user", "name": names[0] if names else "", "orgs": []})

    def validate(self):
        content = self.json()["content"]
        match = re.search(r"^license: *(\S+)", content.split("\n---")[0], re.M)
        if match and match[1] not in LICENSES:
            message = '"license" must be one of [apache-2.0, mit, …]'
            raise Answer(400, {"errors": [{"message": message}], "warnings": []})
        raise Answer(200, {"errors": [], "warnings": []})

    def create(self):
        body = self.json()
        repo_id = f"{body['organization']}/{body['name']}"
        kind = body.get("type") or "model"
        self.must_write(repo_id)
        url = f"{self.hub.url}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
        if (kind, repo_id) in self.hub.repos:
            raise Answer(409, {"error": "You already created this repo", "url": url})
        self.hub.add(repo_id, {}, kind, private=body.get("visibility") == "private" or body.get("private") is True)
        raise Answer(200, {"url": url, "name": repo_id})

    def info(self, kind, id, rev=None):
        repo = self.repo(kind, id)
        sha = self.commit_of(repo, rev or "main")
        files = repo.commits[sha]
        raise Answer(
            200,
            {
                "id": id,
                "sha": sha,
                "private": repo.private,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "gated": False,
                "siblings": [sibling_of(path, data) for path, data in sorted(files.items())],
                "lastModified": "2024-01-01T00:00:00.000Z",
                "createdAt": "2024-01-01T00:00:00.000Z",
            },
        )

    def refs(self, kind, id):
        repo = self.repo(kind, id)
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": c} for n, c in repo.tags.items()]
        branches = [
            {"name": n, "ref": f"refs/heads/{n}", "targetCommit": c}
            for n, c in repo.refs.items()
            if not n.startswith("refs/")
        ]
        raise Answer(200, {"branches": branches, "converts": [], "tags": tags})

    def tag(self, kind, id, rev):
        repo = self.repo(kind, id)
        self.must_write(id)
        name = self.json()["tag"]
        if name in repo.tags:
            raise Answer(409, {"error": "Tag already exists"})
        repo.tags[name] = self.commit_of(repo, rev)
        raise Answer(200, {})

    def preupload(self, kind, id, rev):
        repo = self.repo(kind, id)
        if not self.query.get("create_pr"):
            self.must_write(id)
        files = repo.commits[self.commit_of(repo, rev)]
        ignored = files.get(".gitignore", b"").decode().split()
        rows = []
        for entry in self.json()["files"]:
            path, large = entry["path"], is_large(entry["path"])
            row = {
                "path": path,
                "uploadMode": "lfs" if large else "regular",
                "shouldIgnore": any(fnmatch.fnmatch(path, rule) for rule in ignored),
            }
            if path in files:
                row["oid"] = hashlib.sha256(files[path]).hexdigest() if large else git_hash(files[path])
            rows.append(row)
        raise Answer(200, {"files": rows})

    def batch(self, kind, id):
        self.repo(kind, id)
        objects = []
        for entry in self.json()["objects"]:
            row = {"oid": entry["oid"], "size": entry["size"]}
            if entry["oid"] not in self.hub.blobs:
                href = f"{self.hub.url}/upload/{entry['oid']}?X-Amz-Signature=secret0123456789"
                row["actions"] = {"upload": {"href": href, "header": {}}}
            objects.append(row)
        xet = "xet" in self.json().get("transfers", [])  # then the library asks for a way to it, which is not here
        raise Answer(200, {"transfer": "xet" if xet else "basic", "objects": objects})

    def put(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Answer(400, {"error": "the contents do not have this hash"})
        self.hub.blobs[oid] = self.body
        raise Answer(200, b"")

    def commit(self, kind, id, rev):
        repo = self.repo(kind, id)
        is_request = bool(self.query.get("create_pr"))
        if not is_request:
            self.must_write(id)
        while self.hub.on_commit:
            self.hub.on_commit.pop(0)()
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        parent = header.get("parentCommit")
        if parent and not is_request and parent != repo.refs[rev]:
            raise Answer(412, {"error": "A commit has happened since. Please refresh and try again."})
        files = dict(repo.commits[self.commit_of(repo, parent or rev)])
        for line in lines:
            self.apply(files, line["key"], line["value"])
        ref = f"refs/pr/{1 + sum(name.startswith('refs/pr/') for name in repo.refs)}" if is_request else rev
        sha = repo.commit(ref, files, header["summary"])
        url = f"{self.hub.url}/{kind}s/{id}"
        more = {"pullRequestUrl": f"{url}/discussions/{ref.rsplit('/', 1)[1]}"} if is_request else {}
        raise Answer(200, {"success": True, "commitOid": sha, "commitUrl": f"{url}/commit/{sha}", **more})

    def apply(self, files, key, value):
        if key == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            if value["oid"] not in self.hub.blobs:
                raise Answer(400, {"error": f"{value['path']} was not uploaded"})
            files[value["path"]] = self.hub.blobs[value["oid"]]
        elif key == "deletedFile":
            del files[value["path"]]

    def tree(self, kind, id, rev, path=None):
        repo = self.repo(kind, id)
        files = repo.commits[self.commit_of(repo, rev)]
        prefix = f"{path}/" if path else ""
        below = {name: data for name, data in files.items() if name.startswith(prefix)}
        if path and not below:
            raise Answer(404, {"error": "not there"}, {"X-Error-Code": "EntryNotFound"})
        rows, folders = [], set()
        for name, data in sorted(below.items()):
            parts = name[len(prefix) :].split("/")
            folders |= {prefix + "/".join(parts[:depth]) for depth in range(1, len(parts))}
            if len(parts) == 1 or self.query.get("recursive", "").lower() in ("1", "true"):
                rows.append(row_of(name, data))
        if self.query.get("recursive", "").lower() not in ("1", "true"):
            folders = {folder for folder in folders if "/" not in folder[len(prefix) :]}
        rows += [{"type": "directory", "oid": git_hash(name.encode()), "size": 0, "path": name} for name in folders]
        raise Answer(200, json.dumps(sorted(rows, key=lambda row: row["path"])).encode())

    def paths_info(self, kind, id, rev):
        repo = self.repo(kind, id)
        files = repo.commits[self.commit_of(repo, rev)]
        text = self.body.decode()
        paths = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
        rows = []
        for path in [paths] if isinstance(paths, str) else paths:
            if path in files:
                rows.append(row_of(path, files[path]))
            elif any(name.startswith(f"{path}/") for name in files):
                rows.append({"type": "directory", "oid": git_hash(path.encode()), "size": 0, "path": path})
        raise Answer(200, json.dumps(rows).encode())

    def resolve(self, kind, id, rev, path):
        repo = self.repo(kind, id)
        sha = self.commit_of(repo, rev)
        data = repo.commits[sha].get(path)
        if data is None:
            raise Answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        etag = hashlib.sha256(data).hexdigest() if is_large(path) else git_hash(data)
        headers = {
            "ETag": f'"{etag}"',
            "X-Repo-Commit": sha,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if is_large(path):
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if match and self.command == "GET":
            first = int(match[1]) if match[1] else len(data) - int(match[2])
            last = min(int(match[2]), len(data) - 1) if match[1] and match[2] else len(data) - 1
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            raise Answer(206, data[first : last + 1], headers)
        raise Answer(200, data, headers)


_API = r"/api/(?P<kind>models|datasets)/(?P<id>[^/]+/[^/]+)"
_ID = r"/(?P<kind>datasets/)?(?P<id>[^/]+/[^/]+)"
ROUTES = [
    (r"/api/whoami-v2", Handler.whoami),
    (r"/api/validate-yaml", Handler.validate),
    (r"/api/repos/create", Handler.create),
    (_API, Handler.info),
    (_API + r"/revision/(?P<rev>[^/]+)", Handler.info),
    (_API + r"/refs", Handler.refs),
    (_API + r"/tag/(?P<rev>[^/]+)", Handler.tag),
    (_API + r"/preupload/(?P<rev>[^/]+)", Handler.preupload),
    (_API + r"/commit/(?P<rev>[^/]+)", Handler.commit),
    (_API + r"/tree/(?P<rev>[^/]+)(?:/(?P<path>.+))?", Handler.tree),
    (_API + r"/paths-info/(?P<rev>[^/]+)", Handler.paths_info),
    (_ID + r"\.git/info/lfs/objects/batch", Handler.batch),
    (r"/upload/(?P<oid>[0-9a-f]+)", Handler.put),
    (_ID + r"/resolve/(?P<rev>[^/]+)/(?P<path>.+)", Handler.resolve),
]
