"""A pipeline's supervisor as those see it who started it: a process here, or a job of a cluster."""

from __future__ import annotations

import abc
import contextlib
import os
import signal
import subprocess
import time
from typing import Any

from nemo_runspec.command_line import typed
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.protocol import Executor, Handle, Status
from nemo_runspec.jobs import PipelinePaths
from nemo_runspec.pipeline.supervisor_process import read_state

_LOOK_SECONDS = 0.5
# What it wrote on another machine may be seen a little later than its end.
_GRACE_SECONDS = 10.0
_ENDED_BY_FORCE = -int(signal.SIGKILL)


class Supervisor(abc.ABC):
    """The supervisor of a pipeline.

    Args:
        paths: the pipeline's folder.
    """

    def __init__(self, paths: PipelinePaths) -> None:
        self.paths = paths

    @property
    @abc.abstractmethod
    def label(self) -> str:
        """What it is, for people: `process 12`."""

    @property
    @abc.abstractmethod
    def stop_command(self) -> str:
        """What a person types to stop it."""

    @abc.abstractmethod
    def poll(self) -> int | None:
        """How it ended: its exit code, or -n if signal n ended it; None while it runs."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Tell it to stop; returns at once."""

    def wait(self) -> None:
        """Wait for its end."""
        while self.poll() is None:
            time.sleep(0.1)

    def news(self) -> list[str]:
        """What people should know of it that it cannot say itself, since the last call."""
        return []


class LocalSupervisor(Supervisor):
    """A supervisor that is a child of this process.

    Args:
        process: the child.
        paths: the pipeline's folder.
    """

    def __init__(self, process: subprocess.Popen[bytes], paths: PipelinePaths) -> None:
        super().__init__(paths)
        self._process = process

    @property
    def label(self) -> str:
        return f"process {self._process.pid}"

    @property
    def stop_command(self) -> str:
        return f"kill {self._process.pid}"

    def poll(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)

    def wait(self) -> None:
        self._process.wait()


class ClusterSupervisor(Supervisor):
    """A supervisor that is a job of a cluster.

    Args:
        executor: whose job it is.
        handle: the job.
        paths: the pipeline's folder, which the cluster's nodes share.
    """

    def __init__(self, executor: Executor, handle: Handle, paths: PipelinePaths) -> None:
        super().__init__(paths)
        self._executor = executor
        self._handle = handle
        self._look_at = 0.0
        self._over_since: float | None = None
        self._code: int | None = None
        self._told: Any = None
        self._news: list[str] = []

    @property
    def label(self) -> str:
        return f"job {self._handle.id} of {self._handle.executor}"

    @property
    def stop_command(self) -> str:
        return typed("jobs", "cancel", self.paths.folder.name)

    def poll(self) -> int | None:
        now = time.monotonic()
        if self._code is None and now >= self._look_at:
            self._code = self._look(now)
        return self._code

    def stop(self) -> None:
        try:
            self._executor.cancel(self._handle)
        except NemoRunspecError as error:
            self._news.append(f"{self.label} cannot be told to stop: {error}")

    def news(self) -> list[str]:
        told, self._news = self._news, []
        return told

    def _look(self, now: float) -> int | None:
        self._look_at = now + _LOOK_SECONDS
        status = self._status()
        # One that was told to stop may have been told so for being queued again.
        if status is None or not status.state.is_final:
            self._over_since = None
            return None
        state = read_state(self.paths)
        if state is not None and state.exit_code is not None:
            return state.exit_code
        self._over_since = self._over_since or now
        return None if now < self._over_since + _GRACE_SECONDS else _ENDED_BY_FORCE

    def _status(self) -> Status | None:
        try:
            status = self._executor.status(self._handle)
        except UnreachableError as error:
            self._tell("unreachable", f"{error}; the pipeline goes on by itself")
            return None
        except ExecutionError as error:
            if not self.paths.folder.exists():
                raise
            self._tell("unknown", f"{self.label}: how it stands cannot be told: {error}")
            return None
        if status.state.is_final:
            return status  # how it ended it has said itself
        why = f": {status.why}" if status.why else ""
        text = f"the pipeline's supervisor is {self.label}, {status.state.value}{why}"
        self._tell((status.state, status.why), text)
        return status

    def _tell(self, what: Any, text: str) -> None:
        if what != self._told:
            self._told = what
            self._news.append(text)
