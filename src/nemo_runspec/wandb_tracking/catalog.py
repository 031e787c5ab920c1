"""Finding versions through W&B's API, for ``${art:…}`` and all else that looks one up.

W&B says which version is meant; where it is one of the store, the store says what that version
is. ``name:v3`` means the store's third version where there is a store, W&B's ``v3`` where there
is none. What W&B does not know, or does not answer, is looked up in the store alone. A ``latest``
that W&B has missed is taken from the store, too: it is the truth, W&B a copy of it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, cast

from nemo_runspec.artifacts.references import ResolvedArtifact
from nemo_runspec.artifacts.view import StoreView, TrackingOffError, open_view, resolved
from nemo_runspec.exceptions import (
    ArtifactError,
    ArtifactNotFoundError,
    ArtifactVersionNotFoundError,
)
from nemo_runspec.store.names import ArtifactReference
from nemo_runspec.wandb_tracking.client import is_missing
from nemo_runspec.wandb_tracking.entries import local_path
from nemo_runspec.wandb_tracking.names import (
    WandbNameError,
    from_wandb_name,
    to_wandb_name,
    version_alias,
)
from nemo_runspec.wandb_tracking.session import NoAnswerError, Session
from nemo_runspec.wandb_tracking.tracker import STORE_KEY

if TYPE_CHECKING:
    from nemo_runspec.artifacts.job_context import JobContext
    from nemo_runspec.artifacts.settings import ArtifactsSettings
    from nemo_runspec.store.store import Store

_logger = logging.getLogger(__name__)

# W&B has answered which version it is; its data may be large, and nothing can stand for it.
_DOWNLOAD_SECONDS = 3600.0


@dataclass(frozen=True)
class _Found:
    """What W&B says of a version; the client asks for some of it when it is first looked at."""

    collection: str
    version: str
    type: str
    qualified: str
    metadata: Mapping[str, Any]
    artifact: Any

    @classmethod
    def of(cls, artifact: Any) -> _Found:
        version = str(artifact.version)
        return cls(
            collection=str(artifact.collection.name),
            version=version,
            type=str(artifact.type),
            # By its version: what `latest` means moves on.
            qualified=f"{str(artifact.qualified_name).rpartition(':')[0]}:{version}",
            metadata=artifact.metadata or {},
            artifact=artifact,
        )


class WandbCatalog:
    """Finds versions in W&B.

    Args:
        session: the dealings with W&B.
        project: of the artifacts; default: ``WANDB_PROJECT``.
        entity: likewise; default: ``WANDB_ENTITY``, else W&B's own default.
        has_store: whether what is not found is looked up in a store.

    Attributes:
        project: as given.
        entity: as given.
    """

    def __init__(
        self,
        session: Session,
        project: str | None = None,
        entity: str | None = None,
        *,
        has_store: bool = True,
    ) -> None:
        self._session = session
        self.project = project or os.environ.get("WANDB_PROJECT")
        self.entity = entity or os.environ.get("WANDB_ENTITY")
        self._has_store = has_store
        self._api: Any = None

    def view(self, namespace: str | None, context: JobContext | None) -> StoreView:
        """What looks versions up here alone."""
        return StoreView(cast("Store", _NoStore(self.root)), namespace, context, catalog=self)

    @property
    def root(self) -> str:
        """Where it looks, for people."""
        return f"wandb://{'/'.join(part for part in (self.entity, self.project) if part)}"

    @property
    def path(self) -> str:
        """What stands before the names of artifacts: ``entity/project/``; empty without project."""
        if not self.project:
            return ""
        return "".join(f"{part}/" for part in (self.entity, self.project) if part)

    @property
    def api(self) -> Any:
        """The client's API; only within :meth:`Session.ask`."""
        if self._api is None:
            self._api = self._session.wandb.Api(timeout=self._session.bounds.request)
        return self._api

    def qualified(self, found: ResolvedArtifact) -> str | None:
        """W&B's name for a version of the store, nobody asked."""
        if found.qualified_name is not None:
            return found.qualified_name
        with suppress(WandbNameError):
            number = int(found.version.removeprefix("v"))
            return f"{self.path}{to_wandb_name(found.name)}:{version_alias(number)}"
        return None

    def find(self, reference: ArtifactReference, view: StoreView) -> ResolvedArtifact | None:
        """The version that a reference means.

        Args:
            reference: ``name[:version or alias]``.
            view: the store, and the names of one's own.

        Returns:
            The version; None where the store is to say.

        Raises:
            ArtifactNotFoundError: W&B has no artifact of that name, and there is no store.
            ArtifactError: it cannot be asked, and there is no store.
        """
        try:
            if not self.path:
                raise NoAnswerError("no project is named, in [wandb] of env.toml or WANDB_PROJECT")
            found = self._session.ask(
                f"looking up {reference}",
                lambda: self._first(reference, view.namespace),
                seconds=None if self._has_store else self._session.bounds.questions,
            )
        except NoAnswerError as error:
            if self._has_store:
                return None
            raise ArtifactError(
                f"{reference} cannot be looked up in Weights & Biases ({error}), and no store is "
                "named (artifacts.manifest.root)"
            ) from error
        if found is None:
            if self._has_store:
                return None
            self._missing(reference)
        return self._resolved(reference, found, view)

    def artifacts(self, name: str) -> list[Any]:
        """All versions of an artifact, the newest first, as the API has them; for the registry.

        Raises:
            NoAnswerError: W&B does not answer.
        """
        wanted = f"{self.path}{to_wandb_name(name)}"

        def act() -> list[Any]:
            try:
                kind = self.api.artifact(f"{wanted}:latest").type
                return list(self.api.artifacts(kind, wanted))
            except Exception as error:
                if is_missing(error):
                    return []
                raise

        found: list[Any] = self._session.ask(
            f"looking up {name}", act, seconds=self._session.bounds.total
        )
        return found

    def names(self) -> list[str]:
        """The names of all artifacts that runs of ours or others logged.

        Raises:
            NoAnswerError: W&B does not answer.
        """
        found: list[str] = self._session.ask(
            "listing artifacts",
            lambda: sorted({from_wandb_name(name) for name in self._collections()}),
            seconds=self._session.bounds.total,
        )
        return found

    def _collections(self) -> Iterator[str]:
        for kind in self.api.artifact_types(self.path.rstrip("/")):
            # Of the client's own: tables, source code, the record of a job.
            if kind.name not in ("job", "run_table", "code"):
                yield from (collection.name for collection in kind.collections())

    def _first(self, reference: ArtifactReference, namespace: str | None) -> _Found | None:
        names = [reference.name]
        if namespace is not None and not reference.name.startswith(f"{namespace}/"):
            names.insert(0, f"{namespace}/{reference.name}")
        number = reference.number
        version = reference.version
        if number is not None and self._has_store:
            version = version_alias(number)
        for name in names:
            try:
                return _Found.of(self.api.artifact(f"{self.path}{to_wandb_name(name)}:{version}"))
            except WandbNameError:
                continue
            except Exception as error:
                if not is_missing(error):
                    raise
        return None

    def _resolved(
        self, reference: ArtifactReference, found: _Found, view: StoreView
    ) -> ResolvedArtifact:
        metadata = found.metadata
        stored = metadata.get(STORE_KEY)
        if self._has_store and isinstance(stored, Mapping):
            ours = self._of_store(reference, stored, view, found.qualified)
            if ours is not None:
                return ours
        iteration = metadata.get("iteration")
        return ResolvedArtifact(
            name=from_wandb_name(found.collection),
            version=found.version,
            path=self._path_of(found),
            type=found.type,
            iteration=iteration if isinstance(iteration, int) else None,
            metadata={**metadata, "metadata": metadata},
            qualified_name=found.qualified,
            is_stored=False,
        )

    def _of_store(
        self,
        reference: ArtifactReference,
        stored: Mapping[str, Any],
        view: StoreView,
        qualified: str,
    ) -> ResolvedArtifact | None:
        meant = ArtifactReference(str(stored.get("name")), f"v{stored.get('version')}")
        try:
            manifest = view.store.resolve(meant)
        except (ArtifactNotFoundError, ArtifactVersionNotFoundError):
            return None  # of another store
        known: str | None = qualified
        if reference.version == "latest":
            newest = view.manifest(reference)
            if newest.name == manifest.name and newest.version > manifest.version:
                _logger.warning(
                    "%s: Weights & Biases knows %s alone; %s of the store is used",
                    reference,
                    manifest.reference,
                    newest.reference,
                )
                manifest, known = newest, None
        document = view.store.metadata(manifest.name, manifest.version)
        return resolved(manifest, document, qualified_name=known)

    def _path_of(self, found: _Found) -> str:
        for key in ("absolute_path", "path"):
            if isinstance(found.metadata.get(key), str):
                return str(found.metadata[key])
        try:
            return str(
                self._session.ask(
                    f"downloading {found.qualified}",
                    lambda: _download(found.artifact),
                    seconds=_DOWNLOAD_SECONDS,
                )
            )
        except NoAnswerError as error:
            raise ArtifactError(
                f"{found.qualified} cannot be downloaded from Weights & Biases: {error}"
            ) from error

    def _missing(self, reference: ArtifactReference) -> NoReturn:
        raise ArtifactNotFoundError(
            str(reference),
            f"there is no artifact {reference} in {self.root}; look at the project's Artifacts "
            "tab, and at project and entity in [wandb] of env.toml",
        )


def view_with_wandb(
    settings: ArtifactsSettings, session: Session | None, context: JobContext | None
) -> StoreView | None:
    """What versions are looked up in: a store, W&B and a store, or W&B alone.

    Args:
        settings: the ``artifacts`` section.
        session: the dealings with W&B; None where it is not asked.
        context: the job, if it was planned.

    Returns:
        The view; None where there is neither.
    """
    view = open_view(settings, context)
    if session is None:
        return view
    if view is not None:
        return replace(view, catalog=WandbCatalog(session))
    catalog = WandbCatalog(session, has_store=False)
    return catalog.view(settings.namespace, context)


class _NoStore:
    """Stands where a store would, and says that there is none."""

    def __init__(self, root: str) -> None:
        self.root = root

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise TrackingOffError(
            f"artifacts are in {self.root} alone, which cannot do this: name a store in "
            "artifacts.manifest.root"
        )


def _download(artifact: Any) -> str:
    """Where the data of a version is that nobody wrote down: what it refers to, or a copy."""
    entries = artifact.manifest.entries
    data = entries.get("data")
    if data is not None and str(data.ref or "").startswith("file://"):
        return local_path(str(data.ref))
    return str(artifact.download())
