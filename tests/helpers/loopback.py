"""A Hub on 127.0.0.1: the protocol of the real one, repositories in memory, faults on demand.

It serves what `huggingface_hub` and `datasets` ask for when they create, commit to, list and read
repositories, and refuses what the real Hub refuses: unknown or private repositories without the
token, a commit on a parent that is not the branch's head, invalid card metadata.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.helpers.card_checker import metadata_errors

TOKEN = "hf_" + "Canary0123456789abcdefghij"
USER = "me"
Files = dict[str, bytes]


@dataclass
class Commit:
    """A state of a branch."""

    oid: str
    message: str
    files: Files
    parent: str | None


@dataclass
class Repo:
    """A repository: commits by id, and where each branch stands."""

    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def add(self, ref: str, message: str, files: Files, parent: str | None) -> Commit:
        """A new commit at the head of `ref`."""
        contents = {path: hashlib.sha1(content).hexdigest() for path, content in files.items()}
        told = f"{len(self.commits)} {ref} {message} {contents}"
        oid = hashlib.sha1(told.encode()).hexdigest()
        self.commits[oid] = Commit(oid, message, files, parent)
        self.refs[ref] = oid
        return self.commits[oid]

    def find(self, revision: str) -> Commit | None:
        """The commit that a branch, a pull request or a commit id names."""
        return self.commits.get(self.refs.get(revision, revision))

    @property
    def files(self) -> Files:
        """The files of main."""
        return self.commits[self.refs["main"]].files

    @property
    def history(self) -> list[str]:
        """The messages of main, newest first."""
        messages, oid = [], self.refs.get("main")
        while oid:
            messages.append(self.commits[oid].message)
            oid = self.commits[oid].parent
        return messages


@dataclass
class Fault:
    """What the next matching requests get instead of an answer: a status, or a dropped line."""

    pattern: str
    status: int | None
    times: int
    headers: dict[str, str]
    after: bool


class RefusalError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Error-Message": message}
        super().__init__(message)


class LoopbackHub:
    """The server; `with LoopbackHub() as hub:` runs it in a thread."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.meanwhile: tuple[str, Callable[[], Any]] | None = None
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> LoopbackHub:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        """Forget everything."""
        for store in (self.repos, self.blobs, self.requests, self.faults):
            store.clear()
        self.meanwhile = None

    def fail(
        self,
        pattern: str,
        status: int | None,
        *,
        times: int = 10**6,
        after: bool = False,
        **headers: str,
    ) -> None:
        """Answer requests `METHOD path` that match with `status`; None drops the connection.

        Args:
            pattern: Regular expression, such as `POST .*/commit/`.
            status: HTTP status, or None.
            times: How many requests; then the Hub is well again.
            after: Carry the request out first, and lose only the answer.
            **headers: Extra headers, with `_` for `-`.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(pattern, status, times, named, after))

    def count(self, pattern: str) -> int:
        """How many requests came that match."""
        return sum(re.match(pattern, request) is not None for request in self.requests)

    def put(
        self, repo_id: str, files: Files, *, private: bool = False, kind: str = "models"
    ) -> Repo:
        """A repository that is already there."""
        repo = self.repos.setdefault(f"{kind}/{repo_id}", Repo(private))
        repo.add("main", "files", dict(files), repo.refs.get("main"))
        return repo

    # What each request does

    def create(self, body: Any) -> Any:
        owner = body.get("organization") or USER
        if owner != USER:
            message = f'You don\'t have the rights to create a model under the namespace "{owner}"'
            raise RefusalError(403, "", message)
        repo_id = f"{owner}/{body['name']}"
        kind = f"{body.get('type') or 'model'}s"
        answer = {"url": f"{self.url}/{'' if kind == 'models' else kind + '/'}{repo_id}"}
        private = body.get("visibility") == "private" or bool(body.get("private"))
        if f"{kind}/{repo_id}" in self.repos:
            return 409, {**answer, "error": "You already created this repo"}
        repo = self.repos[f"{kind}/{repo_id}"] = Repo(private)
        repo.add("main", "initial commit", {".gitattributes": b"*.safetensors filter=lfs\n"}, None)
        return 200, answer

    def commit(self, repo: Repo, where: str, revision: str, lines: list[Any], pr: bool) -> Any:
        header = lines[0]["value"]
        base = repo.find("main" if pr else revision)
        if base is None:
            raise RefusalError(404, "RevisionNotFound")
        if header.get("parentCommit") not in (None, base.oid):
            raise RefusalError(
                412, "", "A commit has happened since. Please refresh and try again."
            )
        files = dict(base.files)
        for line in lines[1:]:
            path = line["value"]["path"]
            if line["key"] == "file":
                files[path] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                files[path] = self.blobs[line["value"]["oid"]]
            elif line["key"] == "deletedFile":
                del files[path]
        if any(not _good_path(path) for path in files):
            raise RefusalError(400, "", "a path leaves the repository")
        number = sum(ref.startswith("refs/pr/") for ref in repo.refs) + 1
        ref = f"refs/pr/{number}" if pr else revision
        made = repo.add(ref, header["summary"], files, base.oid)
        answer = {"commitOid": made.oid, "commitUrl": f"{self.url}/{where}/commit/{made.oid}"}
        if pr:
            answer["pullRequestUrl"] = f"{self.url}/{where}/discussions/{number}"
        return 200, {**answer, "success": True}


def _good_path(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/")


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _is_lfs(path: str) -> bool:
    return path.endswith((".safetensors", ".parquet", ".bin", ".arrow"))


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(content), "oid": _git_oid(content)}
    if _is_lfs(path):
        oid = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
    return entry


class _Handler(BaseHTTPRequestHandler):
    """Finds the route of a request, unless a fault is due."""

    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self._body()
        request = f"{self.command} {unquote(parts.path)}"
        self.hub.requests.append(request)
        if self.hub.meanwhile and re.match(self.hub.meanwhile[0], request):
            (_, happens), self.hub.meanwhile = self.hub.meanwhile, None
            happens()
        fault = next((f for f in self.hub.faults if f.times and re.match(f.pattern, request)), None)
        if fault is None or fault.after:
            try:
                answer = self._route(unquote(parts.path), parse_qs(parts.query), body)
            except RefusalError as refusal:
                answer = (refusal.status, {"error": str(refusal)}, refusal.headers)
        if fault is not None:
            fault.times -= 1
            if fault.status is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            answer = (fault.status, {"error": "told to fail"}, fault.headers)
        self._answer(*answer)

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815 - http.server's names

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        blocks = []
        while size := int(self.rfile.readline(), 16):
            blocks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(blocks)

    def _answer(self, status: int, content: Any = b"", headers: Any = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        named = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        for name, value in {**named, **(headers or {})}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _logged_in(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _route(self, path: str, query: dict[str, list[str]], body: bytes) -> Any:
        for method, pattern, action in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and self.command in method:
                return action(self, match.groupdict(), query, body)
        raise RefusalError(404, "", f"no route {self.command} {path}")

    def _repo(self, where: dict[str, str]) -> tuple[Repo, str]:
        kind = (where.get("kind") or "models").strip("/")
        name = f"{kind}/{where['id']}"
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and not self._logged_in()):
            raise RefusalError(
                404 if self._logged_in() else 401, "RepoNotFound", "Repository not found"
            )
        return repo, where["id"] if kind == "models" else name

    def _found(self, where: dict[str, str]) -> tuple[Repo, Commit, str]:
        repo, name = self._repo(where)
        commit = repo.find(where.get("rev") or "main")
        if commit is None:
            raise RefusalError(404, "RevisionNotFound", f"Invalid rev id: {where['rev']}")
        return repo, commit, name

    def _may_write(self) -> None:
        if not self._logged_in():
            raise RefusalError(401, "", "Invalid credentials in Authorization header")

    def whoami(self, *_: Any) -> Any:
        self._may_write()
        return 200, {"type": "user", "name": USER, "orgs": []}

    def create(self, where: Any, query: Any, body: bytes) -> Any:
        self._may_write()
        return self.hub.create(json.loads(body))

    def branch(self, where: Any, query: Any, body: bytes) -> Any:
        self._may_write()
        repo, _ = self._repo(where)
        if where["rev"] in repo.refs:
            return 409, {"error": "Reference already exists"}
        repo.refs[where["rev"]] = repo.refs["main"]
        return 200, {}

    def validate(self, where: Any, query: Any, body: bytes) -> Any:
        errors = [{"message": error} for error in metadata_errors(json.loads(body)["content"])]
        return 400 if errors else 200, {"errors": errors, "warnings": []}

    def preupload(self, where: Any, query: Any, body: bytes) -> Any:
        self._may_write()
        _, commit, _ = self._found(where)
        files = []
        for file in json.loads(body)["files"]:
            path, oid = file["path"], None
            if path in commit.files:
                entry = _entry(path, commit.files[path])
                oid = entry.get("lfs", entry)["oid"]
            mode = "lfs" if _is_lfs(path) else "regular"
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return 200, {"files": files}

    def batch(self, where: Any, query: Any, body: bytes) -> Any:
        self._may_write()
        self._repo(where)
        objects = []
        for item in json.loads(body)["objects"]:
            if item["oid"] not in self.hub.blobs:
                item["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}
            objects.append(item)
        return 200, {"transfer": "basic", "objects": objects}

    def put_blob(self, where: Any, query: Any, body: bytes) -> Any:
        if hashlib.sha256(body).hexdigest() != where["oid"]:
            raise RefusalError(400, "", "content does not match its id")
        self.hub.blobs[where["oid"]] = body
        return 200, b""

    def commit(self, where: Any, query: Any, body: bytes) -> Any:
        self._may_write()
        repo, name = self._repo(where)
        lines = [json.loads(line) for line in body.splitlines()]
        return self.hub.commit(repo, name, where["rev"], lines, query.get("create_pr") == ["1"])

    def info(self, where: Any, query: Any, body: bytes) -> Any:
        repo, commit, _ = self._found(where)
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        answer = {"id": where["id"], "sha": commit.oid, "private": repo.private, "tags": []}
        return 200, {**answer, "siblings": siblings, "downloads": 0, "likes": 0, "gated": False}

    def refs(self, where: Any, query: Any, body: bytes) -> Any:
        repo, _ = self._repo(where)
        listed = [
            {"name": ref, "ref": f"refs/heads/{ref}", "targetCommit": oid}
            for ref, oid in repo.refs.items()
        ]
        return 200, {"branches": listed, "tags": [], "converts": []}

    def tree(self, where: Any, query: Any, body: bytes) -> Any:
        _, commit, _ = self._found(where)
        folder = f"{where['path'].strip('/')}/" if where.get("path") else ""
        inside = [path for path in sorted(commit.files) if path.startswith(folder)]
        if folder and not inside:
            raise RefusalError(404, "EntryNotFound", f"{folder} does not exist")
        if query.get("recursive", ["false"])[0].lower() in ("true", "1"):
            return 200, [_entry(path, commit.files[path]) for path in inside]
        tops = dict.fromkeys(path[len(folder) :].split("/")[0] for path in inside)
        return 200, [_top(commit.files, folder + top) for top in tops]

    def paths(self, where: Any, query: Any, body: bytes) -> Any:
        _, commit, _ = self._found(where)
        text = body.decode()
        form = json.loads(text) if text.startswith("{") else parse_qs(text)
        wanted = form.get("paths", [])
        known = [path for path in wanted if any(f.startswith(path) for f in commit.files)]
        return 200, [_top(commit.files, path) for path in known]

    def resolve(self, where: Any, query: Any, body: bytes) -> Any:
        _, commit, _ = self._found(where)
        headers = {"X-Repo-Commit": commit.oid}
        if where["path"] not in commit.files:
            missing = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return 404, b"", {**headers, **missing}
        content = commit.files[where["path"]]
        entry = _entry(where["path"], content)
        headers |= {"ETag": f'"{entry.get("lfs", entry)["oid"]}"', "Accept-Ranges": "bytes"}
        headers["Content-Type"] = "application/octet-stream"
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if span and self.command == "GET":
            first, last = int(span[1]), int(span[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return 206, content[first : last + 1], headers
        return 200, content, headers


def _top(files: Files, path: str) -> dict[str, Any]:
    if path in files:
        return _entry(path, files[path])
    return {"type": "directory", "path": path, "size": 0, "oid": _git_oid(path.encode())}


_REPO = r"(?P<kind>models|datasets)/(?P<id>[^/]+/[^/]+)"
_GIT = r"/(?P<kind>datasets/)?(?P<id>[^/]+/[^/]+)"
_PR_OR_NAME = r"(?P<rev>refs/(?:pr|convert)/[^/]+|[^/]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", "/api/whoami-v2", _Handler.whoami),
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("POST", rf"/api/{_REPO}/preupload/{_PR_OR_NAME}", _Handler.preupload),
    ("POST", rf"/api/{_REPO}/commit/{_PR_OR_NAME}", _Handler.commit),
    ("POST", rf"/api/{_REPO}/branch/(?P<rev>.+)", _Handler.branch),
    ("POST", rf"/api/{_REPO}/paths-info/{_PR_OR_NAME}", _Handler.paths),
    ("POST", rf"{_GIT}\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", r"/lfs/(?P<oid>\w+)", _Handler.put_blob),
    ("GET", rf"/api/{_REPO}/refs", _Handler.refs),
    ("GET", rf"/api/{_REPO}(/revision/{_PR_OR_NAME})?", _Handler.info),
    ("GET", rf"/api/{_REPO}/tree/{_PR_OR_NAME}(/(?P<path>.*))?", _Handler.tree),
    ("GET HEAD", rf"{_GIT}/resolve/{_PR_OR_NAME}/(?P<path>.+)", _Handler.resolve),
)
