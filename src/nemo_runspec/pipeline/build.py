"""One build: jobs in an output folder of its own until one ends well."""

from __future__ import annotations

import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from nemo_runspec.artifacts.job_context import (
    JobContext,
    JobInput,
    read_records,
)
from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.artifacts.view import StoreView
from nemo_runspec.bundles import BundleFolder, read_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.command_line import typed
from nemo_runspec.exceptions import (
    ConfigError,
    NemoRunspecError,
)
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.patience import DEFAULT_SECONDS
from nemo_runspec.execution.protocol import Executor, Handle, Request, Status
from nemo_runspec.execution.protocol import State as JobState
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.execution.segments import more_segments
from nemo_runspec.execution.supervisor import machine
from nemo_runspec.jobs import JobPaths
from nemo_runspec.pipeline.decide import Absent, Made
from nemo_runspec.pipeline.facts import (
    GitFacts,
    content_mode,
    job_input,
    pipeline_id,
    run_facts,
    store_of,
    time_text,
)
from nemo_runspec.pipeline.outputs import Attempt, OutputFolder, open_output
from nemo_runspec.pipeline.patience import (
    GivenUp,
    Patience,
    is_store_away,
    is_unreachable,
)
from nemo_runspec.pipeline.record import Recorder
from nemo_runspec.pipeline.submit import (
    Build,
    ComposedJob,
    compose,
    find_python,
    job_python,
    new_job_folder,
    prepare_job,
)
from nemo_runspec.pipeline.task import (
    BuildError,
    BuildStopped,
    BuildTask,
    Built,
    Ended,
    Note,
    Queued,
    Started,
    Tell,
)
from nemo_runspec.store import Store
from nemo_runspec.utils import write_atomically

_POLL_SECONDS = 0.1
_POLL_SECONDS_CLUSTER = 0.5
_LITTLE_ROOM = 64 * 1024  # bytes


_T = TypeVar("_T")


@dataclass(frozen=True)
class _LastJob:
    """The job of an output folder's last attempt."""

    attempt: Attempt
    handle: Handle
    status: Status


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
        pipeline: folder of the pipeline that the builds are part of.
        patience: how long those are waited for who do not answer, in seconds.
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
    pipeline: str = ""
    patience: float = DEFAULT_SECONDS
    _read: dict[str, BundleFolder] = field(default_factory=dict)
    _pythons: dict[str, JobPython] = field(default_factory=dict)
    _executors: dict[str, Executor] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def store(self) -> Store:
        return self.view.store

    @property
    def _patience(self) -> Patience:
        return Patience(self.patience, self.stopping)

    def _executor(self, name: str) -> Executor:
        """The executor of that name: one for all jobs, which asks for all of them at once."""
        with self._lock:
            if name not in self._executors:
                self._executors[name] = get_executor(name)
            return self._executors[name]

    @property
    def _recorder(self) -> Recorder:
        return Recorder(self.view, self.profile, self.git, self._pipeline_fact)

    @property
    def _pipeline_fact(self) -> dict[str, str]:
        return {"pipeline": pipeline_id(Path(self.pipeline))} if self.pipeline else {}

    def build(self, task: BuildTask, tell: Tell, is_mine: Callable[[], bool]) -> Built:
        """Run jobs until one has made it, and record what it made; the lease of its key is ours.

        Args:
            task: what to make.
            tell: told of each job that runs for it, and of what keeps it waiting.
            is_mine: whether the lease still is, asked before anything is recorded.

        Raises:
            BuildError: the job failed, or did not make what its target promises.
            BuildStopped: `stopping` said so, or nobody can tell what became of its job.
            NemoRunspecError: its config, its bundle or the store is not as it has to be.
        """
        bundle = self._bundle(task.artifact.recipe)
        composed = self._compose(task, bundle)
        output, found = self._run(task, composed, tell)

        def record() -> Built:
            if not is_mine():
                raise BuildError(
                    f"{task.name} was taken over by somebody else while it ran, so what it made "
                    f"is not recorded; it is in {output.folder}"
                )
            return self._recorder.record(task, output, found)

        return self._recorded(record, tell, f"its job ended well (job {found.paths.folder}) and")

    def gather(
        self,
        task: BuildTask,
        elements: Sequence[tuple[Mapping[str, Any], Made | Absent]],
        tell: Tell,
    ) -> Built:
        """Record the versions of a fan-out's elements as one, in list order.

        Args:
            task: the version to make.
            elements: `index` and `value` of each, and its version, or why there is none.
            tell: told of what keeps it waiting.

        Raises:
            BuildStopped: the store could not be written for too long.
            NemoRunspecError: the store is not as it has to be.
        """

        output: OutputFolder | None = None

        def gather() -> Built:
            nonlocal output
            if output is None:  # the same again for a store that was away in between
                output = self._output(task, tell).with_attempt(Attempt("", None, machine()))
            return self._recorder.gather(task, output, elements)

        return self._recorded(gather, tell, "its elements are recorded, and")

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
        composed = compose(bundle, ctx, [*named, *artifact.overrides], is_attached=False)
        if task.element is not None:
            composed = composed.with_run(element=dict(task.element))
        return composed

    def _recorded(self, record: Callable[[], Built], tell: Tell, what: str) -> Built:
        """What was recorded; a store that is away is waited for."""
        try:
            return self._patience.until_answered(
                record, is_store_away, lambda text: tell(Note(text))
            )
        except GivenUp as error:
            raise BuildStopped(
                f"{what} could not be recorded: {error}; nothing is lost, the next call records it",
                unanswered=None if error.stopped else "the store",
            ) from error.error

    def _output(self, task: BuildTask, tell: Tell) -> OutputFolder:
        output = open_output(self.outputs, self.view.own_name(task.name), task.key)
        return output.next_generation() if self._is_used_up(output, tell) else output

    def _is_used_up(self, output: OutputFolder, tell: Tell) -> bool:
        """Whether a version has its data in the folder, though its build was not recorded."""
        if not output.attempts or not self._has_version(output):
            return False
        # What still runs writes there, and what ended well there is to be recorded.
        last = self._last_job(output, tell)
        return last is None or (
            last.status.state.is_final and last.status.state is not JobState.SUCCEEDED
        )

    def _has_version(self, output: OutputFolder) -> bool:
        for attempt in output.attempts:
            if attempt.job and any(map(output.holds, _logged(JobPaths(Path(attempt.job))))):
                return True
        # A kill between the manifest and the line in the records.
        latest = self.store.latest_manifests([output.name]).get(output.name)
        return (
            latest is not None
            and latest.key == output.key
            and output.holds(latest.path)
            and not latest.extra.get("checkpoint")
        )

    def _last_job(self, output: OutputFolder, tell: Tell) -> _LastJob | None:
        """The job of the last attempt; None when there is none, or nothing is known of it."""
        last = output.attempts[-1] if output.attempts else None
        if last is None or last.executor is None:
            return None
        executor = self._executor(last.executor)
        if executor.runs_here and last.machine != machine():
            return None  # it ended with whoever had started it there
        folder = Path(last.job)
        if last.handle is None and not folder.exists() and folder.parent.exists():
            return None  # it was never submitted
        try:
            if last.handle is not None:
                handle: Handle | None = Handle.from_json(last.handle)
            else:
                # Its submitter was killed between the two.
                handle = self._ask(executor, lambda: executor.find(folder), folder, tell)
            if handle is None:
                return None
            known = handle
            status = self._ask(executor, lambda: executor.status(known), folder, tell)
        except BuildStopped:
            raise
        except NemoRunspecError as error:
            if executor.runs_here or not folder.exists():
                return None  # nothing is left of it
            raise BuildStopped(
                f"what became of its last job cannot be told ({error}), and nothing is submitted "
                f"before that is known; if it has ended for certain, remove {folder}"
            ) from error
        return _LastJob(last, handle, status)

    def _orphan(self, task: BuildTask, output: OutputFolder, tell: Tell) -> _LastJob | None:
        """A job of an earlier attempt whose supervisor did not live to record it."""
        last = self._last_job(output, tell)
        if last is None or not last.status.state.is_final:
            return last
        # What was asked for anew is not what there was before, only what was made since.
        counts = not task.forced or (
            last.attempt.pipeline is not None and last.attempt.pipeline == self.pipeline
        )
        return last if counts and last.status.state is JobState.SUCCEEDED else None

    def _run(
        self, task: BuildTask, composed: ComposedJob, tell: Tell
    ) -> tuple[OutputFolder, Ended]:
        """Jobs in the output folder until one has made what was asked for."""
        retries = _number(composed.profile, "retries")
        starts = 0
        output = self._output(task, tell)
        orphan = self._orphan(task, output, tell)
        handle = None if orphan is None else orphan.handle
        while True:
            if handle is None:
                output, handle = self._submit(task, composed, output, tell)
                orphan = None
            elif output.attempts[-1].handle is None:
                output = output.with_handle(handle.to_json())
            executor = self._executor(handle.executor)
            paths = JobPaths(Path(handle.folder))
            # An orphan of this machine is being ended, and one that had ended is as good as none.
            counts = orphan is None or not (executor.runs_here or orphan.status.state.is_final)
            try:
                if orphan is None and executor.runs_here:
                    tell(Started(paths, output.starts))
                status = self._wait(executor, handle, composed, output, tell)
                first = output.starts - output.attempts[-1].starts
                output = output.with_starts(max(1, (status.attempt or 0) - first))
                starts += output.attempts[-1].starts
                if status.state is JobState.UNFINISHED:
                    if more_segments(composed.profile, starts):
                        tell(Note(f"unfinished ({status.why or 'it was ended'}), goes on"))
                        output, handle = self._output(task, tell), None
                        continue
                    raise _unfinished(status, starts, paths)
                return output, self._made(task, composed, output, status, paths)
            except BuildError:
                if counts and retries <= 0:
                    raise
                if counts:
                    retries -= 1
                    self._pause(_seconds(composed.profile, "retry_delay") or 0.0)
            if self.stopping():
                raise BuildStopped(f"{task.name} was not started again")
            output, handle = self._output(task, tell), None
            if self._has_version(output):
                output = output.next_generation()  # whatever is wrong with it, its data stays

    def _made(
        self,
        task: BuildTask,
        composed: ComposedJob,
        output: OutputFolder,
        status: Status,
        paths: JobPaths,
    ) -> Ended:
        """What a job came to that made what its target promises; else BuildError."""
        if status.state is not JobState.SUCCEEDED:
            how = {
                JobState.LOST: f"lost, nobody saw how it ended{_full(paths.folder)}",
                JobState.CANCELLED: "cancelled",
            }
            code = "failed" if status.exit_code is None else f"exit code {status.exit_code}"
            why = f" ({status.why})" if status.why else ""
            raise BuildError(how.get(status.state, code) + why, paths.log)
        ended = self._ended(composed, paths, status)
        if self._recorder.promised(task, output, ended) is None:
            raise self._recorder.unkept(task, output, ended)
        return ended

    def _submit(
        self, task: BuildTask, composed: ComposedJob, output: OutputFolder, tell: Tell
    ) -> tuple[OutputFolder, Handle]:
        executor = self._executor(composed.executor)
        bundle = composed.bundle
        python = self._python(bundle) if executor.runs_here else JobPython()
        with new_job_folder(task.name, self.jobs) as paths:
            context = self._context(task, composed, paths, output)
            build = Build(output.folder, output.starts + 1, context, task.is_element)
            request = prepare_job(composed, paths, bundle, python, build, executor)
            attempt = Attempt(
                str(paths.folder), None, machine(), executor.name, self.pipeline or None
            )
            output = output.with_attempt(attempt)
            if self.stopping():
                raise BuildStopped(f"{task.name} was not started")
            submitted = self._hand_over(executor, request, paths, tell)
        # Outside of the block: it may be a job's folder that is not ours to remove.
        if isinstance(submitted, BuildStopped):
            raise submitted
        # Beside the job for whoever looks for it there, and here for its next supervisor.
        write_atomically(paths.handle, f"{submitted.to_json()}\n", durable=False)
        return output.with_handle(submitted.to_json()), submitted

    def _hand_over(
        self, executor: Executor, request: Request, paths: JobPaths, tell: Tell
    ) -> Handle | BuildStopped:
        """Submit a job, once: where nobody answers, it may have been taken all the same."""
        is_first = True

        def submit() -> Handle:
            nonlocal is_first
            found = None if is_first else executor.find(paths.folder)
            is_first = False
            return found or executor.submit(request, attached=executor.runs_here)

        try:
            return self._ask(executor, submit, paths.folder, tell)
        except BuildStopped as stopped:
            return stopped

    def _wait(
        self,
        executor: Executor,
        handle: Handle,
        composed: ComposedJob,
        output: OutputFolder,
        tell: Tell,
    ) -> Status:
        """Wait for a job's end, and say how it goes on."""
        limit = _seconds(composed.profile, "timeout")
        paths = JobPaths(Path(handle.folder))
        first = output.starts - output.attempts[-1].starts
        # One of this machine runs from the first, and that was told.
        shown: Queued | Started | None = Started(paths, first + 1) if executor.runs_here else None
        running_since: float | None = None
        cancelled = timed_out = False
        while True:
            status = self._look(executor, handle, tell)
            number = status.attempt or first + 1
            if status.state.is_final:
                break
            now: Queued | Started
            if status.state is JobState.PENDING and not executor.runs_here:
                now = Queued(paths, number, executor.name, handle.id, status.why)
                running_since = None
            else:
                far = {} if executor.runs_here else {"executor": executor.name, "job_id": handle.id}
                now = Started(paths, number, **far)
                running_since = running_since or _since(status)
            if now != shown:
                shown = now
                tell(now)
            is_over = running_since is not None and (
                limit is not None and time.monotonic() - running_since > limit
            )
            if is_over and not cancelled:
                cancel = partial(executor.cancel, handle)
                self._ask(executor, cancel, paths.folder, tell, handle.id)
                cancelled = timed_out = True
            if self.stopping() and not cancelled:
                if not executor.runs_here:
                    raise BuildStopped(_goes_on(handle))
                executor.cancel(handle)
                cancelled = True
            if not executor.runs_here:
                self._pause(_POLL_SECONDS_CLUSTER)
        if status.state is JobState.SUCCEEDED:
            return status  # before anybody's word reached it
        if timed_out:
            raise BuildError(f"ended after its timeout of {limit:g} s", paths.log)
        if cancelled or (executor.runs_here and self.stopping()):
            raise BuildStopped("ended")
        return status

    def _look(self, executor: Executor, handle: Handle, tell: Tell) -> Status:
        """How a job stands that was submitted; it has not failed where nobody can say."""
        folder = Path(handle.folder)
        # On a cluster it is asked, not waited for: one that does not answer is told of at once.
        look = (
            partial(executor.wait, handle, _POLL_SECONDS)
            if executor.runs_here
            else partial(executor.status, handle)
        )
        try:
            return self._ask(executor, look, folder, tell, handle.id)
        except ExecutionError as error:
            if executor.runs_here:
                raise
            raise BuildStopped(
                f"what became of job {handle.id} of {executor.name} cannot be told ({error}); it "
                "was left alone, and the next call looks for it first"
            ) from error

    def _ask(
        self,
        executor: Executor,
        ask: Callable[[], _T],
        folder: Path,
        tell: Tell,
        job_id: str | None = None,
    ) -> _T:
        """An executor's answer, waited for.

        Raises:
            BuildStopped: there was none for too long.
        """
        try:
            return self._patience.until_answered(
                ask, is_unreachable, lambda text: tell(Note(f"{executor.name}: {text}"))
            )
        except GivenUp as error:
            job = f"job {job_id}" if job_id else f"the job of {folder}"
            raise BuildStopped(
                f"{executor.name} does not answer ({error}): {job} was left alone and may still "
                "run; the next call looks for it first and submits nothing twice",
                unanswered=None if error.stopped else executor.name,
            ) from error.error

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.stopping():
            time.sleep(min(_POLL_SECONDS, seconds))

    def _python(self, bundle: BundleFolder) -> JobPython:
        digest = bundle.document.digest
        with self._lock:
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
            run={**facts, "id": uuid.uuid4().hex, **self._pipeline_fact},
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


def _goes_on(handle: Handle) -> str:
    job = Path(handle.folder).name
    follow, end = typed("jobs", "logs", "-f", job), typed("jobs", "cancel", job)
    number = f"job {handle.id} of {handle.executor}"
    return f"goes on as {number}; follow it with: {follow}; end it with: {end}"


def _unfinished(status: Status, starts: int, paths: JobPaths) -> BuildError:
    times = "once" if starts == 1 else f"{starts} times"
    return BuildError(
        f"unfinished ({status.why or 'it was ended'}) after it was started {times}; the same "
        "command goes on where it is, more segments in the profile do so by themselves",
        paths.log,
    )


def _since(status: Status) -> float:
    """Since when a job runs, on this process's own clock."""
    ran = 0.0 if status.started_at is None else max(0.0, time.time() - status.started_at)
    return time.monotonic() - ran


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
