"""The files of a store as text, and back.

A reader accepts keys that it does not know, and stores written before there was a ``schema``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from nemo_runspec.store.errors import StoreError, StoreFormatError
from nemo_runspec.store.model import SCHEMA, KeyRecord, Manifest, Tombstone, VersionDraft

_KNOWN = frozenset(
    (
        "schema",
        "name",
        "version",
        "type",
        "path",
        "created_at",
        "producer",
        "metadata",
        "inputs",
        "used_artifacts",
        "key",
        "parts",
        "explain",
        "content",
        "run",
        "writer",
    )
)
_LATEST = re.compile(rb"\s*v?([0-9]{1,18})\s*")


def encode(document: Mapping[str, Any], what: str) -> bytes:
    """A document as it stands in a file.

    Raises:
        StoreError: it holds something that JSON cannot say; ``what`` names the document.
    """
    try:
        return (json.dumps(document, indent=2) + "\n").encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"{what} cannot be written as JSON: {error}") from error


def decode(body: bytes, where: str) -> dict[str, Any]:
    """The document of a file.

    Raises:
        StoreFormatError: it is no JSON object, or of a schema that is not known here.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise StoreFormatError(
            f"{where} is broken: it is no JSON ({error}); restore it, or remove it"
        ) from error
    if not isinstance(document, dict):
        raise StoreFormatError(f"{where} is broken: it holds no JSON object; restore or remove it")
    schema = document.get("schema", SCHEMA)
    if str(schema).partition(".")[0] != SCHEMA:
        raise StoreFormatError(
            f"{where} is of schema {schema!r}, this version of nemo_runspec reads {SCHEMA}; "
            "use a newer one"
        )
    return document


def manifest_document(
    name: str, version: int, draft: VersionDraft, *, created_at: str, writer: str
) -> dict[str, Any]:
    """What ``manifest.json`` says of a version about to be recorded.

    Raises:
        StoreError: ``draft.extra`` takes a key of the manifest's own.
    """
    taken = sorted(_KNOWN.intersection(draft.extra))
    if taken:
        raise StoreError(f"{name}: a manifest's own keys cannot be extra: {', '.join(taken)}")
    return {**_document(name, version, draft, created_at), "writer": writer}


def exported_document(manifest: Manifest) -> dict[str, Any]:
    """A version as its ``manifest.json`` has it, for those who keep it elsewhere."""
    return _document(manifest.name, manifest.version, manifest, manifest.created_at)


def _document(
    name: str, version: int, said: VersionDraft | Manifest, created_at: str
) -> dict[str, Any]:
    optional = {
        "key": said.key,
        "parts": said.parts,
        "explain": said.explain,
        "content": said.content,
        "run": dict(said.run) or None,
    }
    return {
        "schema": SCHEMA,
        "name": name,
        "version": version,
        "type": said.type,
        "path": said.path,
        "created_at": created_at,
        "producer": said.producer,
        "metadata": dict(said.metadata),
        "inputs": list(said.inputs),
        "used_artifacts": list(said.used_artifacts),
        **{key: value for key, value in optional.items() if value is not None},
        **said.extra,
    }


def read_manifest(name: str, version: int, body: bytes, where: str) -> Manifest:
    """A version from its ``manifest.json``; name and number are those of its folder.

    Raises:
        StoreFormatError: the file is broken.
    """
    document = decode(body, where)

    def get(key: str, kind: type[Any], default: Any) -> Any:
        value = document.get(key)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise StoreFormatError(
                f"{where} is broken: {key} is no {_KINDS[kind]}; restore it, or remove it"
            )
        return value

    if not isinstance(document.get("path"), str):
        raise StoreFormatError(f"{where} is broken: it names no path; restore it, or remove it")
    return Manifest(
        name=name,
        version=version,
        type=get("type", str, "Artifact"),
        path=document["path"],
        created_at=get("created_at", str, ""),
        producer=get("producer", str, ""),
        metadata=get("metadata", dict, {}),
        inputs=tuple(map(str, get("inputs", list, ()))),
        used_artifacts=tuple(map(str, get("used_artifacts", list, ()))),
        key=get("key", str, None),
        parts=get("parts", dict, None),
        explain=get("explain", dict, None),
        content=get("content", str, None),
        run=get("run", dict, {}),
        extra={key: value for key, value in document.items() if key not in _KNOWN},
    )


def key_document(record: KeyRecord) -> dict[str, Any]:
    """What ``keys/{key}`` says."""
    accepted = {} if record.accepted is None else {"accepted": dict(record.accepted)}
    return {
        "schema": SCHEMA,
        "version": record.version,
        "identity": record.identity,
        "path": record.path,
        "content": record.content,
        "created_at": record.created_at,
        **accepted,
    }


def read_key(body: bytes, where: str) -> KeyRecord:
    """The record of a key.

    Raises:
        StoreFormatError: the file is broken.
    """
    document = decode(body, where)
    try:
        return KeyRecord(
            version=int(document["version"]),
            identity=str(document["identity"]),
            path=str(document["path"]),
            content=document.get("content"),
            created_at=str(document["created_at"]),
            accepted=document.get("accepted"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreFormatError(
            f"{where} is broken ({error!r}); remove it, and its stage runs again"
        ) from error


def tombstone_document(tombstone: Tombstone) -> dict[str, Any]:
    """What ``_revoked`` says."""
    return {
        "schema": SCHEMA,
        "by": tombstone.by,
        "at": tombstone.at,
        "reason": tombstone.reason,
    }


def read_tombstone(body: bytes, where: str) -> Tombstone:
    """Why a version was revoked.

    Raises:
        StoreFormatError: the file is broken.
    """
    document = decode(body, where)
    return Tombstone(*(str(document.get(key, "unknown")) for key in ("by", "at", "reason")))


def latest_text(version: int) -> bytes:
    """What ``latest`` says: no newline, as other readers compare it with a folder's name."""
    return f"v{version}".encode("ascii")


def read_latest(body: bytes | None) -> int | None:
    """The version that ``latest`` names; None when it names none (then a listing tells)."""
    match = None if body is None else _LATEST.fullmatch(body)
    return int(match[1]) if match else None


_KINDS: Mapping[type[Any], str] = {str: "text", dict: "JSON object", list: "list"}
