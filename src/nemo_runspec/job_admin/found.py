"""A job or a pipeline that was found by its folder: how it stands, what it wrote, its end."""

from __future__ import annotations

import abc
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nemo_runspec.exceptions import NemoRunspecError, UsageError
from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.patience import patience_seconds
from nemo_runspec.execution.protocol import Executor, Handle, State, Status
from nemo_runspec.execution.supervisor import machine
from nemo_runspec.jobs import JobPaths, PipelinePaths
from nemo_runspec.pipeline.events import EventReader
from nemo_runspec.pipeline.patience import GivenUp, Patience, is_unreachable
from nemo_runspec.pipeline.supervisor_job import supervisor_job, supervisor_log
from nemo_runspec.pipeline.supervisor_process import SupervisorState, read_state

_POLL_SECONDS = 0.2
_OVER = ("built", "failed")


class Executors:
    """Executors by name, one of each: so that a cluster is asked once for all of its jobs.

    Args:
        get: makes one.
    """

    def __init__(self, get: Callable[[str], Executor]) -> None:
        self._get = get
        self._known: dict[str, Executor] = {}

    def get(self, name: str) -> Executor:
        if name not in self._known:
            self._known[name] = self._get(name)
        return self._known[name]


class Item(abc.ABC):
    """A job, or a pipeline of jobs.

    Args:
        folder: its folder.
    """

    kind: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    @abc.abstractmethod
    def executor(self) -> str | None:
        """Name of the executor that runs it; None for a pipeline that is a process."""

    @property
    @abc.abstractmethod
    def job_id(self) -> str | None:
        """What its executor calls it, or the number of its process."""

    @abc.abstractmethod
    def status(self) -> Status:
        """How it stands.

        Raises:
            UnreachableError: nobody can say now.
            ExecutionError: nothing is known of it.
        """

    @abc.abstractmethod
    def logs(self, *, follow: bool) -> Iterator[bytes]:
        """What it wrote; with `follow` until it has ended."""

    @abc.abstractmethod
    def cancel(self) -> None:
        """Tell it to end; returns at once."""


class FoundJob(Item):
    """A job.

    Args:
        paths: its folder.
        executors: who runs it is among them.
    """

    kind = "job"

    def __init__(self, paths: JobPaths, executors: Executors) -> None:
        super().__init__(paths.folder)
        self.handle = read_handle(paths)
        self._executors = executors

    @property
    def executor(self) -> str:
        return self.handle.executor

    @property
    def job_id(self) -> str:
        return self.handle.id

    def status(self) -> Status:
        return self._executors.get(self.executor).status(self.handle)

    def logs(self, *, follow: bool) -> Iterator[bytes]:
        return self._executors.get(self.executor).logs(self.handle, follow=follow)

    def cancel(self) -> None:
        self._executors.get(self.executor).cancel(self.handle)


class FoundPipeline(Item):
    """A pipeline, by its supervisor.

    Args:
        paths: its folder.
        executors: who runs its supervisor is among them, where that is a job.
    """

    kind = "pipeline"

    def __init__(self, paths: PipelinePaths, executors: Executors) -> None:
        super().__init__(paths.folder)
        self._paths = paths
        self._executors = executors
        job = supervisor_job(paths)
        self._job = FoundJob(job, executors) if job.handle.is_file() else None

    @property
    def executor(self) -> str | None:
        return None if self._job is None else self._job.executor

    @property
    def job_id(self) -> str | None:
        if self._job is not None:
            return self._job.job_id
        with contextlib.suppress(NemoRunspecError):  # its status says what is wrong
            state = self._state()
            return None if state is None else str(state.process["pid"])
        return None

    def status(self) -> Status:
        status = None if self._job is None else self._job.status()
        if status is not None and not status.state.is_final:
            return status  # it may have ended before, to be queued again
        state = self._state()
        if state is not None and state.exit_code is not None:
            ended = State.FAILED if state.exit_code else State.SUCCEEDED
            return Status(ended, state.exit_code)
        if status is not None:
            return Status(State.LOST, why=status.why)
        if state is None:
            return Status(State.PENDING)
        if not state.is_running:
            return Status(State.LOST, why="its supervisor was ended")
        return Status(State.RUNNING, why=_where(state))

    def logs(self, *, follow: bool) -> Iterator[bytes]:
        positions: dict[Path, int] = {}
        while True:
            ended = not follow or patient_status(self).state.is_final
            path = supervisor_log(self._paths)
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as log:
                log.seek(positions.get(path, 0))
                written = log.read()
                positions[path] = log.tell()
                yield written
            if ended:
                return
            time.sleep(_POLL_SECONDS)

    def cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()
            return
        state = self._state()
        if state is None or not state.is_running:
            return
        if state.machine != machine():
            raise UsageError(
                f"{self.folder}: its supervisor runs on {state.machine.split()[0]}; cancel it there"
            )
        try:
            os.kill(int(state.process["pid"]), signal.SIGTERM)
        except ProcessLookupError:
            return  # it ended just now
        except PermissionError:
            raise UsageError(
                f"process {state.process['pid']} is somebody else's; they cancel it themselves"
            ) from None

    def jobs(self) -> list[FoundJob]:
        """The jobs of a cluster that it started and did not see end."""
        left: dict[str, Path] = {}
        for event in EventReader(self._paths.events).read():
            name = str(event.get("name"))
            if event.get("event") in ("queued", "running"):
                left[name] = Path(str(event["job"]))
            elif event.get("event") in _OVER:
                left.pop(name, None)
        found = []
        for folder in left.values():
            with contextlib.suppress(NemoRunspecError):  # its folder is gone, and so is the job
                found.append(FoundJob(JobPaths(folder), self._executors))
        return [job for job in found if not self._executors.get(job.executor).runs_here]

    def _state(self) -> SupervisorState | None:
        return read_state(self._paths)


def read_handle(paths: JobPaths) -> Handle:
    """The handle beside a job; for one of this machine what its record says.

    Raises:
        ExecutionError: neither can be read.
    """
    try:
        return Handle.from_json(paths.handle.read_text(encoding="utf-8"))
    except FileNotFoundError:
        pass  # started before handles were kept, or killed just then
    except (ValueError, KeyError, TypeError) as error:
        raise ExecutionError(f"{paths.handle}: no handle of a job: {error}") from error
    from nemo_runspec.execution.local import LocalExecutor

    handle = LocalExecutor().find(paths.folder)
    if handle is None:
        raise ExecutionError(f"{paths.folder}: no job was started in this folder")
    return handle


def patient_status(item: Item) -> Status:
    """How an item stands, once there is an answer.

    Raises:
        UnreachableError: there was none for too long.
    """
    try:
        return Patience(patience_seconds(), lambda: False).until_answered(
            item.status, is_unreachable, _say
        )
    except GivenUp as error:
        raise UnreachableError(f"{error}; the job was left alone") from error.error


def _say(text: str) -> None:
    print(f"note: {text}", file=sys.stderr, flush=True)


def standing(item: Item) -> tuple[str, str | None, Any]:
    """How an item stands, for people: the state, why, and the exit code if it has one."""
    try:
        status = item.status()
    except UnreachableError as error:
        return "unknown", str(error), None
    except NemoRunspecError as error:
        return "lost", str(error), None
    return status.state.value, status.why, status.exit_code


def _where(state: SupervisorState) -> str | None:
    return None if state.machine == machine() else f"on {state.machine.split()[0]}"
