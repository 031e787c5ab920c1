"""One build: a job in an output folder of its own, and what it made as a version of the store."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.content import METADATA_FILE, content_digest
from nemo_runspec.artifacts.job_context import (
    ContentMode,
    JobContext,
    JobInput,
    JobRecord,
    MissingInput,
    read_records,
)
from nemo_runspec.artifacts.settings import ArtifactsSettings, user_name
from nemo_runspec.artifacts.view import StoreView
from nemo_runspec.bundles import BundleFolder, read_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.exceptions import (
    ArtifactVersionNotFoundError,
    ConfigError,
    NemoRunspecError,
)
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import Executor, Handle, Status
from nemo_runspec.execution.protocol import State as JobState
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.execution.supervisor import machine
from nemo_runspec.jobs import JobPaths
from nemo_runspec.masking import is_secret_name
from nemo_runspec.pipeline.decide import Absent, Decision, Made
from nemo_runspec.pipeline.outputs import Attempt, OutputFolder, open_output
from nemo_runspec.pipeline.submit import (
    DEFAULT_EXECUTOR,
    Build,
    ComposedJob,
    GitFacts,
    compose,
    find_python,
    job_python,
    new_job_folder,
    prepare_job,
    run_facts,
)
from nemo_runspec.store import KeyRecord, Manifest, Store, VersionDraft
from runspec.plan import PlanArtifact

_POLL_SECONDS = 0.1
# How far back a path that is not ours is looked for; each step is a request.
_LOOK_BACK = 200
_LITTLE_ROOM = 64 * 1024  # bytes
ELEMENTS_FILE = "elements.json"


class BuildError(NemoRunspecError):
    """A build did not come to what its target promises.

    Args:
        message: one line.
        log: its job's log, if it had one.
    """

    def __init__(self, message: str, log: Path | None = None) -> None:
        self.log = log
        super().__init__(message)


class BuildStopped(NemoRunspecError):
    """A build was told to stop before it had ended."""


@dataclass(frozen=True)
class BuildTask:
    """A version to be made.

    Args:
        artifact: the target.
        decision: what was decided of it: its key, what that is made of, its inputs.
        element: `index` and `value` of the element it is for.
        forced: whether it was asked for anew: what an earlier attempt left does not count.
    """

    artifact: PlanArtifact
    decision: Decision
    element: Mapping[str, Any] | None = None
    forced: bool = False

    @property
    def name(self) -> str:
        return self.decision.name

    @property
    def key(self) -> str:
        assert self.decision.key is not None
        return self.decision.key

    @property
    def missing(self) -> tuple[MissingInput, ...]:
        """What it goes on without."""
        return tuple(
            MissingInput(each.now.name, each.now.why)
            for each in self.decision.inputs
            if isinstance(each.now, Absent)
        )


@dataclass(frozen=True)
class Built:
    """What came of a build.

    Args:
        made: the version, as those below it take it.
        seconds: how long its job ran.
        gpu_hours: what it cost.
        same: whether its content is that of the version before it.
        notes: what people should know of it.
    """

    made: Made
    seconds: float
    gpu_hours: float
    same: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Started:
    """A job that runs.

    Args:
        paths: its folder.
        attempt: how many jobs there were in its output folder, this one included.
    """

    paths: JobPaths
    attempt: int


@dataclass
class Builder:
    """Makes versions, one call each, from any thread.

    Args:
        view: the store, through the namespace.
        settings: how the store is used.
        outputs: where builds write (`nemo_runspec.pipeline.outputs.output_root`).
        configs: the folder that the plan's YAML files lie in.
        jobs: the jobs' root.
        bundles: folder of each recipe's kept bundle, by the recipe's address.
        pythons: the interpreter of a recipe's jobs, by the recipe's address, where one was chosen.
        profile: the profile of env.toml.
        git: the working tree's commit.
        stopping: tells whether builds are to stop.
    """

    view: StoreView
    settings: ArtifactsSettings
    outputs: Path
    configs: Path
    jobs: Path
    bundles: Mapping[str, Path]
    pythons: Mapping[str, Path]
    profile: str | None
    git: GitFacts
    stopping: Callable[[], bool]
    _read: dict[str, BundleFolder] = field(default_factory=dict)
    _pythons: dict[str, JobPython] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.view.store

    def build(
        self,
        task: BuildTask,
        started: Callable[[Started], None],
        is_mine: Callable[[], bool],
    ) -> Built:
        """Run a job to its end and record what it made; the lease of its key is ours.

        Args:
            task: what to make.
            started: told of each job that runs for it.
            is_mine: whether the lease still is, asked before anything is recorded.

        Raises:
            BuildError: the job failed, or did not make what its target promises.
            BuildStopped: `stopping` said so.
            NemoRunspecError: its config, its bundle or the store is not as it has to be.
        """
        bundle = self._bundle(task.artifact.recipe)
        composed = self._compose(task, bundle)
        output = self._output(task)
        found = self._adopt(task, composed, output, started)
        if found is None:
            retries = _number(composed.profile, "retries")
            while True:
                try:
                    output, found = self._attempt(task, composed, output, started)
                    break
                except BuildError:
                    if retries <= 0:
                        raise
                    retries -= 1
                    self._pause(_number(composed.profile, "retry_delay"))
                    output = self._output(task)
        if not is_mine():
            raise BuildError(
                f"{task.name} was taken over by somebody else while it ran, so what it made is "
                f"not recorded; it is in {output.folder}"
            )
        return self._record(task, output, found)

    def gather(
        self, task: BuildTask, elements: Sequence[tuple[Mapping[str, Any], Made | Absent]]
    ) -> Built:
        """Record the versions of a fan-out's elements as one, in list order.

        Args:
            task: the version to make.
            elements: `index` and `value` of each, and its version, or why there is none.
        """
        began = time.time()
        output = self._output(task)
        output = output.with_attempt(Attempt("", None, machine()))
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
        manifest = self._add(
            task,
            VersionDraft(
                path=str(output.folder),
                type=task.artifact.type or "Artifact",
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
        return self._finish(task, output, [_record_of(manifest)], time.time() - began, 0.0)

    def _bundle(self, recipe: str) -> BundleFolder:
        if recipe not in self._read:
            folder = self.bundles.get(recipe)
            if folder is None:
                raise BuildError(
                    f"{recipe} has to run and was not packaged: something changed in between; "
                    "give the command again"
                )
            self._read[recipe] = read_bundle(folder)
        return self._read[recipe]

    def _compose(self, task: BuildTask, bundle: BundleFolder) -> ComposedJob:
        artifact = task.artifact
        chain = artifact.chain
        ctx = GlobalContext(
            config=str(self.configs / chain[-1]) if chain else artifact.config,
            run=self.profile,
            dotlist=list(artifact.overrides),
        )
        named = ["--config", artifact.config] if artifact.config else []
        composed = compose(bundle, ctx, [*named, *artifact.overrides])
        if task.element is not None:
            composed = composed.with_run(element=dict(task.element))
        return composed

    def _output(self, task: BuildTask) -> OutputFolder:
        output = open_output(self.outputs, self.view.own_name(task.name), task.key)
        return output.next_generation() if self._is_used_up(output) else output

    def _is_used_up(self, output: OutputFolder) -> bool:
        """Whether a version has its data in the folder, though its build was not recorded."""
        if not output.attempts:
            return False
        for attempt in output.attempts:
            if attempt.job and any(map(output.holds, _logged(JobPaths(Path(attempt.job))))):
                return self._last_job(output, JobState.SUCCEEDED) is None
        # A kill between the manifest and the line in the records.
        latest = self.store.latest_manifests([output.name]).get(output.name)
        return (
            latest is not None
            and latest.key == output.key
            and output.holds(latest.path)
            and not latest.extra.get("checkpoint")
        )

    def _last_job(self, output: OutputFolder, *states: JobState) -> Handle | None:
        """The last attempt's job, if it is in one of these states."""
        last = output.attempts[-1] if output.attempts else None
        if last is None or last.handle is None:
            return None
        handle = Handle.from_json(last.handle)
        if handle.executor == DEFAULT_EXECUTOR and last.machine != machine():
            return None  # it ended with whoever had started it there
        try:
            status = get_executor(handle.executor).status(handle)
        except NemoRunspecError:
            return None  # its folder is gone
        return handle if status.state in states else None

    def _adopt(
        self,
        task: BuildTask,
        composed: ComposedJob,
        output: OutputFolder,
        started: Callable[[Started], None],
    ) -> _Ended | None:
        """What an earlier attempt came to whose supervisor did not live to record it."""
        handle = self._last_job(output, JobState.SUCCEEDED, JobState.RUNNING, JobState.PENDING)
        if handle is None or task.forced:
            return None
        paths = JobPaths(Path(handle.folder))
        executor = get_executor(handle.executor)
        if not executor.status(handle).state.is_final:
            started(Started(paths, len(output.attempts)))
        status = self._wait(executor, handle, composed)
        if status.state is not JobState.SUCCEEDED:
            return None
        ended = self._ended(composed, paths, status)
        if self._promised(task, output, ended) is None:
            return None
        return ended

    def _attempt(
        self,
        task: BuildTask,
        composed: ComposedJob,
        output: OutputFolder,
        started: Callable[[Started], None],
    ) -> tuple[OutputFolder, _Ended]:
        executor = get_executor(composed.executor)
        bundle = composed.bundle
        python = self._python(bundle)
        with new_job_folder(task.name, self.jobs) as paths:
            context = self._context(task, composed, paths, output)
            build = Build(output.folder, len(output.attempts) + 1, context)
            request = prepare_job(composed, paths, bundle, python, build, executor)
            output = output.with_attempt(Attempt(str(paths.folder), None, machine()))
            if self.stopping():
                raise BuildStopped(f"{task.name} was not started")
            handle = executor.submit(request, attached=composed.is_local)
        output = output.with_handle(handle.to_json())
        started(Started(paths, build.attempt))
        status = self._wait(executor, handle, composed)
        if status.state is not JobState.SUCCEEDED:
            how = {
                JobState.LOST: f"lost, nobody saw how it ended{_full(paths.folder)}",
                JobState.CANCELLED: "cancelled",
            }
            ended = how.get(status.state, f"exit code {status.exit_code}")
            raise BuildError(ended, paths.log)
        result = self._ended(composed, paths, status)
        if self._promised(task, output, result) is None:
            raise BuildError(self._unkept(task, output, result), paths.log)
        return output, result

    def _wait(self, executor: Executor, handle: Handle, composed: ComposedJob) -> Status:
        limit = _seconds(composed.profile, "timeout")
        deadline = None if limit is None else time.monotonic() + limit
        cancelled = timed_out = False
        while True:
            status = executor.wait(handle, _POLL_SECONDS)
            if status.state.is_final:
                break
            if deadline is not None and time.monotonic() > deadline and not cancelled:
                executor.cancel(handle)
                cancelled = timed_out = True
            if self.stopping() and not cancelled:
                if handle.executor != DEFAULT_EXECUTOR:
                    raise BuildStopped(f"goes on as job {handle.id} of {handle.executor}")
                executor.cancel(handle)
                cancelled = True
        if timed_out:
            raise BuildError(f"ended after its timeout of {limit:g} s", _log(handle))
        if cancelled or (self.stopping() and status.state is not JobState.SUCCEEDED):
            raise BuildStopped("ended")
        return status

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.stopping():
            time.sleep(min(_POLL_SECONDS, seconds))

    def _python(self, bundle: BundleFolder) -> JobPython:
        digest = bundle.document.digest
        if digest not in self._pythons:
            chosen = self.pythons.get(bundle.document.recipe)
            self._pythons[digest] = job_python(bundle, find_python(bundle.document, chosen))
        return self._pythons[digest]

    def _context(
        self, task: BuildTask, composed: ComposedJob, paths: JobPaths, output: OutputFolder
    ) -> JobContext:
        pinned = [
            (each.input.key, self._input(each.now))
            for each in task.decision.inputs
            if isinstance(each.now, Made)
        ]
        parts = task.decision.parts
        facts = run_facts(
            composed, paths, self.git, address=task.artifact.address, started_at=_now()
        )
        return JobContext(
            **store_of(self.view, self.settings),
            artifact=self.view.own_name(task.name),
            key=task.key,
            parts=None if parts is None else parts.document(),
            explain=task.decision.explain,
            content=content_mode(task.artifact.content),
            inputs={key: item for key, item in pinned if key is not None},
            input_list=tuple(item for _, item in pinned),
            missing=task.missing,
            output_dir=str(output.folder),
            run={**facts, "id": uuid.uuid4().hex},
            element=task.element,
            records=str(paths.records),
        )

    def _input(self, made: Made) -> JobInput:
        manifest = self.store.manifest(made.store_name, made.version)
        return job_input(self.view, manifest, made.identity)

    def _ended(self, composed: ComposedJob, paths: JobPaths, status: Status) -> _Ended:
        facts = json.loads(paths.context.read_text(encoding="utf-8"))["run"]
        seconds = status.seconds or 0.0
        hours = seconds / 3600 * _count(facts.get("nodes")) * _count(facts.get("gpus"))
        ended = {
            "ended_at": _now(status.ended_at),
            "seconds": round(seconds, 3),
            "gpu_hours": round(hours, 6),
        }
        records = [each for each in read_records(paths.records) if not each.checkpoint]
        return _Ended(paths, records, {**facts, **ended}, seconds, hours)

    def _promised(
        self, task: BuildTask, output: OutputFolder, ended: _Ended
    ) -> JobRecord | Path | None:
        """What the target promises: the version that the job logged, or the path of its output."""
        name = self.view.own_name(task.name)
        logged = [each for each in ended.records if each.name == name]
        if logged:
            return logged[-1]
        if task.artifact.output is None:
            return None
        path = Path(os.path.normpath(output.folder / task.artifact.output))
        return path if path.exists() else None

    def _unkept(self, task: BuildTask, output: OutputFolder, ended: _Ended) -> str:
        if task.artifact.output is not None:
            path = output.folder / task.artifact.output
            return (
                f"ended well without writing {path}, which its target names as output; write "
                "below RUNSPEC_OUTPUT_DIR, or change output"
            )
        names = dict.fromkeys(f"{each.name}:v{each.version}" for each in ended.records)
        logged = f" (it logged {', '.join(names)})" if names else ""
        return (
            f"ended well without logging {self.view.own_name(task.name)}{logged}; log it with "
            "log_artifact, or name the file or folder that it writes in the target's output"
        )

    def _record(self, task: BuildTask, output: OutputFolder, ended: _Ended) -> Built:
        promised = self._promised(task, output, ended)
        records = list(ended.records)
        if isinstance(promised, Path):
            mode = content_mode(task.artifact.content)
            used = tuple(
                each.now.reference for each in task.decision.inputs if isinstance(each.now, Made)
            )
            extra: dict[str, Any] = {"owned": True}
            if task.missing:
                extra["missing"] = [
                    {"name": each.name, "reason": each.reason} for each in task.missing
                ]
            if task.element is not None:
                extra["element"] = dict(task.element)
            manifest = self._add(
                task,
                VersionDraft(
                    path=str(promised),
                    type=task.artifact.type or "Artifact",
                    metadata=_metadata_beside(promised),
                    producer=str(ended.facts["id"]),
                    used_artifacts=used,
                    content=content_digest(promised, {}, mode, base=output.folder),
                    run=ended.facts,
                    extra=extra,
                ),
            )
            records.append(_record_of(manifest))
        return self._finish(
            task, output, records, ended.seconds, ended.gpu_hours, facts=ended.facts
        )

    def _add(self, task: BuildTask, draft: VersionDraft) -> Manifest:
        parts = task.decision.parts
        draft = replace(
            draft,
            key=task.key,
            parts=None if parts is None else parts.document(),
            explain=task.decision.explain,
            document={
                "path": draft.path,
                "type": draft.type,
                "metadata": dict(draft.metadata),
                "created_at": _now(),
                "producer": draft.producer,
                "name": task.name,
            },
        )
        return self.store.add_version(self.view.own_name(task.name), draft)

    def _finish(
        self,
        task: BuildTask,
        output: OutputFolder,
        records: Sequence[JobRecord],
        seconds: float,
        gpu_hours: float,
        *,
        facts: Mapping[str, Any] | None = None,
    ) -> Built:
        """Let the key stand for what was logged; the promised version last."""
        name = self.view.own_name(task.name)
        record_keys(self.store, task.key, records, last=name)
        own = next(each for each in reversed(records) if each.name == name)
        output.with_version(own.version)
        elsewhere = [each for each in records if not output.holds(each.path)]
        notes = mark_overwritten(self.store, elsewhere)
        if facts is not None:
            versions = [f"{each.name}:v{each.version}" for each in records]
            with contextlib.suppress(NemoRunspecError):
                # The versions are recorded; that the record of the run is not changes nothing.
                self.store.write_run(str(facts["id"]), {**facts, "versions": versions})
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
            "started_at": _now(began),
            "ended_at": _now(),
            "seconds": round(time.time() - began, 3),
            "gpu_hours": 0.0,
        }


@dataclass(frozen=True)
class _Ended:
    """A job that ended well.

    Args:
        paths: its folder.
        records: the versions that it logged, checkpoints left out.
        facts: of its run.
        seconds: how long it ran.
        gpu_hours: what it cost.
    """

    paths: JobPaths
    records: Sequence[JobRecord]
    facts: Mapping[str, Any]
    seconds: float
    gpu_hours: float


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
        answer = KeyRecord(record.version, record.identity, record.path, record.content, _now())
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


def store_of(view: StoreView, settings: ArtifactsSettings) -> dict[str, Any]:
    """What opens the store in a job: the first fields of its context. Secrets stay out of it."""
    options = dict(settings.storage_options or {})
    told = {key: value for key, value in options.items() if not is_secret_name(str(key))}
    return {"root": view.store.root, "shared": settings.shared, "storage_options": told}


def job_input(view: StoreView, manifest: Manifest, identity: str | None = None) -> JobInput:
    """A version of the store as a job's pinned input."""
    metadata = dict(view.store.metadata(manifest.name, manifest.version))
    iteration = manifest.extra.get("iteration")
    if iteration is not None:
        metadata.setdefault("iteration", iteration)
    return JobInput(
        name=manifest.name,
        version=manifest.version,
        path=manifest.path,
        type=manifest.type,
        metadata=metadata,
        identity=identity or manifest.identity,
    )


def content_mode(text: str) -> ContentMode:
    """A target's `content` as the mode that it is."""
    modes: dict[str, ContentMode] = {"hash": "hash", "stat": "stat", "none": "none"}
    return modes[text]


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


def _record_of(manifest: Manifest) -> JobRecord:
    return JobRecord(
        name=manifest.name,
        version=manifest.version,
        path=manifest.path,
        content=manifest.content,
        checkpoint=False,
        identity=manifest.identity,
    )


def _is_same(store: Store, record: JobRecord) -> bool:
    if record.content is None or record.version == 1:
        return False
    try:
        before = store.manifest(record.name, record.version - 1)
    except ArtifactVersionNotFoundError:
        return False
    return before.content == record.content


def _logged(paths: JobPaths) -> list[str]:
    """The paths of the versions that a job logged, checkpoints left out."""
    return [each.path for each in read_records(paths.records) if not each.checkpoint]


def _full(folder: Path) -> str:
    """What to add when there is no room for a job to say how it ended."""
    full = shutil.disk_usage(folder).free < _LITTLE_ROOM
    return f" (no space left at {folder.parent})" if full else ""


def _log(handle: Handle) -> Path:
    return JobPaths(Path(handle.folder)).log


def _digest_of(identities: Sequence[str]) -> str:
    text = json.dumps(["runspec-elements-1", list(identities)], separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _number(profile: Mapping[str, Any], key: str) -> int:
    value = profile.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not str(value).isdecimal():
        raise ConfigError(f"run.env.{key}: {value!r} is no number")
    return int(value)


def _seconds(profile: Mapping[str, Any], key: str) -> float | None:
    """A time span of a profile: seconds, or `HH:MM:SS`."""
    value = profile.get(key)
    if value is None:
        return None
    try:
        total = 0.0
        for part in str(value).split(":"):
            total = total * 60 + float(part)
    except ValueError:
        raise ConfigError(
            f"run.env.{key}: {value!r} is no time; write seconds or HH:MM:SS"
        ) from None
    return total


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _now(at: float | None = None) -> str:
    moment = datetime.now(timezone.utc) if at is None else datetime.fromtimestamp(at, timezone.utc)
    return moment.astimezone().isoformat()
