"""Which backend a root is for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from nemo_runspec._names import hint
from nemo_runspec.store.backend import Backend
from nemo_runspec.store.errors import StoreUnreachableError, StoreUnsupportedError
from nemo_runspec.store.posix import PosixBackend
from nemo_runspec.store.store import Store

_OBJECTS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "az": "az",
    "abfs": "az",
    "abfss": "az",
}
_UNSAFE = ("ftp", "zip", "tar", "http", "https", "github", "sftp", "ssh", "smb", "webhdfs", "hdfs")
_INSTEAD = "use a local or mounted folder, s3://, gs://, az:// or hf://"


def open_store(
    root: str,
    *,
    shared: Literal["group"] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    create: bool = True,
) -> Store:
    """Open the store at a root. Sends no request and writes nothing: operations do, and fail.

    Args:
        root: a path, ``file://``, ``memory://``, ``s3://``, ``gs://``, ``az://`` or
            ``hf://datasets/OWNER/NAME``; a relative path is seen from the working directory.
        shared: ``"group"`` makes what is written in a local root writable for its group, whatever
            the umask.
        storage_options: what the file system's fsspec class takes, such as ``endpoint_url``.
        create: whether the folder is made when it is missing.

    Returns:
        The store.

    Raises:
        StoreUnsupportedError: no store can be kept in such a root.
        StoreUnreachableError: it does not exist and ``create`` is false.
    """
    return Store(_open_backend(root, shared, dict(storage_options or {}), create))


def _open_backend(
    root: str, shared: Literal["group"] | None, options: dict[str, Any], create: bool
) -> Backend:
    if not root or "\0" in root or "\n" in root:
        raise StoreUnsupportedError(f"{root!r} is no root of a store; {_INSTEAD}")
    scheme, separator, rest = root.partition("://")
    if not separator or scheme in ("file", "local"):
        path = os.path.abspath(os.path.expanduser(rest if separator else root))
        if not create and not os.path.isdir(path):
            raise StoreUnreachableError(
                f"the store {path} does not exist; make the folder, or name another root"
            )
        return PosixBackend(path, shared=shared, create=create)
    if "::" in root or scheme in _UNSAFE:
        raise StoreUnsupportedError(
            f"no store can be kept at {root}: two writers there would overwrite each other; "
            f"{_INSTEAD}"
        )
    if scheme == "memory":
        from nemo_runspec.store.memory import MemoryBackend

        return MemoryBackend(root.rstrip("/"))
    if scheme in _OBJECTS:
        from nemo_runspec.store import objects

        kinds = {"s3": objects.S3Backend, "gcs": objects.GcsBackend, "az": objects.AzureBackend}
        return kinds[_OBJECTS[scheme]](root, options)
    if scheme == "hf":
        from nemo_runspec.store.hub import HubBackend

        return HubBackend(root, options)
    known = sorted({*_OBJECTS, "file", "hf", "memory"})
    raise StoreUnsupportedError(
        f"no store can be kept at {root}: {scheme}:// is not known; {hint(scheme, known)}"
    )
