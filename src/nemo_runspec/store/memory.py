"""A store in this process's memory: ``memory://…``, the files of fsspec's memory file system."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from nemo_runspec.optional import optional_import
from nemo_runspec.store.backend import Change

# fsspec's own create checks, then acts; all stores of the process are in one place, so one lock.
_lock = threading.RLock()


class MemoryBackend:
    """A store that threads of one process share and that ends with it."""

    is_local = False

    def __init__(self, root: str) -> None:
        memory = optional_import("fsspec.implementations.memory", needed_for=f"the store {root}")
        self.root = root
        self.request_count = 0
        self._fs: Any = memory.MemoryFileSystem()
        self._base = "/" + root.partition("://")[2].strip("/")

    def read(self, path: str) -> bytes | None:
        with _lock:
            self.request_count += 1
            file = self._fs.store.get(self._at(path))
            return None if file is None else bytes(file.getvalue())

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        found = ((path, self.read(path)) for path in dict.fromkeys(paths))
        return {path: body for path, body in found if body is not None}

    def exists(self, path: str) -> bool:
        return self.read(path) is not None

    def create(self, path: str, body: bytes, *, whole: bool = True, last: bool = True) -> bool:
        with _lock:
            there = self.read(path)
            if there is None:
                self.write(path, body)
            return there is None or there == body

    def write(self, path: str, body: bytes) -> None:
        with _lock:
            self.request_count += 1
            self._fs.pipe_file(self._at(path), body)

    def update(self, path: str, change: Change) -> bool:
        with _lock:
            body = change(self.read(path))
            if body is not None:
                self.write(path, body)
            return True

    def touch(self, path: str, body: bytes) -> None:
        self.write(path, body)

    def modified(self, path: str) -> float | None:
        with _lock:
            file = self._fs.store.get(self._at(path))
            return None if file is None else file.modified.timestamp()

    def now(self, folder: str) -> float:
        return time.time()

    def children(self, folder: str, prefix: str = "") -> list[str]:
        below = self._at(folder).rstrip("/") + "/"
        with _lock:
            self.request_count += 1
            paths = [path for path in self._fs.store if path.startswith(below)]
        names = {path[len(below) :].partition("/")[0] for path in paths}
        return sorted(name for name in names if name.startswith(prefix))

    def files(self, folder: str, limit: int | None = None) -> list[str] | None:
        below = self._at(folder).rstrip("/") + "/"
        start = len(self._base.rstrip("/")) + 1
        with _lock:
            self.request_count += 1
            paths = sorted(path[start:] for path in self._fs.store if path.startswith(below))
        return None if limit is not None and len(paths) > limit else paths

    def delete(self, path: str) -> None:
        with _lock:
            self.request_count += 1
            self._fs.store.pop(self._at(path), None)

    def probe(self) -> Mapping[str, Any]:
        return {"exclusive_create": "lock", "compare_and_swap": "lock"}

    def _at(self, path: str) -> str:
        return f"{self._base.rstrip('/')}/{path}"
