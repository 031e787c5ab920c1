"""Fingerprints of data that no artifact holds: ``external_inputs`` of a target.

=================== =====================================================================
local file, folder  content; above the limit names, sizes and times
s3://, gs:// …      etag or generation of each file
hf://               the revision of the repository
http(s)://          etag, else the time of the last change and the size
unchecked:ANYTHING  nothing: a change is not noticed, and the plan says so
=================== =====================================================================

A relative path is seen from the build root.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import EXTERNAL_HASH_LIMIT
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.masking import mask_secrets
from nemo_runspec.optional import optional_import
from nemo_runspec.pipeline.key import canonical_json
from nemo_runspec.utils import split_url

UNCHECKED = "unchecked:"

_CHUNK = 1 << 20
_TIMEOUT = 30  # seconds, for an HTTP server's answer
# What says that a file was written anew, under the names that file systems have for it, the
# surest first.
_TAGS = ("ETag", "etag", "generation", "md5Hash", "content_md5", "sha256", "checksum")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")


class ExternalInputError(NemoRunspecError):
    """An external input is missing, or cannot be told from a changed one."""


def is_unchecked(uri: str) -> bool:
    """Whether a target says of an external input that it is not to be looked at."""
    return uri.startswith(UNCHECKED)


def fingerprint(uri: str, *, root: Path, limit: int = EXTERNAL_HASH_LIMIT) -> str:
    """What changes when the data does.

    Args:
        uri: a path or URL as the target has it.
        root: the build root.
        limit: bytes up to which the content of local files counts.

    Returns:
        The fingerprint: its kind, ``:``, and a digest or a tag.

    Raises:
        ExternalInputError: there is no such data, it cannot be reached, or nothing tells it from
            changed data.
    """
    if is_unchecked(uri):
        return "unchecked"
    try:
        return _fingerprint(uri, root, limit)
    except ExternalInputError as error:
        # What went wrong is shown and kept; a URL may hold a password.
        raise ExternalInputError(str(mask_secrets(str(error)))) from error


def _fingerprint(uri: str, root: Path, limit: int) -> str:
    scheme, rest = split_url(uri)
    scheme = "file" if scheme is None else scheme.lower()
    if scheme in ("file", "local"):
        return _local(uri, root / os.path.expanduser(rest), limit)
    if scheme in ("http", "https"):
        return _http(uri)
    if scheme == "hf":
        return _hugging_face(uri)
    return _filesystem(uri)


def _local(uri: str, path: Path, limit: int) -> str:
    try:
        files = _files(path)
        if sum(status.st_size for _, _, status in files) <= limit:
            entries: list[list[Any]] = [
                [name, status.st_size, _sha256(file)] for name, file, status in files
            ]
            return _digest("sha256", entries)
        return _digest("stat", [[n, s.st_size, s.st_mtime_ns] for n, _, s in files])
    except FileNotFoundError:
        raise ExternalInputError(
            f"external input {uri} does not exist ({path}); a relative path is seen from the "
            "build root"
        ) from None
    except OSError as error:
        raise ExternalInputError(
            f"external input {uri} cannot be read: {error.strerror or error}"
        ) from error


def _files(path: Path) -> list[tuple[str, Path, os.stat_result]]:
    if not path.is_dir():
        return [("", path, path.stat())]

    def refuse(error: OSError) -> None:
        raise error

    found = [
        (file.relative_to(path).as_posix(), file)
        for folder, _, names in os.walk(path, onerror=refuse, followlinks=True)
        for file in (Path(folder, name) for name in names)
    ]
    return [(name, file, file.stat()) for name, file in sorted(found)]


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _digest(kind: str, entries: Iterable[Any]) -> str:
    text = canonical_json(list(entries))
    return f"{kind}:{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def _http(uri: str) -> str:
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.parse import urlsplit
    from urllib.request import Request, urlopen

    if "@" in urlsplit(uri).netloc:
        raise _untellable(uri, "servers are asked without a user and a password")
    try:
        with urlopen(Request(uri, method="HEAD"), timeout=_TIMEOUT) as answer:
            headers: Mapping[str, str] = dict(answer.headers.items())
    except (URLError, OSError, ValueError, HTTPException) as error:
        raise ExternalInputError(f"external input {uri} cannot be reached: {error}") from error
    lower = {name.lower(): value for name, value in headers.items()}
    if lower.get("etag"):
        return f"etag:{lower['etag'].removeprefix('W/').strip(chr(34))}"
    if lower.get("last-modified"):
        entry = [lower["last-modified"], lower.get("content-length")]
        return _digest("modified", entry)
    raise _untellable(uri, "its server sends neither an ETag nor a Last-Modified")


def _hugging_face(uri: str) -> str:
    hub = optional_import(
        "huggingface_hub", needed_for=f"the external input {uri}", distribution="huggingface_hub"
    )
    try:
        resolved = hub.HfFileSystem().resolve_path(uri)
        info = hub.HfApi().repo_info(
            resolved.repo_id, repo_type=resolved.repo_type, revision=resolved.revision
        )
    except Exception as error:  # the hub's own, of requests, of httpx: whichever it uses now
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExternalInputError(f"external input {uri} cannot be reached: {reason}") from error
    return f"revision:{info.sha}"


def _filesystem(uri: str) -> str:
    fsspec = optional_import("fsspec.core", needed_for=f"the external input {uri}")
    try:
        filesystem, path = fsspec.url_to_fs(uri)
        filesystem.invalidate_cache()
        found = filesystem.find(path, detail=True)
    except FileNotFoundError:
        found = {}
    except Exception as error:  # whatever the file system's own library raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExternalInputError(f"external input {uri} cannot be reached: {reason}") from error
    if not found:
        raise ExternalInputError(f"external input {uri} does not exist")
    prefix = f"{path.rstrip('/')}/"
    entries = []
    for name, info in sorted(found.items()):
        tag = next((str(info[key]) for key in (*_TAGS, *_TIMES) if info.get(key)), None)
        if tag is None:
            raise _untellable(uri, f"{type(filesystem).__name__} tells no tag or time of it")
        entries.append([name.removeprefix(prefix), info.get("size"), tag])
    return _digest("tags", entries)


def _untellable(uri: str, why: str) -> ExternalInputError:
    return ExternalInputError(
        f"external input {uri}: nothing tells it from changed data ({why}); write "
        f"{UNCHECKED}{uri} if that is all right"
    )
