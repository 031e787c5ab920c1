from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import docker
import pytest

from nemo_runspec.execution import (
    ExecutionError,
    Executor,
    Handle,
    Job,
    JobPackage,
    State,
    UnreachableError,
    get_executor,
)
from nemo_runspec.execution.containers.dgxcloud import DGXCloudExecutor
from nemo_runspec.execution.containers.docker import DockerExecutor
from runspec import Runspec, RunspecResources, RunspecRun
from tests.nemo_runspec.executor_contract import ExecutorContract, make_job
from tests.nemo_runspec.nemo_run import fake_docker

GOLDEN = Path(__file__).parent / "golden"
SHARED = Path("/pvc/team")
PROFILES: dict[str, dict[str, Any]] = {
    "docker": {"gpus_per_node": 2, "shm_size": "30g", "mounts": ["/data:/data"]},
    "dgxcloud": {
        "base_url": "https://dgx.example/api/v1",
        "kube_apiserver_url": "https://kube.example",
        "client_id": "me",
        "client_secret": "hunter2",
        "project_name": "proj",
        "pvc_nemo_run_dir": "/pvc/team/jobs",
        "pvcs": [{"path": "/pvc", "existingPvc": True, "claimName": "team"}],
        "nodes": 2,
        "gpus_per_node": 8,
    },
    "lepton": {
        "nemo_run_dir": "/pvc/team/jobs",
        "node_group": "group-a",
        "resource_shape": "gpu.8xh100",
        "mounts": [{"path": "/team", "mount_path": "/pvc", "from": "node-nfs:team"}],
        "secret_vars": {"NGC": "ngc-secret"},
        "nodes": 2,
        "gpus_per_node": 8,
    },
}


def shared_job(executor: str, **changes: Any) -> Job:
    """A job whose folder need not be there: a dry run."""
    folder = SHARED / "jobs" / "20260131-235959-nano3-pretrain"
    bundle = SHARED / "jobs" / "_bundles" / "0123456789abcdef"
    job = Job(
        name="nano3/pretrain",
        folder=folder,
        spec=Runspec(
            name="nano3/pretrain",
            run=RunspecRun(launch="torchrun"),
            resources=RunspecResources(nodes=1, gpus_per_node=8),
            script_path=bundle / "code" / "train.py",
        ),
        code=bundle / "code",
        script=bundle / "code" / "train.py",
        source_roots=(bundle / "code" / "src",),
        config=folder / "train.yaml",
        passthrough=("--note", "it's a $TEST"),
        profile={**PROFILES[executor], "executor": executor},
        env={"PLAIN": "a b", "MY_API_KEY": "hunter2", "DSN": "postgres://u:hunter2@h/db"},
        workdir=bundle / "code",
        package=JobPackage(
            pex=bundle / "job.pex",
            inherit_path=True,
            interpreter_constraints=("CPython>=3.11,<3.14",),
        ),
        image="nvcr.io/nvidia/nemo:25.11",
        store=SHARED / "artifacts",
    )
    return replace(job, **changes)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_dry_run(name: str) -> None:
    """The whole request, as NeMo-Run would send it. RUNSPEC_GOLDEN=write writes it anew."""
    text = get_executor(name).prepare(shared_job(name)).shell_text()
    # What job.sh is made of has its own tests.
    script = re.compile(r"(# /pvc/\S+/job\.sh\n).*?(?=^# What NeMo-Run sends:)", re.S | re.M)
    shown = script.sub(r"\1…\n", text) + "\n"
    assert "hunter2" not in text
    assert "it's a $TEST" in text.replace("'\"'\"'", "'")
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("RUNSPEC_GOLDEN") == "write":
        golden.write_text(shown)
    assert shown == golden.read_text()


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_dry_run_asks_nobody(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*args: Any) -> None:
        raise AssertionError("a dry run must not open a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    get_executor(name).prepare(shared_job(name))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("docker", {"image": None}, "give container_image"),
        ("docker", {"profile": {"nodes": 2}}, "nodes = 2"),
        ("dgxcloud", {"folder": Path("/home/me/x")}, "/home/me/x is on no storage .*pvcs: /pvc"),
        ("lepton", {"store": Path("/home/store")}, "/home/store is on no storage .*mounts: /pvc"),
        ("lepton", {"folder": Path("/pvc/a b")}, "without spaces and quotes"),
    ],
)
def test_what_cannot_run(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExecutionError, match=message):
        get_executor(name).prepare(shared_job(name, **changes))


def cloud_job(tmp_path: Path, name: str) -> Job:
    profile = {**PROFILES[name], "executor": name}
    mount = "pvcs" if name == "dgxcloud" else "mounts"
    key = "path" if name == "dgxcloud" else "mount_path"
    profile[mount] = [{**profile[mount][0], key: str(tmp_path)}]
    job = make_job(tmp_path / "all", "print('here')", profile=profile, image="img:1")
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "launch_script.sh").touch()
    (folder / "service.json").write_text('{"container_image": "img:1"}\n')
    (folder / "job.yaml").write_text("run: {profile: cloud}\n")
    lines = [f"{key} = {_toml(value)}\n" for key, value in profile.items()]
    (tmp_path / "env.toml").write_text("".join(["[cloud]\n", *lines]))
    return replace(job, folder=folder, env={"MY_TOKEN": "hunter2"})


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def run_launched(folder: Path) -> int:
    """What the service would do with the launch script."""
    import subprocess

    command = ["bash", str(folder / "launch_script.sh")]
    return subprocess.run(
        command, stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]}
    ).returncode


SAID = {"phase": "Running"}  # what DGX Cloud says of a workload


class Answer(SimpleNamespace):
    def json(self) -> Any:
        return json.loads(self.text)


@pytest.fixture
def dgx(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """DGX Cloud's API, at the wire of the HTTP library; what it was asked, in order."""
    import requests

    asked: list[tuple[str, str, Any]] = []

    def post(url: str, json: Any = None, headers: Any = None) -> Answer:
        asked.append(("POST", url, json))
        if url.endswith("/token"):
            return Answer(status_code=200, text='{"accessToken": "t"}')
        return Answer(status_code=202, text='{"workloadId": "w-1", "actualPhase": "Creating"}')

    def get(url: str, headers: Any = None) -> Answer:
        asked.append(("GET", url, None))
        if url.endswith("/org-unit/projects"):
            text = '{"projects": [{"name": "proj", "id": "p-1", "clusterId": "c-1"}]}'
        else:
            text = json.dumps({"actualPhase": SAID["phase"]})
        return Answer(status_code=200, text=text)

    monkeypatch.setattr(requests, "post", post)
    monkeypatch.setattr(requests, "get", get)
    return asked


def test_dgxcloud_sends_what_it_showed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dgx: list[tuple[str, str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("NEMOTRON_ENV_FILE", str(tmp_path / "env.toml"))
    executor = get_executor("dgxcloud")
    job = cloud_job(tmp_path, "dgxcloud")
    request: Any = executor.prepare(job)
    handle = executor.submit(request, attached=False)
    assert handle == Handle("dgxcloud", str(job.folder), "w-1")
    method, url, sent = dgx[-1]
    shown = json.loads(json.dumps(dict(request.call)))
    shown["json"].update(projectId="p-1", clusterId="c-1")
    assert shown == {"url": url, "json": sent}
    assert "hunter2" not in caplog.text and "hunter2" not in json.dumps(sent)

    # Any process can pick it up.
    other = get_executor("dgxcloud")
    assert other.status(handle).state is State.RUNNING
    other.cancel(handle)
    assert dgx[-1][1].endswith("/workloads/distributed/w-1/suspend")
    (job.folder / "cancel").unlink()  # as if nobody had
    monkeypatch.setitem(SAID, "phase", "Rescheduling")
    assert other.status(handle).state is State.PENDING
    assert other.find(job.folder) == handle
    (job.folder / "handle.json").unlink()  # as if its submitter had been killed
    with pytest.raises(UnreachableError, match="cannot look up a workload by its name"):
        other.find(job.folder)

    secrets = job.folder / "secrets.sh"
    assert secrets.exists()
    monkeypatch.setenv("RANK", "0")
    assert run_launched(job.folder) == 0
    assert other.status(handle).state is State.SUCCEEDED
    assert b"".join(other.logs(handle)) == b"here\n"
    assert not secrets.exists()


def test_dgxcloud_of_one_node_is_cancelled_by_its_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dgx: list[tuple[str, str, Any]]
) -> None:
    monkeypatch.setenv("NEMOTRON_ENV_FILE", str(tmp_path / "env.toml"))
    job = cloud_job(tmp_path, "dgxcloud")
    toml = tmp_path / "env.toml"
    toml.write_text(toml.read_text().replace("nodes = 2", "nodes = 1"))
    job.script.write_text("import time; time.sleep(600)")
    executor = get_executor("dgxcloud")
    handle = executor.submit(
        executor.prepare(replace(job, profile={**job.profile, "nodes": 1})), attached=False
    )
    asked = len(dgx)
    executor.cancel(handle)
    assert not any("suspend" in url for _, url, _ in dgx[asked:])
    assert run_launched(job.folder) == 128 + 15
    assert executor.status(handle).state is State.CANCELLED


def test_nodes_and_image_that_the_recipe_asks_for_are_known_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dgx: list[tuple[str, str, Any]]
) -> None:
    monkeypatch.setenv("NEMOTRON_ENV_FILE", str(tmp_path / "env.toml"))
    job = cloud_job(tmp_path, "dgxcloud")
    toml = tmp_path / "env.toml"
    toml.write_text(toml.read_text().replace("nodes = 2\n", ""))
    profile = {key: value for key, value in job.profile.items() if key != "nodes"}
    spec = replace(job.spec, resources=RunspecResources(nodes=3))
    executor = get_executor("dgxcloud")
    request = executor.prepare(replace(job, profile=profile, spec=spec, image="img:2"))
    handle = executor.submit(request, attached=False)
    assert get_executor("dgxcloud").status(handle).state is State.RUNNING
    assert dgx[-1][1].endswith("/workloads/distributed/w-1")
    assert DGXCloudExecutor().arguments_of(handle)["container_image"] == "img:2"


def test_status_file_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"state": "running"}')
    with pytest.raises(ExecutionError, match="not a job's status: 'started_at'"):
        DockerExecutor().status(Handle("docker", str(tmp_path), "x"))


def test_without_its_profile_a_job_cannot_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = cloud_job(tmp_path, "dgxcloud")
    (tmp_path / "env.toml").write_text("[other]\nnodes = 1\n")
    monkeypatch.setenv("NEMOTRON_ENV_FILE", str(tmp_path / "env.toml"))
    with pytest.raises(ExecutionError, match="its profile cannot be read: .*'cloud'"):
        get_executor("dgxcloud").status(Handle("dgxcloud", str(job.folder), "w-1"))


def test_lepton_sends_what_it_showed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nemo_run.core.execution.lepton as lepton
    from leptonai.api.v1.api_resource import ClientError, ServerError

    created: list[Any] = []
    state = lepton.LeptonJobState.Running
    status = SimpleNamespace(state=state, ready=2, active=2)

    def create(job: Any) -> Any:
        created.append(job)
        return job

    group = SimpleNamespace(metadata=SimpleNamespace(id_="g-1", name="group-a"))
    deleted: list[str] = []
    answers = [200]

    def get(job_id: str) -> Any:
        answer = SimpleNamespace(status_code=answers[0], text="no")
        if answers[0] >= 500:
            raise ServerError(answer)
        if answers[0] >= 400:
            raise ClientError(answer)
        return SimpleNamespace(status=status)

    client = SimpleNamespace(
        nodegroup=SimpleNamespace(list_all=lambda: [group], list_nodes=lambda group: []),
        job=SimpleNamespace(
            create=create,
            get=get,
            delete=deleted.append,
            list_all=lambda: created,
        ),
    )
    monkeypatch.setattr(lepton, "APIClient", lambda: client)
    monkeypatch.setattr("leptonai.api.v2.client.APIClient", lambda: client)
    monkeypatch.setenv("NEMOTRON_ENV_FILE", str(tmp_path / "env.toml"))
    executor = get_executor("lepton")
    job = cloud_job(tmp_path, "lepton")
    request: Any = executor.prepare(job)
    handle = executor.submit(request, attached=False)
    sent = created[0].model_dump(mode="json", by_alias=True, exclude_none=True)
    shown = json.dumps(dict(request.call)).replace("<id of group-a>", "g-1")
    assert sent == json.loads(shown)
    assert "hunter2" not in json.dumps(sent)
    (job.folder / "handle.json").unlink()  # as if its submitter had been killed
    assert executor.find(job.folder) == handle == Handle("lepton", str(job.folder), request.name)
    assert get_executor("lepton").status(handle).state is State.RUNNING
    executor.cancel(handle)
    assert deleted == [handle.id]
    answers[0] = 502
    with pytest.raises(UnreachableError, match="502"):
        executor.status(handle)
    answers[0] = 403
    with pytest.raises(ExecutionError, match="403"):
        executor.status(handle)
    answers[0] = 404
    assert executor.status(handle).state is State.CANCELLED
    answers[0] = 200
    status.state = lepton.LeptonJobState.Stopped
    assert executor.wait(handle, 10).state is State.CANCELLED


class TestDocker(ExecutorContract):
    """The contract, with processes for containers; what NeMo-Run would send is what starts them."""

    # A container's end is that of all its processes; our stand-in for one is a process group.
    ends_other_sessions: ClassVar[bool] = False

    @pytest.fixture(autouse=True)
    def daemon(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path / "docker"
        folder.mkdir()
        monkeypatch.setenv(fake_docker.FOLDER_VARIABLE, str(folder))
        monkeypatch.setattr(docker, "from_env", fake_docker.from_env)

    def make_executor(self) -> Executor:
        return DockerExecutor()

    def profile(self) -> Mapping[str, Any]:
        return {"container_image": "img:1"}

    def other_environment(self) -> Mapping[str, str]:
        return os.environ

    def other_executor(self) -> str:
        return (
            "[__import__('docker').__setattr__('from_env', "
            "__import__('tests.nemo_runspec.nemo_run.fake_docker', fromlist=['_']).from_env), "
            f"{super().other_executor()}][1]"
        )
