"""What the three container executors have in common."""

from __future__ import annotations

import abc
import hashlib
import json
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.execution.containers.launch import (
    LAUNCH_SCRIPT,
    Peers,
    launched_job,
    recorded_status,
    stage,
)
from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.job_script import JobScript, remove_secrets
from nemo_runspec.execution.nemo_run_profile import executor_arguments, plain_profile
from nemo_runspec.execution.protocol import Executor, Handle, Job, Request, State, Status
from nemo_runspec.jobs import JobPaths
from nemo_runspec.masking import mask_secrets
from nemo_runspec.utils import write_atomically
from runspec import FrozenMapping

_POLL_SECONDS = 2.0
_LOG_SECONDS = 0.5
_CHUNK_BYTES = 1 << 16
_NAME_LENGTH = 34  # what DGX Cloud and Lepton take
_KEPT = ("container_image", "gpus_per_node", "nodes")


@dataclass(frozen=True)
class ContainerRequest(Request):
    """One container job to be submitted.

    Args:
        folder: the job's folder.
        name: what the service calls it.
        script: `job.sh`.
        launch: the script that the container runs.
        arguments: of NeMo-Run's executor, secrets of the profile among them; never written down.
        call: what NeMo-Run will send, as data.
    """

    folder: Path
    name: str
    script: JobScript
    launch: str
    arguments: Mapping[str, Any] = FrozenMapping()
    call: Mapping[str, Any] = FrozenMapping()

    def shell_text(self) -> str:
        sent = json.dumps(mask_secrets(dict(self.call)), indent=2, sort_keys=True, default=str)
        parts = [f"# {self.folder / LAUNCH_SCRIPT}", self.launch.rstrip()]
        parts += [f"# {JobPaths(self.folder).script}", self.script.shown.rstrip()]
        return "\n".join([*parts, "# What NeMo-Run sends:", sent])


class ContainerExecutor(Executor):
    """An executor whose jobs are containers somewhere, started through NeMo-Run."""

    peers: Peers = Peers()

    def prepare(self, job: Job) -> ContainerRequest:
        profile = plain_profile(job.profile)
        arguments = executor_arguments(self.name, profile, job.image, job.spec.resources)
        # A job that failed is started again by whoever submitted it.
        arguments |= {"env_vars": {}, "retries": 0}
        self.check(job, arguments)
        script, launch = launched_job(job, int(arguments.get("nodes", 1)), self.peers)
        name = service_name(job.folder)
        call = self.render(job.folder, name, arguments)
        return ContainerRequest(job.folder, name, script, launch, arguments, call)

    def stage(self, request: Request) -> None:
        own = self._own(request)
        stage(own.script, own.launch, own.folder)
        # What the recipe itself said of them is in no profile.
        known = {key: own.arguments[key] for key in _KEPT if key in own.arguments}
        write_atomically(JobPaths(own.folder).service, json.dumps(known) + "\n")

    def submit(self, request: Request, *, attached: bool) -> Handle:
        own = self._own(request)
        self.stage(own)
        try:
            job_id = self.send(own.folder, own.name, own.arguments)
        except UnreachableError:
            raise  # it may have been started, and need its secrets
        except BaseException:
            remove_secrets(JobPaths(own.folder))
            raise
        handle = Handle(self.name, str(own.folder), job_id)
        write_atomically(JobPaths(own.folder).handle, f"{handle.to_json()}\n", durable=False)
        return handle

    def find(self, folder: Path) -> Handle | None:
        kept = JobPaths(folder).handle
        if kept.exists():
            return Handle.from_json(kept.read_text(encoding="utf-8"))
        return self.look_up(folder)

    def status(self, handle: Handle) -> Status:
        folder = Path(handle.folder)
        known = recorded_status(folder)
        if known is not None and known.state.is_final:
            remove_secrets(JobPaths(folder))
            return known
        if known is None and not (folder / LAUNCH_SCRIPT).exists():
            raise ExecutionError(f"{folder}: no job was started in this folder")
        state = self.ask(handle)
        if state.is_final:
            # It may have said so itself between the two looks.
            known = recorded_status(folder)
            if known is not None and known.state.is_final:
                return known
            remove_secrets(JobPaths(folder))
            if JobPaths(folder).cancel.exists():
                state = State.CANCELLED
            return Status(state, started_at=None if known is None else known.started_at)
        return known or Status(state)

    def logs(self, handle: Handle, *, follow: bool = False) -> Iterator[bytes]:
        path = JobPaths(Path(handle.folder)).log
        position = 0
        while True:
            # Asked before reading: what was written before the end is then read for certain.
            ended = not follow or self.status(handle).state.is_final
            if path.exists():
                with open(path, "rb") as log:
                    log.seek(position)
                    while chunk := log.read(_CHUNK_BYTES):
                        position += len(chunk)
                        yield chunk
            if ended:
                return
            time.sleep(_LOG_SECONDS)

    def cancel(self, handle: Handle) -> None:
        if self.status(handle).state.is_final:
            return
        JobPaths(Path(handle.folder)).cancel.touch()
        self.stop(handle)

    def wait(self, handle: Handle, timeout: float | None = None) -> Status:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            status = self.status(handle)
            if status.state.is_final:
                return status
            pause = _POLL_SECONDS
            if deadline is not None:
                pause = min(pause, deadline - time.monotonic())
                if pause <= 0:
                    return status
            time.sleep(pause)

    def check(self, job: Job, arguments: dict[str, Any]) -> None:
        """Refuses a job that would not find its files, or completes what mounts them."""

    @abc.abstractmethod
    def render(self, folder: Path, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What NeMo-Run would send; sends nothing."""

    @abc.abstractmethod
    def send(self, folder: Path, name: str, arguments: Mapping[str, Any]) -> str:
        """Has NeMo-Run start the job; the service's id of it."""

    @abc.abstractmethod
    def look_up(self, folder: Path) -> Handle | None:
        """The handle of a job whose submitter was killed before it could keep it.

        Raises:
            UnreachableError: it cannot be known now.
        """

    @abc.abstractmethod
    def ask(self, handle: Handle) -> State:
        """What the service says of the job."""

    @abc.abstractmethod
    def stop(self, handle: Handle) -> None:
        """Has NeMo-Run end the job."""

    def arguments_of(self, handle: Handle) -> dict[str, Any]:
        """The arguments of NeMo-Run's executor for a job that another process may have submitted.

        They come from the job's folder and the env.toml of today: what lets us in stands in no
        file of the job.

        Raises:
            ExecutionError: the profile is not there any more.
        """
        paths = JobPaths(Path(handle.folder))
        from omegaconf import OmegaConf

        from nemo_runspec.env import load_env_profile
        from nemo_runspec.exceptions import NemoRunspecError

        try:
            config = OmegaConf.load(paths.job_config)
            name = OmegaConf.select(config, "run.profile")
            known = json.loads(paths.service.read_text(encoding="utf-8"))
            profile = {**plain_profile(load_env_profile(str(name))), **known}
            return executor_arguments(self.name, profile, None, None)
        except (OSError, ValueError, NemoRunspecError) as error:
            raise ExecutionError(
                f"{handle.folder}: executor {self.name!r} must be asked how the job is, and its "
                f"profile cannot be read: {error}"
            ) from error

    def _own(self, request: Request) -> ContainerRequest:
        if not isinstance(request, ContainerRequest):
            raise TypeError(f"{type(request).__name__} was prepared by another executor")
        return request


def service_name(folder: Path) -> str:
    """A name for a service from that of a job's folder: unique, and a DNS label."""
    mark = hashlib.sha256(str(folder).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    stem = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")
    # Names must begin with a letter; folders begin with a date.
    return f"run-{stem}"[: _NAME_LENGTH - 9].rstrip("-") + f"-{mark}"


def mounted_paths(job: Job) -> list[Path]:
    """The folders that a job needs where it runs, none inside of another.

    Not its working directory, which may be one of the image's.
    """
    needed = [job.folder, job.code, job.config.parent, job.output, job.store]
    needed += [job.package.pex.parent] if job.package.pex else []
    paths = sorted({path for path in needed if path is not None})
    return [p for p in paths if not any(q != p and p.is_relative_to(q) for q in paths)]


def require_mounted(job: Job, mounts: list[str], *, what: str) -> None:
    """Refuses a job whose files are not below one of the folders that its nodes mount.

    Raises:
        ExecutionError: one is not.
    """
    for path in mounted_paths(job):
        if not any(path.is_relative_to(mount) for mount in mounts):
            raise ExecutionError(
                f"{path} is on no storage that the job mounts ({what}: "
                f"{', '.join(mounts) or 'none'}); name a folder below it as remote_job_dir, at the "
                "same path on this machine"
            )
    if shlex.quote(str(job.folder)) != str(job.folder):
        raise ExecutionError(
            f"{str(job.folder)!r}: NeMo-Run writes the path into a command as it is; use a "
            "remote_job_dir without spaces and quotes"
        )
