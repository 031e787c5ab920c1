"""What every executor offers, and the values that pass between it and its callers.

An executor is found by name (`nemo_runspec.execution.registry`); a third party adds one by an
entry point of the group `nemo_runspec.executors` that names a subclass of `Executor`.
"""

from __future__ import annotations

import abc
import enum
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from nemo_runspec.execution.job_python import JobPython
from runspec import FrozenMapping, Runspec


@dataclass(frozen=True)
class JobPackage:
    """The third-party side of a job's bundle, for executors whose jobs open it where they run.

    Args:
        pex: the bundle's `job.pex`; None when the job needs nothing from outside.
        inherit_path: whether packages that the interpreter has count too, as in an image.
        interpreter_constraints: alternatives such as `CPython>=3.11,<3.14`; none means any.
        requirements: version of each locked distribution, by name.
        digest: the bundle's.
    """

    pex: Path | None = None
    inherit_path: bool = False
    interpreter_constraints: tuple[str, ...] = ()
    requirements: Mapping[str, str] = FrozenMapping()
    digest: str = ""


@dataclass(frozen=True)
class Job:
    """One job as any executor gets it.

    Args:
        name: the recipe's name, as shown to people.
        folder: the job's folder (`nemo_runspec.jobs.JobPaths`).
        spec: the recipe's metadata.
        code: root of the bundle's first-party code.
        script: the recipe's script, a file in `code`.
        source_roots: folders in `code` that imports start from, in order.
        config: the train config that the script reads.
        passthrough: arguments for the script.
        profile: `run.env` of the job config: the env.toml profile merged with the config's own.
        env: variables that the recipe, the profile and the config declare, secrets among them
            (`nemo_runspec.masking.is_secret_name`).
        workdir: the folder to run in.
        python: what `python` is in the job, where `Executor.runs_here`; elsewhere it is made of
            `package` by the job itself, unless an interpreter stands here.
        package: what the bundle brings along.
        image: the container image to run in; None without one.
        output: the folder it writes to; None: one inside `folder`.
        attempt: how many times this was started with the same output folder, this time included.
        context: the file that tells it about artifacts (`nemo_runspec.artifacts.job_context`).
        key: the key of the build that it is for; None without one.
        store: the root of the store of artifacts where that is a folder; else None.
        is_element: whether it is one of many that are submitted at about the same time.
    """

    name: str
    folder: Path
    spec: Runspec
    code: Path
    script: Path
    source_roots: tuple[Path, ...]
    config: Path
    passthrough: tuple[str, ...]
    profile: Mapping[str, Any]
    env: Mapping[str, str]
    workdir: Path
    python: JobPython = JobPython()
    package: JobPackage = JobPackage()
    image: str | None = None
    output: Path | None = None
    attempt: int = 1
    context: Path | None = None
    key: str | None = None
    store: Path | None = None
    is_element: bool = False


class Request(abc.ABC):
    """What `prepare` made of a job: all that `submit` needs, and what a dry run shows."""

    folder: Path

    @abc.abstractmethod
    def shell_text(self) -> str:
        """The request as shell lines that a person can paste; secret values stand as `$NAME`."""


class State(enum.Enum):
    """The states of a job."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNFINISHED = "unfinished"  # time limit, preemption, lost node: it can go on where it was
    LOST = "lost"  # it no longer runs and nobody recorded how it ended

    @property
    def is_final(self) -> bool:
        return self not in (State.PENDING, State.RUNNING)


@dataclass(frozen=True)
class Status:
    """A job's state at one moment.

    Args:
        state: where it stands.
        exit_code: 0-255, 128 + n after signal n; None while it runs and when nobody knows.
        started_at: seconds since the epoch.
        ended_at: seconds since the epoch.
        why: what a person should know of it: `time limit`, `waits for resources`, `node3 failed`.
        attempt: how many times it was started with its output folder by now, `Job.attempt`
            included, where the executor starts it again itself.
    """

    state: State
    exit_code: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    why: str | None = None
    attempt: int | None = None

    @property
    def seconds(self) -> float | None:
        """How long it ran, in seconds; None unless it has ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, self.ended_at - self.started_at)


@dataclass(frozen=True)
class Handle:
    """Names a submitted job, in this process and in any other that can read its folder.

    Args:
        executor: name of the executor that runs it.
        folder: the job's folder.
        id: the executor's own name for it: a process or cluster job id.
    """

    executor: str
    folder: str
    id: str

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Handle:
        document = json.loads(text)
        return cls(**{key: str(document[key]) for key in ("executor", "folder", "id")})


class Executor(abc.ABC):
    """Runs jobs somewhere. Everything after `submit` goes by handle, from any process.

    A job's folder is on the submitter's side. Once `status` has said that a job has ended, what
    the job left for others (its log, the records of what it logged) is in that folder.
    """

    name: ClassVar[str]
    # Whether jobs are processes of this machine: they use its interpreters and its environment,
    # and end with whoever is attached to them.
    runs_here: ClassVar[bool] = False

    @abc.abstractmethod
    def prepare(self, job: Job) -> Request:
        """Turns the job into a request. Touches nothing, so that a dry run can show it.

        Raises:
            ExecutionError: if the profile holds what cannot be run.
        """

    @abc.abstractmethod
    def stage(self, request: Request) -> None:
        """Puts in place all that the job needs, its command as a file included; starts nothing.

        Raises:
            ExecutionError: if the job cannot run here.
        """

    @abc.abstractmethod
    def submit(self, request: Request, *, attached: bool) -> Handle:
        """Stages the job and starts it.

        Args:
            request: made by this executor's `prepare`; its folder exists.
            attached: end the job when the process that submitted it is gone.

        Raises:
            ExecutionError: if the job could not be staged or started.
            UnreachableError: nobody answered within the executor's bound, and it was not started.
        """

    @abc.abstractmethod
    def find(self, folder: Path) -> Handle | None:
        """The handle of the job that was submitted from this folder, whoever did it.

        For the moment between a job's start and its handle being kept: its submitter may have been
        killed there.

        Raises:
            UnreachableError: it cannot be known now.
        """

    @abc.abstractmethod
    def status(self, handle: Handle) -> Status:
        """Where the job stands now.

        Raises:
            ExecutionError: nothing is known of such a job.
            UnreachableError: it cannot be known now.
        """

    @abc.abstractmethod
    def logs(self, handle: Handle, *, follow: bool = False) -> Iterator[bytes]:
        """What the job has written so far, in pieces; with `follow`, until the job has ended."""

    @abc.abstractmethod
    def cancel(self, handle: Handle) -> None:
        """Asks the job to end; returns without waiting. No effect on a job that has ended."""

    @abc.abstractmethod
    def wait(self, handle: Handle, timeout: float | None = None) -> Status:
        """Waits until the job has ended, or `timeout` seconds have passed; its status then."""
