"""A store in a bucket: S3, Google Cloud Storage, Azure Blob Storage.

A create that only one writer can win is a conditional request (``If-None-Match: *``,
``ifGenerationMatch=0``), a change is one that names what it read (``If-Match``, a generation).
Listings are never cached: what was listed a moment ago says nothing of now.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import uuid
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote

from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.optional import optional_import
from nemo_runspec.store.backend import Change
from nemo_runspec.store.errors import StoreError, StoreReadOnlyError, StoreUnreachableError

T = TypeVar("T")

_AT_ONCE = 64
_TRIES = 30
_PAUSE_SECONDS = 0.05


class ObjectBackend:
    """A store in a bucket, through the bucket's fsspec file system."""

    is_local = False
    scheme = ""
    package = ""
    # The one method of the file system that every request of its goes through.
    sends = ""

    def __init__(self, root: str, options: Mapping[str, Any]) -> None:
        self.root = root.rstrip("/")
        self.request_count = 0
        self._options = dict(options)
        self._base = self.root.partition("://")[2].strip("/")
        if not self._base:
            raise StoreUnreachableError(f"{root} names no bucket; write {self.scheme}://BUCKET/…")
        self._made: tuple[int, Any] | None = None

    def read(self, path: str) -> bytes | None:
        return self._run(self._get(path), "read", path)

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        if not paths:
            return {}
        wanted = list(dict.fromkeys(paths))
        bodies = self._run(_gather(map(self._get, wanted)), "read", wanted[0])
        return {p: body for p, body in zip(wanted, bodies, strict=True) if body is not None}

    def exists(self, path: str) -> bool:
        return self.read(path) is not None

    def create(self, path: str, body: bytes, *, whole: bool = True, last: bool = True) -> bool:
        if not body:
            raise ValueError("an empty object is created unconditionally")
        return self._run(self._create(path, body), "write", path)

    def write(self, path: str, body: bytes) -> None:
        self._run(self._put(path, body), "write", path)

    def update(self, path: str, change: Change) -> bool:
        return self._run(self._update(path, change), "write", path)

    def touch(self, path: str, body: bytes) -> None:
        self.write(path, body)

    def modified(self, path: str) -> float | None:
        return self._run(self._modified(path), "read", path)

    def now(self, folder: str) -> float:
        path = f"{folder}/_now-{uuid.uuid4().hex}"
        self.write(path, b"now")
        try:
            written = self.modified(path)
        finally:
            self.delete(path)
        if written is None:
            raise StoreError(f"the store {self.root} lost {path} that was just written to it")
        return written

    def children(self, folder: str, prefix: str = "") -> list[str]:
        return self._run(self._children(folder, prefix), "list", folder)

    def files(self, folder: str, limit: int | None = None) -> list[str] | None:
        return self._run(self._files(folder, limit), "list", folder)

    def delete(self, path: str) -> None:
        self._run(self._delete(path), "remove", path)

    def probe(self) -> Mapping[str, Any]:
        path = f"_probe-{uuid.uuid4().hex}"
        try:
            exclusive = self.create(path, b"1") and not self.create(path, b"2")
            swaps = exclusive and self._run(self._can_swap(path), "write", path)
        finally:
            self.delete(path)
        return {
            "exclusive_create": "conditional write" if exclusive else False,
            "compare_and_swap": "conditional write" if swaps else False,
        }

    # What differs between kinds of buckets

    def _default_options(self) -> dict[str, Any]:
        return {}

    async def _get_tagged(self, path: str) -> tuple[bytes | None, Any]:
        """What a file holds, and what a conditional write says to mean this state of it."""
        return await self._get(path), None

    async def _put_if(self, path: str, body: bytes, tag: Any) -> bool:
        """Write if the file is in that state still; here: without looking, where none can."""
        await self._put(path, body)
        return True

    async def _can_swap(self, path: str) -> bool:
        _, tag = await self._get_tagged(path)
        return await self._put_if(path, b"3", tag) and not await self._put_if(path, b"4", tag)

    async def _list(self, at: str, prefix: str) -> list[dict[str, Any]]:
        """What is in a folder; may hold more than what begins so."""
        found: list[dict[str, Any]] = await self._fs._ls(at, detail=True, refresh=True)
        return found

    # How

    @property
    def _fs(self) -> Any:
        # The event loop of a file system does not outlive a fork.
        if self._made is None or self._made[0] != os.getpid():
            fsspec = optional_import("fsspec", needed_for=f"the store {self.root}")
            optional_import(self.package, needed_for=f"the store {self.root}")
            options = {
                "use_listings_cache": False,
                "skip_instance_cache": True,
                **self._default_options(),
                **self._options,
            }
            made = fsspec.filesystem(self.scheme, **options)
            self._count_requests(made)
            self._made = (os.getpid(), made)
        return self._made[1]

    def _count_requests(self, fs: Any) -> None:
        if not self.sends:
            return
        send = getattr(fs, self.sends)

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.request_count += 1
            return await send(*args, **kwargs)

        setattr(fs, self.sends, counted)

    def _at(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base

    def _run(self, request: Coroutine[Any, Any, T], doing: str, path: str) -> T:
        try:
            asyn = optional_import("fsspec.asyn", needed_for=f"the store {self.root}")
            result: T = asyn.sync(self._fs.loop, _within, request)
        except NemoRunspecError:
            request.close()  # it may not have begun, and Python would warn of that
            raise
        except Exception as error:
            # What a client raises is the union of what its libraries do; all of it means this.
            self._fail(doing, path, error)
        return result

    async def _get(self, path: str) -> bytes | None:
        try:
            body: bytes = await self._fs._cat_file(self._at(path))
        except FileNotFoundError as error:
            await self._check_absent(error)
            return None
        return body

    async def _put(self, path: str, body: bytes) -> None:
        await self._fs._pipe_file(self._at(path), body)

    async def _create(self, path: str, body: bytes) -> bool:
        for _ in range(_TRIES):
            try:
                await self._fs._pipe_file(self._at(path), body, mode="create")
            except OSError as error:
                if _is_conflict(error):
                    await _pause()
                    continue
                if not _is_precondition(error):
                    raise
                there = await self._get(path)
                if there is None and not isinstance(error, FileExistsError):
                    raise
                # A client that asks again after a lost answer is told that it exists.
                return there == body
            return True
        raise StoreUnreachableError(
            f"the store {self.root} is asked too much at once to write {path}; try again later"
        )

    async def _update(self, path: str, change: Change) -> bool:
        for _ in range(_TRIES):
            held, tag = await self._get_tagged(path)
            body = change(held)
            if body is None or await self._put_if(path, body, tag):
                return True
            await _pause()
        return False

    async def _modified(self, path: str) -> float | None:
        try:
            written = await self._written(path)
        except FileNotFoundError as error:
            await self._check_absent(error)
            return None
        return written

    async def _written(self, path: str) -> float:
        info = await self._fs._info(self._at(path))
        for key in ("LastModified", "mtime", "last_modified"):
            if key in info:
                return float(info[key].timestamp())
        raise StoreError(f"the store {self.root} does not say when {path} was written")

    async def _children(self, folder: str, prefix: str) -> list[str]:
        try:
            found = await self._list(self._at(folder), prefix)
        except FileNotFoundError as error:
            await self._check_absent(error)
            return []
        names = (str(info["name"]).rstrip("/").rpartition("/")[2] for info in found)
        return sorted(name for name in names if name.startswith(prefix))

    async def _files(self, folder: str, limit: int | None) -> list[str] | None:
        try:
            found = await self._fs._find(self._at(folder))
        except FileNotFoundError as error:
            await self._check_absent(error)
            return []
        below = len(self._base) + 1
        return (
            None if limit is not None and len(found) > limit else sorted(p[below:] for p in found)
        )

    async def _delete(self, path: str) -> None:
        try:
            await self._fs._rm_file(self._at(path))
        except FileNotFoundError as error:
            await self._check_absent(error)

    async def _check_absent(self, error: FileNotFoundError) -> None:
        """Tells a file that is not there from a bucket that is not there."""
        self._check_bucket(error)

    def _check_bucket(self, error: BaseException) -> None:
        if _code(error) == "NoSuchBucket":
            raise self._no_bucket() from error

    def _no_bucket(self) -> StoreUnreachableError:
        bucket = self._base.partition("/")[0]
        return StoreUnreachableError(
            f"the store {self.root} cannot be used: there is no bucket {bucket!r}; "
            "make it, or name another root"
        )

    def _fail(self, doing: str, path: str, error: Exception) -> NoReturn:
        self._check_bucket(error)
        said = str(error) or type(error).__name__
        where = f"{self.root}/{path}" if path else self.root
        refused = isinstance(error, PermissionError) or said.startswith("Forbidden")
        if refused and doing in ("write", "remove"):
            raise StoreReadOnlyError(
                f"cannot {doing} {where}: {said}; these credentials may not write to the store"
            ) from error
        raise StoreUnreachableError(
            f"cannot {doing} {where}: {said} ({type(error).__name__}); check the store's address, "
            "the network and the credentials"
        ) from error


class S3Backend(ObjectBackend):
    """A store in an S3 bucket, Amazon's or another's that knows conditional writes."""

    scheme = "s3"
    package = "s3fs"
    sends = "_call_s3"

    def _default_options(self) -> dict[str, Any]:
        return {
            # Else each GET is preceded by a HEAD, to see whether it should be split.
            "max_concurrency": 1,
            "config_kwargs": {
                "max_pool_connections": _AT_ONCE,
                "connect_timeout": 10,
                "read_timeout": 60,
                # s3fs itself tries five times.
                "retries": {"max_attempts": 1},
            },
        }

    async def _get_tagged(self, path: str) -> tuple[bytes | None, Any]:
        bucket, key, _ = self._fs.split_path(self._at(path))
        try:
            answer = await self._fs._call_s3("get_object", Bucket=bucket, Key=key)
        except FileNotFoundError as error:
            await self._check_absent(error)
            return None, None
        async with answer["Body"] as stream:
            return await stream.read(), answer["ETag"]

    async def _put_if(self, path: str, body: bytes, tag: Any) -> bool:
        try:
            if tag is None:
                await self._fs._pipe_file(self._at(path), body, mode="create")
            else:
                await self._fs._pipe_file(self._at(path), body, IfMatch=tag)
        except OSError as error:
            # 404: it was deleted since it was read.
            if _is_precondition(error) or _is_conflict(error) or _code(error) == "NoSuchKey":
                return False
            raise
        return True

    async def _list(self, at: str, prefix: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._fs._lsdir(at, refresh=True, prefix=prefix)
        return found

    async def _files(self, folder: str, limit: int | None) -> list[str] | None:
        bucket, key, _ = self._fs.split_path(self._at(folder))
        found: list[str] = []
        below = len(self._base) + 1
        pages = self._fs._iterdir(bucket, delimiter="", prefix=f"{key}/" if key else "")
        async for info in pages:
            found.append(info["name"][below:])
            if limit is not None and len(found) > limit:
                return None
        return sorted(found)


class GcsBackend(ObjectBackend):
    """A store in a bucket of Google Cloud Storage."""

    scheme = "gcs"
    package = "gcsfs"
    sends = "_call"

    def __init__(self, root: str, options: Mapping[str, Any]) -> None:
        # Else gcsfs tries gRPC first, for a minute where there is none.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        super().__init__(root, options)
        self._has_bucket = False

    async def _check_absent(self, error: FileNotFoundError) -> None:
        # gcsfs does not hand on what was not found; a listing finds a bucket, if it is there.
        if not self._has_bucket:
            bucket = self._base.partition("/")[0]
            try:
                await self._fs._call("GET", "b/{}/o", bucket, maxResults=1, json_out=True)
            except FileNotFoundError:
                raise self._no_bucket() from error
            self._has_bucket = True

    async def _get_tagged(self, path: str) -> tuple[bytes | None, Any]:
        # In this order: if it changes in between, the write below is refused.
        try:
            info = await self._fs._get_object(self._at(path))
        except FileNotFoundError as error:
            await self._check_absent(error)
            return None, 0
        body = await self._get(path)
        return body, info["generation"] if body is not None else 0

    async def _put_if(self, path: str, body: bytes, tag: Any) -> bool:
        bucket, key, _ = self._fs.split_path(self._at(path))
        try:
            await self._fs._call(
                "POST",
                f"{self._fs._location}/upload/storage/v1/b/{quote(bucket)}/o",
                uploadType="media",
                name=key,
                ifGenerationMatch=str(tag),
                headers={"Content-Type": "application/octet-stream"},
                data=body,
            )
        except OSError as error:
            if _is_precondition(error):
                return False
            raise
        return True

    async def _list(self, at: str, prefix: str) -> list[dict[str, Any]]:
        items, folders = await self._fs._do_list_objects(at, prefix=prefix)
        return [*items, *({"name": folder} for folder in folders)]


class AzureBackend(ObjectBackend):
    """A store in a container of Azure Blob Storage."""

    scheme = "az"
    package = "adlfs"


def _code(error: BaseException) -> str:
    """What the service calls its error; empty when it does not say."""
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if isinstance(response, Mapping):
            return str(response.get("Error", {}).get("Code", ""))
        seen = seen.__cause__
    return ""


def _is_conflict(error: OSError) -> bool:
    """Two conditional writes at once (409): the answer is not known yet."""
    return _code(error) in ("ConditionalRequestConflict", "OperationAborted", "409")


def _is_precondition(error: OSError) -> bool:
    """The condition does not hold (412), in the words of each client."""
    return (
        isinstance(error, FileExistsError)
        or _code(error) in ("PreconditionFailed", "412")
        or getattr(error, "code", None) in (412, "412")
        or getattr(error, "status", None) == 412
        or (error.errno == errno.EINVAL and not _code(error))
    )


async def _pause() -> None:
    await asyncio.sleep(_PAUSE_SECONDS * (0.5 + random.random()))


async def _within(request: Awaitable[T]) -> T:
    return await request


async def _gather(requests: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(request: Coroutine[Any, Any, T]) -> T:
        async with limit:
            return await request

    return list(await asyncio.gather(*map(one, requests)))
