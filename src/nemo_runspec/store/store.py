"""Versions, keys and aliases in a folder or a bucket, written by many at once.

What holds at every instant, for any reader, under any number of writers and a kill at any point:

- a version that was acknowledged (:meth:`Store.add_version` returned) is never lost or changed;
- a version without its ``manifest.json`` does not exist;
- ``latest``, keys and aliases name only complete versions, and ``latest`` never goes back.

How versions get their numbers stands in :mod:`nemo_runspec.store.numbering`.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from nemo_runspec._names import hint
from nemo_runspec.exceptions import ArtifactNotFoundError, ArtifactVersionNotFoundError
from nemo_runspec.store.attachments import Attachments
from nemo_runspec.store.backend import Backend
from nemo_runspec.store.documents import (
    decode,
    encode,
    key_document,
    read_key,
    read_latest,
    read_tombstone,
    tombstone_document,
)
from nemo_runspec.store.errors import StoreError, StoreUnsupportedError
from nemo_runspec.store.leases import HeldLease, Lease, acquire_lease, find_holder, find_holders
from nemo_runspec.store.lineage import Revocations, VersionId
from nemo_runspec.store.model import SCHEMA, KeyRecord, Manifest, Tombstone, VersionDraft
from nemo_runspec.store.names import (
    ArtifactReference,
    check_label,
    check_lease_id,
    check_name,
)
from nemo_runspec.store.numbering import (
    VERSION_FOLDER,
    Numbering,
    manifest_body,
    numbers_of,
    time_text,
)
from nemo_runspec.store.snapshot import Snapshot, read_snapshot

_SETTINGS = "_store.json"
_REVOCATIONS = "_revocations"
_RUNS = "_runs"


class Store:
    """One store; see :func:`nemo_runspec.store.open_store`.

    Attributes:
        root: as given; a local one as an absolute path.
        is_local: whether it is a folder of this machine (or of a file system that is mounted).
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._numbering = Numbering(backend)
        self._ready = False
        self._snapshot = Snapshot()

    def __repr__(self) -> str:
        return f"Store({self.root!r})"

    @property
    def root(self) -> str:
        return self._backend.root

    @property
    def is_local(self) -> bool:
        return self._backend.is_local

    @property
    def backend(self) -> Backend:
        """The files of the root, for those who keep records of another kind in it."""
        return self._backend

    @property
    def request_count(self) -> int:
        """How many requests were sent to an object store."""
        return self._backend.request_count

    # Reading

    def names(self, prefix: str = "") -> list[str]:
        """The artifacts that have a version, sorted.

        Args:
            prefix: only names that begin so.
        """
        if self.is_local:
            return sorted(name for name in self._walk("") if name.startswith(prefix))
        found = set()
        for path in self._backend.files("") or ():
            folder, _, file = path.rpartition("/")
            name = folder.rpartition("/")[0] if file == "manifest.json" else ""
            if name.startswith(prefix) and _is_name(name):
                found.add(name)
        return sorted(found)

    def versions(self, name: str) -> list[int]:
        """The numbers of an artifact's complete versions, ascending; none if it has none."""
        check_name(name)
        if self.is_local:
            numbers = numbers_of(self._backend, name)
            return [n for n in numbers if self._backend.exists(f"{name}/v{n}/manifest.json")]
        pattern = re.compile(rf"{re.escape(name)}/v([1-9][0-9]*)/manifest\.json")
        found = map(pattern.fullmatch, self._backend.files(name) or ())
        return sorted(int(match[1]) for match in found if match is not None)

    def latest(self, name: str) -> int | None:
        """The number of the highest complete version; None if there is none."""
        newest = self._numbering.newest(check_name(name))
        return None if newest is None else newest[0]

    def resolve(self, reference: ArtifactReference) -> Manifest:
        """The version that a reference means.

        Raises:
            ArtifactNotFoundError: there is no such artifact.
            ArtifactVersionNotFoundError: it has no such version or alias.
            ArtifactRevokedError: the version, or one that it was made from, was revoked.
            StoreFormatError: a file of it is broken.
        """
        name = check_name(reference.name)
        if reference.version == "latest":
            newest = self._numbering.newest(name)
            if newest is None:
                raise self._not_found(name)
            manifest = self._numbering.parse(name, *newest)
        else:
            number = reference.number
            if reference.alias is not None:
                record = self.alias_record(name, reference.alias)
                if record is None:
                    raise self._version_not_found(name, reference.alias)
                number = int(record["version"])
            manifest = self.manifest(name, number or 0)
        Revocations(self).check(name, manifest.version)
        return manifest

    def manifest(self, name: str, version: int) -> Manifest:
        """A version, revoked or not.

        Raises:
            ArtifactNotFoundError: there is no such artifact.
            ArtifactVersionNotFoundError: it has no such version.
            StoreFormatError: its ``manifest.json`` is broken.
        """
        body = self._backend.read(f"{check_name(name)}/v{version}/manifest.json")
        if body is None:
            raise self._version_not_found(name, f"v{version}")
        return self._numbering.parse(name, version, body)

    def metadata(self, name: str, version: int) -> dict[str, Any]:
        """A version's ``metadata.json``; raises as :meth:`manifest`."""
        path = f"{check_name(name)}/v{version}/metadata.json"
        found = self._backend.read_many([f"{name}/v{version}/manifest.json", path])
        if f"{name}/v{version}/manifest.json" not in found:
            raise self._version_not_found(name, f"v{version}")
        return decode(found[path], self._where(path)) if path in found else {}

    def latest_manifests(self, names: Collection[str]) -> dict[str, Manifest]:
        """The highest complete version of each of these artifacts that has one."""
        found = {name: m for name, m in self._snapshot.manifests.items() if name in names}
        rest = [name for name in dict.fromkeys(names) if name not in self._snapshot.names]
        return {**found, **self._numbering.latest_manifests(rest)}

    def is_revoked(self, name: str, version: int) -> Tombstone | None:
        """Why this very version must not be used; None when it may."""
        path = f"{check_name(name)}/v{version}/_revoked"
        body = self._backend.read(path)
        return None if body is None else read_tombstone(body, self._where(path))

    def revoked_versions(self) -> frozenset[VersionId]:
        """The versions that were revoked themselves: one listing, usually of an empty folder."""
        marks = self._backend.files(_REVOCATIONS) or ()
        split = (path.removeprefix(f"{_REVOCATIONS}/").rpartition("/") for path in marks)
        found = ((name, VERSION_FOLDER.fullmatch(last)) for name, _, last in split)
        return frozenset((name, int(match[1])) for name, match in found if match is not None)

    def manifests(self, wanted: Collection[VersionId]) -> dict[VersionId, Manifest]:
        """Those of these versions that there are, asked for all at once.

        Args:
            wanted: (name, number) of each.
        """
        paths = {f"{check_name(name)}/v{n}/manifest.json": (name, n) for name, n in wanted}
        bodies = self._backend.read_many(list(paths))
        return {
            paths[path]: self._numbering.parse(*paths[path], body) for path, body in bodies.items()
        }

    # Writing

    def add_version(self, name: str, draft: VersionDraft) -> Manifest:
        """Record a version under the next number.

        Returns:
            The version: it is complete, on the disk, and stays as it is.

        Raises:
            StoreNameError: the name cannot be one.
            StoreReadOnlyError, StoreFullError, StoreUnreachableError, StoreUnsupportedError: the
                root cannot take it. No reader takes what was written by then for a version.
        """
        check_name(name)
        metadata = encode(draft.document or draft.metadata, f"metadata of {name}")
        manifest_body(name, 0, draft, "", "")  # what cannot be written is refused first
        self._prepare()
        added = self._numbering.add(name, draft, metadata)
        self._forget(name)
        return added

    def find_key(self, name: str, key: str) -> KeyRecord | None:
        """The version that has a key; None when none has."""
        return self.find_keys([(name, key)]).get((name, key))

    def find_keys(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], KeyRecord]:
        """The versions that have these keys, asked for all at once.

        Args:
            wanted: (name, key) of each.

        Returns:
            By (name, key), the record of each that there is.
        """
        found = {}
        paths = {}
        for name, key in wanted:
            record = self._snapshot.records.get((name, key))
            if record is not None:
                found[name, key] = record
            elif not self._snapshot.is_absent(name, key):
                paths[f"{check_name(name)}/keys/{check_label(key, 'a key')}"] = (name, key)
        for path, body in self._backend.read_many(list(paths)).items():
            found[paths[path]] = read_key(body, self._where(path))
        return found

    def keys(self, name: str) -> dict[str, KeyRecord]:
        """All keys of an artifact, by key."""
        folder = f"{check_name(name)}/keys"
        keys = [key for key in self._backend.children(folder) if not key.startswith((".", "_"))]
        bodies = self._backend.read_many([f"{folder}/{key}" for key in keys])
        return {
            path.rpartition("/")[2]: read_key(b, self._where(path)) for path, b in bodies.items()
        }

    def set_key(self, name: str, key: str, record: KeyRecord) -> None:
        """Say which version is the answer to a key; the last word counts.

        Raises:
            ArtifactVersionNotFoundError: the version does not exist.
        """
        path = f"{check_name(name)}/keys/{check_label(key, 'a key')}"
        self._check_version(name, record.version)
        self._prepare()
        self._backend.write(path, encode(key_document(record), f"key {key}"))
        self._forget(name)

    def remove_key(self, name: str, key: str) -> None:
        """Let no version be the answer to a key any more."""
        self._backend.delete(f"{check_name(name)}/keys/{check_label(key, 'a key')}")
        self._forget(name)

    def set_alias(
        self, name: str, alias: str, version: int, *, by: str, reason: str | None = None
    ) -> None:
        """Let ``name:alias`` mean a version from now on; what it meant before stays in its history.

        Raises:
            StoreNameError: the alias cannot be called that.
            ArtifactVersionNotFoundError: the version does not exist.
            ArtifactRevokedError: it, or one that it was made from, was revoked.
        """
        path = f"{check_name(name)}/aliases/{check_label(alias, 'an alias')}"
        self.resolve(ArtifactReference(name, f"v{version}"))
        self._prepare()
        entry = {"version": version, "by": by, "at": time_text()}
        if reason is not None:
            entry["reason"] = reason

        def change(body: bytes | None) -> bytes:
            history = [] if body is None else decode(body, self._where(path)).get("history", [])
            document = {"schema": SCHEMA, **entry, "history": [*history, entry]}
            return encode(document, f"alias {alias}")

        if not self._backend.update(path, change):
            raise StoreError(
                f"the alias {name}:{alias} in {self.root} is being changed by somebody else; "
                "run it again"
            )

    def aliases(self, name: str) -> dict[str, int]:
        """The version that each alias of an artifact means."""
        folder = f"{check_name(name)}/aliases"
        labels = [one for one in self._backend.children(folder) if not one.startswith((".", "_"))]
        bodies = self._backend.read_many([f"{folder}/{label}" for label in labels])
        return {
            path.rpartition("/")[2]: self._read_alias(path, body)["version"]
            for path, body in bodies.items()
        }

    def alias_record(self, name: str, alias: str) -> dict[str, Any] | None:
        """Who let an alias mean what, and when: version, by, at, reason, history; None if unset."""
        path = f"{check_name(name)}/aliases/{check_label(alias, 'an alias')}"
        body = self._backend.read(path)
        return None if body is None else self._read_alias(path, body)

    def revoke(self, name: str, version: int, *, by: str, reason: str) -> Tombstone:
        """Let a version, and all that is made from it, be used no more.

        Returns:
            Its tombstone: the first one when it was revoked before.

        Raises:
            ArtifactVersionNotFoundError: the version does not exist.
        """
        path = f"{check_name(name)}/v{version}/_revoked"
        self._check_version(name, version)
        self._prepare()
        tombstone = Tombstone(by, time_text(), reason)
        body = encode(tombstone_document(tombstone), "a revocation")
        # The index first: a reader that finds nothing in it looks no further.
        self._backend.write(f"{_REVOCATIONS}/{name}/v{version}", body)
        if self._backend.create(path, body):
            return tombstone
        return self.is_revoked(name, version) or tombstone

    def mark_gone(self, name: str, version: int, why: str) -> None:
        """Note that a version's data is no more what it was: deleted, or overwritten.

        The first mark stays.

        Raises:
            ArtifactVersionNotFoundError: the version does not exist.
        """
        self._check_version(name, version)
        self._prepare()
        document = {"schema": SCHEMA, "at": time_text(), "why": why, "writer": uuid.uuid4().hex}
        self._backend.create(f"{name}/v{version}/_gone", encode(document, "a mark"))

    def gone(self, name: str, version: int) -> str | None:
        """Why a version's data is no more what it was; None when nobody marked it."""
        path = f"{check_name(name)}/v{version}/_gone"
        body = self._backend.read(path)
        return None if body is None else str(decode(body, self._where(path)).get("why", "unknown"))

    def paths(self, name: str = "") -> list[str]:
        """The paths, from the root, of an artifact's files and of those whose names go on from it.

        One listing of an object store; what the paths say, :mod:`nemo_runspec.store.survey` knows.

        Args:
            name: the artifact; without one, all there are.
        """
        if name or not self.is_local:
            return self._backend.files(check_name(name) if name else "") or []
        folders = [each for each in self._backend.children("") if each[0] not in "._"]
        return [path for folder in folders for path in self._backend.files(folder) or ()]

    # What a job said about a version

    def attach(self, name: str, version: int, label: str, body: bytes) -> None:
        """Put a file beside a version: no part of it, so that it may come later, and be replaced.

        Args:
            name: the artifact's name.
            version: the version's number.
            label: what the file is called, such as ``metrics.jsonl``; the last word counts.
            body: all of it, not empty; at most 32 MiB. A version has at most 200.

        Raises:
            StoreNameError: nothing can be called that.
            ArtifactVersionNotFoundError: the version does not exist.
            StoreError: the body is empty or too long, there are too many, or the store cannot be
                written.
        """
        attachments = Attachments(self._backend, check_name(name), version)
        self._check_version(name, version)
        self._prepare()
        attachments.write(label, body)

    def attachment(self, name: str, version: int, label: str) -> bytes | None:
        """What is attached to a version under a label; None when nothing is."""
        return Attachments(self._backend, check_name(name), version).read(label)

    def attachments(self, name: str, version: int) -> list[str]:
        """The labels of what is attached to a version, sorted."""
        return Attachments(self._backend, check_name(name), version).labels()

    def attached(self, name: str, version: int) -> dict[str, bytes]:
        """All that is attached to a version, by label: asked for at once."""
        return Attachments(self._backend, check_name(name), version).read_all()

    # Housekeeping

    def written_latest(self, name: str) -> int | None:
        """What the file ``latest`` says, which :meth:`latest` looks ahead of; None without one."""
        return read_latest(self._backend.read(f"{check_name(name)}/latest"))

    def dead_claims(self, name: str, seconds: float) -> list[int]:
        """Numbers that a writer took that long ago and never completed, below ``latest``.

        Those above it stay claimed: readers that look ahead count on there being no gap.
        """
        written = self.written_latest(name)
        found = []
        for number in numbers_of(self._backend, name):
            folder = f"{name}/v{number}"
            if written is None or number >= written:
                break
            if self._backend.exists(f"{folder}/manifest.json"):
                continue
            claimed = self._backend.modified(f"{folder}/_claim")
            if claimed is not None and claimed < time.time() - seconds:
                found.append(number)
        return found

    def drop_claim(self, name: str, version: int) -> None:
        """Remove what a killed writer left of a version that :meth:`dead_claims` named.

        Raises:
            StoreError: the version is complete.
        """
        folder = f"{check_name(name)}/v{version}"
        if self._backend.exists(f"{folder}/manifest.json"):
            raise StoreError(f"{name}:v{version} is complete; it stays")
        for file in ("metadata.json", "_claim"):
            self._backend.delete(f"{folder}/{file}")
        if self.is_local:
            # A folder with anything else in it stays.
            with contextlib.suppress(OSError):
                os.rmdir(f"{self.root}/{folder}")

    # Reading ahead

    def prefetch(self, names: Collection[str]) -> None:
        """Read what a plan over these artifacts needs, in few requests; nothing for a local root.

        :meth:`find_key`, :meth:`find_keys` and :meth:`latest_manifests` then answer from it, until
        :meth:`forget`: what others write meanwhile is not seen.
        """
        if self.is_local:
            return
        wanted = frozenset(map(check_name, names))
        self._snapshot = read_snapshot(self._backend, self._numbering, wanted)

    def forget(self) -> None:
        """Drop what :meth:`prefetch` read."""
        self._snapshot = Snapshot()

    # Leases

    def acquire(
        self, lease_id: str, holder: Mapping[str, Any], *, ttl: float | None = None
    ) -> Lease | HeldLease:
        """Take a lease, or learn who has it.

        A lease lives as long as its holder: on this machine as long as the holder's process, else
        as long as it beats. A dead one is taken over, by one contender.

        Args:
            lease_id: parts as in a name, such as ``{name}/{key}``.
            holder: who takes it, for others to read; JSON.
            ttl: seconds on the store's clock without a beat after which a holder of another
                machine is dead; the holder's own word counts. Default: two minutes.

        Returns:
            The lease, or who holds it.
        """
        check_lease_id(lease_id)
        self._prepare()
        return acquire_lease(self._backend, lease_id, holder, ttl)

    def lease_holder(self, lease_id: str) -> HeldLease | None:
        """Who holds a lease, without writing anything; None when nobody who lives does."""
        return find_holder(self._backend, check_lease_id(lease_id))

    def lease_holders(self, prefix: str) -> list[HeldLease]:
        """Who holds the leases ``{prefix}/…``, sorted by lease; writes nothing either."""
        return find_holders(self._backend, check_lease_id(prefix))

    # Runs

    def write_run(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Keep the record of a run; the last word counts."""
        path = f"{_RUNS}/{check_label(run_id, 'a run id')}.json"
        self._prepare()
        self._backend.write(path, encode(document, f"the record of run {run_id}"))

    def read_run(self, run_id: str) -> dict[str, Any] | None:
        """The record of a run; None when there is none."""
        path = f"{_RUNS}/{check_label(run_id, 'a run id')}.json"
        body = self._backend.read(path)
        return None if body is None else decode(body, self._where(path))

    def read_runs(self, run_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """The records of those of these runs that have one, asked for all at once."""
        paths = {f"{_RUNS}/{check_label(each, 'a run id')}.json": each for each in run_ids}
        bodies = self._backend.read_many(list(paths))
        return {paths[path]: decode(body, self._where(path)) for path, body in bodies.items()}

    def runs(self) -> list[str]:
        """The ids of all runs that have a record, sorted."""
        names = self._backend.children(_RUNS)
        return [n.removesuffix(".json") for n in names if n.endswith(".json") and n[0] != "."]

    # How

    def _prepare(self) -> None:
        """Makes sure, once, that this root can be written by several."""
        if self._ready:
            return
        body = self._backend.read(_SETTINGS)
        if body is None:
            settings = {
                "schema": SCHEMA,
                "id": uuid.uuid4().hex,
                "capabilities": dict(self._backend.probe()),
                "probed_at": time_text(),
            }
            self._refuse_unsafe(settings)
            self._backend.create(_SETTINGS, encode(settings, _SETTINGS))
        else:
            self._refuse_unsafe(decode(body, self._where(_SETTINGS)))
        self._ready = True

    def _refuse_unsafe(self, settings: Mapping[str, Any]) -> None:
        capabilities = settings.get("capabilities")
        if isinstance(capabilities, Mapping) and not capabilities.get("exclusive_create", True):
            raise StoreUnsupportedError(
                f"the store {self.root} cannot create a file for one writer alone, so that two "
                "writers would overwrite each other's versions; use a local or mounted folder, or "
                "an S3 or GCS bucket with conditional writes"
            )

    def _walk(self, folder: str) -> Iterator[str]:
        children = self._backend.children(folder)
        if folder and ("latest" in children or self._numbering.newest_listed(folder)):
            yield folder
        for child in children:
            if _is_name(child):
                yield from self._walk(f"{folder}/{child}" if folder else child)

    def _read_alias(self, path: str, body: bytes) -> dict[str, Any]:
        document = decode(body, self._where(path))
        if not isinstance(document.get("version"), int):
            raise StoreError(f"{self._where(path)} is broken: it names no version; set it again")
        return document

    def _check_version(self, name: str, version: int) -> None:
        if not self._backend.exists(f"{name}/v{version}/manifest.json"):
            raise self._version_not_found(name, f"v{version}")

    def _where(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}"

    def _forget(self, name: str) -> None:
        if name in self._snapshot.names:
            self.forget()

    def _not_found(self, name: str) -> ArtifactNotFoundError:
        known = hint(name, self.names(), kind="Artifacts")
        return ArtifactNotFoundError(
            name, f"artifact {name!r} not found in the store {self.root}; {known}"
        )

    def _version_not_found(
        self, name: str, version: str
    ) -> ArtifactNotFoundError | ArtifactVersionNotFoundError:
        numbers = self.versions(name)
        if not numbers:
            return self._not_found(name)
        shown = [f"v{number}" for number in numbers]
        if len(shown) > 10:
            shown = [*shown[:2], "…", *shown[-5:]]
        aliases = "".join(f", {alias} (v{n})" for alias, n in self.aliases(name).items())
        return ArtifactVersionNotFoundError(
            name,
            version,
            f"artifact {name!r} has no version {version!r} in the store {self.root}; "
            f"there are: {', '.join(shown)}{aliases}",
        )


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except StoreError:
        return False
    return True
