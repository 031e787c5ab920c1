"""A store in a repository of the Hugging Face Hub: ``hf://datasets/OWNER/NAME[@BRANCH][/FOLDER]``.

Every change is one commit on top of the head that was read, so that of two writers one is refused
(412) and looks again. A version is one commit. All reading is at a commit, never at a branch, whose
files may come out of a cache.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.optional import optional_import
from nemo_runspec.store.backend import Change, Reader
from nemo_runspec.store.errors import (
    StoreError,
    StoreReadOnlyError,
    StoreUnreachableError,
    StoreUnsupportedError,
)

T = TypeVar("T")

_AT_ONCE = 16
_TRIES = 40
_PAUSE_SECONDS = 0.2
# The Hub says how long to wait when it is asked too much; so long at most.
_MOST_PAUSE_SECONDS = 60.0
_KINDS = {"datasets": "dataset", "models": "model", "spaces": "space"}


class HubBackend:
    """A store in one repository of the Hub."""

    is_local = False

    def __init__(self, root: str, options: Mapping[str, Any]) -> None:
        self.root = root.rstrip("/")
        self.request_count = 0
        self._options = dict(options)
        parts = self.root.partition("://")[2].strip("/").split("/")
        self._kind = _KINDS.get(parts[0], "model")
        named = parts[1:] if parts[0] in _KINDS else parts
        if len(named) < 2 or not all(named):
            raise StoreUnsupportedError(
                f"{root} names no repository of the Hub; write hf://datasets/OWNER/NAME"
            )
        name, _, branch = named[1].partition("@")
        self._repository = f"{named[0]}/{name}"
        self._branch = branch or "main"
        self._base = "/".join(named[2:])
        self._hub: Any = optional_import("huggingface_hub", needed_for=f"the store {self.root}")
        self._api: Any = self._hub.HfApi(
            endpoint=self._options.get("endpoint"), token=self._options.get("token")
        )
        self._counting = threading.Lock()

    def read(self, path: str) -> bytes | None:
        return self._do("read", path, lambda: self._head().read(path))

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        if not paths:
            return {}
        return self._do("read", paths[0], lambda: self._head().read_many(paths))

    def exists(self, path: str) -> bool:
        return self.read(path) is not None

    def create(self, path: str, body: bytes, *, whole: bool = True, last: bool = True) -> bool:
        there: bytes | None = None

        def change(at: Reader) -> dict[str, bytes | None]:
            nonlocal there
            there = at.read(path)
            return {path: body} if there is None else {}

        if not self.commit(change, f"Create {path}"):
            self._give_up(path)
        return there is None or there == body

    def write(self, path: str, body: bytes) -> None:
        if not self.commit(lambda at: {path: body}, f"Write {path}"):
            self._give_up(path)

    def update(self, path: str, change: Change) -> bool:
        def changed(at: Reader) -> dict[str, bytes | None]:
            body = change(at.read(path))
            return {} if body is None else {path: body}

        return self.commit(changed, f"Change {path}")

    def touch(self, path: str, body: bytes) -> None:
        # A commit that changes nothing is none.
        self.write(path, body.rstrip() + b" " * random.randrange(1, 1000) + b"\n")

    def modified(self, path: str) -> float | None:
        def look() -> float | None:
            self._count()
            found = self._api.get_paths_info(
                self._repository,
                [self._at(path)],
                expand=True,
                revision=self._branch,
                repo_type=self._kind,
            )
            return float(found[0].last_commit.date.timestamp()) if found else None

        return self._do("read", path, look)

    def now(self, folder: str) -> float:
        return time.time()

    def children(self, folder: str, prefix: str = "") -> list[str]:
        return self._do("list", folder, lambda: self._head().children(folder, prefix))

    def files(self, folder: str, limit: int | None = None) -> list[str] | None:
        return self._do("list", folder, lambda: self._head().files(folder, limit))

    def delete(self, path: str) -> None:
        def change(at: Reader) -> dict[str, bytes | None]:
            return {} if at.read(path) is None else {path: None}

        self.commit(change, f"Remove {path}")

    def probe(self) -> Mapping[str, Any]:
        return {"exclusive_create": "commit", "compare_and_swap": "commit"}

    def commit(self, change: Callable[[Reader], Mapping[str, bytes | None]], message: str) -> bool:
        """Change files in one commit; ``change`` is asked again when somebody was faster.

        Args:
            change: gets the files as they are, returns by path what they shall be (None: not
                there); nothing when there is nothing to do.
            message: the commit's.

        Returns:
            Whether it was done or needed nothing; False when others were always faster.
        """
        return self._do("write", "", lambda: self._commit(change, message))

    def _commit(self, change: Callable[[Reader], Mapping[str, bytes | None]], message: str) -> bool:
        hub = self._hub
        for attempt in range(_TRIES):
            head = self._head()
            files = change(head)
            if not files:
                return True
            operations = [
                hub.CommitOperationDelete(path_in_repo=self._at(path))
                if body is None
                else hub.CommitOperationAdd(path_in_repo=self._at(path), path_or_fileobj=body)
                for path, body in files.items()
            ]
            self._count()
            try:
                done = self._api.create_commit(
                    self._repository,
                    operations,
                    commit_message=message,
                    repo_type=self._kind,
                    revision=self._branch,
                    parent_commit=head.commit,
                )
            except hub.errors.HfHubHTTPError as error:
                status = error.response.status_code
                if status not in (409, 412, 429):
                    raise
                _pause(error.response.headers if status == 429 else {}, attempt)
                continue
            self._check_taken(files, done.oid)
            return True
        return False

    def _check_taken(self, files: Mapping[str, bytes | None], commit: str) -> None:
        """A .gitignore of the repository makes the Hub leave files out without a word."""
        path = next((path for path, body in files.items() if body is not None), None)
        if path is not None and _Revision(self, commit).read(path) != files[path]:
            raise StoreError(
                f"the store {self.root} did not take {path}; does a .gitignore of the repository "
                "name it?"
            )

    def _head(self) -> _Revision:
        self._count()
        info = self._api.repo_info(
            self._repository, repo_type=self._kind, revision=self._branch, timeout=30
        )
        return _Revision(self, info.sha)

    def _get(self, path: str, commit: str) -> bytes | None:
        self._count()
        url = self._hub.hf_hub_url(
            self._repository,
            self._at(path),
            repo_type=self._kind,
            revision=commit,
            endpoint=self._options.get("endpoint"),
        )
        headers = self._hub.utils.build_hf_headers(token=self._options.get("token"))
        answer = self._hub.get_session().get(url, headers=headers, follow_redirects=True)
        try:
            self._hub.utils.hf_raise_for_status(answer)
        except self._hub.errors.EntryNotFoundError:
            return None
        body: bytes = answer.content
        return body

    def _tree(self, folder: str, commit: str, *, recursive: bool) -> list[Any]:
        self._count()
        try:
            return list(
                self._api.list_repo_tree(
                    self._repository,
                    self._at(folder) or None,
                    recursive=recursive,
                    revision=commit,
                    repo_type=self._kind,
                )
            )
        except self._hub.errors.EntryNotFoundError:
            return []

    def _at(self, path: str) -> str:
        return "/".join(part for part in (self._base, path) if part)

    def _below(self, path: str) -> str:
        return path[len(self._base) + 1 :] if self._base else path

    def _count(self) -> None:
        with self._counting:
            self.request_count += 1

    def _do(self, doing: str, path: str, action: Callable[[], T]) -> T:
        try:
            return action()
        except NemoRunspecError:
            raise
        except Exception as error:
            # What the client raises is the union of what its libraries do; all of it means this.
            self._fail(doing, path, error)

    def _give_up(self, path: str) -> NoReturn:
        raise StoreUnreachableError(
            f"the store {self.root} is written by too many at once to write {path}; try again later"
        )

    def _fail(self, doing: str, path: str, error: Exception) -> NoReturn:
        where = f"{self.root}/{path}" if path else self.root
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, self._hub.errors.RepositoryNotFoundError) or status == 401:
            raise StoreUnreachableError(
                f"cannot {doing} {where}: the Hub has no {self._kind} repository "
                f"{self._repository} that we may see; make it, or log in (HF_TOKEN)"
            ) from error
        if status == 403 and doing == "write":
            raise StoreReadOnlyError(
                f"cannot {doing} {where}: this token may not write to {self._repository}"
            ) from error
        said = str(error) or type(error).__name__
        raise StoreUnreachableError(
            f"cannot {doing} {where}: {said} ({type(error).__name__}); check the network and the "
            "token"
        ) from error


class _Revision:
    """The files of one commit, which never change."""

    def __init__(self, backend: HubBackend, commit: str) -> None:
        self.commit = commit
        self._backend = backend

    def read(self, path: str) -> bytes | None:
        return self._backend._get(path, self.commit)

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        from concurrent.futures import ThreadPoolExecutor

        wanted = list(dict.fromkeys(paths))
        with ThreadPoolExecutor(max_workers=min(_AT_ONCE, max(1, len(wanted)))) as pool:
            bodies = list(pool.map(self.read, wanted))
        return {p: body for p, body in zip(wanted, bodies, strict=True) if body is not None}

    def children(self, folder: str, prefix: str = "") -> list[str]:
        found = self._backend._tree(folder, self.commit, recursive=False)
        names = (entry.path.rpartition("/")[2] for entry in found)
        return sorted(name for name in names if name.startswith(prefix))

    def files(self, folder: str, limit: int | None = None) -> list[str] | None:
        found = self._backend._tree(folder, self.commit, recursive=True)
        paths = [self._backend._below(entry.path) for entry in found if hasattr(entry, "size")]
        return None if limit is not None and len(paths) > limit else sorted(paths)


def _pause(headers: Mapping[str, str], attempt: int) -> None:
    try:
        asked = float(headers.get("Retry-After", "0"))
    except ValueError:  # a date
        asked = _MOST_PAUSE_SECONDS
    grown = _PAUSE_SECONDS * min(2 ** min(attempt, 5), 16) * (0.5 + random.random())
    time.sleep(min(max(asked, grown), _MOST_PAUSE_SECONDS))
