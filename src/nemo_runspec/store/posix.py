"""A store in a folder: a local disk, NFS, Lustre.

Files appear by ``link`` or ``rename``, whole or not at all. An exclusive create is a ``link``:
atomic where ``open(…, O_EXCL)`` is too, but the file is never seen half-written. (fsspec's
``pipe_file(mode="create")`` checks, then writes: of 1,600 concurrent creates 274 were double.)
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NoReturn

from nemo_runspec.store.backend import Change
from nemo_runspec.store.errors import (
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnreachableError,
)

_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EROFS, errno.EACCES, errno.EPERM)
# What `link` answers on a file system without hard links (exFAT, some FUSE and SMB mounts).
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK)
# What `flock` answers where the mount has no locks (Lustre without `-o flock`, NFS without lockd).
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO)
_LOCK = "_lock"
_LOCK_SECONDS = 10.0
_GROUP_FILE = 0o664
_GROUP_FOLDER = 0o2775


class PosixBackend:
    """A store in a folder of this machine, or of a file system that machines share."""

    is_local = True
    request_count = 0

    def __init__(
        self, root: str, *, shared: Literal["group"] | None = None, create: bool = True
    ) -> None:
        self.root = root
        self._shared = shared
        self._create = create
        self._links = True

    def read(self, path: str) -> bytes | None:
        # Opening is what makes NFS ask its server for the file as it is now.
        try:
            with open(f"{self.root}/{path}", "rb") as file:
                return file.read()
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            if error.errno == errno.ENOTDIR:
                self._check_root()
                return None
            self._fail("read", path, error)

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        found = ((path, self.read(path)) for path in dict.fromkeys(paths))
        return {path: body for path, body in found if body is not None}

    def exists(self, path: str) -> bool:
        try:
            descriptor = os.open(f"{self.root}/{path}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _ABSENT:
                return False
            self._fail("read", path, error)
        os.close(descriptor)
        return True

    def create(self, path: str, body: bytes, *, whole: bool = True, last: bool = True) -> bool:
        try:
            if self._links:
                try:
                    return self._create_by_link(path, body, whole, last)
                except _NoLinksError:
                    self._links = False
            return self._create_without_links(path, body, whole)
        except OSError as error:
            self._fail("write", path, error)

    def write(self, path: str, body: bytes) -> None:
        try:
            self._replace(path, body, durable=True)
        except OSError as error:
            self._fail("write", path, error)

    def update(self, path: str, change: Change) -> bool:
        folder = path.rpartition("/")[0]
        try:
            with self._lock(folder) as held:
                if not held:
                    return False
                body = change(self.read(path))
                if body is not None:
                    self._replace(path, body, durable=False)
                return True
        except OSError as error:
            self._fail("write", path, error)

    def touch(self, path: str, body: bytes) -> None:
        # By "now" and not by a time of ours, so that a file server takes its own clock.
        try:
            os.utime(f"{self.root}/{path}")
        except FileNotFoundError:
            self.write(path, body)
        except OSError as error:
            self._fail("write", path, error)

    def modified(self, path: str) -> float | None:
        try:
            descriptor = os.open(f"{self.root}/{path}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            self._fail("read", path, error)
        try:
            return os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)

    def now(self, folder: str) -> float:
        try:
            temporary = self._temporary(f"{folder}/now", b"now", durable=False)
            try:
                return os.stat(temporary).st_mtime
            finally:
                os.unlink(temporary)
        except OSError as error:
            self._fail("write", folder, error)

    def children(self, folder: str, prefix: str = "") -> list[str]:
        try:
            names = os.listdir(f"{self.root}/{folder}")
        except OSError as error:
            if error.errno in _ABSENT:
                self._check_root()
                return []
            self._fail("read", folder, error)
        return sorted(name for name in names if name.startswith(prefix))

    def files(self, folder: str, limit: int | None = None) -> list[str] | None:
        found: list[str] = []
        todo = [folder]
        while todo:
            current = todo.pop()
            below = f"{current}/" if current else ""
            for name in self.children(current):
                if name.startswith("."):
                    continue  # somebody's temporary file
                path = f"{below}{name}"
                if os.path.isdir(f"{self.root}/{path}"):
                    todo.append(path)
                else:
                    found.append(path)
            if limit is not None and len(found) > limit:
                return None
        return sorted(found)

    def delete(self, path: str) -> None:
        try:
            os.unlink(f"{self.root}/{path}")
        except OSError as error:
            if error.errno not in _ABSENT:
                self._fail("remove", path, error)

    def probe(self) -> Mapping[str, Any]:
        name = f"_probe-{uuid.uuid4().hex}"
        try:
            if not self.create(name, b"1") or self.create(name, b"2"):
                return {"exclusive_create": False, "compare_and_swap": False}
        finally:
            self.delete(name)
        return {
            "exclusive_create": "link" if self._links else "O_EXCL",
            "compare_and_swap": "flock" if self._can_lock() else False,
        }

    def _create_by_link(self, path: str, body: bytes, whole: bool, last: bool) -> bool:
        target = f"{self.root}/{path}"
        temporary = self._temporary(path, body, durable=whole)
        try:
            os.link(temporary, target)
        except FileExistsError:
            # A client that asks a file server again after a lost answer is told that it exists.
            return self.read(path) == body
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise _NoLinksError from error
            raise
        finally:
            os.unlink(temporary)
        if whole and last:
            _sync_folder(os.path.dirname(target))
        return True

    def _create_without_links(self, path: str, body: bytes, whole: bool) -> bool:
        target = f"{self.root}/{path}"
        if whole:
            # Only whoever made the file that counts (the claim, not whole) comes here.
            if os.path.lexists(target):
                return self.read(path) == body
            self._replace(path, body, durable=True)
            return True
        self._make_folder(os.path.dirname(target))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(target, flags, 0o666)
        except FileExistsError:
            return self.read(path) == body
        with os.fdopen(descriptor, "wb") as file:
            if self._shared:
                os.fchmod(file.fileno(), _GROUP_FILE)
            file.write(body)
        return True

    def _replace(self, path: str, body: bytes, durable: bool) -> None:
        target = f"{self.root}/{path}"
        temporary = self._temporary(path, body, durable)
        try:
            os.replace(temporary, target)
        except OSError:
            os.unlink(temporary)
            raise
        if durable:
            _sync_folder(os.path.dirname(target))

    def _temporary(self, path: str, body: bytes, durable: bool) -> str:
        """A file beside ``path`` that holds ``body``; no reader takes it for anything."""
        folder = os.path.dirname(f"{self.root}/{path}")
        temporary = f"{folder}/.{uuid.uuid4().hex}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(temporary, flags, 0o666)
        except FileNotFoundError:
            self._make_folder(folder)
            descriptor = os.open(temporary, flags, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if self._shared:
                    os.fchmod(file.fileno(), _GROUP_FILE)
                file.write(body)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        return temporary

    def _make_folder(self, folder: str) -> None:
        if not self._create and not os.path.isdir(self.root):
            raise StoreUnreachableError(f"the store {self.root} does not exist")
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        if self._shared and folder.startswith(self.root):
            missing.append(folder)  # somebody may have been killed between mkdir and chmod
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)
            if self._shared:
                self._share_folder(path)

    def _share_folder(self, path: str) -> None:
        status = os.stat(path)
        mode = stat.S_IMODE(status.st_mode)
        if mode & _GROUP_FOLDER != _GROUP_FOLDER and status.st_uid == os.geteuid():
            os.chmod(path, mode | _GROUP_FOLDER)

    @contextlib.contextmanager
    def _lock(self, folder: str) -> Iterator[bool]:
        """Holds a folder's lock; yields whether it could be had in time.

        Where there are no locks it yields True: what is changed under it is only ever a hint
        (``latest``, which readers look ahead of) or what a person sets (an alias).
        """
        import fcntl

        descriptor = self._open_lock(folder)
        try:
            # Never wait without end: whoever holds it may be stopped or on a machine that is gone.
            deadline = time.monotonic() + _LOCK_SECONDS
            pause = 0.0005
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        yield False
                        return
                    time.sleep(pause)
                    pause = min(pause * 1.5, 0.02)
                    continue
                except OSError as error:
                    if error.errno not in _NO_LOCKS:
                        raise
                    yield True
                    return
                break
            try:
                yield True
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _open_lock(self, folder: str) -> int:
        path = f"{self.root}/{folder}/{_LOCK}"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o666)
        except FileNotFoundError:
            self._make_folder(os.path.dirname(path))
            descriptor = os.open(path, flags, 0o666)
        if self._shared and os.fstat(descriptor).st_uid == os.geteuid():
            os.fchmod(descriptor, _GROUP_FILE)
        return descriptor

    def _can_lock(self) -> bool:
        import fcntl

        descriptor = self._open_lock("")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _check_root(self) -> None:
        if os.path.exists(self.root) and not os.path.isdir(self.root):
            raise StoreUnreachableError(
                f"the store {self.root} is a file, not a folder; name another root"
            )

    def _fail(self, doing: str, path: str, error: OSError) -> NoReturn:
        if isinstance(error, StoreError):
            raise error
        what = f"cannot {doing} {self.root}/{path}: {os.strerror(error.errno or 0)}"
        if error.errno in _FULL:
            raise StoreFullError(
                f"{what}; free some room at the store {self.root}, then run it again"
            ) from error
        if error.errno in _NOT_ALLOWED and doing != "read":
            raise StoreReadOnlyError(
                f"{what}; the store {self.root} cannot be written by this user"
            ) from error
        self._check_root()
        raise StoreUnreachableError(f"{what}; is the store {self.root} there?") from error


class _NoLinksError(Exception):
    """The file system has no hard links."""


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise  # those say that a folder needs none here
    finally:
        os.close(descriptor)
