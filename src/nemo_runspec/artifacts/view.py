"""The store as this process sees it: through its namespace, its inputs pinned, its uses noted.

Everything that looks an artifact up goes through :meth:`StoreView.find`: the ``${art:…}``
resolver, ``Artifact.from_uri``, ``art://``, the registry, ``load_value``. So all of them mean the
same version, and each version that was used is in the lineage of what the process then logs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from nemo_runspec.artifacts.job_context import JobContext, JobInput, job_context
from nemo_runspec.artifacts.references import ResolvedArtifact
from nemo_runspec.artifacts.settings import ArtifactsSettings, environment_settings
from nemo_runspec.exceptions import (
    ArtifactError,
    ArtifactNotFoundError,
    ArtifactVersionNotFoundError,
    ConfigError,
)
from nemo_runspec.store.names import ArtifactReference, check_name, parse_artifact_reference

if TYPE_CHECKING:
    from nemo_runspec.store.model import Manifest
    from nemo_runspec.store.store import Store

URI_PREFIX = "art://"


class Catalog(Protocol):
    """What is asked for a version before the store is."""

    def find(self, reference: ArtifactReference, view: StoreView) -> ResolvedArtifact | None:
        """The version that a reference means; None where the store is to say."""

    def qualified(self, found: ResolvedArtifact) -> str | None:
        """Its own name for a version."""


_used: dict[str, None] = {}


class TrackingOffError(ArtifactError):
    """Versions are not recorded here, so none can be looked up."""


@dataclass(frozen=True)
class StoreView:
    """A store through a namespace and a job's pinned inputs.

    Attributes:
        store: what is read and written.
        namespace: one's own versions: they are found first, and written; None without one.
        context: the job; None in a script that nobody planned.
        storage_options: for the filesystem of data that lies where the store lies.
        catalog: what is asked first: W&B, where artifacts are logged there too.
    """

    store: Store
    namespace: str | None = None
    context: JobContext | None = None
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    catalog: Catalog | None = field(default=None, compare=False)

    @property
    def root(self) -> str:
        return self.store.root

    def own_name(self, name: str) -> str:
        """The name that a version is written under: within the namespace.

        Raises:
            StoreNameError: nothing can be called that.
        """
        if self.namespace is None or name.startswith(f"{self.namespace}/"):
            return check_name(name)
        return check_name(f"{self.namespace}/{name}")

    def find(self, reference: ArtifactReference) -> ResolvedArtifact:
        """The version that a reference means, and note that it was used.

        ``latest`` and an alias of a pinned input mean the pinned version.

        Raises:
            ArtifactNotFoundError: no artifact of that name.
            ArtifactVersionNotFoundError: no such version or alias of it.
            ArtifactRevokedError: it, or one that it was made from, was revoked.
            StoreError: the store cannot be read.
        """
        found = self._pinned(reference)
        if found is None and self.catalog is not None:
            found = self.catalog.find(reference, self)
        if found is None:
            manifest = self.manifest(reference)
            found = resolved(manifest, self.store.metadata(manifest.name, manifest.version))
        note_use(found.reference)
        return found

    def manifest(self, reference: ArtifactReference) -> Manifest:
        """The manifest of the version that a reference means, pins left aside.

        Raises:
            as :meth:`find`.
        """
        if self.namespace is not None and not reference.name.startswith(f"{self.namespace}/"):
            own = ArtifactReference(f"{self.namespace}/{reference.name}", reference.version)
            # What is not one's own is the team's.
            with contextlib.suppress(ArtifactNotFoundError, ArtifactVersionNotFoundError):
                return self.store.resolve(own)
        return self.store.resolve(reference)

    def _pinned(self, reference: ArtifactReference) -> ResolvedArtifact | None:
        if self.context is None:
            return None
        names = [reference.name]
        if self.namespace is not None:
            names.insert(0, f"{self.namespace}/{reference.name}")
        for name in names:
            item = self.context.pinned(name)
            if item is not None and reference.number in (None, item.version):
                return resolved_input(item)
        return None


def resolved(
    manifest: Manifest, document: Mapping[str, Any], *, qualified_name: str | None = None
) -> ResolvedArtifact:
    """A version of the store as the resolvers know it."""
    iteration = manifest.extra.get("iteration", manifest.metadata.get("iteration"))
    return ResolvedArtifact(
        name=manifest.name,
        version=f"v{manifest.version}",
        path=manifest.path,
        type=manifest.type,
        iteration=iteration if isinstance(iteration, int) else None,
        metadata=document,
        qualified_name=qualified_name,
    )


def resolved_input(item: JobInput) -> ResolvedArtifact:
    """A job's pinned input as the resolvers know it."""
    inner = item.metadata.get("metadata")
    layers = [item.metadata, inner if isinstance(inner, Mapping) else {}]
    iteration = next((layer["iteration"] for layer in layers if "iteration" in layer), None)
    return ResolvedArtifact(
        name=item.name,
        version=f"v{item.version}",
        path=item.path,
        type=item.type,
        iteration=iteration if isinstance(iteration, int) else None,
        metadata=item.metadata,
    )


def note_use(reference: str) -> None:
    """Note that this process used a version, ``name:vN``."""
    _used[reference] = None


def used_references() -> tuple[str, ...]:
    """The versions that this process used so far, in the order of their first use."""
    return tuple(_used)


def forget_uses() -> None:
    """Forget which versions this process used."""
    _used.clear()


def open_view(settings: ArtifactsSettings, context: JobContext | None = None) -> StoreView | None:
    """The store of a job, else the one that settings name.

    Args:
        settings: the ``artifacts`` section.
        context: the job, if it was planned; its store wins.

    Returns:
        The view; None when the settings turn tracking off.
    """
    from nemo_runspec.store.opening import open_store

    if settings.root is None:
        return None
    root, shared = settings.root, settings.shared
    options = dict(settings.storage_options or {})
    if context is not None and context.root is not None:
        root, shared = context.root, context.shared
        options = {**options, **context.storage_options}
    store = open_store(root, shared=shared, storage_options=options or None)
    return StoreView(store, settings.namespace, context, options)


_active: list[StoreView] = []


def set_active_view(view: StoreView | None) -> None:
    """Make a view the one of this process; None lets it be found anew."""
    _active[:] = [] if view is None else [view]


def active_view() -> StoreView:
    """The view of this process: the one that was set, else that of the job or of ``env.toml``.

    Raises:
        TrackingOffError: ``env.toml`` turns tracking off.
        EnvError: ``env.toml`` is broken.
        JobContextError: the job context is.
    """
    if _active:
        return _active[0]
    context = job_context()
    if context is not None and context.root is not None:
        view = open_view(ArtifactsSettings(root=context.root), context)
    else:
        view = open_view(environment_settings(), context)
    return view or tracking_is_off()


def tracking_is_off() -> StoreView:
    """No view: versions are not recorded.

    Raises:
        TrackingOffError: always.
    """
    raise TrackingOffError(
        "no artifact can be looked up: artifacts.manifest.root is null; name a store in the "
        "config's artifacts section or in env.toml, or write the path in the config instead"
    )


def parse_uri(text: str) -> ArtifactReference:
    """Read ``art://name[:version]``, or ``name[:version]``.

    Raises:
        ConfigError: the text is neither.
    """
    if "://" in text and not text.startswith(URI_PREFIX):
        raise ConfigError(f"{text!r} is no art:// URI; write art://name, or art://name:v3")
    return parse_artifact_reference(text.removeprefix(URI_PREFIX).strip("/"))
