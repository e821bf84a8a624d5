"""A Hub in a thread: the endpoints that huggingface_hub calls for an upload, and what arrived, byte for byte."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

LFS_SUFFIXES = (".safetensors", ".onnx", ".png")


def git_blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    visibility: str
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {".gitattributes": b""}})
    commits: dict[str, tuple[str, str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def add_commit(self, branch: str, summary: str) -> str:
        oid = hashlib.sha1(f"{len(self.commits)}{branch}".encode()).hexdigest()
        self.commits[oid] = (branch, summary)
        return oid


@dataclass
class Hub:
    """What the server holds.

    `faults` maps a part of "METHOD path" to the status that is answered there, or to 0, which cuts the line.
    """

    user: str = "someone"
    token: str = "a-token-of-the-test"
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return status and JSON of one request."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if path == "/api/whoami-v2":
            return 200, {"name": self.user, "type": "user"}
        if path == "/api/validate-yaml":
            return 200, {"warnings": [], "errors": []}
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if method == "PUT" and parts[0] == "objects":
            self.objects[parts[1]] = body
            return 200, {}
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, self.batch(json.loads(body))
        if parts[:2] != ["api", "models"] or "/".join(parts[2:4]) not in self.repositories:
            return 404, {"error": "Repository not found"}
        return self.of_repository("/".join(parts[2:4]), parts[4:], body)

    def create(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        name = f"{wanted['organization'] or self.user}/{wanted['name']}"
        known = name in self.repositories
        if not known:
            self.repositories[name] = Repository(wanted.get("visibility", "public"))
        return 409 if known else 200, {"url": f"{self.url}/{name}"}

    def batch(self, wanted: dict[str, Any]) -> dict[str, Any]:
        rows = []
        for row in wanted["objects"]:
            actions = {"upload": {"href": f"{self.url}/objects/{row['oid']}"}}
            rows.append({**row} if row["oid"] in self.objects else {**row, "actions": actions})
        return {"transfer": "basic", "objects": rows}

    def of_repository(self, name: str, parts: list[str], body: bytes) -> tuple[int, Any]:
        repository, url = self.repositories[name], f"{self.url}/{name}"
        if not parts or parts[0] == "revision":
            files = [{"rfilename": path} for path in repository.branches[parts[1] if parts else "main"]]
            last = list(repository.commits)[-1] if repository.commits else "0" * 40
            return 200, {"id": name, "private": repository.visibility == "private", "siblings": files, "sha": last}
        if parts[0] == "refs":
            tags = [
                {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid} for tag, oid in repository.tags.items()
            ]
            return 200, {"branches": [], "converts": [], "tags": tags}
        if parts[0] == "branch":
            known = parts[1] in repository.branches
            repository.branches.setdefault(parts[1], dict(repository.branches["main"]))
            return 409 if known else 200, {"error": "exists"} if known else {}
        if parts[0] == "tag":
            repository.tags[json.loads(body)["tag"]] = parts[1]
            return 200, {}
        files = repository.branches[parts[1]]
        if parts[0] == "tree":
            return 200, [{"type": "file", "path": path, "size": 1, "oid": git_blob_id(files[path])} for path in files]
        if parts[0] == "preupload":
            return 200, {"files": [self.upload_mode(files, row) for row in json.loads(body)["files"]]}
        assert parts[0] == "commit", parts
        oid = self.commit(repository, parts[1], [json.loads(line) for line in body.splitlines()])
        return 200, {"commitUrl": f"{url}/commit/{oid}", "commitOid": oid}

    def upload_mode(self, files: dict[str, bytes], row: dict[str, Any]) -> dict[str, Any]:
        path = row["path"]
        mode = "lfs" if path.endswith(LFS_SUFFIXES) else "regular"
        known = {"oid": git_blob_id(files[path])} if path in files and mode == "regular" else {}
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, **known}

    def commit(self, repository: Repository, branch: str, lines: list[dict[str, Any]]) -> str:
        files, summary = dict(repository.branches[branch]), ""
        for line in lines:
            kind, value = line["key"], line["value"]
            if kind == "header":
                summary = value["summary"]
            elif kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
                assert hashlib.sha256(files[value["path"]]).hexdigest() == value["oid"]
            else:
                assert kind == "deletedFile", kind
                del files[value["path"]]
        repository.branches[branch] = files
        return repository.add_commit(branch, summary)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Yield a hub that listens on a free port of this machine."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            path = self.path.partition("?")[0]
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.requests.append(f"{self.command} {path}")
            status = next((code for part, code in hub.faults.items() if part in hub.requests[-1]), None)
            answer: Any = {"error": "as the test wants it"}
            if status == 0:
                self.connection.close()
                return
            if status is None and not path.startswith("/objects/"):
                is_known = self.headers.get("Authorization") == f"Bearer {hub.token}"
                status, answer = hub.answer(self.command, path, body) if is_known else (401, answer)
            elif status is None:
                status, answer = hub.answer(self.command, path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
