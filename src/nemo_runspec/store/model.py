"""What a store holds, as values: versions and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = "1"


@dataclass(frozen=True)
class VersionDraft:
    """A version about to be recorded; the store adds its number.

    Attributes:
        path: where its data is: a path or a URL; the data itself is never copied.
        type: the class that logged it, such as ``ModelArtifact``.
        metadata: the artifact's own fields.
        document: the whole of ``metadata.json``, the model's dump; ``metadata`` alone when empty.
        producer: the run that made it.
        inputs: URLs of what it was made from outside of any store.
        used_artifacts: ``name:vN`` of each version that it was made from, in order.
        key: the key of the build that made it; None for one made by hand.
        parts: what the key was made of (see ``nemo_runspec.pipeline.key``).
        explain: what the parts stand for, for reasons: file digests, versions of requirements.
        content: digest of its content, ``sha256:…`` or ``stat:…``; None when none was taken.
        run: facts of the job: user, host, commit, dirty, started_at, ended_at, seconds, nodes,
            gpus, gpu_hours, profile, bundle, recipe, address, job.
        extra: further keys of the manifest, such as ``iteration``, ``elements``, ``missing``,
            ``owned`` (the folder is ours to free), ``overwrites``.
    """

    path: str
    type: str = "Artifact"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)
    producer: str = ""
    inputs: tuple[str, ...] = ()
    used_artifacts: tuple[str, ...] = ()
    key: str | None = None
    parts: Mapping[str, Any] | None = None
    explain: Mapping[str, Any] | None = None
    content: str | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """A complete version: its ``manifest.json``. Fields as in :class:`VersionDraft`.

    Attributes:
        name: the artifact's name.
        version: its number, from 1.
        created_at: ISO 8601 with zone.
        extra: the manifest's other keys, those of later schemas too.
    """

    name: str
    version: int
    type: str
    path: str
    created_at: str
    producer: str
    metadata: Mapping[str, Any]
    inputs: tuple[str, ...]
    used_artifacts: tuple[str, ...]
    key: str | None = None
    parts: Mapping[str, Any] | None = None
    explain: Mapping[str, Any] | None = None
    content: str | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        """``name:vN``."""
        return f"{self.name}:v{self.version}"

    @property
    def identity(self) -> str:
        """What those that build on it take it for: its content where that is known, else its key.

        A version without either is itself alone.
        """
        if self.content is not None:
            return self.content
        if self.key is not None:
            return f"key:{self.key}"
        return f"version:{self.reference}@{self.created_at}"


@dataclass(frozen=True)
class KeyRecord:
    """The answer to a key: which version has it.

    Attributes:
        version: the version's number.
        identity: the version's :attr:`Manifest.identity`.
        path: where its data is.
        content: the digest of its content, if one was taken.
        created_at: ISO 8601 with zone, of the record.
        accepted: who said that the key may stand for this version, when and why (by, at, reason);
            None for the key that the version was made with.
    """

    version: int
    identity: str
    path: str
    content: str | None
    created_at: str
    accepted: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Tombstone:
    """Why a version must not be used any more.

    Attributes:
        by: who revoked it.
        at: when, ISO 8601 with zone.
        reason: why.
    """

    by: str
    at: str
    reason: str
