"""Versions by name in Weights & Biases: what ``ArtifactRegistry("wandb")`` does.

Unlike what a run logs on its way, this is asked for: what W&B does not do is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.plain import plain_json
from nemo_runspec.artifacts.types import Artifact
from nemo_runspec.artifacts.view import StoreView
from nemo_runspec.exceptions import (
    ArtifactError,
    ArtifactNotFoundError,
    ArtifactVersionNotFoundError,
)
from nemo_runspec.manifest_tracker import absolute_path
from nemo_runspec.store.names import check_label, check_name, parse_artifact_reference
from nemo_runspec.wandb_tracking.catalog import WandbCatalog
from nemo_runspec.wandb_tracking.entries import WAIT_SECONDS, Entry, Logged, log_entry
from nemo_runspec.wandb_tracking.names import to_wandb_name
from nemo_runspec.wandb_tracking.session import NoAnswerError, Session


@dataclass(frozen=True)
class WandbVersion:
    """A version that W&B has.

    Attributes:
        version: its number there, from 0.
        path: where its data is.
        created_at: ISO 8601.
        metadata: what is known of it.
        aliases: its other names.
    """

    version: int
    path: str
    created_at: str
    metadata: Mapping[str, Any]
    aliases: tuple[str, ...]


class WandbRegistry:
    """Versions by name in a project.

    Args:
        session: the dealings with W&B.
        project: of the artifacts; default: ``WANDB_PROJECT``.
        entity: likewise; default: ``WANDB_ENTITY``, else W&B's own default.

    Raises:
        ArtifactError: no project is named.
    """

    def __init__(
        self, session: Session, project: str | None = None, entity: str | None = None
    ) -> None:
        self._session = session
        self._catalog = WandbCatalog(session, project, entity, has_store=False)
        self._project, self._entity = self._catalog.project, self._catalog.entity
        if not self._project:
            raise ArtifactError("backend 'wandb' needs wandb_project, or WANDB_PROJECT")

    @property
    def root(self) -> str:
        """``wandb://entity/project``."""
        return self._catalog.root

    @property
    def view(self) -> StoreView:
        """The project as this process sees it."""
        return self._catalog.view(None, None)

    def publish(self, name: str, path: str, metadata: Mapping[str, Any]) -> WandbVersion:
        """Log what lies at a path as a new version; it stays there.

        Raises:
            ArtifactError: W&B does not take it.
        """
        artifact = Artifact(path=absolute_path(path), metadata=plain_json(metadata))
        document = artifact.document()
        own = {key: document[key] for key in ("path", "created_at")}
        entry = Entry(
            name=to_wandb_name(check_name(name)),
            type=artifact.type,
            metadata={**document["metadata"], **own},
            path=document["path"],
            files={"metadata.json": document},
        )
        what = f"logging {name}"
        run = self._session.start(project=self._project, entity=self._entity, job_type="publish")
        if run is None:
            raise self._no_answer(what, NoAnswerError("no run can be started"))
        logged: Logged | None = self._asked(
            what,
            lambda: log_entry(self._session.wandb, run, entry),
            max(WAIT_SECONDS, self._session.bounds.total),
        )
        if logged is None:
            raise ArtifactError(f"{name} has no version yet: the W&B run is offline")
        return WandbVersion(
            logged.version, own["path"], own["created_at"], document["metadata"], ("latest",)
        )

    def resolve(self, name: str, version: int | str | None) -> Path | str:
        """Where the data of a version is; it counts as used from here on.

        Raises:
            ArtifactNotFoundError: there is none.
            ArtifactError: W&B does not answer.
        """
        text = name if version is None else f"{name}:{version}"
        path = self.view.find(parse_artifact_reference(text)).path
        return path if "://" in path else Path(path)

    def versions(self, name: str) -> list[WandbVersion]:
        """All versions of a name, in order.

        Raises:
            ArtifactError: W&B does not answer.
        """
        found = [_version(artifact) for artifact in self._all(name)]
        return sorted(found, key=lambda version: version.version)

    def names(self) -> list[str]:
        """The names of all artifacts, sorted.

        Raises:
            ArtifactError: W&B does not answer.
        """
        try:
            return self._catalog.names()
        except NoAnswerError as error:
            raise self._no_answer("the names of artifacts", error) from error

    def alias(self, name: str, alias: str, version: int) -> None:
        """Give a version another name.

        Raises:
            ArtifactNotFoundError: no artifact of that name.
            ArtifactVersionNotFoundError: no such version of it.
            ArtifactError: W&B does not answer.
        """
        check_label(alias, "an alias")
        every = self._all(name)
        if not every:
            raise ArtifactNotFoundError(name, f"there is no artifact {name!r} in {self.root}")
        artifact = next((item for item in every if item.version == f"v{version}"), None)
        if artifact is None:
            raise ArtifactVersionNotFoundError(
                name, f"v{version}", f"{name} has no version v{version} in {self.root}"
            )

        def act() -> None:
            artifact.aliases.append(alias)
            artifact.save()

        self._asked(f"naming {name}:v{version}", act, self._session.bounds.total)

    def _all(self, name: str) -> list[Any]:
        try:
            return self._catalog.artifacts(name)
        except NoAnswerError as error:
            raise self._no_answer(f"the versions of {name}", error) from error

    def _asked(self, what: str, act: Any, seconds: float) -> Any:
        try:
            return self._session.ask(what, act, seconds=seconds)
        except NoAnswerError as error:
            raise self._no_answer(what, error) from error

    def _no_answer(self, what: str, error: NoAnswerError) -> ArtifactError:
        return ArtifactError(f"{what}: Weights & Biases ({self.root}) does not do it: {error}")


def _version(artifact: Any) -> WandbVersion:
    metadata: Mapping[str, Any] = artifact.metadata or {}
    return WandbVersion(
        version=int(str(artifact.version).removeprefix("v")),
        path=str(metadata.get("absolute_path") or metadata.get("path") or ""),
        created_at=str(artifact.created_at),
        metadata=metadata,
        aliases=tuple(artifact.aliases),
    )
