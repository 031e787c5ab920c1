"""What was made from what, as the manifests say, and what a revoked version takes with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nemo_runspec.exceptions import ConfigError
from nemo_runspec.store.errors import ArtifactRevokedError
from nemo_runspec.store.model import Manifest, Tombstone
from nemo_runspec.store.names import ArtifactReference, parse_artifact_reference

if TYPE_CHECKING:
    from nemo_runspec.store import Store

VersionId = tuple[str, int]
"""An artifact's name and a version's number."""


@dataclass(frozen=True)
class Revocation:
    """Why a version must not be used.

    Attributes:
        name: the artifact that was revoked: the version itself, or one that it was made from.
        version: the number of its version.
        tombstone: who revoked it, when and why.
    """

    name: str
    version: int
    tombstone: Tombstone

    @property
    def reference(self) -> str:
        """``name:vN`` of what was revoked."""
        return f"{self.name}:v{self.version}"

    def error(self, reference: str) -> ArtifactRevokedError:
        """The refusal of ``reference``, which is this version or made from it."""
        stone = self.tombstone
        return ArtifactRevokedError(reference, self.reference, stone.by, stone.at, stone.reason)


class Revocations:
    """The tombstones of a store, as they are when this is made, and what they refuse.

    One listing says whether there are any; only if there are, manifests are read. One of these
    serves a whole plan.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._revoked = store.revoked_versions()
        # A version's manifest never changes, and so what it was made from does not either.
        self._used: dict[VersionId, tuple[VersionId, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._revoked)

    def find(self, name: str, version: int) -> Revocation | None:
        """What refuses a version: its own tombstone, or the nearest above it; None if none does.

        Raises:
            StoreError: a manifest above it cannot be read.
        """
        if not self._revoked:
            return None
        level: list[VersionId] = [(name, version)]
        seen = set(level)
        while level:
            for one in level:
                if one in self._revoked:
                    tombstone = self._store.is_revoked(*one)
                    if tombstone is not None:
                        return Revocation(*one, tombstone)
            self._read(level)
            above = [each for one in level for each in self._used[one]]
            level = [each for each in dict.fromkeys(above) if each not in seen]
            seen.update(level)
        return None

    def check(self, name: str, version: int) -> None:
        """Refuse a version that was revoked, or is made from one that was.

        Raises:
            ArtifactRevokedError: it was.
        """
        found = self.find(name, version)
        if found is not None:
            raise found.error(f"{name}:v{version}")

    def _read(self, wanted: Iterable[VersionId]) -> None:
        missing = [one for one in wanted if one not in self._used]
        manifests = self._store.manifests(missing)
        for one in missing:
            manifest = manifests.get(one)
            # What another store holds is not known here.
            self._used[one] = () if manifest is None else made_from(manifest)


def revoked_ancestor(store: Store, name: str, version: int) -> Revocation | None:
    """What refuses a version: its own tombstone, or that of a version it was made from.

    Where nothing was ever revoked this is one listing of an empty folder.

    Args:
        store: the store.
        name: the artifact's name.
        version: the version's number.

    Returns:
        The nearest tombstone; None if the version may be used.

    Raises:
        StoreError: the store does not answer, or a manifest above it is broken.
    """
    return Revocations(store).find(name, version)


def made_from(manifest: Manifest) -> tuple[VersionId, ...]:
    """The versions of ``used_artifacts``; what is no ``name:vN`` (of W&B, say) is left out."""
    found = (version_id(text) for text in manifest.used_artifacts)
    return tuple(dict.fromkeys(each for each in found if each is not None))


def ancestors(
    manifests: Mapping[VersionId, Manifest], start: Iterable[VersionId]
) -> dict[VersionId, VersionId]:
    """All that some versions were made from, transitively.

    Args:
        manifests: every version that may be in between.
        start: the versions, themselves no part of the answer unless others are made from them.

    Returns:
        Each ancestor, and a version that was made from it.
    """
    found: dict[VersionId, VersionId] = {}
    waiting = list(start)
    while waiting:
        one = waiting.pop()
        manifest = manifests.get(one)
        for above in () if manifest is None else made_from(manifest):
            if above not in found:
                found[above] = one
                waiting.append(above)
    return found


def descendants(manifests: Mapping[VersionId, Manifest], name: str, version: int) -> list[Manifest]:
    """All versions that were made from one, transitively, by name and number."""
    below: dict[VersionId, list[VersionId]] = {}
    for one, manifest in manifests.items():
        for above in made_from(manifest):
            below.setdefault(above, []).append(one)
    found: set[VersionId] = set()
    waiting: list[VersionId] = [(name, version)]
    while waiting:
        for one in below.get(waiting.pop(), ()):
            if one not in found:
                found.add(one)
                waiting.append(one)
    return [manifests[one] for one in sorted(found - {(name, version)})]


def version_id(text: str) -> VersionId | None:
    """The version that ``name:vN`` names; None for a text that is something else."""
    try:
        reference: ArtifactReference = parse_artifact_reference(text)
    except ConfigError:
        return None
    return None if reference.number is None else (reference.name, reference.number)
