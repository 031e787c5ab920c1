"""Jobs on DGX Cloud Lepton, through NeMo-Run and Lepton's own client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from nemo_runspec.execution.containers.executor import (
    ContainerExecutor,
    require_mounted,
    service_name,
)
from nemo_runspec.execution.containers.launch import Peers, recorded_status
from nemo_runspec.execution.containers.rebind import rebind
from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.nemo_run_library import nemo_run
from nemo_runspec.execution.protocol import Handle, Job, State

_NEED = "executor 'lepton'"
_NOT_FOUND = 404
_STATES = {
    "Archived": State.LOST,
    "Completed": State.SUCCEEDED,
    "Deleted": State.CANCELLED,
    "Failed": State.FAILED,
    "Restarting": State.RUNNING,
    "Running": State.RUNNING,
    "Stopped": State.CANCELLED,
    "Stopping": State.RUNNING,
    "Deleting": State.RUNNING,
}


class LeptonExecutor(ContainerExecutor):
    """Runs a job as a Lepton batch job; its folder lies on storage that both sides mount."""

    name: ClassVar[str] = "lepton"
    peers = Peers(
        rank="${LEPTON_JOB_WORKER_INDEX:-0}",
        head_address="$RUNSPEC_HEAD_ADDRESS",
        # As Lepton's own script for PyTorch jobs finds the first worker.
        setup=(
            'head="${LEPTON_JOB_SERVICE_PREFIX:-$LEPTON_JOB_NAME}-0'
            '.${LEPTON_SUBDOMAIN:-$LEPTON_JOB_NAME-job-svc}"',
            'until address="$(getent hosts "$head")"; do sleep 2; done',
            'export RUNSPEC_HEAD_ADDRESS="${address%% *}"',
        ),
    )

    def check(self, job: Job, arguments: dict[str, Any]) -> None:
        paths = [str(mount["mount_path"]) for mount in arguments["mounts"]]
        require_mounted(job, paths, what="mounts")

    def render(self, folder: Path, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        sent: list[Any] = []
        group = arguments["node_group"]
        found = SimpleNamespace(metadata=SimpleNamespace(id_=f"<id of {group}>", name=group))
        client = SimpleNamespace(
            nodegroup=SimpleNamespace(list_all=lambda: [found], list_nodes=lambda group: []),
            job=SimpleNamespace(create=sent.append),
        )
        executor = self._executor(folder, arguments)
        rebind(type(executor).create_lepton_job, APIClient=lambda: client)(executor, name)
        spec: dict[str, Any] = sent[0].model_dump(mode="json", by_alias=True, exclude_none=True)
        return spec

    def send(self, folder: Path, name: str, arguments: Mapping[str, Any]) -> str:
        executor = self._executor(folder, arguments)
        job = _asking(lambda: executor.create_lepton_job(name))
        if job is None or not job.metadata.id_:
            raise ExecutionError(f"lepton: the job {name} was not made, without a reason")
        return str(job.metadata.id_)

    def look_up(self, folder: Path) -> Handle | None:
        name = service_name(folder)
        if recorded_status(folder) is not None:
            return Handle(self.name, str(folder), name)
        client = _asking(lambda: nemo_run(_NEED, "leptonai.api.v2.client").APIClient())
        names = {job.metadata.id_ for job in _asking(client.job.list_all)}
        return Handle(self.name, str(folder), name) if name in names else None

    def ask(self, handle: Handle) -> State:
        executor = self._executor(Path(handle.folder), self.arguments_of(handle))
        try:
            state = _asking(lambda: executor.status(handle.id))
        except _UnknownJobError:
            return State.LOST  # deleted, as NeMo-Run cancels
        return _STATES.get(state.value, State.PENDING)

    def stop(self, handle: Handle) -> None:
        executor = self._executor(Path(handle.folder), self.arguments_of(handle))
        _asking(lambda: executor.cancel(handle.id))

    def _executor(self, folder: Path, arguments: Mapping[str, Any]) -> Any:
        module = nemo_run(_NEED, "nemo_run.core.execution.lepton")
        executor = module.LeptonExecutor(**{**arguments, "env_vars": {}})
        executor.job_dir = executor.lepton_job_dir = str(folder)
        return executor


class _UnknownJobError(ExecutionError):
    """Lepton has no such job, any more."""


def _asking(call: Any) -> Any:
    """What Lepton's client answers; its many kinds of errors as ours.

    Raises:
        UnreachableError: nobody answered, or nobody who could.
        ExecutionError: the answer was no.
    """
    requests = nemo_run(_NEED, "requests")
    resource = nemo_run(_NEED, "leptonai.api.v1.api_resource")
    try:
        return call()
    except (requests.RequestException, resource.ServerError) as error:
        raise UnreachableError(f"lepton: {error}") from error
    except resource.ClientError as error:
        kind = _UnknownJobError if error.response.status_code == _NOT_FOUND else ExecutionError
        raise kind(f"lepton: {error}") from error
    except RuntimeError as error:
        raise ExecutionError(f"lepton: {error}") from error
