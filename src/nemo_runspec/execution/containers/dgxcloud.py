"""Jobs on DGX Cloud (Run:ai), through NeMo-Run's REST client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from nemo_runspec.execution.containers.executor import ContainerExecutor, require_mounted
from nemo_runspec.execution.containers.launch import Peers
from nemo_runspec.execution.containers.rebind import rebind
from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.nemo_run_library import nemo_run
from nemo_runspec.execution.protocol import Handle, Job, State

_NEED = "executor 'dgxcloud'"
_STATES = {
    "COMPLETED": State.SUCCEEDED,
    "DEGRADED": State.FAILED,
    "DELETING": State.RUNNING,
    "FAILED": State.FAILED,
    "RUNNING": State.RUNNING,
    "STOPPED": State.CANCELLED,
    "STOPPING": State.RUNNING,
    "TERMINATING": State.RUNNING,
}


class DGXCloudExecutor(ContainerExecutor):
    """Runs a job as a training workload; the job's folder lies on a PVC that both sides mount."""

    name: ClassVar[str] = "dgxcloud"
    # What a PyTorch job of Kubernetes' training operator finds in its environment.
    peers = Peers(
        rank="${RANK:-0}",
        head_address="${MASTER_ADDR:-127.0.0.1}",
        port="${MASTER_PORT:-29500}",
    )

    def check(self, job: Job, arguments: dict[str, Any]) -> None:
        pvcs = arguments.get("pvcs") or []
        require_mounted(job, [str(pvc["path"]) for pvc in pvcs if pvc.get("path")], what="pvcs")

    def render(self, folder: Path, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        sent: list[dict[str, Any]] = []

        def post(url: str, json: Any, headers: Any) -> Any:
            sent.append({"url": url, "json": json})
            return SimpleNamespace(status_code=202, text="")

        executor = self._executor(folder, arguments)
        create = rebind(
            type(executor).create_training_job,
            requests=SimpleNamespace(post=post, Response=None),
            logger=_QUIET,
        )
        project = f"<id of project {executor.project_name}>"
        create(executor, "<token>", project, "<id of its cluster>", name)
        return sent[0]

    def send(self, folder: Path, name: str, arguments: Mapping[str, Any]) -> str:
        executor = self._executor(folder, arguments)
        requests = nemo_run(_NEED, "requests")
        token = executor.get_auth_token()
        if not token:
            raise UnreachableError(f"{executor.base_url} gave no token for this client_id")
        try:
            project, cluster = executor.get_project_and_cluster_id(token)
            if not project or not cluster:
                raise ExecutionError(f"project_name: no project {executor.project_name!r} there")
            # NeMo-Run would log all of what it sends.
            create = rebind(type(executor).create_training_job, logger=_QUIET)
            answer = create(executor, token, project, cluster, name)
        except requests.RequestException as error:
            raise UnreachableError(f"{executor.base_url}: {error}") from error
        if answer.status_code not in (200, 202):
            raise ExecutionError(f"{executor.base_url}: {answer.status_code} {answer.text}")
        return str(answer.json()["workloadId"])

    def look_up(self, folder: Path) -> Handle | None:
        raise UnreachableError(
            f"{folder}: NeMo-Run cannot look up a workload by its name; see in DGX Cloud's own "
            "pages whether one of this name runs"
        )

    def ask(self, handle: Handle) -> State:
        executor = self._executor(Path(handle.folder), self.arguments_of(handle))
        requests = nemo_run(_NEED, "requests")
        try:
            state = executor.status(handle.id)
        except requests.RequestException as error:
            raise UnreachableError(f"{executor.base_url}: {error}") from error
        except ValueError:
            return State.PENDING  # a phase that NeMo-Run does not know
        if state is None:
            raise UnreachableError(f"{executor.base_url} does not say how {handle.id} is")
        return _STATES.get(state.name, State.PENDING)

    def stop(self, handle: Handle) -> None:
        executor = self._executor(Path(handle.folder), self.arguments_of(handle))
        # NeMo-Run cannot end a workload of one node: its own script does, once it runs.
        if executor.nodes > 1:
            executor.cancel(handle.id)

    def _executor(self, folder: Path, arguments: Mapping[str, Any]) -> Any:
        module = nemo_run(_NEED, "nemo_run.core.execution.dgxcloud")
        executor = module.DGXCloudExecutor(**{**arguments, "env_vars": {}})
        executor.job_dir = executor.pvc_job_dir = str(folder)
        return executor


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Says nothing."""


_QUIET = SimpleNamespace(info=_nothing, debug=_nothing, warning=_nothing, error=_nothing)
