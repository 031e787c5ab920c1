"""Recording artifacts in Weights & Biases, alone or after the manifests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_runspec.artifacts.view import StoreView, parse_uri, used_references
from nemo_runspec.manifest_tracker import absolute_path
from nemo_runspec.store.documents import exported_document
from nemo_runspec.wandb_tracking.entries import Entry, Logged, log_entry
from nemo_runspec.wandb_tracking.names import WandbNameError, to_wandb_name, version_alias
from nemo_runspec.wandb_tracking.runs import start_run
from nemo_runspec.wandb_tracking.session import Session

if TYPE_CHECKING:
    from nemo_runspec.artifacts.types import Artifact
    from nemo_runspec.manifest_tracker import ManifestTracker
    from nemo_runspec.store.model import Manifest

MODEL = "model"
# Under this key of an artifact's metadata W&B has what the store knows of it.
STORE_KEY = "runspec"


class WandbTracker:
    """Records versions in W&B; the only tracker where no store is.

    Args:
        session: the dealings with W&B.
        view: finds versions there.
    """

    def __init__(self, session: Session, view: StoreView) -> None:
        self._session = session
        self._view = view

    def is_active(self) -> bool:
        """Whether a run is active."""
        return self._session.run is not None

    def get_run_id(self) -> str:
        """The run that what is logged comes from."""
        run = self._session.run
        return os.environ.get("NEMO_EXPERIMENT_ID") or (run.id if run is not None else "local")

    def use_artifact(self, ref: str, artifact_type: str | None = None) -> Path | str:
        """Where the data of a version is; it counts as used from here on.

        Args:
            ref: ``name[:version]``.
            artifact_type: not needed.

        Raises:
            ArtifactError: it cannot be found.
        """
        path = self._view.find(parse_uri(ref)).path
        return path if "://" in path else Path(path)

    def log_artifact(
        self, artifact: Artifact, name: str | None = None, used_refs: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Log an artifact.

        Returns:
            ``artifact_id``, ``artifact_type``, ``run_id``, ``url``, ``used_artifacts``; the first
            is None while W&B has not said which version it became.
        """
        used = tuple(dict.fromkeys([*used_references(), *used_refs]))
        document = {**artifact.document(), "path": absolute_path(artifact.path)}
        entry = Entry(
            name=self._view.own_name(self._name_of(artifact, name)),
            type=artifact.type,
            metadata={**document["metadata"], **_own(document), "inputs": _inputs(artifact)},
            path=document["path"],
            files={"metadata.json": document},
        )
        info = self._info(artifact.type, used, self._log(entry, used))
        artifact.mark_tracked(info)
        return info

    def record_artifact(
        self, artifact: Artifact, name: str | None = None, used_refs: Iterable[str] = ()
    ) -> None:
        """As :meth:`log_artifact`; there is no manifest."""
        self.log_artifact(artifact, name, used_refs)

    def log_model_checkpoint(
        self,
        name: str,
        path: str | os.PathLike[str],
        iteration: int,
        *,
        metadata: Mapping[str, Any] | None = None,
        alias: str | None = None,
    ) -> dict[str, Any]:
        """Log a checkpoint.

        Args:
            name: what to log it as.
            path: its folder, or that of all checkpoints.
            iteration: the training step.
            metadata: more that is known of it.
            alias: another name of the version.
        """
        where = absolute_path(path)
        fields = {
            "iteration": iteration,
            "step": iteration,
            "absolute_path": where,
            **(metadata or {}),
            "path": where,
            "created_at": datetime.now().astimezone().isoformat(),
        }
        used = used_references()
        entry = Entry(
            name=self._view.own_name(name),
            type=MODEL,
            metadata=fields,
            path=str(fields.get("checkpoint_path", where)),
            aliases=() if alias is None else (alias,),
            files={"metadata.json": fields},
        )
        return self._info("ModelArtifact", used, self._log(entry, used))

    def log_manifest(self, manifest: Manifest, *, alias: str | None = None) -> Logged | None:
        """Log a version that a store has.

        Args:
            manifest: the version's.
            alias: another name of it.

        Returns:
            What it became; None while W&B has not said.
        """
        is_checkpoint = bool(manifest.extra.get("checkpoint"))
        known = {
            "name": manifest.name,
            "version": manifest.version,
            "root": self._view.root,
            "content": manifest.content,
        }
        entry = Entry(
            name=manifest.name,
            type=MODEL if is_checkpoint else manifest.type,
            metadata={
                **manifest.metadata,
                "path": manifest.path,
                "created_at": manifest.created_at,
                "inputs": list(manifest.inputs),
                "used_artifacts": list(manifest.used_artifacts),
                STORE_KEY: known,
            },
            path=str(manifest.metadata.get("checkpoint_path", manifest.path)),
            aliases=(version_alias(manifest.version), *(() if alias is None else (alias,))),
            files={"manifest.json": exported_document(manifest)},
        )
        return self._log(entry, manifest.used_artifacts)

    def _log(self, entry: Entry, used: Iterable[str]) -> Logged | None:
        try:
            entry = replace(entry, name=to_wandb_name(entry.name))
        except WandbNameError as error:
            self._session.warn(f"logging {entry.name}", str(error))
            return None
        run = start_run(self._session)
        if run is None:
            return None
        self._session.note_used(used)
        wandb = self._session.wandb
        logged: Logged | None = self._session.submit(
            f"logging {entry.name}", lambda: log_entry(wandb, run, entry)
        )
        return logged

    def _info(self, kind: str, used: Iterable[str], logged: Logged | None) -> dict[str, Any]:
        return {
            "artifact_id": None if logged is None else logged.qualified_name,
            "artifact_type": kind,
            "run_id": self.get_run_id(),
            "url": None if logged is None else logged.url,
            "used_artifacts": list(used),
        }

    def _name_of(self, artifact: Artifact, name: str | None) -> str:
        context = self._view.context
        promised = None if context is None else context.artifact
        return name or artifact.default_name() or promised or artifact.type


class BothTrackers:
    """Records each version in a store first, whatever W&B does, and then in W&B.

    Args:
        manifests: records in the store.
        wandb: records in W&B.
    """

    def __init__(self, manifests: ManifestTracker, wandb: WandbTracker) -> None:
        self._manifests = manifests
        self._wandb = wandb

    @property
    def root(self) -> str:
        """The store's root."""
        return self._manifests.root

    @property
    def view(self) -> StoreView:
        """The store as this process sees it."""
        return self._manifests.view

    def is_active(self) -> bool:
        """Whether versions are recorded; always."""
        return True

    def get_run_id(self) -> str:
        """The run that what is logged comes from."""
        return self._manifests.get_run_id()

    def use_artifact(self, ref: str, artifact_type: str | None = None) -> Path | str:
        """As :meth:`ManifestTracker.use_artifact`; W&B is asked first."""
        return self._manifests.use_artifact(ref, artifact_type)

    def log_artifact(
        self, artifact: Artifact, name: str | None = None, used_refs: Iterable[str] = ()
    ) -> dict[str, Any]:
        """As :meth:`ManifestTracker.log_artifact`, in W&B too; ``url`` is the version's page."""
        manifest = self.record_artifact(artifact, name, used_refs)
        info = artifact.tracking
        assert info is not None and info.artifact_id == manifest.reference
        return info.model_dump()

    def record_artifact(
        self, artifact: Artifact, name: str | None = None, used_refs: Iterable[str] = ()
    ) -> Manifest:
        """As :meth:`ManifestTracker.record_artifact`, in W&B too."""
        manifest = self._manifests.record_artifact(artifact, name, used_refs)
        logged = self._wandb.log_manifest(manifest)
        if logged is not None and artifact.tracking is not None:
            artifact.tracking.url = logged.url
        return manifest

    def log_model_checkpoint(
        self,
        name: str,
        path: str | os.PathLike[str],
        iteration: int,
        *,
        metadata: Mapping[str, Any] | None = None,
        alias: str | None = None,
    ) -> dict[str, Any]:
        """As :meth:`ManifestTracker.log_model_checkpoint`, in W&B too.

        Args:
            name: what to log it as.
            path: its folder, or that of all checkpoints.
            iteration: the training step.
            metadata: more that is known of it.
            alias: another name of the version in W&B.
        """
        manifest = self._manifests.record_checkpoint(name, path, iteration, metadata=metadata)
        logged = self._wandb.log_manifest(manifest, alias=alias)
        info = self._manifests.describe(manifest)
        return info if logged is None else {**info, "url": logged.url}


def _own(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"path": document["path"], "created_at": document["created_at"]}


def _inputs(artifact: Artifact) -> list[str]:
    return list(artifact.get_input_uris())
