"""Jobs in docker containers of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from nemo_runspec.execution.containers.executor import (
    ContainerExecutor,
    mounted_paths,
    service_name,
)
from nemo_runspec.execution.containers.launch import LAUNCH_SCRIPT, recorded_status
from nemo_runspec.execution.containers.rebind import rebind
from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.nemo_run_library import RUN_DIR, nemo_run
from nemo_runspec.execution.protocol import Handle, Job, State

_NEED = "executor 'docker'"
_STATES = {
    "created": State.PENDING,
    "running": State.RUNNING,
    "paused": State.RUNNING,
    "restarting": State.RUNNING,
    "removing": State.RUNNING,
    "exited": State.LOST,
    "dead": State.LOST,
}


class DockerExecutor(ContainerExecutor):
    """Runs a job as a container that docker's daemon on this machine starts."""

    name: ClassVar[str] = "docker"

    def check(self, job: Job, arguments: dict[str, Any]) -> None:
        paths = [str(path) for path in mounted_paths(job)]
        if any(":" in path for path in [*paths, str(job.folder)]):
            raise ExecutionError(f"{job.folder}: docker cannot mount a path with a colon")
        own = [f"{path}:{path}" for path in paths]
        # NeMo-Run's scripts keep their own log and state there.
        arguments["volumes"] = [*arguments["volumes"], *own, f"{job.folder}:{RUN_DIR}"]

    def render(self, folder: Path, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        sent: list[dict[str, Any]] = []

        def run(image: str, command: str, **options: Any) -> None:
            sent.append({"image": image, "command": command, **_plain(options)})

        container = self._container(folder, name, arguments)
        recorder = SimpleNamespace(containers=SimpleNamespace(run=run))
        start = rebind(type(container).run, ensure_network=lambda **_: None)
        start(container, client=recorder, id=name)
        return sent[0]

    def send(self, folder: Path, name: str, arguments: Mapping[str, Any]) -> str:
        container = self._container(folder, name, arguments)
        docker = nemo_run(_NEED, "docker")
        try:
            container.run(client=_client(docker), id=name)
        except docker.errors.DockerException as error:
            raise ExecutionError(f"docker: {error}") from error
        return name

    def look_up(self, folder: Path) -> Handle | None:
        name = service_name(folder)
        if recorded_status(folder) is None and _find(name) is None:
            return None
        return Handle(self.name, str(folder), name)

    def ask(self, handle: Handle) -> State:
        container = _find(handle.id)
        return State.LOST if container is None else _STATES.get(container.status, State.RUNNING)

    def stop(self, handle: Handle) -> None:
        """The job's own script ends it.

        NeMo-Run's bash, the first process in the container, minds no signal.
        """

    def _container(self, folder: Path, name: str, arguments: Mapping[str, Any]) -> Any:
        module = nemo_run(_NEED, "nemo_run.core.execution.docker")
        executor = module.DockerExecutor(**arguments)
        executor.experiment_id = name
        executor.job_dir = str(folder)
        # NeMo-Run puts the command into `bash -c "…"` as it is; the folder is mounted there.
        command = ["bash", f"{RUN_DIR}/{LAUNCH_SCRIPT}"]
        return module.DockerContainer(name=name, command=command, executor=executor, extra_env={})


def _find(name: str) -> Any:
    module = nemo_run(_NEED, "nemo_run.core.execution.docker")
    docker = nemo_run(_NEED, "docker")
    label = f"{module.LABEL_ID}={name}"
    try:
        found = _client(docker).containers.list(all=True, filters={"label": [label]})
    except docker.errors.DockerException as error:
        raise UnreachableError(f"docker's daemon does not answer: {error}") from error
    return found[0] if found else None


def _client(docker: Any) -> Any:
    try:
        return docker.from_env()
    except docker.errors.DockerException as error:
        raise UnreachableError(f"docker's daemon does not answer: {error}") from error


def _plain(value: Any) -> Any:
    """Docker's own types are dicts with other names."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item not in (None, {})}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
