"""The digest of what a version holds: the same content gives the same digest, wherever it lies.

In mode ``hash`` it is ``sha256:`` and the digest of a canonical JSON text::

    ["runspec-content-1", [[path, size, sha256], …], metadata]

with the files in the order of their paths, relative to the folder and with ``/``. A single file
has the path ``""``. In mode ``stat`` it is ``stat:``, and each file stands as
``[path, size, time]``, the time in nanoseconds or as the object store gives it. A link to a
folder, or to nothing, stands as ``[path, "link", target]``.

Where the output folder's own path stands in the metadata, or in a file of at most 1 MiB (a
``blend.json`` that names its shards), ``<output>`` counts instead: a build repeated in another
folder has the same content. Left out are what says when and where rather than what
(:data:`VOLATILE`, and what an artifact class declares), the ``metadata.json`` that
``Artifact.save`` writes, whose fields are the metadata, and ``.runspec``, where jobs leave notes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_runspec.artifacts.job_context import ContentMode
from nemo_runspec.artifacts.plain import plain_json
from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.optional import optional_import

if TYPE_CHECKING:
    from nemo_runspec.store.model import Manifest

VOLATILE = frozenset({"created_at", "elapsed_sec", "producer", "tracking"})
OUTPUT_TOKEN = "<output>"
METADATA_FILE = "metadata.json"
NOTES_FOLDER = ".runspec"

_VERSION = "runspec-content-1"
_SMALL = 1 << 20
_CHUNK = 1 << 20
# What Artifact.save writes has all of these; a data file that is called metadata.json may not.
_OWN_KEYS = frozenset({"created_at", "metadata", "path", "producer", "type"})


class ContentError(ArtifactError):
    """What an artifact holds cannot be read."""


def content_digest(
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    mode: ContentMode,
    *,
    base: str | os.PathLike[str] | None = None,
    volatile: Collection[str] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> str | None:
    """The digest of an artifact's content.

    Args:
        path: its file or folder: a path or a URL.
        metadata: its fields, such as its ``metadata.json``; its own ``metadata`` counts too.
        mode: ``hash``, ``stat`` or ``none``.
        base: the output folder; default: `path`.
        volatile: fields that say nothing of the content, besides :data:`VOLATILE`.
        storage_options: for the filesystem of a URL.

    Returns:
        The digest, or None in mode ``none``.

    Raises:
        ContentError: there is nothing at `path`, or it cannot be read.
    """
    if mode == "none":
        return None
    files, outputs = _listed(path, mode, base, storage_options)
    fields = _without_output(_stable(plain_json(metadata), {*VOLATILE, *volatile}), outputs)
    text = json.dumps(
        [_VERSION, sorted(files, key=lambda item: str(item[0])), fields],
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
        allow_nan=False,
    )
    prefix = "sha256" if mode == "hash" else "stat"
    return f"{prefix}:{hashlib.sha256(text.encode()).hexdigest()}"


def content_files(
    path: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """The digest of each file of an artifact, by path, as it counts in the digest of the whole.

    Raises:
        ContentError: there is nothing at `path`, or it cannot be read.
    """
    files, _ = _listed(path, "hash", base, storage_options)
    return {str(name): str(digest) for name, _, digest in files}


def _listed(
    path: str | os.PathLike[str],
    mode: ContentMode,
    base: str | os.PathLike[str] | None,
    storage_options: Mapping[str, Any] | None,
) -> tuple[list[list[Any]], list[str]]:
    """What stands for each file, and the spellings of the output folder."""
    location = os.fspath(path)
    folders = _spellings(location) | (set() if base is None else _spellings(os.fspath(base)))
    # The longest first: a folder within the output folder is not to become half a token.
    outputs = sorted(folders, key=lambda text: (-len(text), text))
    try:
        if _is_url(location):
            files = _remote(location, mode, outputs, dict(storage_options or {}))
        else:
            files = _local(Path(location), mode, outputs)
    except OSError as error:
        raise ContentError(
            f"{location}: cannot be read: {error.strerror or error}; an artifact is logged after "
            "its data is written"
        ) from error
    return files, outputs


def recorded_facts(
    path: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None,
    volatile: Collection[str],
    storage_options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a manifest keeps so that :func:`recorded_digest` can look again: its ``digested``.

    Args:
        path: what was digested, with `base` and `volatile` as for :func:`content_digest`.
        base: see there.
        volatile: see there.
        storage_options: see there.
    """
    return {
        "path": os.fspath(path) if _is_url(os.fspath(path)) else os.path.abspath(path),
        "base": None if base is None else os.fspath(base),
        "volatile": sorted(volatile),
        "stat": content_digest(path, {}, "stat", base=base, storage_options=storage_options),
    }


def recorded_digest(
    manifest: Manifest,
    metadata: Mapping[str, Any],
    mode: ContentMode,
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> tuple[str, str] | None:
    """The digest of a version's data when it was recorded, and now.

    Args:
        manifest: the version.
        metadata: its ``metadata.json``.
        mode: ``stat`` compares names, sizes and times, ``hash`` the content.
        storage_options: for the filesystem of a URL.

    Returns:
        None when no such digest was taken of it.

    Raises:
        ContentError: the data is not there or cannot be read.
    """
    facts = manifest.extra.get("digested")
    if not isinstance(facts, Mapping):
        return None
    path, base = str(facts["path"]), facts.get("base")
    if mode == "stat":
        now = content_digest(path, {}, "stat", base=base, storage_options=storage_options)
        return str(facts["stat"]), str(now)
    if manifest.content is None or not manifest.content.startswith("sha256:"):
        return None
    now = content_digest(
        path,
        {key: value for key, value in metadata.items() if key != "tracking"},
        "hash",
        base=base,
        volatile=facts.get("volatile", ()),
        storage_options=storage_options,
    )
    return manifest.content, str(now)


def _is_url(location: str) -> bool:
    return "://" in location


def _spellings(location: str) -> set[str]:
    plain = location.rstrip("/")
    if _is_url(location):
        return {plain}
    return {text for text in (os.path.abspath(plain), os.path.realpath(plain)) if text != "/"}


def _stable(document: Any, volatile: Collection[str]) -> Any:
    """The document without volatile keys, at its top and in its ``metadata``."""
    if not isinstance(document, dict):
        return document
    kept = {key: value for key, value in document.items() if key not in volatile}
    inner = kept.get("metadata")
    if isinstance(inner, dict):
        kept["metadata"] = {key: value for key, value in inner.items() if key not in volatile}
    return kept


def _without_output(value: Any, outputs: list[str]) -> Any:
    if isinstance(value, dict):
        return {
            _without_output(key, outputs): _without_output(item, outputs)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_output(item, outputs) for item in value]
    if isinstance(value, str):
        for output in outputs:
            value = value.replace(output, OUTPUT_TOKEN)
    return value


def _local(path: Path, mode: ContentMode, outputs: list[str]) -> list[list[Any]]:
    if not path.is_dir():
        return [_local_file("", path, mode, outputs)]
    links: list[list[Any]] = []
    files: list[tuple[str, Path]] = []
    for name, file in _walk(path):
        if file.is_symlink() and (file.is_dir() or not file.exists()):
            links.append([name, "link", _without_output(os.readlink(file), outputs)])
        elif name != METADATA_FILE or not _is_own_metadata(file):
            files.append((name, file))
    # Hashing lets go of the interpreter's lock.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda item: _local_file(item[0], item[1], mode, outputs), files)
        return [*links, *found]


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    def refuse(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(root, onerror=refuse):
        folder = Path(parent)
        if folder == root and NOTES_FOLDER in folders:
            folders.remove(NOTES_FOLDER)
        linked = [name for name in folders if (folder / name).is_symlink()]
        for name in (*names, *linked):
            yield (folder / name).relative_to(root).as_posix(), folder / name


def _local_file(name: str, file: Path, mode: ContentMode, outputs: list[str]) -> list[Any]:
    status = file.stat()
    if mode == "stat":
        return [name, status.st_size, status.st_mtime_ns]
    if status.st_size <= _SMALL:
        return [name, *_small(file.read_bytes(), outputs)]
    digest = hashlib.sha256()
    size = 0
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return [name, size, digest.hexdigest()]


def _small(content: bytes, outputs: list[str]) -> tuple[int, str]:
    for output in outputs:
        content = content.replace(os.fsencode(output), OUTPUT_TOKEN.encode())
    return len(content), hashlib.sha256(content).hexdigest()


def _is_own_metadata(file: Path) -> bool:
    return file.stat().st_size <= _SMALL and is_own_metadata(file.read_bytes())


def is_own_metadata(content: bytes) -> bool:
    """Whether a ``metadata.json`` is what ``Artifact.save`` writes, rather than data."""
    try:
        document = json.loads(content)
    except ValueError:
        return False
    return isinstance(document, dict) and document.keys() >= _OWN_KEYS


def _remote(
    location: str, mode: ContentMode, outputs: list[str], options: dict[str, Any]
) -> list[list[Any]]:
    fsspec = optional_import("fsspec", needed_for=location)
    filesystem, root = fsspec.core.url_to_fs(location, **options)
    found = filesystem.find(root, detail=True)
    if not found:
        raise FileNotFoundError(2, "there is nothing there")
    prefix = root.rstrip("/") + "/"
    files: list[list[Any]] = []
    for path, info in found.items():
        name = "" if path == root else path.removeprefix(prefix)
        if name.split("/")[0] == NOTES_FOLDER:
            continue
        size = int(info["size"])
        if mode == "stat":
            if name != METADATA_FILE:
                files.append([name, size, _remote_time(info)])
            continue
        if size <= _SMALL:
            content = filesystem.cat_file(path)
            if name != METADATA_FILE or not is_own_metadata(content):
                files.append([name, *_small(content, outputs)])
            continue
        digest = hashlib.sha256()
        with filesystem.open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        files.append([name, size, digest.hexdigest()])
    return files


def _remote_time(info: Mapping[str, Any]) -> str:
    """What changes when a file is written anew, under the name that its filesystem has for it."""
    for key in ("ETag", "etag", "generation", "LastModified", "last_modified", "mtime", "created"):
        if info.get(key) is not None:
            return str(info[key])
    return ""
