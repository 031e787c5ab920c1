"""Recording versions in a store: the data stays where it is, manifests say what it is.

tracker = ManifestTracker("/lustre/team/artifacts")
tracker.log_model_checkpoint("nano3-model", "/lustre/checkpoints/nano3", iteration=500)
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nemo_runspec.artifacts.content import VOLATILE, content_digest, recorded_facts
from nemo_runspec.artifacts.current import get_tracker, run_page, set_tracker
from nemo_runspec.artifacts.job_context import (
    ContentMode,
    JobContext,
    JobRecord,
    append_record,
    job_context,
)
from nemo_runspec.artifacts.notes import notebook
from nemo_runspec.artifacts.settings import ArtifactsSettings, user_name
from nemo_runspec.artifacts.view import StoreView, open_view, parse_uri, used_references
from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.store.model import Manifest, VersionDraft

if TYPE_CHECKING:
    from nemo_runspec.artifacts.types import Artifact

__all__ = ["ManifestTracker", "get_tracker", "set_tracker"]

RUN_ID_VARIABLE = "NEMO_EXPERIMENT_ID"
OUTPUT_VARIABLE = "RUNSPEC_OUTPUT_DIR"

_logger = logging.getLogger(__name__)


class ManifestTracker:
    """Records versions in one store.

    Args:
        root: the store's root: a path or a URL.
        namespace: what stands before the names of one's own versions.
        shared: ``group`` when files are to be group-writable.
        storage_options: for the root's filesystem.

    Raises:
        StoreError: nothing can be recorded at such a root.
        JobContextError: the job context is broken.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        namespace: str | None = None,
        shared: Literal["group"] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        settings = ArtifactsSettings(
            root=os.fspath(root),
            namespace=namespace,
            shared=shared,
            storage_options=storage_options,
        )
        context = job_context()
        # The root that was asked for; the rest of what the job is told counts all the same.
        pinned = None if context is None else replace(context, root=None)
        view = open_view(settings, pinned)
        assert view is not None
        self._view = view
        self._started_at = datetime.now().astimezone()
        self._started = time.monotonic()

    @classmethod
    def of_view(cls, view: StoreView) -> ManifestTracker:
        """A tracker of a store that is open already."""
        tracker = cls.__new__(cls)
        tracker._view = view
        tracker._started_at = datetime.now().astimezone()
        tracker._started = time.monotonic()
        return tracker

    @property
    def root(self) -> str:
        """The store's root."""
        return self._view.root

    @property
    def view(self) -> StoreView:
        """The store as this process sees it."""
        return self._view

    def is_active(self) -> bool:
        """Whether versions are recorded; always."""
        return True

    def get_run_id(self) -> str:
        """The run that what is logged comes from."""
        job = self._run.get("job")
        return os.environ.get(RUN_ID_VARIABLE) or (str(job) if job else "local")

    def use_artifact(self, ref: str, artifact_type: str | None = None) -> Path | str:
        """Where the data of a version is; it counts as used from here on.

        Args:
            ref: ``name[:version]`` or ``art://name[:version]``.
            artifact_type: what it is to be used as, for trackers that ask.

        Returns:
            The path; a URL as text.

        Raises:
            ArtifactError: it cannot be found.
        """
        path = self._view.find(parse_uri(ref)).path
        return path if "://" in path else Path(path)

    def log_artifact(
        self, artifact: Artifact, name: str | None = None, used_refs: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Record an artifact as a new version.

        Args:
            artifact: what was made; its data is written.
            name: what to log it as; default: its own name, else what the job's target promises,
                else its type.
            used_refs: ``name:vN`` that it was made from, besides those that this process used.

        Returns:
            ``artifact_id`` (``name:vN``), ``artifact_type``, ``run_id``, ``url``,
            ``used_artifacts``.

        Raises:
            ArtifactError: its data cannot be read, or the store not be written.
        """
        return self.describe(self.record_artifact(artifact, name, used_refs))

    def record_artifact(
        self, artifact: Artifact, name: str | None = None, used_refs: Iterable[str] = ()
    ) -> Manifest:
        """As :meth:`log_artifact`; gives the manifest back."""
        document = artifact.document()
        folder = artifact.output_dir()
        if document["producer"] is None:
            document["producer"] = self.get_run_id()
        path = absolute_path(artifact.path)
        volatile = {*VOLATILE, *artifact.volatile}
        options = self._options_for(str(folder))
        # As metadata.json has it, so that the digest can be taken again from what is recorded.
        document = {**document, "path": path}
        content = content_digest(
            folder,
            {key: value for key, value in document.items() if key != "tracking"},
            self._content_mode,
            base=self._output_dir,
            volatile=volatile,
            storage_options=options,
        )
        facts = recorded_facts(
            folder, base=self._output_dir, volatile=volatile, storage_options=options
        )
        manifest = self._record(
            self._name_of(artifact, name),
            VersionDraft(
                path=path,
                type=artifact.type,
                metadata=document["metadata"],
                document=document,
                producer=document["producer"],
                inputs=tuple(artifact.get_input_uris()),
                used_artifacts=self._used(used_refs),
                content=content,
                extra={"digested": facts},
            ),
        )
        self._mark_overwritten(manifest)
        artifact.mark_logged(manifest, self.describe(manifest))
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
        """Record a checkpoint as a new version, with the inputs that this process used.

        Args:
            name: what to log it as.
            path: its folder, or that of all checkpoints of the training.
            iteration: the training step.
            metadata: more that is known of it.
            alias: for other trackers; a store's aliases are for people to set.

        Returns:
            As :meth:`log_artifact`.

        Raises:
            ArtifactError: the store cannot be written.
        """
        return self.describe(self.record_checkpoint(name, path, iteration, metadata=metadata))

    def describe(self, manifest: Manifest) -> dict[str, Any]:
        """Where a version was logged, as :meth:`log_artifact` says it."""
        return {
            "artifact_id": manifest.reference,
            "artifact_type": manifest.type,
            "run_id": manifest.producer,
            "url": run_page(),
            "used_artifacts": list(manifest.used_artifacts),
        }

    def record_checkpoint(
        self,
        name: str,
        path: str | os.PathLike[str],
        iteration: int,
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """As :meth:`log_model_checkpoint`; gives the manifest back."""
        where = absolute_path(path)
        fields = {
            "iteration": iteration,
            "step": iteration,
            "absolute_path": where,
            **(metadata or {}),
        }
        created_at = datetime.now().astimezone().isoformat()
        document = {
            "path": where,
            "type": "ModelArtifact",
            "metadata": fields,
            "created_at": created_at,
            "producer": self.get_run_id(),
            "tracking": None,
            "name": name,
            **fields,
        }
        return self._record(
            self._view.own_name(name),
            VersionDraft(
                path=where,
                type="ModelArtifact",
                metadata=fields,
                document=document,
                producer=self.get_run_id(),
                used_artifacts=self._used(()),
                content=self._checkpoint_identity(where, fields),
                extra={"iteration": iteration, "checkpoint": True},
            ),
        )

    @property
    def _context(self) -> JobContext | None:
        return self._view.context

    @property
    def _run(self) -> Mapping[str, Any]:
        return {} if self._context is None else self._context.run

    @property
    def _content_mode(self) -> ContentMode:
        return "hash" if self._context is None else self._context.content

    @property
    def _output_dir(self) -> str | None:
        told = None if self._context is None else self._context.output_dir
        return told or os.environ.get(OUTPUT_VARIABLE)

    def _name_of(self, artifact: Artifact, name: str | None) -> str:
        promised = None if self._context is None else self._context.artifact
        if name is None and promised is not None and artifact.name == promised:
            name = promised
        chosen = self._view.own_name(name or artifact.default_name() or promised or artifact.type)
        # One job of a fan-out logs by the target's name what is its element's.
        if promised is not None and self._is_element and promised.startswith(f"{chosen}/"):
            return promised
        return chosen

    @property
    def _is_element(self) -> bool:
        return self._context is not None and self._context.element is not None

    def _used(self, more: Iterable[str]) -> tuple[str, ...]:
        """What a version is made from: the job's inputs as declared, then what was looked up."""
        context = self._context
        declared = [] if context is None else [*context.input_list, *context.inputs.values()]
        references = [item.reference for item in declared]
        return tuple(dict.fromkeys([*references, *used_references(), *more]))

    def _record(self, name: str, draft: VersionDraft) -> Manifest:
        context = self._context
        extra = dict(draft.extra)
        if self._is_owned(draft.path):
            extra["owned"] = True
        page = run_page()
        if page is not None:
            extra["tracking"] = {"url": page}
        if context is not None and context.missing:
            extra["missing"] = [
                {"name": item.name, "reason": item.reason} for item in context.missing
            ]
        if context is not None and context.element is not None:
            extra["element"] = dict(context.element)
        draft = replace(draft, run=self._facts(), extra=extra)
        if context is not None:
            draft = replace(draft, key=context.key, parts=context.parts, explain=context.explain)
        manifest = self._view.store.add_version(name, draft)
        if context is not None and context.records is not None:
            append_record(context.records, JobRecord.of(manifest))
        notebook().attach_to(self._view.store, manifest)
        _logger.info("logged %s: %s", manifest.reference, manifest.path)
        return manifest

    def _facts(self) -> dict[str, Any]:
        now = datetime.now().astimezone()
        facts: dict[str, Any] = {
            "user": user_name(),
            "host": socket.gethostname(),
            "started_at": self._started_at.isoformat(),
            **{key: value for key, value in self._run.items() if value is not None},
            "ended_at": now.isoformat(),
        }
        seconds = _seconds_between(facts["started_at"], now)
        if seconds is None:
            seconds = time.monotonic() - self._started
        facts["seconds"] = round(seconds, 3)
        nodes, gpus = facts.get("nodes"), facts.get("gpus")
        if "gpu_hours" not in facts and isinstance(nodes, int) and isinstance(gpus, int):
            facts["gpu_hours"] = round(seconds * nodes * gpus / 3600, 6)
        return facts

    def _is_owned(self, path: str) -> bool:
        """Whether the data lies in the folder that this build was given."""
        own = self._output_dir
        if own is None:
            return False
        root = absolute_path(own).rstrip("/")
        return path == root or path.startswith(f"{root}/")

    def _checkpoint_identity(self, where: str, fields: Mapping[str, Any]) -> str:
        """Told apart from its neighbours without reading gigabytes, however content is taken."""
        named = fields.get("checkpoint_path")
        place = str(named) if named else where
        try:
            digest = content_digest(place, fields, "stat", base=self._output_dir)
        except ArtifactError as error:
            _logger.warning("checkpoint %s: %s", fields["iteration"], error)
            digest = None
        if digest is None:
            return f"stat:{place}@{fields['iteration']}@{time.time_ns()}"
        return digest

    def _options_for(self, location: str) -> Mapping[str, Any]:
        return self._view.storage_options if "://" in location else {}

    def _mark_overwritten(self, manifest: Manifest) -> None:
        """Mark the versions whose data this one has taken the place of."""
        store = self._view.store
        for version in range(manifest.version - 1, 0, -1):
            try:
                older = store.manifest(manifest.name, version)
            except ArtifactError:
                return  # a number that nobody finished; what is before it was looked at then
            same_place = older.path == manifest.path and not older.extra.get("checkpoint")
            if not same_place or store.gone(manifest.name, version) is not None:
                return
            if older.content is not None and older.content == manifest.content:
                continue
            why = f"overwritten by {manifest.reference}"
            store.mark_gone(manifest.name, version, why)
            _logger.warning(
                "%s wrote to %s, where the data of %s was: that version is gone; write to "
                "RUNSPEC_OUTPUT_DIR (${run.output_dir}) to keep each",
                manifest.reference,
                manifest.path,
                older.reference,
            )


def absolute_path(path: str | os.PathLike[str]) -> str:
    """A path that means the same tomorrow: links followed, for they move on."""
    text = os.fspath(path)
    return text if "://" in text else os.path.realpath(text)


def _seconds_between(started_at: Any, now: datetime) -> float | None:
    try:
        start = datetime.fromisoformat(str(started_at))
        return max(0.0, (now - start).total_seconds())
    except (TypeError, ValueError):
        return None
