"""One build: jobs in an output folder of its own until one ends well."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.job_context import (
    JobContext,
    JobInput,
    read_records,
)
from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.artifacts.view import StoreView
from nemo_runspec.bundles import BundleFolder, read_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.exceptions import (
    ConfigError,
    NemoRunspecError,
)
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import Executor, Handle, Status
from nemo_runspec.execution.protocol import State as JobState
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.execution.supervisor import machine
from nemo_runspec.jobs import JobPaths
from nemo_runspec.pipeline.decide import Absent, Made
from nemo_runspec.pipeline.facts import (
    GitFacts,
    content_mode,
    job_input,
    run_facts,
    store_of,
    time_text,
)
from nemo_runspec.pipeline.outputs import Attempt, OutputFolder, open_output
from nemo_runspec.pipeline.record import Recorder
from nemo_runspec.pipeline.submit import (
    DEFAULT_EXECUTOR,
    Build,
    ComposedJob,
    compose,
    find_python,
    job_python,
    new_job_folder,
    prepare_job,
)
from nemo_runspec.pipeline.task import BuildError, BuildStopped, BuildTask, Built, Ended, Started
from nemo_runspec.store import Store

_POLL_SECONDS = 0.1
_LITTLE_ROOM = 64 * 1024  # bytes


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

    @property
    def _recorder(self) -> Recorder:
        return Recorder(self.view, self.profile, self.git)

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
        return self._recorder.record(task, output, found)

    def gather(
        self, task: BuildTask, elements: Sequence[tuple[Mapping[str, Any], Made | Absent]]
    ) -> Built:
        """Record the versions of a fan-out's elements as one, in list order.

        Args:
            task: the version to make.
            elements: `index` and `value` of each, and its version, or why there is none.
        """
        output = self._output(task).with_attempt(Attempt("", None, machine()))
        return self._recorder.gather(task, output, elements)

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
    ) -> Ended | None:
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
        if self._recorder.promised(task, output, ended) is None:
            return None
        return ended

    def _attempt(
        self,
        task: BuildTask,
        composed: ComposedJob,
        output: OutputFolder,
        started: Callable[[Started], None],
    ) -> tuple[OutputFolder, Ended]:
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
        if self._recorder.promised(task, output, result) is None:
            raise self._recorder.unkept(task, output, result)
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
            composed, paths, self.git, address=task.artifact.address, started_at=time_text()
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

    def _ended(self, composed: ComposedJob, paths: JobPaths, status: Status) -> Ended:
        facts = json.loads(paths.context.read_text(encoding="utf-8"))["run"]
        seconds = status.seconds or 0.0
        hours = seconds / 3600 * _count(facts.get("nodes")) * _count(facts.get("gpus"))
        ended = {
            "ended_at": time_text(status.ended_at),
            "seconds": round(seconds, 3),
            "gpu_hours": round(hours, 6),
        }
        records = [each for each in read_records(paths.records) if not each.checkpoint]
        return Ended(paths, records, {**facts, **ended}, seconds, hours)


def _logged(paths: JobPaths) -> list[str]:
    """The paths of the versions that a job logged, checkpoints left out."""
    return [each.path for each in read_records(paths.records) if not each.checkpoint]


def _full(folder: Path) -> str:
    """What to add when there is no room for a job to say how it ended."""
    full = shutil.disk_usage(folder).free < _LITTLE_ROOM
    return f" (no space left at {folder.parent})" if full else ""


def _log(handle: Handle) -> Path:
    return JobPaths(Path(handle.folder)).log


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
