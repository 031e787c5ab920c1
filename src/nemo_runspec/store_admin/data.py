"""The data that versions point to: folders and files, here or in an object store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.optional import optional_import


class DataError(ArtifactError):
    """The data of a version cannot be looked at or removed."""


class Data:
    """What lies at one path or URL.

    Args:
        path: where: a path of this machine, or a URL that fsspec knows.
        storage_options: how to reach it, for fsspec.
    """

    def __init__(self, path: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._options = dict(storage_options or {})

    @property
    def local(self) -> Path | None:
        """The path, if it is one of this machine."""
        if "://" not in self.path:
            return Path(self.path)
        if self.path.startswith("file://"):
            return Path(self.path.removeprefix("file://"))
        return None

    def exists(self) -> bool:
        """Whether there is anything.

        Raises:
            DataError: nobody can tell: the place does not answer.
        """
        if self.local is not None:
            return os.path.lexists(self.local)
        filesystem, path = self._remote()
        with self._explained("looked at"):
            return bool(filesystem.exists(path))

    def size(self) -> int | None:
        """Its bytes, a folder's files together; None if there is nothing.

        Raises:
            DataError: the place does not answer.
        """
        if self.local is not None:
            return _local_size(self.local)
        filesystem, path = self._remote()
        with self._explained("looked at"):
            return int(filesystem.du(path)) if filesystem.exists(path) else None

    def remove(self) -> None:
        """Remove it, whatever it is; a link is removed, not what it points to.

        Raises:
            DataError: some of it cannot be removed.
        """
        with self._explained("removed"):
            if self.local is None:
                filesystem, path = self._remote()
                if filesystem.exists(path):
                    filesystem.rm(path, recursive=True)
            elif self.local.is_dir() and not self.local.is_symlink():
                shutil.rmtree(self.local)
            else:
                self.local.unlink(missing_ok=True)

    def _remote(self) -> tuple[Any, str]:
        fsspec = optional_import("fsspec", needed_for=self.path.partition("://")[0] + "://")
        with self._explained("looked at"):
            filesystem, path = fsspec.core.url_to_fs(self.path, **self._options)
            # What others did a moment ago counts.
            filesystem.invalidate_cache()
            return filesystem, path

    def _explained(self, doing: str) -> _Explained:
        return _Explained(f"{self.path}: cannot be {doing}")


class _Explained:
    """Turns what a file system raises into one line that names the path."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> None:
        # Each file system's client has errors of its own.
        if isinstance(error, Exception) and not isinstance(error, ArtifactError):
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DataError(f"{self._what}: {reason}") from error


def overlap(one: str, other: str) -> bool:
    """Whether two paths name the same place, or one lies in the other."""
    first, second = _parts(one), _parts(other)
    shorter = min(len(first), len(second))
    return first[:shorter] == second[:shorter]


def contains(outer: str, inner: str) -> bool:
    """Whether ``inner`` is ``outer`` or lies in it."""
    first, second = _parts(outer), _parts(inner)
    return second[: len(first)] == first


def _parts(path: str) -> tuple[str, ...]:
    if "://" in path and not path.startswith("file://"):
        scheme, _, rest = path.partition("://")
        return (scheme, *(part for part in rest.split("/") if part))
    return ("file", *os.path.realpath(path.removeprefix("file://")).strip("/").split("/"))


def _local_size(path: Path) -> int | None:
    if not os.path.lexists(path):
        return None
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    return sum(_file_sizes(path))


def _file_sizes(folder: Path) -> Iterator[int]:
    for parent, _, names in os.walk(folder):
        for name in names:
            # A job may be at work in there.
            try:
                yield os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
