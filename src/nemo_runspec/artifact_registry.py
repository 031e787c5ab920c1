"""Versions by name: publishing, finding, listing and naming them, over a store.

registry = ArtifactRegistry("fsspec", root="/lustre/team/artifacts")
registry.publish("my-data", "/lustre/data/mine")      # the data stays where it is
registry.resolve("my-data")                           # its path
registry.alias("my-data", "prod", 1)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nemo_runspec._names import hint
from nemo_runspec.artifacts.resolver import ResolverMode
from nemo_runspec.artifacts.settings import user_name
from nemo_runspec.artifacts.types import Artifact
from nemo_runspec.artifacts.view import StoreView, set_active_view
from nemo_runspec.exceptions import ArtifactError, ArtifactNotFoundError
from nemo_runspec.manifest_tracker import ManifestTracker
from nemo_runspec.store.model import Manifest
from nemo_runspec.store.names import parse_artifact_reference
from nemo_runspec.wandb_tracking.own_session import session
from nemo_runspec.wandb_tracking.registry import WandbRegistry, WandbVersion

__all__ = [
    "ArtifactEntry",
    "ArtifactRegistry",
    "ArtifactVersion",
    "RegistryError",
    "get_artifact_registry",
    "get_resolver_mode",
    "set_artifact_registry",
]

BACKENDS = ("fsspec", "manifest", "wandb")


class RegistryError(ArtifactError, ValueError, RuntimeError):
    """The registry is asked for what it does not have."""


@dataclass(frozen=True)
class ArtifactVersion:
    """A version.

    Attributes:
        version: its number.
        path: where its data is: a path or a URL.
        created_at: ISO 8601 with zone.
        metadata: what is known of it.
    """

    version: int
    path: str
    created_at: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ArtifactEntry:
    """All versions of a name.

    Attributes:
        name: the artifact's name.
        versions: the complete ones, in order.
        aliases: numbers by alias, ``latest`` among them.
    """

    name: str
    versions: tuple[ArtifactVersion, ...] = ()
    aliases: Mapping[str, int] = field(default_factory=dict)

    def latest_version(self) -> ArtifactVersion | None:
        """The newest version."""
        return self.versions[-1] if self.versions else None

    def get_version(self, version: int) -> ArtifactVersion | None:
        """The version of this number."""
        return next((item for item in self.versions if item.version == version), None)


class ArtifactRegistry:
    """Versions by name, in one store, or in one project of W&B.

    Args:
        backend: ``fsspec`` or ``manifest``: a store on any fsspec filesystem; ``wandb``: a project
            of W&B, where versions count from 0.
        root: the store's root; none with ``wandb``.
        wandb_project: the project; default: ``WANDB_PROJECT``.
        wandb_entity: whose it is; default: ``WANDB_ENTITY``, else W&B's own default.
        namespace: what stands before the names of one's own versions.
        shared: ``group`` when files are to be group-writable.
        storage_options: for the root's filesystem.

    Raises:
        RegistryError: an unknown backend, or no root.
        StoreError: nothing can be recorded at such a root.
        MissingPackageError: ``wandb`` is asked for, and not installed.
    """

    def __init__(
        self,
        backend: str = "fsspec",
        root: str | os.PathLike[str] | None = None,
        wandb_project: str | None = None,
        wandb_entity: str | None = None,
        *,
        namespace: str | None = None,
        shared: Literal["group"] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if backend not in BACKENDS:
            raise RegistryError(
                f"no backend {backend!r}; {hint(backend, BACKENDS, kind='Backends')}"
            )
        self.backend = backend
        self.wandb_project = wandb_project
        self.wandb_entity = wandb_entity
        self._wandb: WandbRegistry | None = None
        if backend == "wandb":
            self._wandb = WandbRegistry(session(), wandb_project, wandb_entity)
            return
        if root is None or not os.fspath(root):
            raise RegistryError(f"backend {backend!r} needs a root: a path or a URL")
        self._tracker = ManifestTracker(
            root, namespace=namespace, shared=shared, storage_options=storage_options
        )

    @property
    def root(self) -> str:
        """The store's root, or ``wandb://entity/project``."""
        return self._tracker.root if self._wandb is None else self._wandb.root

    @property
    def view(self) -> StoreView:
        """The store, or the project, as this process sees it."""
        return self._tracker.view if self._wandb is None else self._wandb.view

    def publish(
        self,
        name: str,
        source_path: str | os.PathLike[str],
        metadata: Mapping[str, Any] | None = None,
    ) -> ArtifactVersion:
        """Record what lies at a path as a new version; it stays there.

        Args:
            name: the artifact's name.
            source_path: a file or folder: a path or a URL.
            metadata: what is known of it.

        Raises:
            ArtifactError: there is nothing, or the store cannot be written.
        """
        if self._wandb is not None:
            made = self._wandb.publish(name, os.fspath(source_path), metadata or {})
            return _version_of_wandb(made)
        artifact = Artifact(path=os.fspath(source_path), metadata=dict(metadata or {}))
        return _version(self._tracker.record_artifact(artifact, name))

    def resolve(self, name: str, version: int | str | None = None) -> Path | str:
        """Where the data of a version is; it counts as used from here on.

        Args:
            name: the artifact's name.
            version: its number, ``vN``, ``latest``, or an alias; default: the newest.

        Returns:
            The path; a URL as text.

        Raises:
            ArtifactNotFoundError: no artifact of that name.
            ArtifactVersionNotFoundError: no such version or alias of it.
        """
        if self._wandb is not None:
            return self._wandb.resolve(name, version)
        text = name if version is None else f"{name}:{version}"
        return self._tracker.use_artifact(str(parse_artifact_reference(text)))

    def get(self, name: str) -> ArtifactEntry | None:
        """All versions of a name; None when there is none. Reads each of their manifests."""
        if self._wandb is not None:
            return _entry_of_wandb(name, self._wandb.versions(name))
        store = self.view.store
        for known in dict.fromkeys((self.view.own_name(name), name)):
            numbers = store.versions(known)
            if numbers:
                versions = tuple(_version(store.manifest(known, number)) for number in numbers)
                aliases = {"latest": numbers[-1], **store.aliases(known)}
                return ArtifactEntry(known, versions, aliases)
        return None

    def list(self) -> list[str]:
        """The names of all artifacts, sorted."""
        return self.view.store.names() if self._wandb is None else self._wandb.names()

    def alias(self, name: str, alias: str, version: int) -> None:
        """Give a version another name.

        Raises:
            ArtifactNotFoundError: no artifact of that name.
            ArtifactVersionNotFoundError: no such version of it.
        """
        if self._wandb is not None:
            self._wandb.alias(name, alias, version)
            return
        store = self.view.store
        known = self.view.own_name(name)
        if not store.versions(known):
            known = name
        if not store.versions(known):
            raise ArtifactNotFoundError(
                name,
                f"there is no artifact {name!r} in {self.root}; "
                f"{hint(name, store.names(), kind='Artifacts')}",
            )
        store.manifest(known, version)
        store.set_alias(known, alias, version, by=user_name())


_registry: list[ArtifactRegistry] = []


def get_artifact_registry() -> ArtifactRegistry:
    """The registry of this process.

    Raises:
        RegistryError: none was set.
    """
    if not _registry:
        raise RegistryError(
            "no artifact registry is set: call setup_artifact_tracking(config), or "
            "set_artifact_registry(ArtifactRegistry('fsspec', root=…))"
        )
    return _registry[0]


def set_artifact_registry(registry: ArtifactRegistry | None) -> None:
    """Make a registry the one of this process; ``art://`` and the resolvers use its store."""
    _registry[:] = [] if registry is None else [registry]
    set_active_view(None if registry is None else registry.view)


def get_resolver_mode() -> ResolverMode:
    """How ``${art:…}`` is looked up in this process: in the store, or through W&B's API."""
    return "pre_init" if _registry and _registry[0].backend == "wandb" else "local"


def _version(manifest: Manifest) -> ArtifactVersion:
    return ArtifactVersion(
        version=manifest.version,
        path=manifest.path,
        created_at=manifest.created_at,
        metadata=manifest.metadata,
    )


def _version_of_wandb(version: WandbVersion) -> ArtifactVersion:
    return ArtifactVersion(version.version, version.path, version.created_at, version.metadata)


def _entry_of_wandb(name: str, versions: Sequence[WandbVersion]) -> ArtifactEntry | None:
    if not versions:
        return None
    aliases = {alias: version.version for version in versions for alias in version.aliases}
    return ArtifactEntry(name, tuple(map(_version_of_wandb, versions)), aliases)
