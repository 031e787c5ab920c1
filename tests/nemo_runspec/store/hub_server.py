"""As much of the Hugging Face Hub as huggingface_hub asks of it here: commits on one branch.

As its client sends them: https://huggingface.co/docs/hub/api and `_commit_api.py` there. A commit
whose `parentCommit` is not the head is refused with 412; every seventh is first put off with 429.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from tests.nemo_runspec.store.wsgi_server import serve


@contextlib.contextmanager
def hub_server() -> Iterator[dict[str, Any]]:
    """Yields what to give to ``open_store`` as ``storage_options``."""
    with serve(_application()) as url:
        yield {"endpoint": url, "token": "hf_testing"}


class _Repository:
    def __init__(self) -> None:
        self.head = hashlib.sha1(b"").hexdigest()
        self.commits: dict[str, dict[str, bytes]] = {self.head: {}}
        self.written: dict[str, str] = {}

    def commit(self, files: dict[str, bytes | None]) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        tree = dict(self.commits[self.head])
        for path, body in files.items():
            self.written[path] = now
            tree.pop(path, None)
            if body is not None:
                tree[path] = body
        self.head = hashlib.sha1(f"{self.head} {sorted(files)}".encode()).hexdigest()
        self.commits[self.head] = tree


def _application() -> Any:
    from werkzeug.wrappers import Request, Response

    repositories: dict[str, _Repository] = {}
    requests = itertools.count(1)

    def says(document: Any, status: int = 200, **headers: str) -> Response:
        return Response(
            json.dumps(document),
            status,
            headers={key.replace("_", "-"): value for key, value in headers.items()},
            content_type="application/json",
        )

    def entry(repository: _Repository, path: str, body: bytes) -> dict[str, Any]:
        return {
            "type": "file",
            "path": path,
            "size": len(body),
            "oid": hashlib.sha1(b"blob %d\0%b" % (len(body), body)).hexdigest(),
            "lastCommit": {
                "id": repository.head,
                "title": "a commit",
                "date": repository.written[path],
            },
        }

    def commit(repository: _Repository, request: Request) -> Response:
        if next(requests) % 7 == 0:
            return says({"error": "too many requests"}, 429, Retry_After="0")
        lines = [json.loads(line) for line in request.get_data().splitlines()]
        if lines[0]["value"]["parentCommit"] != repository.head:
            return says({"error": "A commit has happened since."}, 412)
        files: dict[str, bytes | None] = {}
        for line in lines[1:]:
            path = line["value"]["path"]
            content = line["value"].get("content")
            files[path] = None if content is None else base64.b64decode(content)
        repository.commit(files)
        return says(
            {
                "success": True,
                "commitOid": repository.head,
                "commitUrl": f"{request.host_url}datasets/team/store/commit/{repository.head}",
                "hookOutput": "",
            }
        )

    def tree(repository: _Repository, commit: str, folder: str, deep: bool) -> Response:
        files = repository.commits[commit]
        below = f"{folder}/" if folder else ""
        found: dict[str, dict[str, Any]] = {}
        for path, body in files.items():
            if not path.startswith(below):
                continue
            head, slash, _ = path[len(below) :].partition("/")
            if slash:
                found[below + head] = {"type": "directory", "path": below + head, "oid": "0"}
            if deep or not slash:
                found[path] = entry(repository, path, body)
        if not found:
            return says({"error": "not found"}, 404, X_Error_Code="EntryNotFound")
        return says(list(found.values()))

    @Request.application
    def app(request: Request) -> Response:
        from urllib.parse import unquote

        raw = request.environ["RAW_URI"].partition("?")[0].strip("/")
        parts = [unquote(part) for part in raw.split("/")]
        if parts[0] == "api":
            parts = parts[1:]
        name, action, rest = "/".join(parts[1:3]), parts[3], parts[4:]
        if name == "nobody/nothing":
            return says({"error": "not found"}, 404, X_Error_Code="RepoNotFound")
        repository = repositories.setdefault(name, _Repository())
        if action == "revision":
            return says({"id": name, "sha": repository.head, "siblings": [], "tags": []})
        if action == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in request.get_json()["files"]
            ]
            return says({"files": files})
        if action == "commit":
            return commit(repository, request)
        if action == "tree":
            deep = request.args.get("recursive") in ("true", "True", "1")
            return tree(repository, rest[0], "/".join(rest[1:]), deep)
        if action == "paths-info":
            held = repository.commits[repository.head]
            asked = request.form.getlist("paths") or (request.get_json(silent=True) or {})["paths"]
            return says([entry(repository, p, held[p]) for p in asked if p in held])
        if action == "resolve":
            body = repository.commits[rest[0]].get("/".join(rest[1:]))
            if body is None:
                return says({"error": "not found"}, 404, X_Error_Code="EntryNotFound")
            return Response(body)
        return says({"error": f"not known here: {raw}"}, 500)

    return app
