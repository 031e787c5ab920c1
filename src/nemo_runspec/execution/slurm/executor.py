"""Jobs on a Slurm cluster whose commands work on this machine, in folders that its nodes see."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nemo_runspec.config.mounts import AUTO_MOUNT_PREFIX, get_git_mounts
from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.job_script import JobScript, job_script, remove_secrets
from nemo_runspec.execution.nodes import Nodes
from nemo_runspec.execution.protocol import Executor, Handle, Job, Request, Status
from nemo_runspec.execution.slurm.arrays import Element, Gatherer, place_of
from nemo_runspec.execution.slurm.batch_script import (
    HEAD_ADDRESS,
    HEAD_PORT,
    NODE_ADDRESS,
    SECRET_SETUP,
    Grace,
    batch_script,
    secret_setup,
)
from nemo_runspec.execution.slurm.client import SlurmClient
from nemo_runspec.execution.slurm.record import Record, joint_status, read_record
from nemo_runspec.execution.slurm.render import render
from nemo_runspec.execution.slurm.settings import slurm_settings
from nemo_runspec.jobs import JobPaths
from nemo_runspec.masking import mask_secrets
from nemo_runspec.utils import write_atomically

# Pauses between looks at files, the longer the longer the job has been waited for. Slurm itself is
# asked far less often.
_POLL_SECONDS = (0.1, 2.0)
_POLL_GROWTH = 0.01
_CHUNK_BYTES = 1 << 16
_NAME_CHARACTERS = 8  # of the digest that tells jobs of equal folder names apart


@dataclass(frozen=True)
class SlurmRequest(Request):
    """A batch job to be submitted.

    Args:
        folder: the job's folder.
        name: its name in Slurm, which no other job has.
        batch: the batch script. No secret is in it.
        shown: the same as people may see it.
        script: `job.sh`.
        workdir: the folder that the job runs in.
        output: the folder that it writes to.
        has_image: whether it runs in a container, where its folders may be others.
        element: what it is in an array, should others be submitted at the same time; else None.
    """

    folder: Path
    name: str
    batch: str
    shown: str
    script: JobScript
    workdir: Path
    output: Path
    has_image: bool
    element: Element | None = None

    def shell_text(self) -> str:
        paths = JobPaths(self.folder)
        return (
            f"# sbatch --parsable {paths.command}\n"
            f"\n# {paths.command}\n{self.shown}"
            f"\n# {paths.script}\n{self.script.shown}"
        )


class SlurmExecutor(Executor):
    """Submits jobs with `sbatch`. Handles serve any process that sees the jobs' folders.

    Args:
        client: asks Slurm; by default that of all executors of this process.
        grace: what a cancelled job gets to end in good order.
    """

    name = "slurm"

    def __init__(self, client: SlurmClient | None = None, grace: Grace | None = None) -> None:
        shared = _shared() if client is None else _Shared(client, Gatherer(client))
        self._client, self._gatherer = shared.client, shared.gatherer
        self._grace = grace or Grace()

    def prepare(self, job: Job) -> SlurmRequest:
        settings = slurm_settings(job)
        nodes = Nodes(
            count=settings.nodes,
            rank="$SLURM_NODEID",
            head_address=f"${HEAD_ADDRESS}",
            port=f"${HEAD_PORT}",
            address=f"${NODE_ADDRESS}",
            has_ray=False,
        )
        script = job_script(job, nodes)
        name = slurm_name(job.folder)
        paths = JobPaths(job.folder)
        output = job.output or paths.output
        rendered = render(
            settings,
            name=name,
            output=_sbatch_path(paths.slurm_log),
            image=job.image,
            mounts=() if job.image is None else _mounts(job, output),
        )
        batch = shown = batch_script(job, settings, rendered, self._grace)
        setup = mask_secrets(settings.setup_lines)
        if setup != settings.setup_lines:
            secrets = {**script.secrets, SECRET_SETUP: settings.setup_lines}
            script = replace(script, secrets=secrets)
            hidden = replace(settings, setup_lines=secret_setup())
            batch = batch_script(job, hidden, rendered, self._grace)
            masked = replace(settings, setup_lines=setup)
            shown = batch_script(job, masked, rendered, self._grace)
        element = Element(job.folder, rendered.header) if job.is_element else None
        has_image = job.image is not None
        return SlurmRequest(
            job.folder, name, batch, shown, script, job.workdir, output, has_image, element
        )

    def stage(self, request: Request) -> None:
        request = _own(request)
        if not request.has_image and not request.workdir.is_dir():
            raise ExecutionError(
                f"run.workdir: no folder {str(request.workdir)!r} on this machine; "
                "create it or change workdir in the script's [tool.runspec.run]"
            )
        paths = JobPaths(request.folder)
        try:
            paths.log.parent.mkdir(exist_ok=True)
            paths.log.touch()
            paths.slurm_log.touch()
            request.output.mkdir(parents=True, exist_ok=True)
            request.script.stage(paths)
            batch = _with_repositories(request.batch, request.folder.parent)
            paths.command.write_text(batch, encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            raise ExecutionError(
                f"{error.filename or request.folder}: {error.strerror}; the job's folder and its "
                "output have to be writable"
            ) from error

    def submit(self, request: Request, *, attached: bool) -> Handle:
        request = _own(request)
        self.stage(request)
        paths = JobPaths(request.folder)

        def alone() -> str:
            return self._client.submit(paths.command, lambda: self._find(request.name))

        try:
            if request.element is None:
                id = alone()
            else:
                id = self._gatherer.submit(request.element, alone, self._find)
        except UnreachableError:
            raise  # it may have been accepted, and need its secrets
        except ExecutionError:
            remove_secrets(paths)
            raise
        return _keep(Handle(self.name, str(request.folder), id))

    def find(self, folder: Path) -> Handle | None:
        paths = JobPaths(folder)
        record = read_record(paths.status)
        if record is not None:
            return Handle(self.name, str(folder), record.job_id)
        if paths.handle.exists():
            return Handle.from_json(paths.handle.read_text(encoding="utf-8"))
        place = place_of(folder)
        id = self._find(slurm_name(folder) if place is None else place.name)
        if id is None:
            return None
        return _keep(
            Handle(self.name, str(folder), id if place is None else f"{id}_{place.number}")
        )

    def status(self, handle: Handle) -> Status:
        paths = JobPaths(Path(handle.folder))
        status = self._status(handle, paths)
        if status.state.is_final:
            remove_secrets(paths)
        return status

    def logs(self, handle: Handle, *, follow: bool = False) -> Iterator[bytes]:
        since = time.monotonic()
        with open(JobPaths(Path(handle.folder)).log, "rb", buffering=0) as log:
            while True:
                # Asked before reading: what was written before the end is then read for certain.
                ended = not follow or self._patient_status(handle).state.is_final
                while chunk := log.read(_CHUNK_BYTES):
                    since = time.monotonic()
                    yield chunk
                if ended:
                    return
                time.sleep(_pause(since))

    def cancel(self, handle: Handle) -> None:
        paths = JobPaths(Path(handle.folder))
        record = _record_of(handle, paths)
        if record is not None and record.is_final:
            return
        # Whatever the job does at this moment, it finds this file: its batch script looks for it
        # when it starts and when a signal wakes it.
        paths.cancel.touch()
        id = _running_id(handle, paths)
        self._client.cancel(id, "--state=PENDING")
        self._client.cancel(id, "--batch", "--signal=USR2")
        # If it still waited, nothing of it ever runs that would take them away.
        remove_secrets(paths)

    def wait(self, handle: Handle, timeout: float | None = None) -> Status:
        since = time.monotonic()
        while not (status := self._patient_status(handle)).state.is_final:
            left = None if timeout is None else since + timeout - time.monotonic()
            if left is not None and left <= 0:
                return status
            pause = _pause(since)
            time.sleep(pause if left is None else min(pause, left))
        return status

    def _status(self, handle: Handle, paths: JobPaths) -> Status:
        if not paths.command.exists():
            raise ExecutionError(f"{paths.folder}: no job was submitted from this folder")
        record = _record_of(handle, paths)
        if record is not None and record.is_final:
            return record.status()
        id = _running_id(handle, paths)
        job = self._client.job(id)
        place = place_of(paths.folder)
        name = slurm_name(paths.folder) if place is None else place.name
        if job is not None and job.name != name:
            job = None  # a controller that lost the job has given its number away
        status = joint_status(record, job, is_cancelled=paths.cancel.exists())
        if status.state.is_final:
            # It may have written its last word while Slurm was asked, or its first.
            if _running_id(handle, paths) != id:
                return self._status(handle, paths)
            record = _record_of(handle, paths)
            if record is not None and record.is_final:
                return record.status()
        return status

    def _patient_status(self, handle: Handle) -> Status:
        """The status, once Slurm answers."""
        deadline = time.monotonic() + self._client.patience
        while True:
            try:
                return self.status(handle)
            except UnreachableError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(1)

    def _find(self, name: str) -> str | None:
        """The id of the job, or array, of a name."""
        found = self._client.named(name)
        return found[-1].id.partition("_")[0] if found else None


def _pause(since: float) -> float:
    shortest, longest = _POLL_SECONDS
    return min(longest, shortest + _POLL_GROWTH * (time.monotonic() - since))


def slurm_name(folder: Path) -> str:
    """The name of a job in Slurm: its folder's, and what tells it from others of that name."""
    path = os.path.abspath(folder)
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:_NAME_CHARACTERS]
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in folder.name)
    return f"{safe}.{digest}"


@dataclass(frozen=True)
class _Shared:
    """What the executors of a process have in common: whom they ask, and whom they wait for."""

    client: SlurmClient
    gatherer: Gatherer


@functools.cache
def _shared() -> _Shared:
    client = SlurmClient()
    return _Shared(client, Gatherer(client))


def _own(request: Request) -> SlurmRequest:
    if not isinstance(request, SlurmRequest):
        raise TypeError(f"{type(request).__name__} was prepared by another executor")
    return request


def _keep(handle: Handle) -> Handle:
    """Writes down what Slurm has taken; without room for it Slurm still knows the job's name."""
    with contextlib.suppress(OSError):
        write_atomically(JobPaths(Path(handle.folder)).handle, handle.to_json(), durable=False)
    return handle


def _running_id(handle: Handle, paths: JobPaths) -> str:
    """The number under which it runs, should Slurm have taken it twice; else the handle's."""
    try:
        return os.readlink(paths.slurm_job)
    except FileNotFoundError:
        return handle.id


def _record_of(handle: Handle, paths: JobPaths) -> Record | None:
    """The job's record, if it is this job's."""
    record = read_record(paths.status)
    is_own = record is not None and record.job_id == _running_id(handle, paths)
    return record if is_own else None


def _sbatch_path(path: Path) -> str:
    """A file's name as sbatch takes it, for which `%` begins a pattern."""
    text = str(path)
    if "\n" in text or "\\" in text:
        raise ExecutionError(
            f"{text!r}: sbatch cannot write below a folder with a backslash or a line break in its "
            "name; choose another remote_job_dir"
        )
    return text.replace("%", "%%")


def _mounts(job: Job, output: Path) -> list[str]:
    """What the container sees: the profile's mounts, and what the job needs."""
    written = job.profile.get("mounts") or []
    if isinstance(written, (str, Mapping)) or not all(isinstance(item, str) for item in written):
        raise ExecutionError(f"run.env.mounts: {written!r} is no list of SOURCE:TARGET")
    mounts = [item if ":" in item else f"{item}:{item}" for item in written]
    targets = {item.split(":")[1] for item in mounts if not item.startswith(AUTO_MOUNT_PREFIX)}
    for path in _needed_folders(job, output):
        if "," in path or ":" in path:
            raise ExecutionError(
                f"{path!r}: a folder with a comma or a colon in its name cannot be mounted in a "
                "container; choose another remote_job_dir or output_root"
            )
        if path not in targets:
            mounts.append(f"{path}:{path}")
    return mounts


def _needed_folders(job: Job, output: Path) -> list[str]:
    """The job's own folder and output, its bundle, and the store where that is a folder."""
    pex = job.package.pex
    bundle = job.code.parent if pex is None else Path(os.path.commonpath([job.code, pex.parent]))
    wanted = [job.folder, output, bundle, *([] if job.store is None else [job.store])]
    kept: list[Path] = []
    for path in dict.fromkeys(wanted):
        if not any(path != other and path.is_relative_to(other) for other in wanted):
            kept.append(path)
    return [str(path) for path in kept]


def _with_repositories(batch: str, jobs: Path) -> str:
    """The batch script with the repositories that `${auto_mount:…}` named, cloned for it."""
    if AUTO_MOUNT_PREFIX not in batch:
        return batch
    from nemo_runspec.execution.git_mounts import clone_git_repos_via_tunnel

    mounts = clone_git_repos_via_tunnel(_Here(), str(jobs))
    targets = {mount.rpartition(":")[2]: mount for mount in mounts}
    # The longest first: one name may begin with another.
    for name, repository in sorted(get_git_mounts().items(), key=lambda item: -len(item[0])):
        batch = batch.replace(f"{AUTO_MOUNT_PREFIX}{name}", targets.get(repository["target"], ""))
    return batch


class _Here:
    """The tunnel to the cluster of a launcher that is there."""

    def run(self, command: str, **_: Any) -> SimpleNamespace:
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        return SimpleNamespace(ok=done.returncode == 0, stdout=done.stdout, stderr=done.stderr)
