"""What a build made, as versions of the store that its key stands for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.content import (
    METADATA_FILE,
    VOLATILE,
    content_digest,
    recorded_facts,
)
from nemo_runspec.artifacts.job_context import JobRecord
from nemo_runspec.artifacts.notes import attach_notes
from nemo_runspec.artifacts.settings import user_name
from nemo_runspec.artifacts.view import StoreView
from nemo_runspec.exceptions import ArtifactVersionNotFoundError, NemoRunspecError
from nemo_runspec.pipeline.decide import Absent, Made
from nemo_runspec.pipeline.facts import GitFacts, content_mode, time_text
from nemo_runspec.pipeline.outputs import OutputFolder
from nemo_runspec.pipeline.task import BuildError, BuildTask, Built, Ended
from nemo_runspec.store import KeyRecord, Manifest, Store, VersionDraft

# How far back a path that is not ours is looked for; each step is a request.
_LOOK_BACK = 200
_TYPE = "Artifact"

ELEMENTS_FILE = "elements.json"


@dataclass(frozen=True)
class Recorder:
    """Records what builds made.

    Args:
        view: the store, through the namespace.
        profile: the profile of env.toml.
        git: the working tree's commit.
        more: further facts of what is gathered here, such as the pipeline's id.
    """

    view: StoreView
    profile: str | None
    git: GitFacts
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.view.store

    def promised(
        self, task: BuildTask, output: OutputFolder, ended: Ended
    ) -> JobRecord | Path | None:
        """What the target promises: the version that the job logged, or the path of its output.

        Returns:
            None when there is neither; :meth:`unkept` says so then.

        Raises:
            BuildError: the version is of another type than the target says.
        """
        name = self.view.own_name(task.name)
        logged = [each for each in ended.records if each.name == name]
        if logged:
            self._check_type(task, logged[-1], ended)
            return logged[-1]
        if task.artifact.output is None:
            return None
        path = Path(os.path.normpath(output.folder / task.artifact.output))
        return path if path.exists() else None

    def unkept(self, task: BuildTask, output: OutputFolder, ended: Ended) -> BuildError:
        """The failure of a job that ended well without what its target promises."""
        if task.artifact.output is not None:
            path = output.folder / task.artifact.output
            return BuildError(
                f"ended well without writing {path}, which its target names as output; write "
                "below RUNSPEC_OUTPUT_DIR, or change output",
                ended.paths.log,
            )
        names = dict.fromkeys(f"{each.name}:v{each.version}" for each in ended.records)
        logged = f" (it logged {', '.join(names)})" if names else ""
        return BuildError(
            f"ended well without logging {self.view.own_name(task.name)}{logged}; log it with "
            "log_artifact, or name the file or folder that it writes in the target's output",
            ended.paths.log,
        )

    def record(self, task: BuildTask, output: OutputFolder, ended: Ended) -> Built:
        """Let a build's key stand for what its job made, as a version if the job logged none.

        A second call for the same job makes no second version.

        Args:
            task: the version to make.
            output: the folder that the job wrote to.
            ended: the job, which has kept what its target promises.

        Raises:
            BuildError: the metadata beside the output cannot be read.
            StoreError: the store cannot be written.
        """
        promised = self.promised(task, output, ended)
        records = list(ended.records)
        if isinstance(promised, Path):
            logged = self._logged_before(task, output) or self._log_output(
                task, output, ended, promised
            )
            records.append(JobRecord.of(logged))
            promised = records[-1]
        if promised is not None:
            # A script that logs its version attaches them itself, unless it was killed at its end.
            attach_notes(self.store, promised.name, promised.version, ended.paths.folder)
        with contextlib.suppress(NemoRunspecError):
            # That the record of the run is not written takes nothing from its versions.
            versions = [f"{each.name}:v{each.version}" for each in records]
            self.store.write_run(str(ended.facts["id"]), {**ended.facts, "versions": versions})
        return self._finish(task, output, records, ended.seconds, ended.gpu_hours)

    def gather(
        self,
        task: BuildTask,
        output: OutputFolder,
        elements: Sequence[tuple[Mapping[str, Any], Made | Absent]],
    ) -> Built:
        """Record the versions of a fan-out's elements as one, in list order.

        A second call for the same folder makes no second version.

        Args:
            task: the version to make.
            output: where the list of them is written.
            elements: `index` and `value` of each, and its version, or why there is none.
        """
        began = time.time()
        output.folder.mkdir(parents=True, exist_ok=True)
        listed = [
            {**element, "name": made.store_name, "version": made.version, "path": made.path}
            for element, made in elements
            if isinstance(made, Made)
        ]
        missing = [
            {**element, "name": absent.name, "reason": absent.why}
            for element, absent in elements
            if isinstance(absent, Absent)
        ]
        text = json.dumps(listed, indent=1, sort_keys=True)
        (output.folder / ELEMENTS_FILE).write_text(f"{text}\n", encoding="utf-8")
        versions = [made for _, made in elements if isinstance(made, Made)]
        # Not of the files: those name versions, and the same elements may have others.
        identities = [made.identity for made in versions]
        content = None if task.artifact.content == "none" else _digest_of(identities)
        facts = self._facts_of_gather(task, began)
        manifest = self._logged_before(task, output) or self._add(
            task,
            VersionDraft(
                path=str(output.folder),
                type=task.artifact.type or _TYPE,
                metadata={"elements": [made.path for made in versions]},
                producer=facts["id"],
                used_artifacts=tuple(made.reference for made in versions),
                content=content,
                run=facts,
                extra={
                    "owned": True,
                    "elements": [made.reference for made in versions],
                    **({"missing": missing} if missing else {}),
                },
            ),
        )
        return self._finish(task, output, [JobRecord.of(manifest)], time.time() - began, 0.0)

    def _check_type(self, task: BuildTask, record: JobRecord, ended: Ended) -> None:
        said = task.artifact.type
        if said is None:
            return
        logged = self.store.manifest(record.name, record.version).type
        if logged != said:
            raise BuildError(
                f"ended well and logged {record.name}:v{record.version} as {logged}, where its "
                f"target says type = {said!r}; log that, or change the target's type",
                ended.paths.log,
            )

    def _logged_before(self, task: BuildTask, output: OutputFolder) -> Manifest | None:
        """The version of this output, where recording it was cut short behind its manifest."""
        name = self.view.own_name(task.name)
        latest = self.store.latest_manifests([name]).get(name)
        if latest is None or latest.key != task.key or latest.extra.get("checkpoint"):
            return None
        return latest if output.holds(latest.path) else None

    def _log_output(
        self, task: BuildTask, output: OutputFolder, ended: Ended, path: Path
    ) -> Manifest:
        """The version of a script that logs nothing itself."""
        # Links followed, for they move on.
        where = os.path.realpath(path)
        extra: dict[str, Any] = {}
        if output.holds(where):
            extra["owned"] = True
        if task.missing:
            extra["missing"] = [{"name": each.name, "reason": each.reason} for each in task.missing]
        if task.element is not None:
            extra["element"] = dict(task.element)
        extra["digested"] = recorded_facts(where, base=output.folder, volatile=VOLATILE)
        draft = VersionDraft(
            path=where,
            type=task.artifact.type or _TYPE,
            metadata=_metadata_beside(Path(where)),
            producer=str(ended.facts["id"]),
            used_artifacts=tuple(
                each.now.reference for each in task.decision.inputs if isinstance(each.now, Made)
            ),
            run=ended.facts,
            extra=extra,
        )
        # Of the document as it is kept, so that the digest can be taken again.
        content = content_digest(
            where,
            _document(task, draft),
            content_mode(task.artifact.content),
            base=output.folder,
        )
        return self._add(task, replace(draft, content=content))

    def _add(self, task: BuildTask, draft: VersionDraft) -> Manifest:
        parts = task.decision.parts
        draft = replace(
            draft,
            key=task.key,
            parts=None if parts is None else parts.document(),
            explain=task.decision.explain,
            document=_document(task, draft),
        )
        return self.store.add_version(self.view.own_name(task.name), draft)

    def _finish(
        self,
        task: BuildTask,
        output: OutputFolder,
        records: Sequence[JobRecord],
        seconds: float,
        gpu_hours: float,
    ) -> Built:
        """Let the key stand for what was logged; the promised version last."""
        name = self.view.own_name(task.name)
        record_keys(self.store, task.key, records, last=name)
        own = next(each for each in reversed(records) if each.name == name)
        output.with_version(own.version)
        elsewhere = [each for each in records if not output.holds(each.path)]
        notes = mark_overwritten(self.store, elsewhere)
        made = Made(task.name, own.name, own.version, own.identity, own.path)
        same = _is_same(self.store, own)
        return Built(made, seconds, gpu_hours, same, tuple(notes))

    def _facts_of_gather(self, task: BuildTask, began: float) -> dict[str, Any]:
        return {
            "id": uuid.uuid4().hex,
            "user": user_name(),
            "commit": self.git.commit,
            "dirty": self.git.dirty,
            "profile": self.profile,
            "recipe": task.artifact.recipe,
            "address": task.artifact.address,
            "started_at": time_text(began),
            "ended_at": time_text(),
            "seconds": round(time.time() - began, 3),
            "gpu_hours": 0.0,
            **self.more,
        }


def record_keys(
    store: Store, key: str, records: Sequence[JobRecord], *, last: str | None = None
) -> None:
    """Let a key stand for the versions that a job logged; for the last of each name.

    Args:
        store: the store.
        key: the job's key.
        records: what it logged, checkpoints left out.
        last: the name that is recorded when all others are.
    """
    newest = {each.name: each for each in records}
    for record in sorted(newest.values(), key=lambda each: each.name == last):
        at = time_text()
        answer = KeyRecord(record.version, record.identity, record.path, record.content, at)
        store.set_key(record.name, key, answer)


def mark_overwritten(store: Store, records: Sequence[JobRecord]) -> list[str]:
    """Mark the older versions whose data a job wrote over: those with the very same path.

    Args:
        store: the store.
        records: versions that were logged outside of a build's own folder.

    Returns:
        What people are told.
    """
    notes = []
    for record in records:
        lost = [f"v{number}" for number in _overwritten(store, record)]
        if lost:
            notes.append(
                f"v{record.version} overwrote {', '.join(reversed(lost))}: all are at "
                f"{record.path}; write below ${{run.output_dir}} (RUNSPEC_OUTPUT_DIR) to keep them"
            )
    return notes


def _overwritten(store: Store, record: JobRecord) -> Iterator[int]:
    """The older versions that a version took the place of, marked, the newest first."""
    why = f"overwritten by {record.name}:v{record.version}"
    older = [number for number in store.versions(record.name) if number < record.version]
    for number in sorted(older, reverse=True)[:_LOOK_BACK]:
        manifest = store.manifest(record.name, number)
        if manifest.path != record.path or manifest.extra.get("checkpoint"):
            continue
        if record.content is not None and manifest.content == record.content:
            continue  # what it says is what is there
        marked = store.gone(record.name, number)
        if marked is None:
            store.mark_gone(record.name, number, why)
        elif marked != why:
            return  # those before it were marked with it
        yield number


def _metadata_beside(output: Path) -> dict[str, Any]:
    """What a plain script says of its output: a ``metadata.json`` in the folder, if it left one.

    Raises:
        BuildError: it is no JSON object.
    """
    file = (output if output.is_dir() else output.parent) / METADATA_FILE
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise BuildError(f"{file}: no valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise BuildError(f"{file}: must be a JSON object, not {type(document).__name__}")
    return document


def _document(task: BuildTask, draft: VersionDraft) -> dict[str, Any]:
    """The ``metadata.json`` of a version that no script logged, as ``Artifact.save`` has it."""
    return {
        "path": draft.path,
        "type": draft.type,
        "metadata": dict(draft.metadata),
        "created_at": time_text(),
        "producer": draft.producer,
        "name": task.name,
    }


def _is_same(store: Store, record: JobRecord) -> bool:
    if record.content is None or record.version == 1:
        return False
    try:
        before = store.manifest(record.name, record.version - 1)
    except ArtifactVersionNotFoundError:
        return False
    return before.content == record.content


def _digest_of(identities: Sequence[str]) -> str:
    text = json.dumps(["runspec-elements-1", list(identities)], separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
