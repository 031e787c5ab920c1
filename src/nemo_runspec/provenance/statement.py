"""A version as an in-toto statement with an SLSA provenance predicate.

Sources: in-toto Attestation Framework, Statement v1 and ResourceDescriptor v1; SLSA Build
Provenance v1 (``https://slsa.dev/provenance/v1``). What the parameters of our build type mean
stands in ``docs/provenance.md``. A statement is a claim; who signs it vouches for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timezone
from typing import Any
from urllib.parse import quote

from nemo_runspec.masking import mask_secrets
from nemo_runspec.provenance.digests import MEANINGS, SOURCE, digest_of, fingerprint_of
from nemo_runspec.store import Manifest
from nemo_runspec.store.lineage import VersionId, made_from
from nemo_runspec.store_admin.text import parse_time

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
# Package URLs, which resolve to the package whose documentation explains them.
BUILD_TYPE = "pkg:pypi/nemo-runspec#build/v1"
BUILDER = "pkg:pypi/nemo-runspec#builder/v1"

_IMAGE_DIGEST = re.compile(r"(?P<name>.+)@sha256:(?P<digest>[0-9a-f]{64})")
_MEDIA_TYPES = {".jsonl": "application/jsonl", ".html": "text/html", ".md": "text/markdown"}
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def statement(
    manifest: Manifest,
    inputs: Mapping[VersionId, Manifest],
    attached: Mapping[str, bytes],
) -> dict[str, Any]:
    """The statement about a version.

    Args:
        manifest: the version.
        inputs: the versions that it was made from, as far as the store has them.
        attached: what its job attached to it, by label.

    Returns:
        Plain data for JSON; secrets are masked.
    """
    return {
        "_type": STATEMENT_TYPE,
        "subject": [_subject(manifest)],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _external(manifest),
                "internalParameters": _internal(manifest),
                "resolvedDependencies": list(_dependencies(manifest, inputs)),
            },
            "runDetails": {
                "builder": {"id": BUILDER},
                "metadata": _metadata(manifest),
                "byproducts": list(_byproducts(manifest, attached)),
            },
        },
    }


def _subject(manifest: Manifest) -> dict[str, Any]:
    digest = digest_of(manifest.identity)
    return {
        "name": manifest.reference,
        "uri": _art(manifest.reference),
        "digest": digest,
        "annotations": {"digestOf": MEANINGS[next(iter(digest))], "type": manifest.type},
    }


def _external(manifest: Manifest) -> dict[str, Any]:
    """What whoever asked for the build decided."""
    parts: Mapping[str, Any] = manifest.parts or {}
    command: Mapping[str, Any] = parts.get("command") or {}
    told = {
        "recipe": parts.get("recipe") or manifest.run.get("recipe"),
        "artifact": manifest.run.get("address"),
        "profile": manifest.run.get("profile"),
        "config": parts.get("config"),
        "arguments": command.get("passthrough"),
        "env": parts.get("env"),
        "element": manifest.extra.get("element"),
    }
    return _masked(told)


def _internal(manifest: Manifest) -> dict[str, Any]:
    """What the code of the recipe and the machine decided."""
    parts: Mapping[str, Any] = manifest.parts or {}
    command: Mapping[str, Any] = parts.get("command") or {}
    told = {
        "key": manifest.key,
        "code": parts.get("code"),
        "environment": parts.get("environment"),
        "launch": command.get("launch"),
        "cmd": command.get("cmd"),
        "workdir": command.get("workdir"),
        **{key: manifest.run.get(key) for key in ("user", "host", "nodes", "gpus", "bundle")},
    }
    return _masked(told)


def _masked(told: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in told.items() if value is not None}
    masked: dict[str, Any] = mask_secrets(known)
    return masked


def _dependencies(
    manifest: Manifest, inputs: Mapping[VersionId, Manifest]
) -> Iterator[dict[str, Any]]:
    yield from _source(manifest)
    identities = _identities(manifest)
    for name, number in made_from(manifest):
        reference = f"{name}:v{number}"
        found = inputs.get((name, number))
        identity = identities.get(name) or (None if found is None else found.identity)
        yield {
            "name": reference,
            "uri": _art(reference),
            **({} if identity is None else {"digest": digest_of(identity)}),
        }
    for uri, text in _external_inputs(manifest):
        yield {**_located(uri), "digest": fingerprint_of(text)}
    for uri in manifest.inputs:
        yield _located(uri)
    explain: Mapping[str, Any] = manifest.explain or {}
    for name, version in sorted((explain.get("requirements") or {}).items()):
        yield {"name": name, "uri": _package(name, str(version))}
    image = ((manifest.parts or {}).get("environment") or {}).get("image")
    if image:
        yield _image(str(image))


def _source(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """The commit, and the files of it that count, by what they say."""
    commit = str(manifest.run.get("commit") or "")
    if _COMMIT.fullmatch(commit):
        dirty = {"annotations": {"dirty": True}} if manifest.run.get("dirty") else {}
        yield {"name": "source", "digest": {"gitCommit": commit}, **dirty}
    explain: Mapping[str, Any] = manifest.explain or {}
    for path, digest in (explain.get("files") or {}).items():
        yield {"name": str(path), "digest": {SOURCE: str(digest)}}


def _identities(manifest: Manifest) -> dict[str, str]:
    """What the key took each input for, by the artifact's name, where that is one version."""
    found: dict[str, set[str]] = {}
    for part in (manifest.parts or {}).get("inputs") or ():
        if isinstance(part, Sequence) and len(part) == 3 and part[2] is not None:
            found.setdefault(str(part[1]), set()).add(str(part[2]))
    return {name: next(iter(each)) for name, each in found.items() if len(each) == 1}


def _external_inputs(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for part in (manifest.parts or {}).get("external") or ():
        if isinstance(part, Sequence) and len(part) == 2:
            yield str(part[0]), str(part[1])


def _image(image: str) -> dict[str, Any]:
    match = _IMAGE_DIGEST.fullmatch(image)
    if match is None:
        return {"name": "image", "uri": _uri(image)}
    return {"name": "image", "uri": _uri(image), "digest": {"sha256": match["digest"]}}


def _metadata(manifest: Manifest) -> dict[str, str]:
    run = manifest.run
    told = {
        "invocationId": run.get("id") or manifest.producer or None,
        "startedOn": _timestamp(run.get("started_at")),
        "finishedOn": _timestamp(run.get("ended_at") or manifest.created_at),
    }
    return {key: str(value) for key, value in told.items() if value}


def _timestamp(text: Any) -> str | None:
    """RFC 3339 in UTC, as the predicate has its times."""
    moment = parse_time(str(text)) if text else None
    if moment is None:
        return None
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def _byproducts(manifest: Manifest, attached: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    log = manifest.run.get("log")
    if log:
        host = quote(str(manifest.run.get("host") or ""), safe="", errors="replace")
        path = quote(str(log), errors="replace")
        yield {
            "name": "log",
            "uri": f"file://{host}{path}",
            "mediaType": "text/plain",
        }
    for label, body in sorted(attached.items()):
        suffix = f".{label.rpartition('.')[2]}"
        kind = _MEDIA_TYPES.get(suffix)
        yield {
            "name": label,
            "digest": {"sha256": hashlib.sha256(body).hexdigest()},
            **({} if kind is None else {"mediaType": kind}),
        }


def _located(uri: str) -> dict[str, Any]:
    shown = str(mask_secrets(uri))
    return {"name": shown, "uri": _uri(shown)}


def _art(reference: str) -> str:
    return f"art://{quote(reference, safe='/:')}"


def _uri(text: str) -> str:
    """A URL as it is, but for characters that no URI has; a path as one relative to the root."""
    return quote(text, safe="/:@?#[]!$&'()*+,;=%~-._", errors="replace")


def _package(name: str, version: str) -> str:
    """A package URL of the Python Package Index (purl-spec, type ``pypi``)."""
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{quote(version, safe='')}"
